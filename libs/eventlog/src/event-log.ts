/**
 * The event log: the only source of truth. One port, two adapters (SQLite embedded, EventStoreDB distributed),
 * one contract suite (`testing/event-log.contract.ts`) that every adapter passes.
 */

/** `<category>-<lower-case UUID>`, without a store's prefix (contracts.md, The envelope). */
export type StreamId = string;

/** The revision the stream must have: -1 says that the stream must not exist yet. Never "any". */
export type ExpectedRevision = number;

export const NO_STREAM: ExpectedRevision = -1;

/** 64 KiB: the most one event may weigh (body bytes + record bytes). */
export const MAX_EVENT_BYTES = 64 * 1024;

/** 512 KiB: the most one append may weigh. */
export const MAX_APPEND_BYTES = 512 * 1024;

/** An event as it is stored: bytes that were made once and are never made again. */
export interface SealedEvent {
  readonly stream: StreamId;
  /** 0-based place in its stream. */
  readonly revision: number;
  /** Lower-case UUID; the key of an idempotent repeat. */
  readonly id: string;
  readonly type: string;
  /** RFC 8785 text of the record. */
  readonly record: string;
  /** RFC 8785 bytes of `{data, origin, salt}`. */
  readonly body: Uint8Array;
  /** SHA-256(0x00 ‖ record), lower-case hex. */
  readonly leaf: string;
}

/** A stored event with its place in the total order. */
export interface LoggedEvent extends SealedEvent {
  /** The number of events up to and including this one, counted from the first event on: "as of" this event. */
  readonly treeSize: number;
}

export interface AppendResult {
  /** `repeated`: the very same events were already stored at these revisions; nothing was written. */
  readonly outcome: 'appended' | 'repeated';
  /** Revision of the last event of this append. */
  readonly revision: number;
  /** Tree size at the last event of this append. */
  readonly treeSize: number;
}

export interface ReadStreamOptions {
  /** First revision wanted; 0 unless told. */
  readonly from?: number;
  /** At most this many events; all unless told. */
  readonly limit?: number;
}

export interface ReadAllOptions {
  /** Events after this tree size; 0 unless told. */
  readonly after?: number;
  readonly limit?: number;
}

export interface SubscribeOptions {
  /** Events after this tree size. */
  readonly after: number;
  /**
   * Called with batches in total order, never two at once: the next batch is read only when the promise has
   * settled (back-pressure). A rejection stops the subscription and settles `Subscription.ended` with the error.
   */
  readonly onEvents: (events: readonly LoggedEvent[]) => Promise<void>;
  /** Called each time the subscription has delivered everything that was stored when it last looked. */
  readonly onCaughtUp?: () => void;
}

export interface Subscription {
  /** Settles when the subscription has ended: resolved after `stop()`, rejected by a failure. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

export interface EventLog {
  /**
   * Appends to one stream, all or nothing.
   *
   * MUST be durable (on disk, fsynced, or replicated by a quorum) before it resolves.
   * MUST give exactly one winner per revision; every loser gets `WrongExpectedRevisionError` with the actual revision.
   * MUST answer `repeated` when the same events (ids, stream, revisions, leaves) are already stored, however long ago,
   *   and MUST reject with `WrongExpectedRevisionError` when an id is there with other bytes or only part of it is there.
   * MUST refuse an empty append, one over the limits, and revisions that do not follow `expected`, before it writes
   *   (`InvalidAppendError`, `AppendTooLargeError`).
   * MUST NOT change a byte of `record` or `body`.
   * MUST reject with `LogUnavailableError` where the outcome is unknown or nothing could be written (disk full, I/O
   *   error, closed); the caller observes by reading, it never repeats on a guess with other bytes.
   */
  append(stream: StreamId, expected: ExpectedRevision, events: readonly SealedEvent[]): Promise<AppendResult>;

  /** One stream in order. A stream that does not exist is empty. MUST see every append this process was told of. */
  readStream(stream: StreamId, options?: ReadStreamOptions): AsyncIterable<LoggedEvent>;

  /** Everything in one total order, gap-free: the n-th event has `treeSize` n. */
  readAll(options?: ReadAllOptions): AsyncIterable<LoggedEvent>;

  /** Catch-up, then live. MUST NOT miss, double or reorder an event across that boundary. */
  subscribe(options: SubscribeOptions): Subscription;

  /** How many events are stored. */
  treeSize(): Promise<number>;

  /** Drains what was accepted, then closes. Later calls reject with `LogUnavailableError`. Idempotent. */
  close(): Promise<void>;
}

/** Base of what a log answers with; `code` is stable. */
export abstract class EventLogError extends Error {
  abstract readonly code: string;
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

export class WrongExpectedRevisionError extends EventLogError {
  readonly code = 'log.wrong-expected-revision';
  constructor(
    readonly stream: StreamId,
    readonly expected: number,
    /** -1: the stream does not exist. */
    readonly actual: number,
  ) {
    super(`stream ${stream} is at revision ${actual}, not at ${expected}`);
  }
}

export class InvalidAppendError extends EventLogError {
  readonly code = 'log.invalid-append';
}

export class AppendTooLargeError extends EventLogError {
  readonly code = 'log.append-too-large';
}

/** Nothing can be read or written for now, or the outcome is unknown. Maps to 503 with Retry-After. */
export class LogUnavailableError extends EventLogError {
  readonly code = 'log.unavailable';
  /** Whether this log object will never answer again: it was closed, or opened for reading only. */
  readonly final: boolean;
  constructor(message: string, options: ErrorOptions & { readonly final?: boolean } = {}) {
    super(message, options);
    this.final = options.final ?? false;
  }
}

/** The store itself is damaged: stop, refuse writes (contracts.md, When the log is broken). */
export class LogCorruptError extends EventLogError {
  readonly code = 'log.corrupt';
}

/** One place of the log that is not what was written, while the store under it is sound. */
export interface IntegrityFailure {
  readonly stream: StreamId;
  readonly revision: number;
  /** Where it stands in the total order, where that is known. */
  readonly treeSize?: number;
  /** What does not fit, in words. */
  readonly what: string;
}

/**
 * A hash or an order does not match what was written. It stops whoever reads this place, not the log: others go on
 * (contracts.md, When the log is broken).
 */
export class LogIntegrityError extends EventLogError {
  readonly code = 'log.integrity';
  constructor(readonly failure: IntegrityFailure) {
    super(
      `event ${placeOf(failure)} is not what was written: ${failure.what}. Keep the files and restore a backup that holds it; keyturn doctor says more.`,
    );
  }
}

/** `n (stream@revision)`: how an event's place is written in messages. */
function placeOf({ stream, revision, treeSize }: IntegrityFailure): string {
  const place = `${stream}@${revision}`;
  return treeSize === undefined ? place : `${treeSize} (${place})`;
}

/** Another process holds the log's lock. */
export class LogLockedError extends EventLogError {
  readonly code = 'log.locked';
}

/** The file was written by a newer Keyturn. */
export class LogTooNewError extends EventLogError {
  readonly code = 'log.too-new';
}
