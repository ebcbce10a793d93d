import { parseInstant } from '#eventlog';
import { milliseconds } from './duration.js';
import type { RotationRequest } from './family.events.js';
import type { RotationEvent, RotationPlan } from './rotation.events.js';
import type { StepName } from './step.events.js';
import {
  evolveSteps,
  noSteps,
  reopenSteps,
  retrySteps,
  stepOfOutcome,
  type StepsState,
} from './steps.state.js';
import type { VersionSnapshot } from './vocabulary.js';
import { markCompromised, mergeVersions } from './versions.js';
import { formatInstant } from '#eventlog';

/** The phases of the design's drawing, and the ends. */
export type RotationPhase =
  | 'requested'
  | 'approved'
  | 'generated'
  | 'accepting'
  | 'emitting'
  | 'draining'
  | 'revoked'
  | 'watching'
  | 'rolling-back'
  | 'completed'
  | 'rolled-back'
  | 'abandoned'
  | 'rejected'
  | 'superseded';

export const ENDED: readonly RotationPhase[] = [
  'completed',
  'rolled-back',
  'abandoned',
  'rejected',
  'superseded',
];

/** Instances of one consumer that confirmed one version. */
export interface Confirmations {
  readonly consumerId: string;
  readonly instances: readonly string[];
  /** When the last instance confirmed; present once k = n. */
  readonly completeAt?: number;
  readonly completeBy?: string;
}

/** A fact the saga refers back to: when it was recorded, and its id (the cause of what it makes due). */
export interface Mark {
  readonly at: number;
  readonly eventId: string;
  readonly revision: number;
}

export interface Switched extends Mark {
  readonly to: string;
  readonly share: number;
  /** Attested, and not compared with the back end yet. */
  readonly attested?: boolean;
}

export interface RotationState {
  readonly exists: boolean;
  readonly rotationId: string;
  readonly familyId: string;
  readonly phase: RotationPhase;
  /** From an import: it is shown, it never acts. */
  readonly imported: boolean;
  readonly request?: RotationRequest;
  readonly requestedBy?: string;
  readonly requestedAt?: number;
  readonly correlationId?: string;
  readonly supersedes?: string;
  readonly plan?: RotationPlan;
  /** Whoever was an emitter in the plan as it stood at any time: each may hold its switch for this rotation. */
  readonly emitters: readonly string[];
  readonly approvals: readonly { readonly subject: string; readonly at: number }[];
  /** Of an emergency: its approval in retrospect was refused. An exception; what was done stands. */
  readonly refused?: { readonly subject: string; readonly at: number; readonly reason: string };
  readonly emergency?: {
    readonly compromised: readonly string[];
    readonly discoveredAt: number;
    readonly approvalDueAt: number;
    readonly reviewDueAt: number;
    readonly containment?: string;
  };
  readonly steps: StepsState;
  /** What was generated, with what is known of it. */
  readonly generated?: VersionSnapshot;
  readonly accepted?: Mark;
  readonly switched?: Switched;
  /** Where emission stood before people said that they moved it on: what holds if the back end says otherwise. */
  readonly switchedBefore?: { readonly switched: Switched; readonly emission: readonly Confirmations[] };
  readonly returned?: Mark & { readonly to: string };
  readonly revoked?: Mark & { readonly versions: readonly string[]; readonly trustEndsAt?: number };
  readonly verified?: Mark;
  /** On the way back after the revocation: what was revoked is accepted again. */
  readonly reaccepted?: Mark & { readonly versions: readonly string[] };
  readonly withdrawn?: Mark;
  readonly acceptance: readonly Confirmations[];
  /** Of the version emission last moved to. */
  readonly emission: readonly Confirmations[];
  readonly overrides: readonly { readonly gate: string; readonly consumerId?: string }[];
  /** Steps people perform instead of the back end. */
  readonly attestedSteps: readonly StepName[];
  /** Attested, and not yet compared with what the back end shows. */
  readonly unreconciled: readonly StepName[];
  /** When the oldest of them was attested: from then on it is to be compared, whatever else happens meanwhile. */
  readonly unreconciledSince?: number;
  /** The rotation was over when the back end turned out to show something else. */
  readonly contradicted?: Mark & {
    readonly steps: readonly StepName[];
    readonly differences: readonly string[];
  };
  readonly rollback?: Mark & { readonly acceptWindow?: string };
  readonly pause?: Mark;
  readonly abandon?: Mark;
  readonly paused: boolean;
  readonly suspended?: Mark & { readonly code: string; readonly reason: string; readonly person: string };
  readonly reviewedAt?: number;
  readonly reviewedBy?: string;
  /** `by`: who rejected it; left out for every other end. */
  readonly ended?: Mark & { readonly by?: string };
  /** The newest fact that may have made something due; the cause of what follows from it. */
  readonly lastMove?: Mark;
}

export const initialRotation: RotationState = {
  exists: false,
  rotationId: '',
  familyId: '',
  phase: 'requested',
  imported: false,
  emitters: [],
  approvals: [],
  steps: noSteps,
  acceptance: [],
  emission: [],
  overrides: [],
  attestedSteps: [],
  unreconciled: [],
  paused: false,
};

function mark(event: RotationEvent): Mark {
  return { at: event.recordedAt, eventId: event.id, revision: event.revision };
}

/** When it was so. An imported fact without an instant has none: when it was imported says nothing of it. */
function instantOf(event: RotationEvent): number | undefined {
  return event.occurredAt ?? (event.provenance === 'imported' ? undefined : event.recordedAt);
}

function stated(event: RotationEvent, name: 'requestedAt'): { readonly requestedAt?: number } {
  const at = instantOf(event);
  return at === undefined ? {} : { [name]: at };
}

function createdAt(event: RotationEvent & { readonly type: 'KeyGenerated' }): {
  readonly createdAt?: string;
} {
  const at = instantOf(event);
  if (event.data.backEndAt !== undefined) return { createdAt: event.data.backEndAt };
  return at === undefined ? {} : { createdAt: formatInstant(at) };
}

function confirm(
  known: readonly Confirmations[],
  event: RotationEvent & { readonly type: 'AcceptanceConfirmed' | 'EmissionConfirmed' },
  plan: RotationPlan | undefined,
): readonly Confirmations[] {
  const { consumerId, instances } = event.data;
  const before = known.find((entry) => entry.consumerId === consumerId);
  const all = [...new Set([...(before?.instances ?? []), ...instances])];
  const needed =
    plan?.consumers.find((consumer) => consumer.consumerId === consumerId)?.instances ?? all.length;
  const complete =
    before?.completeAt !== undefined
      ? {
          completeAt: before.completeAt,
          ...(before.completeBy === undefined ? {} : { completeBy: before.completeBy }),
        }
      : all.length >= needed
        ? { completeAt: event.recordedAt, completeBy: event.id }
        : {};
  return [
    ...known.filter((entry) => entry.consumerId !== consumerId),
    { consumerId, instances: all, ...complete },
  ];
}

/** How many instances a consumer has binds what was confirmed before, too: grown, it is no longer complete; shrunk, it may be now. */
function recounted(
  known: readonly Confirmations[],
  plan: RotationPlan,
  event: RotationEvent,
): readonly Confirmations[] {
  return known.map((entry) => {
    const of = plan.consumers.find((consumer) => consumer.consumerId === entry.consumerId)?.instances;
    if (of === undefined) return entry;
    const { completeAt, completeBy: _by, ...counted } = entry;
    if (counted.instances.length < of) return counted;
    return completeAt === undefined
      ? { ...counted, completeAt: event.recordedAt, completeBy: event.id }
      : entry;
  });
}

/** Which consumers of a role have neither confirmed with all instances nor been overridden. */
export function missingConfirmations(
  state: RotationState,
  gate: 'acceptance-confirmations' | 'emission-confirmations',
): readonly string[] {
  const role = gate === 'acceptance-confirmations' ? 'verifier' : 'emitter';
  const confirmed = gate === 'acceptance-confirmations' ? state.acceptance : state.emission;
  return (state.plan?.consumers ?? [])
    .filter(
      (consumer) =>
        consumer.roles.includes(role) &&
        !state.overrides.some(
          (override) => override.gate === gate && override.consumerId === consumer.consumerId,
        ) &&
        !confirmed.some(
          (entry) => entry.consumerId === consumer.consumerId && entry.completeAt !== undefined,
        ),
    )
    .map((consumer) => consumer.consumerId);
}

/**
 * When the drain began: at the last `EmissionConfirmed`; an overridden emitter counts from the switch plus its own
 * propagation. `undefined` while a confirmation is missing, or cohorts are still to come.
 */
export function drainStart(state: RotationState): Mark | undefined {
  const from = state.returned ?? state.switched;
  if (from === undefined || state.plan === undefined) return undefined;
  if (state.returned === undefined && (state.switched?.share ?? 100) < 100) return undefined;
  if (missingConfirmations(state, 'emission-confirmations').length > 0) return undefined;
  let start: Mark = from;
  for (const consumer of state.plan.consumers.filter((each) => each.roles.includes('emitter'))) {
    const confirmed = state.emission.find((entry) => entry.consumerId === consumer.consumerId);
    const candidate: Mark =
      confirmed?.completeAt !== undefined
        ? { at: confirmed.completeAt, eventId: confirmed.completeBy ?? from.eventId, revision: from.revision }
        : { ...from, at: from.at + milliseconds(consumer.emitterPropagation) };
    if (candidate.at >= start.at) start = candidate;
  }
  return start;
}

/** The family's versions after the facts of this rotation. */
export function versionsAfter(
  state: RotationState,
  compromised: readonly string[],
): readonly VersionSnapshot[] {
  const incoming = state.generated;
  const before = state.plan?.versionsBefore ?? [];
  const known = incoming === undefined ? before : mergeVersions(before, [incoming]);
  const emitting = state.returned?.to ?? state.switched?.to;
  const moved = known.map((version) => {
    const revoked =
      state.revoked?.versions.includes(version.versionId) === true &&
      state.reaccepted?.versions.includes(version.versionId) !== true;
    const isIncoming = version.versionId === incoming?.versionId;
    const accepted = revoked
      ? false
      : isIncoming
        ? state.accepted !== undefined && state.withdrawn === undefined
        : version.accepted;
    const share =
      emitting === undefined
        ? revoked
          ? { emittingShare: 0 }
          : {}
        : { emittingShare: shareOf(state, version.versionId, emitting) };
    return { ...version, accepted, ...share };
  });
  return markCompromised(moved, compromised);
}

/** While emission is split, what emitted before keeps the rest. */
function shareOf(state: RotationState, versionId: string, emitting: string): number {
  const share = state.returned === undefined ? (state.switched?.share ?? 100) : 100;
  if (versionId === emitting) return share;
  return versionId === state.plan?.emittingBefore ? 100 - share : 0;
}

function phaseWhileEmitting(state: RotationState): RotationPhase {
  if (state.plan?.strategy === 'cutover') {
    return missingConfirmations(state, 'emission-confirmations').length === 0 ? 'watching' : 'emitting';
  }
  if ((state.switched?.share ?? 100) < 100) return 'emitting';
  return missingConfirmations(state, 'emission-confirmations').length === 0 ? 'draining' : 'emitting';
}

/**
 * Somebody who was taken over says late what is on record already, or says it after the end: it moves nothing, and no window
 * begins anew. A cohort is a part of its own.
 */
function settledBefore(state: RotationState, event: RotationEvent): boolean {
  const step = stepOfOutcome(event.type);
  if (step === undefined || state.imported) return false;
  if (ENDED.includes(state.phase)) return true;
  if (!state.steps.done.includes(step)) return false;
  return event.type !== 'EmitterSwitched' || event.data.share <= (state.switched?.share ?? 0);
}

function withEmitters(
  known: readonly string[],
  { consumers }: Pick<RotationPlan, 'consumers'>,
): readonly string[] {
  const now = consumers.filter((each) => each.roles.includes('emitter')).map((each) => each.consumerId);
  return [...new Set([...known, ...now])];
}

/** The plan as it binds after an amendment. */
export function amendedPlan(
  plan: RotationPlan,
  change: (RotationEvent & { readonly type: 'PlanAmended' })['data'],
): RotationPlan {
  const { trustTerm: _before, ...withoutBound } = plan;
  const { consumers, windows, trustTerm, outage } = change;
  return {
    ...withoutBound,
    consumers,
    ...(windows === undefined ? {} : { windows }),
    // Absent: no bound is known any more.
    ...(trustTerm === undefined ? {} : { trustTerm }),
    ...(outage === undefined ? {} : { outage }),
  };
}

/** Total: any event of the stream folds, whatever came before. */
export function evolveRotation(state: RotationState, event: RotationEvent): RotationState {
  const steps = evolveSteps(state.steps, event);
  if (settledBefore(state, event)) return { ...state, steps };
  const moved = { ...state, steps, lastMove: mark(event) };
  switch (event.type) {
    case 'StepStarted':
      return { ...state, steps };
    case 'StepFailed':
      return moved;
    case 'RotationRequested': {
      const { family, supersedes, ...request } = event.data;
      return {
        ...moved,
        exists: true,
        rotationId: event.stream.slice('rotation-'.length),
        familyId: family,
        phase: 'requested',
        imported: event.provenance === 'imported',
        request,
        requestedBy: request.requestedBy,
        ...stated(event, 'requestedAt'),
        correlationId: event.correlationId,
        ...(supersedes === undefined ? {} : { supersedes }),
      };
    }
    case 'RotationPlanned':
      return {
        ...moved,
        plan: event.data,
        emitters: withEmitters(state.emitters, event.data),
        phase: state.phase === 'requested' && event.data.approvals === 0 ? 'approved' : state.phase,
      };
    case 'RotationApproved': {
      // Approved in advance: by whoever granted it, not by whoever's command carried it.
      const subject = event.data.standing?.grantedBy ?? event.actor;
      const approvals = state.approvals.some((approval) => approval.subject === subject)
        ? state.approvals
        : [...state.approvals, { subject, at: event.recordedAt }];
      const enough = approvals.length >= (state.plan?.approvals ?? 1);
      return { ...moved, approvals, phase: state.phase === 'requested' && enough ? 'approved' : state.phase };
    }
    case 'RotationRejected':
      // An emergency ran before anybody was asked: refusing it afterwards undoes and ends nothing.
      return event.data.inRetrospect === true
        ? { ...moved, refused: { subject: event.actor, at: event.recordedAt, reason: event.data.reason } }
        : { ...withoutSuspension(moved), phase: 'rejected', ended: { ...mark(event), by: event.actor } };
    case 'EmergencyDeclared':
      return {
        ...moved,
        emergency: {
          compromised: event.data.compromisedVersions,
          discoveredAt: parseInstant(event.data.discoveredAt) ?? event.recordedAt,
          approvalDueAt: parseInstant(event.data.approvalDueAt) ?? event.recordedAt,
          reviewDueAt: parseInstant(event.data.reviewDueAt) ?? event.recordedAt,
          ...(event.data.containment === undefined ? {} : { containment: event.data.containment }),
        },
      };
    case 'KeyGenerated':
      return {
        ...moved,
        // People make versions whose names are not ours: from then on the plan means theirs.
        ...(state.plan?.incoming === undefined || state.plan.incoming === event.data.versionId
          ? {}
          : { plan: { ...state.plan, incoming: event.data.versionId } }),
        phase: state.rollback === undefined ? 'generated' : state.phase,
        generated: {
          versionId: event.data.versionId,
          algorithm: event.data.algorithm,
          ...(event.data.strengthBits === undefined ? {} : { strengthBits: event.data.strengthBits }),
          ...(event.data.fingerprint === undefined ? {} : { fingerprint: event.data.fingerprint }),
          ...createdAt(event),
          accepted: false,
          emittingShare: 0,
          compromised: false,
          destroyed: false,
        },
      };
    case 'DualAcceptDeployed':
      return {
        ...moved,
        phase: state.rollback === undefined ? 'accepting' : state.phase,
        accepted: mark(event),
      };
    case 'AcceptanceConfirmed':
      return { ...moved, acceptance: confirm(state.acceptance, event, state.plan) };
    case 'EmitterSwitched': {
      const { to, share } = event.data;
      const attested = event.provenance === 'attested' && state.plan?.attested !== true;
      const { switchedBefore, ...rest } = moved;
      const before =
        state.switched === undefined || state.switched.attested === true
          ? switchedBefore
          : { switched: state.switched, emission: state.emission };
      const next: RotationState = {
        ...rest,
        ...(attested && before !== undefined ? { switchedBefore: before } : {}),
        switched: { ...mark(event), to, share, ...(attested ? { attested } : {}) },
        emission: [],
      };
      return { ...next, phase: state.rollback === undefined ? phaseWhileEmitting(next) : state.phase };
    }
    case 'EmissionConfirmed': {
      const next = { ...moved, emission: confirm(state.emission, event, state.plan) };
      const emitting = state.phase === 'emitting' || state.phase === 'draining';
      return { ...next, phase: emitting ? phaseWhileEmitting(next) : state.phase };
    }
    case 'GateEvaluated':
    case 'DeviationRecorded':
    case 'FactCorrected':
    case 'NoteAdded':
    case 'TelemetryRecorded':
    case 'SessionsInvalidated':
    case 'ReauthenticationVerified':
      return moved;
    case 'PlanAmended': {
      const { plan } = state;
      if (plan === undefined) return moved;
      const amended = amendedPlan(plan, event.data);
      const next = {
        ...moved,
        plan: amended,
        acceptance: recounted(state.acceptance, amended, event),
        emission: recounted(state.emission, amended, event),
        emitters: withEmitters(state.emitters, event.data),
      };
      const emitting = state.phase === 'emitting' || state.phase === 'draining';
      return { ...next, phase: emitting ? phaseWhileEmitting(next) : state.phase };
    }
    case 'GateOverridden': {
      const { gate, consumerId } = event.data;
      const overrides = [...state.overrides, { gate, ...(consumerId === undefined ? {} : { consumerId }) }];
      const next = { ...moved, overrides };
      const emitting = state.phase === 'emitting' || state.phase === 'draining';
      return { ...next, phase: emitting ? phaseWhileEmitting(next) : state.phase };
    }
    case 'OldKeyRevoked': {
      const trustEndsAt =
        event.data.trustEndsAt === undefined ? undefined : parseInstant(event.data.trustEndsAt);
      return {
        ...moved,
        phase: state.rollback === undefined ? 'revoked' : state.phase,
        revoked: {
          ...mark(event),
          versions: event.data.versions,
          ...(trustEndsAt === undefined ? {} : { trustEndsAt }),
        },
      };
    }
    case 'OldKeyRejectionVerified':
      return {
        ...moved,
        phase:
          state.rollback !== undefined
            ? state.phase
            : state.plan?.strategy === 'cutover'
              ? phaseWhileEmitting(state)
              : 'watching',
        verified: mark(event),
      };
    case 'RollbackRequested':
      return {
        ...withoutSuspension(moved),
        phase: 'rolling-back',
        rollback: state.rollback ?? {
          ...mark(event),
          ...(event.data.acceptWindow === undefined ? {} : { acceptWindow: event.data.acceptWindow }),
        },
        paused: false,
      };
    case 'EmissionReturned':
      return {
        ...moved,
        returned: { ...mark(event), to: event.data.to },
        emission: [],
        // Somebody let the way there pass; the way back is confirmed anew.
        overrides: state.overrides.filter((override) => override.gate !== 'emission-confirmations'),
      };
    case 'NewKeyWithdrawn':
      return { ...moved, withdrawn: mark(event) };
    case 'KeyReaccepted':
      return { ...moved, reaccepted: { ...mark(event), versions: event.data.versions } };
    case 'CutOver': {
      const { to, versions } = event.data;
      const trustEndsAt =
        event.data.trustEndsAt === undefined ? undefined : parseInstant(event.data.trustEndsAt);
      const next: RotationState = {
        ...moved,
        accepted: mark(event),
        switched: { ...mark(event), to, share: 100 },
        emission: [],
        revoked: { ...mark(event), versions, ...(trustEndsAt === undefined ? {} : { trustEndsAt }) },
      };
      return { ...next, phase: state.rollback === undefined ? phaseWhileEmitting(next) : state.phase };
    }
    case 'CutBack':
      return {
        ...moved,
        reaccepted: { ...mark(event), versions: [event.data.to] },
        returned: { ...mark(event), to: event.data.to },
        withdrawn: mark(event),
        emission: [],
        overrides: state.overrides.filter((override) => override.gate !== 'emission-confirmations'),
      };
    case 'ConfirmationWithdrawn': {
      const { kind, consumerId, instances } = event.data;
      const without = (known: readonly Confirmations[]): readonly Confirmations[] =>
        known.flatMap((entry) => {
          if (entry.consumerId !== consumerId) return [entry];
          const left = entry.instances.filter((instance) => !instances.includes(instance));
          return left.length === 0 ? [] : [{ consumerId, instances: left }];
        });
      const next =
        kind === 'acceptance'
          ? { ...moved, acceptance: without(state.acceptance) }
          : { ...moved, emission: without(state.emission) };
      const emitting = state.phase === 'emitting' || state.phase === 'draining';
      return { ...next, phase: emitting ? phaseWhileEmitting(next) : state.phase };
    }
    case 'StepSwitchedToAttested':
      return {
        ...withoutSuspension(moved),
        attestedSteps: [...new Set([...state.attestedSteps, event.data.step])],
      };
    case 'Attested':
      return state.plan?.attested === true
        ? reconciled(moved)
        : {
            ...moved,
            unreconciled: [...new Set([...state.unreconciled, event.data.step])],
            unreconciledSince: state.unreconciledSince ?? event.recordedAt,
          };
    case 'AttestationReconciled': {
      const { agrees, steps: compared, differences } = event.data;
      if (agrees) return believed(reconciled(moved));
      // What is over performs nothing any more.
      return ENDED.includes(state.phase)
        ? { ...reconciled(moved), contradicted: { ...mark(event), steps: compared, differences } }
        : takenBack(reconciled(moved), compared);
    }
    case 'RotationRolledBack':
      return { ...withoutSuspension(moved), phase: 'rolled-back', ended: mark(event) };
    case 'PauseRequested':
      return { ...moved, pause: mark(event) };
    case 'RotationPaused':
      return { ...moved, paused: true };
    case 'RotationResumed': {
      const { pause: _pause, ...rest } = moved;
      return { ...rest, paused: false };
    }
    case 'AbandonRequested':
      return { ...withoutSuspension(moved), abandon: state.abandon ?? mark(event), paused: false };
    case 'RotationAbandoned':
      return { ...withoutSuspension(moved), phase: 'abandoned', ended: mark(event) };
    case 'RotationSuspended':
      return {
        ...moved,
        suspended: {
          ...mark(event),
          code: event.data.code,
          reason: event.data.reason,
          person: event.data.person,
        },
      };
    case 'RetryRequested':
      return { ...withoutSuspension(moved), steps: retrySteps(steps) };
    case 'RotationSuperseded':
      return { ...withoutSuspension(moved), phase: 'superseded', ended: mark(event) };
    case 'RotationCompleted':
      return { ...withoutSuspension(moved), phase: 'completed', ended: mark(event) };
    case 'PostIncidentReviewed':
      return { ...moved, reviewedAt: event.recordedAt, reviewedBy: event.actor };
  }
}

/** The back end shows what was attested. */
function believed(state: RotationState): RotationState {
  const { switchedBefore: _before, switched, ...rest } = state;
  if (switched === undefined) return rest;
  const { attested: _attested, ...shown } = switched;
  return { ...rest, switched: shown };
}

/** What was attested and is not so in the back end is to be performed after all: its outcome no longer counts. */
function takenBack(state: RotationState, steps: readonly StepName[]): RotationState {
  const has = (step: StepName): boolean => steps.includes(step);
  const {
    generated,
    accepted,
    switched,
    switchedBefore: before,
    revoked,
    verified,
    reaccepted,
    returned,
    withdrawn,
    ...rest
  } = state;
  // A cutover, and the way back from one, are several facts in one change.
  const gone = (step: StepName): boolean =>
    has(step) ||
    (has('cutover') && ['accept', 'emit', 'revoke', 'verify'].includes(step)) ||
    (has('cutback') && ['reaccept', 'return', 'withdraw'].includes(step));
  const kept = <T>(step: StepName, name: string, value: T | undefined): object =>
    value === undefined || gone(step) ? {} : { [name]: value };
  // Earlier cohorts stand: emission goes back to the last share that nobody only said.
  const back = has('emit') ? before : undefined;
  const reopened: readonly StepName[] = [
    ...steps.filter((step) => step !== 'emit' || back === undefined),
    ...(has('cutover') ? (['verify'] as const) : []),
  ];
  return {
    ...rest,
    ...kept('generate', 'generated', generated),
    ...kept('accept', 'accepted', accepted),
    ...kept('emit', 'switched', switched),
    ...back,
    ...kept('revoke', 'revoked', revoked),
    ...kept('verify', 'verified', verified),
    ...kept('reaccept', 'reaccepted', reaccepted),
    ...kept('return', 'returned', returned),
    ...kept('withdraw', 'withdrawn', withdrawn),
    steps: reopenSteps(state.steps, reopened),
    attestedSteps: state.attestedSteps.filter((step) => !has(step)),
  };
}

function reconciled(state: RotationState): RotationState {
  const { unreconciledSince: _since, ...rest } = state;
  return { ...rest, unreconciled: [] };
}

function withoutSuspension(state: RotationState): RotationState {
  const { suspended: _suspended, ...rest } = state;
  return rest;
}
