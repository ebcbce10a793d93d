import type { StepName } from '../step.events.js';
import type { StepsState } from '../steps.state.js';
import { type Decision, type RotationView, wait } from './view.js';

/** Attempts whose outcome is not known, and how long one waits after those that failed. */

/** A lease, and so an attempt, is never longer (contracts, Steps). */
export const LEASE_MS = 30_000;

/** Clock skew added before another live worker's lease counts as over. */
export const LEASE_SKEW_MS = 5_000;

/** Passing faults in a row before a person is asked. */
export const MOST_PASSING_FAULTS = 8;

/** An emergency and a containment wait, retry and page: they never give up on a passing fault. */
const EMERGENCY_BACK_OFF_MS = 15_000;

/** 1 s, 2 s, 4 s … at most 5 min. */
export function backOff(passing: number): number {
  return Math.min(300_000, 1_000 * 2 ** Math.max(0, passing - 1));
}

/** What `unsettled` is: an intent without outcome, or a failure that could not say whether it happened. */
export interface Unsettled {
  readonly step: StepName;
  readonly attempt: number;
  /** Not before: no request of that attempt can still take effect then. */
  readonly notBefore: number;
  /** Of a cohort: the share that attempt was to reach. */
  readonly share?: number;
  readonly dueTo: string;
}

export function unsettledStep(
  steps: StepsState,
  view: Pick<RotationView, 'backEnd' | 'runner'>,
  urgent: boolean,
): Unsettled | undefined {
  const { open, failure } = steps;
  if (open !== undefined) {
    const { longestRequestMs, outlivesProcess } = view.backEnd.steps[open.step];
    const own = open.worker === view.runner.worker;
    const dead = !own && view.runner.othersAreDead;
    const notBefore = own
      ? open.startedAt
      : dead
        ? open.startedAt + (outlivesProcess ? longestRequestMs : 0)
        : open.leaseUntil + LEASE_SKEW_MS + longestRequestMs;
    return {
      step: open.step,
      attempt: open.attempt,
      notBefore,
      ...(open.share === undefined ? {} : { share: open.share }),
      dueTo: open.attemptId,
    };
  }
  if (failure?.performed === 'unknown') {
    const pause = Math.min(backOff(failure.passing), urgent ? EMERGENCY_BACK_OFF_MS : Infinity);
    return {
      step: failure.step,
      attempt: failure.attempt,
      notBefore: failure.at + Math.max(view.backEnd.steps[failure.step].longestRequestMs, pause),
      ...(failure.share === undefined ? {} : { share: failure.share }),
      dueTo: failure.eventId,
    };
  }
  return undefined;
}

/** Bounded back-off after passing faults, a person after anything else. */
export function afterFailure(
  steps: StepsState,
  step: StepName,
  now: number,
  neverGivesUp: boolean,
):
  | { readonly wait: Decision }
  | { readonly person: { readonly code: string; readonly reason: string } }
  | undefined {
  const failure = steps.failure;
  if (failure === undefined || failure.step !== step) return undefined;
  if (failure.retried) return undefined;
  switch (failure.errorClass) {
    case 'view-moved':
    case 'not-done':
      return undefined;
    case 'transient':
    case 'unknown':
    case 'fenced': {
      if (failure.passing >= MOST_PASSING_FAULTS && !neverGivesUp) {
        return {
          person: {
            code: `step.${step}.keeps-failing`,
            reason: `${step} failed ${failure.passing} times in a row: ${failure.reason}`,
          },
        };
      }
      const until =
        failure.at + Math.min(backOff(failure.passing), neverGivesUp ? EMERGENCY_BACK_OFF_MS : Infinity);
      return now < until ? { wait: wait(`the back end: ${failure.reason}`, until) } : undefined;
    }
    default:
      return {
        person: {
          code: `step.${step}.${failure.errorClass}`,
          reason: `${step} cannot proceed: ${failure.reason}`,
        },
      };
  }
}
