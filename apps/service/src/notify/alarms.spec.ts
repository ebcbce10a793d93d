import { containmentsProjection, familiesProjection, rotationsProjection } from '#rotation';
import { openDatabase, type SqlDatabase, type SqlRow } from '#eventlog/sqlite';
import { alarmsNow } from './alarms.js';

const OPEN = 100_000;

/** Counts the rows that are handed out, and keeps what was asked. */
function counting(db: SqlDatabase) {
  const seen = { rows: 0, asked: new Set<string>() };
  const counted: SqlDatabase = {
    ...db,
    prepare: (sql) => {
      const statement = db.prepare(sql);
      seen.asked.add(sql);
      const all = (...values: Parameters<typeof statement.all>): SqlRow[] => {
        const rows = statement.all(...values);
        seen.rows += rows.length;
        return rows;
      };
      return {
        all,
        get: (...values) => statement.get(...values),
        iterate: (...values) => statement.iterate(...values),
        run: (...values) => statement.run(...values),
      };
    },
  };
  return { seen, counted };
}

it('tells of every late line, and not of the oldest 500 only', () => {
  const rows = Array.from({ length: 700 }, (_, index) => ({
    kind: 'runbook-review' as const,
    key: `f${index}`,
    family: { id: `f${index}`, qualifiedName: `production/f${index}` },
    rotation: null,
    policy: null,
    illustrative: false,
    what: 'review of the runbook',
    status: 'overdue' as const,
    due: '2026-01-01T00:00:00.000Z',
    overdueDays: 3,
    since: '2026-01-01T00:00:00.000Z',
    basis: 'as the runbook says',
    provenance: 'attested' as const,
  }));
  const db = openDatabase(':memory:');
  for (const { schema } of [familiesProjection, rotationsProjection, containmentsProjection]) {
    for (const statement of schema) db.exec(statement);
  }
  const watched = { readModel: { db }, integrity: { all: () => [] }, clock: { now: () => 0 } };
  const alarms = alarmsNow(watched, { late: () => rows }, 'all');
  expect(new Set(alarms.map(({ alarm }) => alarm.key)).size).toBe(700);
  db.close();
});

it('a look at 100,000 open rotations costs the suspended ones', () => {
  const db = openDatabase(':memory:');
  for (const { schema } of [familiesProjection, rotationsProjection, containmentsProjection]) {
    for (const statement of schema) db.exec(statement);
  }
  db.transaction(() => {
    const insert = db.prepare(
      `INSERT INTO rotations (id, revision, tree_size, family_id, strategy, phase, ended, imported, requested_at, outgoing,
         revoked, answered_late, suspended, state) VALUES (?, 1, 1, 'f', 'graceful', 'accepting', 0, 0, 0, 1, 0, 0, ?, ?)`,
    );
    for (let index = 0; index < OPEN; index += 1) {
      const suspended = index % (OPEN / 2) === 7;
      const why = { code: 'back-end.auth', reason: 'r', person: 'on-call', eventId: `e${index}`, at: 0 };
      const state = { rotationId: `r${index}`, familyId: 'f', ...(suspended ? { suspended: why } : {}) };
      insert.run(`r${index}`, suspended ? 1 : 0, JSON.stringify(state));
    }
    const contain = db.prepare(
      "INSERT INTO containments (id, revision, tree_size, family_id, status, state) VALUES (?, 1, 1, 'f', ?, ?)",
    );
    for (let index = 0; index < 1_000; index += 1) {
      const status = index === 3 ? 'suspended' : 'applied';
      const lastMove = { eventId: `c${index}`, at: 0, revision: 1 };
      const state = { containmentId: `c${index}`, familyId: 'f', status, lastMove, suspendedFor: 'sealed' };
      contain.run(`c${index}`, status, JSON.stringify(state));
    }
  });
  const { seen, counted } = counting(db);
  const watched = { readModel: { db: counted }, integrity: { all: () => [] }, clock: { now: () => 0 } };
  const late = (): never => {
    throw new Error('a sudden look asks for nothing that is overdue');
  };
  const alarms = alarmsNow(watched, { late }, 'sudden');
  expect(alarms.map(({ alarm }) => [alarm.type, alarm.key])).toEqual([
    ['rotation.suspended', 'e50007'],
    ['rotation.suspended', 'e7'],
    ['containment.suspended', 'c3@c3'],
  ]);
  expect(seen.rows).toBe(3);
  // Nor does SQLite look through the others for them.
  for (const sql of seen.asked) {
    const plan = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...(sql.includes('?') ? ['x'] : []));
    expect(plan.map(({ detail }) => String(detail)).join()).toMatch(
      /rotations_suspended|containments_by_status|SEARCH families/,
    );
  }
  db.close();
});
