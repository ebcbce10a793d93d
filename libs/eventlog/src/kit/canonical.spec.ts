import * as fc from 'fast-check';
import { canonicalBytes, canonicalText, InvalidValueError, MAX_VALUE_DEPTH } from './canonical.js';

const LONE = '\ud83d';

function problemOf(value: unknown): InvalidValueError {
  try {
    canonicalText(value, 'data');
  } catch (error) {
    if (error instanceof InvalidValueError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

describe('canonical text', () => {
  it.each([
    ['a lone surrogate', { a: [{ name: LONE }] }, 'data.a[0].name', 'Unicode'],
    ['a lone surrogate in a name', { a: { [LONE]: 1 } }, 'data.a', 'Unicode'],
    ['a fraction', { share: 0.5 }, 'data.share', 'whole number'],
    ['2^53', { n: 2 ** 53 }, 'data.n', 'whole number'],
    ['NaN', [Number.NaN], 'data[0]', 'whole number'],
    ['Infinity', { n: Number.POSITIVE_INFINITY }, 'data.n', 'whole number'],
    ['an integer-like name', { versions: { 10: 'x' } }, 'data.versions["10"]', 'integer'],
    ['__proto__', JSON.parse('{"a":{"__proto__":{}}}'), 'data.a.__proto__', '__proto__'],
    ['undefined in an array', { list: [1, undefined] }, 'data.list[1]', 'undefined'],
    // oxlint-disable-next-line no-sparse-arrays
    ['a hole in an array', { list: [1, , 2] }, 'data.list[1]', 'undefined'],
    ['a function', { run: () => 1 }, 'data.run', 'function'],
    ['a symbol', { s: Symbol('s') }, 'data.s', 'symbol'],
    ['a bigint', { n: 1n }, 'data.n', 'bigint'],
    ['a date', { at: new Date(0) }, 'data.at', 'plain object'],
    ['a map', { m: new Map() }, 'data.m', 'plain object'],
    ['bytes', { b: new Uint8Array(1) }, 'data.b', 'plain object'],
    ['undefined itself', undefined, 'data', 'undefined'],
    ['an odd name', { 'not plain': { 'a.b': Number.NaN } }, 'data["not plain"]["a.b"]', 'whole number'],
  ])('refuses %s and names the path', (_what, value: unknown, path, problem) => {
    const error = problemOf(value);
    expect(error.code).toBe('value.invalid');
    expect(error.path).toBe(path);
    expect(error.problem).toContain(problem);
    expect(error.message).toContain(path);
  });

  it('never tells the value', () => {
    const error = problemOf({ token: `canary-4711${LONE}` });
    expect(JSON.stringify([error.message, error.path, error.problem, error.details])).not.toContain('canary');
  });

  it(`nests to ${MAX_VALUE_DEPTH} and no deeper, so that a cycle ends`, () => {
    const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
    expect(canonicalText(nested(MAX_VALUE_DEPTH - 1))).toHaveLength(2 * (MAX_VALUE_DEPTH - 1) + 1);
    expect(problemOf(nested(MAX_VALUE_DEPTH + 1)).problem).toContain('deeper');
    const cycle: Record<string, unknown> = {};
    cycle['again'] = cycle;
    expect(problemOf(cycle).problem).toContain('deeper');
  });

  it('leaves undefined properties out and writes -0 as 0', () => {
    expect(canonicalText({ b: undefined, a: -0, c: [] })).toBe('{"a":0,"c":[]}');
  });

  describe('laws', () => {
    const name = fc
      .string({ unit: 'grapheme' })
      .filter((text) => text !== '__proto__' && !/^\d+$/.test(text));
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 5 },
        fc.string({ unit: 'grapheme' }),
        fc.maxSafeInteger(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 5 }),
        fc.dictionary(name, tie('value'), { maxKeys: 5 }),
      ),
    }));

    it('parsed and written again it is the same bytes, also by plain JSON.stringify', () => {
      fc.assert(
        fc.property(value, (sample) => {
          const text = canonicalText(sample);
          const parsed: unknown = JSON.parse(text);
          expect(canonicalText(parsed)).toBe(text);
          expect(JSON.stringify(parsed)).toBe(text);
          expect(new TextDecoder().decode(canonicalBytes(sample))).toBe(text);
        }),
      );
    });

    it('does not depend on the order of properties', () => {
      fc.assert(
        fc.property(fc.dictionary(name, value), (sample) => {
          const reversed = Object.fromEntries(Object.entries(sample).reverse());
          expect(canonicalText(reversed)).toBe(canonicalText(sample));
        }),
      );
    });

    it('writes any string or refuses it, and what it writes comes back', () => {
      fc.assert(
        fc.property(fc.string({ unit: 'binary' }), fc.boolean(), (text, broken) => {
          const sample = broken ? `${text}${LONE}` : text;
          if (broken) expect(problemOf({ sample }).path).toBe('data.sample');
          else expect(JSON.parse(canonicalText({ sample }))).toEqual({ sample });
        }),
      );
    });
  });
});
