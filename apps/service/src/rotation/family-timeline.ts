import { z } from 'zod';
import { formatInstant, type RecordedEvent } from '#eventlog';
import {
  containmentStream,
  destructionStream,
  entryOf,
  familyFactsOf,
  familyStream,
  rotationStream,
  telemetryStream,
  timelineOf,
  type ContainmentEvent,
  type DestructionEvent,
  type FamilyEvent,
  type RotationEvent,
  type TelemetryEvent,
  type TimelineEntry,
} from '#rotation';
import type { ObligationEvent } from '#schedule';
import type { Keyturn } from '../composition.js';
import { Cursor, cut, type Page, type PageQuery } from '../http/cursor.js';
import { namesOf } from './dossier.js';

/** A line of a family's timeline: as a rotation's, and whose stream it stands in. */
export type FamilyTimelineLine = Omit<TimelineEntry, 'at' | 'recordedAt' | 'occurredAt'> & {
  readonly at: string;
  readonly recordedAt: string;
  readonly occurredAt?: string;
  readonly stream: string;
};

const cursorOf = new Cursor('family-timeline', z.tuple([z.int().min(0)]));

/** One stream of the family, or a rotation with what was counted of it. */
interface Source {
  /** Nothing of it stands at or before this tree size. */
  readonly floor: number;
  readonly read: () => Promise<readonly Line[]>;
}

interface Line {
  readonly entry: TimelineEntry;
  readonly stream: string;
}

/**
 * Every fact of a family in the log's order: its own, its rotations', containments', destructions' and what it missed. Reads the
 * streams themselves, found by the read model's index, and of them only those this page may show: the cost is the family's,
 * and grows with the page, not with the log.
 */
export async function familyTimeline(
  keyturn: Keyturn,
  familyId: string,
  query: PageQuery,
): Promise<Page<FamilyTimelineLine>> {
  const { store, readModel } = keyturn;
  const treeSize = readModel.treeSize();
  const [after = 0] = cursorOf.read(query.cursor) ?? [];
  const within = (events: readonly RecordedEvent[]): readonly RecordedEvent[] =>
    events.filter((event) => event.treeSize <= treeSize);
  const read = async (stream: string): Promise<readonly RecordedEvent[]> =>
    within((await store.read(stream)).events);
  const lines = (events: readonly RecordedEvent[], entries: readonly TimelineEntry[]): readonly Line[] => {
    const streams = new Map(events.map(({ id, stream }) => [id, stream]));
    return entries
      .filter((entry) => entry.treeSize > after)
      .map((entry) => ({ entry, stream: streams.get(entry.eventId) ?? '' }));
  };

  // The category of a stream decides its event types, here and below.
  const family = (await read(familyStream(familyId))) as readonly FamilyEvent[];
  const opened = new Map(
    family.flatMap((event): readonly (readonly [string, number])[] =>
      event.type === 'RotationOpened' ? [[event.data.rotation, event.treeSize]] : [],
    ),
  );
  const idsOf = (sql: string): readonly string[] =>
    readModel.db
      .prepare(sql)
      .all(familyId, after)
      .map((row) => String(row['id']));
  const sources: readonly Source[] = [
    ...idsOf('SELECT id FROM rotations WHERE family_id = ? AND (ended = 0 OR tree_size > ?)').map((id) => ({
      floor: opened.get(id) ?? 0,
      read: async () => {
        const rotationEvents = (await read(rotationStream(id))) as readonly RotationEvent[];
        const counted = (await read(telemetryStream(id))) as readonly TelemetryEvent[];
        const names = namesOf(keyturn, [...rotationEvents, ...counted]);
        return [
          ...lines(rotationEvents, timelineOf({ rotationEvents, containmentEvents: [], names })),
          ...lines(counted, familyFactsOf(counted, names)),
        ];
      },
    })),
    ...idsOf('SELECT id FROM containments WHERE family_id = ? AND tree_size > ?').map((id) => ({
      floor: 0,
      read: async () => {
        const containmentEvents = (await read(containmentStream(id))) as readonly ContainmentEvent[];
        const names = namesOf(keyturn, containmentEvents);
        return lines(containmentEvents, timelineOf({ rotationEvents: [], containmentEvents, names }));
      },
    })),
    ...idsOf('SELECT id FROM destructions WHERE family_id = ? AND tree_size > ?').map((id) => ({
      floor: 0,
      read: async () => {
        const events = (await read(destructionStream(id))) as readonly DestructionEvent[];
        return lines(events, familyFactsOf(events, namesOf(keyturn, events)));
      },
    })),
    ...idsOf('SELECT id FROM obligations WHERE family_id = ? AND ? >= 0').map((id) => ({
      floor: 0,
      read: async () => {
        const events = (await read(`obligation-${id}`)) as readonly ObligationEvent[];
        const names = namesOf(keyturn, events);
        return lines(
          events,
          events.map((event) => entryOf(event, wordsOf(event), names)),
        );
      },
    })),
  ];

  let found = [...lines(family, familyFactsOf(family, namesOf(keyturn, family)))];
  for (const source of [...sources].sort((left, right) => left.floor - right.floor)) {
    const before = found.filter(({ entry }) => entry.treeSize <= source.floor);
    if (before.length > query.limit) break;
    found = [...found, ...(await source.read())];
  }
  found.sort((left, right) => left.entry.treeSize - right.entry.treeSize);
  const { rows, next } = cut(found, query.limit, ({ entry }) => cursorOf.write([entry.treeSize]));
  return { items: rows.map(lineOf), next, treeSize };
}

function wordsOf(event: ObligationEvent): Parameters<typeof entryOf>[1] {
  switch (event.type) {
    case 'ObligationMissed':
      return { kind: 'failure', title: `Missed: ${event.data.what}`, detail: `due ${event.data.due}` };
    case 'ObligationSettled':
      return {
        kind: 'decision',
        title: 'What was missed is settled',
        detail: `${event.data.how}, by ${event.data.fact.type} at ${event.data.settledAt}`,
      };
  }
}

function lineOf({ entry, stream }: Line): FamilyTimelineLine {
  const { at, recordedAt, occurredAt, ...rest } = entry;
  return {
    ...rest,
    stream,
    at: formatInstant(at),
    recordedAt: formatInstant(recordedAt),
    ...(occurredAt === undefined ? {} : { occurredAt: formatInstant(occurredAt) }),
  };
}
