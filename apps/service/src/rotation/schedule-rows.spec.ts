import * as fc from 'fast-check';
import { UNLIMITED } from '#access';
import { formatInstant, type RecordedEvent } from '#eventlog';
import { openDatabase, type SqlDatabase } from '#eventlog/sqlite';
import {
  familiesProjection,
  policiesProjection,
  policyDecider,
  rotationsProjection,
  TERMS_WITHOUT_POLICY,
  type FamilyState,
  type PolicyEvent,
  type PolicyState,
  type RotationState,
} from '#rotation';
import { allHistories, played, someUuid, START, type History } from '#rotation/testing';
import { obligationRows, overdueRows, scheduleRows, type ScheduleInput, type ScheduleRow } from '#schedule';
import { Timetable, type SchedulePage } from './schedule-rows.js';

const DAY = 86_400_000;
const PROJECTIONS = [familiesProjection, rotationsProjection, policiesProjection];

/** Families of several histories, each under an id and a name of its own, and perhaps a policy. */
interface Setting {
  readonly histories: readonly History[];
  readonly policy:
    { readonly emitting: number; readonly accepting: number; readonly kind: boolean } | undefined;
  readonly laterDays: number;
}

const settings: fc.Arbitrary<Setting> = fc.record({
  histories: fc.array(allHistories, { minLength: 1, maxLength: 3 }),
  policy: fc.option(
    fc.record({
      emitting: fc.integer({ min: 1, max: 200 }),
      accepting: fc.integer({ min: 1, max: 200 }),
      kind: fc.boolean(),
    }),
    { nil: undefined },
  ),
  laterDays: fc.integer({ min: -1, max: 400 }),
});

function policyEvents({ emitting, accepting, kind }: NonNullable<Setting['policy']>): readonly PolicyEvent[] {
  const details = {
    name: 'a policy',
    selector: kind ? ({ kind: 'asymmetric-key' } as const) : {},
    terms: { ...TERMS_WITHOUT_POLICY, stopEmitting: `P${emitting}D`, stopAccepting: `P${accepting}D` },
    basis: { setBy: 'a test', riskAnalysis: 'none', reviewedOn: '2026-01-01', nextReview: '2026-09-01' },
    effectiveFrom: formatInstant(START),
  };
  const envelope = {
    schemaVersion: 1,
    id: someUuid(1),
    stream: `policy-${someUuid(90)}`,
    recordedAt: START,
    actor: 'author',
    correlationId: someUuid(1),
    causationId: someUuid(1),
    provenance: 'performed',
    origin: { via: 'http' },
  } as const;
  return [
    { ...envelope, type: 'PolicyDefined', data: details, revision: 0, treeSize: 1 },
    { ...envelope, type: 'PolicyApproved', data: { revision: 0 }, revision: 1, treeSize: 2 },
  ];
}

/** Another copy of what happened: ids and names moved, so that several histories stand side by side. */
function moved<Value>(value: Value, number: number): Value {
  const text = JSON.stringify(value).replaceAll('-4000-', `-4${String(number).padStart(3, '0')}-`);
  const copy: Value = JSON.parse(text);
  return copy;
}

interface Staged {
  readonly db: SqlDatabase;
  readonly input: Omit<ScheduleInput, 'now'>;
  readonly now: number;
  readonly timetable: Timetable;
}

function staged({ histories, policy, laterDays }: Setting): Staged {
  const db = openDatabase(':memory:');
  for (const { schema } of PROJECTIONS) for (const statement of schema) db.exec(statement);
  const families: FamilyState[] = [];
  const rotations: RotationState[] = [];
  const events: RecordedEvent[] = policy === undefined ? [] : [...policyEvents(policy)];
  const policies: PolicyState[] =
    policy === undefined
      ? []
      : [policyEvents(policy).reduce(policyDecider.evolve, policyDecider.initialState)];
  let now = START;
  for (const [number, history] of histories.entries()) {
    const world = played(history, () => undefined);
    families.push(moved(world.family.state, number));
    rotations.push(...[...world.rotations.values()].map(({ state }) => moved(state, number)));
    events.push(
      ...moved(
        [...world.family.events, ...[...world.rotations.values()].flatMap((each) => each.events)],
        number,
      ),
    );
    now = Math.max(now, world.now);
  }
  db.transaction(() => {
    for (const projection of PROJECTIONS) if ('applyAll' in projection) projection.applyAll(db, events);
  });
  return {
    db,
    input: { families, rotations, policies },
    now: now + laterDays * DAY,
    timetable: new Timetable({ db, treeSize: () => events.length }),
  };
}

function allPages(page: (cursor: string | undefined) => SchedulePage): readonly ScheduleRow[] {
  const items: ScheduleRow[] = [];
  let cursor: string | undefined;
  do {
    const got = page(cursor);
    items.push(...got.items);
    cursor = got.next ?? undefined;
  } while (cursor !== undefined);
  return items;
}

describe('the timetable', () => {
  it('law: what it lists as overdue is what a look at every family and rotation finds, page by page too', () => {
    let late = 0;
    fc.assert(
      fc.property(settings, fc.integer({ min: 1, max: 3 }), (setting, limit) => {
        const { input, now, timetable } = staged(setting);
        const expected = overdueRows({ ...input, now });
        late += expected.length;
        // The clock goes on while one pages: all pages are as of the first.
        let asked = now;
        const pages = allPages((cursor) =>
          timetable.overdue({ limit, cursor }, UNLIMITED, (asked += DAY) - DAY),
        );
        expect(pages).toEqual(expected);
        expect(timetable.late(now)).toEqual(expected);
      }),
      { seed: 20_261_121, numRuns: 30 },
    );
    expect(late).toBeGreaterThan(30);
  }, 60_000);

  it('law: the whole schedule is that of every family and rotation', () => {
    fc.assert(
      fc.property(settings, fc.integer({ min: 1, max: 3 }), (setting, limit) => {
        const { input, now, timetable } = staged(setting);
        const pages = allPages((cursor) => timetable.schedule({ limit, cursor }, UNLIMITED, now));
        expect(pages).toEqual(scheduleRows({ ...input, now }));
      }),
      { seed: 11, numRuns: 20 },
    );
  }, 60_000);

  it('law: what is owed late is what a look at everybody finds', () => {
    let late = 0;
    fc.assert(
      fc.property(settings, (setting) => {
        const { input, now, timetable } = staged(setting);
        const expected = obligationRows({ ...input, now }).filter(({ status }) => status === 'overdue');
        late += expected.length;
        expect(timetable.owedLate(now)).toEqual(expected);
      }),
      { seed: 20_261_121, numRuns: 60 },
    );
    expect(late).toBeGreaterThan(20);
  }, 60_000);

  it('law: what is owed now or soon is what a look at everybody finds, page by page too', () => {
    let soon = 0;
    fc.assert(
      fc.property(settings, fc.integer({ min: 1, max: 3 }), (setting, limit) => {
        const { input, now, timetable } = staged(setting);
        const expected = scheduleRows({ ...input, now }).filter(
          ({ kind, status }) => kind !== 'rotation' && status !== 'ok',
        );
        soon += expected.filter(({ status }) => status === 'due-soon').length;
        const pages = allPages((cursor) => timetable.owed({ limit, cursor }, UNLIMITED, now));
        expect(pages).toEqual(expected);
      }),
      { seed: 20_261_121, numRuns: 60 },
    );
    expect(soon).toBeGreaterThan(10);
  }, 60_000);

  it('what is owed late costs nothing for families without a policy, past their terms or once rehearsed', () => {
    const { db, now } = staged({ histories: [], policy: undefined, laterDays: 0 });
    const insert = db.prepare(
      `INSERT INTO families (id, revision, tree_size, environment, name, team, mode, kind, protects, accepted_since,
         emitting_since, unclear, next_review, left_at, registration_due, deviation_until, state)
       VALUES (?, 1, 1, 'production', ?, 'team', 'driven', 'asymmetric-key', 'other', 0, 0, 1, NULL, NULL, NULL, NULL, '{')`,
    );
    const rehearse = db.prepare(
      `INSERT INTO rotations (id, revision, tree_size, family_id, strategy, phase, ended, imported, requested_at, outgoing,
         revoked, answered_late, suspended, state) VALUES (?, 1, 1, ?, 'rehearsal', 'completed', 1, 0, 0, 1, 0, 0, 0, '{')`,
    );
    db.transaction(() => {
      for (let index = 0; index < 2_000; index += 1) {
        insert.run(`f${index}`, `f${index}`);
        rehearse.run(`r${index}`, `f${index}`);
      }
    });
    // Not one of their states is parsed: they are no JSON.
    const timetable = new Timetable({ db, treeSize: () => 0 });
    expect(timetable.owedLate(now)).toEqual([]);
    // The control: the list of what is overdue looks at them.
    expect(() => timetable.late(now)).toThrow(SyntaxError);
  });

  it.each([
    'UPDATE families SET emitting_since = NULL',
    'UPDATE families SET accepted_since = NULL',
    'UPDATE families SET unclear = 0',
    'UPDATE rotations SET owed_at = NULL',
  ])(
    'control: without what the projection notes (%s) something late would be missed',
    (sabotage) => {
      let missed = 0;
      for (const setting of fc.sample(settings, { seed: 20_261_121, numRuns: 150 })) {
        const { db, input, now, timetable } = staged(setting);
        db.exec(sabotage);
        const listed = timetable.overdue({ limit: 500 }, UNLIMITED, now).items.length;
        missed += overdueRows({ ...input, now }).length - listed;
        if (missed > 0) break;
      }
      expect(missed).toBeGreaterThan(0);
    },
    60_000,
  );
});
