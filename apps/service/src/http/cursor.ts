import { z } from 'zod';
import { DomainError } from '#eventlog';

/**
 * Where a page ends, as its reader hands it back: the sort key of the last item, so that what is added or removed
 * meanwhile moves nothing. Opaque: nobody is promised what stands in it. It opens nothing, so it is not signed.
 */
export class Cursor<Key extends z.ZodType> {
  readonly #envelope: z.ZodType<[string, z.output<Key>]>;

  /** `list` is part of every cursor, so that one list's is none of another's. Raised with its order: `families.2`. */
  constructor(
    private readonly list: string,
    key: Key,
  ) {
    this.#envelope = z.tuple([z.literal(list), key]) as z.ZodType<[string, z.output<Key>]>;
  }

  write(key: z.output<Key>): string {
    return Buffer.from(JSON.stringify([this.list, key])).toString('base64url');
  }

  /** `undefined` for a first page; refuses what no page of this list has given (`cursor.invalid`). */
  read(cursor: string | undefined): z.output<Key> | undefined {
    if (cursor === undefined) return undefined;
    const parsed = this.#envelope.safeParse(jsonIn(cursor));
    if (parsed.success) return parsed.data[1];
    throw new DomainError('cursor.invalid', 'a cursor is the "next" of an earlier page of the same list', {
      field: 'cursor',
    });
  }
}

/** The longest cursor there is: two names, an id and an instant. */
export const MAX_CURSOR_LENGTH = 4_000;

export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(500).default(100),
  cursor: z.string().max(MAX_CURSOR_LENGTH).optional(),
});

export interface PageQuery {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** One page of a list; `next` is the cursor of the one after it. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next: string | null;
  readonly treeSize: number;
}

/** Cuts one row too many off: that there is one is what a next page needs to be known by. */
export function cut<Row>(
  rows: readonly Row[],
  limit: number,
  cursorOf: (last: Row) => string,
): { readonly rows: readonly Row[]; readonly next: string | null } {
  const kept = rows.slice(0, limit);
  const last = kept.at(-1);
  return { rows: kept, next: rows.length > limit && last !== undefined ? cursorOf(last) : null };
}

function jsonIn(cursor: string): unknown {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    return parsed;
  } catch {
    return undefined;
  }
}
