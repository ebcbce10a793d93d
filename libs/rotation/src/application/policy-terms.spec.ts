import type { CalendarRule } from '../domain/calendar.js';
import type { PolicyTerms } from '../domain/policy.events.js';
import { termsProblems } from './policy-terms.js';

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

describe('two cadence rules that contradict each other', () => {
  it('90 days and the 2nd Thursday of the quarter, as the StockEase playbook says both', () => {
    expect(termsProblems({ ...TERMS, calendar: SECOND_THURSDAY })).toEqual([
      {
        code: 'policy.cadence-contradicts',
        path: ['calendar'],
        message:
          'must not contradict stopEmitting: the 2nd thursday of the quarter, 02:00 UTC comes up to P98D apart, and P90D is shorter; choose one',
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
