import * as fc from 'fast-check';
import { formatInstant, instantSchema, parseInstant } from './instant.js';

describe('instants', () => {
  it('law: what was written here and what says the same with another zone are the same instant, or both none', () => {
    const two = (max: number): fc.Arbitrary<string> =>
      fc.integer({ min: 0, max }).map((number) => String(number).padStart(2, '0'));
    const text = fc
      .tuple(fc.integer({ min: 1900, max: 2100 }), two(13), two(32), two(25), two(61), two(61), fc.nat(999))
      .map(
        ([year, month, day, hour, minute, second, milliseconds]) =>
          `${year}-${month}-${day}T${hour}:${minute}:${second}.${String(milliseconds).padStart(3, '0')}`,
      );
    fc.assert(
      fc.property(text, (local) => {
        expect(parseInstant(`${local}Z`)).toBe(parseInstant(`${local}+00:00`));
      }),
      { seed: 20_261_121, numRuns: 4_000 },
    );
  });

  it('law: what is written is read back, and passes the schema as it is', () => {
    fc.assert(
      fc.property(fc.integer({ min: Date.parse('1900-01-01'), max: Date.parse('2100-01-01') }), (instant) => {
        const text = formatInstant(instant);
        expect(parseInstant(text)).toBe(instant);
        expect(instantSchema.parse(text)).toBe(text);
      }),
    );
  });

  it.each(['2026-02-31T00:00:00.000Z', '2026-01-01T24:00:00.000Z', '2026-00-10T00:00:00.000Z', '2026-01-01'])(
    'refuses %s',
    (text) => {
      expect(parseInstant(text)).toBeUndefined();
      expect(instantSchema.safeParse(text).success).toBe(false);
    },
  );
});
