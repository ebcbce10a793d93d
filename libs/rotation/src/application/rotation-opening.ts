import {
  DomainError,
  formatInstant,
  SYSTEM_ACTOR,
  WrongExpectedRevisionError,
  type NewEvent,
} from '#eventlog';
import type { Cause, StreamPosition } from '#eventlog/kit';
import { departureText, deviationsInForce } from '../domain/deviations.js';
import { familyDecider, type FamilySlot, type FamilyState } from '../domain/family.decider.js';
import type { FamilyEvent } from '../domain/family.events.js';
import { emergencyDecisions, planRotation, TERMS_WITHOUT_POLICY } from '../domain/plan.js';
import {
  requireDeviationInForce,
  rotationDecider,
  type RotationCommand,
} from '../domain/rotation.decider.js';
import type { NewRotationEvent, RotationPlan } from '../domain/rotation.events.js';
import type { Ledger } from './ledger.js';
import { emergencyContainmentId, familyStream, incomingVersionId } from './streams.js';

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
    if (request.emergency === undefined) requireDeviationInForce(request, ledger.store.clock.now());
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

/**
 * A slot that an emergency took over before the rotation's own stream began: the stream says then that it was asked for, and by whom
 * it was superseded, and an emergency is declared all the same and settled like any other. Done by a repeat of the command that
 * opened it, or by the runner; `false`: this family never opened that rotation, or its slot is still open.
 */
export async function completeSuperseded(
  ledger: Ledger,
  familyId: string,
  rotationId: string,
): Promise<boolean> {
  const { events } = await ledger.store.read(familyStream(familyId));
  let family = familyDecider.initialState;
  let opened: FamilySlot | undefined;
  let by: string | undefined;
  // The category of a stream decides its event types; the kit parsed each against its schema.
  for (const event of events as readonly FamilyEvent[]) {
    family = familyDecider.evolve(family, event);
    if (event.type !== 'RotationOpened' || event.provenance === 'imported') continue;
    if (event.data.rotation === rotationId) opened = family.slot;
    if (event.data.supersedes === rotationId) by = event.data.rotation;
  }
  if (opened === undefined || by === undefined) return false;
  if (opened.request.emergency !== undefined) {
    await completeOpening(ledger, family, opened);
    return true;
  }
  const { history, state } = await ledger.rotation(rotationId);
  if (state.exists) return true;
  const requested = rotationDecider.decide(
    { type: 'RequestRotation', family: familyId, request: opened.request },
    state,
  );
  await appendFirst(ledger, history, [...requested, { type: 'RotationSuperseded', data: { by } }], {
    actor: SYSTEM_ACTOR,
    correlationId: opened.correlationId,
    causationId: opened.openedEventId,
    origin: { via: 'saga' },
  });
  return true;
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
