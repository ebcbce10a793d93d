import { DomainError, parseInstant, type Decider, type EventOrigin } from '#eventlog';
import type {
  ConsumerDetails,
  FamilyClassification,
  FamilyDetails,
  FamilyEvent,
  FamilySchedule,
  NewFamilyEvent,
  RotationRequest,
  SlotProcess,
} from './family.events.js';
import { requireNone, scheduleProblems } from './cadence.js';
import { requireRoomFor } from './plan-size.js';
import type { ChangeWindow } from './calendar.js';
import { changeTime } from './change-windows.js';
import {
  decideDeviation,
  evolveDeviations,
  type DeviationCommand,
  type FamilyDeviation,
} from './deviations.js';
import { decideDrift, evolveDrift, type Drift, type DriftCommand } from './drift.js';
import type { VersionSnapshot } from './vocabulary.js';
import { emittingVersion, markCompromised, markDestroyed, mergeVersions } from './versions.js';

export interface FamilyConsumer extends ConsumerDetails {
  readonly consumerId: string;
}

/** The slot: one rotation a family. */
export interface FamilySlot {
  readonly rotation: string;
  readonly request: RotationRequest;
  readonly supersedes?: string;
  /** Revision of the `RotationOpened`: fences of later slots are newer. */
  readonly openedRevision: number;
  readonly openedBy: string;
  readonly correlationId: string;
  readonly causationId: string;
  readonly openedEventId: string;
  readonly openedAt: number;
  /** Where the command came from: what completes its opening says the same. */
  readonly origin: EventOrigin;
  readonly open: boolean;
}

/** An emergency that was declared on this family, whatever became of it. */
export interface DeclaredEmergency {
  readonly rotation: string;
  readonly reason: string;
  readonly incident?: string;
  readonly declaredAt: number;
  /** What it called compromised. */
  readonly versions: readonly string[];
}

/** A process beside a rotation that took the slot; an emergency ends its hold without asking. */
export interface ProcessSlot {
  readonly process: SlotProcess;
  readonly id: string;
  /** Revision of the `SlotTaken`: fences of later slots are newer. */
  readonly takenRevision: number;
  readonly takenEventId: string;
}

/** Somebody who knows the secret. */
export interface Custodian {
  readonly subject: string;
  readonly knows: string;
  readonly assignedAt: number;
  readonly acknowledgedAt?: number;
  /** They left: the secret they knew is to be rotated. */
  readonly departed?: {
    readonly leftAt: number;
    /** The rotation that made what they never knew. */
    readonly settledBy?: string;
  };
}

export interface Suspicion {
  readonly versions: readonly string[];
  readonly reason: string;
  readonly containment?: string;
  readonly by: string;
  readonly correlationId: string;
  readonly causationId: string;
}

export interface FamilyState {
  readonly exists: boolean;
  readonly familyId: string;
  readonly details?: FamilyDetails;
  readonly registeredAt?: number;
  readonly registeredBy?: string;
  readonly runbook: Readonly<Record<string, string>>;
  /** The newest review of the runbook, and for when a file or a form had asked for one: that date is done with. */
  readonly reviewed?: { readonly at: number; readonly declaredDue?: string };
  readonly consumers: readonly FamilyConsumer[];
  /** As of the last closed rotation and what was observed since; a running rotation's facts stand in its own stream. */
  readonly versions: readonly VersionSnapshot[];
  readonly compromised: readonly string[];
  /** Since when each of them is known to be, milliseconds: when it was discovered, else when it was confirmed. */
  readonly compromisedAt?: Readonly<Record<string, number>>;
  readonly suspected: readonly Suspicion[];
  /** Suspected once and cleared, and neither suspected again nor confirmed since. */
  readonly cleared: readonly string[];
  readonly custodians: readonly Custodian[];
  readonly retired: boolean;
  /** Key material that is gone for good. */
  readonly destroyed: readonly string[];
  /** The process that holds the slot now. */
  readonly process?: ProcessSlot;
  /** The newest slot of a rotation, open or closed. */
  readonly slot?: FamilySlot;
  /** The largest max-age a document of this family was served with, seconds. */
  readonly largestMaxAge: number;
  readonly schedule?: FamilySchedule;
  readonly deviations?: readonly FamilyDeviation[];
  /** What the back end shows otherwise, and nobody has settled. */
  readonly drift?: Drift;
  /** Registered in haste, by an emergency: what nobody knew then is owed. */
  readonly registration?: {
    readonly due: number;
    readonly classified: boolean;
    readonly ownerAssigned: boolean;
  };
  readonly closed: readonly { readonly rotation: string; readonly outcome: string }[];
  /** Oldest first. */
  readonly emergencies?: readonly DeclaredEmergency[];
}

export const initialFamily: FamilyState = {
  exists: false,
  familyId: '',
  runbook: {},
  consumers: [],
  versions: [],
  compromised: [],
  suspected: [],
  cleared: [],
  destroyed: [],
  custodians: [],
  retired: false,
  largestMaxAge: 0,
  closed: [],
};

export type FamilyCommand =
  | DeviationCommand
  | DriftCommand
  | { readonly type: 'RegisterFamily'; readonly details: FamilyDetails }
  | { readonly type: 'ClassifyFamily'; readonly classification: FamilyClassification }
  | { readonly type: 'ReviseRunbook'; readonly runbook: Readonly<Record<string, string>> }
  | { readonly type: 'AssignOwner'; readonly owner: FamilyDetails['owner'] }
  | {
      readonly type: 'SetSchedule';
      readonly schedule: FamilySchedule;
      /** Of the policy that binds the family. */
      readonly stopEmitting: string;
      /** The policy's change windows, where it has some, and from when on they are to meet the family's. */
      readonly within?: { readonly changeWindows: readonly ChangeWindow[]; readonly now: number };
    }
  | { readonly type: 'RegisterConsumer'; readonly consumer: FamilyConsumer }
  | { readonly type: 'ReviseConsumer'; readonly consumer: FamilyConsumer }
  | { readonly type: 'RemoveConsumer'; readonly consumerId: string; readonly reason: string }
  | {
      readonly type: 'SuspectCompromise';
      readonly versions: readonly string[];
      readonly reason: string;
      readonly incident?: string;
      readonly containment?: string;
    }
  | { readonly type: 'ClearCompromise'; readonly versions: readonly string[]; readonly reason: string }
  | {
      readonly type: 'ScopeExposure';
      readonly exposure: Extract<NewFamilyEvent, { readonly type: 'ExposureScoped' }>['data'];
    }
  | { readonly type: 'AssignCustodian'; readonly subject: string; readonly knows: string }
  | { readonly type: 'AcknowledgeCustodian'; readonly subject: string; readonly statement: string }
  | { readonly type: 'DepartCustodian'; readonly subject: string; readonly leftAt: string }
  | {
      readonly type: 'SetAuthority';
      readonly authority: FamilyDetails['authority'];
      readonly reason: string;
    }
  | { readonly type: 'CompleteReview'; readonly summary: string; readonly nextReview: string }
  | { readonly type: 'RetireFamily'; readonly reason: string }
  | { readonly type: 'OpenRotation'; readonly rotation: string; readonly request: RotationRequest };

function existing(state: FamilyState): FamilyDetails {
  if (!state.exists || state.details === undefined) {
    throw new DomainError('family.not-found', 'there is no such secret family');
  }
  return state.details;
}

export function registerFamily(details: FamilyDetails, state: FamilyState): readonly NewFamilyEvent[] {
  if (state.exists) return [];
  if (details.mode === 'driven') {
    if (details.backEnd === undefined) {
      throw new DomainError(
        'family.back-end-missing',
        'a driven family names its back end: backEnd {instance, object}',
        {
          field: 'backEnd',
        },
      );
    }
    if (details.algorithm === undefined) {
      throw new DomainError('family.algorithm-missing', 'a driven family names its algorithm', {
        field: 'algorithm',
      });
    }
    if (details.authority.kind !== 'keyturn') {
      throw new DomainError(
        'family.authority-refused',
        'Keyturn drives a family only where it is its rotation authority: set authority.kind to keyturn, or mode to tracked',
        { field: 'authority.kind' },
      );
    }
  }
  requireFitting(details, 'algorithm');
  return [{ type: 'FamilyRegistered', data: details }];
}

/** `field`: the one of the two that was said last. */
function requireFitting(
  { usage, algorithm }: Pick<FamilyDetails, 'usage' | 'algorithm'>,
  field: 'usage' | 'algorithm',
): void {
  if (usage === 'mac' && algorithm !== undefined && algorithm !== 'HS256')
    throw new DomainError('family.usage-mismatch', `a family that makes MACs uses HS256, not ${algorithm}`, {
      field,
    });
  if (algorithm === 'password' && usage !== 'authenticate')
    throw new DomainError(
      'family.usage-mismatch',
      `a password neither signs nor makes MACs: its usage is authenticate, not ${usage}`,
      { field },
    );
}

function classifyFamily(
  classification: FamilyClassification,
  { registration, details }: FamilyState,
): readonly NewFamilyEvent[] {
  if (registration === undefined) {
    throw new DomainError(
      'family.not-in-haste',
      'this family was registered in full: what it is is corrected by registering it anew, and retiring this one',
    );
  }
  const { kind, protects, usage, team, description } = classification;
  requireFitting({ ...details, usage }, 'usage');
  const same =
    details?.kind === kind &&
    details.protects === protects &&
    details.usage === usage &&
    details.team === team &&
    (description === undefined || details.description === description);
  return registration.classified && same ? [] : [{ type: 'FamilyClassified', data: classification }];
}

function sameVersions(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((item) => right.includes(item));
}

/** Takes the slot. An emergency waits for no slot: it closes the one that is open (contracts, An emergency over a running rotation). */
export function openRotation(
  command: { readonly rotation: string; readonly request: RotationRequest },
  state: FamilyState,
): readonly NewFamilyEvent[] {
  const details = existing(state);
  const { rotation, request } = command;
  if (state.slot?.rotation === rotation) return [];
  if (state.retired && request.emergency === undefined) {
    throw new DomainError('family.retired', 'this family is retired: nothing of it is rotated any more');
  }
  if (details.mode === 'tracked' && request.emergency === undefined) {
    throw new DomainError(
      'family.not-driven',
      `this family is ${details.mode}: Keyturn watches it and starts nothing; an emergency it can always run, its steps attested`,
      { mode: details.mode },
    );
  }
  const running = state.slot?.open === true ? state.slot : undefined;
  if (request.emergency === undefined) {
    if (running !== undefined) {
      throw new DomainError(
        'rotation.already-running',
        `rotation ${running.rotation} holds the slot of this family; it ends, or is rolled back, before another starts`,
        { rotation: running.rotation },
      );
    }
    if (state.process !== undefined) {
      throw new DomainError(
        'family.slot-taken',
        `${processText(state.process)} holds the slot of this family; a rotation starts when it is over`,
        { process: state.process.process, id: state.process.id },
      );
    }
    return [{ type: 'RotationOpened', data: { rotation, request } }];
  }
  const { compromisedVersions, discoveredAt, exposedFrom, incident } = request.emergency;
  return [
    {
      type: 'CompromiseConfirmed',
      data: {
        versions: [...compromisedVersions],
        reason: request.reason,
        discoveredAt,
        ...(exposedFrom === undefined ? {} : { exposedFrom }),
        ...(incident === undefined ? {} : { incident }),
        rotation,
      },
    },
    {
      type: 'RotationOpened',
      data: { rotation, request, ...(running === undefined ? {} : { supersedes: running.rotation }) },
    },
  ];
}

export function processText({ process, id }: Pick<ProcessSlot, 'process' | 'id'>): string {
  return process === 'lift' ? `the lifting of containment ${id}` : `destruction ${id}`;
}

/** Answers suspicions only (contracts, An emergency over a running rotation). */
function clearCompromise(
  { versions, reason }: { readonly versions: readonly string[]; readonly reason: string },
  state: FamilyState,
): readonly NewFamilyEvent[] {
  existing(state);
  const confirmed = versions.find((version) => state.compromised.includes(version));
  if (confirmed !== undefined) {
    throw new DomainError(
      'compromise.confirmed',
      `the compromise of ${confirmed} is confirmed, and that is final: an error in it is corrected on paper, the version stays out`,
      { field: 'versions' },
    );
  }
  const suspected = state.suspected.flatMap((suspicion) => suspicion.versions);
  const unknown = versions.find((version) => !suspected.includes(version));
  if (unknown !== undefined) {
    throw new DomainError(
      'compromise.not-suspected',
      `nobody suspects ${unknown}: there is nothing to clear`,
      {
        field: 'versions',
      },
    );
  }
  if (versions.every((version) => state.cleared.includes(version))) return [];
  return [{ type: 'CompromiseCleared', data: { versions: [...versions], reason } }];
}

/** Why a containment of these versions stays; `undefined`: it may be lifted. */
export function liftRefusal(
  { compromised, cleared }: Pick<FamilyState, 'compromised' | 'cleared'>,
  versions: readonly string[],
): { readonly code: string; readonly reason: string } | undefined {
  const confirmed = versions.find((version) => compromised.includes(version));
  if (confirmed !== undefined) {
    return {
      code: 'containment.version-compromised',
      reason: `the compromise of ${confirmed} is confirmed: a compromised version is never accepted again`,
    };
  }
  const suspected = versions.find((version) => !cleared.includes(version));
  return suspected === undefined
    ? undefined
    : {
        code: 'containment.still-suspected',
        reason: `${suspected} is still suspected: clear the suspicion first`,
      };
}

function decide(command: FamilyCommand, state: FamilyState): readonly NewFamilyEvent[] {
  switch (command.type) {
    case 'RegisterFamily':
      return registerFamily(command.details, state);
    case 'ReviseRunbook': {
      existing(state);
      const changed = Object.entries(command.runbook).some(([field, text]) => state.runbook[field] !== text);
      return changed ? [{ type: 'RunbookRevised', data: command.runbook }] : [];
    }
    case 'AssignOwner': {
      const details = existing(state);
      const same =
        details.owner.role === command.owner.role &&
        details.owner.deputy === command.owner.deputy &&
        details.owner.escalation === command.owner.escalation;
      return same ? [] : [{ type: 'OwnerAssigned', data: command.owner }];
    }
    case 'ClassifyFamily':
      existing(state);
      return classifyFamily(command.classification, state);
    case 'RequestDeviation':
    case 'ApproveDeviation':
    case 'CloseDeviation':
      existing(state);
      return decideDeviation(command, state.deviations);
    case 'RecordDrift':
    case 'AcceptDrift':
      return decideDrift(command, { drift: state.drift, backEnd: existing(state).backEnd });
    case 'SetSchedule': {
      existing(state);
      const { schedule, stopEmitting } = command;
      // Both were parsed by one schema, so their properties stand in one order.
      if (JSON.stringify(schedule) === JSON.stringify(state.schedule ?? {})) return [];
      requireNone(scheduleProblems(schedule, stopEmitting));
      const { within } = command;
      const time =
        within === undefined
          ? undefined
          : changeTime(schedule.changeWindows ?? [], [], within.now, within.changeWindows);
      if (time?.open === false && time.opensAt === undefined) {
        throw new DomainError(
          'schedule.outside-policy',
          'changeWindows must place work inside the policy’s change windows, and none of these ever meets one of them: choose windows inside the policy’s',
          { field: 'changeWindows' },
        );
      }
      return [{ type: 'ScheduleSet', data: schedule }];
    }
    case 'RegisterConsumer': {
      existing(state);
      const known = state.consumers.find((consumer) => consumer.consumerId === command.consumer.consumerId);
      if (known !== undefined && sameConsumer(known, command.consumer)) return [];
      requireRoomFor(command.consumer, state.consumers);
      return [
        { type: known === undefined ? 'ConsumerRegistered' : 'ConsumerRevised', data: command.consumer },
      ];
    }
    case 'ReviseConsumer': {
      existing(state);
      const known = state.consumers.find((consumer) => consumer.consumerId === command.consumer.consumerId);
      if (known === undefined) {
        throw new DomainError('consumer.not-found', 'this family has no such consumer');
      }
      if (sameConsumer(known, command.consumer)) return [];
      requireRoomFor(command.consumer, state.consumers);
      return [{ type: 'ConsumerRevised', data: command.consumer }];
    }
    case 'RemoveConsumer': {
      existing(state);
      return state.consumers.some((consumer) => consumer.consumerId === command.consumerId)
        ? [{ type: 'ConsumerRemoved', data: { consumerId: command.consumerId, reason: command.reason } }]
        : [];
    }
    case 'SuspectCompromise': {
      existing(state);
      const repeated = state.suspected.some(
        (suspicion) =>
          sameVersions(suspicion.versions, command.versions) && suspicion.containment === command.containment,
      );
      if (repeated) return [];
      return [
        {
          type: 'CompromiseSuspected',
          data: {
            versions: [...command.versions],
            reason: command.reason,
            ...(command.incident === undefined ? {} : { incident: command.incident }),
            ...(command.containment === undefined ? {} : { containment: command.containment }),
          },
        },
      ];
    }
    case 'ClearCompromise':
      return clearCompromise(command, state);
    case 'ScopeExposure':
      existing(state);
      return [{ type: 'ExposureScoped', data: command.exposure, provenance: 'attested' }];
    case 'AssignCustodian':
    case 'AcknowledgeCustodian':
    case 'DepartCustodian':
      return decideCustodian(command, state);
    case 'SetAuthority': {
      const { mode, authority } = existing(state);
      if (mode === 'driven' && command.authority.kind !== 'keyturn') {
        throw new DomainError(
          'family.authority-refused',
          'Keyturn drives this family, and does so only where it is its rotation authority',
          { field: 'kind' },
        );
      }
      const same = authority.kind === command.authority.kind && authority.name === command.authority.name;
      return same
        ? []
        : [{ type: 'RotationAuthoritySet', data: { ...command.authority, reason: command.reason } }];
    }
    case 'CompleteReview': {
      existing(state);
      // Reviewed again is another fact, also where the date stands; whoever repeats one command is told apart by its key.
      const { summary, nextReview } = command;
      return [
        { type: 'ReviewCompleted', data: { of: 'runbook', summary, nextReview }, provenance: 'attested' },
      ];
    }
    case 'RetireFamily': {
      existing(state);
      if (state.retired) return [];
      const accepted = state.versions.find((version) => version.accepted && !version.destroyed);
      if (state.slot?.open === true || state.process !== undefined || accepted !== undefined) {
        throw new DomainError(
          'family.in-use',
          accepted === undefined
            ? 'something holds the slot of this family: it is retired when that is over'
            : `${accepted.versionId} is still accepted: revoke it where it is used before the family is retired`,
        );
      }
      return [{ type: 'FamilyRetired', data: { reason: command.reason } }];
    }
    case 'OpenRotation':
      return openRotation(command, state);
  }
}

/** Who knows the secret, and who no longer may. */
function decideCustodian(
  command: FamilyCommand & {
    readonly type: 'AssignCustodian' | 'AcknowledgeCustodian' | 'DepartCustodian';
  },
  state: FamilyState,
): readonly NewFamilyEvent[] {
  existing(state);
  const { subject } = command;
  const known = state.custodians.find((custodian) => custodian.subject === subject);
  const present = known?.departed === undefined ? known : undefined;
  switch (command.type) {
    case 'AssignCustodian':
      return present?.knows === command.knows
        ? []
        : [{ type: 'CustodianAssigned', data: { subject, knows: command.knows }, provenance: 'attested' }];
    case 'AcknowledgeCustodian':
      if (present === undefined) {
        throw new DomainError('custodian.not-found', 'you are no custodian of this family');
      }
      return present.acknowledgedAt !== undefined
        ? []
        : [
            {
              type: 'CustodianAcknowledged',
              data: { subject, statement: command.statement },
              provenance: 'attested',
            },
          ];
    case 'DepartCustodian':
      return present === undefined
        ? []
        : [{ type: 'CustodianDeparted', data: { subject, leftAt: command.leftAt }, provenance: 'attested' }];
  }
}

function sameConsumer(left: FamilyConsumer, right: FamilyConsumer): boolean {
  return (
    left.name === right.name &&
    left.roles.length === right.roles.length &&
    left.roles.every((role) => right.roles.includes(role)) &&
    left.cacheTtl === right.cacheTtl &&
    left.refreshDelay === right.refreshDelay &&
    left.deployPropagation === right.deployPropagation &&
    left.neverRefreshes === right.neverRefreshes &&
    left.thirdParty === right.thirdParty &&
    left.instances === right.instances
  );
}

function custodian(state: FamilyState, subject: string, change: Partial<Custodian>): FamilyState {
  return {
    ...state,
    custodians: state.custodians.map((each) => (each.subject === subject ? { ...each, ...change } : each)),
  };
}

/**
 * A rotation that was begun after somebody left, and completed, made what they never knew: what emits afterwards is younger than
 * their leaving. One that only revoked left them the secret that is in use.
 */
function settledBy(
  { custodians, slot }: FamilyState,
  { rotation, outcome }: { readonly rotation: string; readonly outcome: string },
  versions: readonly VersionSnapshot[],
): readonly Custodian[] {
  const madeAt = parseInstant(emittingVersion(versions)?.createdAt ?? '') ?? -Infinity;
  if (outcome !== 'completed' || slot?.rotation !== rotation || slot.request.strategy === 'rehearsal') {
    return custodians;
  }
  return custodians.map((each) =>
    each.departed === undefined ||
    each.departed.settledBy !== undefined ||
    slot.openedAt < each.departed.leftAt ||
    madeAt <= each.departed.leftAt
      ? each
      : { ...each, departed: { ...each.departed, settledBy: rotation } },
  );
}

function without(from: readonly string[], these: readonly string[]): readonly string[] {
  return from.filter((each) => !these.includes(each));
}

/** What the family knows for good is put over what a snapshot says. */
function known(state: FamilyState, versions: readonly VersionSnapshot[]): readonly VersionSnapshot[] {
  return markDestroyed(markCompromised(versions, state.compromised), state.destroyed);
}

function declaredBy(event: FamilyEvent & { readonly type: 'RotationOpened' }): DeclaredEmergency | undefined {
  const { rotation, request } = event.data;
  const { emergency, reason } = request;
  if (emergency === undefined) return undefined;
  return {
    rotation,
    reason,
    ...(emergency.incident === undefined ? {} : { incident: emergency.incident }),
    declaredAt: event.occurredAt ?? event.recordedAt,
    versions: emergency.compromisedVersions,
  };
}

function evolve(state: FamilyState, event: FamilyEvent): FamilyState {
  switch (event.type) {
    case 'FamilyRegistered':
      return {
        ...state,
        exists: true,
        familyId: event.stream.slice('family-'.length),
        details: event.data,
        registeredAt: event.occurredAt ?? event.recordedAt,
        registeredBy: event.actor,
      };
    case 'RunbookRevised': {
      const texts = Object.entries(event.data).filter(
        (entry): entry is [string, string] => entry[1] !== undefined,
      );
      const { reviewed: _reviewed, ...rest } = state;
      const anew =
        event.data.nextReview !== undefined && event.data.nextReview !== state.runbook['nextReview'];
      return {
        ...(anew ? rest : state),
        runbook: { ...state.runbook, ...Object.fromEntries(texts) },
      };
    }
    case 'RegistrationOwed':
      return {
        ...state,
        registration: {
          due: parseInstant(event.data.due) ?? event.recordedAt,
          classified: false,
          ownerAssigned: false,
        },
      };
    case 'FamilyClassified': {
      const { registration, details } = state;
      if (registration === undefined || details === undefined) return state;
      return {
        ...state,
        details: { ...details, ...event.data },
        registration: { ...registration, classified: true },
      };
    }
    case 'OwnerAssigned':
      return state.details === undefined
        ? state
        : {
            ...state,
            details: { ...state.details, owner: event.data },
            ...(state.registration === undefined
              ? {}
              : { registration: { ...state.registration, ownerAssigned: true } }),
          };
    case 'FamilyDeviationRequested':
    case 'FamilyDeviationApproved':
    case 'FamilyDeviationClosed':
      return { ...state, deviations: evolveDeviations(state.deviations, event) };
    case 'ScheduleSet':
      return { ...state, schedule: event.data };
    case 'ExposureScoped':
    case 'FactCorrected':
      return state;
    case 'CustodianAssigned': {
      const { subject, knows } = event.data;
      const others = state.custodians.filter((custodian) => custodian.subject !== subject);
      return { ...state, custodians: [...others, { subject, knows, assignedAt: event.recordedAt }] };
    }
    case 'CustodianAcknowledged':
      return custodian(state, event.data.subject, { acknowledgedAt: event.recordedAt });
    case 'CustodianDeparted':
      return custodian(state, event.data.subject, {
        departed: { leftAt: parseInstant(event.data.leftAt) ?? event.recordedAt },
      });
    case 'RotationAuthoritySet': {
      const { reason: _reason, ...authority } = event.data;
      return state.details === undefined ? state : { ...state, details: { ...state.details, authority } };
    }
    case 'ReviewCompleted': {
      const declaredDue =
        state.reviewed === undefined ? state.runbook['nextReview'] : state.reviewed.declaredDue;
      return {
        ...state,
        reviewed: { at: event.recordedAt, ...(declaredDue === undefined ? {} : { declaredDue }) },
        runbook: { ...state.runbook, nextReview: event.data.nextReview },
      };
    }
    case 'FamilyRetired':
      return { ...state, retired: true };
    case 'ConsumerRegistered':
    case 'ConsumerRevised': {
      const rest = state.consumers.filter((consumer) => consumer.consumerId !== event.data.consumerId);
      return { ...state, consumers: [...rest, event.data] };
    }
    case 'ConsumerRemoved':
      return {
        ...state,
        consumers: state.consumers.filter((consumer) => consumer.consumerId !== event.data.consumerId),
      };
    case 'VersionObserved': {
      const { source: _source, ...snapshot } = event.data;
      return {
        ...state,
        versions: known(state, mergeVersions(state.versions, [snapshot])),
      };
    }
    case 'DriftObserved':
    case 'DriftSettled': {
      const { drift: _before, ...rest } = state;
      const { drift, versions } = evolveDrift(state, event);
      return { ...rest, versions: known(state, versions), ...(drift === undefined ? {} : { drift }) };
    }
    case 'CompromiseSuspected':
      return {
        ...state,
        cleared: without(state.cleared, event.data.versions),
        suspected: [
          ...state.suspected,
          {
            versions: event.data.versions,
            reason: event.data.reason,
            by: event.actor,
            correlationId: event.correlationId,
            causationId: event.causationId,
            ...(event.data.containment === undefined ? {} : { containment: event.data.containment }),
          },
        ],
      };
    case 'CompromiseConfirmed': {
      const compromised = [...new Set([...state.compromised, ...event.data.versions])];
      return {
        ...state,
        compromised,
        compromisedAt: {
          ...Object.fromEntries(
            event.data.versions.map((version) => [
              version,
              (event.data.discoveredAt === undefined ? undefined : parseInstant(event.data.discoveredAt)) ??
                event.recordedAt,
            ]),
          ),
          // What was known first stays: a second confirmation makes nothing due later.
          ...state.compromisedAt,
        },
        cleared: without(state.cleared, event.data.versions),
        versions: markCompromised(state.versions, compromised),
      };
    }
    case 'CompromiseCleared':
      return { ...state, cleared: [...new Set([...state.cleared, ...event.data.versions])] };
    case 'SlotTaken': {
      const { process, id } = event.data;
      return {
        ...state,
        process: { process, id, takenRevision: event.revision, takenEventId: event.id },
      };
    }
    case 'SlotFreed': {
      const { process, ...rest } = state;
      const destroyed = [...new Set([...state.destroyed, ...(event.data.destroyed ?? [])])];
      return {
        ...rest,
        ...(process === undefined || process.id === event.data.id ? {} : { process }),
        destroyed,
        versions: markDestroyed(state.versions, destroyed),
      };
    }
    case 'RotationOpened': {
      // Only an emergency opens over a process: that one takes the slot again afterwards.
      const { process: _process, ...rest } = state;
      const declared = declaredBy(event);
      return {
        ...rest,
        ...(declared === undefined ? {} : { emergencies: [...(state.emergencies ?? []), declared] }),
        slot: {
          rotation: event.data.rotation,
          request: event.data.request,
          ...(event.data.supersedes === undefined ? {} : { supersedes: event.data.supersedes }),
          openedRevision: event.revision,
          openedBy: event.actor,
          correlationId: event.correlationId,
          causationId: event.causationId,
          openedEventId: event.id,
          openedAt: event.recordedAt,
          origin: event.origin,
          open: true,
        },
      };
    }
    case 'RotationClosed': {
      const slot =
        state.slot?.rotation === event.data.rotation ? { slot: { ...state.slot, open: false } } : {};
      const versions = known(state, mergeVersions(state.versions, event.data.versions));
      return {
        ...state,
        ...slot,
        versions,
        largestMaxAge: Math.max(state.largestMaxAge, event.data.servedMaxAgeSeconds ?? 0),
        custodians: settledBy(state, event.data, versions),
        closed: [...state.closed, { rotation: event.data.rotation, outcome: event.data.outcome }],
      };
    }
  }
}

export const familyDecider: Decider<FamilyCommand, FamilyState, NewFamilyEvent, FamilyEvent> = {
  initialState: initialFamily,
  decide,
  evolve,
};
