import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { EventLog, SealedEvent } from '#eventlog';
import { sealEvent } from '#eventlog/kit';
import { LOG_FILE, openDatabase, openSqliteEventLog } from '#eventlog/sqlite';
import type { Scale } from './scale.js';
import { paired, perSecond, type Measure, type Row } from './rounds.js';
import type { Peer } from './peer.js';

/** About 630 bytes of body, as a step's events have. */
function sealed(stream: string, revision: number): SealedEvent {
  return sealEvent({
    stream,
    revision,
    id: randomUUID(),
    type: 'NoteAdded',
    schemaVersion: 1,
    recordedAt: Date.now(),
    actor: randomUUID(),
    correlationId: randomUUID(),
    causationId: randomUUID(),
    provenance: 'performed',
    data: { note: `a note of the length notes have ${'.'.repeat(400)}` },
    origin: { via: 'http', requestHash: 'a'.repeat(64) },
    salt: 'AAAAAAAAAAAAAAAAAAAAAA',
  });
}

/** Through the port: each writer waits for its append before it begins the next. */
function throughThePort(log: EventLog, writers: number, count: number): Measure {
  return async () => {
    const each = Math.ceil(count / writers);
    // The envelope is made beforehand on both sides: what is compared is storing.
    const work = Array.from({ length: writers }, () => {
      const stream = `rotation-${randomUUID()}`;
      return Array.from({ length: each }, (_, revision) => sealed(stream, revision));
    });
    return perSecond(writers * each, async () => {
      await Promise.all(
        work.map(async (events) => {
          for (const event of events) await log.append(event.stream, event.revision - 1, [event]);
        }),
      );
    });
  };
}

/** The same rows into the same tables with the binding itself, `group` of them a transaction: one fsync each. */
function intoTheStore(directory: string, group: number, count: number): Measure {
  const db = openDatabase(join(directory, LOG_FILE));
  const insert = db.prepare(
    'INSERT INTO events (tree_size, stream, revision, id, type, record, body, leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const decoder = new TextDecoder();
  let treeSize = Number(db.prepare('SELECT coalesce(max(tree_size), 0) AS size FROM events').get()?.['size']);
  return () => {
    const streams = Array.from({ length: group }, () => `rotation-${randomUUID()}`);
    const rounds = Math.ceil(count / group);
    const rows = Array.from({ length: rounds }, (_, revision) =>
      streams.map((stream) => {
        const event = sealed(stream, revision);
        return { ...event, text: decoder.decode(event.body), bytes: Buffer.from(event.leaf, 'hex') };
      }),
    );
    return perSecond(rounds * group, () => {
      for (const some of rows) {
        db.transaction(() => {
          for (const { stream, revision, id, type, record, text, bytes } of some) {
            treeSize += 1;
            insert.run(treeSize, stream, revision, id, type, record, text, bytes);
          }
        });
      }
      return Promise.resolve();
    });
  };
}

export async function measureAppend(
  scale: Scale,
  directory: (name: string) => string,
  peer: Peer | string,
): Promise<Row[]> {
  const rows: Row[] = [];
  const place = directory('append');
  const log = await openSqliteEventLog({ directory: place });
  try {
    for (const [writers, count] of [
      [1, scale.appends],
      [64, scale.appends * 8],
    ] as const) {
      const store = directory(`store-${writers}`);
      await (await openSqliteEventLog({ directory: store })).close();
      const raw = intoTheStore(store, writers, count);
      const result = await paired(scale.rounds, throughThePort(log, writers, count), raw);
      rows.push({
        name: `append through the port, ${writers} ${writers === 1 ? 'writer' : 'writers'}; the store's own group commit of ${writers}`,
        ...result,
        unit: 'events/s',
        better: 'more',
        goal: 0.8,
      });
    }
    rows.push(...(await againstPeer(scale, log, peer)));
  } finally {
    await log.close();
  }
  return rows;
}

const PEER_APPEND = 'append, 64 writers; emmett-sqlite, whose appends go one after another';
const PEER_READ = 'read a stream of 12 events; emmett-sqlite';

async function againstPeer(scale: Scale, log: EventLog, peer: Peer | string): Promise<readonly Row[]> {
  const append = { name: PEER_APPEND, unit: 'events/s', better: 'more', goal: 10 } as const;
  const read = { name: PEER_READ, unit: 'streams/s', better: 'more', goal: 20 } as const;
  if (typeof peer === 'string') {
    const missing = { ours: null, baseline: null, ratio: null, note: `not measured: ${peer}` };
    return [
      { ...append, ...missing },
      { ...read, ...missing },
    ];
  }
  const data = { note: `a note of the length notes have ${'.'.repeat(400)}` };
  const peerAppends: Measure = () => {
    const each = Math.max(1, Math.ceil(scale.appends / 4 / 64));
    return perSecond(each * 64, async () => {
      await Promise.all(
        Array.from({ length: 64 }, async () => {
          const stream = `rotation-${randomUUID()}`;
          for (let turn = 0; turn < each; turn += 1) await peer.append(stream, [data]);
        }),
      );
    });
  };
  const LENGTH = 12;
  const ours: string[] = [];
  const theirs: string[] = [];
  for (let number = 0; number < Math.min(200, scale.appends); number += 1) {
    const stream = `rotation-${randomUUID()}`;
    await log.append(
      stream,
      -1,
      Array.from({ length: LENGTH }, (_, revision) => sealed(stream, revision)),
    );
    await peer.append(
      stream,
      Array.from({ length: LENGTH }, () => data),
    );
    ours.push(stream);
    theirs.push(stream);
  }
  const reads = (
    streams: readonly string[],
    times: number,
    one: (stream: string) => Promise<number>,
  ): Measure => {
    return () =>
      perSecond(streams.length * times, async () => {
        for (let turn = 0; turn < times; turn += 1) {
          for (const stream of streams) {
            if ((await one(stream)) !== LENGTH) throw new Error(`${stream} was not read whole`);
          }
        }
      });
  };
  const readOurs = async (stream: string): Promise<number> => {
    let count = 0;
    for await (const event of log.readStream(stream)) if (event.record !== '') count += 1;
    return count;
  };
  return [
    { ...append, ...(await paired(scale.rounds, throughThePort(log, 64, scale.appends * 8), peerAppends)) },
    {
      ...read,
      ...(await paired(
        scale.rounds,
        reads(ours, 20, readOurs),
        reads(theirs, 1, (stream) => peer.length(stream)),
      )),
    },
  ];
}
