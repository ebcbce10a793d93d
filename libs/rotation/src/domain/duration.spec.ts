import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { durationSchema, formatDuration, milliseconds, parseDuration } from './duration.js';

const LONGEST = 10_000 * 86_400_000;

describe('durations', () => {
  it('what is formatted parses to the same milliseconds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: LONGEST }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
      { seed: 7, numRuns: 2_000 },
    );
  });

  it.each([
    ['PT0S', 0],
    ['P1D', 86_400_000],
    ['P2W', 1_209_600_000],
    ['P1W1D', 691_200_000],
    ['PT90M', 5_400_000],
    ['PT1.5S', 1_500],
    ['PT0.001S', 1],
    ['P1DT2H3M4.005S', 93_784_005],
    ['P10000D', LONGEST],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
    expect(durationSchema.safeParse(text).success).toBe(true);
  });

  it.each([
    ['P1M', 'a month has no fixed length'],
    ['P1Y', 'a year has no fixed length'],
    ['PT', 'nothing after T'],
    ['P', 'nothing at all'],
    ['P1DT', 'nothing after T'],
    ['', 'empty'],
    ['1h', 'no P'],
    ['PT1.2345S', 'finer than milliseconds'],
    ['-PT1S', 'negative'],
    ['PT-1S', 'negative'],
    ['PT1H ', 'a space'],
    ['pt1h', 'lower case'],
    ['PT1S1M', 'wrong order'],
    ['P1.5D', 'a broken day'],
    ['P10001D', 'longer than any duration meant'],
  ])('%s is refused: %s', (text) => {
    expect(parseDuration(text)).toBeUndefined();
    expect(durationSchema.safeParse(text).success).toBe(false);
  });

  it.each([
    [0, 'PT0S'],
    [90_000, 'PT1M30S'],
    [90 * 86_400_000, 'P90D'],
    [86_400_000 + 1, 'P1DT0.001S'],
    [60_010, 'PT1M0.010S'],
  ])('%d ms is written %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it('an absent duration counts as none', () => {
    expect(milliseconds(undefined)).toBe(0);
  });
});
