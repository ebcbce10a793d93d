import { parseInstant } from '#eventlog';
import {
  isTried,
  planOf,
  timelineOf,
  type FamilyEvent,
  type RotationEvent,
  type RotationPlan,
  type TimelineEntry,
} from '#rotation';
import type { RotationDossier } from '../dossier.js';

type EventOf<Event extends { readonly type: string }, Type extends Event['type']> = Extract<
  Event,
  { readonly type: Type }
>;

export type RotationFact<Type extends RotationEvent['type']> = EventOf<RotationEvent, Type>;
type FamilyFact<Type extends FamilyEvent['type']> = EventOf<FamilyEvent, Type>;

export interface VersionLine {
  readonly versionId: string;
  /** `incoming`, `outgoing`, `left accepted`, `compromised`: what it is in this rotation. */
  readonly roles: readonly string[];
  readonly algorithm?: string;
  readonly strengthBits?: number;
  readonly fingerprint?: string;
  readonly createdAt?: number;
}

/** What a record page says, read from the dossier's facts and nothing else. */
export interface RecordFacts {
  readonly dossier: RotationDossier;
  readonly name: string;
  readonly environment: string;
  readonly family?: FamilyFact<'FamilyRegistered'>['data'];
  readonly owner?: FamilyFact<'OwnerAssigned'>['data'];
  readonly example: boolean;
  readonly request?: RotationFact<'RotationRequested'>;
  readonly plan?: RotationPlan;
  readonly declared?: RotationFact<'EmergencyDeclared'>;
  readonly timeline: readonly TimelineEntry[];
  readonly versions: readonly VersionLine[];
  readonly outcome: Outcome;
  nameOf(subject: string): string;
}

interface Outcome {
  /** A plain fact, never a judgement. */
  readonly words: string;
  readonly at?: number;
  readonly ended: boolean;
}

export function recordFacts(dossier: RotationDossier): RecordFacts {
  const { familyEvents, rotationEvents, names } = dossier;
  const family = lastOf(familyEvents, 'FamilyRegistered')?.data;
  const owner = lastOf(familyEvents, 'OwnerAssigned')?.data ?? family?.owner;
  const request = firstOf(rotationEvents, 'RotationRequested');
  const plan = planOf(rotationEvents);
  const declared = firstOf(rotationEvents, 'EmergencyDeclared');
  const timeline = timelineOf(dossier);
  return {
    dossier,
    name: family?.name ?? dossier.familyId,
    environment: family?.environment ?? 'environment not recorded',
    ...(family === undefined ? {} : { family }),
    ...(owner === undefined ? {} : { owner }),
    example: family?.illustrative === true,
    ...(request === undefined ? {} : { request }),
    ...(plan === undefined ? {} : { plan }),
    ...(declared === undefined ? {} : { declared }),
    timeline,
    versions: versionsOf(dossier, plan),
    outcome: outcomeOf(rotationEvents, timeline),
    nameOf: (subject) => names[subject] ?? (subject === 'system' ? 'Keyturn' : subject),
  };
}

/** When a fact was so, for a page: an import without an instant has none. */
export function instantOf(event: {
  readonly occurredAt?: number;
  readonly recordedAt: number;
  readonly provenance: string;
}): number | undefined {
  return event.occurredAt ?? (event.provenance === 'imported' ? undefined : event.recordedAt);
}

export function firstOf<Event extends { readonly type: string }, Type extends Event['type']>(
  events: readonly Event[],
  type: Type,
): EventOf<Event, Type> | undefined {
  return events.find((event): event is EventOf<Event, Type> => event.type === type);
}

/** The same of what a rotation's record may claim: a refusal that nobody could try was not tested. */
export function claimOf<Type extends RotationEvent['type']>(
  events: readonly RotationEvent[],
  type: Type,
): RotationFact<Type> | undefined {
  const tested = type === 'OldKeyRejectionVerified' ? firstOf(events, 'OldKeyRejectionVerified') : undefined;
  return tested !== undefined && !isTried(tested.data) ? undefined : firstOf(events, type);
}

export function allOf<Event extends { readonly type: string }, Type extends Event['type']>(
  events: readonly Event[],
  type: Type,
): readonly EventOf<Event, Type>[] {
  return events.filter((event): event is EventOf<Event, Type> => event.type === type);
}

function lastOf<Event extends { readonly type: string }, Type extends Event['type']>(
  events: readonly Event[],
  type: Type,
): EventOf<Event, Type> | undefined {
  return allOf(events, type).at(-1);
}

function outcomeOf(events: readonly RotationEvent[], timeline: readonly TimelineEntry[]): Outcome {
  const end = timeline.find((entry) => entry.kind === 'end');
  const superseded = firstOf(events, 'RotationSuperseded');
  const endings: Partial<Record<RotationEvent['type'] | 'ContainmentApplied', string>> = {
    RotationCompleted: 'Completed',
    RotationRolledBack: 'Rolled back (not a completed rotation)',
    RotationAbandoned: 'Abandoned',
    RotationRejected: 'Rejected',
    RotationSuperseded: `Superseded by rotation ${superseded?.data.by ?? ''}`,
  };
  if (end !== undefined) {
    const words = Object.entries(endings).find(([type]) => type === end.type)?.[1] ?? end.title;
    return { words, ended: true, ...(end.instantNotRecorded ? {} : { at: end.at }) };
  }
  if (events.every((event) => event.provenance === 'imported')) {
    return { words: 'End not recorded', ended: false };
  }
  return { words: `In progress${standing(events)}`, ended: false };
}

/** What holds a rotation that has not ended. */
function standing(events: readonly RotationEvent[]): string {
  let state = '';
  for (const event of events) {
    if (event.type === 'RotationSuspended')
      state = `, suspended: ${event.data.reason}; asked: ${event.data.person}`;
    else if (event.type === 'RotationPaused') state = ', paused';
    else if (event.type === 'RollbackRequested') state = ', rolling back';
    else if (event.type === 'RotationResumed' || event.type === 'RetryRequested') state = '';
  }
  return state;
}

function versionsOf(dossier: RotationDossier, plan: RotationPlan | undefined): readonly VersionLine[] {
  const { familyEvents, rotationEvents } = dossier;
  const roles = new Map<string, string[]>();
  const mark = (versionId: string, role: string): void => {
    const known = roles.get(versionId) ?? [];
    if (!known.includes(role)) known.push(role);
    roles.set(versionId, known);
  };
  for (const id of plan?.outgoing ?? []) mark(id, 'old');
  if (plan?.incoming !== undefined) {
    const made = rotationEvents.some(({ type }) => type === 'KeyGenerated');
    mark(plan.incoming, made ? 'new' : 'new, not generated');
  }
  for (const event of rotationEvents) {
    if (event.type === 'KeyGenerated') mark(event.data.versionId, 'new');
    if (event.type === 'OldKeyRevoked' || event.type === 'CutOver')
      for (const id of event.data.versions) mark(id, 'old');
    if (event.type === 'EmergencyDeclared')
      for (const id of event.data.compromisedVersions) mark(id, 'compromised');
    if (event.type === 'DualAcceptDeployed')
      for (const id of event.data.versions) mark(id, 'accepted side by side');
  }
  for (const id of plan?.leftAccepted ?? []) mark(id, 'left accepted');

  return [...roles].map(([versionId, all]): VersionLine => {
    // "accepted side by side" says something only of a version of which nothing else is known.
    const said = all.length > 1 ? all.filter((role) => role !== 'accepted side by side') : all;
    const generated = allOf(rotationEvents, 'KeyGenerated').find(
      (event) => event.data.versionId === versionId,
    );
    const observed = allOf(familyEvents, 'VersionObserved').findLast(
      (event) => event.data.versionId === versionId,
    );
    const snapshot =
      plan?.versionsBefore.find((version) => version.versionId === versionId) ??
      allOf(familyEvents, 'RotationClosed')
        .flatMap((event) => event.data.versions)
        .findLast((version) => version.versionId === versionId);
    const algorithm = generated?.data.algorithm ?? observed?.data.algorithm ?? snapshot?.algorithm;
    const strengthBits =
      generated?.data.strengthBits ?? observed?.data.strengthBits ?? snapshot?.strengthBits;
    const fingerprint = generated?.data.fingerprint ?? observed?.data.fingerprint ?? snapshot?.fingerprint;
    const created = observed?.data.createdAt ?? snapshot?.createdAt;
    const createdAt =
      generated === undefined
        ? created === undefined
          ? undefined
          : parseInstant(created)
        : instantOf(generated);
    return {
      versionId,
      roles: said,
      ...(algorithm === undefined ? {} : { algorithm }),
      ...(strengthBits === undefined ? {} : { strengthBits }),
      ...(fingerprint === undefined ? {} : { fingerprint }),
      ...(createdAt === undefined ? {} : { createdAt }),
    };
  });
}
