import { z } from 'zod';
import { DomainError } from '#eventlog';
import { openSealed, type History } from '#eventlog/kit';
import type { Keyturn } from '../composition.js';

/** A tree size as a query says it: the first n events of the log in its total order, counted from 1. */
export const treeSizeSchema = z
  .string()
  .regex(/^[1-9]\d{0,14}$/, { message: 'must be a tree size: a whole number from 1 on' })
  .transform(Number);

/** What the first `size` events of the log tell. Each event knows its own tree size, so nothing else is read. */
export function knownAt<Event extends { readonly treeSize: number }>(
  events: readonly Event[],
  size: number,
): readonly Event[] {
  return events.filter((event) => event.treeSize <= size);
}

/**
 * The tree size that was asked for, else that of the log. Refused where the log has not come so far, and where it did not
 * hold the beginning of this stream yet.
 */
export async function knownSize(
  { log }: Pick<Keyturn, 'log'>,
  { events }: Pick<History, 'events'>,
  asked: number | undefined,
): Promise<number> {
  const treeSize = await log.treeSize();
  if (asked === undefined) return treeSize;
  if (asked > treeSize) {
    throw new DomainError(
      'timeline.beyond-log',
      `the log has ${treeSize} events: nobody knows what ${asked} of them will tell`,
      { field: 'known', treeSize },
    );
  }
  const beginning = events[0]?.treeSize;
  if (beginning !== undefined && asked < beginning) {
    throw new DomainError(
      'timeline.before-beginning',
      `this rotation begins with event ${beginning} of the log: at tree size ${asked} nothing was known of it`,
      { field: 'known', beginning },
    );
  }
  return asked;
}

/** `recordedAt` of the n-th event of the log, milliseconds: what a page made as of that tree size calls "as of". */
export async function recordedAtSize({ log }: Pick<Keyturn, 'log'>, treeSize: number): Promise<number> {
  for await (const logged of log.readAll({ after: treeSize - 1, limit: 1 })) {
    return openSealed(logged).recordedAt;
  }
  return 0;
}
