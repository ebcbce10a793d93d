import type { Clock, Ids } from '#platform';
import type { EventLog, LoggedEvent, StreamId } from '../event-log.js';
import type { EventDefinitions, EventOrigin, NewEvent, RecordedEvent } from '../recorded-event.js';

/** Who and what caused an append (contracts.md, Who caused it). */
export interface Cause {
  readonly actor: string;
  readonly onBehalfOf?: string;
  readonly correlationId: string;
  readonly causationId: string;
  readonly origin: EventOrigin;
}

/** Where a stream stands: what an append needs to know of it. */
export interface StreamPosition {
  readonly stream: StreamId;
  /** -1: does not exist. */
  readonly revision: number;
  /** `recordedAt` of its last event; 0 where it does not exist. */
  readonly lastRecordedAt: number;
}

/** A stream as it was read: position and parsed events. */
export interface History extends StreamPosition {
  readonly events: readonly RecordedEvent[];
}

export interface KitOptions {
  readonly log: EventLog;
  /** All event definitions, one object per aggregate; a type defined twice is an error at start. */
  readonly definitions: readonly EventDefinitions[];
  readonly clock: Clock;
  readonly ids: Ids;
}

/**
 * The kit over the port: seals what deciders want recorded and opens what was stored.
 * Made by `openEventStore(options)`, which appends `LogOpened` when the log is new.
 */
export interface EventStore {
  readonly log: EventLog;
  readonly logId: string;
  readonly clock: Clock;
  readonly ids: Ids;
  read(stream: StreamId): Promise<History>;
  /**
   * Appends at exactly `at.revision` and gives back the appended events and the new position. Bytes are made once.
   * `eventIds`, where given, are used instead of random ids (one per event).
   */
  append(
    at: StreamPosition,
    events: readonly NewEvent[],
    cause: Cause,
    options?: { readonly eventIds?: readonly string[] },
  ): Promise<History>;
  /** Parses and upcasts one stored event; an unknown type or a hash that does not match throws. */
  decode(logged: LoggedEvent): RecordedEvent;
  /** `recordedAt` of the newest event this store has seen in the log, milliseconds; for the clock rules. */
  newestRecordedAt(): Promise<number>;
}
