import { NO_STREAM } from '../event-log.js';
import type { SqlDatabase, SqlRow } from './driver.js';
import { messageOf, sqlFailure } from './failure.js';
import { corruptMessage } from './log-file.js';

/** One event on its way to the writer: plain data, since it crosses to a worker thread. */
export interface WrittenEvent {
  readonly revision: number;
  readonly id: string;
  readonly type: string;
  readonly record: string;
  readonly body: string;
  readonly leaf: string;
}

export interface AppendRequest {
  readonly stream: string;
  readonly expected: number;
  readonly events: readonly WrittenEvent[];
}

export type AppendOutcome =
  | {
      readonly kind: 'stored';
      readonly outcome: 'appended' | 'repeated';
      readonly revision: number;
      readonly treeSize: number;
    }
  | { readonly kind: 'wrong-revision'; readonly actual: number }
  | RefusedWrite;

export type RefusedWrite =
  /** `stopped`: not before Keyturn has been restarted. */
  | { readonly kind: 'unavailable'; readonly message: string; readonly stopped?: true }
  | { readonly kind: 'corrupt'; readonly message: string };

/** What a try to write nothing came to. */
export type ProbeOutcome = { readonly kind: 'written' } | RefusedWrite;

export interface WriterStatistics {
  /** Appends that were stored. */
  readonly appends: number;
  /** Transactions that stored them: one fsync each. */
  readonly commits: number;
  /** The most appends one transaction has stored. */
  readonly largestGroup: number;
  /** `PRAGMA synchronous` of the writing connection; 2 is FULL. */
  readonly synchronous: number;
}

/** More waits for the next transaction, so that the first of them is not kept waiting for the last. */
export const LARGEST_GROUP = 512;

/** Ends of streams that are remembered: about 2 MB of names. */
const MOST_HEADS = 20_000;

/**
 * The one writer of a log file. Synchronous; runs in its worker thread, or on the calling thread where told so.
 * What is handed over together is stored in one transaction with one fsync, each append checked for itself.
 */
export class Writer {
  readonly #db: SqlDatabase;
  readonly #synchronous: number;
  /** Where streams end, as this one writer of the file left them; forgotten with everything it could not commit. */
  readonly #heads = new Map<string, number>();
  #stopped: RefusedWrite | undefined;
  #appends = 0;
  #commits = 0;
  #largestGroup = 0;

  constructor(db: SqlDatabase) {
    this.#db = db;
    this.#synchronous = Number(db.prepare('PRAGMA synchronous').get()?.['synchronous']);
  }

  statistics(): WriterStatistics {
    return {
      appends: this.#appends,
      commits: this.#commits,
      largestGroup: this.#largestGroup,
      synchronous: this.#synchronous,
    };
  }

  /** Stores a group; the outcomes stand in the order of the requests and are on disk when this returns. */
  commit(requests: readonly AppendRequest[]): AppendOutcome[] {
    if (this.#stopped !== undefined) return answerAll(requests, this.#stopped);
    let outcomes: AppendOutcome[];
    try {
      this.#db.exec('BEGIN IMMEDIATE');
      let size = this.#size();
      outcomes = requests.map((request) => {
        const outcome = this.#append(request, size);
        if (isAppended(outcome)) size = outcome.treeSize;
        return outcome;
      });
    } catch (error) {
      this.#rollBack();
      // No fault of the disk, so one of the group is to blame: alone it fails alone.
      if (['other', 'logic'].includes(sqlFailure(error)) && requests.length > 1) {
        return requests.flatMap((request) => this.commit([request]));
      }
      return answerAll(requests, this.#failed(error, 'nothing was written'));
    }
    try {
      this.#db.exec('COMMIT');
    } catch (error) {
      const outcome = this.#failedCommit(error);
      this.#rollBack();
      return answerAll(requests, outcome);
    }
    const stored = outcomes.filter(isAppended).length;
    if (stored > 0) {
      this.#appends += stored;
      this.#commits += 1;
      this.#largestGroup = Math.max(this.#largestGroup, stored);
    }
    return outcomes;
  }

  /**
   * Writes a page as it is, through the same file and with the same fsync as an append: whether there is space again can
   * only be told by trying, and who is told "not ready" sends nothing to try with.
   */
  probe(): ProbeOutcome {
    if (this.#stopped !== undefined) return this.#stopped;
    try {
      this.#db.exec('BEGIN IMMEDIATE');
      const version = Number(this.#db.prepare('PRAGMA user_version').get()?.['user_version']);
      this.#db.exec(`PRAGMA user_version=${version}`);
    } catch (error) {
      this.#rollBack();
      return this.#failed(error, 'nothing was to be written');
    }
    try {
      this.#db.exec('COMMIT');
      return { kind: 'written' };
    } catch (error) {
      const outcome = this.#failedCommit(error);
      this.#rollBack();
      return outcome;
    }
  }

  /** Moves the WAL into the file and cuts it to nothing. Never waits: a reader in the way means later. */
  checkpoint(): void {
    if (this.#stopped !== undefined) return;
    try {
      this.#db.exec('PRAGMA busy_timeout=0; PRAGMA wal_checkpoint(TRUNCATE)');
    } catch (error) {
      if (sqlFailure(error) === 'io' || sqlFailure(error) === 'corrupt') this.#failedCommit(error);
    } finally {
      this.#db.exec('PRAGMA busy_timeout=5000');
    }
  }

  close(): void {
    this.checkpoint();
    this.#stopped ??= { kind: 'unavailable', message: 'the log is closed', stopped: true };
    this.#db.close();
  }

  #append({ stream, expected, events }: AppendRequest, size: number): AppendOutcome {
    const find = this.#db.prepare('SELECT tree_size, stream, revision, leaf FROM events WHERE id = ?');
    const known = events.map(({ id }) => find.get(id));
    const isNew = known.every((row) => row === undefined);
    const repeated = isNew ? undefined : repeatedOf(stream, events, known);
    if (repeated !== undefined) return repeated;
    const actual = this.#revision(stream);
    if (actual !== expected || !isNew) return { kind: 'wrong-revision', actual };
    const insert = this.#db.prepare(
      'INSERT INTO events (tree_size, stream, revision, id, type, record, body, leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    );
    let treeSize = size;
    for (const { revision, id, type, record, body, leaf } of events) {
      treeSize += 1;
      insert.run(treeSize, stream, revision, id, type, record, body, Buffer.from(leaf, 'hex'));
    }
    if (this.#heads.size === MOST_HEADS) this.#heads.clear();
    this.#heads.set(stream, expected + events.length);
    return { kind: 'stored', outcome: 'appended', revision: expected + events.length, treeSize };
  }

  #revision(stream: string): number {
    const head = this.#heads.get(stream);
    if (head !== undefined) return head;
    const row = this.#db.prepare('SELECT max(revision) AS revision FROM events WHERE stream = ?').get(stream);
    const revision = row?.['revision'];
    return typeof revision === 'number' ? revision : NO_STREAM;
  }

  #size(): number {
    return Number(this.#db.prepare('SELECT coalesce(max(tree_size), 0) AS size FROM events').get()?.['size']);
  }

  #rollBack(): void {
    this.#heads.clear();
    try {
      if (this.#db.inTransaction()) this.#db.exec('ROLLBACK');
    } catch (error) {
      this.#stopped ??= this.#stop(`it could not be rolled back: ${messageOf(error)}`);
    }
  }

  #failedCommit(error: unknown): RefusedWrite {
    // After a failed fsync the kernel may call the pages clean: a second try would be believed and lie. So: stop.
    if (sqlFailure(error) === 'io') this.#stopped = this.#stop(`the disk failed: ${messageOf(error)}`);
    return this.#stopped ?? this.#failed(error, 'whether it was written is not known');
  }

  #failed(error: unknown, consequence: string): RefusedWrite {
    const message = messageOf(error);
    if (sqlFailure(error) === 'corrupt') {
      this.#stopped = { kind: 'corrupt', message: corruptMessage(this.#db.path, message) };
      return this.#stopped;
    }
    return {
      kind: 'unavailable',
      message: `${this.#db.path} could not be written (${message}); ${consequence}`,
    };
  }

  #stop(why: string): RefusedWrite {
    return {
      kind: 'unavailable',
      stopped: true,
      message: `${this.#db.path}: ${why}. What was being written is unknown until Keyturn has been restarted.`,
    };
  }
}

/** The very same events, all of them, where they stand: nothing to write. */
function repeatedOf(
  stream: string,
  events: readonly WrittenEvent[],
  known: readonly (SqlRow | undefined)[],
): AppendOutcome | undefined {
  let last: { revision: number; treeSize: number } | undefined;
  for (const [index, { revision, leaf }] of events.entries()) {
    const row = known[index];
    if (row?.['stream'] !== stream || row['revision'] !== revision || hexOf(row['leaf']) !== leaf)
      return undefined;
    last = { revision, treeSize: Number(row['tree_size']) };
  }
  return last === undefined ? undefined : { kind: 'stored', outcome: 'repeated', ...last };
}

/** Lower-case hex of a stored hash; empty where the column holds none. */
export function hexOf(value: SqlRow[string] | undefined): string {
  return value instanceof Uint8Array
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')
    : '';
}

function isAppended(outcome: AppendOutcome): outcome is AppendOutcome & { kind: 'stored' } {
  return outcome.kind === 'stored' && outcome.outcome === 'appended';
}

function answerAll(requests: readonly AppendRequest[], outcome: AppendOutcome): AppendOutcome[] {
  return requests.map(() => outcome);
}
