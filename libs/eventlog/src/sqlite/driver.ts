import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync } from '@photostructure/sqlite';

/**
 * The driver seam: everything Keyturn knows of SQLite stands here, so that another binding with the API of
 * `node:sqlite` can take its place (docs/adr/0003).
 */

export type SqlValue = string | number | bigint | Uint8Array | null;
export type SqlRow = Readonly<Record<string, SqlValue>>;

export interface SqlStatement {
  run(...values: SqlValue[]): { readonly changes: number | bigint };
  get(...values: SqlValue[]): SqlRow | undefined;
  all(...values: SqlValue[]): SqlRow[];
  iterate(...values: SqlValue[]): IterableIterator<SqlRow>;
}

/** Rows as arrays, in the order of the columns. */
export interface SqlRowStatement {
  all(...values: SqlValue[]): readonly (readonly SqlValue[])[];
}

export interface SqlDatabase {
  readonly path: string;
  exec(sql: string): void;
  /** Prepared once per text and kept, together with the database, for as long as this object lives. */
  prepare(sql: string): SqlStatement;
  /** The same for reading much: a row without names costs less than half of one with. */
  prepareRows(sql: string): SqlRowStatement;
  /** BEGIN IMMEDIATE … COMMIT; rolled back when `work` throws. Not to be nested. */
  transaction<T>(work: () => T): T;
  /** Whether a transaction is open. */
  inTransaction(): boolean;
  /**
   * No call works after it. The binding cannot finalize statements: file and WAL are let go of only when they have
   * been collected, so what must be in the file itself is checkpointed before.
   */
  close(): void;
}

export interface OpenOptions {
  /** Readers only look: SQLite refuses them every write. */
  readonly readOnly?: boolean;
  /** `FULL` (one fsync a commit, the default) or `NORMAL` for what is disposable. */
  readonly synchronous?: 'FULL' | 'NORMAL';
  /** `WAL` unless told; `DELETE` for a file that only holds a lock. */
  readonly journal?: 'WAL' | 'DELETE';
  /** How long a call waits for somebody else's lock; 5 s unless told. */
  readonly busyTimeoutMs?: number;
}

/** 3.51.3 mends the WAL-reset bug (sqlite.org/wal.html, 2026-03-13). */
const OLDEST_SQLITE = [3, 51, 3] as const;

/** Opens a database in WAL with the settings Keyturn relies on, and asserts that they hold. */
export function openDatabase(path: string, options: OpenOptions = {}): SqlDatabase {
  const { readOnly = false, synchronous = 'FULL', journal = 'WAL', busyTimeoutMs = 5000 } = options;
  if (!readOnly && path !== ':memory:') keepPrivate(path);
  const db = new DatabaseSync(path, { readOnly });
  const statements = new Map<string, SqlStatement>();
  const rowStatements = new Map<string, SqlRowStatement>();
  try {
    db.exec(
      `PRAGMA busy_timeout=${busyTimeoutMs}; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0`,
    );
    assertVersion(String(only(db.prepare('SELECT sqlite_version() AS it').get())));
    if (!readOnly) {
      if (path !== ':memory:') db.exec(`PRAGMA journal_mode=${journal}`);
      db.exec(`PRAGMA synchronous=${synchronous}; PRAGMA wal_autocheckpoint=1000`);
      const wanted = synchronous === 'FULL' ? 2 : 1;
      const level = only(db.prepare('PRAGMA synchronous').get());
      if (level !== wanted) throw new Error(`PRAGMA synchronous reads ${String(level)}, wanted ${wanted}`);
    }
  } catch (error) {
    db.close();
    throw error;
  }
  return {
    path,
    exec: (sql) => {
      db.exec(sql);
    },
    prepare: (sql) => {
      let statement = statements.get(sql);
      if (statement === undefined) {
        statement = db.prepare(sql);
        statements.set(sql, statement);
      }
      return statement;
    },
    prepareRows: (sql) => {
      let statement = rowStatements.get(sql);
      if (statement === undefined) {
        const made = db.prepare(sql);
        made.setReturnArrays(true);
        statement = {
          all: (...values) => {
            const rows: SqlValue[][] = made.all(...values);
            return rows;
          },
        };
        rowStatements.set(sql, statement);
      }
      return statement;
    },
    transaction: (work) => {
      db.exec('BEGIN IMMEDIATE');
      try {
        const result = work();
        db.exec('COMMIT');
        return result;
      } catch (error) {
        if (db.isTransaction) db.exec('ROLLBACK');
        throw error;
      }
    },
    inTransaction: () => db.isTransaction,
    close: () => {
      statements.clear();
      rowStatements.clear();
      db.close();
    },
  };
}

/**
 * For the owner only, like its folder, since a file may be copied out of it. SQLite gives what it makes beside a file
 * (journal, WAL) the file's own mode. An existing file is never opened here: closing it would drop SQLite's locks.
 */
function keepPrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
    return;
  } catch {
    // It is there, or cannot be made: then SQLite says why.
  }
  for (const suffix of ['', '-wal', '-shm']) {
    try {
      chmodSync(path + suffix, 0o600);
    } catch {
      // Not there, or somebody else's: what it may be used for is not decided here.
    }
  }
}

function only(row: unknown): unknown {
  return typeof row === 'object' && row !== null ? Object.values(row)[0] : undefined;
}

function assertVersion(version: string): void {
  const parts = version.split('.').map(Number);
  for (const [index, wanted] of OLDEST_SQLITE.entries()) {
    const part = parts[index] ?? 0;
    if (part > wanted) return;
    if (part < wanted) throw new Error(`SQLite ${version} is older than ${OLDEST_SQLITE.join('.')}`);
  }
}
