import { parseInstant, type RecordedEvent } from '#eventlog';
import type { StepEvent, StepName } from './step.events.js';

/** A `StepStarted` that has neither outcome nor failure yet. */
export interface OpenStep {
  readonly step: StepName;
  readonly attempt: number;
  readonly attemptId: string;
  readonly worker: string;
  readonly startedAt: number;
  readonly leaseUntil: number;
  readonly revision: number;
  readonly observesFirst: boolean;
  /** Of a step that comes in parts: the share this part brings emission to. */
  readonly share?: number;
  /** An earlier attempt may have performed it, and nobody has observed yet whether it did. */
  readonly unknownBefore: boolean;
}

export interface StepFailure {
  readonly step: StepName;
  readonly attempt: number;
  readonly performed: 'no' | 'unknown';
  readonly errorClass: string;
  readonly reason: string;
  readonly at: number;
  readonly eventId: string;
  /** How many attempts of this step in a row ended in a passing fault, since a person last wanted it retried. */
  readonly passing: number;
  /** A person looked and wants it tried again: it no longer holds anything up. */
  readonly retried: boolean;
  /** Of a step that comes in parts: the share that attempt was to reach. */
  readonly share?: number;
}

/** The steps of one process (a rotation, a containment, a destruction), folded from its stream. */
export interface StepsState {
  readonly open?: OpenStep;
  /** The newest failure with no outcome of its step after it. */
  readonly failure?: StepFailure;
  readonly attempts: Readonly<Partial<Record<StepName, number>>>;
  readonly done: readonly StepName[];
}

export const noSteps: StepsState = { attempts: {}, done: [] };

/** Which event is the outcome of which step; the step table is checked against it. */
const OUTCOME_OF: Readonly<Record<string, StepName>> = {
  KeyGenerated: 'generate',
  DualAcceptDeployed: 'accept',
  EmitterSwitched: 'emit',
  OldKeyRevoked: 'revoke',
  OldKeyRejectionVerified: 'verify',
  EmissionReturned: 'return',
  NewKeyWithdrawn: 'withdraw',
  ContainmentApplied: 'contain',
  KeyReaccepted: 'reaccept',
  CutOver: 'cutover',
  CutBack: 'cutback',
  ContainmentLifted: 'lift',
  OldKeyDestroyed: 'destroy',
};

export function stepOfOutcome(type: string): StepName | undefined {
  return OUTCOME_OF[type];
}

/** After a person's retry, failures before it no longer count; what an attempt may have done is still unknown. */
export function retrySteps(state: StepsState): StepsState {
  return state.failure === undefined ? state : { ...state, failure: { ...state.failure, retried: true } };
}

/** These outcomes no longer count; what an attempt may have done is found out by observing, as after any attempt. */
export function reopenSteps(state: StepsState, steps: readonly StepName[]): StepsState {
  return { ...state, done: state.done.filter((step) => !steps.includes(step)) };
}

/** The share an outcome brought emission to; 100 where the step has no parts. */
export function shareOf(event: Pick<RecordedEvent, 'data'>): number {
  const { data } = event;
  return typeof data === 'object' && data !== null && 'share' in data && typeof data.share === 'number'
    ? data.share
    : 100;
}

function isStepEvent(event: RecordedEvent): event is StepEvent {
  return event.type === 'StepStarted' || event.type === 'StepFailed';
}

export function evolveSteps(state: StepsState, event: RecordedEvent): StepsState {
  if (isStepEvent(event)) {
    if (event.type === 'StepStarted') {
      const { step, attempt, worker, leaseUntil, observesFirst, share } = event.data;
      const { open, failure } = state;
      const unknownBefore =
        open?.step === step || (failure?.step === step && failure.performed === 'unknown');
      return {
        ...state,
        open: {
          step,
          attempt,
          attemptId: event.id,
          worker,
          startedAt: event.recordedAt,
          leaseUntil: parseInstant(leaseUntil) ?? event.recordedAt,
          revision: event.revision,
          observesFirst,
          ...(share === undefined ? {} : { share }),
          unknownBefore,
        },
        attempts: { ...state.attempts, [step]: Math.max(attempt, state.attempts[step] ?? 0) },
      };
    }
    const { step, attempt, performed, errorClass, reason } = event.data;
    const before = state.failure?.step === step && !state.failure.retried ? state.failure.passing : 0;
    const passing = errorClass === 'transient' || errorClass === 'unknown' || errorClass === 'fenced';
    const { open, ...rest } = state;
    // A failure of an attempt that was taken over or settled meanwhile settles nothing.
    if (open?.step !== step || open.attempt !== attempt) return state;
    // Only an observation settles what an earlier attempt may have done: an attempt that failed before it could observe
    // (the view moved, the back end was away) says "no" of itself alone.
    const unknownBefore = open.unknownBefore && errorClass !== 'not-done';
    return {
      ...rest,
      failure: {
        step,
        attempt,
        performed: unknownBefore ? 'unknown' : performed,
        errorClass,
        reason,
        at: event.recordedAt,
        eventId: event.id,
        passing: passing ? before + 1 : before,
        retried: false,
        ...(open.share === undefined ? {} : { share: open.share }),
      },
    };
  }
  const step = stepOfOutcome(event.type);
  if (step === undefined) return state;
  const { open, failure, ...rest } = state;
  const share = shareOf(event);
  const settles = (part: { readonly step: StepName; readonly share?: number }): boolean =>
    part.step === step && (part.share ?? 100) === share;
  return {
    ...rest,
    // An outcome is always recordable, also a late one: it settles its own step only, and its own part of it.
    ...(open === undefined || settles(open) ? {} : { open }),
    ...(failure === undefined || settles(failure) ? {} : { failure }),
    done: rest.done.includes(step) ? rest.done : [...rest.done, step],
  };
}
