import type { RecordedEvent } from '../recorded-event.js';
import type { SqlDatabase } from '../sqlite/index.js';

/**
 * One disposable read model: tables that are a fold of the log. Applied in the same transaction as the checkpoint.
 * MUST be deterministic over the ordered log; MUST NOT send, call or read anything else.
 */
export interface Projection {
  readonly name: string;
  /** Raised when the tables or the fold change: a mismatch rebuilds it. */
  readonly version: number;
  /** `CREATE TABLE …` statements; every table's name starts with the projection's name. */
  readonly schema: readonly string[];
  readonly apply: (db: SqlDatabase, event: RecordedEvent) => void;
}

export interface RebuildProgress {
  readonly done: number;
  readonly total: number;
}

/** Hosts the projections in one SQLite file, fed by a subscription. Made by `openReadModel(options)`. */
export interface ReadModel {
  /** For queries. Read only what the last transaction left; label answers with `treeSize()`. */
  readonly db: SqlDatabase;
  /** The tree size up to which the tables are folded. */
  treeSize(): number;
  /** Resolves when (stream, revision) has been applied; rejects with `ReadModelBehindError` after `timeoutMs`. */
  waitFor(stream: string, revision: number, timeoutMs: number): Promise<void>;
  /** Called after each applied batch, outside the transaction; a throw in a listener never stops the feed. */
  onApplied(listener: (events: readonly RecordedEvent[]) => void): () => void;
  /** Resolves once everything stored at the call was applied. */
  caughtUp(): Promise<void>;
  /** Settled with the error when the feed stopped (an unknown event, a broken log). */
  readonly failed: Promise<Error>;
  close(): Promise<void>;
}
