import { formatInstant } from '#eventlog';
import { frozenFold, recorded } from '#eventlog/testing';
import { termsProblems } from './cadence.js';
import type { CalendarRule } from './calendar.js';
import { familyDecider, initialFamily, type FamilyState } from './family.decider.js';
import type { FamilyDetails } from './family.events.js';
import { TERMS_WITHOUT_POLICY } from './plan.js';
import {
  initialPolicy,
  policyDecider,
  standingFor,
  type PolicyCommand,
  type PolicyState,
} from './policy.decider.js';
import type { NewPolicyEvent, PolicyDetails, PolicyTerms } from './policy.events.js';

const NOW = Date.parse('2026-03-02T09:00:00.000Z');
const DAY = 86_400_000;
const [AUTHOR, APPROVER, ASKER] = ['author', 'approver', 'asker'];

/** StockEase's own two rules: 90 days, and "2nd Thursday of the quarter, 02:00". */
const quarterly: CalendarRule = { nth: 2, weekday: 'thursday', of: 'quarter', at: '02:00', timeZone: 'UTC' };

function details(terms: Partial<PolicyTerms> = {}): PolicyDetails {
  return {
    name: 'session keys',
    selector: {},
    terms: { ...TERMS_WITHOUT_POLICY, ...terms },
    basis: { setBy: 'CISO', riskAnalysis: 'RA-7', reviewedOn: '2026-01-01', nextReview: '2027-01-01' },
    effectiveFrom: formatInstant(NOW),
  };
}

function fold(events: readonly (readonly [NewPolicyEvent, string])[]): PolicyState {
  return frozenFold(
    policyDecider,
    events.map(([event, actor], revision) => recorded(event, { actor, revision, recordedAt: NOW })),
  );
}

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
  return 'accepted';
}

const define = (terms: Partial<PolicyTerms>): string =>
  codeOf(() =>
    policyDecider.decide({ type: 'DefinePolicy', details: details(terms), now: NOW }, initialPolicy),
  );

describe('rules of one policy that contradict each other', () => {
  it.each<[string, Partial<PolicyTerms>, string]>([
    ['90 days, and a quarter that may have 98', { calendar: quarterly }, 'policy.cadence-contradicts'],
    ['98 days and the quarter', { calendar: quarterly, stopEmitting: 'P98D' }, 'accepted'],
    ['97 days and the quarter', { calendar: quarterly, stopEmitting: 'P97D' }, 'policy.cadence-contradicts'],
    ['90 days and each month', { calendar: { ...quarterly, of: 'month' } }, 'accepted'],
    [
      'a year and the year',
      { calendar: { ...quarterly, of: 'year' }, stopEmitting: 'P365D', stopAccepting: 'P400D' },
      'policy.cadence-contradicts',
    ],
    [
      'accepted shorter than emitting',
      { stopEmitting: 'P90D', stopAccepting: 'P89D' },
      'policy.periods-contradict',
    ],
    ['accepted as long as emitting', { stopEmitting: 'P90D', stopAccepting: 'P90D' }, 'accepted'],
    [
      'cohorts that end at 75 %',
      {
        cohorts: [
          { share: 25, hold: 'P7D' },
          { share: 75, hold: 'P7D' },
        ],
      },
      'cohorts.not-whole',
    ],
    [
      'cohorts that fall',
      {
        cohorts: [
          { share: 50, hold: 'P7D' },
          { share: 25, hold: 'P7D' },
          { share: 100, hold: 'PT0S' },
        ],
      },
      'cohorts.not-rising',
    ],
    [
      'cohorts that are whole',
      {
        cohorts: [
          { share: 25, hold: 'P7D' },
          { share: 100, hold: 'PT0S' },
        ],
      },
      'accepted',
    ],
    [
      'a zone nobody knows',
      { calendar: { ...quarterly, of: 'month', timeZone: 'Europe/Atlantis' } },
      'time-zone.unknown',
    ],
    [
      'a window in such a zone',
      { changeWindows: [{ weekdays: ['monday'], from: '02:00', to: '04:00', timeZone: 'Vienna' }] },
      'time-zone.unknown',
    ],
    [
      'a blackout turned round',
      { blackouts: [{ from: '2026-12-31T00:00:00.000Z', to: '2026-12-01T00:00:00.000Z', reason: 'season' }] },
      'blackout.ends-before-it-begins',
    ],
  ])('%s', (_, terms, code) => {
    expect(define(terms)).toBe(code);
    const defined = fold([[{ type: 'PolicyDefined', data: details() }, AUTHOR]]);
    const { selector: _selector, ...amended } = details({ ...terms, approvals: 3 });
    expect(
      codeOf(() => policyDecider.decide({ type: 'AmendPolicy', details: amended, now: NOW }, defined)),
    ).toBe(code);
  });

  it('are all told at once where a file is read', () => {
    const calendar = { ...quarterly, timeZone: 'Europe/Atlantis' };
    const terms = details({ stopAccepting: 'P1D', calendar, cohorts: [{ share: 10, hold: 'P1D' }] }).terms;
    expect(termsProblems(terms).map(({ code, path }) => [code, path.join('.')])).toEqual([
      ['policy.periods-contradict', 'stopAccepting'],
      ['time-zone.unknown', 'calendar.timeZone'],
      ['policy.cadence-contradicts', 'calendar'],
      ['cohorts.not-whole', 'cohorts'],
    ]);
  });

  it('say by how much', () => {
    expect(() =>
      policyDecider.decide(
        { type: 'DefinePolicy', details: details({ calendar: quarterly }), now: NOW },
        initialPolicy,
      ),
    ).toThrow(/2nd thursday of the quarter, 02:00 UTC.*up to P98D.*P90D/);
  });
});

describe('a family’s own schedule', () => {
  const family: FamilyState = {
    ...initialFamily,
    exists: true,
    // Only what a schedule asks of a family: that it is there.
    details: {} as FamilyDetails,
  };
  const set = (calendar: CalendarRule, stopEmitting: string): string =>
    codeOf(() => familyDecider.decide({ type: 'SetSchedule', schedule: { calendar }, stopEmitting }, family));

  it('places work inside the policy’s period and never lengthens it', () => {
    expect(set(quarterly, 'P90D')).toBe('schedule.lengthens-policy');
    expect(set(quarterly, 'P98D')).toBe('accepted');
    expect(set({ ...quarterly, timeZone: 'Nowhere' }, 'P98D')).toBe('time-zone.unknown');
  });

  it('is refused where its change windows never meet the policy’s', () => {
    const window = (weekday: 'monday' | 'friday') => ({
      weekdays: [weekday],
      from: '10:00',
      to: '11:00',
      timeZone: 'UTC',
    });
    const within = { changeWindows: [window('monday')], now: 0 };
    const setting = (weekday: 'monday' | 'friday'): string =>
      codeOf(() =>
        familyDecider.decide(
          {
            type: 'SetSchedule',
            schedule: { changeWindows: [window(weekday)] },
            stopEmitting: 'P90D',
            within,
          },
          family,
        ),
      );
    expect(setting('friday')).toBe('schedule.outside-policy');
    expect(setting('monday')).toBe('accepted');
  });

  it('is set once, of a family that is there', () => {
    const schedule = { calendar: { ...quarterly, of: 'month' as const } };
    const command = { type: 'SetSchedule', schedule, stopEmitting: 'P90D' } as const;
    expect(familyDecider.decide(command, family)).toEqual([{ type: 'ScheduleSet', data: schedule }]);
    expect(familyDecider.decide(command, { ...family, schedule })).toEqual([]);
    expect(codeOf(() => familyDecider.decide(command, initialFamily))).toBe('family.not-found');
  });
});

describe('whoever approves names what was read', () => {
  const { selector: _selector, ...amendment } = details({ approvals: 2 });
  const amended = fold([
    [{ type: 'PolicyDefined', data: details() }, AUTHOR],
    [{ type: 'PolicyApproved', data: { revision: 0 } }, APPROVER],
    [{ type: 'PolicyAmended', data: amendment }, AUTHOR],
  ]);
  const approve = (revision?: number): string =>
    codeOf(() =>
      policyDecider.decide(
        { type: 'ApprovePolicy', subject: APPROVER, ...(revision === undefined ? {} : { revision }) },
        amended,
      ),
    );

  it('an amendment is approved by its revision, not unseen and not for another', () => {
    expect([approve(), approve(0), approve(2)]).toEqual([
      'policy.revision-missing',
      'policy.other-revision',
      'accepted',
    ]);
  });
});

describe('a standing approval', () => {
  const approved: readonly (readonly [NewPolicyEvent, string])[] = [
    [{ type: 'PolicyDefined', data: details() }, AUTHOR],
    [{ type: 'PolicyApproved', data: { revision: 0 } }, APPROVER],
  ];
  const grant = (change: Partial<PolicyCommand & { readonly type: 'GrantStandingApproval' }> = {}) =>
    ({
      type: 'GrantStandingApproval',
      approval: 'a1',
      subject: APPROVER,
      until: formatInstant(NOW + 90 * DAY),
      reason: 'CAB-1182',
      strategies: ['graceful'],
      now: NOW,
      ...change,
    }) as const;
  const granting = (
    change: Parameters<typeof grant>[0],
    events: readonly (readonly [NewPolicyEvent, string])[] = approved,
  ): string => codeOf(() => policyDecider.decide(grant(change), fold(events)));

  it.each<[string, Parameters<typeof grant>[0], string]>([
    ['for 90 days', {}, 'accepted'],
    ['past its end', { until: formatInstant(NOW - 1) }, 'standing.past-its-end'],
    ['that ends now', { until: formatInstant(NOW) }, 'standing.past-its-end'],
    ['for two years', { until: formatInstant(NOW + 730 * DAY) }, 'standing.too-long'],
    ['past the next review', { until: '2027-01-02T00:00:00.001Z' }, 'standing.beyond-review'],
    ['to the end of the day of the review', { until: '2027-01-02T00:00:00.000Z' }, 'accepted'],
    ['by the author of the policy', { subject: AUTHOR }, 'standing.own-policy'],
  ])('%s: %s', (_, change, code) => {
    expect(granting(change)).toBe(code);
  });

  it('needs a policy that is approved itself', () => {
    expect(granting({}, approved.slice(0, 1))).toBe('standing.policy-not-approved');
    expect(granting({}, [])).toBe('policy.not-found');
  });

  it('covers what it names, until its end, for others than who granted it, and no later revision', () => {
    const given: readonly (readonly [NewPolicyEvent, string])[] = [
      ...approved,
      ...policyDecider.decide(grant(), fold(approved)).map((event) => [event, APPROVER] as const),
    ];
    const state = fold(given);
    const covers = (strategy: string, by = ASKER, at = NOW, revision = 0): boolean =>
      standingFor(state, { revision }, strategy, by, at) !== undefined;
    expect(covers('graceful')).toBe(true);
    expect(covers('rolling')).toBe(false);
    expect(covers('emergency')).toBe(false);
    expect(covers('graceful', APPROVER)).toBe(false);
    expect(covers('graceful', ASKER, NOW + 90 * DAY - 1)).toBe(true);
    expect(covers('graceful', ASKER, NOW + 90 * DAY)).toBe(false);
    expect(covers('graceful', ASKER, NOW, 3)).toBe(false);
    const revoke = { type: 'RevokeStandingApproval', approval: 'a1', reason: 'each of them' } as const;
    const revoked = fold([
      ...given,
      ...policyDecider.decide(revoke, state).map((event) => [event, APPROVER] as const),
    ]);
    expect(standingFor(revoked, { revision: 0 }, 'graceful', ASKER, NOW)).toBeUndefined();
    expect(policyDecider.decide(revoke, revoked)).toEqual([]);
    expect(codeOf(() => policyDecider.decide({ ...revoke, approval: 'a2' }, state))).toBe(
      'standing.not-found',
    );
    expect(policyDecider.decide(grant(), state)).toEqual([]);
  });
});
