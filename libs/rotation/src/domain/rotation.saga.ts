import { DomainError, formatInstant, parseInstant } from '#eventlog';
import { formatDuration, milliseconds } from './duration.js';
import { containedVersions, type ContainmentState } from './containment.state.js';
import { changeTime } from './change-windows.js';
import type { FamilyState } from './family.decider.js';
import { freezesOn, type HoldsState } from './holds.state.js';
import { amendment, planEmergency } from './plan.js';
import type { Cohort } from './policy.events.js';
import type { GATES, NewRotationEvent, RotationPlan } from './rotation.events.js';
import {
  drainStart,
  ENDED,
  missingConfirmations,
  versionsAfter,
  type Mark,
  type RotationState,
} from './rotation.state.js';
import type { StepName } from './step.events.js';
import { stepTable } from './step-table.js';
import { alreadySo, versionsOf } from './step-effects.js';
import type { StepsState } from './steps.state.js';
import type { TelemetryState } from './telemetry.state.js';
import { carried, markCompromised, mergeVersions, MOST_CARRIED } from './versions.js';
import type { VersionSnapshot } from './vocabulary.js';

/**
 * The saga: one pure function decides what a rotation does next, from what is on record. The runner
 * (application/rotation-runner.ts) obeys it and remembers nothing.
 */

/** What the back end declared about one step's effect. */
export interface StepDeclaration {
  /** No request of the effect can still take effect after this long, milliseconds. */
  readonly longestRequestMs: number;
  /** A request may outlive the process that sent it (a remote server); false where the effect dies with its process. */
  readonly outlivesProcess: boolean;
}

export interface BackEndView {
  /** What was observed, or why it could not be. */
  readonly observed:
    | { readonly versions: readonly VersionSnapshot[]; readonly clock?: number }
    | { readonly unavailable: string };
  readonly steps: Readonly<Record<StepName, StepDeclaration>>;
}

export interface ClockView {
  /** The newest `recordedAt` of the log. */
  readonly newestRecordedAt: number;
}

export interface RunnerView {
  /** This worker: `<name>#<incarnation>`. */
  readonly worker: string;
  /** The log's lock proves that every other incarnation is dead (embedded log). */
  readonly othersAreDead: boolean;
}

/** Everything `nextStep` may look at, each part read from its stream or observed, never from a read model. */
export interface RotationView {
  readonly rotation: RotationState;
  readonly family: FamilyState;
  readonly familyRevision: number;
  /** Freezes, and what else holds forward steps. */
  readonly holds: HoldsState;
  readonly telemetry: TelemetryState;
  /** The rotation this emergency supersedes, if it does. */
  readonly superseded?: RotationState;
  readonly containment?: ContainmentState;
  /** The containments the family's suspicions name, as far as they are begun. */
  readonly contained: readonly ContainmentState[];
  /** Emitter-switch claims of whoever was an emitter in this plan at any time: who holds each. */
  readonly claims: readonly { readonly consumerId: string; readonly holder?: string }[];
  readonly backEnd: BackEndView;
  readonly clocks: ClockView;
  readonly runner: RunnerView;
  /** The version id a new key of this rotation gets. */
  readonly incomingVersionId: string;
}

export interface Perform {
  readonly kind: 'perform';
  readonly step: StepName;
  readonly attempt: number;
  /** Observe before repeating anything. */
  readonly observesFirst: boolean;
  /** Only find out what an earlier attempt did; perform nothing. */
  readonly settleOnly: boolean;
  /** Gates that let it pass, recorded with the intent. */
  readonly gates: readonly NewRotationEvent[];
  /** Rules that would hold a planned step forward, and do not hold this one. */
  readonly passed: readonly string[];
  /** Of a cohort: the share it brings emission to. */
  readonly share?: number;
  /** The event that made it due. */
  readonly dueTo: string;
}

export type Decision =
  | Perform
  | { readonly kind: 'record'; readonly events: readonly NewRotationEvent[]; readonly dueTo: string }
  | {
      readonly kind: 'claim-switch';
      readonly consumers: readonly string[];
      /** Those whose switch may be taken from whoever holds it. */
      readonly takeOver: readonly string[];
      readonly dueTo: string;
    }
  | { readonly kind: 'release-switch'; readonly consumers: readonly string[]; readonly dueTo: string }
  | { readonly kind: 'open-containment'; readonly dueTo: string }
  | { readonly kind: 'settle-superseded'; readonly rotation: string }
  | {
      readonly kind: 'close-slot';
      readonly outcome: RotationOutcome;
      readonly versions: readonly VersionSnapshot[];
      readonly dueTo: string;
    }
  | { readonly kind: 'wait'; readonly until?: number; readonly waitsFor: string }
  | { readonly kind: 'finished' };

export type RotationOutcome = 'completed' | 'rolled-back' | 'abandoned' | 'rejected' | 'superseded';

/** An own clock this far behind the newest record holds emit and revoke (contracts, Clocks). */
export const CLOCK_TOLERANCE_MS = 30_000;
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

function wait(waitsFor: string, until?: number): Decision {
  return { kind: 'wait', waitsFor, ...(until === undefined ? {} : { until }) };
}

function cause(rotation: RotationState): string {
  return rotation.lastMove?.eventId ?? '';
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

function suspend(
  view: RotationView,
  person: { readonly code: string; readonly reason: string },
  step: StepName | undefined,
): Decision {
  return {
    kind: 'record',
    dueTo: view.rotation.steps.failure?.eventId ?? cause(view.rotation),
    events: [
      {
        type: 'RotationSuspended',
        data: {
          code: person.code,
          reason: person.reason.slice(0, 500),
          ...(step === undefined ? {} : { step }),
          person: view.family.details?.owner.role ?? 'the family’s owner',
        },
      },
    ],
  };
}

function perform(
  view: RotationView,
  now: number,
  step: StepName,
  dueTo: string,
  gates: readonly NewRotationEvent[] = [],
): Decision {
  const { rotation } = view;
  const attested = isAttested(rotation, step);
  // What failed in the back end's hands does not hold people up.
  const failed = attested
    ? undefined
    : afterFailure(rotation.steps, step, now, rotation.emergency !== undefined);
  if (failed !== undefined) return 'wait' in failed ? failed.wait : suspend(view, failed.person, step);
  const free = rotation.emergency !== undefined || freeOfHolds(step);
  // A way back is held by nothing; it names what would have held the step it takes back.
  const held = containedHold(view, step);
  const holding = [
    ...(held === undefined ? [] : [held]),
    ...holdsOf(view, now, freeOfHolds(step) ? 'emit' : step),
  ];
  if (held !== undefined && rotation.emergency === undefined) return held;
  const [first] = free ? [] : holding;
  if (first !== undefined) return first;
  if (attested) return wait(`an attestation of ${step}`);
  const attempt = (rotation.steps.attempts[step] ?? 0) + 1;
  const share = step === 'emit' ? nextCohort(rotation)?.share : undefined;
  return {
    kind: 'perform',
    step,
    attempt,
    observesFirst: attempt > 1,
    settleOnly: false,
    gates,
    passed: holding.flatMap((hold) => (hold.kind === 'wait' ? [hold.waitsFor.slice(0, 500)] : [])),
    ...(share === undefined ? {} : { share }),
    dueTo,
  };
}

/** People perform this step: the back end is theirs, or somebody took the step out of ours. */
export function isAttested(rotation: RotationState, step: StepName): boolean {
  return rotation.plan?.attested === true || rotation.attestedSteps.includes(step);
}

/** The cohort that comes next; `undefined` where emission moves all at once, or has moved. */
export function nextCohort(rotation: RotationState): Cohort | undefined {
  const reached = rotation.switched?.share ?? 0;
  return rotation.plan?.cohorts?.find((cohort) => cohort.share > reached);
}

/** The cohort emission has reached. */
function currentCohort(rotation: RotationState): Cohort | undefined {
  return rotation.plan?.cohorts?.find((cohort) => cohort.share === rotation.switched?.share);
}

/** Never held: a way back to the old version. Its own withdrawal keeps the clock rules (contracts, Clocks). */
function freeOfHolds(step: StepName): boolean {
  return stepTable[step].direction !== 'forward' && !stepTable[step].clockBound;
}

/** What is left once this step is done: it emits then, or is all that is accepted. `undefined`: nobody depends on the step. */
function leftBy({ plan }: RotationState, step: StepName): string | undefined {
  switch (step) {
    case 'emit':
    case 'cutover':
    case 'revoke':
      return plan?.incoming;
    case 'reaccept':
    case 'return':
    case 'cutback':
      return plan?.emittingBefore;
    case 'generate':
    case 'accept':
    case 'verify':
    case 'withdraw':
    case 'contain':
    case 'lift':
    case 'destroy':
      return undefined;
  }
}

/**
 * Nothing moves to, or leaves nothing but, a version that is denied on suspicion: afterwards nothing would be accepted. Lifting
 * takes the family's slot, which this rotation has; so what helps is a way out of the rotation.
 */
function containedHold(
  view: Pick<RotationView, 'rotation' | 'family' | 'contained'>,
  step: StepName,
): Decision | undefined {
  const { rotation, family, contained } = view;
  const left = leftBy(rotation, step);
  if (left === undefined || !containedVersions(family, contained).includes(left)) return undefined;
  const out =
    rotation.rollback !== undefined
      ? 'an emergency replaces it'
      : emitted(rotation)
        ? 'roll this rotation back, or declare an emergency'
        : 'abandon this rotation, or declare an emergency';
  return wait(
    `${HELD}${left} is contained on suspicion, and after ${step} nothing else would be in use: ${out}; once the rotation is over, a cleared containment can be lifted`,
  );
}

function emitted(rotation: RotationState): boolean {
  return rotation.switched !== undefined && rotation.returned === undefined;
}

/** What the back end denies by a containment in force, whatever else is accepted. */
export function deniedVersions({
  containment,
  contained,
}: Pick<RotationView, 'containment' | 'contained'>): readonly string[] {
  const all = containment === undefined ? contained : [containment, ...contained];
  return all.flatMap((each) => (each.applied === undefined || each.status === 'lifted' ? [] : each.versions));
}

/** Everything that holds a planned step now, as what it waits for. An emergency names what of it it passed. */
export function holdsOf(
  view: Pick<RotationView, 'holds' | 'family' | 'clocks' | 'backEnd'> &
    Partial<Pick<RotationView, 'rotation'>>,
  now: number,
  step: StepName,
): readonly Decision[] {
  const { holds, family, rotation } = view;
  const row = stepTable[step];
  const found: Decision[] = [];
  if (row.direction === 'forward') {
    if (holds.restore !== undefined) {
      found.push(wait(`${HELD}the log was restored: ${holds.restore.reason}`));
    }
    const { details } = family;
    const [freeze] = details === undefined ? [] : freezesOn(holds, family.familyId, details, now);
    if (freeze !== undefined)
      found.push(wait(`${HELD}the freeze ${freeze.name}: ${freeze.reason}`, freeze.until));
    if (row.clockBound && holds.integrity !== undefined) {
      found.push(wait(`${HELD}the log does not verify: ${holds.integrity.reason}`));
    }
  }
  if (row.clockBound) {
    if (holds.clock !== undefined) found.push(wait(`${HELD}the clock: ${holds.clock.reason}`));
    const clock = clockHold(view, now);
    if (clock !== undefined) found.push(clock);
  }
  if (row.inChangeWindow) {
    const { changeWindows = [], blackouts = [], terms } = rotation?.plan ?? {};
    const time = changeTime(changeWindows, blackouts, now, terms?.changeWindows);
    if (!time.open) found.push(wait(time.why, time.opensAt));
  }
  return found;
}

/**
 * When a span that began at `from` is over, as the clock reads now: no timer fires early because a clock was wrong. While a
 * leap forward is held, what began before it is over by as much later; what may have begun while the clock was behind counts
 * from the clock's confirmation.
 */
function over({ holds }: Pick<RotationView, 'holds'>, from: number, span: number): number {
  const begun = (holds.behind ?? []).reduce(
    (at, wrong) => (at >= wrong.from && at < wrong.until ? wrong.until : at),
    from,
  );
  const { clock } = holds;
  const ahead = clock === undefined ? 0 : Math.max(0, clock.wall - clock.expected);
  return begun + span + (clock !== undefined && begun <= clock.expected ? ahead : 0);
}

/** What waits for a hold begins with this: a hold that ends wakes whoever says so. */
export const HELD = 'held: ';

/** Emit and revoke wait until the clocks agree (contracts, Clocks). */
function clockHold(
  view: Pick<RotationView, 'clocks' | 'backEnd' | 'holds'>,
  now: number,
): Decision | undefined {
  const { newestRecordedAt } = view.clocks;
  const behind = newestRecordedAt - now;
  // What a clock wrote while it was ahead holds nothing once that clock was confirmed.
  const known = newestRecordedAt <= (view.holds.recordsAheadUntil ?? -Infinity);
  if (behind > CLOCK_TOLERANCE_MS && !known) {
    return wait(
      `the clock: it is ${formatDuration(Math.floor(behind / 1_000) * 1_000)} behind the newest record`,
      now + behind - CLOCK_TOLERANCE_MS,
    );
  }
  const { observed } = view.backEnd;
  if (
    'clock' in observed &&
    observed.clock !== undefined &&
    Math.abs(observed.clock - now) > CLOCK_TOLERANCE_MS
  ) {
    return wait('the clock: it and the back end’s differ by more than 30 s', now + CLOCK_TOLERANCE_MS);
  }
  return undefined;
}

function names(view: RotationView, consumers: readonly string[]): string {
  return consumers
    .map((id) => view.rotation.plan?.consumers.find((consumer) => consumer.consumerId === id)?.name ?? id)
    .join(', ');
}

function ended(view: RotationView, now: number): Decision {
  const { rotation, family } = view;
  const dueTo = rotation.ended?.eventId ?? cause(rotation);
  const slotIsOurs = family.slot?.rotation === rotation.rotationId && family.slot.open;
  if (slotIsOurs) {
    if (rotation.suspended !== undefined) return wait(`a person: ${rotation.suspended.reason}`);
    return {
      kind: 'close-slot',
      outcome: outcomeOf(rotation),
      versions: closingVersions(view),
      dueTo,
    };
  }
  const compared = comparing(view, now);
  if (compared?.kind === 'record') return compared;
  const released = releaseSwitch(view, now, dueTo);
  if (released?.kind !== 'wait' || compared?.kind !== 'wait')
    return released ?? compared ?? { kind: 'finished' };
  return { ...released, until: Math.min(released.until ?? Infinity, compared.until ?? Infinity) };
}

/** How often the back end is asked about what was attested, once the rotation is over. */
export const COMPARE_MS = 300_000;

/** What was attested outlives its rotation until the back end was seen: a contradiction is on record once, and watched until it ends. */
function comparing(view: RotationView, now: number): Decision | undefined {
  const { unreconciled, contradicted, plan } = view.rotation;
  // Where people are the back end, nothing will ever show it.
  if (unreconciled.length === 0 || plan === undefined || plan.attested === true) return undefined;
  const { observed } = view.backEnd;
  if ('unavailable' in observed) {
    return wait(`the back end to show what was attested: ${observed.unavailable}`, now + COMPARE_MS);
  }
  const compared = compare(view, plan, observed.versions);
  return compared.data.agrees || contradicted === undefined
    ? { kind: 'record', dueTo: cause(view.rotation), events: [compared] }
    : wait('the back end to show what was attested, which it contradicts', now + COMPARE_MS);
}

function outcomeOf(rotation: RotationState): RotationOutcome {
  switch (rotation.phase) {
    case 'completed':
    case 'rolled-back':
    case 'abandoned':
    case 'rejected':
    case 'superseded':
      return rotation.phase;
    case 'requested':
    case 'approved':
    case 'generated':
    case 'accepting':
    case 'emitting':
    case 'draining':
    case 'revoked':
    case 'watching':
    case 'rolling-back':
      return 'abandoned';
  }
}

function closingVersions(view: RotationView): readonly VersionSnapshot[] {
  const { rotation, family } = view;
  if (rotation.plan === undefined) return [];
  return carried(versionsAfter(rotation, family.compromised), family.versions, MOST_CARRIED + 1);
}

/** Consumers whose emitter switch this rotation still holds, once nothing needs it any more and the settle time is over. */
function releaseSwitch(view: RotationView, now: number, dueTo: string): Decision | undefined {
  const { rotation } = view;
  const held = view.claims
    .filter((claim) => claim.holder === `rotation-${rotation.rotationId}`)
    .map((claim) => claim.consumerId);
  if (held.length === 0) return undefined;
  const switched = rotation.returned ?? rotation.switched;
  const settle = milliseconds(rotation.plan?.terms.settle);
  const isEnded = ENDED.includes(rotation.phase);
  if (switched === undefined) return isEnded ? { kind: 'release-switch', consumers: held, dueTo } : undefined;
  const since = drainStart(rotation);
  const quiet = since ?? (isEnded ? rotation.ended : undefined);
  if (quiet === undefined) return undefined;
  const until = over(view, quiet.at, settle);
  if (now >= until) return { kind: 'release-switch', consumers: held, dueTo };
  return isEnded ? wait('the settle time of its emitters', until) : undefined;
}

/** `nextStep(view, now)`: what this rotation does next, and what it waits for if it does nothing. */
export function nextStep(view: RotationView, now: number): Decision {
  const { rotation, family } = view;
  if (!rotation.exists || rotation.imported) return { kind: 'finished' };
  if (ENDED.includes(rotation.phase)) return ended(view, now);

  const superseded = family.slot !== undefined && family.slot.rotation !== rotation.rotationId;
  const forwardStopped =
    superseded ||
    rotation.rollback !== undefined ||
    rotation.abandon !== undefined ||
    (rotation.pause !== undefined && rotation.emergency === undefined);

  // First the open step: what an earlier attempt did is found out before anything else is decided.
  // An emergency waits for what it supersedes, so that is as urgent as itself.
  const unsettled = unsettledStep(rotation.steps, view, superseded || rotation.emergency !== undefined);
  if (unsettled !== undefined) {
    if (now < unsettled.notBefore) {
      return wait(`attempt ${unsettled.attempt} of ${unsettled.step} to be surely over`, unsettled.notBefore);
    }
    const failure = rotation.steps.failure;
    // What time does not heal (a refused login, a wrong setting) is as much in the way of observing.
    const held =
      rotation.steps.open === undefined ? afterFailure(rotation.steps, unsettled.step, now, true) : undefined;
    if (!superseded && held !== undefined && 'person' in held) {
      return rotation.suspended === undefined
        ? suspend(view, held.person, unsettled.step)
        : wait(`a person: ${rotation.suspended.reason}`);
    }
    if (isAttested(rotation, unsettled.step) && !isOutcomeKnown(rotation, unsettled)) {
      if (!superseded) return wait(`an attestation of ${unsettled.step}`);
      // What can be seen settles it. Nobody is waited for to say it: the record says that it could not be settled.
      if ('unavailable' in view.backEnd.observed) return supersede(view, family.slot, unsettled.step);
    }
    const back = stepTable[unsettled.step].direction === 'back';
    const stopped = superseded || (forwardStopped && !back);
    // After a settled unknown the usual rules bind the repeat; a way back is simply repeated.
    if (!stopped && rotation.suspended !== undefined) return wait('a person: it is suspended');
    if (
      !stopped &&
      rotation.emergency === undefined &&
      failure?.step === unsettled.step &&
      failure.passing >= MOST_PASSING_FAULTS &&
      rotation.steps.open === undefined &&
      !failure.retried
    ) {
      return suspend(
        view,
        {
          code: `step.${unsettled.step}.outcome-unknown`,
          reason: `whether ${unsettled.step} happened cannot be told: ${failure.reason}`,
        },
        unsettled.step,
      );
    }
    return {
      kind: 'perform',
      step: unsettled.step,
      attempt: unsettled.attempt + 1,
      observesFirst: true,
      settleOnly: stopped || repeatHeld(view, now, unsettled.step),
      gates: [],
      passed: [],
      ...(unsettled.share === undefined ? {} : { share: unsettled.share }),
      dueTo: unsettled.dueTo,
    };
  }

  if (superseded) {
    return supersede(view, family.slot);
  }
  const changed = reconciled(view) ?? amended(view, now);
  if (changed !== undefined) return changed;
  if (rotation.abandon !== undefined) return abandoning(view, now, rotation.abandon);
  if (rotation.rollback !== undefined) return rollingBack(view, now, rotation.rollback);
  if (rotation.suspended !== undefined) return wait(`a person: ${rotation.suspended.reason}`);
  if (rotation.emergency !== undefined) return emergency(view, now);
  if (rotation.pause !== undefined) {
    return rotation.paused
      ? wait('a person: it is paused')
      : { kind: 'record', events: [{ type: 'RotationPaused', data: {} }], dueTo: rotation.pause.eventId };
  }
  return rotation.plan?.strategy === 'cutover' ? cuttingOver(view, now) : planned(view, now);
}

/** Gives way to an emergency; `untold`: the step nobody could say the outcome of. */
function supersede(view: RotationView, slot: NonNullable<FamilyState['slot']>, untold?: StepName): Decision {
  // An emergency that another one overtook still contains, and settles what it took over: nobody else waits for that.
  const before = view.rotation.emergency === undefined ? undefined : takingOver(view);
  if (before !== undefined) return before;
  const note = `Whether ${untold ?? ''} happened could not be settled: people had taken it over, and the back end could not be observed. The emergency plans from what it sees, or from the record.`;
  return {
    kind: 'record',
    events: [
      ...(untold === undefined ? [] : [{ type: 'NoteAdded' as const, data: { note } }]),
      { type: 'RotationSuperseded', data: { by: slot.rotation } },
    ],
    dueTo: slot.openedEventId,
  };
}

/** Whether the step, or the cohort of it, is on record as done. */
function isOutcomeKnown({ steps, switched }: RotationState, { step, share }: Unsettled): boolean {
  return step === 'emit' ? (switched?.share ?? 0) >= (share ?? 100) : steps.done.includes(step);
}

/** The clocks, and the claim on its emitters, hold the repeat of a step as they held the step. */
function repeatHeld(view: RotationView, now: number, step: StepName): boolean {
  const { rotation } = view;
  if (rotation.emergency !== undefined) return false;
  const us = `rotation-${rotation.rotationId}`;
  return (
    containedHold(view, step) !== undefined ||
    (!freeOfHolds(step) && holdsOf(view, now, step).length > 0) ||
    (step === 'emit' &&
      view.claims.some((claim) => claim.holder !== us && emitters(rotation.plan).includes(claim.consumerId)))
  );
}

/** What people attested is compared with the back end as soon as that can be observed. */
function reconciled(view: RotationView): Decision | undefined {
  const { rotation, backEnd } = view;
  const { plan, unreconciled } = rotation;
  if (plan === undefined || unreconciled.length === 0 || !('versions' in backEnd.observed)) return undefined;
  const compared = compare(view, plan, backEnd.observed.versions);
  return { kind: 'record', dueTo: cause(rotation), events: [compared] };
}

type Compared = Extract<NewRotationEvent, { readonly type: 'AttestationReconciled' }>;

function compare(view: RotationView, plan: RotationPlan, seen: readonly VersionSnapshot[]): Compared {
  const { rotation } = view;
  const { unreconciled, switched } = rotation;
  const wrong = unreconciled.filter(
    (step) =>
      RECONCILABLE.includes(step) &&
      !overtaken(view, step) &&
      !alreadySo(step, versionsOf(step, plan, rotation, []), seen, switched?.share),
  );
  return {
    type: 'AttestationReconciled',
    data: {
      steps: wrong.length > 0 ? wrong : [...unreconciled],
      agrees: wrong.length === 0,
      differences: wrong.map((step) => difference(step, plan, seen)),
    },
  };
}

function difference(step: StepName, plan: RotationPlan, seen: readonly VersionSnapshot[]): string {
  const accepted = (versions: readonly string[]): string =>
    versions.filter((id) => seen.some((version) => version.versionId === id && version.accepted)).join(', ');
  const still = step === 'revoke' ? accepted(plan.outgoing) : '';
  return still === ''
    ? `The back end does not show what was attested of ${step}.`
    : `The back end does not show what was attested of ${step}: it still accepts ${still}.`.slice(0, 500);
}

/** Steps whose result a back end shows; the others can only be believed. */
const RECONCILABLE: readonly StepName[] = [
  'generate',
  'accept',
  'emit',
  'revoke',
  'cutover',
  'reaccept',
  'return',
  'cutback',
];

/** A later fact, of this rotation or of its family, undid on purpose what this step brought about. */
function overtaken(view: RotationView, step: StepName): boolean {
  const { rotation, family } = view;
  const byLater = family.slot !== undefined && family.slot.rotation !== rotation.rotationId;
  const left = leftBy(rotation, step === 'accept' ? 'emit' : step);
  const denied = left !== undefined && deniedVersions(view).includes(left);
  switch (step) {
    case 'accept':
      return byLater || denied || rotation.withdrawn !== undefined;
    case 'emit':
    case 'cutover':
      return byLater || denied || rotation.returned !== undefined;
    case 'revoke':
      return rotation.reaccepted !== undefined;
    case 'reaccept':
    case 'return':
    case 'cutback':
      return byLater || denied;
    case 'generate':
      return byLater;
    case 'verify':
    case 'withdraw':
    case 'contain':
    case 'lift':
    case 'destroy':
      return false;
  }
}

/** A consumer that joined, left or grew, and a deviation that ended, binds at once, until nothing waits for it any more. */
function amended(view: RotationView, now: number): Decision | undefined {
  const { rotation, family } = view;
  const { plan } = rotation;
  const over = rotation.rollback === undefined ? rotation.revoked : rotation.withdrawn;
  if (plan === undefined || over !== undefined) return undefined;
  const until = plan.strategy === 'rehearsal' ? undefined : rotation.request?.deviation?.until;
  const lapsed = now >= (parseInstant(until ?? '') ?? Infinity) ? until : undefined;
  const change = amendment(plan, family, lapsed);
  if (change === undefined) return undefined;
  return {
    kind: 'record',
    dueTo: cause(rotation),
    events: [{ type: 'PlanAmended', data: { ...change, familyRevision: view.familyRevision } }],
  };
}

/** What an emergency does at once: contain, then settle the open step of what it supersedes. */
function takingOver(view: RotationView): Decision | undefined {
  const { rotation, superseded, containment } = view;
  if (rotation.emergency?.containment !== undefined && containment?.exists !== true) {
    return { kind: 'open-containment', dueTo: cause(rotation) };
  }
  // One whose own stream was never begun did nothing: there is nothing to settle, and nobody to settle it.
  return superseded?.exists === true && !ENDED.includes(superseded.phase)
    ? { kind: 'settle-superseded', rotation: superseded.rotationId }
    : undefined;
}

function abandoning(view: RotationView, now: number, asked: Mark): Decision {
  const { rotation } = view;
  if (rotation.generated !== undefined && rotation.withdrawn === undefined) {
    return suspendedOr(view, perform(view, now, 'withdraw', asked.eventId));
  }
  return {
    kind: 'record',
    events: [{ type: 'RotationAbandoned', data: {} }],
    dueTo: rotation.withdrawn?.eventId ?? asked.eventId,
  };
}

/** A way that is suspended waits for its person instead of being decided again. */
function suspendedOr(view: RotationView, decision: Decision): Decision {
  return view.rotation.suspended === undefined
    ? decision
    : wait(`a person: ${view.rotation.suspended.reason}`);
}

function rollingBack(
  view: RotationView,
  now: number,
  asked: NonNullable<RotationState['rollback']>,
): Decision {
  const { rotation } = view;
  const done = (mark: Mark): Decision => ({
    kind: 'record',
    events: [{ type: 'RotationRolledBack', data: {} }],
    dueTo: mark.eventId,
  });
  if (rotation.switched === undefined) {
    // Nothing emitted with the new version: it can go at once.
    if (rotation.withdrawn !== undefined) return done(rotation.withdrawn);
    return rotation.generated === undefined
      ? done(asked)
      : suspendedOr(view, perform(view, now, 'withdraw', asked.eventId));
  }
  if (rotation.plan?.strategy === 'cutover') return cuttingBack(view, now, asked, done);
  const toReaccept =
    rotation.revoked?.versions.includes(rotation.plan?.emittingBefore ?? '') === true &&
    rotation.returned === undefined;
  if (toReaccept) {
    if (rotation.reaccepted === undefined) {
      return suspendedOr(view, perform(view, now, 'reaccept', asked.eventId));
    }
    const window = asked.acceptWindow ?? rotation.plan?.windows?.accept.required;
    const open = over(view, rotation.reaccepted.at, milliseconds(window));
    if (now < open) return wait('the accept window of the old version, which was revoked', open);
  }
  if (rotation.returned === undefined) {
    return suspendedOr(view, perform(view, now, 'return', rotation.reaccepted?.eventId ?? asked.eventId));
  }
  if (rotation.withdrawn !== undefined) return done(rotation.withdrawn);
  const start = drainStart(rotation);
  if (start === undefined) {
    const missing = missingConfirmations(rotation, 'emission-confirmations');
    return wait(`${names(view, missing)} to confirm the old version`);
  }
  const until = over(view, start.at, milliseconds(rotation.plan?.windows?.drain.required));
  if (now < until) return wait('what the new version emitted to run out', until);
  return suspendedOr(view, perform(view, now, 'withdraw', start.eventId));
}

/** Back in one change, then every emitter confirms; the new version is out with it. */
function cuttingBack(view: RotationView, now: number, asked: Mark, done: (mark: Mark) => Decision): Decision {
  const { rotation } = view;
  if (rotation.returned === undefined) {
    return suspendedOr(view, perform(view, now, 'cutback', asked.eventId));
  }
  const start = drainStart(rotation);
  if (start !== undefined)
    return now < start.at ? wait('an overridden emitter to have switched', start.at) : done(start);
  const missing = missingConfirmations(rotation, 'emission-confirmations');
  return wait(`${names(view, missing)} to confirm the old version`);
}

function gate(
  name: (typeof GATES)[number],
  required: string,
  actual: string,
  since?: number,
  binding?: string,
): NewRotationEvent {
  return {
    type: 'GateEvaluated',
    data: {
      gate: name,
      required,
      actual,
      ...(since === undefined ? {} : { since: formatInstant(since) }),
      ...(binding === undefined ? {} : { binding }),
    },
  };
}

function confirmedText(plan: RotationPlan, rotation: RotationState, role: 'verifier' | 'emitter'): string {
  const all = plan.consumers.filter((consumer) => consumer.roles.includes(role));
  const gateName = role === 'verifier' ? 'acceptance-confirmations' : 'emission-confirmations';
  const overridden = all.filter((consumer) =>
    rotation.overrides.some((entry) => entry.gate === gateName && entry.consumerId === consumer.consumerId),
  ).length;
  const missing = missingConfirmations(rotation, gateName).length;
  const confirmed = all.length - overridden - missing;
  return `${confirmed} of ${all.length} ${role}s${overridden > 0 ? `, ${overridden} overridden` : ''}`;
}

function acceptGates(
  view: RotationView,
  plan: RotationPlan,
  accepted: Mark,
  now: number,
): { readonly hold: Decision } | { readonly pass: readonly NewRotationEvent[]; readonly dueTo: string } {
  const { rotation } = view;
  const { windows } = plan;
  if (windows === undefined) return { hold: wait('its windows') };
  const window = windows.accept;
  // What was denied meanwhile no verifier could learn: its window begins where the denial ended.
  const lifted = view.contained.flatMap((each) =>
    each.lifted !== undefined && each.versions.includes(plan.incoming ?? '') ? [each.lifted.at] : [],
  );
  const since = Math.max(accepted.at, ...lifted);
  const until = over(view, since, milliseconds(window.required));
  const verifiers = plan.consumers.filter((consumer) => consumer.roles.includes('verifier')).length;
  const quorum = Math.ceil((verifiers * (plan.terms.gates?.acceptanceQuorum ?? 100)) / 100);
  const missing = missingConfirmations(rotation, 'acceptance-confirmations');
  if (now < until) return { hold: wait(`the accept window: ${window.binding}`, until) };
  if (verifiers - missing.length < quorum) {
    return { hold: wait(`${names(view, missing)} to confirm the new version`) };
  }
  const lastConfirmation = [...rotation.acceptance].sort(
    (left, right) => (right.completeAt ?? 0) - (left.completeAt ?? 0),
  )[0];
  const late = lastConfirmation?.completeAt !== undefined && lastConfirmation.completeAt > until;
  return {
    dueTo: late ? (lastConfirmation.completeBy ?? accepted.eventId) : accepted.eventId,
    pass: [
      gate(
        'acceptance-confirmations',
        `${quorum} of ${verifiers} verifiers`,
        confirmedText(plan, rotation, 'verifier'),
      ),
      gate('accept-window', window.required, formatDuration(now - since), since, window.binding),
    ],
  };
}

function emitters(plan: RotationPlan | undefined): readonly string[] {
  return (plan?.consumers ?? [])
    .filter((consumer) => consumer.roles.includes('emitter'))
    .map((consumer) => consumer.consumerId);
}

/** Claims the emitter switch of every emitting consumer, all or none; who waits sees for which rotation. */
function claimSwitch(
  view: RotationView,
  plan: RotationPlan,
  takeOver: boolean,
  dueTo: string,
  now: number,
): Decision | undefined {
  const us = `rotation-${view.rotation.rotationId}`;
  const unclaimed = emitters(plan).filter(
    (id) => view.claims.find((claim) => claim.consumerId === id)?.holder !== us,
  );
  if (unclaimed.length === 0) return undefined;
  const overridden = (id: string): boolean =>
    view.rotation.overrides.some((entry) => entry.gate === 'emitter-switch' && entry.consumerId === id);
  const taken = takeOver ? unclaimed : unclaimed.filter(overridden);
  const foreign = view.claims.find(
    (claim) =>
      unclaimed.includes(claim.consumerId) &&
      claim.holder !== undefined &&
      claim.holder !== us &&
      !taken.includes(claim.consumerId),
  );
  if (foreign !== undefined) {
    // A release wakes who waits; the time bounds what a lost hint may cost.
    return wait(
      `${names(view, [foreign.consumerId])}, which is switching emitters for ${foreign.holder ?? 'another rotation'}`,
      now + 10_000,
    );
  }
  return {
    kind: 'claim-switch',
    consumers: unclaimed,
    takeOver: taken,
    dueTo,
  };
}

/** Approval, and what every planned rotation begins with; `undefined`: it is through. */
function beginning(view: RotationView, now: number, plan: RotationPlan): Decision | undefined {
  const { rotation } = view;
  const approvals = rotation.approvals.filter((approval) => approval.subject !== rotation.requestedBy);
  if (approvals.length < plan.approvals) {
    return wait(`approval: ${approvals.length} of ${plan.approvals}`);
  }
  return rotation.generated === undefined ? perform(view, now, 'generate', cause(rotation)) : undefined;
}

/** Graceful, rolling, and what a rehearsal rehearses: two full windows, emission all at once or cohort by cohort. */
function planned(view: RotationView, now: number): Decision {
  const { rotation } = view;
  const plan = rotation.plan;
  if (plan === undefined) return wait('its plan');
  const first = beginning(view, now, plan);
  if (first !== undefined) return first;
  if (rotation.accepted === undefined) return perform(view, now, 'accept', cause(rotation));
  const switching = emitting(view, now, plan, rotation.accepted);
  if (switching !== undefined) return switching;
  const start = drainStart(rotation);
  if (start === undefined) {
    const missing = missingConfirmations(rotation, 'emission-confirmations');
    if (missing.length > 0) return wait(`${names(view, missing)} to confirm the switch`);
    return wait('an overridden emitter to have switched');
  }
  const release = releaseSwitch(view, now, start.eventId);
  if (release !== undefined) return release;
  const settleUntil = heldSwitch(view) ? over(view, start.at, milliseconds(plan.terms.settle)) : undefined;
  const sooner = (decision: Decision): Decision =>
    decision.kind === 'wait' && settleUntil !== undefined && settleUntil > now
      ? { ...decision, until: Math.min(decision.until ?? settleUntil, settleUntil) }
      : decision;
  if (plan.outgoing.length > 0) {
    if (rotation.revoked === undefined) {
      const window = plan.windows?.drain;
      if (window === undefined) return wait('its windows');
      const until = over(view, start.at, milliseconds(window.required));
      if (now < until) return sooner(wait(`the drain window: ${window.binding}`, until));
      const telemetry = telemetryGate(view, plan, start, now);
      if ('hold' in telemetry) return sooner(telemetry.hold);
      const emitters = plan.consumers.filter((consumer) => consumer.roles.includes('emitter')).length;
      return sooner(
        perform(view, now, 'revoke', telemetry.dueTo ?? start.eventId, [
          gate(
            'emission-confirmations',
            `${emitters} of ${emitters} emitters`,
            confirmedText(plan, rotation, 'emitter'),
          ),
          gate('drain-window', window.required, formatDuration(now - start.at), start.at, window.binding),
          ...telemetry.pass,
        ]),
      );
    }
    if (rotation.verified === undefined) return perform(view, now, 'verify', rotation.revoked.eventId);
  }
  const watchFrom = rotation.revoked ?? start;
  const watchUntil = over(view, watchFrom.at, milliseconds(plan.terms.watch));
  if (now < watchUntil) return sooner(wait('the watch after the last step', watchUntil));
  return complete(plan, rotation.verified ?? watchFrom);
}

/** Moves emission, or its next cohort; `undefined` once it has all moved. */
function emitting(view: RotationView, now: number, plan: RotationPlan, accepted: Mark): Decision | undefined {
  const { rotation } = view;
  const { switched } = rotation;
  const cohort = nextCohort(rotation);
  if (switched !== undefined && cohort === undefined) return undefined;
  if (switched !== undefined) {
    const missing = missingConfirmations(rotation, 'emission-confirmations');
    if (missing.length > 0) return wait(`${names(view, missing)} to confirm ${switched.share} %`);
    const hold = currentCohort(rotation)?.hold;
    const until = over(view, switched.at, milliseconds(hold));
    if (now < until) return wait(`the cohort of ${switched.share} % to be looked at`, until);
  }
  const gates = acceptGates(view, plan, accepted, now);
  if ('hold' in gates) return gates.hold;
  const dueTo = switched?.eventId ?? gates.dueTo;
  const looked =
    switched === undefined
      ? []
      : [
          gate(
            'cohort',
            currentCohort(rotation)?.hold ?? 'PT0S',
            formatDuration(now - switched.at),
            switched.at,
            `${switched.share} % emitted with the new version before ${cohort?.share ?? 100} %`,
          ),
        ];
  return (
    // Nobody else's switch waits for what cannot be emitted.
    containedHold(view, 'emit') ??
    claimSwitch(view, plan, false, dueTo, now) ??
    perform(view, now, 'emit', dueTo, [...gates.pass, ...looked])
  );
}

/** What was counted decides whether the old version may go; it never makes a window shorter (design, The rotation). */
function telemetryGate(
  view: RotationView,
  plan: RotationPlan,
  start: Mark,
  now: number,
): { readonly hold: Decision } | { readonly pass: readonly NewRotationEvent[]; readonly dueTo?: string } {
  const { telemetry, rotation } = view;
  if (rotation.overrides.some((override) => override.gate === 'telemetry')) return { pass: [] };
  const { newest, previousSeenAt } = telemetry;
  const life = plan.windows?.drain.terms.find((term) => term.name === 'artefact-life')?.duration;
  const last = start.at + milliseconds(life) + milliseconds(plan.terms.margins.clockSkew);
  if (previousSeenAt !== undefined && previousSeenAt > last) {
    return {
      hold: wait(
        `telemetry: the old version was seen at ${formatInstant(previousSeenAt)}, after all it emitted had run out: somebody unknown emits with it`,
      ),
    };
  }
  const rule = plan.terms.gates?.telemetry;
  if (rule === undefined) return { pass: [] };
  if (newest === undefined) return { hold: wait('telemetry: nothing was counted yet') };
  const age = now - newest.to;
  if (age > milliseconds(rule.freshWithin)) {
    return { hold: wait(`telemetry: the newest sample ends ${formatInstant(newest.to)}, which is too old`) };
  }
  const uses = newest.current + newest.previous;
  if (uses < rule.minUses) {
    return { hold: wait(`telemetry: ${uses} uses were counted, at least ${rule.minUses} say something`) };
  }
  const all = uses + newest.invalid;
  const over = (part: number, whole: number, most: number): boolean => part * 10_000 > most * whole;
  if (over(newest.previous, uses, rule.previousAtMost)) {
    return { hold: wait(`telemetry: ${newest.previous} of ${uses} uses are of the old version`) };
  }
  if (rule.invalidAtMost !== undefined && over(newest.invalid, all, rule.invalidAtMost)) {
    return { hold: wait(`telemetry: ${newest.invalid} of ${all} verifications failed`) };
  }
  return {
    dueTo: newest.eventId,
    pass: [
      gate(
        'telemetry',
        `at most ${rule.previousAtMost / 100} % of the old version in at least ${rule.minUses} uses`,
        `${newest.previous} of ${uses}, ${newest.invalid} failed`,
        newest.from,
      ),
    ],
  };
}

/** Without overlap: one change in a change window, then every consumer confirms that it has the new version. */
function cuttingOver(view: RotationView, now: number): Decision {
  const { rotation } = view;
  const plan = rotation.plan;
  if (plan === undefined) return wait('its plan');
  const first = beginning(view, now, plan);
  if (first !== undefined) return first;
  if (rotation.switched === undefined) {
    return (
      containedHold(view, 'cutover') ??
      claimSwitch(view, plan, false, cause(rotation), now) ??
      perform(view, now, 'cutover', cause(rotation))
    );
  }
  const { switched } = rotation;
  if (plan.outgoing.length > 0 && rotation.verified === undefined) {
    return perform(view, now, 'verify', switched.eventId);
  }
  const start = drainStart(rotation);
  if (start === undefined) {
    return wait(
      `${names(view, missingConfirmations(rotation, 'emission-confirmations'))} to confirm the cutover`,
    );
  }
  const release = releaseSwitch(view, now, start.eventId);
  if (release !== undefined) return release;
  const watchUntil = over(view, start.at, milliseconds(plan.terms.watch));
  const settleUntil = heldSwitch(view) ? over(view, start.at, milliseconds(plan.terms.settle)) : undefined;
  if (now < watchUntil) {
    return wait('the watch after the last step', Math.min(watchUntil, settleUntil ?? watchUntil));
  }
  return complete(plan, start);
}

function heldSwitch(view: RotationView): boolean {
  return view.claims.some((claim) => claim.holder === `rotation-${view.rotation.rotationId}`);
}

function complete(plan: RotationPlan, after: Mark): Decision {
  return {
    kind: 'record',
    events: [{ type: 'RotationCompleted', data: { leftAccepted: plan.leftAccepted } }],
    dueTo: after.eventId,
  };
}

/** The versions an emergency starts from: what the log knows, put right by what was observed. */
function emergencyVersions(view: RotationView): readonly VersionSnapshot[] {
  const { family, superseded } = view;
  const logged =
    superseded?.plan === undefined
      ? family.versions
      : mergeVersions(family.versions, versionsAfter(superseded, family.compromised));
  const { observed } = view.backEnd;
  const seen = 'versions' in observed ? observed.versions : [];
  return markCompromised(mergeVersions(logged, seen), family.compromised);
}

function emergency(view: RotationView, now: number): Decision {
  const { rotation, family } = view;
  const declared = rotation.emergency;
  if (declared === undefined || rotation.request === undefined) return wait('its declaration');
  const before = takingOver(view);
  if (before !== undefined) return before;
  const plan = rotation.plan;
  if (plan === undefined) {
    // People act by the record where the back end cannot be asked: when somebody said so, or after the limit for observing.
    const byRecord = isByRecord(view, now);
    if ('unavailable' in view.backEnd.observed && !byRecord) {
      const limit = (rotation.lastMove?.at ?? now) + OBSERVING_LIMIT_MS;
      return wait(
        `the back end to be observed: ${view.backEnd.observed.unavailable}`,
        Math.min(now + 2_000, Math.max(now + 1, limit)),
      );
    }
    let made: RotationPlan;
    try {
      made = planEmergency({
        family,
        request: rotation.request,
        incomingVersionId: view.incomingVersionId,
        versions: emergencyVersions(view),
        compromised: family.compromised,
      });
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      // It is contained and on record; what stands in the way of its plan is for a person.
      return suspend(view, { code: error.code, reason: error.message }, undefined);
    }
    const blind = 'unavailable' in view.backEnd.observed && made.attested !== true;
    return {
      kind: 'record',
      dueTo: view.superseded?.ended?.eventId ?? cause(rotation),
      events: [
        {
          type: 'RotationPlanned',
          data: blind
            ? {
                ...made,
                exceptions: [
                  ...made.exceptions,
                  'Planned from the record: the back end could not be observed.',
                ],
              }
            : made,
        },
      ],
    };
  }
  if (plan.incoming !== undefined && rotation.switched === undefined) {
    if (rotation.generated === undefined) return perform(view, now, 'generate', cause(rotation));
    if (plan.outage !== undefined) {
      return (
        claimSwitch(view, plan, true, cause(rotation), now) ?? perform(view, now, 'cutover', cause(rotation))
      );
    }
    if (rotation.accepted === undefined) return perform(view, now, 'accept', cause(rotation));
    const until = over(view, rotation.accepted.at, milliseconds(plan.windows?.accept.required));
    if (now < until) return wait('the accept window the declarer asked for', until);
    return (
      claimSwitch(view, plan, true, rotation.accepted.eventId, now) ??
      perform(view, now, 'emit', rotation.accepted.eventId)
    );
  }
  if (plan.outgoing.length > 0) {
    if (rotation.revoked === undefined) {
      return perform(view, now, 'revoke', rotation.switched?.eventId ?? cause(rotation));
    }
    if (rotation.verified === undefined) return perform(view, now, 'verify', rotation.revoked.eventId);
    const { at, trustEndsAt: ends = at } = rotation.revoked;
    const trustEndsAt = over(view, at, ends - at);
    if (now < trustEndsAt) return wait('the last verifier to forget what was revoked', trustEndsAt);
  }
  const acceptedBy =
    rotation.accepted === undefined ? 0 : over(view, rotation.accepted.at, milliseconds(plan.trustTerm));
  if (now < acceptedBy) return wait('the last verifier to know the new version', acceptedBy);
  return complete(
    plan,
    rotation.verified ?? rotation.switched ?? rotation.lastMove ?? { at: now, eventId: '', revision: 0 },
  );
}

/** How long an emergency waits to observe what it plans from, before the record has to do (contracts, An emergency …, 2 min). */
export const OBSERVING_LIMIT_MS = 120_000;

/** Whether an emergency plans from the record alone. */
function isByRecord(view: RotationView, now: number): boolean {
  const { rotation, family } = view;
  if (family.details?.mode !== 'driven' || rotation.attestedSteps.length > 0) return true;
  return rotation.lastMove !== undefined && now >= rotation.lastMove.at + OBSERVING_LIMIT_MS;
}

/** What a containment does next: it waits for no slot and no hold. */
export function nextContainmentStep(
  state: ContainmentState,
  view: Pick<RotationView, 'backEnd' | 'runner'>,
  now: number,
):
  | Perform
  | { readonly kind: 'suspend'; readonly code: string; readonly reason: string; readonly dueTo: string }
  | { readonly kind: 'wait'; readonly until?: number; readonly waitsFor: string }
  | { readonly kind: 'finished' } {
  if (!state.exists || state.applied !== undefined) return { kind: 'finished' };
  if (state.status === 'suspended')
    return { kind: 'wait', waitsFor: `a person: ${state.suspendedFor ?? 'it is suspended'}` };
  const unsettled = unsettledStep(state.steps, view, true);
  if (unsettled !== undefined && now < unsettled.notBefore) {
    return { kind: 'wait', waitsFor: 'an attempt to be surely over', until: unsettled.notBefore };
  }
  const held = afterFailure(state.steps, 'contain', now, true);
  if (held !== undefined) {
    if ('person' in held) {
      return { kind: 'suspend', ...held.person, dueTo: state.steps.failure?.eventId ?? '' };
    }
    const { wait: waiting } = held;
    return waiting.kind === 'wait' ? waiting : { kind: 'finished' };
  }
  const attempt = (state.steps.attempts.contain ?? 0) + 1;
  return {
    kind: 'perform',
    step: 'contain',
    attempt,
    observesFirst: attempt > 1,
    settleOnly: false,
    gates: [],
    passed: [],
    dueTo: unsettled?.dueTo ?? state.lastMove?.eventId ?? '',
  };
}
