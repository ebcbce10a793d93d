import { DomainError, formatInstant, parseInstant, type Decider } from '#eventlog';
import { requireEvidence, requireNotInFuture } from './attestation.js';
import { byAndAt, decisionOf } from './decided.js';
import { milliseconds } from './duration.js';
import type { RotationRequest } from './family.events.js';
import type {
  Attestation,
  NewRotationEvent,
  OVERRIDABLE,
  RotationEvent,
  RotationPlan,
} from './rotation.events.js';
import { ENDED, evolveRotation, initialRotation, type RotationState } from './rotation.state.js';
import type { PolicyTerms } from './policy.events.js';
import { nextCohort, isAttested } from './saga/perform.js';
import { OBSERVING_LIMIT_MS } from './saga/emergency.js';
import { isProcessOutcome, outcomeOf, versionsOf } from './step-effects.js';
import { stepTable } from './step-table.js';
import type { StepName } from './step.events.js';

/** What people and consumers ask of a rotation. What the saga records is no command: an outcome is never refused. */
export type RotationCommand =
  | {
      readonly type: 'RequestRotation';
      readonly family: string;
      readonly request: RotationRequest;
      readonly supersedes?: string;
      /** A planned rotation's plan is frozen at its start; an emergency's is made from the observed state. */
      readonly plan?: RotationPlan;
      /** How the family departs from its policy while this is planned. */
      readonly departures?: readonly {
        readonly what: string;
        readonly reason: string;
        readonly until: string;
        readonly family: { readonly deviation: string; readonly approvedBy: string };
      }[];
      readonly declaration?: {
        readonly terms: PolicyTerms['emergency'];
        readonly now: number;
        readonly containment?: string;
        readonly decisions: readonly string[];
      };
    }
  | {
      readonly type: 'ApproveRotation';
      readonly subject: string;
      readonly note?: string;
      readonly now: number;
    }
  | { readonly type: 'RejectRotation'; readonly subject: string; readonly reason: string }
  | {
      readonly type: 'ConfirmAcceptance' | 'ConfirmEmission';
      readonly consumerId: string;
      readonly versionId: string;
      readonly instances: readonly string[];
    }
  | {
      readonly type: 'OverrideConfirmation';
      readonly gate: (typeof OVERRIDABLE)[number];
      /** Whose; none for telemetry. */
      readonly consumerId?: string;
      readonly reason: string;
    }
  | {
      readonly type: 'RollBackRotation';
      readonly reason: string;
      readonly compromised: readonly string[];
      /** Versions that are denied on suspicion, or about to be. */
      readonly contained?: readonly string[];
      /** Versions whose key material is gone. */
      readonly destroyed?: readonly string[];
      /** The back end can take its revocation back; where it cannot, that was the point of no return. */
      readonly reversible?: boolean;
      /** After the revocation: cuts the accept window of the old version, as a recorded decision. */
      readonly acceptWindow?: string;
    }
  | {
      readonly type: 'WithdrawConfirmation';
      readonly kind: 'acceptance' | 'emission';
      readonly consumerId: string;
      readonly instances: readonly string[];
      readonly reason: string;
    }
  | {
      readonly type: 'SwitchToAttested';
      readonly step: StepName;
      readonly reason: string;
      readonly now: number;
    }
  | {
      readonly type: 'AttestStep';
      readonly step: StepName;
      readonly attestation: Attestation;
      /** When it was so, where that is known. */
      readonly occurredAt?: number;
      readonly now: number;
      /** Every version the family ever had: what people made is none of them. */
      readonly known?: readonly string[];
      /** What people made, where the step made something. */
      readonly generated?: {
        readonly versionId?: string;
        readonly algorithm?: string;
        readonly strengthBits?: number;
        readonly fingerprint?: string;
      };
    }
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
    (['emit', 'cutover'] as const).some(
      (step) =>
        state.steps.open?.step === step ||
        (state.steps.failure?.step === step && state.steps.failure.performed === 'unknown'),
    )
  );
}

function revokeMayHaveStarted(state: RotationState): boolean {
  return (
    state.revoked !== undefined ||
    (['revoke', 'cutover'] as const).some(
      (step) =>
        state.steps.open?.step === step ||
        (state.steps.failure?.step === step && state.steps.failure.performed === 'unknown'),
    )
  );
}

/** What stands on a deviation that ended is neither opened nor approved any more. */
export function requireDeviationInForce(request: RotationRequest | undefined, now: number): void {
  const until = request?.deviation?.until;
  if (until === undefined || now < (parseInstant(until) ?? Infinity)) return;
  throw new DomainError(
    'deviation.expired',
    `the deviation this rotation stands on ended ${until}: reject it, and ask again without one, or with a later end`,
    { field: 'deviation.until', until },
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
  const { standing } = command.request;
  return [
    requested,
    { type: 'RotationPlanned', data: command.plan },
    ...(standing === undefined || command.plan.approvals === 0
      ? []
      : [{ type: 'RotationApproved' as const, data: { standing } }]),
    ...(command.departures ?? []).map((departure) => ({
      type: 'DeviationRecorded' as const,
      data: departure,
    })),
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

function consumersOf(plan: RotationPlan | undefined): string {
  const known = plan?.consumers.map(({ name }) => name).join(', ') ?? '';
  return `it has: ${known === '' ? 'none' : known}`;
}

function confirm(
  command: RotationCommand & { readonly type: 'ConfirmAcceptance' | 'ConfirmEmission' },
  state: RotationState,
): readonly NewRotationEvent[] {
  const plan = open(state);
  const acceptance = command.type === 'ConfirmAcceptance';
  const consumer = plan?.consumers.find((each) => each.consumerId === command.consumerId);
  if (plan === undefined || consumer === undefined) {
    throw new DomainError(
      'confirmation.unknown-consumer',
      `the plan of this rotation has no consumer ${command.consumerId}; ${consumersOf(plan)}`,
      { field: 'consumer', consumer: command.consumerId },
    );
  }
  const role = acceptance ? 'verifier' : 'emitter';
  if (!consumer.roles.includes(role)) {
    throw new DomainError(
      'confirmation.wrong-role',
      `${consumer.name} is not ${acceptance ? 'a verifier' : 'an emitter'} of this family`,
      {
        field: 'kind',
      },
    );
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

/** A confirmation was wrong; what followed from it stands, what waits for it waits again. */
function withdrawConfirmation(
  command: RotationCommand & { readonly type: 'WithdrawConfirmation' },
  state: RotationState,
): readonly NewRotationEvent[] {
  const { kind, consumerId, reason } = command;
  open(state);
  const known = (kind === 'acceptance' ? state.acceptance : state.emission).find(
    (entry) => entry.consumerId === consumerId,
  );
  const instances = command.instances.filter((instance) => known?.instances.includes(instance) === true);
  if (instances.length === 0) {
    throw new DomainError('confirmation.not-found', 'none of these instances confirmed this', {
      field: 'instances',
    });
  }
  const versionId = kind === 'acceptance' ? state.plan?.incoming : (state.returned?.to ?? state.switched?.to);
  return [
    {
      type: 'ConfirmationWithdrawn',
      data: { kind, consumerId, versionId: versionId ?? 'not recorded', instances, reason },
    },
  ];
}

/** Steps people can be asked for in the phase a rotation is in, in the order the saga would take them. */
function attestable(state: RotationState): readonly StepName[] {
  const undone = (step: StepName): boolean => {
    switch (step) {
      case 'generate':
        return state.generated === undefined;
      case 'accept':
        return state.accepted === undefined;
      case 'emit':
        return state.switched === undefined || nextCohort(state) !== undefined;
      case 'cutover':
        return state.switched === undefined;
      case 'revoke':
        return state.revoked === undefined;
      case 'verify':
        return state.verified === undefined;
      case 'reaccept':
        return state.revoked !== undefined && state.reaccepted === undefined;
      case 'return':
      case 'cutback':
        return state.switched !== undefined && state.returned === undefined;
      case 'withdraw':
        return state.generated !== undefined && state.withdrawn === undefined;
      case 'contain':
      case 'lift':
      case 'destroy':
        return false;
    }
  };
  return stepsOf(state).filter(undone);
}

/** Forward as planned; back once somebody asked for that. */
function stepsOf({ plan, rollback, abandon }: RotationState): readonly StepName[] {
  if (rollback === undefined && abandon === undefined) return plan?.steps ?? [];
  return plan?.strategy === 'cutover' ? ['cutback', 'withdraw'] : ['reaccept', 'return', 'withdraw'];
}

function switchToAttested(
  command: RotationCommand & { readonly type: 'SwitchToAttested' },
  state: RotationState,
): readonly NewRotationEvent[] {
  const { step, reason, now } = command;
  const plan = open(state);
  if (isAttested(state, step)) return [];
  const possible =
    stepTable[step].direction !== 'aside' && (plan === undefined || attestable(state).includes(step));
  if (!possible) {
    throw new DomainError(
      'step.not-open',
      `${step} is not to be done in this rotation; to be done are: ${attestable(state).join(', ') || 'none'}`,
      { field: 'step' },
    );
  }
  // A request that is still on its way would act after people did (contracts, An emergency over a running rotation).
  const { open: inFlight, failure } = state.steps;
  const until =
    inFlight?.step === step
      ? inFlight.leaseUntil + OBSERVING_LIMIT_MS
      : failure?.step === step && failure.performed === 'unknown'
        ? failure.at + OBSERVING_LIMIT_MS
        : 0;
  if (now < until) {
    throw new DomainError(
      'step.in-flight',
      `an attempt of ${step} may still take effect: it is observed until ${formatInstant(until)}, then people may take over`,
      { field: 'step', until: formatInstant(until) },
    );
  }
  return [{ type: 'StepSwitchedToAttested', data: { step, reason } }];
}

function attest(
  command: RotationCommand & { readonly type: 'AttestStep' },
  state: RotationState,
): readonly NewRotationEvent[] {
  const { step, attestation, occurredAt, now, generated } = command;
  const plan = open(state);
  if (plan === undefined) {
    throw new DomainError('step.not-open', 'this rotation has no plan yet: there is nothing to attest');
  }
  const steps = stepsOf(state);
  if (!steps.includes(step)) {
    throw new DomainError('step.not-open', `this plan has no step ${step}: ${steps.join(', ') || 'none'}`, {
      field: 'step',
      steps,
    });
  }
  if (!isAttested(state, step)) {
    throw new DomainError(
      'step.not-attested',
      `Keyturn performs ${step} itself: switch it to attested first, with a reason`,
      { field: 'step' },
    );
  }
  const [next] = attestable(state);
  if (next !== step) {
    throw new DomainError(
      'step.not-open',
      next === undefined
        ? 'every step of this rotation is done'
        : `${next} comes before ${step}: attest that first`,
      { field: 'step', next },
    );
  }
  requireEvidence(attestation, state.emergency !== undefined);
  requireNotInFuture(occurredAt, now);
  const versions = versionsOf(step, plan, state, []);
  const named = generated?.versionId;
  const before = [...plan.versionsBefore.map((version) => version.versionId), ...(command.known ?? [])];
  if (step === 'generate' && named !== undefined && before.includes(named)) {
    throw new DomainError(
      'version.known',
      `this family had a version ${named} before: a new one has a name of its own, and what was compromised is never used again`,
      { field: 'generated.versionId' },
    );
  }
  const made = outcomeOf({
    step,
    versions: named === undefined ? versions : { ...versions, subject: [named] },
    share: nextCohort(state)?.share,
    trustTerm: plan.trustTerm,
    now,
    done: {
      provenance: 'attested',
      ...(occurredAt === undefined ? {} : { occurredAt }),
      ...(step === 'generate'
        ? {
            generated: {
              algorithm: generated?.algorithm ?? plan.algorithm ?? 'not recorded',
              ...(generated?.strengthBits === undefined ? {} : { strengthBits: generated.strengthBits }),
              ...(generated?.fingerprint === undefined ? {} : { fingerprint: generated.fingerprint }),
            },
          }
        : {}),
      ...(step === 'verify'
        ? { refused: versions.subject.map((versionId) => ({ versionId, how: 'attested' })), accepted: [] }
        : {}),
    },
  });
  if (isProcessOutcome(made)) return [];
  return [
    {
      type: 'Attested',
      provenance: 'attested',
      ...(occurredAt === undefined ? {} : { occurredAt }),
      data: { step, ...attestation },
    },
    made,
  ];
}

/** An emergency runs first and is approved afterwards: whoever refuses then undoes nothing, and the record says so for good. */
function refuseInRetrospect(
  command: RotationCommand & { readonly type: 'RejectRotation' },
  state: RotationState,
): readonly NewRotationEvent[] {
  if (command.subject === state.requestedBy) {
    throw new DomainError(
      'rotation.own-approval',
      'an emergency is approved or refused in retrospect by a subject other than the one that declared it',
    );
  }
  if (state.refused !== undefined) {
    const { subject, at } = state.refused;
    throw new DomainError(
      'rotation.approval-refused',
      `the approval of this emergency was refused already, ${byAndAt(subject, at)}: record your own reasons as a note`,
      decisionOf(subject, at),
    );
  }
  const [approval] = state.approvals;
  if (approval !== undefined) {
    throw new DomainError(
      'rotation.already-approved',
      `this emergency was approved in retrospect, ${byAndAt(approval.subject, approval.at)}, and the approval stands: record your objection as a note`,
      decisionOf(approval.subject, approval.at),
    );
  }
  return [{ type: 'RotationRejected', data: { reason: command.reason, inRetrospect: true } }];
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
      const before = state.approvals.find((approval) => approval.subject === command.subject);
      if (before !== undefined) {
        throw new DomainError(
          'rotation.already-approved',
          `this rotation was already approved ${byAndAt(before.subject, before.at)}: nothing more is recorded`,
          decisionOf(before.subject, before.at),
        );
      }
      if (state.refused !== undefined) {
        throw new DomainError(
          'rotation.approval-refused',
          'the approval of this emergency was refused in retrospect, and stays refused: record what changed as a note',
        );
      }
      // An emergency is approved in retrospect, also after its end; a planned rotation only while it waits.
      if (state.emergency === undefined) {
        open(state);
        if (state.phase !== 'requested') {
          const said = state.approvals.map(({ subject, at }) => byAndAt(subject, at)).join(', ');
          throw new DomainError(
            'rotation.already-approved',
            `this rotation has the approvals it needs${said === '' ? '' : `, ${said}`}`,
            { approvals: state.approvals.map(({ subject, at }) => decisionOf(subject, at)) },
          );
        }
        requireDeviationInForce(state.request, command.now);
      }
      return [{ type: 'RotationApproved', data: command.note === undefined ? {} : { note: command.note } }];
    }
    case 'RejectRotation':
      if (state.emergency !== undefined && !state.imported) return refuseInRetrospect(command, state);
      if (state.phase === 'rejected' && !state.imported) {
        throw new DomainError(
          'rotation.already-rejected',
          `this rotation was already rejected ${byAndAt(state.ended?.by, state.ended?.at)}: nothing more is recorded`,
          decisionOf(state.ended?.by, state.ended?.at),
        );
      }
      open(state);
      if (state.phase !== 'requested') {
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
      const known = plan?.consumers.some((consumer) => consumer.consumerId === command.consumerId) === true;
      if (command.gate === 'telemetry' ? command.consumerId !== undefined : !known) {
        throw new DomainError(
          'override.unknown-consumer',
          command.gate === 'telemetry'
            ? 'telemetry is no one consumer’s: leave the consumer out'
            : command.consumerId === undefined
              ? `name the consumer whose word is not waited for; ${consumersOf(plan)}`
              : `the plan of this rotation has no consumer ${command.consumerId}; ${consumersOf(plan)}`,
          { field: 'consumer' },
        );
      }
      const repeated = state.overrides.some(
        (override) => override.gate === command.gate && override.consumerId === command.consumerId,
      );
      return repeated
        ? []
        : [
            {
              type: 'GateOverridden',
              data: {
                gate: command.gate,
                ...(command.consumerId === undefined ? {} : { consumerId: command.consumerId }),
                reason: command.reason,
              },
            },
          ];
    }
    case 'WithdrawConfirmation':
      return withdrawConfirmation(command, state);
    case 'SwitchToAttested':
      return switchToAttested(command, state);
    case 'AttestStep':
      return attest(command, state);
    case 'RollBackRotation': {
      if (state.rollback !== undefined) return [];
      const plan = open(state);
      if (state.emergency !== undefined) {
        throw new DomainError(
          'rotation.emergency-rolls-forward',
          'an emergency is never rolled back: a compromised version is not accepted again; declare another emergency to replace the new one too',
        );
      }
      const old = plan?.emittingBefore;
      if (revokeMayHaveStarted(state) && command.reversible !== true) {
        throw new DomainError(
          'rotation.point-of-no-return',
          'this back end cannot take a revocation back, and the old version is revoked (or may be): request a new rotation',
        );
      }
      if (old !== undefined && command.destroyed?.includes(old) === true) {
        throw new DomainError(
          'rotation.old-destroyed',
          'the old version’s key material is destroyed: request a new rotation',
        );
      }
      if (command.acceptWindow !== undefined && !revokeMayHaveStarted(state)) {
        throw new DomainError(
          'rollback.no-accept-window',
          'the old version is still accepted: there is no accept window to cut',
          { field: 'acceptWindow' },
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
      if (emissionMayHaveStarted(state) && old !== undefined && command.contained?.includes(old) === true) {
        throw new DomainError(
          'rotation.old-contained',
          'the old version is contained on suspicion: what returns to it would be refused everywhere; let this rotation go on, or declare an emergency',
        );
      }
      if (emissionMayHaveStarted(state) && plan?.emittingBefore === undefined) {
        throw new DomainError(
          'rotation.nothing-before',
          'nothing emitted before this rotation, so there is nothing to return to; request a new rotation',
        );
      }
      return [
        {
          type: 'RollbackRequested',
          data: {
            reason: command.reason,
            ...(command.acceptWindow === undefined ? {} : { acceptWindow: command.acceptWindow }),
          },
        },
      ];
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
      // One that ended may still be in the way of its family's slot.
      if (state.suspended === undefined || state.imported) open(state);
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
      if (state.reviewedAt !== undefined) {
        throw new DomainError(
          'rotation.already-reviewed',
          `the review of this emergency is already on record, ${byAndAt(state.reviewedBy, state.reviewedAt)}, and stands: add what is new as a note`,
          decisionOf(state.reviewedBy, state.reviewedAt),
        );
      }
      return [{ type: 'PostIncidentReviewed', data: { summary: command.summary }, provenance: 'attested' }];
  }
}

export const rotationDecider: Decider<RotationCommand, RotationState, NewRotationEvent, RotationEvent> = {
  initialState: initialRotation,
  decide,
  evolve: evolveRotation,
};
