import { DomainError } from '#eventlog';
import { milliseconds } from '../duration.js';
import { planEmergency } from '../plan.js';
import type { RotationPlan } from '../rotation.events.js';
import { ENDED, versionsAfter } from '../rotation.state.js';
import { markCompromised, mergeVersions } from '../versions.js';
import type { VersionSnapshot } from '../vocabulary.js';
import { claimSwitch } from './emitter-switch.js';
import { complete } from './forward.js';
import { over } from './holds.js';
import { perform, suspend } from './perform.js';
import { cause, type Decision, type RotationView, wait } from './view.js';

/** Contain, restore, revoke: it waits for no hold, and always has a next move. */

/** What an emergency does at once: contain, then settle the open step of what it supersedes. */
export function takingOver(view: RotationView): Decision | undefined {
  const { rotation, superseded, containment } = view;
  if (rotation.emergency?.containment !== undefined && containment?.exists !== true) {
    return { kind: 'open-containment', dueTo: cause(rotation) };
  }
  // One whose own stream was never begun did nothing: there is nothing to settle, and nobody to settle it.
  return superseded?.exists === true && !ENDED.includes(superseded.phase)
    ? { kind: 'settle-superseded', rotation: superseded.rotationId }
    : undefined;
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

export function emergency(view: RotationView, now: number): Decision {
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
