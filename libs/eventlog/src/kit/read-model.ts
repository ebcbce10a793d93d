import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setImmediate as breath, setTimeout as delay } from 'node:timers/promises';
import { isNativeError } from 'node:util/types';
import { z } from 'zod';
import {
  EventLogError,
  LogIntegrityError,
  LogUnavailableError,
  type LoggedEvent,
  type Subscription,
} from '../event-log.js';
import type { RecordedEvent } from '../recorded-event.js';
import { messageOf, openDatabase, sqlFailure, type SqlDatabase } from '../sqlite/index.js';
import type { EventStore } from './event-store.js';

/**
 * One disposable read model: tables that are a fold of the log. Applied in the same transaction as the checkpoint.
 * MUST be deterministic over the ordered log; MUST NOT send, call or read anything else.
 */
export type Projection = ProjectionTerms & (FoldsEach | FoldsBatches);

interface ProjectionTerms {
  readonly name: string;
  /** Raised when the tables or the fold change: a mismatch rebuilds it. */
  readonly version: number;
  /** `CREATE TABLE …` statements; every table's name starts with the projection's name. */
  readonly schema: readonly string[];
  /**
   * A stream holds an event that is not what was written: nothing of it is folded from there on. For what must not go on
   * being allowed by rows that a lost event would have changed.
   */
  readonly quarantine?: (db: SqlDatabase, stream: string) => void;
}

interface FoldsEach {
  readonly apply: (db: SqlDatabase, event: RecordedEvent) => void;
}

/** For what writes a row once a batch, however many of its events are in it. MUST NOT depend on where a batch ends. */
interface FoldsBatches {
  readonly applyAll: (db: SqlDatabase, events: readonly RecordedEvent[]) => void;
}

export interface RebuildProgress {
  readonly done: number;
  readonly total: number;
}

/** Hosts the projections in one SQLite file, fed by a subscription. Made by `openReadModel(options)`. */
export interface ReadModel {
  /** For queries. Read only what the last transaction left; label answers with `treeSize()`. */
  readonly db: SqlDatabase;
  /**
   * Writes bookkeeping beside a projection's rows (a worker's next look at a row), in one transaction. As disposable as
   * the rows themselves: whoever writes it can do without it.
   */
  annotate<T>(work: (db: SqlDatabase) => T): T;
  /** The tree size up to which the tables are folded. */
  treeSize(): number;
  /** Resolves when (stream, revision) has been applied; rejects with `ReadModelBehindError` after `timeoutMs`. */
  waitFor(stream: string, revision: number, timeoutMs: number): Promise<void>;
  /** Called after each applied batch, outside the transaction; a throw in a listener never stops the feed. */
  onApplied(listener: (events: readonly RecordedEvent[]) => void): () => void;
  /** Resolves once everything stored at the call was applied. */
  caughtUp(): Promise<void>;
  /** Settled with the error when the feed stopped for good (an unknown event, a damaged log). */
  readonly failed: Promise<Error>;
  /** Why nothing can be folded for now, such as a full disk; it is tried again until it can. */
  trouble(): string | undefined;
  close(): Promise<void>;
}

/** The read model has not come as far as it was waited for. Maps to 503: nothing is lost, ask again. */
export class ReadModelBehindError extends EventLogError {
  readonly code = 'read-model.behind';
}

export interface ReadModelOptions {
  readonly store: EventStore;
  /** One file, or `:memory:`. Its folder must exist. */
  readonly path: string;
  readonly projections: readonly Projection[];
  /** At most this many events in one transaction; 500 unless told. */
  readonly batch?: number;
}

export interface RebuildOptions {
  readonly store: EventStore;
  /** MUST NOT be open anywhere. */
  readonly path: string;
  readonly projections: readonly Projection[];
  readonly onProgress?: (progress: RebuildProgress) => void;
}

const DEFAULT_BATCH = 500;

/**
 * A rebuild keeps nobody waiting: the more of an aggregate's events fall into one batch, the fewer times its row is read and
 * written. About 60 MB of opened events.
 */
const REBUILD_BATCH = 20_000;

/** Opens the read model and starts feeding it; does not wait for it to catch up (`caughtUp`). */
export async function openReadModel(options: ReadModelOptions): Promise<ReadModel> {
  const size = await options.store.log.treeSize();
  const tables = openTables(options, size);
  return new FedReadModel(options, tables);
}

/**
 * Folds the whole log into a new file beside the old one and puts it in its place only when it is on disk: killed at
 * any moment, the old one is still there and usable.
 */
export async function rebuildReadModel(options: RebuildOptions): Promise<void> {
  const { store, path, projections, onProgress } = options;
  const fresh = `${path}.rebuilding`;
  removeDatabase(fresh);
  const total = await store.log.treeSize();
  // Without a WAL: the one file is all there is to rename.
  const tables = openTables({ store, path: fresh, projections }, total, 'DELETE');
  try {
    onProgress?.({ done: 0, total });
    let batch: Unfolded[] = [];
    const flush = (): void => {
      tables.apply(batch);
      batch = [];
      onProgress?.({ done: tables.treeSize(), total });
    };
    for await (const logged of store.log.readAll({ limit: total })) {
      batch.push(decodeFor(store, logged));
      if (batch.length === REBUILD_BATCH) flush();
    }
    if (batch.length > 0) flush();
  } finally {
    tables.close();
  }
  syncPath(fresh);
  retire(path);
  renameSync(fresh, path);
  syncPath(dirname(path));
}

/** `user_version` of the file: raised when `keyturn_checkpoints` changes. */
const FORM = 1;

/** Streams that are not folded any further; where there is one, the next opening folds everything anew. */
const QUARANTINED = 'CREATE TABLE IF NOT EXISTS keyturn_quarantined (stream TEXT PRIMARY KEY) STRICT';

/** One row per projection, written in the transaction that writes its rows; `tables` is what it made, as JSON. */
const CHECKPOINTS = `CREATE TABLE IF NOT EXISTS keyturn_checkpoints (
  name TEXT PRIMARY KEY, version INTEGER NOT NULL, schema TEXT NOT NULL, tables TEXT NOT NULL,
  log_id TEXT NOT NULL, tree_size INTEGER NOT NULL
) STRICT`;

/** One event on its way to the tables; without `event` where it is not what was written. */
interface Unfolded {
  readonly stream: string;
  readonly treeSize: number;
  readonly event?: RecordedEvent;
}

function decodeFor(store: EventStore, logged: LoggedEvent): Unfolded {
  const { stream, treeSize } = logged;
  try {
    return { stream, treeSize, event: store.decode(logged) };
  } catch (error) {
    if (error instanceof LogIntegrityError) return { stream, treeSize };
    throw error;
  }
}

interface FoldedProjection {
  readonly projection: Projection;
  treeSize: number;
}

/** The projections' tables in one file, with their checkpoints. Knows nothing of a feed. */
class ProjectionTables {
  readonly #folded: readonly FoldedProjection[];
  readonly #quarantined = new Set<string>();
  #applied: number;

  constructor(
    readonly db: SqlDatabase,
    projections: readonly Projection[],
    logId: string,
    logSize: number,
  ) {
    db.exec(`${CHECKPOINTS};${QUARANTINED}`);
    this.#folded = db.transaction(() => {
      // The log may have been restored since: what is still not what was written will be met again.
      const changes = Number(db.prepare('DELETE FROM keyturn_quarantined').run().changes);
      dropStrangers(db, changes === 0 ? projections : []);
      return projections.map((projection) => prepareProjection(db, projection, logId, logSize));
    });
    this.#applied = Math.min(...this.#folded.map((each) => each.treeSize));
    if (this.#folded.length === 0) this.#applied = 0;
  }

  /** The tree size every projection has reached. */
  treeSize(): number {
    return this.#applied;
  }

  /**
   * Folds what follows `treeSize()`; each projection passes over what it has already seen. A stream that holds an event
   * that is not what was written is left out from there on: one bad event must not stop an emergency elsewhere.
   */
  apply(batch: readonly Unfolded[]): RecordedEvent[] {
    const [first] = batch;
    const last = batch.at(-1);
    if (first === undefined || last === undefined) return [];
    const fresh = new Set<string>();
    const events = batch.flatMap(({ stream, event }) => {
      if (event === undefined && !this.#quarantined.has(stream)) fresh.add(stream);
      return event === undefined || fresh.has(stream) || this.#quarantined.has(stream) ? [] : [event];
    });
    this.db.transaction(() => {
      const advance = this.db.prepare('UPDATE keyturn_checkpoints SET tree_size = ? WHERE name = ?');
      for (const { projection, treeSize } of this.#folded) {
        if (treeSize >= last.treeSize) continue;
        const unseen = treeSize < first.treeSize ? events : events.filter((each) => each.treeSize > treeSize);
        if ('applyAll' in projection) projection.applyAll(this.db, unseen);
        else for (const event of unseen) projection.apply(this.db, event);
        for (const stream of fresh) projection.quarantine?.(this.db, stream);
        advance.run(last.treeSize, projection.name);
      }
      const keep = this.db.prepare('INSERT OR IGNORE INTO keyturn_quarantined VALUES (?)');
      for (const stream of fresh) keep.run(stream);
    });
    for (const stream of fresh) this.#quarantined.add(stream);
    for (const each of this.#folded) each.treeSize = Math.max(each.treeSize, last.treeSize);
    this.#applied = last.treeSize;
    return events;
  }

  close(): void {
    this.db.close();
  }
}

/** Opens the file; one that cannot be read is deleted and begun anew: nothing in it is the truth. */
function openTables(
  options: ReadModelOptions,
  logSize: number,
  journal: 'WAL' | 'DELETE' = 'WAL',
): ProjectionTables {
  const { store, path, projections } = options;
  checkNames(projections);
  const open = (): ProjectionTables => {
    const db = openDatabase(path, { synchronous: 'NORMAL', journal });
    try {
      checkFile(db);
      return new ProjectionTables(db, projections, store.logId, logSize);
    } catch (error) {
      db.close();
      throw error;
    }
  };
  // An empty file was cut: opened as it is, it would pass for a new one that others may still have open.
  const cut = path !== ':memory:' && existsSync(path) && statSync(path).size === 0;
  if (cut || existsSync(`${path}${DAMAGED}`)) removeDatabase(path);
  try {
    return open();
  } catch (error) {
    if (path === ':memory:' || !isBrokenFile(error)) throw error;
    removeDatabase(path);
    return open();
  }
}

/** Bytes a start reads through, a quarter of a second of them: what damage a larger file holds is met by who reads it. */
const CHECKED_WHOLE = 64 * 1024 * 1024;

/** Stands beside a file the feed found damaged: the next opening begins it anew. */
const DAMAGED = '.damaged';

function checkFile(db: SqlDatabase): void {
  if (db.path === ':memory:' || statSync(db.path).size <= CHECKED_WHOLE) {
    const found = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
    if (found !== 'ok') throw new BrokenFileError(`the read model ${db.path} is damaged: ${String(found)}`);
  }
  const form = db.prepare('PRAGMA user_version').get()?.['user_version'];
  if (form === 0 && tablesIn(db).length === 0) db.exec(`PRAGMA user_version=${FORM}`);
  else if (form !== FORM) throw new BrokenFileError(`the read model ${db.path} is of another form`);
}

class BrokenFileError extends Error {}

function isBrokenFile(error: unknown): boolean {
  return error instanceof BrokenFileError || sqlFailure(error) === 'corrupt';
}

function checkNames(projections: readonly Projection[]): void {
  const names = new Set<string>();
  for (const { name } of projections) {
    if (!/^[a-z][a-z0-9_-]*$/.test(name) || name.startsWith('keyturn') || name.startsWith('sqlite')) {
      throw new Error(`a projection cannot be named ${JSON.stringify(name)}`);
    }
    if (names.has(name)) throw new Error(`projection ${name} is there twice`);
    names.add(name);
  }
}

/** Drops what projections made that are no longer there, or that have changed. */
function dropStrangers(db: SqlDatabase, projections: readonly Projection[]): void {
  for (const row of db.prepare('SELECT name FROM keyturn_checkpoints').all()) {
    const name = String(row['name']);
    if (!projections.some((projection) => projection.name === name)) dropProjection(db, name);
  }
}

/** Makes a projection's tables, or takes them over when they are a fold of this log by this very version. */
function prepareProjection(
  db: SqlDatabase,
  projection: Projection,
  logId: string,
  logSize: number,
): FoldedProjection {
  const { name, version } = projection;
  const schema = projection.schema.join(';\n');
  const row = db.prepare('SELECT * FROM keyturn_checkpoints WHERE name = ?').get(name);
  if (row !== undefined) {
    const treeSize = Number(row['tree_size']);
    const fits = row['version'] === version && row['schema'] === schema && row['log_id'] === logId;
    // A log that is shorter than the fold was restored from a backup: what lies beyond its end is not in it.
    if (fits && treeSize <= logSize) return { projection, treeSize };
    dropProjection(db, name);
  }
  const before = new Set(tablesIn(db));
  for (const statement of projection.schema) db.exec(statement);
  const made = tablesIn(db).filter((table) => !before.has(table));
  const stray = made.find((table) => !table.startsWith(name) && !table.startsWith(name.replaceAll('-', '_')));
  if (stray !== undefined) {
    throw new Error(`projection ${name} makes the table ${stray}, whose name does not start with its own`);
  }
  db.prepare('INSERT INTO keyturn_checkpoints VALUES (?, ?, ?, ?, ?, 0)').run(
    name,
    version,
    schema,
    JSON.stringify(made),
    logId,
  );
  return { projection, treeSize: 0 };
}

function dropProjection(db: SqlDatabase, name: string): void {
  const row = db.prepare('SELECT tables FROM keyturn_checkpoints WHERE name = ?').get(name);
  const tables = z.array(z.string()).parse(JSON.parse(String(row?.['tables'] ?? '[]')));
  for (const table of tables) db.exec(`DROP TABLE IF EXISTS "${table.replaceAll('"', '""')}"`);
  db.prepare('DELETE FROM keyturn_checkpoints WHERE name = ?').run(name);
}

function tablesIn(db: SqlDatabase): string[] {
  const rows = db.prepare(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
  );
  return rows.all().map((row) => String(row['name']));
}

/** How long a feed waits before it tries again. */
const RETRY_MS = 500;

/** No space, no descriptor, a lock: what the same call may do a moment later. */
function isPassing(error: unknown): boolean {
  if (error instanceof LogUnavailableError) return !error.final;
  return ['full', 'io', 'busy', 'refused'].includes(sqlFailure(error));
}

class FedReadModel implements ReadModel {
  readonly db: SqlDatabase;
  readonly failed: Promise<Error>;
  readonly #store: EventStore;
  readonly #tables: ProjectionTables;
  readonly #batch: number;
  readonly #listeners = new Set<(events: readonly RecordedEvent[]) => void>();
  #subscription: Subscription | undefined;
  readonly #waiters = new Set<Waiter>();
  #trouble: string | undefined;
  /** Why nothing more will be applied. */
  #stopped: string | undefined;
  #closing: Promise<void> | undefined;
  readonly #closed = deferred();

  constructor(options: ReadModelOptions, tables: ProjectionTables) {
    this.#store = options.store;
    this.#tables = tables;
    this.#batch = options.batch ?? DEFAULT_BATCH;
    // Queries get a connection of their own that cannot write; one in memory cannot be shared.
    this.db = options.path === ':memory:' ? tables.db : openDatabase(options.path, { readOnly: true });
    this.failed = new Promise((resolve) => {
      this.#feed().then(
        () => this.#stop('the log was closed'),
        (reason: unknown) => {
          const error = isNativeError(reason) ? reason : new Error(String(reason));
          const { path } = this.#tables.db;
          if (sqlFailure(reason) === 'corrupt' && path !== ':memory:') writeFileSync(`${path}${DAMAGED}`, '');
          this.#stop(`it stopped: ${error.message}`);
          resolve(error);
        },
      );
    });
  }

  trouble(): string | undefined {
    return this.#trouble;
  }

  /** Subscribes, and again after what passes by itself: from where the tables stand, so that nothing is folded twice. */
  async #feed(): Promise<void> {
    while (this.#closing === undefined) {
      this.#subscription = this.#store.log.subscribe({
        after: this.#tables.treeSize(),
        onEvents: (events) => this.#apply(events),
        onCaughtUp: () => {
          this.#trouble = undefined;
        },
      });
      try {
        await this.#subscription.ended;
        return;
      } catch (error) {
        if (!isPassing(error)) throw error;
        this.#trouble = `the read model cannot be written for now: ${messageOf(error)}`;
        await Promise.race([delay(RETRY_MS, undefined, { ref: false }), this.#closed.promise]);
      }
    }
  }

  annotate<T>(work: (db: SqlDatabase) => T): T {
    return this.#tables.db.transaction(() => work(this.#tables.db));
  }

  treeSize(): number {
    return this.#tables.treeSize();
  }

  async waitFor(stream: string, revision: number, timeoutMs: number): Promise<void> {
    const what = `${stream}@${revision}`;
    const ends = performance.now() + timeoutMs;
    for (;;) {
      // Taken before looking: what is stored and applied while we look must not be slept through.
      const seen = this.treeSize();
      const target = await this.#store.treeSizeOf(stream, revision);
      const left = Math.max(0, ends - performance.now());
      if (target !== undefined) return this.#reach(target, what, left);
      await this.#reach(seen + 1, what, left);
    }
  }

  async caughtUp(): Promise<void> {
    const target = await this.#store.log.treeSize();
    await this.#reach(target, `tree size ${target}`);
  }

  onApplied(listener: (events: readonly RecordedEvent[]) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stop('it was closed');
    this.#closed.resolve();
    await this.#subscription?.stop();
    if (this.db !== this.#tables.db) this.db.close();
    this.#tables.db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    this.#tables.close();
  }

  async #apply(stored: readonly LoggedEvent[]): Promise<void> {
    for (let from = 0; from < stored.length; from += this.#batch) {
      // A long catch-up must leave the event loop to the others.
      if (from > 0) await breath();
      const batch: Unfolded[] = [];
      let failure: unknown;
      for (const logged of stored.slice(from, from + this.#batch)) {
        try {
          batch.push(decodeFor(this.#store, logged));
        } catch (error) {
          failure = error;
          break;
        }
      }
      const events = this.#tables.apply(batch);
      this.#trouble = undefined;
      this.#announce(events);
      if (failure !== undefined) throw failure;
    }
  }

  #announce(events: readonly RecordedEvent[]): void {
    this.#move();
    if (events.length === 0) return;
    for (const listener of this.#listeners) {
      try {
        listener(events);
      } catch (error) {
        process.emitWarning(`a listener of the read model failed: ${messageOf(error)}`);
      }
    }
  }

  #move(): void {
    for (const waiter of this.#waiters) {
      if (waiter.target > this.treeSize()) continue;
      this.#waiters.delete(waiter);
      waiter.reached();
    }
  }

  #stop(reason: string): void {
    this.#stopped ??= reason;
    for (const { what, fail } of this.#waiters) fail(this.#behind(what, this.#stopped));
    this.#waiters.clear();
  }

  /** Resolves when the tables hold `target` events; without a limit it waits for as long as they are fed. */
  #reach(target: number, what: string, timeoutMs?: number): Promise<void> {
    if (target <= this.treeSize()) return Promise.resolve();
    if (this.#stopped !== undefined) return Promise.reject(this.#behind(what, this.#stopped));
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        target,
        what,
        reached: () => {
          clearTimeout(timer);
          resolve();
        },
        fail: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      const timer =
        timeoutMs === undefined
          ? undefined
          : setTimeout(() => {
              this.#waiters.delete(waiter);
              reject(this.#behind(what, `not there after ${Math.ceil(timeoutMs)} ms`));
            }, timeoutMs);
      this.#waiters.add(waiter);
    });
  }

  #behind(what: string, why: string): ReadModelBehindError {
    return new ReadModelBehindError(
      `the read model is at tree size ${this.treeSize()}, not yet at ${what}: ${why}`,
    );
  }
}

/** Somebody who waits for a tree size. */
interface Waiter {
  readonly target: number;
  readonly what: string;
  readonly reached: () => void;
  readonly fail: (error: Error) => void;
}

interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

/** `Promise.withResolvers`, which Node 20 lacks. */
function deferred(): Deferred {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** Makes way for a rename: a WAL left beside the new file would be replayed into it. */
function retire(path: string): void {
  if (existsSync(path)) {
    try {
      const old = openDatabase(path, { synchronous: 'NORMAL' });
      old.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      old.close();
    } catch (error) {
      if (!isBrokenFile(error)) throw error;
      removeDatabase(path);
    }
    // By size: the file itself may stay until the closed connections have been collected.
    if (existsSync(`${path}-wal`) && statSync(`${path}-wal`).size > 0) {
      throw new Error(`the read model ${path} is in use; close it, then rebuild`);
    }
  }
  for (const suffix of ['-wal', '-shm', '-journal', DAMAGED]) rmSync(`${path}${suffix}`, { force: true });
}

function removeDatabase(path: string): void {
  if (path === ':memory:') return;
  // The mark last: killed in between, the rest is still known to be damaged.
  for (const suffix of ['-wal', '-shm', '-journal', '', DAMAGED]) rmSync(`${path}${suffix}`, { force: true });
}

function syncPath(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
