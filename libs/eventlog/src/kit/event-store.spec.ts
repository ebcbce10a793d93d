import { systemIds, type Clock } from '#platform';
import { z } from 'zod';
import {
  LogCorruptError,
  LogIntegrityError,
  NO_STREAM,
  WrongExpectedRevisionError,
  type EventLog,
  type LoggedEvent,
} from '../event-log.js';
import type { EventDefinitions } from '../recorded-event.js';
import { openSqliteEventLog } from '../sqlite/index.js';
import { collect, probeEvents, probeStream } from '../testing/index.js';
import {
  InvalidEventError,
  InvalidValueError,
  LOG_STREAM,
  openEventStore,
  UnknownEventError,
  type Cause,
  type EventStore,
} from './index.js';

const START = Date.parse('2026-01-01T00:00:00.000Z');
const definitions = {
  Renamed: { version: 1, about: 'A name was given.', schema: z.strictObject({ name: z.string() }) },
} as const satisfies EventDefinitions;
const newer = {
  Renamed: {
    version: 3,
    about: 'A name was given.',
    schema: z.strictObject({ names: z.array(z.string()), by: z.string() }),
    upcast: {
      1: (data: unknown) => ({ names: [z.object({ name: z.string() }).parse(data).name] }),
      2: (data: unknown) => ({ ...z.object({ names: z.array(z.string()) }).parse(data), by: 'unknown' }),
    },
  },
} as const satisfies EventDefinitions;

class SettableClock implements Clock {
  constructor(public time: number) {}
  now(): number {
    return this.time;
  }
  monotonic(): number {
    return this.time;
  }
}

const cause: Cause = {
  actor: '6a1d6a56-3c6e-4c6a-8f5e-0a6c7c1f2d33',
  correlationId: '7cea367e-f4e7-5864-accf-029ea588a087',
  causationId: '7cea367e-f4e7-5864-accf-029ea588a087',
  origin: { via: 'http', requestHash: 'ab'.repeat(32) },
};

describe('event store', () => {
  let log: EventLog;
  let clock: SettableClock;
  const open = (known: EventDefinitions = definitions): Promise<EventStore> =>
    openEventStore({ log, clock, ids: systemIds, definitions: [known] });

  beforeEach(async () => {
    log = await openSqliteEventLog({ memory: true });
    clock = new SettableClock(START);
  });
  afterEach(() => log.close());

  it('opens a new log with LogOpened, its own cause and correlation', async () => {
    const store = await open();
    const { events } = await store.read(LOG_STREAM);
    expect(events).toHaveLength(1);
    const [opened] = events;
    expect(opened).toMatchObject({
      type: 'LogOpened',
      treeSize: 1,
      actor: 'system',
      origin: { via: 'kit' },
      provenance: 'performed',
      data: { logId: store.logId },
      recordedAt: START,
    });
    expect(opened?.correlationId).toBe(opened?.id);
    expect(opened?.causationId).toBe(opened?.id);
    expect((await open()).logId).toBe(store.logId);
    expect(await log.treeSize()).toBe(1);
  });

  it('has one log id when many open it at once', async () => {
    const stores = await Promise.all(Array.from({ length: 8 }, () => open()));
    expect(new Set(stores.map((store) => store.logId)).size).toBe(1);
    expect(await log.treeSize()).toBe(1);
  });

  it('refuses a log that starts with something else', async () => {
    const stream = probeStream();
    await log.append(stream, NO_STREAM, probeEvents(stream, 0, 'first'));
    await expect(open({ Probed: { version: 1, about: '', schema: z.any() } })).rejects.toBeInstanceOf(
      LogCorruptError,
    );
  });

  it('gives back what it appended as it will be read', async () => {
    const store = await open();
    const stream = probeStream();
    const at = await store.read(stream);
    expect(at).toEqual({ stream, revision: NO_STREAM, lastRecordedAt: 0, events: [] });
    const appended = await store.append(
      at,
      [
        { type: 'Renamed', data: { name: 'Zoë' }, occurredAt: START - 0.5, provenance: 'attested' },
        { type: 'Renamed', data: { name: 'Ünal' } },
      ],
      { ...cause, onBehalfOf: 'a0ccd9a9-0552-5169-b5da-edc82bdd882f' },
    );
    expect(appended).toEqual(await store.read(stream));
    expect(appended).toMatchObject({ revision: 1, lastRecordedAt: START });
    const [first, second] = appended.events;
    expect(first).toMatchObject({
      occurredAt: START - 1,
      provenance: 'attested',
      schemaVersion: 1,
      treeSize: 2,
      ...cause,
    });
    expect(second).toMatchObject({ provenance: 'performed', treeSize: 3 });
    expect(second).not.toHaveProperty('occurredAt');
    await expect(
      store.append(at, [{ type: 'Renamed', data: { name: 'late' } }], cause),
    ).rejects.toBeInstanceOf(WrongExpectedRevisionError);
  });

  it('reads on from a position: only what is new, and the same end', async () => {
    const store = await open();
    const stream = probeStream();
    const first = await store.append(
      await store.read(stream),
      [{ type: 'Renamed', data: { name: 'a' } }],
      cause,
    );
    expect(await store.read(stream, first)).toEqual({ ...first, events: [] });
    const second = await store.append(first, [{ type: 'Renamed', data: { name: 'b' } }], cause);
    const { events, ...end } = await store.read(stream, first);
    expect(events).toEqual(second.events);
    const { events: _, ...whole } = await store.read(stream);
    expect(end).toEqual(whole);
    expect(await store.treeSizeOf(stream, 1)).toBe(second.events[0]?.treeSize);
    expect(await store.treeSizeOf(stream, 2)).toBeUndefined();
  });

  it('takes an event it has just appended from memory only where the stored bytes are the same', async () => {
    const store = await open();
    const stream = probeStream();
    const [kept] = (
      await store.append(await store.read(stream), [{ type: 'Renamed', data: { name: 'a' } }], cause)
    ).events;
    const [logged] = await collect(log.readStream(stream));
    if (logged === undefined) throw new Error('it was not stored');
    expect(store.decode(logged)).toBe(kept);
    const swapped = {
      ...logged,
      body: Uint8Array.from(logged.body, (byte) => (byte === 0x61 ? 0x62 : byte)),
    };
    expect(() => store.decode(swapped)).toThrow(LogIntegrityError);
    expect(() => store.decode({ ...logged, record: logged.record.replace('Renamed', 'renamed') })).toThrow(
      LogIntegrityError,
    );
    expect(() => store.decode({ ...logged, leaf: '0'.repeat(64) })).toThrow(LogIntegrityError);
  });

  it('uses the event ids it is given', async () => {
    const store = await open();
    const at = await store.read(probeStream());
    const eventIds = [systemIds.random()];
    const { events } = await store.append(at, [{ type: 'Renamed', data: { name: 'a' } }], cause, {
      eventIds,
    });
    expect(events.map((event) => event.id)).toEqual(eventIds);
    const event = { type: 'Renamed', data: { name: 'a' } };
    await expect(store.append(at, [event, event], cause, { eventIds })).rejects.toThrow('1 event ids');
  });

  it('never records a stream backwards, whatever the clock does', async () => {
    const store = await open();
    const first = await store.append(
      await store.read(probeStream()),
      [{ type: 'Renamed', data: { name: 'a' } }],
      cause,
    );
    clock.time = START - 3_600_000;
    const second = await store.append(first, [{ type: 'Renamed', data: { name: 'b' } }], cause);
    expect(second.lastRecordedAt).toBe(START);
    expect(await store.newestRecordedAt()).toBe(START);
    const reopened = await open();
    expect(await reopened.newestRecordedAt()).toBe(START);
  });

  it('refuses unknown types and invalid data before anything is written, naming the field', async () => {
    const store = await open();
    const at = await store.read(probeStream());
    const append = (type: string, data: unknown) => store.append(at, [{ type, data }], cause);
    await expect(append('Nonsense', {})).rejects.toBeInstanceOf(UnknownEventError);
    await expect(append('Renamed', { name: 4711 })).rejects.toBeInstanceOf(InvalidEventError);
    await expect(append('Renamed', { name: 4711 })).rejects.toThrow('data.name');
    await expect(append('Renamed', { name: 'a', secret: 'canary' })).rejects.not.toThrow('canary');
    await expect(append('Renamed', { name: '\ud800' })).rejects.toBeInstanceOf(InvalidValueError);
    await expect(append('Renamed', { name: '\ud800' })).rejects.toThrow('data.name');
    const timed = { type: 'Renamed', data: { name: 'a' }, occurredAt: Number.NaN };
    await expect(store.append(at, [timed], cause)).rejects.toThrow('occurredAt');
    expect(await log.treeSize()).toBe(1);
  });

  it('lifts old versions step by step and keeps their bytes', async () => {
    const stream = probeStream();
    const old = await open();
    await old.append(await old.read(stream), [{ type: 'Renamed', data: { name: 'a' } }], cause);
    const store = await open(newer);
    const { events } = await store.read(stream);
    expect(events[0]).toMatchObject({ schemaVersion: 1, data: { names: ['a'], by: 'unknown' } });
    const [stored] = await collect(log.readStream(stream));
    expect(Buffer.from(stored?.body ?? []).toString()).toContain('{"name":"a"}');
  });

  it('stops at a type, a version or data it does not know', async () => {
    const stream = probeStream();
    const store = await open(newer);
    await store.append(await store.read(stream), [{ type: 'Renamed', data: { names: [], by: 'me' } }], cause);
    await expect((await open()).read(stream)).rejects.toThrow(`Renamed v3 at ${stream}@0`);
    await expect((await open({})).read(stream)).rejects.toBeInstanceOf(UnknownEventError);
    const stricter = {
      Renamed: {
        ...newer.Renamed,
        schema: z.strictObject({ names: z.array(z.string()).min(1), by: z.string() }),
      },
    };
    await expect((await open(stricter)).read(stream)).rejects.toThrow('data.names');
  });

  it('refuses definitions that collide or have a step missing', async () => {
    const open = (...all: EventDefinitions[]) =>
      openEventStore({ log, clock, ids: systemIds, definitions: all });
    await expect(open(definitions, newer)).rejects.toThrow('Renamed is defined twice');
    const { upcast: _, ...gap } = newer.Renamed;
    await expect(open({ Renamed: gap })).rejects.toThrow('no step from version 1 to 2');
  });

  it('finds every column and byte that is not what was written', async () => {
    const store = await open();
    await store.append(await store.read(probeStream()), [{ type: 'Renamed', data: { name: 'a' } }], cause);
    const [logged] = await collect(log.readAll({ after: 1 }));
    if (logged === undefined) throw new Error('one event');
    const tampered: Partial<LoggedEvent>[] = [
      { record: logged.record.replace('performed', 'observed') },
      { leaf: logged.leaf.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) },
      { body: Buffer.from(Buffer.from(logged.body).toString().replace('"a"', '"b"')) },
      { stream: probeStream() },
      { revision: 7 },
      { id: systemIds.random() },
      { type: 'LogOpened' },
    ];
    for (const change of tampered) {
      expect(() => store.decode({ ...logged, ...change })).toThrow(LogIntegrityError);
    }
    expect(store.decode(logged)).toMatchObject({ type: 'Renamed' });
  });
});
