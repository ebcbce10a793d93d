import { derivedId, systemIds } from '#platform';
import type { LoggedEvent, SealedEvent } from '../event-log.js';
import { sealEvent } from '../kit/index.js';
import { NIL_UUID, SYSTEM_ACTOR } from '../recorded-event.js';

/** A stream nobody else uses. */
export function probeStream(): string {
  return `probe-${systemIds.random()}`;
}

/** Sealed events of type `Probed`, as many as texts, from `revision` on; the ids are random. */
export function probeEvents(stream: string, revision: number, ...texts: readonly string[]): SealedEvent[] {
  return texts.map((text, index) =>
    sealEvent({
      stream,
      revision: revision + index,
      id: systemIds.random(),
      type: 'Probed',
      schemaVersion: 1,
      recordedAt: 1_767_225_600_000,
      actor: SYSTEM_ACTOR,
      correlationId: derivedId(NIL_UUID, stream),
      causationId: derivedId(NIL_UUID, stream),
      provenance: 'performed',
      data: { text },
      origin: { via: 'kit' },
      salt: systemIds.salt(),
    }),
  );
}

/** An event with its bytes as text, to compare. */
export function comparable(event: SealedEvent | LoggedEvent): Record<string, unknown> {
  return { ...event, body: Buffer.from(event.body).toString('hex') };
}

/** Everything an iterable gives. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
