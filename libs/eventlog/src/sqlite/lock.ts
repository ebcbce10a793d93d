import { LogCorruptError, LogLockedError } from '../event-log.js';
import { openDatabase, type SqlDatabase } from './driver.js';
import { sqlFailure } from './failure.js';
import { explain } from './log-file.js';

/** Held until released or until the process is gone, however it went. */
export interface LogLock {
  release(): void;
}

/** Long enough for another opener's few milliseconds of looking; short enough to be "at once". */
const PATIENCE_MS = 250;

/**
 * Locks a log by a second SQLite file with an open write transaction, so that others can still read the log itself.
 * The operating system gives it back when the process dies. The file is never opened in any other way: closing any
 * descriptor of it would drop this process's lock without a word (fcntl).
 */
export function takeLock(path: string): LogLock {
  let db: SqlDatabase | undefined;
  try {
    db = openDatabase(path, { journal: 'DELETE', busyTimeoutMs: PATIENCE_MS });
    const held = db;
    held.transaction(() => {
      held.exec('CREATE TABLE IF NOT EXISTS holder (pid INTEGER NOT NULL) STRICT; DELETE FROM holder');
      held.prepare('INSERT INTO holder VALUES (?)').run(process.pid);
    });
    held.exec('BEGIN IMMEDIATE');
    return {
      release: () => {
        held.exec('ROLLBACK');
        held.close();
      },
    };
  } catch (error) {
    const holder = db === undefined ? undefined : holderOf(db);
    db?.close();
    const failure = sqlFailure(error);
    if (failure === 'busy') {
      const who = holder === undefined ? 'another process' : `process ${holder}`;
      throw new LogLockedError(`${path} is held by ${who}: one process at a time may write this log`);
    }
    if (failure === 'corrupt' || failure === 'logic') {
      throw new LogCorruptError(
        `${path} is no lock file; where no other Keyturn runs on it, delete it and start again`,
      );
    }
    throw explain(path, error);
  }
}

/** The process that wrote its name last; only for the message. */
function holderOf(db: SqlDatabase): number | undefined {
  try {
    const pid = db.prepare('SELECT pid FROM holder').get()?.['pid'];
    return typeof pid === 'number' ? pid : undefined;
  } catch {
    return undefined;
  }
}
