import { shellWord } from './shell-word.js';
import { formatInstant } from '#eventlog';
import { differenceText } from '../domain/drift.js';
import { milliseconds } from '../domain/duration.js';
import type { FamilyState } from '../domain/family.decider.js';
import type { ContainmentState } from '../domain/containment.state.js';
import type { DestructionState } from '../domain/destruction.state.js';
import { boundAt, type PolicyState, type StandingApproval } from '../domain/policy.decider.js';
import { registrationMissing } from '../domain/registration.js';
import type { FamilyDeviation } from '../domain/deviations.js';
import type { FamilySchedule } from '../domain/family.events.js';
import type { PolicyDetails } from '../domain/policy.events.js';
import type { RotationPlan } from '../domain/rotation.events.js';
import {
  drainStart,
  ENDED,
  missingConfirmations,
  type RotationPhase,
  type RotationState,
  versionsAfter,
} from '../domain/rotation.state.js';
import { runbookCompleteness } from '../domain/runbook.js';
import type { VersionSnapshot } from '../domain/vocabulary.js';
import { deniedVersions } from '../domain/saga/holds.js';
import { emittingVersion, mergeVersions } from '../domain/versions.js';

/** What the API shows of each aggregate: plain JSON, instants RFC 3339, durations ISO 8601, `null` for "not recorded". */

export interface FamilyView {
  readonly id: string;
  /** `environment/name`: how CLI, YAML and imports say it. */
  readonly qualifiedName: string;
  readonly environment: string;
  readonly name: string;
  readonly description: string | null;
  readonly kind: string;
  readonly algorithm: string | null;
  readonly strengthBits: number | null;
  readonly protects: string;
  readonly usage: string;
  readonly overlap: string;
  readonly mode: string;
  readonly authority: { readonly kind: string; readonly name?: string | undefined };
  readonly owner: {
    readonly role: string;
    readonly deputy?: string | undefined;
    readonly escalation?: string | undefined;
  };
  readonly team: string;
  readonly backEnd: { readonly instance: string; readonly object: string } | null;
  readonly artefactLife: string | null;
  readonly frameworks: readonly string[];
  readonly illustrative: boolean;
  readonly runbook: Readonly<Record<string, string>>;
  /** Fields of the runbook page nobody filled in. */
  readonly runbookMissing: readonly string[];
  /** When the runbook was last gone through, and the date that had been declared for it; `null`: not since it was registered. */
  readonly lastReview: { readonly completedAt: string; readonly declaredDue: string | null } | null;
  /** What its back end shows otherwise than the record has it; it holds the next revocation. `null`: nothing that is known of. */
  readonly drift: {
    readonly id: string;
    readonly observedAt: string;
    readonly differences: readonly string[];
    readonly more: number;
  } | null;
  /** Registered in haste, by an emergency: what is still to be filled in, and by when; `null`: nothing is. */
  readonly registrationOwed: { readonly due: string; readonly missing: readonly string[] } | null;
  /** Where the family's own rules place its rotations; `null`: its policy's. */
  readonly schedule: FamilySchedule | null;
  /** How it departs, departed or is to depart from its policy; closed ones are left out. */
  readonly deviations: readonly DeviationView[];
  readonly consumers: readonly ConsumerView[];
  readonly custodians: readonly {
    readonly subject: string;
    readonly knows: string;
    readonly acknowledgedAt: string | null;
    readonly leftAt: string | null;
    /** The rotation that made what they never knew; `null` while one is owed, or nobody left. */
    readonly settledBy: string | null;
  }[];
  readonly retired: boolean;
  /** As they are now, in the middle of a rotation too. `contained`: denied on suspicion, whatever else is accepted. */
  readonly versions: readonly (VersionSnapshot & { readonly contained: boolean })[];
  /** The version that emits now, as far as it is recorded. */
  readonly current: string | null;
  readonly runningRotation: string | null;
  /** Since when Keyturn has watched it. */
  readonly coverageStart: string | null;
  readonly revision: number;
}

export interface ConsumerView {
  readonly id: string;
  readonly name: string;
  readonly roles: readonly string[];
  readonly cacheTtl: string | null;
  readonly refreshDelay: string | null;
  readonly deployPropagation: string | null;
  readonly neverRefreshes: boolean;
  readonly thirdParty: boolean;
  readonly instances: number;
}

export interface DeviationView {
  readonly id: string;
  readonly departs: FamilyDeviation['departs'];
  readonly reason: string;
  readonly until: string;
  readonly requestedBy: string;
  /** `null`: it waits for an approval by another, and changes nothing. */
  readonly approvedBy: string | null;
}

function deviationView({
  deviation,
  departs,
  reason,
  until,
  requestedBy,
  approvedBy,
}: FamilyDeviation): DeviationView {
  return {
    id: deviation,
    departs,
    reason,
    until: formatInstant(until),
    requestedBy,
    approvedBy: approvedBy ?? null,
  };
}

/** What of a family stands in other streams. */
export interface FamilyMoment {
  /** The rotation under way. */
  readonly rotation?: RotationState | undefined;
  readonly containments: readonly ContainmentState[];
}

export function familyView(
  state: FamilyState,
  revision: number,
  { rotation, containments }: FamilyMoment = { containments: [] },
): FamilyView | undefined {
  const { details } = state;
  if (details === undefined) return undefined;
  const moved = rotation?.plan === undefined ? [] : versionsAfter(rotation, state.compromised);
  const versions = mergeVersions(state.versions, moved);
  const denied = deniedVersions({ contained: containments });
  return {
    id: state.familyId,
    qualifiedName: `${details.environment}/${details.name}`,
    environment: details.environment,
    name: details.name,
    description: details.description ?? null,
    kind: details.kind,
    algorithm: details.algorithm ?? null,
    strengthBits: details.strengthBits ?? null,
    protects: details.protects,
    usage: details.usage,
    overlap: details.overlap,
    mode: details.mode,
    authority: details.authority,
    owner: details.owner,
    team: details.team,
    backEnd: details.backEnd ?? null,
    artefactLife: details.artefactLife ?? null,
    frameworks: details.frameworks ?? [],
    illustrative: details.illustrative,
    runbook: state.runbook,
    runbookMissing: runbookCompleteness(state).missing,
    lastReview:
      state.reviewed === undefined
        ? null
        : {
            completedAt: formatInstant(state.reviewed.at),
            declaredDue: state.reviewed.declaredDue ?? null,
          },
    drift:
      state.drift === undefined
        ? null
        : {
            id: state.drift.eventId,
            observedAt: formatInstant(state.drift.at),
            differences: state.drift.differences.map(differenceText),
            more: state.drift.more,
          },
    schedule: state.schedule ?? null,
    registrationOwed:
      state.registration === undefined || registrationMissing(state).length === 0
        ? null
        : { due: formatInstant(state.registration.due), missing: registrationMissing(state) },
    deviations: (state.deviations ?? []).filter(({ closedAt }) => closedAt === undefined).map(deviationView),
    consumers: state.consumers.map((consumer) => ({
      id: consumer.consumerId,
      name: consumer.name,
      roles: consumer.roles,
      cacheTtl: consumer.cacheTtl ?? null,
      refreshDelay: consumer.refreshDelay ?? null,
      deployPropagation: consumer.deployPropagation ?? null,
      neverRefreshes: consumer.neverRefreshes,
      thirdParty: consumer.thirdParty,
      instances: consumer.instances,
    })),
    custodians: state.custodians.map((custodian) => ({
      subject: custodian.subject,
      knows: custodian.knows,
      acknowledgedAt: instant(custodian.acknowledgedAt),
      leftAt: instant(custodian.departed?.leftAt),
      settledBy: custodian.departed?.settledBy ?? null,
    })),
    retired: state.retired,
    versions: versions.map((version) => ({ ...version, contained: denied.includes(version.versionId) })),
    current: emittingVersion(versions)?.versionId ?? null,
    runningRotation: state.slot?.open === true ? state.slot.rotation : null,
    coverageStart: state.registeredAt === undefined ? null : formatInstant(state.registeredAt),
    revision,
  };
}

export interface RotationViewJson {
  readonly id: string;
  readonly family: { readonly id: string; readonly qualifiedName: string };
  readonly strategy: string;
  readonly trigger: string;
  readonly reason: string;
  readonly requestedBy: string;
  readonly requestedAt: string | null;
  readonly phase: RotationPhase;
  readonly ended: boolean;
  readonly imported: boolean;
  readonly illustrative: boolean;
  readonly paused: boolean;
  readonly suspended: { readonly code: string; readonly reason: string; readonly person: string } | null;
  /** What it waits for, in words; `null` where it is not waiting or nobody looked yet. */
  readonly waitsFor: string | null;
  readonly wakeAt: string | null;
  readonly approvals: { readonly required: number; readonly by: readonly string[] };
  readonly incoming: string | null;
  readonly outgoing: readonly string[];
  readonly confirmations: readonly {
    readonly kind: 'acceptance' | 'emission';
    readonly consumerId: string;
    readonly consumer: string;
    readonly version: string | null;
    readonly confirmed: number;
    readonly of: number;
    readonly missing: boolean;
  }[];
  /** The share of emission the new version has reached, per cent; `null` before its first part. */
  readonly emittingShare: number | null;
  /** The step that waits for people, where one does. */
  readonly attests: string | null;
  readonly windows: {
    readonly accept: { readonly required: string; readonly binding: string; readonly endsAt: string | null };
    readonly drain: { readonly required: string; readonly binding: string; readonly endsAt: string | null };
  } | null;
  readonly emergency: {
    readonly compromisedVersions: readonly string[];
    readonly discoveredAt: string;
    readonly approvalDueAt: string;
    readonly reviewDueAt: string;
    readonly containment: string | null;
    readonly approved: boolean;
    /** Its approval in retrospect was refused: an exception, never shown as approved. */
    readonly refused: { readonly by: string; readonly at: string; readonly reason: string } | null;
    readonly reviewed: boolean;
  } | null;
  readonly trustEndsAt: string | null;
  readonly exceptions: readonly string[];
  readonly plan: RotationPlan | null;
  /** The exact CLI commands that move it on, where a person can. */
  readonly next: readonly string[];
  readonly revision: number;
}

export interface RotationSurroundings {
  readonly qualifiedName: string;
  readonly illustrative: boolean;
  readonly revision: number;
  readonly waitsFor?: string | undefined;
  readonly wakeAt?: number | undefined;
  /** What else a reader of its plan must know, by what its back end is. */
  readonly besides?: readonly string[];
}

function instant(at: number | undefined): string | null {
  return at === undefined ? null : formatInstant(at);
}

export function rotationView(state: RotationState, around: RotationSurroundings): RotationViewJson {
  const { plan, emergency } = state;
  const ended = ENDED.includes(state.phase);
  const target = state.returned?.to ?? state.switched?.to ?? null;
  const start = drainStart(state);
  const confirmations = (plan?.consumers ?? []).flatMap((consumer) =>
    consumer.roles.map((role) => {
      const kind = role === 'verifier' ? ('acceptance' as const) : ('emission' as const);
      const gate = role === 'verifier' ? 'acceptance-confirmations' : 'emission-confirmations';
      const entries = role === 'verifier' ? state.acceptance : state.emission;
      const entry = entries.find((each) => each.consumerId === consumer.consumerId);
      return {
        kind,
        consumerId: consumer.consumerId,
        consumer: consumer.name,
        version: role === 'verifier' ? (plan?.incoming ?? null) : target,
        confirmed: entry?.instances.length ?? 0,
        of: consumer.instances,
        missing: missingConfirmations(state, gate).includes(consumer.consumerId),
      };
    }),
  );
  return {
    id: state.rotationId,
    family: { id: state.familyId, qualifiedName: around.qualifiedName },
    strategy: state.request?.strategy ?? 'graceful',
    trigger: state.request?.trigger ?? 'manual',
    reason: state.request?.reason ?? '',
    requestedBy: state.requestedBy ?? '',
    requestedAt: instant(state.requestedAt),
    phase: state.phase,
    ended,
    imported: state.imported,
    illustrative: around.illustrative,
    paused: state.paused,
    suspended:
      state.suspended === undefined
        ? null
        : { code: state.suspended.code, reason: state.suspended.reason, person: state.suspended.person },
    // A row that is due now is about to be looked at: what it waited for may be over.
    waitsFor: ended || around.wakeAt === 0 ? null : (around.waitsFor ?? null),
    wakeAt: ended ? null : instant(around.wakeAt === 0 ? undefined : around.wakeAt),
    approvals: {
      required: plan?.approvals ?? 0,
      by: state.approvals.map((approval) => approval.subject),
    },
    incoming: plan?.incoming ?? null,
    outgoing: plan?.outgoing ?? [],
    confirmations,
    // Gone back, the new version emits nothing any more.
    emittingShare:
      state.switched === undefined ? null : state.returned === undefined ? state.switched.share : 0,
    attests: attestedStep(state, ended, around.waitsFor),
    windows:
      plan?.windows === undefined
        ? null
        : {
            accept: {
              required: plan.windows.accept.required,
              binding: plan.windows.accept.binding,
              endsAt:
                state.accepted === undefined
                  ? null
                  : formatInstant(state.accepted.at + milliseconds(plan.windows.accept.required)),
            },
            drain: {
              required: plan.windows.drain.required,
              binding: plan.windows.drain.binding,
              endsAt:
                start === undefined
                  ? null
                  : formatInstant(start.at + milliseconds(plan.windows.drain.required)),
            },
          },
    emergency:
      emergency === undefined
        ? null
        : {
            compromisedVersions: emergency.compromised,
            discoveredAt: formatInstant(emergency.discoveredAt),
            approvalDueAt: formatInstant(emergency.approvalDueAt),
            reviewDueAt: formatInstant(emergency.reviewDueAt),
            containment: emergency.containment ?? null,
            approved: state.approvals.length > 0,
            refused:
              state.refused === undefined
                ? null
                : {
                    by: state.refused.subject,
                    at: formatInstant(state.refused.at),
                    reason: state.refused.reason,
                  },
            reviewed: state.reviewedAt !== undefined,
          },
    trustEndsAt: instant(state.revoked?.trustEndsAt),
    exceptions: [
      ...(plan?.exceptions ?? []),
      ...(around.besides ?? []),
      ...(state.refused === undefined
        ? []
        : [`the approval of this emergency was refused in retrospect: ${state.refused.reason}`]),
      ...attestedOnly(state),
    ],
    plan: plan ?? null,
    next: nextCommands(state, confirmations, attestedStep(state, ended, around.waitsFor)),
    revision: around.revision,
  };
}

/** What is on record because people said it, and the back end has not shown. */
function attestedOnly({ unreconciled, contradicted }: RotationState): readonly string[] {
  if (contradicted !== undefined) {
    return [`the back end contradicts what was attested: ${contradicted.differences.join(' ')}`];
  }
  return unreconciled.length === 0
    ? []
    : [`attested, and not yet compared with the back end: ${unreconciled.join(', ')}`];
}

/** What the runner wrote down that it waits for says which step people are asked for. */
function attestedStep({ steps }: RotationState, ended: boolean, waitsFor: string | undefined): string | null {
  const before = 'an attestation of ';
  if (ended || waitsFor?.startsWith(before) !== true) return null;
  const step = waitsFor.slice(before.length);
  // Attested just now: the runner has yet to write down what it waits for next.
  return steps.done.some((done) => done === step) ? null : step;
}

/** The exact next command for a person at 2 a.m.; what only takes time is not listed. */
function nextCommands(
  state: RotationState,
  confirmations: RotationViewJson['confirmations'],
  attests: string | null,
): readonly string[] {
  if (state.imported) return [];
  const id = state.rotationId;
  if (ENDED.includes(state.phase)) {
    return state.emergency !== undefined && state.approvals.length === 0 && state.refused === undefined
      ? [`keyturn approve ${id}`]
      : [];
  }
  const attest = (step: string): string =>
    `keyturn attest ${id} --step ${step}${step === 'generate' ? ' --version ID' : ''} --evidence URL`;
  if (state.suspended !== undefined) {
    return [
      `keyturn retry ${id}`,
      ...(state.emergency === undefined && state.rollback === undefined
        ? [`keyturn rollback ${id} --reason "…"`]
        : []),
    ];
  }
  if (isLeaving(state)) {
    // What the runner wrote down last may be of the way that was left; nothing of the version being left is asked for.
    return attests !== null && WAY_BACK.has(attests) ? [attest(attests)] : [];
  }
  // Asked for and not carried out yet reads like carried out: what it stops is asked of nobody.
  if (state.pause !== undefined && state.rollback === undefined) return [`keyturn resume ${id}`];
  if (state.phase === 'requested' && state.emergency === undefined) return [`keyturn approve ${id}`];
  if (attests !== null) return [attest(attests)];
  return confirmations
    .filter((entry) => entry.missing && entry.version !== null && waitsFor(state, entry.kind))
    .map(
      (entry) =>
        `keyturn confirm ${id} --consumer ${shellWord(entry.consumer)} --kind ${entry.kind} --version ${shellWord(entry.version ?? '')} --instance NAME`,
    );
}

const WAY_BACK: ReadonlySet<string> = new Set(['return', 'withdraw', 'reaccept', 'cutback']);

/** On the way back or out, and emission has not returned: there is no version yet that anybody should confirm. */
function isLeaving({ abandon, rollback, returned }: RotationState): boolean {
  return abandon !== undefined || (rollback !== undefined && returned === undefined);
}

function waitsFor(state: RotationState, kind: 'acceptance' | 'emission'): boolean {
  return kind === 'acceptance'
    ? state.accepted !== undefined && state.switched === undefined && state.rollback === undefined
    : state.switched !== undefined;
}

export interface PolicyView {
  readonly id: string;
  readonly name: string;
  readonly selector: PolicyDetails['selector'];
  readonly status: 'waits for approval' | 'approved' | 'in force' | 'retired';
  readonly details: NonNullable<PolicyState['details']>;
  readonly author: string;
  readonly boundSince: string | null;
  /** Of the definition or amendment `details` is: what an approver names. */
  readonly termsRevision: number;
  readonly standing: readonly StandingApprovalView[];
  readonly revision: number;
}

export interface StandingApprovalView {
  readonly approval: string;
  readonly status: 'in force' | 'over' | 'revoked' | 'of an earlier revision';
  readonly strategies: readonly string[];
  readonly grantedBy: string;
  readonly grantedAt: string;
  readonly until: string;
  readonly reason: string;
}

function standingView(
  { approval, strategies, grantedBy, grantedAt, until, reason, revision, revokedAt }: StandingApproval,
  bound: number | undefined,
  now: number,
): StandingApprovalView {
  return {
    approval,
    status:
      revokedAt !== undefined
        ? 'revoked'
        : until <= now
          ? 'over'
          : revision === bound
            ? 'in force'
            : 'of an earlier revision',
    strategies,
    grantedBy,
    grantedAt: formatInstant(grantedAt),
    until: formatInstant(until),
    reason,
  };
}

export function policyView(state: PolicyState, revision: number, now: number): PolicyView | undefined {
  const { details } = state;
  if (details === undefined) return undefined;
  const inForce = boundAt(state, now);
  return {
    id: state.policyId,
    name: details.name,
    selector: details.selector,
    status: state.retired
      ? 'retired'
      : state.boundSince === undefined
        ? 'waits for approval'
        : inForce?.revision === state.revision
          ? 'in force'
          : 'approved',
    details,
    author: state.author ?? '',
    boundSince: instant(state.boundSince),
    termsRevision: state.revision,
    standing: (state.standing ?? []).map((each) => standingView(each, inForce?.revision, now)),
    revision,
  };
}

export interface ContainmentView {
  readonly id: string;
  readonly family: string;
  readonly status: ContainmentState['status'];
  readonly versions: readonly string[];
  readonly rotation: string | null;
  readonly trustEndsAt: string | null;
  readonly suspendedFor: string | null;
  /** Why it is to be lifted, where somebody asked. */
  readonly liftReason: string | null;
  readonly liftedAt: string | null;
  /** What it waits for, in words. */
  readonly waitsFor: string | null;
  readonly revision: number;
}

export function containmentView(
  state: ContainmentState,
  revision: number,
  waitsFor?: string,
): ContainmentView {
  return {
    id: state.containmentId,
    family: state.familyId,
    status: state.status,
    versions: state.versions,
    rotation: state.rotation ?? null,
    trustEndsAt: instant(state.trustEndsAt),
    suspendedFor: state.status === 'suspended' ? (state.suspendedFor ?? null) : null,
    liftReason: state.lift?.reason ?? null,
    liftedAt: instant(state.lifted?.at),
    waitsFor: waitsFor ?? null,
    revision,
  };
}

export interface DestructionView {
  readonly id: string;
  readonly family: string;
  readonly status: DestructionState['status'];
  readonly versions: readonly string[];
  readonly reason: string;
  /** Retention: not before this. */
  readonly notBefore: string | null;
  readonly requestedBy: string;
  readonly requestedAt: string | null;
  readonly approvedBy: string | null;
  readonly destroyedAt: string | null;
  readonly suspendedFor: string | null;
  /** What it waits for, in words. */
  readonly waitsFor: string | null;
  readonly revision: number;
}

export function destructionView(
  state: DestructionState,
  revision: number,
  waitsFor?: string,
): DestructionView {
  return {
    id: state.destructionId,
    family: state.familyId,
    status: state.status,
    versions: state.versions,
    reason: state.reason,
    notBefore: instant(state.notBefore),
    requestedBy: state.requestedBy ?? '',
    requestedAt: instant(state.requestedAt),
    approvedBy: state.approvedBy ?? null,
    destroyedAt: instant(state.destroyed?.at),
    suspendedFor: state.suspendedFor ?? null,
    waitsFor: waitsFor ?? null,
    revision,
  };
}
