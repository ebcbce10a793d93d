import { formatInstant, type RecordedEvent } from '#eventlog';
import {
  containmentStream,
  rotationStream,
  timelineOf,
  type ContainmentEvent,
  type RotationEvent,
  type TimelineEntry,
} from '#rotation';
import type { Keyturn } from '../composition.js';
import { namesOf } from './dossier.js';
import { knownAt } from './known-at.js';

/** A line of a timeline as JSON: its instants RFC 3339. */
export interface EntryJson extends Omit<TimelineEntry, 'at' | 'recordedAt' | 'occurredAt'> {
  readonly at: string;
  readonly recordedAt: string;
  readonly occurredAt?: string;
}

export function entryJson({ at, recordedAt, occurredAt, ...entry }: TimelineEntry): EntryJson {
  return {
    ...entry,
    at: formatInstant(at),
    recordedAt: formatInstant(recordedAt),
    ...(occurredAt === undefined ? {} : { occurredAt: formatInstant(occurredAt) }),
  };
}

/** The lines that the first `upTo` events of the log tell of a rotation and of containments, in the log's order. */
export async function entriesOf(
  keyturn: Keyturn,
  of: { readonly rotation: string | undefined; readonly containments: readonly string[] },
  upTo: number,
): Promise<readonly EntryJson[]> {
  const read = async (stream: string): Promise<readonly RecordedEvent[]> =>
    knownAt((await keyturn.store.read(stream)).events, upTo);
  // The category of a stream decides its event types.
  const rotationEvents =
    of.rotation === undefined ? [] : ((await read(rotationStream(of.rotation))) as readonly RotationEvent[]);
  const containmentEvents: ContainmentEvent[] = [];
  for (const id of of.containments) {
    containmentEvents.push(...((await read(containmentStream(id))) as readonly ContainmentEvent[]));
  }
  const names = namesOf(keyturn, [...rotationEvents, ...containmentEvents]);
  return timelineOf({ rotationEvents, containmentEvents, names }).map(entryJson);
}
