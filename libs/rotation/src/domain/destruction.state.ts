import { parseInstant } from '#eventlog';
import type { DestructionEvent } from './destruction.events.js';
import type { Mark } from './rotation.state.js';
import { evolveSteps, noSteps, retrySteps, type StepsState } from './steps.state.js';
import type { BackEndRef } from './vocabulary.js';

export interface DestructionState {
  readonly exists: boolean;
  readonly destructionId: string;
  readonly familyId: string;
  readonly status: 'requested' | 'approved' | 'suspended' | 'rejected' | 'destroyed';
  readonly backEnd?: BackEndRef;
  readonly versions: readonly string[];
  readonly reason: string;
  /** Retention. */
  readonly notBefore?: number;
  readonly requestedBy?: string;
  readonly requestedAt?: number;
  readonly approvedBy?: string;
  readonly approvedAt?: number;
  readonly rejected?: { readonly by: string; readonly at: number };
  readonly correlationId?: string;
  readonly steps: StepsState;
  readonly suspendedFor?: string;
  readonly destroyed?: Mark;
  readonly lastMove?: Mark;
}

export const initialDestruction: DestructionState = {
  exists: false,
  destructionId: '',
  familyId: '',
  status: 'requested',
  versions: [],
  reason: '',
  steps: noSteps,
};

export function evolveDestruction(state: DestructionState, event: DestructionEvent): DestructionState {
  const lastMove: Mark = { at: event.recordedAt, eventId: event.id, revision: event.revision };
  const moved: DestructionState = { ...state, steps: evolveSteps(state.steps, event), lastMove };
  switch (event.type) {
    case 'StepStarted':
    case 'StepFailed':
    case 'Attested':
    case 'DestructionTokenSupplied':
      return moved;
    case 'DestructionRequested': {
      const { family, backEnd, versions, reason, notBefore } = event.data;
      const from = notBefore === undefined ? undefined : parseInstant(notBefore);
      return {
        ...moved,
        exists: true,
        destructionId: event.stream.slice('destruction-'.length),
        familyId: family,
        backEnd,
        versions,
        reason,
        ...(from === undefined ? {} : { notBefore: from }),
        requestedBy: event.actor,
        requestedAt: event.recordedAt,
        correlationId: event.correlationId,
      };
    }
    case 'DestructionApproved':
      return { ...moved, status: 'approved', approvedBy: event.actor, approvedAt: event.recordedAt };
    case 'DestructionRejected':
      return { ...moved, status: 'rejected', rejected: { by: event.actor, at: event.recordedAt } };
    case 'DestructionSuspended':
      return { ...moved, status: 'suspended', suspendedFor: event.data.reason };
    case 'DestructionRetried': {
      const { suspendedFor: _suspendedFor, ...rest } = moved;
      return {
        ...rest,
        status: state.status === 'suspended' ? 'approved' : state.status,
        steps: retrySteps(moved.steps),
      };
    }
    case 'OldKeyDestroyed':
      return { ...moved, status: 'destroyed', destroyed: state.destroyed ?? lastMove };
  }
}
