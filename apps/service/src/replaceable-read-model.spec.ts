import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { z } from 'zod';
import { SYSTEM_ACTOR } from '#eventlog';
import { openEventStore, type EventStore, type Projection } from '#eventlog/kit';
import { openSqliteEventLog } from '#eventlog/sqlite';
import { systemIds } from '#platform';
import { ManualClock } from '#platform/testing';
import { ReplaceableReadModel } from './replaceable-read-model.js';

const events = {
  thing: { Happened: { version: 1, about: 'Something happened.', schema: z.object({ number: z.int() }) } },
};

/** Up to which number the tables at a path can be written just now: beyond it their disk is full. */
const writable = new Map<string, number>();

const projection: Projection = {
  name: 'things',
  version: 1,
  schema: ['CREATE TABLE things (number INTEGER PRIMARY KEY) STRICT'],
  apply: (db, event) => {
    if (event.type !== 'Happened') return;
    const { number } = event.data as { readonly number: number };
    if (number > (writable.get(basename(db.path)) ?? Number.POSITIVE_INFINITY)) {
      throw Object.assign(new Error('database or disk is full'), { errcode: 13 });
    }
    db.prepare('INSERT INTO things VALUES (?)').run(number);
  },
};

let directory: string;
let store: EventStore;
let model: ReplaceableReadModel;
let told: number[];

const STREAM = 'thing-00000000-0000-4000-8000-000000000001';

async function happen(from: number, to: number): Promise<void> {
  const history = await store.read(STREAM);
  const stored = Array.from({ length: to - from + 1 }, (_, index) => ({
    type: 'Happened' as const,
    data: { number: from + index },
  }));
  await store.append(history, stored, {
    actor: SYSTEM_ACTOR,
    correlationId: systemIds.random(),
    causationId: systemIds.random(),
    origin: { via: 'saga' },
  });
}

const served = (): number => Number(model.db.prepare('SELECT count(*) AS n FROM things').get()?.['n']);

beforeEach(async () => {
  writable.clear();
  told = [];
  directory = mkdtempSync(join(tmpdir(), 'keyturn-replaced-'));
  const log = await openSqliteEventLog({ directory }, { inline: true });
  const clock = new ManualClock('2026-03-02T09:00:00.000Z');
  store = await openEventStore({ log, definitions: [events.thing], clock, ids: systemIds });
  model = await ReplaceableReadModel.open({ store, directory, projections: [projection] });
  model.onApplied((applied) => {
    for (const { type, data } of applied) {
      if (type === 'Happened') told.push((data as { readonly number: number }).number);
    }
  });
  await happen(1, 5);
  await model.caughtUp();
});

afterEach(async () => {
  writable.clear();
  await model.close();
  await store.log.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Events folded at one time; the log's first event is no thing. */
const BATCH = 500;
const LAST = 2 * BATCH - 1;
const [FIRST, SECOND] = ['read-model.1.sqlite', 'read-model.2.sqlite'];

it('whoever listens is told of what only the new tables have folded, at the change', async () => {
  writable.set(FIRST, 5);
  await happen(6, 8);
  await model.rebuild(() => undefined);
  expect(served()).toBe(8);
  expect(told).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  await happen(9, 9);
  await model.caughtUp();
  // Nothing twice, nothing left out.
  expect(told).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

it('what is served never steps back: the new tables serve when they are as far as the old', async () => {
  await happen(6, LAST);
  await model.caughtUp();
  const seen: number[] = [];
  let story: Promise<void> | undefined;
  const rebuilt = model.rebuild(({ done }) => {
    if (done !== BATCH) return;
    // What the rebuild waits for is known by now; the old tables get ahead of it.
    writable.set(SECOND, BATCH - 1);
    story = (async () => {
      await happen(LAST + 1, LAST + 2);
      while (served() < LAST + 2) await turn();
      writable.set(SECOND, LAST);
      for (const end = Date.now() + 1_500; Date.now() < end; await turn()) seen.push(served());
      writable.clear();
    })();
  });
  await rebuilt;
  await story;
  expect(Math.min(...new Set(seen))).toBe(LAST + 2);
  expect(served()).toBe(LAST + 2);
  expect(told).toHaveLength(LAST + 2);
  expect(basename(model.db.path)).toBe(SECOND);
});
