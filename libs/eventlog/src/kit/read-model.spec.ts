import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { systemClock, systemIds } from '#platform';
import { z } from 'zod';
import type { EventLog } from '../event-log.js';
import { NIL_UUID, type EventDefinitions } from '../recorded-event.js';
import { openDatabase, openSqliteEventLog } from '../sqlite/index.js';
import { hashOf, probeStream } from '../testing/index.js';
import {
  IntegrityFindings,
  openEventStore,
  openReadModel,
  ReadModelBehindError,
  rebuildReadModel,
  UnknownEventError,
  type Cause,
  type EventStore,
  type Projection,
  type ReadModel,
} from './index.js';

const definitions = {
  Counted: { version: 1, about: 'Something was counted.', schema: z.strictObject({ by: z.int() }) },
} as const satisfies EventDefinitions;

const totals = (version = 1) =>
  ({
    name: 'totals',
    version,
    schema: [
      'CREATE TABLE totals_rows (stream TEXT PRIMARY KEY, total INTEGER NOT NULL, last INTEGER NOT NULL) STRICT',
    ],
    apply: (db, event) => {
      if (event.type !== 'Counted') return;
      const { by } = definitions.Counted.schema.parse(event.data);
      db.prepare(
        'INSERT INTO totals_rows VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET total = total + excluded.total, last = excluded.last',
      ).run(event.stream, by, event.treeSize);
    },
  }) satisfies Projection;
const journal: Projection = {
  name: 'journal',
  version: 1,
  schema: [
    'CREATE TABLE journal (tree_size INTEGER PRIMARY KEY, type TEXT NOT NULL) STRICT',
    'CREATE INDEX journal_type ON journal (type)',
  ],
  apply: (db, event) => {
    db.prepare('INSERT INTO journal VALUES (?, ?)').run(event.treeSize, event.type);
  },
};

const cause: Cause = {
  actor: 'system',
  correlationId: NIL_UUID,
  causationId: NIL_UUID,
  origin: { via: 'saga' },
};

// Every append is an fsync and every child a process: a busy machine makes them slow, not wrong.
jest.setTimeout(60_000);

describe('read model', () => {
  let directory: string;
  let path: string;
  let log: EventLog;
  let store: EventStore;
  let findings: IntegrityFindings;
  const opened: ReadModel[] = [];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'keyturn-read-model-'));
    path = join(directory, 'read-model.sqlite');
    log = await openSqliteEventLog({ memory: true });
    findings = new IntegrityFindings();
    store = await openStore();
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((model) => model.close()));
    await log.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const openStore = (known: EventDefinitions = definitions): Promise<EventStore> =>
    openEventStore({ log, clock: systemClock, ids: systemIds, definitions: [known] });
  const open = async (
    projections: readonly Projection[] = [totals(), journal],
    from = store,
  ): Promise<ReadModel> => {
    const model = await openReadModel({ store: from, path, projections });
    opened.push(model);
    return model;
  };
  const count = async (stream: string, ...values: readonly number[]): Promise<number> => {
    const events = values.map((by) => ({ type: 'Counted', data: { by } }));
    return (await store.append(await store.read(stream), events, cause)).revision;
  };
  const total = (model: ReadModel, stream: string): unknown =>
    model.db.prepare('SELECT total FROM totals_rows WHERE stream = ?').get(stream)?.['total'];

  it('is fed: what was waited for is there', async () => {
    const model = await open();
    const stream = probeStream();
    const revision = await count(stream, 1, 2, 3);
    await model.waitFor(stream, revision, 2000);
    expect(total(model, stream)).toBe(6);
    expect(model.treeSize()).toBe(4);
    await model.waitFor(stream, 0, 0);
  });

  it('says that it is behind when the event does not come', async () => {
    const model = await open();
    await expect(model.waitFor(probeStream(), 0, 20)).rejects.toBeInstanceOf(ReadModelBehindError);
    await expect(model.waitFor(probeStream(), 0, 20)).rejects.toMatchObject({ code: 'read-model.behind' });
  });

  it('goes on where it stopped and does not fold twice', async () => {
    const stream = probeStream();
    const first = await open();
    await count(stream, 5);
    await first.caughtUp();
    await first.close();
    await count(stream, 7);
    const second = await open();
    await second.caughtUp();
    expect(total(second, stream)).toBe(12);
  });

  it('rebuilds only the projection whose version changed, and drops what is gone', async () => {
    const stream = probeStream();
    await count(stream, 5);
    const first = await open();
    await first.caughtUp();
    await first.close();
    const tampered = openDatabase(path, { synchronous: 'NORMAL' });
    tampered.exec("UPDATE totals_rows SET total = 99; UPDATE journal SET type = 'kept'");
    tampered.close();

    const second = await open([totals(2), journal]);
    await second.caughtUp();
    expect(total(second, stream)).toBe(5);
    expect(second.db.prepare('SELECT DISTINCT type FROM journal').all()).toEqual([{ type: 'kept' }]);
    await second.close();
    const third = await open([totals(2)]);
    expect(third.db.prepare("SELECT name FROM sqlite_schema WHERE name LIKE 'journal%'").all()).toEqual([]);
  });

  it.each([
    ['is no database', () => writeFileSync(path, 'not a database '.repeat(1000))],
    ['is cut', () => writeFileSync(path, readFileSync(path).subarray(0, 5000))],
    ['is damaged', () => writeFileSync(path, readFileSync(path).fill(0xff, 4096, 8192))],
    ['is empty', () => writeFileSync(path, '')],
    ['is gone', () => rmSync(path)],
  ])('is rebuilt when its file %s', async (_how, damage) => {
    const stream = probeStream();
    await count(stream, 5, 6);
    const first = await open();
    await first.caughtUp();
    const hash = hashOf(first.db);
    await first.close();
    damage();
    const second = await open();
    await second.caughtUp();
    expect(total(second, stream)).toBe(11);
    expect(hashOf(second.db)).toBe(hash);
  });

  it('is rebuilt when it is a fold of another log, or of more than the log holds', async () => {
    await count(probeStream(), 1, 2, 3);
    const first = await open();
    await first.caughtUp();
    await first.close();
    await log.close();
    log = await openSqliteEventLog({ memory: true });
    store = await openStore();
    const second = await open();
    await second.caughtUp();
    expect(second.treeSize()).toBe(1);
    expect(second.db.prepare('SELECT count(*) AS n FROM totals_rows').get()).toEqual({ n: 0 });
  });

  it('stops at an unknown event and says which; what came before is there', async () => {
    const stream = probeStream();
    await count(stream, 1);
    const newer = await openStore({
      ...definitions,
      Invented: { version: 1, about: '', schema: z.strictObject({}) },
    });
    const at = await newer.append(await newer.read(stream), [{ type: 'Invented', data: {} }], cause);
    const model = await open();
    const failure = await model.failed;
    expect(failure).toBeInstanceOf(UnknownEventError);
    expect(failure.message).toContain(`Invented v1 at ${stream}@1`);
    expect(model.treeSize()).toBe(2);
    await expect(model.waitFor(stream, at.revision, 60_000)).rejects.toThrow('Invented');
    await expect(model.caughtUp()).rejects.toBeInstanceOf(ReadModelBehindError);
  });

  it('leaves out a stream from an event on that is not what was written, and folds the others', async () => {
    const [bad, good] = [probeStream(), probeStream()];
    await count(bad, 1, 2);
    await count(bad, 4);
    await count(good, 8);
    const whole = store;
    // The third of all is the second of its stream.
    let altered: number | undefined = 3;
    store = await openEventStore({
      log: {
        append: (stream, expected, events) => whole.log.append(stream, expected, events),
        close: () => whole.log.close(),
        treeSize: () => whole.log.treeSize(),
        readAll: (options) => whole.log.readAll(options),
        readStream: (stream, options) => whole.log.readStream(stream, options),
        subscribe: (options) =>
          whole.log.subscribe({
            ...options,
            onEvents: (events) =>
              options.onEvents(
                events.map((event) =>
                  event.treeSize === altered ? { ...event, body: Buffer.from('{}') } : event,
                ),
              ),
          }),
      },
      clock: systemClock,
      ids: systemIds,
      definitions: [definitions],
      findings,
    });
    const told: string[] = [];
    const watchful: Projection = { ...totals(), quarantine: (_db, stream) => told.push(stream) };
    const model = await open([watchful]);
    await model.caughtUp();
    expect({ bad: total(model, bad), good: total(model, good) }).toEqual({ bad: 1, good: 8 });
    expect(told).toEqual([bad]);
    expect(findings.all()).toEqual([
      { stream: bad, revision: 1, treeSize: 3, what: 'its data hash does not match its body' },
    ]);
    await count(bad, 16);
    await count(good, 32);
    await model.caughtUp();
    expect({ bad: total(model, bad), good: total(model, good) }).toEqual({ bad: 1, good: 40 });
    await model.close();
    // Restored since: the next opening folds everything anew.
    altered = undefined;
    const mended = await open([watchful]);
    await mended.caughtUp();
    expect({ bad: total(mended, bad), good: total(mended, good) }).toEqual({ bad: 23, good: 40 });
  });

  it('goes on by itself after a full disk, folding nothing twice', async () => {
    let full = true;
    const tight: Projection = {
      ...totals(),
      apply: (db, event) => {
        totals().apply(db, event);
        if (full) throw Object.assign(new Error('database or disk is full'), { errcode: 13 });
      },
    };
    const model = await open([tight]);
    const stream = probeStream();
    const revision = await count(stream, 1, 2);
    await expect(model.waitFor(stream, revision, 50)).rejects.toBeInstanceOf(ReadModelBehindError);
    expect(model.trouble()).toContain('full');
    full = false;
    await model.waitFor(stream, revision, 30_000);
    expect({ total: total(model, stream), trouble: model.trouble() }).toEqual({
      total: 3,
      trouble: undefined,
    });
  });

  it('rolls back a batch whose projection throws', async () => {
    const failing: Projection = {
      ...totals(),
      apply: (db, event) => {
        totals().apply(db, event);
        if (event.treeSize === 3) throw new Error('cannot fold this');
      },
    };
    await count(probeStream(), 1, 2);
    const model = await open([failing]);
    expect((await model.failed).message).toBe('cannot fold this');
    expect(model.treeSize()).toBe(0);
    expect(model.db.prepare('SELECT count(*) AS n FROM totals_rows').get()).toEqual({ n: 0 });
  });

  it('begins anew after the feed met damage that no start reads far enough to find', async () => {
    const stream = probeStream();
    await count(stream, 1);
    const good = await open();
    await good.caughtUp();
    await good.close();
    const damage = Object.assign(new Error('database disk image is malformed'), { errcode: 11 });
    const failing: Projection = {
      ...journal,
      apply: () => {
        throw damage;
      },
    };
    await count(stream, 2);
    const bad = await open([totals(), failing]);
    expect(await bad.failed).toBe(damage);
    await bad.close();
    const tampered = openDatabase(path, { synchronous: 'NORMAL' });
    tampered.exec('UPDATE totals_rows SET total = 99');
    tampered.close();

    const again = await open();
    await again.caughtUp();
    expect(total(again, stream)).toBe(3);
    await again.close();
    const kept = await open();
    expect(total(kept, stream)).toBe(3);
  });

  it('tells its listeners after each batch, and survives one that throws', async () => {
    const model = await open();
    const warned = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const seen: number[] = [];
    const off = model.onApplied((events) => seen.push(...events.map((event) => event.treeSize)));
    model.onApplied(() => {
      throw new Error('a listener failed');
    });
    const stream = probeStream();
    await model.waitFor(stream, await count(stream, 1, 2), 2000);
    off();
    await model.waitFor(stream, await count(stream, 3), 2000);
    expect(seen.slice(-2)).toEqual([2, 3]);
    expect(warned).toHaveBeenCalledWith(expect.stringContaining('a listener failed'));
    warned.mockRestore();
  });

  it('gives queries a connection that cannot write', async () => {
    const model = await open();
    expect(() => model.db.exec('DELETE FROM totals_rows')).toThrow('readonly');
  });

  it('refuses a projection whose tables could be taken for another’s', async () => {
    const stray: Projection = { ...totals(), schema: ['CREATE TABLE other (x INTEGER) STRICT'] };
    await expect(open([stray])).rejects.toThrow('other');
    await expect(open([totals(), totals()])).rejects.toThrow('twice');
  });

  it('works in memory', async () => {
    const stream = probeStream();
    await count(stream, 4);
    const model = await openReadModel({ store, path: ':memory:', projections: [totals()] });
    opened.push(model);
    await model.caughtUp();
    expect(total(model, stream)).toBe(4);
  });

  it('rebuilt equals fed, over 20,000 events', async () => {
    const model = await open();
    const streams = Array.from({ length: 200 }, probeStream);
    for (const stream of streams) await count(stream, ...Array.from({ length: 100 }, (_, index) => index));
    await model.caughtUp();
    expect(model.treeSize()).toBe(20_001);
    const fed = hashOf(model.db);
    await model.close();

    const progress: number[] = [];
    await rebuildReadModel({
      store,
      path,
      projections: [totals(), journal],
      onProgress: ({ done, total: of }) => {
        expect(of).toBe(20_001);
        progress.push(done);
      },
    });
    expect(progress.at(0)).toBe(0);
    expect(progress.at(-1)).toBe(20_001);
    expect(existsSync(`${path}.rebuilding`)).toBe(false);
    const rebuilt = await open();
    expect(rebuilt.treeSize()).toBe(20_001);
    expect(hashOf(rebuilt.db)).toBe(fed);
    // And it is alive: fed on from there.
    const [stream = ''] = streams;
    await rebuilt.waitFor(stream, await count(stream, 1), 2000);
    expect(total(rebuilt, stream)).toBe(4951);
  });

  it('leaves the old one usable when a rebuild ends half-way', async () => {
    const stream = probeStream();
    await count(stream, 5, 6);
    const first = await open();
    await first.caughtUp();
    const hash = hashOf(first.db);
    await first.close();
    const rebuilding = rebuildReadModel({
      store,
      path,
      projections: [totals(), journal],
      onProgress: ({ done }) => {
        if (done > 0) throw new Error('ended half-way');
      },
    });
    await expect(rebuilding).rejects.toThrow('ended half-way');
    const second = await open();
    expect(second.treeSize()).toBe(3);
    expect(hashOf(second.db)).toBe(hash);
    await second.close();
    // What was left beside it does not disturb the next rebuild.
    expect(existsSync(`${path}.rebuilding`)).toBe(true);
    await rebuildReadModel({ store, path, projections: [totals(), journal] });
    const third = await open();
    expect(hashOf(third.db)).toBe(hash);
  });
});
