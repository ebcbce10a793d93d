import { parseInstant } from '#eventlog';
import type { ContainmentEvent } from './containment.events.js';
import { evolveSteps, noSteps, retrySteps, type StepsState } from './steps.state.js';
import type { Mark } from './rotation.state.js';
import type { BackEndRef } from './vocabulary.js';

export interface ContainmentState {
  readonly exists: boolean;
  readonly containmentId: string;
  readonly familyId: string;
  readonly status: 'requested' | 'applied' | 'suspended';
  readonly backEnd?: BackEndRef;
  readonly versions: readonly string[];
  readonly rotation?: string;
  readonly trustTerm?: string;
  readonly trustEndsAt?: number;
  readonly correlationId?: string;
  readonly steps: StepsState;
  readonly suspendedFor?: string;
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
  const moved: ContainmentState = {
    ...state,
    steps: evolveSteps(state.steps, event),
    lastMove: { at: event.recordedAt, eventId: event.id, revision: event.revision },
  };
  switch (event.type) {
    case 'StepStarted':
    case 'StepFailed':
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
      return { ...moved, status: 'applied', ...(trustEndsAt === undefined ? {} : { trustEndsAt }) };
    }
    case 'ContainmentSuspended':
      return { ...moved, status: 'suspended', suspendedFor: event.data.reason };
    case 'ContainmentRetried':
      return {
        ...moved,
        status: state.status === 'applied' ? 'applied' : 'requested',
        steps: retrySteps(moved.steps),
      };
  }
}
