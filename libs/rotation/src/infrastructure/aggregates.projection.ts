import type { RecordedEvent } from '#eventlog';
import type { Projection } from '#eventlog/kit';
import type { SqlDatabase } from '#eventlog/sqlite';
import type { ContainmentEvent } from '../domain/containment.events.js';
import { evolveContainment, initialContainment, type ContainmentState } from '../domain/containment.state.js';
import { familyDecider, type FamilyState } from '../domain/family.decider.js';
import type { FamilyEvent } from '../domain/family.events.js';
import { policyDecider, type PolicyState } from '../domain/policy.decider.js';
import type { PolicyEvent } from '../domain/policy.events.js';
import type { RotationEvent } from '../domain/rotation.events.js';
import { ENDED, evolveRotation, initialRotation, type RotationState } from '../domain/rotation.state.js';

/** Rows for lists and searches: the fold of each aggregate, with the columns lists are ordered and filtered by. */

function fold<State, Event extends RecordedEvent>(
  db: SqlDatabase,
  table: string,
  id: string,
  initial: State,
  evolve: (state: State, event: Event) => State,
  event: RecordedEvent,
): State {
  const row = db.prepare(`SELECT state FROM ${table} WHERE id = ?`).get(id);
  const before: State = row === undefined ? initial : (JSON.parse(String(row.state)) as State);
  // The stream's category decides its event types; the kit parsed each against its schema.
  return evolve(before, event as Event);
}

function idIn(stream: string, category: string): string | undefined {
  return stream.startsWith(`${category}-`) ? stream.slice(category.length + 1) : undefined;
}

export const familiesProjection: Projection = {
  name: 'families',
  version: 1,
  schema: [
    `CREATE TABLE families (
      id TEXT PRIMARY KEY, environment TEXT NOT NULL, name TEXT NOT NULL, team TEXT NOT NULL, mode TEXT NOT NULL,
      revision INTEGER NOT NULL, tree_size INTEGER NOT NULL, state TEXT NOT NULL
    ) STRICT`,
    'CREATE INDEX families_by_name ON families (environment, name)',
  ],
  apply: (db, event) => {
    const id = idIn(event.stream, 'family');
    if (id === undefined) return;
    const state = fold<FamilyState, FamilyEvent>(
      db,
      'families',
      id,
      familyDecider.initialState,
      familyDecider.evolve,
      event,
    );
    const { details } = state;
    if (details === undefined) return;
    db.prepare(
      `INSERT INTO families (id, environment, name, team, mode, revision, tree_size, state)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, tree_size = excluded.tree_size, state = excluded.state`,
    ).run(
      id,
      details.environment,
      details.name,
      details.team,
      details.mode,
      event.revision,
      event.treeSize,
      JSON.stringify(state),
    );
  },
};

export const rotationsProjection: Projection = {
  name: 'rotations',
  version: 1,
  schema: [
    `CREATE TABLE rotations (
      id TEXT PRIMARY KEY, family_id TEXT NOT NULL, strategy TEXT NOT NULL, phase TEXT NOT NULL, ended INTEGER NOT NULL,
      imported INTEGER NOT NULL, requested_at INTEGER NOT NULL, revision INTEGER NOT NULL, tree_size INTEGER NOT NULL,
      state TEXT NOT NULL
    ) STRICT`,
    'CREATE INDEX rotations_by_family ON rotations (family_id, requested_at)',
    'CREATE INDEX rotations_open ON rotations (ended, requested_at)',
  ],
  apply: (db, event) => {
    const id = idIn(event.stream, 'rotation');
    if (id === undefined) return;
    const state = fold<RotationState, RotationEvent>(
      db,
      'rotations',
      id,
      initialRotation,
      evolveRotation,
      event,
    );
    if (!state.exists) return;
    db.prepare(
      `INSERT INTO rotations (id, family_id, strategy, phase, ended, imported, requested_at, revision, tree_size, state)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET phase = excluded.phase, ended = excluded.ended, revision = excluded.revision,
         tree_size = excluded.tree_size, state = excluded.state`,
    ).run(
      id,
      state.familyId,
      state.request?.strategy ?? 'graceful',
      state.phase,
      ENDED.includes(state.phase) ? 1 : 0,
      state.imported ? 1 : 0,
      state.requestedAt ?? event.recordedAt,
      event.revision,
      event.treeSize,
      JSON.stringify(state),
    );
  },
};

export const containmentsProjection: Projection = {
  name: 'containments',
  version: 1,
  schema: [
    `CREATE TABLE containments (
      id TEXT PRIMARY KEY, family_id TEXT NOT NULL, status TEXT NOT NULL, revision INTEGER NOT NULL,
      tree_size INTEGER NOT NULL, state TEXT NOT NULL
    ) STRICT`,
    'CREATE INDEX containments_by_family ON containments (family_id)',
  ],
  apply: (db, event) => {
    const id = idIn(event.stream, 'containment');
    if (id === undefined) return;
    const state = fold<ContainmentState, ContainmentEvent>(
      db,
      'containments',
      id,
      initialContainment,
      evolveContainment,
      event,
    );
    db.prepare(
      `INSERT INTO containments (id, family_id, status, revision, tree_size, state) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET status = excluded.status, revision = excluded.revision,
         tree_size = excluded.tree_size, state = excluded.state`,
    ).run(id, state.familyId, state.status, event.revision, event.treeSize, JSON.stringify(state));
  },
};

export const policiesProjection: Projection = {
  name: 'policies',
  version: 1,
  schema: [
    `CREATE TABLE policies (
      id TEXT PRIMARY KEY, name TEXT NOT NULL, retired INTEGER NOT NULL, revision INTEGER NOT NULL,
      tree_size INTEGER NOT NULL, state TEXT NOT NULL
    ) STRICT`,
  ],
  apply: (db, event) => {
    const id = idIn(event.stream, 'policy');
    if (id === undefined) return;
    const state = fold<PolicyState, PolicyEvent>(
      db,
      'policies',
      id,
      policyDecider.initialState,
      policyDecider.evolve,
      event,
    );
    db.prepare(
      `INSERT INTO policies (id, name, retired, revision, tree_size, state) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET name = excluded.name, retired = excluded.retired, revision = excluded.revision,
         tree_size = excluded.tree_size, state = excluded.state`,
    ).run(
      id,
      state.details?.name ?? '',
      state.retired ? 1 : 0,
      event.revision,
      event.treeSize,
      JSON.stringify(state),
    );
  },
};
