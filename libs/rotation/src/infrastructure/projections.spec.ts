import * as fc from 'fast-check';
import type { RecordedEvent } from '#eventlog';
import type { Projection } from '#eventlog/kit';
import { openDatabase, type SqlDatabase, type SqlRow } from '#eventlog/sqlite';
import { allHistories, played, someUuid, type SimulatedWorld } from '../testing/index.js';
import {
  containmentsProjection,
  familiesProjection,
  policiesProjection,
  rotationsProjection,
} from './aggregates.projection.js';
import { claimsProjection } from './claims.projection.js';
import { wakeupsProjection } from './wakeups.projection.js';

const ALL = [
  familiesProjection,
  rotationsProjection,
  containmentsProjection,
  policiesProjection,
  claimsProjection,
  wakeupsProjection,
];

function eventsOf(world: SimulatedWorld): readonly RecordedEvent[] {
  return [
    ...world.family.events,
    ...[...world.rotations.values()].flatMap(({ events }) => events),
    ...[...world.containments.values()].flatMap(({ events }) => events),
  ].sort((left, right) => left.treeSize - right.treeSize);
}

function opened(): SqlDatabase {
  const db = openDatabase(':memory:');
  for (const { schema } of ALL) for (const statement of schema) db.exec(statement);
  return db;
}

function fold(
  db: SqlDatabase,
  events: readonly RecordedEvent[],
  projections: readonly Projection[] = ALL,
): void {
  db.transaction(() => {
    for (const projection of projections) {
      if ('applyAll' in projection) projection.applyAll(db, events);
      else for (const event of events) projection.apply(db, event);
    }
  });
}

function tables(db: SqlDatabase): Readonly<Record<string, readonly SqlRow[]>> {
  const names = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all();
  return Object.fromEntries(
    names.map(({ name }) => [String(name), db.prepare(`SELECT * FROM ${String(name)} ORDER BY 1`).all()]),
  );
}

describe('the projections of rotations', () => {
  it('law: event by event, in one batch or cut anywhere, the tables are the same to the byte', () => {
    fc.assert(
      fc.property(
        allHistories,
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
        (history, cuts) => {
          const events = eventsOf(played(history, () => undefined));
          const [live, rebuilt, cut] = [opened(), opened(), opened()];
          for (const event of events) fold(live, [event]);
          fold(rebuilt, events);
          for (let from = 0, turn = 0; from < events.length; turn += 1) {
            const size = cuts[turn % cuts.length] ?? 1;
            fold(cut, events.slice(from, from + size));
            from += size;
          }
          expect(tables(rebuilt)).toEqual(tables(live));
          expect(tables(cut)).toEqual(tables(live));
        },
      ),
      { seed: 20_261_121, numRuns: 60 },
    );
  }, 60_000);

  it('law: a row holds the fold of its stream, as JSON gives it back', () => {
    fc.assert(
      fc.property(allHistories, (history) => {
        const world = played(history, () => undefined);
        const db = opened();
        fold(db, eventsOf(world));
        const stateOf = (table: string, id: string): unknown =>
          JSON.parse(String(db.prepare(`SELECT state FROM ${table} WHERE id = ?`).get(id)?.['state']));
        const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
        expect(stateOf('families', world.family.state.familyId)).toEqual(json(world.family.state));
        for (const [id, { state }] of world.rotations) expect(stateOf('rotations', id)).toEqual(json(state));
      }),
      { seed: 7, numRuns: 40 },
    );
  }, 60_000);
});

it('law: what needs a person is marked, and nothing else: alarms look at nothing else', () => {
  let marked = 0;
  fc.assert(
    fc.property(allHistories, (history) => {
      const db = opened();
      fold(db, eventsOf(played(history, () => undefined)));
      for (const row of db.prepare('SELECT ended, suspended, state FROM rotations').all()) {
        const { suspended } = JSON.parse(String(row['state'])) as { readonly suspended?: unknown };
        const wanted = row['ended'] === 0 && suspended !== undefined ? 1 : 0;
        expect(row['suspended']).toBe(wanted);
        marked += wanted;
      }
    }),
    { seed: 11, numRuns: 60 },
  );
  expect(marked).toBeGreaterThan(0);
}, 60_000);

/** Rows written by everything that runs on it. */
function counting(db: SqlDatabase): { readonly db: SqlDatabase; readonly written: () => number } {
  let rows = 0;
  return {
    written: () => rows,
    db: {
      ...db,
      prepare: (sql) => {
        const statement = db.prepare(sql);
        return {
          get: (...values) => statement.get(...values),
          all: (...values) => statement.all(...values),
          iterate: (...values) => statement.iterate(...values),
          run: (...values) => {
            const result = statement.run(...values);
            rows += Number(result.changes);
            return result;
          },
        };
      },
    },
  };
}

describe('wake-ups, counted in rows', () => {
  const released = (by: string): RecordedEvent => ({
    type: 'Released',
    data: { by, reason: 'settled' },
    schemaVersion: 1,
    id: someUuid(9),
    stream: `claim-${someUuid(8)}`,
    revision: 1,
    treeSize: 1,
    recordedAt: 0,
    actor: 'system',
    correlationId: someUuid(9),
    causationId: someUuid(9),
    provenance: 'performed',
    origin: { via: 'saga' },
  });

  function withWaiting(open: number, waiting: number, holder: string): SqlDatabase {
    const db = opened();
    const insert = db.prepare('INSERT INTO wakeups VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, 0)');
    db.transaction(() => {
      for (let number = 0; number < open; number += 1) {
        const on = number < waiting ? holder : null;
        insert.run(someUuid(1_000 + number), 'rotation', someUuid(500_000 + number), 10_000, 'a window', on);
      }
    });
    return db;
  }

  it.each([100, 10_000])(
    'a switch that is freed among %i open rotations wakes those that wait for it',
    (open) => {
      const holder = `rotation-${someUuid(77)}`;
      const { db, written } = counting(withWaiting(open, 3, holder));
      fold(db, [released(holder)], [wakeupsProjection]);
      expect(written()).toBe(3);
      expect(db.prepare('SELECT count(*) AS n FROM wakeups WHERE wake_at = 0').get()).toEqual({ n: 3 });
    },
  );

  it('no statement of the projection or the waker reads a whole table', () => {
    const db = opened();
    const seen: string[] = [];
    const explained: SqlDatabase = {
      ...db,
      prepare: (sql) => {
        if (/^\s*(?:SELECT|UPDATE|DELETE)/.test(sql)) seen.push(sql);
        return db.prepare(sql);
      },
    };
    for (const history of fc.sample(allHistories, { seed: 3, numRuns: 5 })) {
      fold(explained, eventsOf(played(history, () => undefined)));
      for (const { name } of ALL)
        explained.exec(`DELETE FROM ${name === 'claims' ? 'claims_pending' : name}`);
    }
    fold(explained, [released(`rotation-${someUuid(77)}`)]);
    seen.push(
      'SELECT id, kind, family_id FROM wakeups WHERE urgent = ? AND wake_at <= ? ORDER BY wake_at LIMIT ?',
      'SELECT min(wake_at) AS at FROM wakeups WHERE urgent = ? AND wake_at > ?',
      'SELECT stream, kind, holder FROM claims_pending WHERE claimed_at <= ? LIMIT 1000',
    );
    for (const sql of new Set(seen)) {
      const plan = db
        .prepare(`EXPLAIN QUERY PLAN ${sql}`)
        .all(...Array.from({ length: sql.split('?').length - 1 }, () => 0))
        .map((row) => String(row['detail']));
      expect([sql, plan.filter((step) => step.startsWith('SCAN'))]).toEqual([sql, []]);
    }
    // The control: what it would find.
    const [scan] = db
      .prepare("EXPLAIN QUERY PLAN SELECT id FROM wakeups WHERE waits_for LIKE '%switching%'")
      .all();
    expect(String(scan?.['detail'])).toMatch(/^SCAN/);
  });
});
