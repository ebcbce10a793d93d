import { derivedId } from '#platform';
import type { NewEvent, RecordedEvent } from '../recorded-event.js';
import { NIL_UUID, SYSTEM_ACTOR } from '../recorded-event.js';

/** When the first of `history`'s events was recorded; each later one a second after. */
export const RECORDED_FROM = Date.parse('2026-01-01T09:00:00.000Z');

/** The stream of recorded events that were not told theirs. */
export const SOME_STREAM = 'family-4f0c1b1e-0000-4000-8000-000000000001';

/** What the log gives back for a new event, for each type of a union. */
export type RecordedOf<Event extends NewEvent> =
  Event extends NewEvent<infer Type, infer Data> ? RecordedEvent<Type, Data> : never;

export type EnvelopeOverrides = Partial<Omit<RecordedEvent, 'type' | 'data'>>;

/**
 * A new event as the log would give it back, with an envelope that follows from its revision (0 unless told): the id
 * is derived from stream and revision, `recordedAt` is `RECORDED_FROM` + revision seconds.
 */
export function recorded<Event extends NewEvent>(
  event: Event,
  overrides?: EnvelopeOverrides,
): RecordedOf<Event>;
export function recorded(event: NewEvent, overrides: EnvelopeOverrides = {}): RecordedEvent {
  const { stream = SOME_STREAM, revision = 0 } = overrides;
  const id = derivedId(NIL_UUID, stream, String(revision));
  return {
    type: event.type,
    data: event.data,
    schemaVersion: 1,
    id,
    stream,
    revision,
    treeSize: revision + 1,
    recordedAt: RECORDED_FROM + revision * 1000,
    ...(event.occurredAt === undefined ? {} : { occurredAt: event.occurredAt }),
    actor: SYSTEM_ACTOR,
    correlationId: derivedId(NIL_UUID, stream),
    causationId: derivedId(NIL_UUID, stream, 'cause'),
    provenance: event.provenance ?? 'performed',
    origin: { via: 'saga' },
    ...overrides,
  };
}

/** One stream's history: new events get rising revisions, tree sizes and times; recorded ones stay as they are. */
export function history<Events extends readonly (NewEvent | RecordedEvent)[]>(
  ...events: Events
): HistoryOf<Events[number]>[];
export function history(...events: readonly (NewEvent | RecordedEvent)[]): RecordedEvent[] {
  return events.map((event, revision) => (isRecorded(event) ? event : recorded(event, { revision })));
}

export type HistoryOf<Event> = Event extends RecordedEvent
  ? Event
  : Event extends NewEvent
    ? RecordedOf<Event>
    : never;

export function isRecorded(event: NewEvent | RecordedEvent): event is RecordedEvent {
  return 'recordedAt' in event;
}
