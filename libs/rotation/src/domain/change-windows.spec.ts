import * as fc from 'fast-check';
import { formatInstant } from '#eventlog';
import { WEEKDAYS, type Blackout, type ChangeWindow, type Weekday } from './calendar.js';
import { changeTime } from './change-windows.js';
import { isTimeZone } from './zoned-time.js';

const MINUTE = 60_000;
const DAY = 86_400_000;

const at = (text: string): number => Date.parse(text);
const window = (
  weekdays: readonly Weekday[],
  from: string,
  to: string,
  timeZone = 'Europe/Vienna',
): ChangeWindow => ({ weekdays: [...weekdays], from, to, timeZone });

/** Openness by the minute, written apart from the code: what a wall clock shows is read from a formatted text. */
function oracleOpen(
  windows: readonly ChangeWindow[],
  blackouts: readonly Blackout[],
  instant: number,
): boolean {
  if (blackouts.some(({ from, to }) => at(from) <= instant && instant < at(to))) return false;
  if (windows.length === 0) return true;
  return windows.some(({ weekdays, from, to, timeZone }) => {
    const [, weekday = '', time = ''] = /^(\w+),? (\d\d:\d\d)$/.exec(shown(timeZone).format(instant)) ?? [];
    const today = weekday.toLowerCase() as Weekday;
    const yesterday = WEEKDAYS[(WEEKDAYS.indexOf(today) + 6) % 7] ?? today;
    if (from < to) return weekdays.includes(today) && time >= from && time < to;
    return (weekdays.includes(today) && time >= from) || (weekdays.includes(yesterday) && time < to);
  });
}

const formats = new Map<string, Intl.DateTimeFormat>();
function shown(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: 'long',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  formats.set(timeZone, made);
  return made;
}

/** Looks at every minute from here on. */
function oracleOpensAt(
  windows: readonly ChangeWindow[],
  blackouts: readonly Blackout[],
  now: number,
  days: number,
): number | undefined {
  for (let instant = now; instant <= now + days * DAY; instant += MINUTE) {
    if (oracleOpen(windows, blackouts, instant)) return instant;
  }
  return undefined;
}

describe('change windows', () => {
  it('without any, any time is open', () => {
    expect(changeTime([], [], at('2026-03-02T09:00:00Z'))).toEqual({ open: true });
  });

  it('opens at its from and closes at its to, to the millisecond', () => {
    const nights = [window(['monday'], '02:00', '04:00')];
    const opens = at('2026-03-02T01:00:00Z');
    expect(changeTime(nights, [], opens - 1)).toEqual({
      open: false,
      opensAt: opens,
      why: 'its change window',
    });
    expect(changeTime(nights, [], opens)).toEqual({ open: true });
    expect(changeTime(nights, [], opens + 2 * 60 * MINUTE - 1)).toEqual({ open: true });
    expect(changeTime(nights, [], opens + 2 * 60 * MINUTE)).toMatchObject({ opensAt: opens + 7 * DAY });
  });

  it('a window over midnight belongs to the day it begins on', () => {
    const nights = [window(['friday'], '22:00', '02:00')];
    expect(changeTime(nights, [], at('2026-03-07T00:59:00Z'))).toEqual({ open: true });
    expect(changeTime(nights, [], at('2026-03-07T21:30:00Z'))).toMatchObject({
      opensAt: at('2026-03-13T21:00:00Z'),
    });
  });

  it.each([
    // The clocks go forward at 02:00 local: 02:30 does not exist, the window opens where the gap ends.
    ['Europe/Vienna', '2026-03-29T00:00:00Z', '02:30', '03:30', '2026-03-29T01:00:00Z'],
    ['America/New_York', '2026-03-08T05:00:00Z', '02:30', '03:30', '2026-03-08T07:00:00Z'],
    // By half an hour: 02:00 becomes 02:30.
    ['Australia/Lord_Howe', '2026-10-03T14:00:00Z', '02:10', '02:50', '2026-10-03T15:30:00Z'],
    // All of the window is in the gap: next week.
    ['Europe/Vienna', '2026-03-29T00:00:00Z', '02:10', '02:50', '2026-04-05T00:10:00Z'],
    // The clocks go back at 03:00 local: the window opens in the first of the two hours.
    ['Europe/Vienna', '2026-10-24T22:30:00Z', '02:30', '03:30', '2026-10-25T00:30:00Z'],
    ['America/New_York', '2026-11-01T04:30:00Z', '01:30', '02:30', '2026-11-01T05:30:00Z'],
    ['Australia/Lord_Howe', '2026-04-04T14:00:00Z', '01:45', '02:30', '2026-04-04T14:45:00Z'],
  ])('%s at %s: %s to %s opens at %s', (timeZone, now, from, to, opens) => {
    const sundays = [window(['sunday'], from, to, timeZone)];
    const found = changeTime(sundays, [], at(now));
    expect(found.open).toBe(false);
    expect(found.open || formatInstant(found.opensAt ?? 0)).toBe(formatInstant(at(opens)));
    expect(oracleOpensAt(sundays, [], at(now), 15)).toBe(at(opens));
  });

  it('opens a second time in the hour that comes twice', () => {
    const sundays = [window(['sunday'], '02:00', '02:30')];
    // 02:30 CEST, closed; 02:00 CET comes half an hour later.
    expect(changeTime(sundays, [], at('2026-10-25T00:30:00Z'))).toMatchObject({
      opensAt: at('2026-10-25T01:00:00Z'),
    });
  });

  it('knows the leap day', () => {
    const tuesdays = [window(['tuesday'], '09:00', '10:00', 'UTC')];
    expect(changeTime(tuesdays, [], at('2028-02-28T09:00:00Z'))).toMatchObject({
      opensAt: at('2028-02-29T09:00:00Z'),
    });
    expect(changeTime(tuesdays, [], at('2028-02-29T10:00:00Z'))).toMatchObject({
      opensAt: at('2028-03-07T09:00:00Z'),
    });
  });
});

describe('blackouts', () => {
  const season: Blackout = { from: '2026-03-02T00:00:00Z', to: '2026-03-09T00:00:00Z', reason: 'season' };
  const next: Blackout = { from: '2026-03-09T00:00:00Z', to: '2026-03-10T12:34:56Z', reason: 'audit' };

  it('hold by themselves, and end to the instant', () => {
    expect(changeTime([], [season], at('2026-03-04T00:00:00Z'))).toEqual({
      open: false,
      opensAt: at('2026-03-09T00:00:00Z'),
      why: 'a blackout: season',
    });
    expect(changeTime([], [season], at('2026-03-09T00:00:00Z'))).toEqual({ open: true });
  });

  it('that adjoin or overlap are one', () => {
    const within: Blackout = {
      from: '2026-03-05T00:00:00Z',
      to: '2026-03-06T00:00:00Z',
      reason: 'load test',
    };
    expect(changeTime([], [next, within, season], at('2026-03-05T12:00:00Z'))).toMatchObject({
      opensAt: at('2026-03-10T12:34:56Z'),
    });
  });

  it('that end inside a window open it there; a window that lies in one is left out', () => {
    const daily = [window(WEEKDAYS, '12:00', '14:00', 'UTC')];
    expect(changeTime(daily, [season, next], at('2026-03-04T13:00:00Z'))).toMatchObject({
      opensAt: at('2026-03-10T12:34:56Z'),
    });
    const mondays = [window(['monday'], '12:00', '14:00', 'UTC')];
    expect(changeTime(mondays, [season, next], at('2026-03-04T13:00:00Z'))).toMatchObject({
      opensAt: at('2026-03-16T12:00:00Z'),
    });
  });

  it('a window that begins where a blackout ends opens there', () => {
    const mondays = [window(['monday'], '00:00', '01:00', 'UTC')];
    expect(changeTime(mondays, [season], at('2026-03-04T13:00:00Z'))).toMatchObject({
      opensAt: at('2026-03-09T00:00:00Z'),
    });
  });

  it('that cover all windows for years leave the first one after them', () => {
    const long: Blackout = {
      from: '2026-01-01T00:00:00Z',
      to: '2031-01-01T00:00:00Z',
      reason: 'end of life',
    };
    expect(
      changeTime([window(['monday'], '09:00', '10:00', 'UTC')], [long], at('2026-03-04T13:00:00Z')),
    ).toMatchObject({
      opensAt: at('2031-01-06T09:00:00Z'),
    });
  });

  it('many in a row are all left behind', () => {
    const many = Array.from({ length: 100 }, (_, index): Blackout => {
      const from = at('2026-03-02T11:00:00Z') + index * DAY;
      return { from: formatInstant(from), to: formatInstant(from + 4 * 60 * MINUTE), reason: `day ${index}` };
    });
    const daily = [window(WEEKDAYS, '12:00', '14:00', 'UTC')];
    expect(changeTime(daily, many, at('2026-03-02T12:00:00Z'))).toMatchObject({
      opensAt: at('2026-03-02T12:00:00Z') + 100 * DAY,
    });
  });
});

describe('at every minute, it agrees with a clock that is read minute by minute', () => {
  const zones = ['UTC', 'Europe/Vienna', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu'];
  const times = fc
    .tuple(fc.integer({ min: 0, max: 23 }), fc.constantFrom(0, 0, 15, 30, 59))
    .map(([hour, minute]) => `${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`);
  const windows = fc.record({
    weekdays: fc.uniqueArray(fc.constantFrom(...WEEKDAYS), { minLength: 1, maxLength: 3 }),
    from: fc.oneof(times, fc.constantFrom('01:30', '02:00', '02:15', '02:30', '03:00', '00:00', '23:30')),
    to: fc.oneof(times, fc.constantFrom('02:00', '02:45', '03:00', '00:00', '00:30')),
    timeZone: fc.constantFrom(...zones),
  });
  // Days around which clocks are set somewhere, a leap day, a turn of the year.
  const around = fc
    .tuple(
      fc.constantFrom(
        '2026-03-08',
        '2026-03-29',
        '2026-04-05',
        '2026-10-04',
        '2026-10-25',
        '2026-11-01',
        '2028-02-29',
        '2026-12-31',
      ),
      fc.integer({ min: -3 * 1_440, max: 2 * 1_440 }),
    )
    .map(([day, minutes]) => at(`${day}T00:00:00Z`) + minutes * MINUTE);
  const blackouts = fc.array(
    fc.tuple(fc.integer({ min: -2_000, max: 4_000 }), fc.integer({ min: 1, max: 3_000 })),
    { maxLength: 3 },
  );

  it('over random windows, blackouts and days', () => {
    let looks = 0;
    fc.assert(
      fc.property(
        fc.array(windows, { minLength: 1, maxLength: 3 }),
        blackouts,
        around,
        (some, spans, begins) => {
          const black = spans.map(([from, length]): Blackout => ({
            from: formatInstant(begins + from * MINUTE),
            to: formatInstant(begins + (from + length) * MINUTE),
            reason: 'r',
          }));
          const expected = oracleOpensAt(some, black, begins, 17);
          const found = changeTime(some, black, begins);
          looks += 1;
          if (found.open) expect(begins).toBe(expected);
          else expect([found.opensAt, formatInstant(begins)]).toEqual([expected, formatInstant(begins)]);
        },
      ),
      { numRuns: 40 },
    );
    expect(looks).toBeGreaterThanOrEqual(40);
  });

  it('at each minute of the days the clocks are set', () => {
    let agreed = 0;
    for (const [timeZone, day] of [
      ['Europe/Vienna', '2026-03-28T18:00:00Z'],
      ['Europe/Vienna', '2026-10-24T18:00:00Z'],
      ['America/New_York', '2026-03-08T00:00:00Z'],
      ['America/New_York', '2026-11-01T00:00:00Z'],
      ['Australia/Lord_Howe', '2026-04-04T10:00:00Z'],
      ['Australia/Lord_Howe', '2026-10-03T10:00:00Z'],
    ] as const) {
      for (const [from, to] of [
        ['02:00', '03:00'],
        ['02:15', '02:45'],
        ['23:30', '02:15'],
        ['01:00', '02:00'],
      ] as const) {
        const sundays = [window(['sunday'], from, to, timeZone)];
        for (let instant = at(day); instant < at(day) + DAY / 2; instant += MINUTE) {
          if (changeTime(sundays, [], instant).open === oracleOpen(sundays, [], instant)) agreed += 1;
        }
      }
    }
    expect(agreed).toBe(6 * 4 * 720);
  });
});

it('knows which zones there are', () => {
  for (const zone of ['Europe/Vienna', 'UTC', 'Australia/Lord_Howe']) expect(isTimeZone(zone)).toBe(true);
  for (const zone of ['Europe/Atlantis', '', 'Vienna']) expect(isTimeZone(zone)).toBe(false);
});

describe('a family’s change windows inside its policy’s', () => {
  const policy = [{ weekdays: ['saturday' as const], from: '02:00', to: '06:00', timeZone: 'UTC' }];
  const at = (text: string): number => Date.parse(text);

  it('are open where both are', () => {
    const own = [{ weekdays: ['saturday' as const], from: '05:00', to: '09:00', timeZone: 'UTC' }];
    expect(changeTime(own, [], at('2026-03-07T05:30:00.000Z'), policy)).toEqual({ open: true });
    expect(changeTime(own, [], at('2026-03-07T07:00:00.000Z'), policy)).toMatchObject({
      open: false,
      opensAt: at('2026-03-14T05:00:00.000Z'),
    });
    expect(changeTime(own, [], at('2026-03-07T03:00:00.000Z'), policy)).toMatchObject({
      open: false,
      opensAt: at('2026-03-07T05:00:00.000Z'),
    });
  });

  it('an empty list of its own leaves the policy’s', () => {
    expect(changeTime([], [], at('2026-03-02T09:00:00.000Z'), policy)).toMatchObject({
      opensAt: at('2026-03-07T02:00:00.000Z'),
    });
  });

  it('a blackout over the common time moves it to the next week', () => {
    const own = [{ weekdays: ['saturday' as const], from: '05:00', to: '09:00', timeZone: 'UTC' }];
    const blackout = {
      from: '2026-03-07T00:00:00.000Z',
      to: '2026-03-08T00:00:00.000Z',
      reason: 'a launch',
    };
    expect(changeTime(own, [blackout], at('2026-03-02T09:00:00.000Z'), policy)).toMatchObject({
      opensAt: at('2026-03-14T05:00:00.000Z'),
    });
  });

  it('that never meet open never', () => {
    const own = [{ weekdays: ['monday' as const], from: '05:00', to: '09:00', timeZone: 'UTC' }];
    const time = changeTime(own, [], at('2026-03-02T09:00:00.000Z'), policy);
    expect(time.open).toBe(false);
    expect('opensAt' in time).toBe(false);
  });
});
