import { UsageError } from './failures.js';
import {
  coarse,
  day,
  distance,
  durationArgument,
  instantArgument,
  lengthOf,
  sinceStart,
  waitsForText,
} from './words.js';

const NOW = Date.parse('2026-03-01T12:00:00.000Z');

describe('what is typed', () => {
  it.each([
    ['7d', 'P7D'],
    ['2w', 'P14D'],
    ['90m', 'PT1H30M'],
    ['30min', 'PT30M'],
    ['P7D', 'P7D'],
    ['pt10m', 'PT10M'],
  ])('%s is %s', (text, iso) => {
    expect(durationArgument(text)).toBe(iso);
  });

  it.each(['', '7', 'P1M', 'soon', '-7d', '99999999d'])('%j is no length of time', (text) => {
    expect(() => durationArgument(text)).toThrow(UsageError);
  });

  it.each([
    ['2026-03-01T13:00:00+01:00', '2026-03-01T12:00:00.000Z'],
    ['20m ago', '2026-03-01T11:40:00.000Z'],
    ['now', '2026-03-01T12:00:00.000Z'],
  ])('%s is an instant', (text, instant) => {
    expect(instantArgument(text, NOW)).toBe(instant);
  });

  it.each(['yesterday', '2026-02-31T00:00:00Z', '20m', 'x ago'])('%j is no instant', (text) => {
    expect(() => instantArgument(text, NOW)).toThrow(UsageError);
  });
});

describe('what is read', () => {
  it('says not recorded where nothing was', () => {
    expect(day(null)).toBe('not recorded');
    expect(day('2026-03-01T12:34:56.789Z')).toBe('2026-03-01 12:34 UTC');
  });

  it('rounds to two units', () => {
    expect(coarse(((3 * 24 + 4) * 60 + 5) * 60_000)).toBe('3 d 4 h');
    expect(distance(-90_000)).toBe('1 min 30 s ago');
    expect(distance(400)).toBe('now');
    expect(lengthOf('PT24H')).toBe('1 d');
    expect(lengthOf('no duration')).toBe('no duration');
  });
});

it('what is shown to people has no mark for programs, and no minus before nothing', () => {
  expect(waitsForText('held: the freeze Year end: the books close')).toBe(
    'the freeze Year end: the books close',
  );
  expect(waitsForText('the drain window')).toBe('the drain window');
  expect([-30, 0, 40, 1_540, -700].map(sinceStart)).toEqual([
    'T+0.0s',
    'T+0.0s',
    'T+0.0s',
    'T+1.5s',
    'T−0.7s',
  ]);
});
