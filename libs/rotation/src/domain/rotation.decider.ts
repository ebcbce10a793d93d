import { DomainError, formatInstant, type Decider } from '#eventlog';
import { milliseconds } from './duration.js';
import type { RotationRequest } from './family.events.js';
import type { NewRotationEvent, RotationEvent, RotationPlan } from './rotation.events.js';
import { ENDED, evolveRotation, initialRotation, type RotationState } from './rotation.state.js';
import type { PolicyTerms } from './policy.events.js';

/** What people and consumers ask of a rotation. What the saga records is no command: an outcome is never refused. */
export type RotationCommand =
  | {
      readonly type: 'RequestRotation';
      readonly family: string;
      readonly request: RotationRequest;
      readonly supersedes?: string;
      /** A planned rotation's plan is frozen at its start; an emergency's is made from the observed state. */
      readonly plan?: RotationPlan;
      readonly declaration?: {
        readonly terms: PolicyTerms['emergency'];
        readonly now: number;
        readonly containment?: string;
        readonly decisions: readonly string[];
      };
    }
  | { readonly type: 'ApproveRotation'; readonly subject: string; readonly note?: string }
  | { readonly type: 'RejectRotation'; readonly subject: string; readonly reason: string }
  | {
      readonly type: 'ConfirmAcceptance' | 'ConfirmEmission';
      readonly consumerId: string;
      readonly versionId: string;
      readonly instances: readonly string[];
    }
  | {
      readonly type: 'OverrideConfirmation';
      readonly gate: 'acceptance-confirmations' | 'emission-confirmations' | 'emitter-switch';
      readonly consumerId: string;
      readonly reason: string;
    }
  | { readonly type: 'RollBackRotation'; readonly reason: string; readonly compromised: readonly string[] }
  | { readonly type: 'PauseRotation'; readonly reason: string }
  | { readonly type: 'ResumeRotation'; readonly reason?: string }
  | { readonly type: 'AbandonRotation'; readonly reason: string }
  | { readonly type: 'RetryRotation'; readonly reason?: string }
  | { readonly type: 'AddNote'; readonly note: string }
  | { readonly type: 'RecordReview'; readonly summary: string };

function open(state: RotationState): RotationPlan | undefined {
  if (!state.exists) throw new DomainError('rotation.not-found', 'there is no such rotation');
  if (state.imported) {
    throw new DomainError(
      'rotation.imported',
      'this rotation was imported: it is history, nothing can be asked of it',
    );
  }
  if (ENDED.includes(state.phase)) {
    throw new DomainError('rotation.ended', `this rotation is ${state.phase}`, { phase: state.phase });
  }
  return state.plan;
}

/** Whether an emit intent was ever recorded that was not found unperformed. */
export function emissionMayHaveStarted(state: RotationState): boolean {
  return (
    state.switched !== undefined ||
    state.steps.open?.step === 'emit' ||
    (state.steps.failure?.step === 'emit' && state.steps.failure.performed === 'unknown')
  );
}

function revokeMayHaveStarted(state: RotationState): boolean {
  return (
    state.revoked !== undefined ||
    state.steps.open?.step === 'revoke' ||
    (state.steps.failure?.step === 'revoke' && state.steps.failure.performed === 'unknown')
  );
}

function request(
  command: RotationCommand & { readonly type: 'RequestRotation' },
  state: RotationState,
): readonly NewRotationEvent[] {
  if (state.exists) return [];
  const requested: NewRotationEvent = {
    type: 'RotationRequested',
    data: {
      ...command.request,
      family: command.family,
      ...(command.supersedes === undefined ? {} : { supersedes: command.supersedes }),
    },
  };
  const { emergency, deviation } = command.request;
  if (emergency !== undefined && command.declaration !== undefined) {
    const { terms, now, containment, decisions } = command.declaration;
    return [
      requested,
      {
        type: 'EmergencyDeclared',
        data: {
          ...emergency,
          targets: [...terms.targets],
          approvalDueAt: formatInstant(now + milliseconds(terms.approvalWithin)),
          reviewDueAt: formatInstant(now + milliseconds(terms.reviewWithin)),
          decisions: [...decisions],
          ...(containment === undefined ? {} : { containment }),
        },
      },
    ];
  }
  if (command.plan === undefined) return [requested];
  return [
    requested,
    { type: 'RotationPlanned', data: command.plan },
    ...(deviation === undefined
      ? []
      : [
          {
            type: 'DeviationRecorded' as const,
            data: {
              what:
                command.plan.exceptions.filter((line) => line.includes('by deviation')).join(' ') ||
                'a departure from the policy',
              reason: deviation.reason,
              until: deviation.until,
            },
          },
        ]),
  ];
}

function confirm(
  command: RotationCommand & { readonly type: 'ConfirmAcceptance' | 'ConfirmEmission' },
  state: RotationState,
): readonly NewRotationEvent[] {
  const plan = open(state);
  const acceptance = command.type === 'ConfirmAcceptance';
  const consumer = plan?.consumers.find((each) => each.consumerId === command.consumerId);
  if (plan === undefined || consumer === undefined) {
    throw new DomainError('confirmation.unknown-consumer', 'the plan of this rotation has no such consumer', {
      field: 'consumer',
      consumer: command.consumerId,
    });
  }
  const role = acceptance ? 'verifier' : 'emitter';
  if (!consumer.roles.includes(role)) {
    throw new DomainError('confirmation.wrong-role', `${consumer.name} is not a ${role} of this family`, {
      field: 'kind',
    });
  }
  const expected = acceptance ? plan.incoming : (state.returned?.to ?? state.switched?.to);
  const started = acceptance ? state.accepted !== undefined : expected !== undefined;
  if (!started) {
    throw new DomainError(
      'confirmation.too-early',
      acceptance
        ? 'the new version is not published yet: there is nothing to confirm'
        : 'emission has not moved yet: there is nothing to confirm',
    );
  }
  if (command.versionId !== expected) {
    throw new DomainError(
      'confirmation.other-version',
      `this rotation waits for confirmations of ${expected ?? 'no version'}, not of ${command.versionId}: is it another rotation's?`,
      { field: 'version', expected },
    );
  }
  const known = (acceptance ? state.acceptance : state.emission).find(
    (entry) => entry.consumerId === command.consumerId,
  );
  const fresh = [...new Set(command.instances)].filter(
    (instance) => known?.instances.includes(instance) !== true,
  );
  const count = (known?.instances.length ?? 0) + fresh.length;
  if (fresh.length > 0 && count > consumer.instances) {
    throw new DomainError(
      'confirmation.too-many-instances',
      `${consumer.name} has ${consumer.instances} instances in this plan, and ${count} different ones would have confirmed`,
      { field: 'instances', of: consumer.instances },
    );
  }
  if (fresh.length === 0) return [];
  return [
    {
      type: acceptance ? 'AcceptanceConfirmed' : 'EmissionConfirmed',
      data: { consumerId: command.consumerId, versionId: command.versionId, instances: fresh },
      provenance: 'confirmed',
    },
  ];
}

function decide(command: RotationCommand, state: RotationState): readonly NewRotationEvent[] {
  switch (command.type) {
    case 'RequestRotation':
      return request(command, state);
    case 'ApproveRotation': {
      if (!state.exists || state.imported) open(state);
      if (command.subject === state.requestedBy) {
        throw new DomainError(
          'rotation.own-approval',
          'a rotation is approved by a subject other than the one that requested it',
        );
      }
      if (state.approvals.some((approval) => approval.subject === command.subject)) return [];
      // An emergency is approved in retrospect, also after its end; a planned rotation only while it waits.
      if (state.emergency === undefined) {
        open(state);
        if (state.phase !== 'requested') {
          throw new DomainError('rotation.already-approved', 'this rotation has the approvals it needs');
        }
      }
      return [{ type: 'RotationApproved', data: command.note === undefined ? {} : { note: command.note } }];
    }
    case 'RejectRotation':
      if (state.phase === 'rejected' && !state.imported) return [];
      open(state);
      if (state.phase !== 'requested' || state.emergency !== undefined) {
        throw new DomainError(
          'rotation.not-waiting',
          'only a rotation that waits for approval can be rejected; roll it back or abandon it instead',
        );
      }
      return [{ type: 'RotationRejected', data: { reason: command.reason } }];
    case 'ConfirmAcceptance':
    case 'ConfirmEmission':
      return confirm(command, state);
    case 'OverrideConfirmation': {
      const plan = open(state);
      if (plan?.consumers.some((consumer) => consumer.consumerId === command.consumerId) !== true) {
        throw new DomainError('override.unknown-consumer', 'the plan of this rotation has no such consumer', {
          field: 'consumer',
        });
      }
      const repeated = state.overrides.some(
        (override) => override.gate === command.gate && override.consumerId === command.consumerId,
      );
      return repeated
        ? []
        : [
            {
              type: 'GateOverridden',
              data: { gate: command.gate, consumerId: command.consumerId, reason: command.reason },
            },
          ];
    }
    case 'RollBackRotation': {
      if (state.rollback !== undefined) return [];
      const plan = open(state);
      if (state.emergency !== undefined) {
        throw new DomainError(
          'rotation.emergency-rolls-forward',
          'an emergency is never rolled back: a compromised version is not accepted again; declare another emergency to replace the new one too',
        );
      }
      if (revokeMayHaveStarted(state)) {
        throw new DomainError(
          'rotation.revoked',
          'the old version is already revoked (or its revocation may have happened): request a new rotation',
        );
      }
      if (
        emissionMayHaveStarted(state) &&
        plan?.emittingBefore !== undefined &&
        command.compromised.includes(plan.emittingBefore)
      ) {
        throw new DomainError(
          'rotation.old-compromised',
          'the old version is compromised: emission cannot return to it; declare an emergency',
        );
      }
      if (emissionMayHaveStarted(state) && plan?.emittingBefore === undefined) {
        throw new DomainError(
          'rotation.nothing-before',
          'nothing emitted before this rotation, so there is nothing to return to; request a new rotation',
        );
      }
      return [{ type: 'RollbackRequested', data: { reason: command.reason } }];
    }
    case 'PauseRotation':
      open(state);
      if (state.emergency !== undefined) {
        throw new DomainError('rotation.emergency-not-paused', 'an emergency is not paused');
      }
      return state.pause !== undefined ? [] : [{ type: 'PauseRequested', data: { reason: command.reason } }];
    case 'ResumeRotation':
      open(state);
      return state.pause === undefined
        ? []
        : [{ type: 'RotationResumed', data: command.reason === undefined ? {} : { reason: command.reason } }];
    case 'AbandonRotation':
      if (state.abandon !== undefined) return [];
      open(state);
      if (state.emergency !== undefined) {
        throw new DomainError(
          'rotation.emergency-not-abandoned',
          'an emergency is not abandoned: it rolls forward',
        );
      }
      if (emissionMayHaveStarted(state)) {
        throw new DomainError(
          'rotation.emission-started',
          'something may already emit with the new version: roll it back instead',
        );
      }
      return [{ type: 'AbandonRequested', data: { reason: command.reason } }];
    case 'RetryRotation':
      open(state);
      if (state.suspended === undefined && state.steps.failure?.retried === true) {
        return [];
      }
      if (state.suspended === undefined) {
        throw new DomainError(
          'rotation.not-suspended',
          'this rotation is not suspended: there is nothing to retry',
        );
      }
      return [
        { type: 'RetryRequested', data: command.reason === undefined ? {} : { reason: command.reason } },
      ];
    case 'AddNote':
      if (!state.exists) open(state);
      return [{ type: 'NoteAdded', data: { note: command.note }, provenance: 'attested' }];
    case 'RecordReview':
      if (!state.exists || state.imported) open(state);
      if (state.emergency === undefined) {
        throw new DomainError('rotation.not-an-emergency', 'only an emergency owes a post-incident review');
      }
      return state.reviewedAt !== undefined
        ? []
        : [{ type: 'PostIncidentReviewed', data: { summary: command.summary }, provenance: 'attested' }];
  }
}

export const rotationDecider: Decider<RotationCommand, RotationState, NewRotationEvent, RotationEvent> = {
  initialState: initialRotation,
  decide,
  evolve: evolveRotation,
};
