import type { EventLog, IntegrityFailure, LoggedEvent } from '../event-log.js';
import { openSqliteEventLog, type SqliteEventLog } from '../sqlite/index.js';
import { probeEvents, probeStream } from '../testing/index.js';
import { IntegrityFindings, scrubOnce, startScrub } from './index.js';

/** The log as somebody with a hand on its file would leave it. */
function altered(log: EventLog, alter: (event: LoggedEvent) => LoggedEvent | undefined): EventLog {
  const through = async function* (events: AsyncIterable<LoggedEvent>): AsyncGenerator<LoggedEvent> {
    for await (const event of events) {
      const changed = alter(event);
      if (changed !== undefined) yield changed;
    }
  };
  return {
    append: (stream, expected, events) => log.append(stream, expected, events),
    readStream: (stream, options) => through(log.readStream(stream, options)),
    readAll: (options) => through(log.readAll(options)),
    subscribe: (options) => log.subscribe(options),
    treeSize: () => log.treeSize(),
    close: () => log.close(),
  };
}

describe('scrub', () => {
  let log: SqliteEventLog;
  let stream: string;
  let findings: IntegrityFindings;

  beforeEach(async () => {
    log = await openSqliteEventLog({ memory: true });
    findings = new IntegrityFindings();
    stream = probeStream();
    const other = probeStream();
    for (let revision = 0; revision < 10; revision += 1) {
      await log.append(stream, revision - 1, probeEvents(stream, revision, `event ${revision}`));
      await log.append(other, revision - 1, probeEvents(other, revision, `other ${revision}`));
    }
  });
  afterEach(() => log.close());

  const scrub = async (
    alter: (event: LoggedEvent) => LoggedEvent | undefined,
  ): Promise<readonly IntegrityFailure[]> => {
    await scrubOnce({
      log: altered(log, alter),
      findings,
      page: 7,
      misfiled: (after, limit) => log.misfiled(after, limit),
    });
    return findings.all();
  };

  it('finds nothing in what is as it was written, and reads it to its end', async () => {
    const size = await scrubOnce({ log, findings, page: 7, misfiled: (...at) => log.misfiled(...at) });
    expect({ size, found: findings.all() }).toEqual({ size: 20, found: [] });
  });

  it('finds a changed body, whichever page it stands on', async () => {
    const found = await scrub((event) =>
      [1, 8, 20].includes(event.treeSize) ? { ...event, body: Buffer.from('{}') } : event,
    );
    expect(found.map(({ treeSize }) => treeSize)).toEqual([1, 8, 20]);
    expect(found[0]).toEqual({
      stream,
      revision: 0,
      treeSize: 1,
      what: 'its data hash does not match its body',
    });
  });

  it('finds an event that is gone, once by its place and once by its stream', async () => {
    const found = await scrub((event) => (event.treeSize === 9 ? undefined : event));
    expect(found).toEqual([
      { stream: expect.any(String), revision: 4, treeSize: 10, what: '1 events before it are missing' },
      {
        stream,
        revision: 5,
        treeSize: 11,
        what: 'the event before it in its stream is missing or stands behind it',
      },
    ]);
  });

  it('finds two events of a stream that changed places in the total order', async () => {
    const swap = new Map([
      [9, 11],
      [11, 9],
    ]);
    const changed = altered(log, (event) => ({
      ...event,
      treeSize: swap.get(event.treeSize) ?? event.treeSize,
    }));
    const inOrder: EventLog = {
      ...changed,
      // As a table would give them: by the number they now have.
      readAll: async function* (options) {
        const all: LoggedEvent[] = [];
        for await (const event of changed.readAll()) all.push(event);
        all.sort((left, right) => left.treeSize - right.treeSize);
        const from = options?.after ?? 0;
        yield* all.slice(from, from + (options?.limit ?? all.length));
      },
    };
    await scrubOnce({ log: inOrder, findings, page: 7 });
    expect(findings.all().map(({ treeSize }) => treeSize)).toEqual([9]);
  });

  it('tells each place once, also to who listens later, and names the first for readiness', async () => {
    const bad = (event: LoggedEvent): LoggedEvent =>
      event.treeSize > 18 ? { ...event, type: 'Other' } : event;
    const told: IntegrityFailure[] = [];
    findings.onFailure((failure) => told.push(failure));
    await scrub(bad);
    await scrub(bad);
    expect(told.map(({ treeSize }) => treeSize)).toEqual([19, 20]);
    const later: IntegrityFailure[] = [];
    findings.onFailure((failure) => later.push(failure));
    expect(later).toEqual(told);
    expect(findings.summary()).toBe(
      `the log holds what was not written: ${stream}@9, its type does not match its record, and 1 more`,
    );
  });

  it('goes round in the background until it is stopped', async () => {
    let damaged = false;
    const found = new Promise<IntegrityFailure>((resolve) => {
      findings.onFailure(resolve);
    });
    const running = startScrub({
      log: altered(log, (event) => (damaged ? { ...event, type: 'Other' } : event)),
      findings,
      page: 3,
      pauseMs: 0,
      restMs: 0,
    });
    damaged = true;
    expect(await found).toMatchObject({ what: 'its type does not match its record' });
    await running.stop();
  });
});
