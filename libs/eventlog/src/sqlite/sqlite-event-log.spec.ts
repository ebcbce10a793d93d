import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { jest } from '@jest/globals';
import { systemClock, systemIds } from '#platform';
import { z } from 'zod';
import {
  LogCorruptError,
  LogIntegrityError,
  LogLockedError,
  LogTooNewError,
  LogUnavailableError,
  NO_STREAM,
} from '../event-log.js';
import { LOG_STREAM, openEventStore, openSealed } from '../kit/index.js';
import { collect, probeEvents, probeStream } from '../testing/index.js';
import { builtFile } from './built-file.js';
import { LOCK_FILE, LOG_FILE, openDatabase, openSqliteEventLog, type SqliteEventLog } from './index.js';
import { ThreadWriter } from './writer-thread.js';

const definitions = [
  { Probed: { version: 1, about: 'A probe.', schema: z.strictObject({ text: z.string() }) } },
];

// Every append is an fsync and every child a process: a busy machine makes them slow, not wrong.
jest.setTimeout(60_000);

describe('SQLite event log', () => {
  let directory: string;
  let path: string;
  const opened: SqliteEventLog[] = [];

  beforeEach(() => {
    directory = join(mkdtempSync(join(tmpdir(), 'keyturn-log-')), 'data');
    path = join(directory, LOG_FILE);
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((log) => log.close()));
    rmSync(join(directory, '..'), { recursive: true, force: true });
  });
  const open = async (options = {}): Promise<SqliteEventLog> => {
    const log = await openSqliteEventLog({ directory }, options);
    opened.push(log);
    return log;
  };
  const openStore = (log: SqliteEventLog) =>
    openEventStore({ log, definitions, clock: systemClock, ids: systemIds });
  const fill = async (count: number): Promise<string> => {
    const log = await open();
    await openStore(log);
    const stream = probeStream();
    for (let revision = 0; revision < count; revision += 1) {
      await log.append(stream, revision - 1, probeEvents(stream, revision, `event ${revision}`));
    }
    await log.close();
    return stream;
  };
  /** Changes the file as somebody with a hand on it would: without our triggers. */
  const tamper = (sql: string): void => {
    const db = openDatabase(path);
    db.exec(
      `DROP TRIGGER events_are_not_changed; DROP TRIGGER events_are_not_deleted; ${sql}; PRAGMA wal_checkpoint(TRUNCATE)`,
    );
    db.close();
  };

  it('makes its folder for the owner only, and leaves the WAL empty when closed', async () => {
    await fill(3);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    for (const file of readdirSync(directory)) {
      expect({ file, mode: statSync(join(directory, file)).mode & 0o777 }).toEqual({ file, mode: 0o600 });
    }
    const wal = `${path}-wal`;
    expect(existsSync(wal) ? statSync(wal).size : 0).toBe(0);
  });

  it('takes from others what an older version let them read', async () => {
    await fill(1);
    chmodSync(path, 0o644);
    const log = await open();
    const stream = probeStream();
    await log.append(stream, NO_STREAM, probeEvents(stream, 0, 'a'));
    for (const suffix of ['', '-wal', '-shm']) expect(statSync(path + suffix).mode & 0o777).toBe(0o600);
  });

  it('writes with synchronous=FULL', async () => {
    expect((await open()).statistics.synchronous).toBe(2);
  });

  it('groups what waits into few commits', async () => {
    const log = await open();
    await Promise.all(
      Array.from({ length: 64 }, async () => {
        const stream = probeStream();
        for (let revision = 0; revision < 10; revision += 1) {
          await log.append(stream, revision - 1, probeEvents(stream, revision, 'grouped'));
        }
      }),
    );
    const { appends, commits, largestGroup } = log.statistics;
    expect(appends).toBe(640);
    expect(commits).toBeLessThan(appends / 2);
    expect(largestGroup).toBeGreaterThan(1);
  });

  it('cuts the WAL when nothing was written for a while', async () => {
    const log = await open({ idleCheckpointMs: 20 });
    const stream = probeStream();
    await log.append(stream, NO_STREAM, probeEvents(stream, 0, 'x'.repeat(20_000)));
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(0);
    await delay(300);
    expect(statSync(`${path}-wal`).size).toBe(0);
    expect(await collect(log.readStream(stream))).toHaveLength(1);
  });

  describe('one process at a time', () => {
    it('refuses a second opener of the same process at once, naming lock and holder', async () => {
      const log = await open();
      const started = performance.now();
      await expect(openSqliteEventLog({ directory })).rejects.toBeInstanceOf(LogLockedError);
      expect(performance.now() - started).toBeLessThan(2000);
      await expect(openSqliteEventLog({ directory })).rejects.toThrow(join(directory, LOCK_FILE));
      await expect(openSqliteEventLog({ directory })).rejects.toThrow(`process ${process.pid}`);
      // The failed openers have not taken the lock away.
      await expect(openSqliteEventLog({ directory })).rejects.toBeInstanceOf(LogLockedError);
      await log.close();
      await expect(open()).resolves.toBeDefined();
    });

    it('refuses while another process lives, and not a moment longer', async () => {
      const child = appendUntilKilled(directory);
      await child.acknowledged(1);
      await expect(openSqliteEventLog({ directory })).rejects.toThrow(`process ${child.pid}`);
      const reader = await open({ readOnly: true });
      expect(await reader.treeSize()).toBeGreaterThan(0);
      const stream = probeStream();
      await expect(reader.append(stream, -1, probeEvents(stream, 0, 'a'))).rejects.toThrow('reading only');
      await child.kill();
      await expect(open()).resolves.toBeDefined();
    });
  });

  describe.each(['thread', 'inline'])('killed while it writes (%s)', (mode) => {
    it.each([1, 2, 3])('has every acknowledged append after the restart (%i)', async (round) => {
      const child = appendUntilKilled(directory, mode);
      await child.acknowledged(round * 97);
      const acknowledged = await child.kill();
      expect(acknowledged.length).toBeGreaterThan(0);
      const log = await open();
      const stored = new Map(
        (await collect(log.readAll())).map((event) => [`${event.stream} ${event.revision}`, event]),
      );
      for (const line of acknowledged) {
        const [stream, revision, id, leaf] = line.split(' ');
        expect(stored.get(`${stream} ${revision}`)).toMatchObject({ id, leaf });
      }
      // Whole appends only, gap-free, each event what its leaf says.
      const all = [...stored.values()];
      expect(all.map((event) => event.treeSize)).toEqual(all.map((_, index) => index + 1));
      expect(all.length % 2).toBe(0);
      for (const event of all) expect(openSealed(event).id).toBe(event.id);
    });
  });

  describe('a file that is not what was written', () => {
    it('refuses one of a newer Keyturn', async () => {
      await fill(1);
      tamper('PRAGMA user_version=2');
      await expect(open()).rejects.toBeInstanceOf(LogTooNewError);
      await expect(open({ readOnly: true })).rejects.toBeInstanceOf(LogTooNewError);
    });

    it.each([
      ['no database', () => writeFileSync(path, 'no database at all '.repeat(1000))],
      ['cut in the middle', () => writeFileSync(path, readFileSync(path).subarray(0, 3 * 4096 + 100))],
      ['cut to nothing', () => writeFileSync(path, '')],
      ['overwritten in the middle', () => writeFileSync(path, readFileSync(path).fill(0xa5, 4096, 3 * 4096))],
      ['somebody else’s', () => tamper('PRAGMA application_id=1')],
      ['short of an event', () => tamper('DELETE FROM events WHERE tree_size = 7')],
      ['gone, with a WAL left', () => (rmSync(path), writeFileSync(`${path}-wal`, 'something'))],
    ])('refuses one that is %s, and says what to do', async (_how, damage) => {
      await fill(30);
      damage();
      const error = await openSqliteEventLog({ directory }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(LogCorruptError);
      expect(error).toHaveProperty('message', expect.stringContaining(path));
      expect(error).toHaveProperty(
        'message',
        expect.stringMatching(/Writes are refused.*see keyturn doctor.*restore the last backup/),
      );
      // It stays refused: looking at it has changed nothing and locked nothing.
      await expect(openSqliteEventLog({ directory })).rejects.toBeInstanceOf(LogCorruptError);
    });

    it.each([
      [
        'record',
        `UPDATE events SET record = replace(record, '"performed"', '"observed"') WHERE tree_size = 5`,
      ],
      ['body', `UPDATE events SET body = replace(body, 'event', 'evenT') WHERE tree_size = 5`],
      ['leaf', `UPDATE events SET leaf = zeroblob(32) WHERE tree_size = 5`],
      ['type', `UPDATE events SET type = 'LogOpened' WHERE tree_size = 5`],
    ])('finds a changed %s when it is read', async (_column, sql) => {
      const stream = await fill(6);
      tamper(sql);
      const store = await openStore(await open());
      await expect(store.read(stream)).rejects.toBeInstanceOf(LogIntegrityError);
      await expect(store.read(stream)).rejects.toThrow(`5 (${stream}@3)`);
      await expect(store.read(LOG_STREAM)).resolves.toMatchObject({ revision: 0 });
    });

    it('finds two events that changed places', async () => {
      const stream = await fill(6);
      tamper(`UPDATE events SET revision = 100 WHERE tree_size = 4; UPDATE events SET revision = 2 WHERE tree_size = 5;
        UPDATE events SET revision = 3 WHERE tree_size = 4`);
      await expect((await openStore(await open())).read(stream)).rejects.toBeInstanceOf(LogIntegrityError);
    });
  });

  it('answers with unavailable when the writer thread is gone', async () => {
    const log = await open();
    await log.close();
    const writer = await ThreadWriter.start({ path, idleCheckpointMs: 1000 });
    const stream = probeStream();
    const request = {
      stream,
      expected: NO_STREAM,
      events: probeEvents(stream, 0, 'a').map((event) => ({ ...event, body: '{}' })),
    };
    const pending = Array.from({ length: 50 }, () => writer.append(request));
    await writer.terminate();
    const outcomes = await Promise.all(pending);
    expect(outcomes.at(-1)).toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('unknown'),
    });
    expect(await writer.append(request)).toMatchObject({ kind: 'unavailable' });
    await writer.close();
  });

  it('refuses after the close of an open whose file is not there to read', async () => {
    await expect(openSqliteEventLog({ directory }, { readOnly: true })).rejects.toBeInstanceOf(
      LogUnavailableError,
    );
  });
});

interface Appender {
  readonly pid: number | undefined;
  acknowledged(count: number): Promise<void>;
  /** SIGKILL; what it had acknowledged until then. */
  kill(): Promise<readonly string[]>;
}

function appendUntilKilled(directory: string, mode = 'thread'): Appender {
  const sources = ['.', '..', '../kit', '../testing'];
  const script = builtFile(import.meta.url, '../testing/append-until-killed.child.js', sources);
  const child = spawn(process.execPath, [script, directory, mode], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  let more = (): void => undefined;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    more();
  });
  // Only whole lines: the last one may have been cut by the kill.
  const lines = (): string[] => output.split('\n').slice(0, -1);
  const exited = once(child, 'close');
  return {
    pid: child.pid,
    acknowledged: async (count) => {
      const ended = exited.then(() => Promise.reject(new Error('the child ended by itself')));
      while (lines().length < count) {
        const arrived = new Promise<void>((resolve) => {
          more = resolve;
        });
        await Promise.race([arrived, ended]);
      }
      ended.catch(() => undefined);
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
      return lines();
    },
  };
}
