import { closeSync, existsSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as breath } from 'node:timers/promises';
import { LOG_FILE, openDatabase, openSqliteEventLog, SqliteEventLog } from '#eventlog/sqlite';
import { probeEvents, probeStream } from '../../../libs/eventlog/src/testing/probe-events.js';
import { InlineWriter } from '../../../libs/eventlog/src/sqlite/writer-thread.js';

/**
 * The fixed workload of the durability proofs: 20 appends, sixteen one after another, four in one transaction, some of two
 * events, one large. What was acknowledged is one line `append treeSize stream revision id leaf walBytes` per event in a
 * file: written by one call after the append has resolved, so that it is still there after a SIGKILL.
 *
 * `node workload.js DIRECTORY ACKS [MODE]`; modes: `stay` does not close at the end; the sabotaged ones are the
 * controls: `ack-first` says it before it is stored, `no-sync` writes without fsync.
 */
const [directory, acksFile, mode = 'close'] = process.argv.slice(2);
if (directory === undefined || acksFile === undefined) throw new Error('DIRECTORY and ACKS are missing');
const wal = `${join(directory, LOG_FILE)}-wal`;
const acks = openSync(acksFile, 'a', 0o600);

const log = await open(directory);
const streams = Array.from({ length: 4 }, probeStream);
const revisions = new Map<string, number>();

async function open(place: string): Promise<SqliteEventLog> {
  const whole = await openSqliteEventLog({ directory: place }, { inline: true });
  if (mode !== 'no-sync') return whole;
  await whole.close();
  const path = join(place, LOG_FILE);
  const db = openDatabase(path);
  db.exec('PRAGMA synchronous=OFF');
  return new SqliteEventLog(openDatabase(path, { readOnly: true }), new InlineWriter(db));
}

async function append(number: number): Promise<void> {
  const stream = streams[number % streams.length] ?? '';
  const first = (revisions.get(stream) ?? -1) + 1;
  const texts = number % 5 === 2 ? ['one', 'two'] : [number === 7 ? 'large '.repeat(5000) : `text ${number}`];
  const events = probeEvents(stream, first, ...texts);
  revisions.set(stream, first + events.length - 1);
  const said = (treeSize: number): void => {
    const size = existsSync(wal) ? statSync(wal).size : 0;
    const lines = events.map(
      ({ revision, id, leaf }, index) =>
        `${number} ${treeSize - events.length + 1 + index} ${stream} ${revision} ${id} ${leaf} ${size}\n`,
    );
    writeSync(acks, lines.join(''));
  };
  if (mode === 'ack-first') said((await log.treeSize()) + events.length);
  const { treeSize } = await log.append(stream, first - 1, events);
  if (mode !== 'ack-first') said(treeSize);
}

for (let number = 0; number < 16; number += 1) await append(number);
await Promise.all([16, 17, 18, 19].map(append));
if (mode === 'stay') process.kill(process.pid, 'SIGKILL');
await log.close();
// The binding closes a connection when its statements have been collected: now, so that each run makes the same calls.
for (let turn = 0; turn < 100 && existsSync(wal); turn += 1) {
  (globalThis as { gc?: () => void }).gc?.();
  await breath();
}
closeSync(acks);
