import type { Clock, Ids } from '#platform';
import { z } from 'zod';
import {
  EventLogError,
  InvalidAppendError,
  LogCorruptError,
  LogIntegrityError,
  NO_STREAM,
  WrongExpectedRevisionError,
  type EventLog,
  type IntegrityFailure,
  type LoggedEvent,
  type SealedEvent,
  type StreamId,
} from '../event-log.js';
import {
  DomainError,
  NIL_UUID,
  SYSTEM_ACTOR,
  type EventDefinition,
  type EventDefinitions,
  type EventOrigin,
  type NewEvent,
  type RecordedEvent,
} from '../recorded-event.js';
import { openSealed, sealEvent, type EventContent } from './envelope.js';
import type { IntegrityFindings } from './integrity-findings.js';

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
  /** Told of every place that is not what was written, as it is found; nobody unless told. */
  readonly findings?: IntegrityFindings;
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
  /** The stream, or what follows `since`: then the position is that of its end, and the events are only the new ones. */
  read(stream: StreamId, since?: StreamPosition): Promise<History>;
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
  /** The tree size at an event; `undefined` where there is no such event. */
  treeSizeOf(stream: StreamId, revision: number): Promise<number | undefined>;
  /** `recordedAt` of the newest event this store has seen in the log, milliseconds; for the clock rules. */
  newestRecordedAt(): Promise<number>;
}

/** The one stream of the log itself; its first event is the log's first event. */
export const LOG_STREAM: StreamId = `log-${NIL_UUID}`;

/** What the kit itself records. */
export const logEvents = {
  LogOpened: {
    version: 1,
    schema: z.strictObject({ logId: z.uuid() }),
    about: 'The log was created; its id is the namespace of every derived id.',
  },
} as const satisfies EventDefinitions;

/** A type or version nobody here knows, or data its schema refuses: whoever reads it stops. */
export class UnknownEventError extends EventLogError {
  readonly code = 'event.unknown';
  constructor(
    readonly type: string,
    readonly schemaVersion: number,
    /** Where it stands: `stream@revision`; empty when it was about to be appended. */
    readonly place: string,
    problem: string,
  ) {
    super(`${type} v${schemaVersion}${place === '' ? '' : ` at ${place}`}: ${problem}`);
  }
}

/** Data that does not fit the newest schema of its type. Names the fields, never their values. */
export class InvalidEventError extends DomainError {
  constructor(
    readonly type: string,
    /** `field: rule`, one per problem. */
    readonly problems: readonly string[],
  ) {
    super('event.invalid', `${type} is invalid: ${problems.join('; ')}`, { type, problems });
    this.name = 'InvalidEventError';
  }
}

/** Opens the kit over a log; a new log gets its `LogOpened` first, and whoever loses that race reads it. */
export async function openEventStore(options: KitOptions): Promise<EventStore> {
  const catalogue = catalogueOf([logEvents, ...options.definitions]);
  const opened = await openLog(options, catalogue);
  const store = new SealingEventStore(options, catalogue, opened.logId);
  await store.lookAtTail();
  return store;
}

/** Newest events that are checked at start; the scrub checks all of them. */
const TAIL = 1000;

type Catalogue = ReadonlyMap<string, EventDefinition>;

function catalogueOf(definitions: readonly EventDefinitions[]): Catalogue {
  const catalogue = new Map<string, EventDefinition>();
  for (const [type, definition] of definitions.flatMap((each) => Object.entries(each))) {
    const known = catalogue.get(type);
    if (known !== undefined && known !== definition) throw new Error(`event type ${type} is defined twice`);
    if (!Number.isSafeInteger(definition.version) || definition.version < 1) {
      throw new Error(`event type ${type} has version ${definition.version}; versions count from 1`);
    }
    for (let version = 1; version < definition.version; version += 1) {
      if (definition.upcast?.[version] === undefined) {
        throw new Error(`event type ${type} has no step from version ${version} to ${version + 1}`);
      }
    }
    catalogue.set(type, definition);
  }
  return catalogue;
}

async function openLog({ log, clock, ids }: KitOptions, catalogue: Catalogue): Promise<{ logId: string }> {
  const stored = await readLogId(log, catalogue);
  if (stored !== undefined) return { logId: stored };
  const [id, logId, now] = [ids.random(), ids.random(), clock.now()];
  const sealed = sealEvent({
    stream: LOG_STREAM,
    revision: 0,
    id,
    type: 'LogOpened',
    schemaVersion: logEvents.LogOpened.version,
    occurredAt: now,
    recordedAt: now,
    actor: SYSTEM_ACTOR,
    correlationId: id,
    causationId: id,
    provenance: 'performed',
    data: { logId },
    origin: { via: 'kit' },
    salt: ids.salt(),
  });
  try {
    await log.append(LOG_STREAM, NO_STREAM, [sealed]);
    return { logId };
  } catch (error) {
    if (!(error instanceof WrongExpectedRevisionError)) throw error;
    const winner = await readLogId(log, catalogue);
    if (winner === undefined) throw error;
    return { logId: winner };
  }
}

async function readLogId(log: EventLog, catalogue: Catalogue): Promise<string | undefined> {
  for await (const logged of log.readAll({ limit: 1 })) {
    const event = parse(logged, catalogue);
    if (event.stream !== LOG_STREAM || event.type !== 'LogOpened') {
      throw new LogCorruptError(
        `the log does not start with LogOpened but with ${event.type}: not a Keyturn log`,
      );
    }
    return logEvents.LogOpened.schema.parse(event.data).logId;
  }
  return undefined;
}

class SealingEventStore implements EventStore {
  readonly log: EventLog;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly #catalogue: Catalogue;
  readonly #findings: IntegrityFindings | undefined;
  readonly #fresh = new FreshEvents();
  #newest = 0;

  constructor(
    options: KitOptions,
    catalogue: Catalogue,
    readonly logId: string,
  ) {
    this.log = options.log;
    this.clock = options.clock;
    this.ids = options.ids;
    this.#catalogue = catalogue;
    this.#findings = options.findings;
  }

  async read(stream: StreamId, since: StreamPosition = beginningOf(stream)): Promise<History> {
    const events: RecordedEvent[] = [];
    let next = since.revision + 1;
    for await (const logged of this.log.readStream(stream, { from: next })) {
      if (logged.revision !== next) throw this.#found({ stream, revision: next, what: 'it is missing' });
      events.push(this.decode(logged));
      next += 1;
    }
    return historyOf(since, events);
  }

  async treeSizeOf(stream: StreamId, revision: number): Promise<number | undefined> {
    const fresh = this.#fresh.at(stream, revision);
    if (fresh !== undefined) return fresh.treeSize;
    for await (const event of this.log.readStream(stream, { from: revision, limit: 1 }))
      return event.treeSize;
    return undefined;
  }

  async append(
    at: StreamPosition,
    events: readonly NewEvent[],
    cause: Cause,
    options: { readonly eventIds?: readonly string[] } = {},
  ): Promise<History> {
    const { eventIds } = options;
    if (eventIds !== undefined && eventIds.length !== events.length) {
      throw new InvalidAppendError(`${eventIds.length} event ids were given for ${events.length} events`);
    }
    const recordedAt = Math.max(this.clock.now(), at.lastRecordedAt);
    const sealed = events.map((event, index) =>
      this.#seal(event, {
        stream: at.stream,
        revision: at.revision + 1 + index,
        id: eventIds?.[index] ?? this.ids.random(),
        recordedAt,
        actor: cause.actor,
        ...(cause.onBehalfOf === undefined ? {} : { onBehalfOf: cause.onBehalfOf }),
        correlationId: cause.correlationId,
        causationId: cause.causationId,
        origin: cause.origin,
        salt: this.ids.salt(),
      }),
    );
    const result = await this.log.append(at.stream, at.revision, sealed);
    const first = result.treeSize - sealed.length + 1;
    return historyOf(
      at,
      sealed.map((event, index) => {
        const logged = { ...event, treeSize: first + index };
        const recorded = this.decode(logged);
        this.#fresh.keep(logged, recorded);
        return recorded;
      }),
    );
  }

  decode(logged: LoggedEvent): RecordedEvent {
    const fresh = this.#fresh.find(logged);
    if (fresh !== undefined) return fresh;
    try {
      const event = parse(logged, this.#catalogue);
      this.#newest = Math.max(this.#newest, event.recordedAt);
      return event;
    } catch (error) {
      throw error instanceof LogIntegrityError ? this.#found(error.failure) : error;
    }
  }

  newestRecordedAt(): Promise<number> {
    return Promise.resolve(this.#newest);
  }

  /**
   * What other incarnations wrote last: whether it is what they wrote, and its time, with which the clock rules compare
   * before anything is read.
   */
  async lookAtTail(): Promise<void> {
    const size = await this.log.treeSize();
    for await (const logged of this.log.readAll({ after: Math.max(0, size - TAIL) })) {
      try {
        this.#see(logged);
      } catch (error) {
        // It does not keep the service from starting: what reads this event is refused, an emergency elsewhere is not.
        if (!(error instanceof LogIntegrityError)) throw error;
        this.#found(error.failure);
      }
    }
  }

  #found(failure: IntegrityFailure): LogIntegrityError {
    this.#findings?.report(failure);
    return new LogIntegrityError(failure);
  }

  // The newest event may be of a type only a newer Keyturn knows: its time counts nonetheless.
  #see(logged: LoggedEvent): void {
    this.#newest = Math.max(this.#newest, openSealed(logged).recordedAt);
  }

  #seal(
    event: NewEvent,
    envelope: Omit<EventContent, 'type' | 'schemaVersion' | 'data' | 'provenance'>,
  ): SealedEvent {
    const definition = this.#catalogue.get(event.type);
    if (definition === undefined) throw new UnknownEventError(event.type, 0, '', 'no such event type');
    const parsed = definition.schema.safeParse(event.data);
    if (!parsed.success) throw new InvalidEventError(event.type, problemsOf(parsed.error));
    return sealEvent({
      ...envelope,
      type: event.type,
      schemaVersion: definition.version,
      ...(event.occurredAt === undefined ? {} : { occurredAt: event.occurredAt }),
      provenance: event.provenance ?? 'performed',
      data: parsed.data,
    });
  }
}

/**
 * What this store appended last, opened: every event is read back by the feed and by whoever decides next. An event is
 * taken from here only where the stored bytes are the very bytes it was opened from, so that nothing is believed unread.
 */
class FreshEvents {
  readonly #events = new Map<string, { readonly logged: LoggedEvent; readonly recorded: RecordedEvent }>();

  keep(logged: LoggedEvent, recorded: RecordedEvent): void {
    this.#events.set(placeOf(logged.stream, logged.revision), { logged, recorded });
    if (this.#events.size <= MOST_FRESH) return;
    for (const oldest of this.#events.keys()) {
      this.#events.delete(oldest);
      return;
    }
  }

  at(stream: StreamId, revision: number): LoggedEvent | undefined {
    return this.#events.get(placeOf(stream, revision))?.logged;
  }

  find(read: LoggedEvent): RecordedEvent | undefined {
    const known = this.#events.get(placeOf(read.stream, read.revision));
    if (known === undefined) return undefined;
    const { logged, recorded } = known;
    return logged.leaf === read.leaf &&
      logged.record === read.record &&
      logged.treeSize === read.treeSize &&
      logged.id === read.id &&
      logged.type === read.type &&
      Buffer.compare(logged.body, read.body) === 0
      ? recorded
      : undefined;
  }
}

/** About 4 MB of small events; the feed is never further behind while it keeps up. */
const MOST_FRESH = 1_024;

const placeOf = (stream: StreamId, revision: number): string => `${stream}@${revision}`;

function beginningOf(stream: StreamId): StreamPosition {
  return { stream, revision: NO_STREAM, lastRecordedAt: 0 };
}

function historyOf(since: StreamPosition, events: readonly RecordedEvent[]): History {
  const { revision, recordedAt: lastRecordedAt } = events.at(-1) ?? {
    revision: since.revision,
    recordedAt: since.lastRecordedAt,
  };
  return { stream: since.stream, revision, lastRecordedAt, events };
}

function parse(logged: LoggedEvent, catalogue: Catalogue): RecordedEvent {
  // The salt stays in the log: no reader has a use for it.
  const { salt: _, data: stored, ...envelope } = openSealed(logged);
  const { type, schemaVersion } = envelope;
  const unknown = (problem: string): UnknownEventError =>
    new UnknownEventError(type, schemaVersion, `${logged.stream}@${logged.revision}`, problem);
  const definition = catalogue.get(type);
  if (definition === undefined) throw unknown('no such event type');
  if (!Number.isSafeInteger(schemaVersion) || schemaVersion < 1 || schemaVersion > definition.version) {
    throw unknown(`the newest version known here is ${definition.version}`);
  }
  let data = stored;
  for (let version = schemaVersion; version < definition.version; version += 1) {
    const lift = definition.upcast?.[version];
    if (lift === undefined) throw unknown(`no step from version ${version} to ${version + 1}`);
    data = lift(data);
  }
  const parsed = definition.schema.safeParse(data);
  if (!parsed.success)
    throw unknown(`its data does not fit its schema: ${problemsOf(parsed.error).join('; ')}`);
  return { ...envelope, treeSize: logged.treeSize, data: parsed.data };
}

function problemsOf(error: z.ZodError): string[] {
  return error.issues.map((issue) => `${['data', ...issue.path].map(String).join('.')}: ${issue.message}`);
}
