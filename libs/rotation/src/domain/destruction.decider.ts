import { DomainError, formatInstant } from '#eventlog';
import { requireEvidence, requireNotInFuture } from './attestation.js';
import { byAndAt, decisionOf } from './decided.js';
import type { NewDestructionEvent } from './destruction.events.js';
import type { DestructionState } from './destruction.state.js';
import type { FamilyState } from './family.decider.js';
import { ATTESTED_INSTANCE } from './plan.js';
import { inUse } from './process.saga.js';
import type { Attestation } from './rotation.events.js';
import type { RotationState } from './rotation.state.js';
import { isProcessOutcome, outcomeOf } from './step-effects.js';
import type { BackEndRef, VersionSnapshot } from './vocabulary.js';

export interface DestructionWish {
  readonly versions: readonly string[];
  readonly reason: string;
  /** Retention: not before this instant. */
  readonly notBefore?: string | undefined;
}

export interface DestructionSurroundings {
  readonly family: FamilyState;
  readonly backEnd: BackEndRef;
  /** The family's versions, the running rotation's facts included. */
  readonly versions: readonly VersionSnapshot[];
  readonly running?: RotationState;
}

/** Refuses what must be kept, before anybody is asked to approve it. */
export function requestDestruction(
  { versions, reason, notBefore }: DestructionWish,
  { family, backEnd, versions: known, running }: DestructionSurroundings,
): readonly NewDestructionEvent[] {
  const unknown = versions.find((id) => !known.some((version) => version.versionId === id));
  if (unknown !== undefined) {
    throw new DomainError(
      'version.unknown',
      `this family has no version ${unknown}; known are: ${known.map((version) => version.versionId).join(', ') || 'none'}`,
      { field: 'versions' },
    );
  }
  const gone = versions.find((id) => family.destroyed.includes(id));
  if (gone !== undefined) {
    throw new DomainError('destruction.already-destroyed', `the key material of ${gone} is gone already`, {
      field: 'versions',
    });
  }
  const used = inUse({ versions: known }, versions);
  if (used !== undefined) throw new DomainError('destruction.in-use', used, { field: 'versions' });
  const needed = versions.find((id) => [running?.plan?.emittingBefore, running?.plan?.incoming].includes(id));
  if (running !== undefined && needed !== undefined) {
    throw new DomainError(
      'destruction.rollback-target',
      `rotation ${running.rotationId} is running and may need ${needed}: destroy it when that is over`,
      { field: 'versions', rotation: running.rotationId },
    );
  }
  return [
    {
      type: 'DestructionRequested',
      data: {
        family: family.familyId,
        backEnd,
        versions: [...versions],
        reason,
        ...(notBefore === undefined ? {} : { notBefore }),
      },
    },
  ];
}

/** What a person may ask of a destruction that exists. */
export type DestructionCommand =
  | { readonly type: 'ApproveDestruction'; readonly subject: string; readonly note?: string }
  | { readonly type: 'RejectDestruction'; readonly reason: string }
  | { readonly type: 'RetryDestruction'; readonly reason?: string }
  /** `endsAt`: of the token. */
  | { readonly type: 'SupplyDestructionToken'; readonly subject: string; readonly endsAt?: number }
  | {
      readonly type: 'AttestDestruction';
      readonly attestation: Attestation;
      readonly occurredAt?: number;
      readonly now: number;
    };

export function decideDestruction(
  command: DestructionCommand,
  state: DestructionState,
): readonly NewDestructionEvent[] {
  if (!state.exists) throw new DomainError('destruction.not-found', 'there is no such destruction');
  switch (command.type) {
    case 'ApproveDestruction':
      if (command.subject === state.requestedBy) {
        throw new DomainError(
          'destruction.own-approval',
          'a destruction is approved by a subject other than the one that requested it',
        );
      }
      if (state.rejected !== undefined) {
        throw new DomainError(
          'destruction.not-waiting',
          `this destruction was rejected ${byAndAt(state.rejected.by, state.rejected.at)}: request a new one`,
          decisionOf(state.rejected.by, state.rejected.at),
        );
      }
      if (state.status !== 'requested') {
        throw new DomainError(
          'destruction.already-approved',
          `this destruction was already approved ${byAndAt(state.approvedBy, state.approvedAt)}: nothing more is recorded`,
          decisionOf(state.approvedBy, state.approvedAt),
        );
      }
      return [
        { type: 'DestructionApproved', data: command.note === undefined ? {} : { note: command.note } },
      ];
    case 'RejectDestruction':
      if (state.rejected !== undefined) {
        throw new DomainError(
          'destruction.already-rejected',
          `this destruction was already rejected ${byAndAt(state.rejected.by, state.rejected.at)}: nothing more is recorded`,
          decisionOf(state.rejected.by, state.rejected.at),
        );
      }
      if (state.status === 'destroyed') {
        throw new DomainError(
          'destruction.done',
          'the key material is gone: there is nothing left to refuse',
        );
      }
      if (state.steps.open !== undefined || state.steps.failure?.performed === 'unknown') {
        throw new DomainError(
          'destruction.begun',
          'destroying has begun, and what an attempt did cannot be taken back',
        );
      }
      return [{ type: 'DestructionRejected', data: { reason: command.reason } }];
    case 'RetryDestruction':
      if (state.status === 'suspended') {
        return [
          {
            type: 'DestructionRetried',
            data: command.reason === undefined ? {} : { reason: command.reason },
          },
        ];
      }
      if (state.steps.failure?.retried === true) return [];
      throw new DomainError(
        'destruction.not-suspended',
        'this destruction is not suspended: there is nothing to retry',
      );
    case 'SupplyDestructionToken':
      requireTokenWanted(command.subject, state);
      return [
        {
          type: 'DestructionTokenSupplied',
          data: command.endsAt === undefined ? {} : { endsAt: formatInstant(command.endsAt) },
        },
      ];
    case 'AttestDestruction':
      return attest(command, state);
  }
}

/** Asked before the token is taken, too: what opens its wrapping opens it once. */
export function requireTokenWanted(subject: string, state: DestructionState): void {
  if (!state.exists) throw new DomainError('destruction.not-found', 'there is no such destruction');
  if (subject === state.requestedBy)
    throw new DomainError(
      'destruction.own-approval',
      'what may destroy is supplied by a subject other than the one that requested it',
    );
  if (state.status === 'rejected' || state.status === 'destroyed')
    throw new DomainError(
      'destruction.not-waiting',
      `this destruction is ${state.status}: it needs no token`,
    );
}

function attest(
  { attestation, occurredAt, now }: DestructionCommand & { readonly type: 'AttestDestruction' },
  state: DestructionState,
): readonly NewDestructionEvent[] {
  if (state.approvedBy === undefined) {
    throw new DomainError(
      'destruction.not-approved',
      'a destruction has its own approval, by a subject other than the requester: it waits for that first',
    );
  }
  if (state.status !== 'approved' || (state.notBefore ?? 0) > now) {
    throw new DomainError(
      'step.not-open',
      state.status === 'approved' ? 'its retention is not over yet' : `this destruction is ${state.status}`,
    );
  }
  if (state.backEnd?.instance !== ATTESTED_INSTANCE) {
    throw new DomainError('step.not-attested', 'Keyturn destroys this itself: there is nothing to attest');
  }
  requireEvidence(attestation, false);
  requireNotInFuture(occurredAt, now);
  const outcome = outcomeOf({
    step: 'destroy',
    versions: { subject: state.versions, accepted: [], acceptSet: [], out: [] },
    now,
    done: { provenance: 'attested', ...(occurredAt === undefined ? {} : { occurredAt }) },
  });
  if (!isProcessOutcome(outcome) || outcome.type !== 'OldKeyDestroyed') return [];
  return [
    {
      type: 'Attested',
      provenance: 'attested',
      ...(occurredAt === undefined ? {} : { occurredAt }),
      data: { step: 'destroy', ...attestation },
    },
    outcome,
  ];
}
