import { z } from 'zod';
import { unknownFields } from './unknown-fields.js';

const fieldsIn = (schema: z.ZodType, value: unknown) =>
  unknownFields(schema, value).map(({ path }) => `/${path.join('/')}`);

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
      { path: ['b'], message: 'is not known here; accepted: a' },
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

  it('are answered with more where somebody may look for them', () => {
    const instead = { x: 'is a fact, not a declaration' };
    expect(unknownFields(z.array(inner), [{ a: '', x: 1, constructor: 2 }], instead)).toEqual([
      { path: [0, 'x'], message: 'is a fact, not a declaration' },
      { path: [0, 'constructor'], message: 'is not known here; accepted: a' },
    ]);
  });
});
