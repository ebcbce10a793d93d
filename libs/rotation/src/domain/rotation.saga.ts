import { formatInstant } from '#eventlog';
import { formatDuration, milliseconds } from './duration.js';
import type { ContainmentState } from './containment.state.js';
import type { FamilyState } from './family.decider.js';
import { planEmergency } from './plan.js';
import type { NewRotationEvent, RotationPlan } from './rotation.events.js';
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
import type { StepsState } from './steps.state.js';
import { markCompromised, mergeVersions } from './versions.js';
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
  /** The rotation this emergency supersedes, if it does. */
  readonly superseded?: RotationState;
  readonly containment?: ContainmentState;
  /** Emitter-switch claims of the plan's emitting consumers: who holds each. */
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
  /** The event that made it due. */
  readonly dueTo: string;
}

export type Decision =
  | Perform
  | { readonly kind: 'record'; readonly events: readonly NewRotationEvent[]; readonly dueTo: string }
  | {
      readonly kind: 'claim-switch';
      readonly consumers: readonly string[];
      readonly takeOver: boolean;
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
interface Unsettled {
  readonly step: StepName;
  readonly attempt: number;
  /** Not before: no request of that attempt can still take effect then. */
  readonly notBefore: number;
  readonly dueTo: string;
}

function unsettledStep(
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
    return { step: open.step, attempt: open.attempt, notBefore, dueTo: open.attemptId };
  }
  if (failure?.performed === 'unknown') {
    const pause = Math.min(backOff(failure.passing), urgent ? EMERGENCY_BACK_OFF_MS : Infinity);
    return {
      step: failure.step,
      attempt: failure.attempt,
      notBefore: failure.at + Math.max(view.backEnd.steps[failure.step].longestRequestMs, pause),
      dueTo: failure.eventId,
    };
  }
  return undefined;
}

/** Bounded back-off after passing faults, a person after anything else. */
function afterFailure(
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
  const held = afterFailure(rotation.steps, step, now, rotation.emergency !== undefined);
  if (held !== undefined) return 'wait' in held ? held.wait : suspend(view, held.person, step);
  if (stepTable[step].clockBound && rotation.emergency === undefined) {
    const clock = clockHold(view, now);
    if (clock !== undefined) return clock;
  }
  const attempt = (rotation.steps.attempts[step] ?? 0) + 1;
  return { kind: 'perform', step, attempt, observesFirst: attempt > 1, settleOnly: false, gates, dueTo };
}

/** Emit and revoke wait until the clocks agree (contracts, Clocks). */
function clockHold(view: RotationView, now: number): Decision | undefined {
  const behind = view.clocks.newestRecordedAt - now;
  if (behind > CLOCK_TOLERANCE_MS) {
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
    return {
      kind: 'close-slot',
      outcome: outcomeOf(rotation),
      versions: closingVersions(view),
      dueTo,
    };
  }
  return releaseSwitch(view, now, dueTo) ?? { kind: 'finished' };
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
  return view.rotation.plan === undefined ? [] : versionsAfter(view.rotation, view.family.compromised);
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
  const until = quiet.at + settle;
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
      dueTo: unsettled.dueTo,
    };
  }

  if (superseded) {
    // An emergency that another one overtook still contains, and settles what it took over: nobody else waits for that.
    const before = rotation.emergency === undefined ? undefined : takingOver(view);
    if (before !== undefined) return before;
    return {
      kind: 'record',
      events: [{ type: 'RotationSuperseded', data: { by: family.slot.rotation } }],
      dueTo: family.slot.openedEventId,
    };
  }
  if (rotation.abandon !== undefined) return abandoning(view, now, rotation.abandon);
  if (rotation.rollback !== undefined) return rollingBack(view, now, rotation.rollback);
  if (rotation.suspended !== undefined) return wait(`a person: ${rotation.suspended.reason}`);
  if (rotation.emergency !== undefined) return emergency(view, now);
  if (rotation.pause !== undefined) {
    return rotation.paused
      ? wait('a person: it is paused')
      : { kind: 'record', events: [{ type: 'RotationPaused', data: {} }], dueTo: rotation.pause.eventId };
  }
  return graceful(view, now);
}

/** The clocks, and the claim on its emitters, hold the repeat of a step as they held the step. */
function repeatHeld(view: RotationView, now: number, step: StepName): boolean {
  const { rotation } = view;
  if (rotation.emergency !== undefined) return false;
  const us = `rotation-${rotation.rotationId}`;
  return (
    (stepTable[step].clockBound && clockHold(view, now) !== undefined) ||
    (step === 'emit' && view.claims.some((claim) => claim.holder !== us))
  );
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

function rollingBack(view: RotationView, now: number, asked: Mark): Decision {
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
  if (rotation.returned === undefined) return suspendedOr(view, perform(view, now, 'return', asked.eventId));
  if (rotation.withdrawn !== undefined) return done(rotation.withdrawn);
  const start = drainStart(rotation);
  if (start === undefined) {
    const missing = missingConfirmations(rotation, 'emission-confirmations');
    return wait(`${names(view, missing)} to confirm the old version`);
  }
  const until = start.at + milliseconds(rotation.plan?.windows.drain.required);
  if (now < until) return wait('what the new version emitted to run out', until);
  return suspendedOr(view, perform(view, now, 'withdraw', start.eventId));
}

function gate(
  name: 'accept-window' | 'acceptance-confirmations' | 'drain-window' | 'emission-confirmations',
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
  const confirmed = all.length - overridden;
  return `${confirmed} of ${all.length} ${role}s${overridden > 0 ? `, ${overridden} overridden` : ''}`;
}

function acceptGates(
  view: RotationView,
  plan: RotationPlan,
  accepted: Mark,
  now: number,
): { readonly hold: Decision } | { readonly pass: readonly NewRotationEvent[]; readonly dueTo: string } {
  const { rotation } = view;
  const window = plan.windows.accept;
  const until = accepted.at + milliseconds(window.required);
  const missing = missingConfirmations(rotation, 'acceptance-confirmations');
  if (now < until) return { hold: wait(`the accept window: ${window.binding}`, until) };
  if (missing.length > 0) return { hold: wait(`${names(view, missing)} to confirm the new version`) };
  const lastConfirmation = [...rotation.acceptance].sort(
    (left, right) => (right.completeAt ?? 0) - (left.completeAt ?? 0),
  )[0];
  const late = lastConfirmation?.completeAt !== undefined && lastConfirmation.completeAt > until;
  const verifiers = plan.consumers.filter((consumer) => consumer.roles.includes('verifier')).length;
  return {
    dueTo: late ? (lastConfirmation.completeBy ?? accepted.eventId) : accepted.eventId,
    pass: [
      gate(
        'acceptance-confirmations',
        `${verifiers} of ${verifiers} verifiers`,
        confirmedText(plan, rotation, 'verifier'),
      ),
      gate('accept-window', window.required, formatDuration(now - accepted.at), accepted.at, window.binding),
    ],
  };
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
  const emitters = plan.consumers
    .filter((consumer) => consumer.roles.includes('emitter'))
    .map((consumer) => consumer.consumerId);
  const unclaimed = emitters.filter(
    (id) => view.claims.find((claim) => claim.consumerId === id)?.holder !== us,
  );
  if (unclaimed.length === 0) return undefined;
  const overridden = (id: string): boolean =>
    view.rotation.overrides.some((entry) => entry.gate === 'emitter-switch' && entry.consumerId === id);
  const foreign = view.claims.find(
    (claim) =>
      unclaimed.includes(claim.consumerId) &&
      claim.holder !== undefined &&
      claim.holder !== us &&
      !overridden(claim.consumerId),
  );
  if (foreign !== undefined && !takeOver) {
    // A release wakes who waits; the time bounds what a lost hint may cost.
    return wait(
      `${names(view, [foreign.consumerId])}, which is switching emitters for ${foreign.holder ?? 'another rotation'}`,
      now + 10_000,
    );
  }
  return {
    kind: 'claim-switch',
    consumers: unclaimed,
    takeOver: takeOver || unclaimed.some(overridden),
    dueTo,
  };
}

function graceful(view: RotationView, now: number): Decision {
  const { rotation } = view;
  const plan = rotation.plan;
  if (plan === undefined) return wait('its plan');
  const approvals = rotation.approvals.filter((approval) => approval.subject !== rotation.requestedBy);
  if (approvals.length < plan.approvals) {
    return wait(`approval: ${approvals.length} of ${plan.approvals}`);
  }
  if (rotation.generated === undefined) return perform(view, now, 'generate', cause(rotation));
  if (rotation.accepted === undefined) return perform(view, now, 'accept', cause(rotation));
  if (rotation.switched === undefined) {
    const gates = acceptGates(view, plan, rotation.accepted, now);
    if ('hold' in gates) return gates.hold;
    const claim = claimSwitch(view, plan, false, gates.dueTo, now);
    return claim ?? perform(view, now, 'emit', gates.dueTo, gates.pass);
  }
  const start = drainStart(rotation);
  if (start === undefined) {
    const missing = missingConfirmations(rotation, 'emission-confirmations');
    if (missing.length > 0) return wait(`${names(view, missing)} to confirm the switch`);
    return wait('an overridden emitter to have switched');
  }
  const release = releaseSwitch(view, now, start.eventId);
  if (release !== undefined) return release;
  const settleUntil = heldSwitch(view) ? start.at + milliseconds(plan.terms.settle) : undefined;
  const sooner = (decision: Decision): Decision =>
    decision.kind === 'wait' && settleUntil !== undefined && settleUntil > now
      ? { ...decision, until: Math.min(decision.until ?? settleUntil, settleUntil) }
      : decision;
  if (plan.outgoing.length > 0) {
    if (rotation.revoked === undefined) {
      const window = plan.windows.drain;
      const until = start.at + milliseconds(window.required);
      if (now < until) return sooner(wait(`the drain window: ${window.binding}`, until));
      const emitters = plan.consumers.filter((consumer) => consumer.roles.includes('emitter')).length;
      return perform(view, now, 'revoke', start.eventId, [
        gate(
          'emission-confirmations',
          `${emitters} of ${emitters} emitters`,
          confirmedText(plan, rotation, 'emitter'),
        ),
        gate('drain-window', window.required, formatDuration(now - start.at), start.at, window.binding),
      ]);
    }
    if (rotation.verified === undefined) return perform(view, now, 'verify', rotation.revoked.eventId);
  }
  const watchFrom = rotation.revoked ?? start;
  const watchUntil = watchFrom.at + milliseconds(plan.terms.watch);
  if (now < watchUntil) return sooner(wait('the watch after the last step', watchUntil));
  return complete(plan, rotation.verified ?? watchFrom);
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
    if ('unavailable' in view.backEnd.observed) {
      return wait(`the back end to be observed: ${view.backEnd.observed.unavailable}`, now + 2_000);
    }
    return {
      kind: 'record',
      dueTo: view.superseded?.ended?.eventId ?? cause(rotation),
      events: [
        {
          type: 'RotationPlanned',
          data: planEmergency({
            family,
            request: rotation.request,
            incomingVersionId: view.incomingVersionId,
            versions: emergencyVersions(view),
            compromised: family.compromised,
          }),
        },
      ],
    };
  }
  if (plan.incoming !== undefined && rotation.switched === undefined) {
    if (rotation.generated === undefined) return perform(view, now, 'generate', cause(rotation));
    if (rotation.accepted === undefined) return perform(view, now, 'accept', cause(rotation));
    const until = rotation.accepted.at + milliseconds(plan.windows.accept.required);
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
    const trustEndsAt = rotation.revoked.trustEndsAt ?? rotation.revoked.at;
    if (now < trustEndsAt) return wait('the last verifier to forget what was revoked', trustEndsAt);
  }
  const acceptedBy =
    rotation.accepted === undefined ? 0 : rotation.accepted.at + milliseconds(plan.trustTerm);
  if (now < acceptedBy) return wait('the last verifier to know the new version', acceptedBy);
  return complete(
    plan,
    rotation.verified ?? rotation.switched ?? rotation.lastMove ?? { at: now, eventId: '', revision: 0 },
  );
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
  if (!state.exists || state.status === 'applied') return { kind: 'finished' };
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
    dueTo: unsettled?.dueTo ?? state.lastMove?.eventId ?? '',
  };
}
