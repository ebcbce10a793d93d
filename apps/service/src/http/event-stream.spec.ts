import { setImmediate as breath } from 'node:timers/promises';
import { eventStream, type StreamSource, type StreamTimes } from './event-stream.js';

const TIMES: StreamTimes = { heartbeatMs: 60_000, stallMs: 60_000, retryMs: 100 };

/** A log of numbers that a spec adds to. */
function numbers(count: number, change: Partial<StreamSource> = {}) {
  const state = { count, wakes: new Set<() => void>(), asked: 0 };
  const source: StreamSource = {
    after: 0,
    next: (cursor) => {
      state.asked += 1;
      const upTo = Math.min(state.count, cursor + 10);
      const items = Array.from({ length: upTo - cursor }, (_, index) => ({
        id: cursor + index + 1,
        data: { number: cursor + index + 1, padding: 'x'.repeat(1_000) },
      }));
      return Promise.resolve({ items, upTo, more: upTo < state.count });
    },
    ended: () => undefined,
    failure: () => undefined,
    onWake: (wake) => {
      state.wakes.add(wake);
      return () => state.wakes.delete(wake);
    },
    ...change,
  };
  const add = (): void => {
    state.count += 1;
    for (const wake of state.wakes) wake();
  };
  return { state, source, add };
}

async function untilClosed(stream: NodeJS.ReadableStream & { readonly closed: boolean }): Promise<void> {
  if (!stream.closed) await new Promise((resolve) => stream.once('close', resolve));
}

/** Takes text until it holds `wanted`. */
async function readUntil(stream: AsyncIterable<unknown>, wanted: string): Promise<string> {
  let text = '';
  for await (const chunk of { [Symbol.asyncIterator]: () => stream[Symbol.asyncIterator]() }) {
    text += String(chunk);
    if (text.includes(wanted)) break;
  }
  return text;
}

it('makes no more for a reader that takes nothing than one may buffer, and drops it', async () => {
  const { state, source } = numbers(1_000_000);
  const stream = eventStream(source, { ...TIMES, stallMs: 200 });
  // Begins as a connection does: something is asked for, and then nothing is taken any more.
  stream.read(0);
  await untilClosed(stream);
  // 16 KiB of frames of a kilobyte each, made ten at a time.
  expect(state.asked).toBeLessThanOrEqual(3);
  expect(stream.readableLength).toBeLessThan(64 * 1024);
  expect(state.wakes.size).toBe(0);
});

it('does not drop a reader for whom there is nothing', async () => {
  const { source, add } = numbers(0);
  const stream = eventStream(source, { ...TIMES, heartbeatMs: 20, stallMs: 200 });
  const seen: string[] = [];
  stream.on('data', (chunk: Buffer) => {
    seen.push(chunk.toString());
    // Many signs of life are longer than the time after which a stalled reader is dropped.
    if (seen.length === 15) add();
  });
  await new Promise<void>((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      if (chunk.toString().includes('"number":1')) resolve();
    });
  });
  expect(seen.slice(1, 15)).toEqual(Array.from({ length: 14 }, () => ': alive\nid: 0\n\n'));
  stream.destroy();
  await untilClosed(stream);
});

it('a wake between a look and the wait for the next one is not lost', async () => {
  let added = false;
  const { source, add } = numbers(0);
  const next = async (cursor: number) => {
    const batch = await source.next(cursor);
    if (!added) {
      added = true;
      add();
    }
    return batch;
  };
  const stream = eventStream({ ...source, next }, TIMES);
  expect(await readUntil(stream, '"number":1')).toContain('id: 1\n');
});

it('forgets its source once the reader has gone, also while nothing happens', async () => {
  const { state, source } = numbers(3);
  const stream = eventStream(source, TIMES);
  await readUntil(stream, '"number":3');
  await untilClosed(stream);
  await breath();
  expect(state.wakes.size).toBe(0);
});

it('says why it ends, and ends', async () => {
  const why = { code: 'access.unauthenticated', detail: 'revoked' };
  let over = false;
  const { source, add } = numbers(1, { ended: () => (over ? why : undefined) });
  const stream = eventStream(source, TIMES);
  let text = '';
  for await (const chunk of stream) {
    text += String(chunk);
    if (text.includes('"number":1') && !over) {
      over = true;
      add();
    }
  }
  expect(text).toContain(`event: end\ndata: ${JSON.stringify(why)}\n\n`);
  expect(text).not.toContain('"number":2');
});

it('says what it may not read, and breaks off where that is nobody’s to say', async () => {
  const next = () => Promise.reject(new Error('altered'));
  const why = { code: 'log.integrity', detail: 'altered' };
  const told = eventStream(numbers(1, { next, failure: () => why }).source, TIMES);
  expect(await readUntil(told, 'event: end')).toContain('log.integrity');
  const broken = eventStream(numbers(1, { next }).source, TIMES);
  await expect(readUntil(broken, 'never')).rejects.toThrow('altered');
});
