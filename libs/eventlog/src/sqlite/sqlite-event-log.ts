import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as breath } from 'node:timers/promises';
import { bodyTextOf, checkAppend } from '../check-append.js';
import {
  LogCorruptError,
  LogUnavailableError,
  WrongExpectedRevisionError,
  type AppendResult,
  type EventLog,
  type ExpectedRevision,
  type IntegrityFailure,
  type LoggedEvent,
  type ReadAllOptions,
  type ReadStreamOptions,
  type SealedEvent,
  type StreamId,
  type SubscribeOptions,
  type Subscription,
} from '../event-log.js';
import { openDatabase, type SqlDatabase, type SqlRow, type SqlValue } from './driver.js';
import {
  checkLogFile,
  checkVersion,
  createLogFile,
  createSchema,
  openOrExplain,
  pragmasOf,
} from './log-file.js';
import { takeLock, type LogLock } from './lock.js';
import { InlineWriter, ThreadWriter, type LogWriter } from './writer-thread.js';
import { type AppendOutcome, type ProbeOutcome, type RefusedWrite, type WriterStatistics } from './writer.js';

/** The log's file in its folder. */
export const LOG_FILE = 'log.sqlite';

/** The lock's file beside it. */
export const LOCK_FILE = 'log.lock';

/** Most events in one batch of a subscription and one page of a read. */
export const PAGE_SIZE = 500;

/** A folder (made with mode 0700 where it is missing), or memory that is gone with the log. */
export type SqliteLogPlace = { readonly directory: string } | { readonly memory: true };

export interface SqliteLogOptions {
  /** Write on the calling thread: for tests and crash children. In memory it is always so. */
  readonly inline?: boolean;
  /** Beside a running Keyturn, without the lock: appends are refused. */
  readonly readOnly?: boolean;
  /** How long nothing must have been written before the WAL is cut; 3 s unless told. */
  readonly idleCheckpointMs?: number;
  /** How long after a refused write it is tried whether writing works again; 1 s unless told. */
  readonly probeMs?: number;
}

/**
 * Opens the embedded log, and makes it where there is none. Refuses one that another process holds
 * (`LogLockedError`), that a newer Keyturn wrote (`LogTooNewError`) or that is damaged (`LogCorruptError`).
 */
export async function openSqliteEventLog(
  place: SqliteLogPlace,
  options: SqliteLogOptions = {},
): Promise<SqliteEventLog> {
  const { inline = false, readOnly = false, idleCheckpointMs = 3000 } = options;
  if (!('directory' in place)) {
    const db = openDatabase(':memory:');
    createSchema(db);
    return new SqliteEventLog(db, new InlineWriter(db));
  }
  const path = join(place.directory, LOG_FILE);
  if (readOnly) return new SqliteEventLog(openReader(path));
  mkdirSync(place.directory, { recursive: true, mode: 0o700 });
  const lock = takeLock(join(place.directory, LOCK_FILE));
  let reader: SqlDatabase | undefined;
  try {
    openOrExplain(path, () => createLogFile(path));
    checkLogFile(path);
    reader = openReader(path);
    const writer = inline
      ? new InlineWriter(openDatabase(path))
      : await ThreadWriter.start({ path, idleCheckpointMs });
    return new SqliteEventLog(reader, writer, lock, options.probeMs);
  } catch (error) {
    reader?.close();
    lock.release();
    throw error;
  }
}

function openReader(path: string): SqlDatabase {
  return openOrExplain(path, () => {
    const db = openDatabase(path, { readOnly: true });
    try {
      checkVersion(pragmasOf(db), path);
    } catch (error) {
      db.close();
      throw error;
    }
    return db;
  });
}

/** As `toLogged` takes them. A body is read as the bytes it is, a leaf as it is compared. */
const COLUMNS = 'tree_size, stream, revision, id, type, record, CAST(body AS BLOB), lower(hex(leaf))';

type RefusedAppend = Exclude<AppendOutcome, { kind: 'stored' }>;

/** The event log in one SQLite file. */
export class SqliteEventLog implements EventLog {
  // Kept for as long as its statements: the binding crashes when a database is collected before them.
  readonly #reader: SqlDatabase;
  readonly #writer: LogWriter | undefined;
  readonly #lock: LogLock | undefined;
  readonly #feeds = new Set<Feed>();
  readonly #ends = new KnownEnds();
  readonly #probeMs: number;
  #refused: RefusedWrite | undefined;
  #nextProbe: NodeJS.Timeout | undefined;
  #underWay = 0;
  #drained: (() => void) | undefined;
  #broken: LogCorruptError | undefined;
  #closing: Promise<void> | undefined;

  /** Made by `openSqliteEventLog`. */
  constructor(reader: SqlDatabase, writer?: LogWriter, lock?: LogLock, probeMs = 1000) {
    this.#reader = reader;
    this.#writer = writer;
    this.#lock = lock;
    this.#probeMs = probeMs;
  }

  /**
   * Why nothing can be stored: `undefined` while it can. What passes by itself is tried again until it works, without
   * waiting for somebody's append.
   */
  trouble(): string | undefined {
    return this.#broken?.message ?? this.#refused?.message;
  }

  /** How the writer has grouped; all zero where there is none. */
  get statistics(): WriterStatistics {
    return this.#writer?.statistics() ?? { appends: 0, commits: 0, largestGroup: 0, synchronous: 0 };
  }

  async append(
    stream: StreamId,
    expected: ExpectedRevision,
    events: readonly SealedEvent[],
  ): Promise<AppendResult> {
    checkAppend(stream, expected, events);
    const request = {
      stream,
      expected,
      events: events.map((event) => ({
        revision: event.revision,
        id: event.id,
        type: event.type,
        record: event.record,
        body: bodyTextOf(event),
        leaf: event.leaf,
      })),
    };
    this.#assertOpen();
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#writer === undefined) throw readingOnly();
    this.#underWay += 1;
    try {
      const outcome = await this.#writer.append(request);
      this.#note(outcome);
      this.#ends.settle(stream, outcome);
      if (outcome.kind !== 'stored') throw this.#errorOf(outcome, stream, expected);
      for (const feed of this.#feeds) feed.wake();
      return { outcome: outcome.outcome, revision: outcome.revision, treeSize: outcome.treeSize };
    } finally {
      this.#underWay -= 1;
      if (this.#underWay === 0) this.#drained?.();
    }
  }

  readStream(stream: StreamId, options: ReadStreamOptions = {}): AsyncIterable<LoggedEvent> {
    // Asked by whoever decides next on a stream just appended to; nobody else writes this file.
    if (this.#writer !== undefined && this.#ends.isEnd(stream, (options.from ?? 0) - 1)) {
      this.#assertOpen();
      return nothing();
    }
    const sql = `SELECT ${COLUMNS} FROM events WHERE stream = ? AND revision >= ? ORDER BY revision LIMIT ?`;
    return this.#read(
      options.limit,
      options.from ?? 0,
      (from, limit) => this.#page(sql, stream, from, limit),
      nextRevision,
    );
  }

  readAll(options: ReadAllOptions = {}): AsyncIterable<LoggedEvent> {
    return this.#read(
      options.limit,
      options.after ?? 0,
      (after, limit) => this.#after(after, limit),
      treeSizeOf,
    );
  }

  subscribe(options: SubscribeOptions): Subscription {
    const feed = new Feed(options, (after) => this.#after(after, PAGE_SIZE));
    if (this.#closing !== undefined) feed.fail(closed());
    this.#feeds.add(feed);
    const ended = feed.run().finally(() => this.#feeds.delete(feed));
    return {
      ended,
      stop: async () => {
        feed.stop();
        await ended.catch(() => undefined);
      },
    };
  }

  /**
   * Events after a tree size that a look-up does not find where they stand, by id or by stream and revision: an index that
   * does not say what the table says answers "not there" for what is stored. For the scrub.
   */
  // oxlint-disable-next-line typescript/require-await -- so that a failure is a rejection
  async misfiled(after: number, limit: number): Promise<readonly IntegrityFailure[]> {
    // A `+` keeps the planner from answering by the row's own key, which would compare the row with itself.
    const rows = this.#query(
      `SELECT tree_size, stream, revision,
         NOT EXISTS (SELECT 1 FROM events x WHERE x.id = e.id AND +x.tree_size = e.tree_size) AS by_id,
         NOT EXISTS (SELECT 1 FROM events x WHERE x.stream = e.stream AND x.revision = e.revision
           AND +x.tree_size = e.tree_size) AS by_place
       FROM events e WHERE tree_size > ? AND tree_size <= ? AND (by_id OR by_place)`,
      after,
      after + limit,
    );
    return rows.map((row) => ({
      stream: String(row['stream']),
      revision: Number(row['revision']),
      treeSize: Number(row['tree_size']),
      what: row['by_id'] === 1 ? 'its id does not lead to it' : 'its place in its stream does not lead to it',
    }));
  }

  // oxlint-disable-next-line typescript/require-await -- so that a failure is a rejection
  async treeSize(): Promise<number> {
    this.#assertOpen();
    const known = this.#writer === undefined ? undefined : this.#ends.treeSize;
    if (known !== undefined) return known;
    const rows = this.#query('SELECT coalesce(max(tree_size), 0) AS size FROM events');
    return Number(rows[0]?.['size']);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#nextProbe);
    for (const feed of this.#feeds) feed.stop();
    if (this.#underWay > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve;
      });
    }
    await this.#writer?.close();
    if (this.#reader.path !== ':memory:') this.#reader.close();
    this.#lock?.release();
  }

  /** Page by page, each one statement that is finished at once: no read transaction outlives an await. */
  async *#read(
    limit: number | undefined,
    start: number,
    page: (from: number, limit: number) => LoggedEvent[],
    next: (last: LoggedEvent) => number,
  ): AsyncGenerator<LoggedEvent> {
    let left = limit ?? Number.POSITIVE_INFINITY;
    let from = start;
    while (left > 0) {
      const size = Math.min(left, PAGE_SIZE);
      const events = page(from, size);
      yield* events;
      const last = events.at(-1);
      if (last === undefined || events.length < size) return;
      from = next(last);
      left -= events.length;
      // A long read must leave the event loop to the others.
      await breath();
    }
  }

  #after(after: number, limit: number): LoggedEvent[] {
    return this.#page(
      `SELECT ${COLUMNS} FROM events WHERE tree_size > ? ORDER BY tree_size LIMIT ?`,
      after,
      limit,
    );
  }

  #page(sql: string, ...values: readonly SqlValue[]): LoggedEvent[] {
    return this.#asked(() => this.#reader.prepareRows(sql).all(...values)).map(toLogged);
  }

  #query(sql: string, ...values: readonly SqlValue[]): SqlRow[] {
    return this.#asked(() => this.#reader.prepare(sql).all(...values));
  }

  #asked<T>(ask: () => T): T {
    this.#assertOpen();
    try {
      return openOrExplain(this.#reader.path, ask);
    } catch (error) {
      throw error instanceof LogCorruptError ? this.#breakWith(error) : error;
    }
  }

  /** A repeat and a wrong revision wrote nothing, so they say nothing. */
  #note(outcome: AppendOutcome | ProbeOutcome): void {
    if (outcome.kind === 'unavailable' || outcome.kind === 'corrupt') {
      this.#refused = outcome;
      if (outcome.kind === 'corrupt' || outcome.stopped === true) return;
      this.#nextProbe ??= setTimeout(() => void this.#probe(), this.#probeMs).unref();
    } else if (outcome.kind === 'written' || (outcome.kind === 'stored' && outcome.outcome === 'appended')) {
      this.#refused = undefined;
    }
  }

  async #probe(): Promise<void> {
    this.#nextProbe = undefined;
    if (this.#refused === undefined || this.#closing !== undefined || this.#writer === undefined) return;
    this.#note(await this.#writer.probe());
  }

  #errorOf(outcome: RefusedAppend, stream: StreamId, expected: ExpectedRevision): Error {
    if (outcome.kind === 'wrong-revision')
      return new WrongExpectedRevisionError(stream, expected, outcome.actual);
    if (outcome.kind === 'corrupt') return this.#breakWith(new LogCorruptError(outcome.message));
    return new LogUnavailableError(outcome.message);
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw closed();
  }

  /** What was found broken once is not written to again. */
  #breakWith(error: LogCorruptError): LogCorruptError {
    this.#broken ??= error;
    return this.#broken;
  }
}

/** Streams whose ends are remembered: about 2 MB of names. */
const MOST_ENDS = 20_000;

/**
 * Where the log and its streams end, as far as appends of this very log have said so: it holds the lock, so nobody else
 * moves them. An append whose outcome is not known makes both unknown again.
 */
class KnownEnds {
  readonly #revisions = new Map<string, number>();
  treeSize: number | undefined;

  isEnd(stream: StreamId, revision: number): boolean {
    return this.#revisions.get(stream) === revision;
  }

  settle(stream: StreamId, outcome: AppendOutcome): void {
    if (outcome.kind === 'unavailable' || outcome.kind === 'corrupt') {
      this.#revisions.clear();
      this.treeSize = undefined;
    }
    // A repeat stands somewhere in the middle.
    if (outcome.kind !== 'stored' || outcome.outcome === 'repeated') return;
    if (this.#revisions.size >= MOST_ENDS) this.#revisions.clear();
    this.#revisions.set(stream, outcome.revision);
    this.treeSize = Math.max(this.treeSize ?? 0, outcome.treeSize);
  }
}

async function* nothing(): AsyncGenerator<never> {
  yield* [];
}

/** One subscription: reads a page, waits for its handler, reads on; sleeps at the end until it is woken. */
class Feed {
  readonly #options: SubscribeOptions;
  readonly #page: (after: number) => LoggedEvent[];
  #after: number;
  #stopped = false;
  #failure: Error | undefined;
  #woken = false;
  #sleeper: (() => void) | undefined;

  constructor(options: SubscribeOptions, page: (after: number) => LoggedEvent[]) {
    this.#options = options;
    this.#page = page;
    this.#after = options.after;
  }

  wake(): void {
    this.#woken = true;
    this.#sleeper?.();
  }

  stop(): void {
    this.#stopped = true;
    this.wake();
  }

  fail(error: Error): void {
    this.#failure = error;
    this.stop();
  }

  async run(): Promise<void> {
    // The first batch comes after `subscribe` has returned.
    await breath();
    while (!this.#isStopped()) {
      this.#woken = false;
      const events = this.#page(this.#after);
      const last = events.at(-1);
      if (last === undefined) {
        this.#options.onCaughtUp?.();
        await this.#sleep();
        continue;
      }
      await this.#options.onEvents(events);
      this.#after = last.treeSize;
      if (events.length === PAGE_SIZE) await breath();
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  // A method, since the flag changes behind the loop's back.
  #isStopped(): boolean {
    return this.#stopped;
  }

  async #sleep(): Promise<void> {
    if (this.#woken) return;
    await new Promise<void>((resolve) => {
      this.#sleeper = resolve;
    });
    this.#sleeper = undefined;
    // What is acknowledged in the same turn is read with it.
    await breath();
  }
}

function toLogged([
  treeSize,
  stream,
  revision,
  id,
  type,
  record,
  body,
  leaf,
]: readonly SqlValue[]): LoggedEvent {
  return {
    treeSize: Number(treeSize),
    stream: String(stream),
    revision: Number(revision),
    id: String(id),
    type: String(type),
    record: String(record),
    body: body instanceof Uint8Array ? body : new Uint8Array(),
    leaf: String(leaf),
  };
}

const nextRevision = (last: LoggedEvent): number => last.revision + 1;
const treeSizeOf = (last: LoggedEvent): number => last.treeSize;

function closed(): LogUnavailableError {
  return new LogUnavailableError('the log is closed', { final: true });
}

function readingOnly(): LogUnavailableError {
  return new LogUnavailableError('the log was opened for reading only', { final: true });
}
