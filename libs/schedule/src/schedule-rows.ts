import { formatInstant, type Provenance } from '#eventlog';
import {
  boundAt,
  calendarText,
  departedTerms,
  departuresText,
  lastOccurrence,
  nextOccurrence,
  selectPolicy,
  type BoundPolicy,
  type CalendarRule,
  type FamilyState,
  type PolicyState,
  type RotationState,
} from '#rotation';
import { dueOf, type Due, type DueException, type DueStatus, type PastRotation } from './due.js';
import { obligationRows, type ObligationRow } from './obligations.js';

export interface ScheduleInput {
  readonly families: readonly FamilyState[];
  /** Rotations of these families, imported ones too; those that are over and owe nothing may be told in short by `past`. */
  readonly rotations: readonly RotationState[];
  readonly past?: readonly PastRotation[];
  readonly policies: readonly PolicyState[];
  readonly now: number;
}

/** A line of the schedule: a family's rotation, or something else that is owed by a date. */
export type ScheduleRow = RotationRow | ObligationRow;

/** One family's rotation: plain JSON, `null` for "not recorded". */
export interface RotationRow {
  readonly kind: 'rotation';
  readonly family: { readonly id: string; readonly qualifiedName: string };
  readonly environment: string;
  readonly team: string;
  readonly owner: string;
  readonly mode: string;
  readonly illustrative: boolean;
  /** In words: what is due. */
  readonly what: string;
  readonly status: DueStatus;
  readonly exceptions: readonly DueException[];
  readonly due: string | null;
  readonly stopEmittingDue: string | null;
  readonly stopAcceptingDue: string | null;
  /** When the calendar places the next rotation, never after it is due; `null`: no calendar says. */
  readonly plannedFor: string | null;
  /** In words: the calendar rule, the family's own or its policy's. */
  readonly calendar: string | null;
  readonly ageDays: number | null;
  readonly overdueDays: number | null;
  readonly since: string | null;
  /** In words: the fact the clock runs from. */
  readonly basis: string | null;
  readonly basisAt: string | null;
  readonly version: string | null;
  readonly provenance: Provenance | null;
  readonly policy: { readonly id: string; readonly name: string } | null;
  /** In words: what of the policy does not bind this family now, and until when. */
  readonly departures: readonly string[];
  readonly runningRotation: string | null;
}

/** Every family that is watched and everything that is owed, the most urgent first. */
export function scheduleRows(input: ScheduleInput): readonly ScheduleRow[] {
  const { families, policies, now } = input;
  const bound = policies.flatMap((policy) => boundAt(policy, now) ?? []);
  const rotations = byFamily(input.rotations);
  const past = byFamily(input.past ?? []);
  const rows: ScheduleRow[] = families
    .filter((family) => !family.retired)
    .flatMap(
      (family) =>
        rowOf(family, rotations.get(family.familyId) ?? [], past.get(family.familyId) ?? [], bound, now) ??
        [],
    );
  return [...rows, ...obligationRows(input)]
    .map((row) => ({ row, place: placeOf(row) }))
    .sort((left, right) => comparePlaces(left.place, right.place))
    .map(({ row }) => row);
}

/**
 * What is overdue, and what nobody can call on time: no version was observed, or no policy says when. Each keeps its own
 * status.
 */
export function overdueRows(input: ScheduleInput): readonly ScheduleRow[] {
  return scheduleRows(input).filter((row) => NOT_ON_TIME.includes(row.status));
}

const NOT_ON_TIME: readonly DueStatus[] = ['overdue', 'not-observed', 'no-policy'];

function byFamily<Rotation extends { readonly familyId: string }>(
  rotations: readonly Rotation[],
): ReadonlyMap<string, readonly Rotation[]> {
  const grouped = new Map<string, Rotation[]>();
  for (const rotation of rotations) {
    const known = grouped.get(rotation.familyId);
    if (known === undefined) grouped.set(rotation.familyId, [rotation]);
    else known.push(rotation);
  }
  return grouped;
}

function rowOf(
  family: FamilyState,
  rotations: readonly RotationState[],
  past: readonly PastRotation[],
  bound: readonly BoundPolicy[],
  now: number,
): RotationRow | undefined {
  const { details, slot } = family;
  if (details === undefined) return undefined;
  const policy = selectPolicy(bound, details);
  const terms = policy === undefined ? undefined : departedTerms(policy.terms, family.deviations, now);
  const running =
    slot?.open === true ? rotations.find((rotation) => rotation.rotationId === slot.rotation) : undefined;
  const due = dueOf({
    versions: family.versions,
    running,
    past: [...rotations.filter((rotation) => rotation !== running), ...past],
    policyTerms: terms,
    coverageStart: family.registeredAt,
    compromisedAt: family.compromisedAt,
    now,
  });
  const calendar = family.schedule?.calendar ?? terms?.calendar;
  return {
    kind: 'rotation',
    family: { id: family.familyId, qualifiedName: `${details.environment}/${details.name}` },
    environment: details.environment,
    team: details.team,
    owner: details.owner.role,
    mode: details.mode,
    illustrative: details.illustrative,
    what: whatOf(due),
    status: due.status,
    exceptions: due.exceptions,
    due: instant(due.nextDue),
    stopEmittingDue: instant(due.stopEmittingDue),
    stopAcceptingDue: instant(due.stopAcceptingDue),
    plannedFor: instant(plannedFor(calendar, due, now)),
    calendar: calendar === undefined ? null : calendarText(calendar),
    ageDays: due.ageDays ?? null,
    overdueDays: due.overdueDays ?? null,
    since: instant(due.since),
    basis: basisText(due),
    basisAt: instant(due.basis?.at),
    version: due.basis?.versionId ?? null,
    provenance: due.basis?.provenance ?? null,
    policy: policy === undefined ? null : { id: policy.policyId, name: policy.name },
    departures: departuresText(family.deviations, now),
    runningRotation: slot?.open === true ? slot.rotation : null,
  };
}

/**
 * The last time the calendar names before the rotation is due; past that one, the next it names, but never after the date. A
 * rule that a later policy made too slow so still places work inside the period.
 */
function plannedFor(calendar: CalendarRule | undefined, due: Due, now: number): number | undefined {
  if (calendar === undefined) return undefined;
  const next = nextOccurrence(calendar, now);
  const by = due.stopEmittingDue;
  if (by === undefined) return next;
  const last = lastOccurrence(calendar, by);
  if (last > now) return last;
  return Math.min(next, Math.max(by, now));
}

function instant(at: number | undefined): string | null {
  return at === undefined ? null : formatInstant(at);
}

function whatOf(due: Due): string {
  switch (due.status) {
    case 'not-observed':
      return 'rotation: no version with a known beginning was ever observed';
    case 'no-policy':
      return 'rotation: no policy selects this family';
    case 'never-rotated':
      return 'rotation: never rotated';
    case 'ok':
    case 'due-soon':
    case 'overdue': {
      const never = due.exceptions.includes('never-rotated') ? ', never rotated' : '';
      const compromised = due.exceptions.includes('compromised-accepted')
        ? ', a compromised version is still accepted'
        : '';
      if (due.nextDueIs === 'compromise') return `rotation: stop accepting at once${never}${compromised}`;
      const clock = due.nextDueIs === 'stop-accepting' ? 'stop accepting' : 'stop emitting';
      return `rotation: ${clock}${never}${compromised}`;
    }
  }
}

function basisText({ basis }: Due): string | null {
  if (basis === undefined) return null;
  const fact = basis.fact === 'KeyGenerated' ? 'generated' : 'created, as it was observed,';
  return `${basis.versionId} ${fact} ${formatInstant(basis.at)}`;
}

const URGENCY: Readonly<Record<DueStatus, number>> = {
  overdue: 0,
  'due-soon': 1,
  'not-observed': 2,
  'never-rotated': 3,
  'no-policy': 4,
  ok: 5,
};

/** A row's place among all rows of one instant: urgency, date, name, and what tells two of the same name apart. */
export type SchedulePlace = readonly [urgency: number, date: string, name: string, id: string];

export function placeOf(row: ScheduleRow): SchedulePlace {
  const undated = row.status === 'overdue' ? '' : '~';
  const id = row.kind === 'rotation' ? row.family.id : (row.rotation ?? row.policy?.id ?? '');
  return [URGENCY[row.status], dateOf(row, undated), nameOf(row), id];
}

/** The most urgent first. */
export function comparePlaces(left: SchedulePlace, right: SchedulePlace): number {
  for (const [index, mine] of left.entries()) {
    const other = right[index] ?? mine;
    if (mine !== other) return mine < other ? -1 : 1;
  }
  return 0;
}

function dateOf(row: ScheduleRow, undated: string): string {
  // A compromised version that is still accepted stands before all others, however long they are due.
  if (row.kind === 'rotation' && row.exceptions.includes('compromised-accepted')) return '';
  return row.due ?? undated;
}

function nameOf({ family, what }: ScheduleRow): string {
  return `${family?.qualifiedName ?? ''} ${what}`;
}
