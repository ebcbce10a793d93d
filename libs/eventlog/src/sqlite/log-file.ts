import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { LogCorruptError, LogTooNewError, LogUnavailableError } from '../event-log.js';
import { openDatabase, type SqlDatabase } from './driver.js';
import { messageOf, sqlFailure } from './failure.js';

/** "KYTN": tells `file` and us whose database this is. */
const APPLICATION_ID = 0x4b59544e;

/** `user_version` of the log file. */
export const SCHEMA_VERSION = 1;

// record and body are text, so that any SQLite tool reads them; recorded_at is for such a reader only, and computed.
const SCHEMA = `
CREATE TABLE events (
  tree_size INTEGER PRIMARY KEY,
  stream TEXT NOT NULL,
  revision INTEGER NOT NULL,
  id TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  record TEXT NOT NULL,
  body TEXT NOT NULL,
  leaf BLOB NOT NULL CHECK (length(leaf) = 32),
  recorded_at TEXT GENERATED ALWAYS AS (record ->> '$.recordedAt') VIRTUAL,
  UNIQUE (stream, revision)
) STRICT;
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END;
PRAGMA application_id=${APPLICATION_ID};
PRAGMA user_version=${SCHEMA_VERSION};
`;

/** Makes the tables in a database that has none. */
export function createSchema(db: SqlDatabase): void {
  db.transaction(() => db.exec(SCHEMA));
}

/**
 * Makes the log file where there is none. It appears whole or not at all, so that an empty `log.sqlite` is never a
 * log that is being made: it is one that was cut. Call it under the lock.
 */
export function createLogFile(path: string): void {
  if (existsSync(path)) return;
  if (existsSync(`${path}-wal`) && statSync(`${path}-wal`).size > 0) {
    throw corrupt(path, 'it is gone, but its -wal is still there');
  }
  const fresh = `${path}.creating`;
  for (const suffix of ['', '-journal']) rmSync(`${fresh}${suffix}`, { force: true });
  // Without a WAL: the one file is all there is to rename.
  const db = openDatabase(fresh, { journal: 'DELETE' });
  try {
    createSchema(db);
  } finally {
    db.close();
  }
  syncPath(fresh);
  renameSync(fresh, path);
  syncPath(dirname(path));
}

/** Refuses a file that is no log, a newer one, and one that is damaged. Leaves everything in it durable. */
export function checkLogFile(path: string): void {
  if (statSync(path).size === 0) throw corrupt(path, 'it is empty');
  const db = openOrExplain(path, () => openDatabase(path));
  try {
    openOrExplain(path, () => {
      checkVersion(pragmasOf(db), path);
      checkPages(db, path);
      // A process killed between write and fsync leaves events that can be read but are not yet on disk. The
      // checkpoint syncs them, so that "already stored" is never answered for what a power cut could still take.
      db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    });
  } finally {
    db.close();
  }
}

/** Whose file it is, and which version; for a connection that only reads, too. */
export function checkVersion({ pragma }: { readonly pragma: (name: string) => number }, path: string): void {
  if (pragma('application_id') !== APPLICATION_ID) throw corrupt(path, 'it is not a Keyturn log');
  const version = pragma('user_version');
  if (version > SCHEMA_VERSION) {
    throw new LogTooNewError(
      `${path} has version ${version}; this Keyturn knows ${SCHEMA_VERSION}: use the newer one`,
    );
  }
  if (version !== SCHEMA_VERSION) throw corrupt(path, `its version reads ${version}`);
}

export function pragmasOf(db: SqlDatabase): { readonly pragma: (name: string) => number } {
  return { pragma: (name) => Number(db.prepare(`PRAGMA ${name}`).get()?.[name]) };
}

function checkPages(db: SqlDatabase, path: string): void {
  const found = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
  if (found !== 'ok') throw corrupt(path, String(found));
  const row = db
    .prepare('SELECT count(*) AS events, coalesce(max(tree_size), 0) AS tree_size FROM events')
    .get();
  if (row?.['events'] !== row?.['tree_size']) {
    throw corrupt(path, `it holds ${String(row?.['events'])} of ${String(row?.['tree_size'])} events`);
  }
}

/** Turns a failed call on the log file into the port's errors. */
export function openOrExplain<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw explain(path, error);
  }
}

/** What a failed call on one of the log's files is for its caller. */
export function explain(path: string, error: unknown): unknown {
  const message = messageOf(error);
  const failure = sqlFailure(error);
  if (failure === 'corrupt') return corrupt(path, message);
  if (failure === 'other') return error;
  return new LogUnavailableError(`${path} cannot be used: ${message}`, { cause: error });
}

function corrupt(path: string, problem: string): LogCorruptError {
  return new LogCorruptError(corruptMessage(path, problem));
}

export function corruptMessage(path: string, problem: string): string {
  return `${path} is damaged (${problem}). Writes are refused. Keep the file, run verify on it, and restore the last backup.`;
}

function syncPath(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
