import { parseInstant } from '#eventlog';
import type { ContainmentEvent } from './containment.events.js';
import { evolveSteps, noSteps, retrySteps, type StepsState } from './steps.state.js';
import type { Mark } from './rotation.state.js';
import type { FamilyState } from './family.decider.js';
import type { BackEndRef } from './vocabulary.js';

export interface ContainmentState {
  readonly exists: boolean;
  readonly containmentId: string;
  readonly familyId: string;
  readonly status: 'requested' | 'applied' | 'suspended' | 'lifting' | 'lifted';
  readonly backEnd?: BackEndRef;
  readonly versions: readonly string[];
  readonly rotation?: string;
  readonly trustTerm?: string;
  readonly trustEndsAt?: number;
  readonly correlationId?: string;
  readonly steps: StepsState;
  readonly suspendedFor?: string;
  readonly applied?: { readonly at: number; readonly attested: boolean };
  /** Somebody wants it lifted. */
  readonly lift?: { readonly reason: string; readonly by: string };
  readonly lifted?: Mark;
  readonly lastMove?: Mark;
}

export const initialContainment: ContainmentState = {
  exists: false,
  containmentId: '',
  familyId: '',
  status: 'requested',
  versions: [],
  steps: noSteps,
};

export function evolveContainment(state: ContainmentState, event: ContainmentEvent): ContainmentState {
  const lastMove: Mark = { at: event.recordedAt, eventId: event.id, revision: event.revision };
  const moved: ContainmentState = { ...state, steps: evolveSteps(state.steps, event), lastMove };
  switch (event.type) {
    case 'StepStarted':
    case 'StepFailed':
    case 'Attested':
      return moved;
    case 'ContainmentRequested':
      return {
        ...moved,
        exists: true,
        containmentId: event.stream.slice('containment-'.length),
        familyId: event.data.family,
        backEnd: event.data.backEnd,
        versions: event.data.versions,
        ...(event.data.trustTerm === undefined ? {} : { trustTerm: event.data.trustTerm }),
        correlationId: event.correlationId,
        ...(event.data.rotation === undefined ? {} : { rotation: event.data.rotation }),
      };
    case 'ContainmentApplied': {
      const trustEndsAt =
        event.data.trustEndsAt === undefined ? undefined : parseInstant(event.data.trustEndsAt);
      return {
        ...moved,
        // An attempt that answers late says again what stands already.
        status: state.applied === undefined ? 'applied' : state.status,
        applied: state.applied ?? { at: event.recordedAt, attested: event.provenance === 'attested' },
        ...(trustEndsAt === undefined ? {} : { trustEndsAt: state.trustEndsAt ?? trustEndsAt }),
      };
    }
    case 'ContainmentSuspended':
      return { ...moved, status: 'suspended', suspendedFor: event.data.reason };
    case 'ContainmentRetried':
      return {
        ...moved,
        status: state.status === 'suspended' ? beforeSuspended(state) : state.status,
        steps: retrySteps(moved.steps),
      };
    case 'ContainmentLiftRequested':
      return { ...moved, status: 'lifting', lift: { reason: event.data.reason, by: event.actor } };
    case 'ContainmentLiftWithdrawn': {
      const { lift: _lift, ...rest } = moved;
      return { ...rest, status: 'applied', steps: retrySteps(moved.steps) };
    }
    case 'ContainmentLifted':
      return { ...moved, status: 'lifted', lifted: lastMove };
  }
}

function beforeSuspended(state: ContainmentState): ContainmentState['status'] {
  if (state.applied === undefined) return 'requested';
  return state.lift === undefined ? 'applied' : 'lifting';
}

/**
 * What is contained on suspicion, or is about to be: the suspicion comes first and names its containment, so a stream that a crash
 * left unwritten counts too. Only lifting ends it; a cleared suspicion alone leaves the back end's denial where it is.
 */
export function containedVersions(
  { suspected }: Pick<FamilyState, 'suspected'>,
  containments: readonly ContainmentState[],
): readonly string[] {
  return suspected.flatMap(({ containment, versions }) => {
    if (containment === undefined) return [];
    const state = containments.find((each) => each.containmentId === containment);
    return state?.status === 'lifted' ? [] : versions;
  });
}
