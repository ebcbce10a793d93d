import { parseInstant, type RecordedEvent } from '#eventlog';
import { asStored, type Projection } from '#eventlog/kit';
import type { SqlDatabase, SqlValue } from '#eventlog/sqlite';
import type { ContainmentEvent } from '../domain/containment.events.js';
import { evolveContainment, initialContainment, type ContainmentState } from '../domain/containment.state.js';
import type { DestructionEvent } from '../domain/destruction.events.js';
import { evolveDestruction, initialDestruction, type DestructionState } from '../domain/destruction.state.js';
import { familyDecider, type FamilyState } from '../domain/family.decider.js';
import type { FamilyEvent } from '../domain/family.events.js';
import { policyDecider, type PolicyState } from '../domain/policy.decider.js';
import type { PolicyEvent } from '../domain/policy.events.js';
import { registrationMissing } from '../domain/registration.js';
import type { RotationEvent } from '../domain/rotation.events.js';
import { ENDED, evolveRotation, initialRotation, type RotationState } from '../domain/rotation.state.js';
import type { VersionSnapshot } from '../domain/vocabulary.js';

/** Rows for lists and searches: the fold of each aggregate, with the columns lists are ordered and filtered by. */

interface Aggregate<State, Event extends RecordedEvent> {
  readonly name: string;
  readonly version: number;
  /** Beside `id`, `revision`, `tree_size` and `state`; `columns` gives their values. */
  readonly schema: readonly string[];
  readonly category: string;
  readonly initial: State;
  readonly evolve: (state: State, event: Event) => State;
  /** What does not exist has no row: what came before its first fact is no part of the fold. */
  readonly exists: (state: State) => boolean;
  /** `first` is the event that made it exist. */
  readonly columns: (state: State, first: RecordedEvent) => Readonly<Record<string, SqlValue>>;
  /** Columns that keep the value they began with. */
  readonly fixed?: readonly string[];
}

/** One row an aggregate, read and written once a batch: a stream's events mostly come close together. */
function aggregate<State, Event extends RecordedEvent>(options: Aggregate<State, Event>): Projection {
  const { name, version, schema, category, initial, evolve, exists, columns, fixed = [] } = options;
  const prefix = `${category}-`;
  let upsert: string | undefined;
  const write = (db: SqlDatabase, id: string, { state, last, first }: Folded<State>): void => {
    const given = columns(state, first);
    upsert ??= upsertOf(name, Object.keys(given), fixed);
    db.prepare(upsert).run(id, last.revision, last.treeSize, ...Object.values(given), JSON.stringify(state));
  };
  return {
    name,
    version,
    schema,
    applyAll: (db, events) => {
      const touched = new Map<string, Folded<State>>();
      for (const event of events) {
        if (!event.stream.startsWith(prefix)) continue;
        const before = touched.get(event.stream);
        const known = before?.state ?? stored(db, name, event.stream.slice(prefix.length)) ?? initial;
        // The stream's category decides its event types; the kit parsed each against its schema.
        const state = asStored(evolve(known, event as Event), known);
        if (exists(state)) touched.set(event.stream, { state, last: event, first: before?.first ?? event });
      }
      for (const [stream, folded] of touched) write(db, stream.slice(prefix.length), folded);
    },
  };
}

interface Folded<State> {
  readonly state: State;
  readonly last: RecordedEvent;
  readonly first: RecordedEvent;
}

function stored<State>(db: SqlDatabase, table: string, id: string): State | undefined {
  const row = db.prepare(`SELECT state FROM ${table} WHERE id = ?`).get(id);
  return row === undefined ? undefined : (JSON.parse(String(row.state)) as State);
}

function upsertOf(table: string, columns: readonly string[], fixed: readonly string[]): string {
  const all = ['id', 'revision', 'tree_size', ...columns, 'state'];
  const moved = all.filter((column) => column !== 'id' && !fixed.includes(column));
  return `INSERT INTO ${table} (${all.join(', ')}) VALUES (${all.map(() => '?').join(', ')})
    ON CONFLICT (id) DO UPDATE SET ${moved.map((column) => `${column} = excluded.${column}`).join(', ')}`;
}

// The state last: what stands behind a long text is found by reading the text.
const ROW = 'id TEXT PRIMARY KEY, revision INTEGER NOT NULL, tree_size INTEGER NOT NULL';
const STATE = 'state TEXT NOT NULL';

/**
 * What of a family's versions says that it may be late, without a policy and without the rotation that runs: whoever
 * lists what is late looks closer at these rows alone (`directory.ts`). A row too many costs a look; one too few hides it.
 */
function clocksOf(
  versions: readonly VersionSnapshot[],
  deviations: FamilyState['deviations'] = [],
): {
  readonly accepted_since: number | null;
  readonly emitting_since: number | null;
  readonly unclear: number;
} {
  const open = versions.filter((version) => version.accepted && !version.destroyed);
  const since = (some: readonly VersionSnapshot[]): number | null => {
    const instants = some.flatMap(({ createdAt }) => parseInstant(createdAt ?? '') ?? []);
    return instants.length === 0 ? null : Math.min(...instants);
  };
  const undated =
    open.length === 0 || open.some(({ createdAt }) => parseInstant(createdAt ?? '') === undefined);
  return {
    accepted_since: since(open),
    emitting_since: since(
      open.filter(({ emittingShare }) => emittingShare === undefined || emittingShare > 0),
    ),
    // A family that departs from its policy keeps other terms than its kind: it is always looked at.
    unclear:
      undated ||
      open.some(({ compromised }) => compromised) ||
      deviations.some(({ approvedAt, closedAt }) => approvedAt !== undefined && closedAt === undefined)
        ? 1
        : 0,
  };
}

export const familiesProjection: Projection = aggregate<FamilyState, FamilyEvent>({
  name: 'families',
  version: 11,
  schema: [
    `CREATE TABLE families (
      ${ROW}, environment TEXT NOT NULL, name TEXT NOT NULL, team TEXT NOT NULL, mode TEXT NOT NULL,
      kind TEXT NOT NULL, protects TEXT NOT NULL, accepted_since INTEGER, emitting_since INTEGER,
      unclear INTEGER NOT NULL, next_review TEXT, left_at INTEGER, registration_due INTEGER,
      deviation_until INTEGER, back_end TEXT, drifted_at INTEGER, ${STATE}
    ) STRICT`,
    'CREATE INDEX families_by_name ON families (environment, name, id)',
    'CREATE INDEX families_by_team ON families (team, environment, name, id)',
    'CREATE INDEX families_accepted ON families (environment, kind, protects, accepted_since)',
    'CREATE INDEX families_emitting ON families (environment, kind, protects, emitting_since)',
    'CREATE INDEX families_unclear ON families (id) WHERE unclear = 1',
    'CREATE INDEX families_left ON families (left_at) WHERE left_at IS NOT NULL',
    'CREATE INDEX families_unregistered ON families (registration_due) WHERE registration_due IS NOT NULL',
    'CREATE INDEX families_deviating ON families (deviation_until) WHERE deviation_until IS NOT NULL',
    'CREATE INDEX families_reviewed ON families (next_review) WHERE next_review IS NOT NULL',
    'CREATE INDEX families_by_back_end ON families (back_end, id) WHERE back_end IS NOT NULL',
    'CREATE INDEX families_drifted ON families (id) WHERE drifted_at IS NOT NULL',
  ],
  category: 'family',
  initial: familyDecider.initialState,
  evolve: familyDecider.evolve,
  exists: ({ details }) => details !== undefined,
  columns: (state) => ({
    environment: state.details?.environment ?? '',
    name: state.details?.name ?? '',
    team: state.details?.team ?? '',
    mode: state.details?.mode ?? '',
    kind: state.details?.kind ?? '',
    protects: state.details?.protects ?? '',
    ...clocksOf(state.versions, state.deviations),
    // A retired family owes neither.
    next_review: state.retired ? null : (state.runbook['nextReview'] ?? null),
    left_at: state.retired ? null : firstLeft(state.custodians),
    registration_due: registrationMissing(state).length === 0 ? null : (state.registration?.due ?? null),
    deviation_until: state.retired ? null : firstEnd(state.deviations),
    // Whose objects are looked at: of a retired family nothing is expected any more.
    back_end: state.retired ? null : (state.details?.backEnd?.instance ?? null),
    drifted_at: state.retired ? null : (state.drift?.at ?? null),
  }),
});

/** When the first of the deviations ends that hold, or held and were not closed. */
function firstEnd(deviations: FamilyState['deviations'] = []): number | null {
  const ends = deviations.flatMap(({ approvedAt, closedAt, until }) =>
    approvedAt === undefined || closedAt !== undefined ? [] : [until],
  );
  return ends.length === 0 ? null : Math.min(...ends);
}

/** When the first of those left whose secret was not rotated since. */
function firstLeft(custodians: FamilyState['custodians']): number | null {
  const left = custodians.flatMap(({ departed }) =>
    departed === undefined || departed.settledBy !== undefined ? [] : [departed.leftAt],
  );
  return left.length === 0 ? null : Math.min(...left);
}

/** The earliest instant from which a person may owe something late; earlier than its date costs a look, later would hide it. */
function owedAt(state: RotationState): number | null {
  const { emergency, imported, approvals, refused, phase, reviewedAt, request, unreconciledSince } = state;
  if (imported) return null;
  const until = ENDED.includes(phase) ? undefined : parseInstant(request?.deviation?.until ?? '');
  const open = [
    ...(emergency === undefined || approvals.length > 0 || refused !== undefined || phase === 'rejected'
      ? []
      : [emergency.approvalDueAt]),
    ...(emergency === undefined || reviewedAt !== undefined ? [] : [emergency.reviewDueAt]),
    ...(until === undefined ? [] : [until]),
    ...(unreconciledSince === undefined ? [] : [unreconciledSince]),
  ];
  return open.length === 0 ? null : Math.min(...open);
}

/** What an emergency owed was done after its date: whoever records what was missed looks here again when it starts. */
function answeredLate({ emergency, imported, approvals, refused, reviewedAt }: RotationState): boolean {
  if (emergency === undefined || imported) return false;
  const answeredAt = approvals[0]?.at ?? refused?.at ?? 0;
  return answeredAt >= emergency.approvalDueAt || (reviewedAt ?? 0) >= emergency.reviewDueAt;
}

export const rotationsProjection: Projection = aggregate<RotationState, RotationEvent>({
  name: 'rotations',
  version: 6,
  schema: [
    `CREATE TABLE rotations (
      ${ROW}, family_id TEXT NOT NULL, strategy TEXT NOT NULL, phase TEXT NOT NULL, ended INTEGER NOT NULL,
      imported INTEGER NOT NULL, requested_at INTEGER NOT NULL, made TEXT, made_at INTEGER,
      outgoing INTEGER NOT NULL, revoked INTEGER NOT NULL, owed_at INTEGER,
      answered_late INTEGER NOT NULL, suspended INTEGER NOT NULL, ${STATE}
    ) STRICT`,
    'CREATE INDEX rotations_by_family ON rotations (family_id, ended, requested_at DESC, id DESC)',
    'CREATE INDEX rotations_listed ON rotations (ended, requested_at DESC, id DESC)',
    "CREATE INDEX rotations_rehearsed ON rotations (family_id) WHERE strategy = 'rehearsal'",
    'CREATE INDEX rotations_made ON rotations (made_at) WHERE ended = 0',
    'CREATE INDEX rotations_revoked ON rotations (id) WHERE ended = 0 AND revoked = 1',
    'CREATE INDEX rotations_answered_late ON rotations (id) WHERE answered_late = 1',
    'CREATE INDEX rotations_suspended ON rotations (id) WHERE suspended = 1',
    'CREATE INDEX rotations_owed ON rotations (owed_at) WHERE owed_at IS NOT NULL',
  ],
  category: 'rotation',
  initial: initialRotation,
  evolve: evolveRotation,
  fixed: ['requested_at'],
  exists: (state) => state.exists,
  columns: (state, first) => ({
    family_id: state.familyId,
    strategy: state.request?.strategy ?? 'graceful',
    phase: state.phase,
    // An imported one is shown and never acts: however its record ends, it is over.
    ended: ENDED.includes(state.phase) || state.imported ? 1 : 0,
    imported: state.imported ? 1 : 0,
    requested_at: state.requestedAt ?? first.recordedAt,
    made: state.generated === undefined ? null : JSON.stringify(state.generated),
    made_at: parseInstant(state.generated?.createdAt ?? '') ?? null,
    outgoing: state.plan?.outgoing.length ?? 0,
    revoked: state.revoked === undefined ? 0 : 1,
    answered_late: answeredLate(state) ? 1 : 0,
    owed_at: owedAt(state),
    // What needs a person, and therefore an alarm: nobody looks through the others for it.
    suspended: state.suspended !== undefined && !state.imported && !ENDED.includes(state.phase) ? 1 : 0,
  }),
});

export const containmentsProjection: Projection = aggregate<ContainmentState, ContainmentEvent>({
  name: 'containments',
  version: 4,
  schema: [
    `CREATE TABLE containments (${ROW}, family_id TEXT NOT NULL, status TEXT NOT NULL, ${STATE}) STRICT`,
    'CREATE INDEX containments_by_family ON containments (family_id)',
    'CREATE INDEX containments_by_status ON containments (status, id)',
  ],
  category: 'containment',
  initial: initialContainment,
  evolve: evolveContainment,
  exists: () => true,
  columns: ({ familyId, status }) => ({ family_id: familyId, status }),
});

export const destructionsProjection: Projection = aggregate<DestructionState, DestructionEvent>({
  name: 'destructions',
  version: 3,
  schema: [
    `CREATE TABLE destructions (${ROW}, family_id TEXT NOT NULL, status TEXT NOT NULL, ${STATE}) STRICT`,
    'CREATE INDEX destructions_by_family ON destructions (family_id)',
    'CREATE INDEX destructions_by_status ON destructions (status, id)',
  ],
  category: 'destruction',
  initial: initialDestruction,
  evolve: evolveDestruction,
  exists: (state) => state.exists,
  columns: ({ familyId, status }) => ({ family_id: familyId, status }),
});

export const policiesProjection: Projection = aggregate<PolicyState, PolicyEvent>({
  name: 'policies',
  version: 2,
  schema: [
    `CREATE TABLE policies (${ROW}, name TEXT NOT NULL, retired INTEGER NOT NULL, ${STATE}) STRICT`,
    'CREATE INDEX policies_by_name ON policies (name, id)',
  ],
  category: 'policy',
  initial: policyDecider.initialState,
  evolve: policyDecider.evolve,
  exists: () => true,
  columns: ({ details, retired }) => ({ name: details?.name ?? '', retired: retired ? 1 : 0 }),
});
