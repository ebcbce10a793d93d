import { closeSync, fsyncSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { backup, DatabaseSync } from '@photostructure/sqlite';
import { LogCorruptError } from '../event-log.js';
import { openDatabase, type SqlRow, type SqlValue } from './driver.js';
import { checkVersion, openOrExplain } from './log-file.js';
import { LOG_FILE } from './sqlite-event-log.js';

/** One moment of a database others go on writing to: what is asked of it and what is copied of it is that moment's. */
export interface Snapshot {
  /** How large the copy will be. */
  readonly bytes: number;
  all(sql: string, ...values: SqlValue[]): SqlRow[];
  /**
   * Copies it to a file that MUST NOT exist, 0600, one file without a WAL beside it, its pages checked; returns when it
   * is on disk.
   */
  copyTo(path: string, onProgress: (bytesDone: number) => void): Promise<void>;
  release(): void;
}

/** Enough for a progress bar to move and little enough to leave the disk to others. */
const PAGES_A_STEP = 500;

/**
 * Pins a database as it is now, without any lock of ours: writers go on, readers too, and only the WAL is not cut for as
 * long as the snapshot is held. SQLite's own backup copies it page by page (sqlite.org/backup.html); inside an open read
 * transaction it sees that transaction's moment and is never begun anew, however much is written meanwhile.
 */
export function openSnapshot(path: string): Snapshot {
  return openOrExplain(path, () => {
    const db = new DatabaseSync(path, { readOnly: true });
    try {
      db.exec('PRAGMA busy_timeout=5000; PRAGMA trusted_schema=OFF; PRAGMA mmap_size=0; BEGIN');
      // The transaction begins with its first read.
      const size = pragma(db, 'page_count') * pragma(db, 'page_size');
      return new PinnedSnapshot(path, db, size);
    } catch (error) {
      db.close();
      throw error;
    }
  });
}

/** The embedded log, pinned. */
export interface LogSnapshot extends Snapshot {
  readonly treeSize: number;
  /** RFC 3339; of the newest event. */
  readonly newestRecordedAt: string;
}

/** Pins the log in a folder; refuses what is no log and what a newer Keyturn wrote. */
export function openLogSnapshot(directory: string): LogSnapshot {
  const path = join(directory, LOG_FILE);
  const snapshot = openSnapshot(path);
  try {
    openOrExplain(path, () => {
      checkVersion({ pragma: (name) => Number(snapshot.all(`PRAGMA ${name}`)[0]?.[name]) }, path);
    });
    const [newest] = snapshot.all(
      `SELECT tree_size, recorded_at FROM events ORDER BY tree_size DESC LIMIT 1`,
    );
    return Object.assign(snapshot, {
      treeSize: Number(newest?.['tree_size'] ?? 0),
      newestRecordedAt: String(newest?.['recorded_at'] ?? ''),
    });
  } catch (error) {
    snapshot.release();
    throw error;
  }
}

/** A copy has its source's WAL mode in its header; alone it needs none. Then every page is looked at. */
function finishCopy(path: string): void {
  const db = openDatabase(path, { journal: 'DELETE' });
  try {
    const found = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
    if (found !== 'ok') {
      throw new LogCorruptError(
        `What was copied to ${path} is damaged (${String(found)}), and so is its source: run verify on that, and restore an earlier backup`,
      );
    }
  } finally {
    db.close();
  }
}

type Connection = InstanceType<typeof DatabaseSync>;

class PinnedSnapshot implements Snapshot {
  // Kept for as long as a copy runs: the binding crashes when a database is collected before what uses it.
  readonly #db: Connection;

  constructor(
    readonly path: string,
    db: Connection,
    readonly bytes: number,
  ) {
    this.#db = db;
  }

  all(sql: string, ...values: SqlValue[]): SqlRow[] {
    // The binding's rows are what the seam calls rows.
    return openOrExplain(this.path, () => this.#db.prepare(sql).all(...values) as SqlRow[]);
  }

  async copyTo(path: string, onProgress: (bytesDone: number) => void): Promise<void> {
    const pageSize = pragma(this.#db, 'page_size');
    // Made first, so that it never stands there with wider rights.
    closeSync(openSync(path, 'wx', 0o600));
    await backup(this.#db, path, {
      rate: PAGES_A_STEP,
      progress: ({ totalPages, remainingPages }) => {
        onProgress((totalPages - remainingPages) * pageSize);
      },
    });
    const copied = statSync(path).size;
    if (copied !== this.bytes) throw new Error(`${path} has ${copied} bytes, wanted ${this.bytes}`);
    finishCopy(path);
    const file = openSync(path, 'r');
    try {
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    onProgress(this.bytes);
  }

  release(): void {
    if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
    this.#db.close();
  }
}

function pragma(db: Connection, name: string): number {
  const row: unknown = db.prepare(`PRAGMA ${name}`).get();
  return Number(typeof row === 'object' && row !== null ? Object.values(row)[0] : undefined);
}
