import { readFileSync } from 'node:fs';
import { derivedId } from '#platform';
import { canonicalText, dataHashOf, leafOf, openSealed, sealEvent, type EventContent } from '#eventlog/kit';
import { treeRoot } from '#eventlog/testing';

/** Made by two implementations that share nothing with this one: where they differ, the code is wrong. */
interface Vectors {
  readonly logId: string;
  readonly events: readonly {
    readonly body: Pick<EventContent, 'data' | 'origin' | 'salt'>;
    readonly bodyBytes: string;
    readonly dataHash: string;
    readonly record: Omit<EventContent, 'recordedAt' | 'occurredAt'> & {
      readonly recordedAt: string;
      readonly occurredAt?: string;
    };
    readonly recordBytes: string;
    readonly leaf: string;
  }[];
  readonly roots: Readonly<Record<string, string>>;
  readonly ids: readonly { readonly what: string; readonly parts: readonly string[]; readonly id: string }[];
}

const vectors: Vectors = JSON.parse(readFileSync('test/fixtures/envelope/vectors.json', 'utf8'));

describe('golden vectors of the envelope', () => {
  it.each(vectors.events.map((event) => [event.record.type, event] as const))('%s', (_type, event) => {
    expect(canonicalText(event.body)).toBe(event.bodyBytes);
    expect(dataHashOf(Buffer.from(event.bodyBytes))).toBe(event.dataHash);
    expect(canonicalText(event.record)).toBe(event.recordBytes);
    expect(leafOf(event.recordBytes)).toBe(event.leaf);

    const { occurredAt, recordedAt, ...fields } = event.record;
    const content: EventContent = {
      ...pick(fields),
      ...event.body,
      recordedAt: Date.parse(recordedAt),
      ...(occurredAt === undefined ? {} : { occurredAt: Date.parse(occurredAt) }),
    };
    const sealed = sealEvent(content);
    expect(Buffer.from(sealed.body).toString('utf8')).toBe(event.bodyBytes);
    expect(sealed.record).toBe(event.recordBytes);
    expect(sealed.leaf).toBe(event.leaf);
    expect(openSealed(sealed)).toEqual(content);
  });

  it.each(Object.entries(vectors.roots))('tree root of the first %s events', (size, root) => {
    const leaves = vectors.events.slice(0, Number(size)).map((event) => event.leaf);
    expect(treeRoot(leaves)).toBe(root);
  });

  it.each(vectors.ids.map((vector) => [vector.what, vector.parts.join(' '), vector] as const))(
    'derived id: %s (%s)',
    (_what, _parts, { parts, id }) => {
      expect(derivedId(vectors.logId, ...parts)).toBe(id);
    },
  );

  it('holds vectors at all', () => {
    expect(vectors.events.length).toBeGreaterThanOrEqual(6);
    expect(Object.keys(vectors.roots)).toHaveLength(vectors.events.length + 1);
    expect(vectors.ids.length).toBeGreaterThanOrEqual(8);
  });
});

/** The record's fields that are content; `v` and `dataHash` are made by sealing. */
function pick(record: Omit<EventContent, 'recordedAt'>): Omit<EventContent, 'recordedAt'> {
  const { v: _v, dataHash: _dataHash, ...fields } = { v: 1, dataHash: '', ...record };
  return fields;
}
