import { setTimeout as delay } from 'node:timers/promises';
import { LogIntegrityError, type EventLog, type IntegrityFailure, type LoggedEvent } from '../event-log.js';
import { openSealed } from './envelope.js';
import type { IntegrityFindings } from './integrity-findings.js';

export interface ScrubOptions {
  readonly log: EventLog;
  readonly findings: IntegrityFindings;
  /** Whether the store's own look-ups lead to what it holds, for the events after a tree size; for a store with indexes. */
  readonly misfiled?: (after: number, limit: number) => Promise<readonly IntegrityFailure[]>;
  /** Events read at a time; 200 unless told. */
  readonly page?: number;
  /** Between two pages at least; 100 ms unless told. It is longer where a page took long: never over a twentieth of one core. */
  readonly pauseMs?: number;
  /** Between two rounds; an hour unless told. */
  readonly restMs?: number;
}

/** For each millisecond of work, so many of rest. */
const PAUSES_PER_WORK = 19;

export interface Scrub {
  /** Waits for the page that is being read. */
  stop(): Promise<void>;
}

/**
 * Reads everything, slowly and for ever, and reports what is not what was written: what nobody reads would otherwise be
 * found when it is needed. A store that cannot be read for now is tried again in the next round.
 */
export function startScrub(options: ScrubOptions): Scrub {
  const { pauseMs = 100, restMs = 3_600_000 } = options;
  const stopped = new AbortController();
  const pause = async (ms: number): Promise<void> => {
    await delay(ms, undefined, { ref: false, signal: stopped.signal }).catch(() => undefined);
  };
  const run = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      try {
        let began = performance.now();
        await scrubOnce(options, async () => {
          await pause(Math.max(pauseMs, PAUSES_PER_WORK * (performance.now() - began)));
          began = performance.now();
          return !stopped.signal.aborted;
        });
      } catch {
        // A damaged store says so itself, to everybody; one that cannot be read for now is read later.
      }
      await pause(restMs);
    }
  };
  const ended = run();
  return {
    stop: () => {
      stopped.abort();
      return ended;
    },
  };
}

/**
 * One round over what is stored when it reaches the end. `goOn` is asked between two pages. Returns the tree size it came
 * to.
 */
export async function scrubOnce(
  options: ScrubOptions,
  goOn: () => Promise<boolean> = () => Promise.resolve(true),
): Promise<number> {
  const { log, findings, misfiled, page = 200 } = options;
  let after = 0;
  do {
    let count = 0;
    let place = after;
    for await (const event of log.readAll({ after, limit: page })) {
      count += 1;
      place += 1;
      const failure = await checkEvent(log, event, place);
      if (failure !== undefined) findings.report(failure);
      place = event.treeSize;
    }
    if (count === 0) break;
    for (const failure of (await misfiled?.(after, place - after)) ?? []) findings.report(failure);
    after = place;
  } while (await goOn());
  return after;
}

/** Its own bytes, its place in the total order, and that its stream comes to it in order. */
async function checkEvent(
  log: EventLog,
  event: LoggedEvent,
  expected: number,
): Promise<IntegrityFailure | undefined> {
  const { stream, revision, treeSize } = event;
  const found = (what: string): IntegrityFailure => ({ stream, revision, treeSize, what });
  try {
    openSealed(event);
  } catch (error) {
    if (error instanceof LogIntegrityError) return error.failure;
    throw error;
  }
  if (treeSize !== expected) return found(`${treeSize - expected} events before it are missing`);
  if (revision === 0) return undefined;
  for await (const before of log.readStream(stream, { from: revision - 1, limit: 1 })) {
    if (before.revision === revision - 1 && before.treeSize < treeSize) return undefined;
  }
  return found('the event before it in its stream is missing or stands behind it');
}
