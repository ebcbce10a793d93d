import { formatInstant } from '#eventlog';
import { WEEKDAYS, type CalendarRule } from './calendar.js';
import { midnightOf, weekdayOf } from './zoned-time.js';
import { calendarText, lastOccurrence, longestGap, nextOccurrence } from './calendar-rule.js';

const DAY = 86_400_000;

const stockEase: CalendarRule = {
  nth: 2,
  weekday: 'thursday',
  of: 'quarter',
  at: '02:00',
  timeZone: 'UTC',
};

function series(rule: CalendarRule, after: string, count: number): readonly string[] {
  const found: string[] = [];
  let at = Date.parse(after);
  for (let turn = 0; turn < count; turn += 1) {
    at = nextOccurrence(rule, at);
    found.push(formatInstant(at).slice(0, 16));
  }
  return found;
}

describe('a calendar rule', () => {
  it('is the 2nd Thursday of each quarter', () => {
    expect(calendarText(stockEase)).toBe('2nd thursday of the quarter, 02:00 UTC');
    expect(series(stockEase, '2025-11-13T09:00:00Z', 5)).toEqual([
      '2026-01-08T02:00',
      '2026-04-09T02:00',
      '2026-07-09T02:00',
      '2026-10-08T02:00',
      '2027-01-14T02:00',
    ]);
  });

  it('is the last Friday of each month, over a leap February and the turn of the year', () => {
    const rule: CalendarRule = { ...stockEase, nth: 'last', weekday: 'friday', of: 'month', at: '23:30' };
    expect(series(rule, '2027-12-01T00:00:00Z', 4)).toEqual([
      '2027-12-31T23:30',
      '2028-01-28T23:30',
      '2028-02-25T23:30',
      '2028-03-31T23:30',
    ]);
  });

  it('is a Tuesday that is a leap day', () => {
    const rule: CalendarRule = { ...stockEase, nth: 'last', weekday: 'tuesday', of: 'month' };
    expect(series(rule, '2028-02-01T00:00:00Z', 1)).toEqual(['2028-02-29T02:00']);
  });

  it('keeps its wall-clock time over the change of the clocks', () => {
    const rule: CalendarRule = {
      ...stockEase,
      nth: 1,
      weekday: 'monday',
      of: 'month',
      timeZone: 'Europe/Vienna',
    };
    expect(series(rule, '2026-03-01T00:00:00Z', 2)).toEqual(['2026-03-02T01:00', '2026-04-06T00:00']);
  });

  it('in the gap is the first minute after it, in the hour that comes twice the first', () => {
    const sunday: CalendarRule = {
      nth: 'last',
      weekday: 'sunday',
      of: 'month',
      at: '02:30',
      timeZone: 'Europe/Vienna',
    };
    expect(series(sunday, '2026-03-20T00:00:00Z', 1)).toEqual(['2026-03-29T01:00']);
    expect(series(sunday, '2026-10-20T00:00:00Z', 1)).toEqual(['2026-10-25T00:30']);
  });

  it('before an instant is the occurrence at or before it', () => {
    const at = Date.parse('2026-04-09T02:00:00Z');
    expect(lastOccurrence(stockEase, at)).toBe(at);
    expect(formatInstant(lastOccurrence(stockEase, at - 1)).slice(0, 10)).toBe('2026-01-08');
    expect(nextOccurrence(stockEase, at - 1)).toBe(at);
  });

  it('never leaves more than its longest gap between two occurrences, and reaches it', () => {
    for (const period of ['month', 'quarter', 'year'] as const) {
      for (const nth of [1, 4, 'last'] as const) {
        const rule: CalendarRule = { ...stockEase, of: period, nth };
        let before = nextOccurrence(rule, Date.parse('2000-01-01T00:00:00Z'));
        let longest = 0;
        for (let turn = 0; turn < 400; turn += 1) {
          const next = nextOccurrence(rule, before);
          longest = Math.max(longest, next - before);
          before = next;
        }
        expect([period, nth, longest / DAY]).toEqual([period, nth, longestGap(rule) / DAY]);
      }
    }
  });

  it.each(WEEKDAYS)('falls on a %s', (weekday) => {
    const rule: CalendarRule = { ...stockEase, weekday, of: 'month', nth: 3 };
    for (const text of series(rule, '2026-01-01T00:00:00Z', 24)) {
      const at = new Date(`${text}:00Z`);
      expect(WEEKDAYS[(at.getUTCDay() + 6) % 7]).toBe(weekday);
      expect(at.getUTCDate()).toBeGreaterThan(14);
      expect(at.getUTCDate()).toBeLessThanOrEqual(21);
    }
  });
});

it('counts days as the calendar does, leap centuries too', () => {
  for (let day = Date.parse('1996-01-01T00:00:00Z'); day < Date.parse('2105-01-01T00:00:00Z'); day += DAY) {
    const date = new Date(day);
    const here = midnightOf(date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate());
    if (here !== day || weekdayOf(here) !== (date.getUTCDay() + 6) % 7) {
      throw new Error(`${date.toISOString()} is counted wrongly`);
    }
  }
  expect(midnightOf(0, 2026 * 12 + 13, 1)).toBe(Date.parse('2027-01-01T00:00:00Z'));
});
