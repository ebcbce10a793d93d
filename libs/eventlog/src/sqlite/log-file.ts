import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
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
  openOrExplain(path, () => {
    writeAnew(`${path}-wal`);
  });
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

/**
 * Writes a WAL's bytes over themselves and syncs them. After a failed fsync the kernel keeps the pages and calls them
 * clean: they can be read, and the next fsync has nothing to write and succeeds. Only what is written again is written
 * (docs/adr/0013). Readers see the same bytes all the time. Safe to open beside SQLite: a WAL carries no locks.
 */
function writeAnew(wal: string): void {
  if (!existsSync(wal) || statSync(wal).size === 0) return;
  const file = openSync(wal, 'r+');
  try {
    const buffer = Buffer.alloc(COPY_BYTES);
    for (let at = 0; ;) {
      const read = readSync(file, buffer, 0, buffer.length, at);
      if (read === 0) break;
      for (let written = 0; written < read;) {
        written += writeSync(file, buffer, written, read - written, at + written);
      }
      at += read;
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

const COPY_BYTES = 1024 * 1024;

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
  // A file that takes longer than a moment to read through is checked at its end, and by the scrub while it serves.
  if (statSync(path).size <= CHECKED_WHOLE) {
    const found = quickCheck(db);
    if (found !== 'ok') throw corrupt(path, found);
  }
  const row = db
    .prepare(
      `SELECT count(*) AS events, max(tree_size) - min(tree_size) + 1 AS span, min(tree_size) AS first
       FROM (SELECT tree_size FROM events ORDER BY tree_size DESC LIMIT ${CHECKED_EVENTS})`,
    )
    .get();
  const events = Number(row?.['events']);
  if (events > 0 && (events !== row?.['span'] || (events < CHECKED_EVENTS && row['first'] !== 1))) {
    throw corrupt(path, `events are missing among the last ${CHECKED_EVENTS}`);
  }
}

/**
 * It also computes `recorded_at`, which fails on a record that is no JSON any more. That is one altered event, for whoever
 * reads it and for the scrub to find, and no damaged database.
 */
function quickCheck(db: SqlDatabase): string {
  try {
    return String(db.prepare('PRAGMA quick_check(1)').get()?.['quick_check']);
  } catch (error) {
    if (messageOf(error).includes('malformed JSON')) return 'ok';
    throw error;
  }
}

/** Bytes a start reads through; about a quarter of a second. */
const CHECKED_WHOLE = 64 * 1024 * 1024;
/** Newest events a start counts. */
const CHECKED_EVENTS = 10_000;

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
  // The statements are ours and fixed: where they do not fit the tables, the tables are not ours any more.
  if (failure === 'corrupt' || failure === 'logic') return corrupt(path, message);
  if (failure === 'other' && !isFileError(error)) return error;
  return new LogUnavailableError(`${path} cannot be used: ${message}`, { cause: error });
}

/** What `node:fs` says of a file it cannot use; its errors may be of another realm (jest). */
function isFileError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'syscall' in error && 'errno' in error;
}

function corrupt(path: string, problem: string): LogCorruptError {
  return new LogCorruptError(corruptMessage(path, problem));
}

export function corruptMessage(path: string, problem: string): string {
  // SQLite's own words may run over several lines.
  const said = problem.replaceAll(/\s+/g, ' ');
  return `${path} is damaged (${said}). Writes are refused. Keep the file, see keyturn doctor, and restore the last backup.`;
}

function syncPath(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
