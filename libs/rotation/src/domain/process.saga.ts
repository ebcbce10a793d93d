import { formatInstant } from '#eventlog';
import type { NewContainmentEvent } from './containment.events.js';
import type { ContainmentState } from './containment.state.js';
import type { NewDestructionEvent } from './destruction.events.js';
import type { DestructionState } from './destruction.state.js';
import { liftRefusal, processText, type FamilyState } from './family.decider.js';
import type { SlotProcess } from './family.events.js';
import { ATTESTED_INSTANCE } from './plan.js';
import { afterFailure, unsettledStep, type Unsettled } from './saga/attempts.js';
import { holdsOf } from './saga/holds.js';
import type { Perform, RotationView } from './saga/view.js';
import type { StepsState } from './steps.state.js';

/**
 * What the processes that take a family's slot do next: lifting a containment, and destroying (contracts, Processes beside a
 * rotation). Pure, as `nextStep` is: the runner obeys it and remembers nothing.
 */
export type ProcessView = Pick<RotationView, 'family' | 'holds' | 'backEnd' | 'clocks' | 'runner'>;

export type ProcessDecision<Event> =
  | Perform
  | { readonly kind: 'take-slot'; readonly process: SlotProcess; readonly dueTo: string }
  | {
      readonly kind: 'free-slot';
      readonly process: SlotProcess;
      readonly destroyed: readonly string[];
      readonly dueTo: string;
    }
  | { readonly kind: 'record'; readonly events: readonly Event[]; readonly dueTo: string }
  | { readonly kind: 'wait'; readonly until?: number; readonly waitsFor: string }
  | { readonly kind: 'finished' };

/** One process as far as both kinds are the same. */
interface Process {
  readonly process: SlotProcess;
  readonly id: string;
  readonly steps: StepsState;
  readonly lastEventId: string;
}

function wait(waitsFor: string, until?: number): Extract<ProcessDecision<never>, { readonly kind: 'wait' }> {
  return { kind: 'wait', waitsFor, ...(until === undefined ? {} : { until }) };
}

function isOurs({ process }: FamilyState, { id }: Pick<Process, 'id'>): boolean {
  return process?.id === id;
}

/** It is over, or stands still: whatever it still holds is freed, so that it is never in the way of others. */
function released(
  family: FamilyState,
  of: Process,
  otherwise: ProcessDecision<never>,
  destroyed: readonly string[] = [],
): ProcessDecision<never> {
  return isOurs(family, of)
    ? { kind: 'free-slot', process: of.process, destroyed, dueTo: of.lastEventId }
    : otherwise;
}

/** Takes the slot where it is free; says who holds it where it is not. */
function takeSlot(family: FamilyState, of: Process): ProcessDecision<never> {
  if (family.slot?.open === true) return wait(`the family’s slot: rotation ${family.slot.rotation} holds it`);
  if (family.process !== undefined) return wait(`the family’s slot: ${processText(family.process)} holds it`);
  return { kind: 'take-slot', process: of.process, dueTo: of.lastEventId };
}

/** One attempt under the slot: holds first, so that what waits for them holds nobody up. */
function performed(
  view: ProcessView,
  of: Process,
  now: number,
  unsettled: Unsettled | undefined,
  settleOnly: boolean,
): ProcessDecision<never> | { readonly suspend: { readonly code: string; readonly reason: string } } {
  if (unsettled !== undefined && now < unsettled.notBefore) {
    return wait('an attempt to be surely over', unsettled.notBefore);
  }
  const step = of.process;
  if (!settleOnly) {
    const failed = afterFailure(of.steps, step, now, false);
    if (failed !== undefined && 'person' in failed) return { suspend: failed.person };
    if (failed?.wait.kind === 'wait') return failed.wait;
    const [hold] = holdsOf(view, now, step);
    if (hold?.kind === 'wait') return hold;
  }
  if (!isOurs(view.family, of)) return takeSlot(view.family, of);
  const attempt = (of.steps.attempts[step] ?? 0) + 1;
  return {
    kind: 'perform',
    step,
    attempt,
    observesFirst: attempt > 1,
    settleOnly,
    gates: [],
    passed: [],
    dueTo: unsettled?.dueTo ?? view.family.process?.takenEventId ?? of.lastEventId,
  };
}

function personOf(family: FamilyState): string {
  return family.details?.owner.role ?? 'the family’s owner';
}

/** People applied it and no attempt of ours was ever made: then only people can take it back. */
export function isLiftedByPeople(state: ContainmentState): boolean {
  return (
    state.backEnd?.instance === ATTESTED_INSTANCE ||
    (state.applied?.attested === true && state.steps.attempts.contain === undefined)
  );
}

/** Lifting an applied containment: only what is suspected no more, and never what is confirmed. */
export function nextLiftStep(
  state: ContainmentState,
  view: ProcessView,
  now: number,
): ProcessDecision<NewContainmentEvent> {
  const of: Process = {
    process: 'lift',
    id: state.containmentId,
    steps: state.steps,
    lastEventId: state.lastMove?.eventId ?? '',
  };
  if (state.status === 'suspended') {
    return released(view.family, of, wait(`a person: ${state.suspendedFor ?? 'it is suspended'}`));
  }
  if (state.status !== 'lifting') return released(view.family, of, { kind: 'finished' });
  const refused = liftRefusal(view.family, state.versions);
  const unsettled = unsettledStep(state.steps, view, false);
  if (refused !== undefined && unsettled === undefined) {
    return {
      kind: 'record',
      dueTo: of.lastEventId,
      events: [{ type: 'ContainmentLiftWithdrawn', data: { reason: refused.reason.slice(0, 500) } }],
    };
  }
  if (isLiftedByPeople(state)) return wait('an attestation of lift');
  const next = performed(view, of, now, unsettled, refused !== undefined);
  if (!('suspend' in next)) return next;
  return {
    kind: 'record',
    dueTo: state.steps.failure?.eventId ?? of.lastEventId,
    events: [
      {
        type: 'ContainmentSuspended',
        data: {
          code: next.suspend.code,
          reason: next.suspend.reason.slice(0, 500),
          person: personOf(view.family),
        },
      },
    ],
  };
}

/** Why key material of these versions is needed still; `undefined`: nothing uses it, as far as the record knows. */
export function inUse(
  family: Pick<FamilyState, 'versions'>,
  versions: readonly string[],
): string | undefined {
  const used = family.versions.find(
    (version) =>
      versions.includes(version.versionId) && (version.accepted || (version.emittingShare ?? 0) > 0),
  );
  if (used === undefined) return undefined;
  const emits = (used.emittingShare ?? 0) > 0;
  return `${used.versionId} is ${emits ? 'emitting' : 'accepted'}: rotate it out before it is destroyed`;
}

/** Destroying: approved by somebody else, after its retention, and only what nothing accepts or emits any more. */
export function nextDestructionStep(
  state: DestructionState,
  view: ProcessView,
  now: number,
): ProcessDecision<NewDestructionEvent> {
  const of: Process = {
    process: 'destroy',
    id: state.destructionId,
    steps: state.steps,
    lastEventId: state.lastMove?.eventId ?? '',
  };
  const { family } = view;
  switch (state.status) {
    case 'requested':
      return wait('approval of the destruction');
    case 'rejected':
      return released(family, of, { kind: 'finished' });
    case 'suspended':
      return released(family, of, wait(`a person: ${state.suspendedFor ?? 'it is suspended'}`));
    case 'destroyed':
      // What people destroyed is told to the family under its slot too.
      return released(
        family,
        of,
        state.versions.every((version) => family.destroyed.includes(version))
          ? { kind: 'finished' }
          : takeSlot(family, of),
        state.versions,
      );
    case 'approved':
      break;
  }
  const unsettled = unsettledStep(state.steps, view, false);
  const suspend = (code: string, reason: string): ProcessDecision<NewDestructionEvent> => ({
    kind: 'record',
    dueTo: state.steps.failure?.eventId ?? of.lastEventId,
    events: [
      {
        type: 'DestructionSuspended',
        data: { code, reason: reason.slice(0, 500), person: personOf(family) },
      },
    ],
  });
  if (unsettled === undefined) {
    if (state.notBefore !== undefined && now < state.notBefore) {
      return wait(`the retention to end, ${formatInstant(state.notBefore)}`, state.notBefore);
    }
    // A running rotation's versions are its own affair until it closes; then the record says what is left.
    const used = family.slot?.open === true ? undefined : inUse(family, state.versions);
    if (used !== undefined) return suspend('destruction.in-use', used);
  }
  if (state.backEnd?.instance === ATTESTED_INSTANCE) return wait('an attestation of destroy');
  const next = performed(view, of, now, unsettled, false);
  return 'suspend' in next ? suspend(next.suspend.code, next.suspend.reason) : next;
}
