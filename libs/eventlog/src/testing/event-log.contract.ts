import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  AppendTooLargeError,
  InvalidAppendError,
  LogUnavailableError,
  MAX_APPEND_BYTES,
  MAX_EVENT_BYTES,
  NO_STREAM,
  WrongExpectedRevisionError,
  type EventLog,
  type LoggedEvent,
  type SealedEvent,
} from '../event-log.js';
import { sealEvent } from '../kit/index.js';
import { collect, comparable, probeEvents, probeStream } from './probe-events.js';

/** One opened log of the adapter under test. */
export interface ContractLog {
  readonly log: EventLog;
  /** Opens what was closed once more; left out where nothing outlives the log. */
  readonly reopen?: () => Promise<EventLog>;
  /** Closes whatever is open and takes everything away. */
  readonly close: () => Promise<void>;
}

/** What every event log must do (the MUSTs of the port): each adapter's spec calls this in one line. */
export function eventLogContract(name: string, open: () => Promise<ContractLog>): void {
  // Every append is an fsync: a busy machine makes them slow, not wrong.
  jest.setTimeout(60_000);
  describe(`event log contract: ${name}`, () => {
    let opened: ContractLog;
    let log: EventLog;

    beforeEach(async () => {
      opened = await open();
      log = opened.log;
    });
    afterEach(() => opened.close());

    const append = (stream: string, revision: number, ...texts: readonly string[]) =>
      log.append(stream, revision - 1, probeEvents(stream, revision, ...texts));

    it('gives back what was appended, byte for byte', async () => {
      const stream = probeStream();
      const texts = [
        'Zoë Ünal',
        '🔑 \u2028\u2029',
        'e\u0301 and é stay two',
        '\u0000\u001f\u007f',
        '\ufeffmark',
        ' ',
      ];
      const events = probeEvents(stream, 0, ...texts);
      expect(await log.append(stream, NO_STREAM, events)).toEqual({
        outcome: 'appended',
        revision: 5,
        treeSize: 6,
      });
      const stored = await collect(log.readStream(stream));
      expect(stored.map(comparable)).toEqual(
        events.map((event, index) => ({ ...comparable(event), treeSize: index + 1 })),
      );
    });

    it('orders streams by revision and everything by tree size, gap-free', async () => {
      const streams = Array.from({ length: 5 }, probeStream);
      for (let revision = 0; revision < 8; revision += 1) {
        await Promise.all(streams.map((stream) => append(stream, revision, `${revision}`)));
      }
      for (const stream of streams) {
        expect((await collect(log.readStream(stream))).map((event) => event.revision)).toEqual(numbers(0, 8));
      }
      const all = await collect(log.readAll());
      expect(all.map((event) => event.treeSize)).toEqual(numbers(1, 40));
      expect(await log.treeSize()).toBe(40);
      expect(new Set(all.map((event) => event.id)).size).toBe(40);
    });

    it('reads from and up to where it is told', async () => {
      const stream = probeStream();
      await append(stream, 0, ...numbers(0, 20).map(String));
      const revisions = async (options: object) =>
        (await collect(log.readStream(stream, options))).map((event) => event.revision);
      expect(await revisions({ from: 17 })).toEqual([17, 18, 19]);
      expect(await revisions({ from: 4, limit: 2 })).toEqual([4, 5]);
      expect(await revisions({ from: 20 })).toEqual([]);
      expect(await revisions({ limit: 0 })).toEqual([]);
      const sizes = async (options: object) =>
        (await collect(log.readAll(options))).map((event) => event.treeSize);
      expect(await sizes({ after: 18 })).toEqual([19, 20]);
      expect(await sizes({ after: 3, limit: 1 })).toEqual([4]);
      expect(await collect(log.readStream(probeStream()))).toEqual([]);
    });

    it('reads more than a page', async () => {
      const stream = probeStream();
      for (let revision = 0; revision < 1300; revision += 130) {
        await append(stream, revision, ...numbers(0, 130).map(String));
      }
      expect((await collect(log.readStream(stream))).map((event) => event.revision)).toEqual(
        numbers(0, 1300),
      );
      expect((await collect(log.readAll({ after: 10, limit: 1200 }))).map((event) => event.treeSize)).toEqual(
        numbers(11, 1200),
      );
    });

    it('has exactly one winner per revision among 64 writers', async () => {
      const stream = probeStream();
      for (let revision = 0; revision < 5; revision += 1) {
        const results = await Promise.allSettled(
          numbers(0, 64).map((writer) => append(stream, revision, `writer ${writer}`)),
        );
        expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
        for (const result of results) {
          if (result.status === 'fulfilled') continue;
          expect(result.reason).toBeInstanceOf(WrongExpectedRevisionError);
          expect(result.reason).toMatchObject({ stream, expected: revision - 1, actual: revision });
        }
      }
      expect(await log.treeSize()).toBe(5);
    });

    it('says where a stream is when it was expected elsewhere', async () => {
      const stream = probeStream();
      await expect(append(stream, 3, 'too early')).rejects.toMatchObject({
        code: 'log.wrong-expected-revision',
        expected: 2,
        actual: -1,
      });
      await append(stream, 0, 'a', 'b');
      await expect(append(stream, 0, 'again')).rejects.toMatchObject({ expected: -1, actual: 1 });
      await expect(append(stream, 1, 'stale')).rejects.toMatchObject({ expected: 0, actual: 1 });
    });

    it('answers a repeat as a repeat, at once, together and 50 appends later', async () => {
      const stream = probeStream();
      const events = probeEvents(stream, 0, 'a', 'b');
      await log.append(stream, NO_STREAM, events);
      const repeated = { outcome: 'repeated', revision: 1, treeSize: 2 };
      expect(await log.append(stream, NO_STREAM, events)).toEqual(repeated);
      for (let revision = 2; revision < 52; revision += 1) await append(stream, revision, `${revision}`);
      expect(await log.append(stream, NO_STREAM, events)).toEqual(repeated);
      expect(await log.treeSize()).toBe(52);

      const twins = probeEvents(stream, 52, 'twin');
      const outcomes = await Promise.all([log.append(stream, 51, twins), log.append(stream, 51, twins)]);
      expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['appended', 'repeated']);
      expect(await log.treeSize()).toBe(53);
    });

    it('refuses a repeat that is only partly there, has other bytes or stands elsewhere', async () => {
      const stream = probeStream();
      const events = probeEvents(stream, 0, 'a', 'b', 'c');
      const [first, second, third] = events;
      if (first === undefined || second === undefined || third === undefined) throw new Error('three events');
      await log.append(stream, NO_STREAM, [first, second]);
      const refused = { code: 'log.wrong-expected-revision', actual: 1 };
      await expect(log.append(stream, NO_STREAM, events)).rejects.toMatchObject(refused);
      const [other] = probeEvents(stream, 0, 'other bytes');
      if (other === undefined) throw new Error('one event');
      const forged: SealedEvent = { ...other, id: first.id };
      await expect(log.append(stream, NO_STREAM, [forged])).rejects.toMatchObject(refused);
      // Even at the right revision: an id is stored once.
      const moved: SealedEvent = { ...first, revision: 2 };
      await expect(log.append(stream, 1, [moved])).rejects.toMatchObject(refused);
      const elsewhere = probeStream();
      await expect(log.append(elsewhere, -1, [{ ...first, stream: elsewhere }])).rejects.toMatchObject({
        code: 'log.wrong-expected-revision',
      });
      expect(await log.treeSize()).toBe(2);
    });

    it('stores an append of several events whole or not at all, beside failing neighbours', async () => {
      const [good, bad, other] = [probeStream(), probeStream(), probeStream()];
      await append(bad, 0, 'already there');
      const results = await Promise.allSettled([
        append(good, 0, 'a', 'b', 'c'),
        append(bad, 0, 'x', 'y', 'z'),
        append(other, 0, 'd'),
      ]);
      expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect(await collect(log.readStream(good))).toHaveLength(3);
      expect(await collect(log.readStream(bad))).toHaveLength(1);
      const treeSizes = (await collect(log.readStream(good))).map((event) => event.treeSize);
      expect(treeSizes).toEqual(numbers(treeSizes[0] ?? 0, 3));
    });

    it('refuses what cannot be an append, before it writes', async () => {
      const stream = probeStream();
      const [event] = probeEvents(stream, 0, 'a');
      if (event === undefined) throw new Error('one event');
      const wrong: readonly (readonly [string, number, readonly SealedEvent[]])[] = [
        [stream, -1, []],
        [stream, -2, [event]],
        [stream, 0.5, [event]],
        [stream, 4, [event]],
        [probeStream(), -1, [event]],
        [stream, -1, [event, { ...event, revision: 1 }]],
        ['Not A Stream', -1, [{ ...event, stream: 'Not A Stream' }]],
        [stream, -1, [{ ...event, id: 'not-a-uuid' }]],
        [stream, -1, [{ ...event, leaf: 'not-a-leaf' }]],
        [stream, -1, [{ ...event, record: '{"a":"\ud800"}' }]],
        [stream, -1, [{ ...event, body: new Uint8Array([0xff, 0xfe]) }]],
        [stream, -1, [{ ...event, body: new Uint8Array([0x22, 0, 0x22]) }]],
      ];
      for (const [to, expected, events] of wrong) {
        await expect(log.append(to, expected, events)).rejects.toBeInstanceOf(InvalidAppendError);
      }
      expect(await log.treeSize()).toBe(0);
    });

    it('keeps the limits, and names them', async () => {
      const stream = probeStream();
      await expect(append(stream, 0, 'x'.repeat(MAX_EVENT_BYTES))).rejects.toThrow(AppendTooLargeError);
      await expect(append(stream, 0, 'x'.repeat(MAX_EVENT_BYTES))).rejects.toThrow(String(MAX_EVENT_BYTES));
      const many = numbers(0, 9).map(() => 'x'.repeat(60_000));
      await expect(append(stream, 0, ...many)).rejects.toThrow(String(MAX_APPEND_BYTES));
      expect(await log.treeSize()).toBe(0);
      const [exact] = exactlyBytes(stream, MAX_EVENT_BYTES);
      if (exact === undefined) throw new Error('one event');
      expect(await log.append(stream, NO_STREAM, [exact])).toMatchObject({ outcome: 'appended' });
      expect((await collect(log.readStream(stream))).map(comparable)).toEqual([
        { ...comparable(exact), treeSize: 1 },
      ]);
    });

    it('subscribes across catch-up and live without gap, double or reorder', async () => {
      const streams = Array.from({ length: 8 }, probeStream);
      for (const stream of streams) await append(stream, 0, ...numbers(0, 100).map(String));
      const seen: LoggedEvent[] = [];
      let caughtUp = 0;
      const subscription = log.subscribe({
        after: 0,
        onEvents: async (events) => {
          seen.push(...events);
          await delay(1);
        },
        onCaughtUp: () => {
          caughtUp += 1;
        },
      });
      await Promise.all(
        streams.map(async (stream) => {
          for (let revision = 100; revision < 160; revision += 1)
            await append(stream, revision, `${revision}`);
        }),
      );
      await until(() => seen.length >= 1280);
      await delay(20);
      await subscription.stop();
      await subscription.ended;
      expect(seen.map((event) => event.treeSize)).toEqual(numbers(1, 1280));
      expect(caughtUp).toBeGreaterThan(0);
      const last = seen.at(-1);
      expect(last && comparable(last)).toEqual(
        (await collect(log.readAll({ after: 1279 }))).map(comparable)[0],
      );
    });

    it('subscribes after a tree size, and wakes for what comes later', async () => {
      const stream = probeStream();
      await append(stream, 0, 'a', 'b', 'c');
      const seen: number[] = [];
      const subscription = log.subscribe({
        after: 2,
        onEvents: (events) => {
          seen.push(...events.map((event) => event.treeSize));
          return Promise.resolve();
        },
      });
      await until(() => seen.length === 1);
      await append(stream, 3, 'd');
      await until(() => seen.length === 2);
      await subscription.stop();
      await append(stream, 4, 'after the end');
      await delay(20);
      expect(seen).toEqual([3, 4]);
    });

    it('waits for a slow consumer: never two calls at once, batches bounded', async () => {
      const stream = probeStream();
      for (let revision = 0; revision < 1500; revision += 150) {
        await append(stream, revision, ...numbers(0, 150).map(String));
      }
      let running = 0;
      let most = 0;
      const batches: number[] = [];
      let total = 0;
      const subscription = log.subscribe({
        after: 0,
        onEvents: async (events) => {
          running += 1;
          most = Math.max(most, running);
          batches.push(events.length);
          await delay(15);
          total += events.length;
          running -= 1;
        },
      });
      for (let revision = 1500; revision < 1550; revision += 1) await append(stream, revision, 'live');
      await until(() => total === 1550);
      await subscription.stop();
      expect(most).toBe(1);
      expect(Math.max(...batches)).toBeLessThanOrEqual(500);
      // What arrived while it slept came together: it was held back, not called once for each.
      expect(batches.length).toBeLessThan(50);
    });

    it('ends a subscription whose consumer fails, with its error, and nobody else', async () => {
      const stream = probeStream();
      await append(stream, 0, 'a');
      const failing = log.subscribe({ after: 0, onEvents: () => Promise.reject(new Error('cannot go on')) });
      const seen: number[] = [];
      const healthy = log.subscribe({
        after: 0,
        onEvents: (events) => {
          seen.push(...events.map((event) => event.treeSize));
          return Promise.resolve();
        },
      });
      await expect(failing.ended).rejects.toThrow('cannot go on');
      await failing.stop();
      await append(stream, 1, 'b');
      await until(() => seen.length === 2);
      await healthy.stop();
      await healthy.ended;
      expect(seen).toEqual([1, 2]);
    });

    it('drains what it accepted when it is closed, then refuses', async () => {
      const stream = probeStream();
      const subscription = log.subscribe({ after: 0, onEvents: () => Promise.resolve() });
      const accepted = numbers(0, 20).map(() => {
        const own = probeStream();
        return append(own, 0, 'before the close');
      });
      const closing = log.close();
      await expect(Promise.all(accepted)).resolves.toHaveLength(20);
      await closing;
      await log.close();
      await subscription.ended;
      await expect(append(stream, 0, 'too late')).rejects.toBeInstanceOf(LogUnavailableError);
      await expect(log.treeSize()).rejects.toBeInstanceOf(LogUnavailableError);
      await expect(collect(log.readAll())).rejects.toBeInstanceOf(LogUnavailableError);
      await expect(collect(log.readStream(stream))).rejects.toBeInstanceOf(LogUnavailableError);
      await expect(
        log.subscribe({ after: 0, onEvents: () => Promise.resolve() }).ended,
      ).rejects.toBeInstanceOf(LogUnavailableError);
    });

    it('keeps everything over a reopen (where the adapter keeps anything)', async () => {
      const stream = probeStream();
      const events = probeEvents(stream, 0, 'a', 'b');
      await log.append(stream, NO_STREAM, events);
      const before = (await collect(log.readAll())).map(comparable);
      if (opened.reopen === undefined) {
        expect(before).toHaveLength(2);
        return;
      }
      await log.close();
      log = await opened.reopen();
      expect((await collect(log.readAll())).map(comparable)).toEqual(before);
      expect(await log.append(stream, NO_STREAM, events)).toEqual({
        outcome: 'repeated',
        revision: 1,
        treeSize: 2,
      });
      expect(await append(stream, 2, 'c')).toEqual({ outcome: 'appended', revision: 2, treeSize: 3 });
    });
  });
}

function numbers(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => from + index);
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('it did not come to pass in 10 s');
    await delay(2);
  }
}

/** One event whose body and record weigh exactly `bytes`. */
function exactlyBytes(stream: string, bytes: number): SealedEvent[] {
  const base = {
    stream,
    revision: 0,
    id: stream.slice('probe-'.length),
    type: 'Probed',
    schemaVersion: 1,
    recordedAt: 0,
    actor: 'system',
    correlationId: stream.slice('probe-'.length),
    causationId: stream.slice('probe-'.length),
    provenance: 'performed',
    origin: { via: 'kit' },
    salt: 'AAAAAAAAAAAAAAAAAAAAAA',
  } as const;
  const weight = (event: SealedEvent): number => event.body.byteLength + Buffer.byteLength(event.record);
  const empty = weight(sealEvent({ ...base, data: { text: '' } }));
  return [sealEvent({ ...base, data: { text: 'x'.repeat(bytes - empty) } })];
}
