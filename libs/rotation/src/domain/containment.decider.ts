import { DomainError } from '#eventlog';
import { requireEvidence, requireNotInFuture } from './attestation.js';
import type { NewContainmentEvent } from './containment.events.js';
import type { ContainmentState } from './containment.state.js';
import { liftRefusal, type FamilyState } from './family.decider.js';
import { isLiftedByPeople } from './process.saga.js';
import type { Attestation } from './rotation.events.js';
import { isProcessOutcome, outcomeOf } from './step-effects.js';

/** What a person may ask of a containment that exists. */
export type ContainmentCommand =
  | { readonly type: 'LiftContainment'; readonly reason: string }
  | { readonly type: 'RetryContainment' }
  | {
      readonly type: 'AttestContainment';
      readonly step: 'contain' | 'lift';
      readonly attestation: Attestation;
      /** When it was so, where that is known. */
      readonly occurredAt?: number;
      readonly now: number;
    };

export function decideContainment(
  command: ContainmentCommand,
  state: ContainmentState,
  family: Pick<FamilyState, 'compromised' | 'cleared' | 'familyId'>,
): readonly NewContainmentEvent[] {
  if (!state.exists) throw new DomainError('containment.not-found', 'there is no such containment');
  switch (command.type) {
    case 'LiftContainment': {
      if (state.lift !== undefined || state.lifted !== undefined) return [];
      if (state.applied === undefined) {
        throw new DomainError(
          'containment.not-applied',
          'this containment is not applied yet: there is nothing to lift',
        );
      }
      const refused = liftRefusal(family, state.versions);
      if (refused !== undefined) throw new DomainError(refused.code, refused.reason);
      return [{ type: 'ContainmentLiftRequested', data: { family: state.familyId, reason: command.reason } }];
    }
    case 'RetryContainment':
      if (state.status === 'suspended') return [{ type: 'ContainmentRetried', data: {} }];
      if (state.steps.failure?.retried === true) return [];
      throw new DomainError(
        'containment.not-suspended',
        'this containment is not suspended: there is nothing to retry',
      );
    case 'AttestContainment':
      return attest(command, state);
  }
}

function attest(
  command: ContainmentCommand & { readonly type: 'AttestContainment' },
  state: ContainmentState,
): readonly NewContainmentEvent[] {
  const { step, attestation, occurredAt, now } = command;
  if (step === 'contain' && state.applied !== undefined) {
    throw new DomainError('step.not-open', 'this containment is applied already', { field: 'step' });
  }
  if (step === 'lift' && state.status !== 'lifting') {
    throw new DomainError('step.not-open', 'nobody asked for this containment to be lifted', {
      field: 'step',
    });
  }
  if (step === 'lift' && !isLiftedByPeople(state)) {
    throw new DomainError(
      'step.not-attested',
      'Keyturn applied this containment and lifts it itself: there is nothing to attest',
      { field: 'step' },
    );
  }
  // A containment is an emergency's first move: a note does, and its evidence can be named later.
  requireEvidence(attestation, step === 'contain');
  requireNotInFuture(occurredAt, now);
  const outcome = outcomeOf({
    step,
    versions: { subject: state.versions, accepted: [], acceptSet: [], out: [] },
    trustTerm: state.trustTerm,
    now,
    done: { provenance: 'attested', ...(occurredAt === undefined ? {} : { occurredAt }) },
  });
  if (!isProcessOutcome(outcome) || outcome.type === 'OldKeyDestroyed') return [];
  return [
    {
      type: 'Attested',
      provenance: 'attested',
      ...(occurredAt === undefined ? {} : { occurredAt }),
      data: { step, ...attestation },
    },
    outcome,
  ];
}
