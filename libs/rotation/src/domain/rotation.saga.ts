import { parseInstant } from '#eventlog';
import type { ContainmentState } from './containment.state.js';
import type { FamilyState } from './family.decider.js';
import { amendment } from './plan.js';
import { ENDED, type RotationState, versionsAfter } from './rotation.state.js';
import { afterFailure, MOST_PASSING_FAULTS, type Unsettled, unsettledStep } from './saga/attempts.js';
import { comparing, reconciled } from './saga/attested-truth.js';
import { emergency, takingOver } from './saga/emergency.js';
import { releaseSwitch } from './saga/emitter-switch.js';
import { cuttingOver, planned } from './saga/forward.js';
import { isAttested, suspend } from './saga/perform.js';
import {
  cause,
  type Decision,
  type Perform,
  type RotationOutcome,
  type RotationView,
  wait,
} from './saga/view.js';
import { abandoning, rollingBack } from './saga/way-back.js';
import { stepTable } from './step-table.js';
import type { StepName } from './step.events.js';
import { carried, MOST_CARRIED } from './versions.js';
import type { VersionSnapshot } from './vocabulary.js';

/**
 * The saga: one pure function decides what a rotation does next, from what is on record. The runner
 * (application/rotation-runner.ts) obeys it and remembers nothing.
 */

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
  return onward(view, now);
}

/** What comes next with nothing unsettled behind it. */
function onward(view: RotationView, now: number): Decision {
  const { rotation } = view;
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
  if (compared !== undefined && compared.kind !== 'wait') return compared;
  const released = releaseSwitch(view, now, dueTo);
  if (released?.kind !== 'wait' || compared?.kind !== 'wait')
    return released ?? compared ?? { kind: 'finished' };
  return { ...released, until: Math.min(released.until ?? Infinity, compared.until ?? Infinity) };
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

/**
 * Whether the repeat of a step may perform it: only where it would be begun anew. What held nothing when it was first tried may hold
 * it by now: a window that a consumer made longer, a confirmation taken back, a clock, a claim, a containment.
 */
function repeatHeld(view: RotationView, now: number, step: StepName): boolean {
  const { rotation } = view;
  if (rotation.emergency !== undefined) return false;
  const { open: _open, failure: _failure, ...steps } = rotation.steps;
  const anew = onward({ ...view, rotation: { ...rotation, steps } }, now);
  return anew.kind !== 'perform' || anew.step !== step;
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
