import { z } from 'zod';
import { pointer, unknownFields } from './unknown-fields.js';

const fieldsIn = (schema: z.ZodType, value: unknown) =>
  unknownFields(schema, value).map(({ field }) => field);

describe('fields nobody knows', () => {
  const inner = z.object({ a: z.string() });

  it('are found in objects that are not strict, however deep', () => {
    const schema = z.object({
      one: inner.optional(),
      many: z.array(inner).default([]),
      by: z.record(z.string(), inner),
    });
    const value = {
      one: { a: '', x: 1 },
      many: [{ a: '' }, { a: '', y: 1 }],
      by: { k: { a: '', z: 1 } },
      w: 1,
    };
    expect(fieldsIn(schema, value)).toEqual(['/one/x', '/many/1/y', '/by/k/z', '/w']);
    expect(unknownFields(inner, { b: 1 })).toEqual([
      { field: '/b', message: 'is not known here; known are a' },
    ]);
  });

  it('are found through transforms, nullables and unions', () => {
    const piped = inner.transform((value) => value.a);
    expect(fieldsIn(piped, { a: '', x: 1 })).toEqual(['/x']);
    expect(fieldsIn(inner.nullable(), { a: '', x: 1 })).toEqual(['/x']);
    const either = z.union([inner, z.object({ b: z.number() }), z.literal('all')]);
    expect(fieldsIn(either, { b: 1, c: 2 })).toEqual(['/c']);
    expect(fieldsIn(either, { a: '', b: 1 })).toEqual(['/b']);
    expect(fieldsIn(either, 'all')).toEqual([]);
  });

  it('are none where a schema says that it takes any', () => {
    expect(fieldsIn(z.looseObject({ a: z.string() }), { a: '', x: 1 })).toEqual([]);
    expect(fieldsIn(z.unknown(), { x: 1 })).toEqual([]);
  });

  it('are named by a JSON pointer that stays short', () => {
    expect(pointer(['a/b', 'c~d', 0])).toBe('/a~1b/c~0d/0');
    expect(pointer(['x'.repeat(1000)]).length).toBeLessThan(70);
  });
});
