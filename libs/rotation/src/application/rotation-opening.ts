import {
  DomainError,
  formatInstant,
  SYSTEM_ACTOR,
  WrongExpectedRevisionError,
  type NewEvent,
} from '#eventlog';
import type { Cause, StreamPosition } from '#eventlog/kit';
import { departureText, deviationsInForce } from '../domain/deviations.js';
import type { FamilySlot, FamilyState } from '../domain/family.decider.js';
import { emergencyDecisions, planRotation, TERMS_WITHOUT_POLICY } from '../domain/plan.js';
import { rotationDecider, type RotationCommand } from '../domain/rotation.decider.js';
import type { NewRotationEvent, RotationPlan } from '../domain/rotation.events.js';
import type { Ledger } from './ledger.js';
import { emergencyContainmentId, incomingVersionId } from './streams.js';

/** The plan a rotation of this family would get now; an emergency's is made from what is observed. */
export function plannedRotation(
  ledger: Ledger,
  family: FamilyState,
  slot: Pick<FamilySlot, 'rotation' | 'request'>,
): RotationPlan {
  return planRotation({
    family,
    request: slot.request,
    incomingVersionId: incomingVersionId(ledger.logId, slot.rotation),
    versions: family.versions,
  });
}

/**
 * The second half of opening a rotation: `RotationOpened` on the family came first and carries the request; this appends
 * what the rotation's own stream begins with. Done by the command that opened it, or after a crash by the runner.
 */
export async function completeOpening(ledger: Ledger, family: FamilyState, slot: FamilySlot): Promise<void> {
  const { rotation: rotationId, request, supersedes } = slot;
  const cause: Cause = {
    actor: slot.openedBy,
    correlationId: slot.correlationId,
    causationId: slot.causationId,
    origin: slot.origin,
  };
  let decided: readonly NewRotationEvent[];
  const { history, state } = await ledger.rotation(rotationId);
  if (state.exists) return;
  const base = {
    type: 'RequestRotation',
    family: family.familyId,
    request,
    ...(supersedes === undefined ? {} : { supersedes }),
  } as const;
  try {
    decided =
      request.emergency === undefined
        ? rotationDecider.decide(
            {
              ...base,
              plan: plannedRotation(ledger, family, slot),
              departures: request.policy === undefined ? [] : departuresOf(family, slot.openedAt),
            },
            state,
          )
        : rotationDecider.decide(
            {
              ...base,
              declaration: {
                terms: (request.policy?.terms ?? TERMS_WITHOUT_POLICY).emergency,
                // Owed from when it was declared, however late a crash lets this be written.
                now: slot.openedAt,
                decisions: emergencyDecisions(family, request, supersedes),
                ...(request.emergency.contain
                  ? { containment: emergencyContainmentId(ledger.logId, rotationId) }
                  : {}),
              },
            },
            state,
          );
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    // It was possible when it was asked and no longer is (a consumer was removed meanwhile): the record says so.
    await appendFirst(
      ledger,
      history,
      [
        ...rotationDecider.decide(base, state),
        { type: 'RotationRejected', data: { reason: `it can no longer be planned: ${error.message}` } },
      ],
      { ...cause, actor: SYSTEM_ACTOR, origin: { via: 'saga' } },
    );
    return;
  }
  await appendFirst(ledger, history, decided, cause);
}

/** The plan's terms are those it was asked with; what of them is the family's own is said beside it. */
function departuresOf(
  family: FamilyState,
  openedAt: number,
): NonNullable<Extract<RotationCommand, { readonly type: 'RequestRotation' }>['departures']> {
  return deviationsInForce(family.deviations, openedAt).map((deviation) => ({
    what: `the family departs from its policy: ${departureText(deviation)}`,
    reason: deviation.reason,
    until: formatInstant(deviation.until),
    family: { deviation: deviation.deviation, approvedBy: deviation.approvedBy },
  }));
}

/** The command that opened it and the runner may both come here: whoever is second finds it done. */
async function appendFirst(
  ledger: Ledger,
  at: StreamPosition,
  events: readonly NewEvent[],
  cause: Cause,
): Promise<void> {
  try {
    await ledger.append(at, events, cause);
  } catch (error) {
    if (!(error instanceof WrongExpectedRevisionError)) throw error;
  }
}
