import type { CalendarRule } from '../domain/calendar.js';
import type { PolicyTerms } from '../domain/policy.events.js';
import { longestGapDays, termsProblems } from './policy-terms.js';

const SECOND_THURSDAY: CalendarRule = {
  nth: 2,
  weekday: 'thursday',
  of: 'quarter',
  at: '02:00',
  timeZone: 'UTC',
};
const TERMS: PolicyTerms = {
  stopEmitting: 'P90D',
  stopAccepting: 'P97D',
  margins: { clockSkew: 'PT30S', safety: 'PT5M' },
  approvals: 1,
  settle: 'PT1H',
  watch: 'PT1H',
  emergency: { approvalWithin: 'P1D', reviewWithin: 'P1D', targets: [] },
};

describe('longestGapDays', () => {
  it.each([
    // Quarters have 90 to 92 days, and a weekday moves by whole weeks.
    [SECOND_THURSDAY, 98],
    [{ ...SECOND_THURSDAY, nth: 'last' }, 98],
    [{ ...SECOND_THURSDAY, of: 'month' }, 35],
    [{ ...SECOND_THURSDAY, nth: 1, weekday: 'monday', of: 'year' }, 371],
  ] as const)('%j: %d', (rule, days) => {
    expect(longestGapDays(rule)).toBe(days);
  });

  it('is what a calendar says that is walked day by day', () => {
    for (const period of ['month', 'quarter', 'year'] as const) {
      for (const nth of [1, 2, 3, 4, 'last'] as const) {
        for (const weekday of ['sunday', 'monday', 'thursday'] as const) {
          const rule = { ...SECOND_THURSDAY, of: period, nth, weekday };
          expect({ rule, days: longestGapDays(rule) }).toEqual({ rule, days: walked(rule) });
        }
      }
    }
  });
});

/** The same by another way: every day of forty years is looked at, and counted in its period. */
const everyDay = Array.from({ length: 14_610 }, (_, index) => {
  const date = new Date(Date.UTC(2020, 0, 1 + index));
  // 2020-01-01 was a Wednesday.
  const names = ['wednesday', 'thursday', 'friday', 'saturday', 'sunday', 'monday', 'tuesday'];
  return { index, weekday: names[index % 7], year: date.getUTCFullYear(), month: date.getUTCMonth() };
});

function walked(rule: CalendarRule): number {
  const periods = new Map<string, number[]>();
  for (const { index, weekday, year, month } of everyDay) {
    if (weekday !== rule.weekday) continue;
    const key = `${year} ${{ month, quarter: Math.floor(month / 3), year: 0 }[rule.of]}`;
    const days = periods.get(key) ?? [];
    days.push(index);
    periods.set(key, days);
  }
  const named = [...periods.values()].map(
    (days) => (rule.nth === 'last' ? days.at(-1) : days[rule.nth - 1]) ?? 0,
  );
  return Math.max(...named.slice(1).map((day, index) => day - (named[index] ?? 0)));
}

describe('two cadence rules that contradict each other', () => {
  it('90 days and the 2nd Thursday of the quarter, as the StockEase playbook says both', () => {
    expect(termsProblems({ ...TERMS, calendar: SECOND_THURSDAY })).toEqual([
      {
        code: 'policy.cadence-contradicts',
        path: ['calendar'],
        message:
          'must not contradict stopEmitting: the 2nd Thursday of the quarter comes up to 98 days apart, and P90D is shorter; choose one',
      },
    ]);
  });

  it('agree where the period is as long as the longest gap, and no shorter', () => {
    const agree = { ...TERMS, calendar: SECOND_THURSDAY, stopAccepting: 'P105D' };
    expect(termsProblems({ ...agree, stopEmitting: 'P98D' })).toEqual([]);
    expect(termsProblems({ ...agree, stopEmitting: 'P97DT23H' })).toHaveLength(1);
    expect(termsProblems(TERMS)).toEqual([]);
  });

  it('periods that contradict each other, and a zone nobody knows, are told beside it', () => {
    const calendar = { ...SECOND_THURSDAY, timeZone: 'Europe/Atlantis' };
    expect(termsProblems({ ...TERMS, stopAccepting: 'P1D', calendar }).map(({ code }) => code)).toEqual([
      'policy.periods-contradict',
      'policy.time-zone-unknown',
      'policy.cadence-contradicts',
    ]);
  });
});
