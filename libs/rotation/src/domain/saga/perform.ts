import type { Cohort } from '../policy.events.js';
import type { NewRotationEvent } from '../rotation.events.js';
import type { RotationState } from '../rotation.state.js';
import type { StepName } from '../step.events.js';
import { afterFailure } from './attempts.js';
import { containedHold, freeOfHolds, holdsOf } from './holds.js';
import { cause, type Decision, type RotationView, wait } from './view.js';

/** A step that is due: performed, waited for, or given to a person. */

export function suspend(
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

export function perform(
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
export function currentCohort(rotation: RotationState): Cohort | undefined {
  return rotation.plan?.cohorts?.find((cohort) => cohort.share === rotation.switched?.share);
}

/** A way that is suspended waits for its person instead of being decided again. */
export function suspendedOr(view: RotationView, decision: Decision): Decision {
  return view.rotation.suspended === undefined
    ? decision
    : wait(`a person: ${view.rotation.suspended.reason}`);
}
