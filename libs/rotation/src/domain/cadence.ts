import { DomainError, parseInstant } from '#eventlog';
import type { Blackout, CalendarRule, ChangeWindow } from './calendar.js';
import { calendarText, longestGap } from './calendar-rule.js';
import { formatDuration, milliseconds } from './duration.js';
import type { Cohort, PolicyTerms } from './policy.events.js';
import { isTimeZone } from './zoned-time.js';

/** Rules about when: two of them that contradict each other are refused where the second is written, never resolved in silence. */

interface Times {
  readonly calendar?: CalendarRule | undefined;
  readonly changeWindows?: readonly ChangeWindow[] | undefined;
  readonly blackouts?: readonly Blackout[] | undefined;
}

/** Refuses time zones nobody knows and blackouts that end before they begin. `at`: where these stand in what was sent. */
export function requireTimes({ calendar, changeWindows = [], blackouts = [] }: Times, at: string): void {
  const zones = [
    ...(calendar === undefined ? [] : [[calendar.timeZone, `${at}calendar.timeZone`] as const]),
    ...changeWindows.map(
      (window, index) => [window.timeZone, `${at}changeWindows.${index}.timeZone`] as const,
    ),
  ];
  for (const [zone, field] of zones) {
    if (!isTimeZone(zone)) {
      throw new DomainError(
        'time-zone.unknown',
        `there is no time zone ${zone}: write an IANA name such as Europe/Vienna, or UTC`,
        { field },
      );
    }
  }
  for (const [index, { from, to }] of blackouts.entries()) {
    if ((parseInstant(to) ?? 0) <= (parseInstant(from) ?? 0)) {
      throw new DomainError(
        'blackout.ends-before-it-begins',
        `this blackout would end (${to}) before it begins (${from}): to is later than from`,
        { field: `${at}blackouts.${index}.to` },
      );
    }
  }
}

/** Refuses a calendar that may leave more time between two rotations than a version may emit. */
export function requireWithinPeriod(
  calendar: CalendarRule | undefined,
  stopEmitting: string,
  code: 'policy.cadence-contradicts' | 'schedule.lengthens-policy',
  field: string,
): void {
  if (calendar === undefined || longestGap(calendar) <= milliseconds(stopEmitting)) return;
  const gap = formatDuration(longestGap(calendar));
  throw new DomainError(
    code,
    `"${calendarText(calendar)}" leaves up to ${gap} between two rotations, and a version stops emitting after ${stopEmitting}: ` +
      `rotate more often, or allow at least ${gap}`,
    { field, longestGap: gap, stopEmitting },
  );
}

/** Refuses cohorts that do not rise to 100 %. */
export function requireWholeCohorts(cohorts: readonly Cohort[], field: string): void {
  const last = cohorts.at(-1)?.share;
  if (last !== 100) {
    throw new DomainError(
      'cohorts.not-whole',
      `the last cohort brings emission to ${last ?? 0} %: it must end at 100 %`,
      { field },
    );
  }
  const falling = cohorts.findIndex((cohort, index) => cohort.share <= (cohorts[index - 1]?.share ?? 0));
  if (falling >= 0) {
    throw new DomainError(
      'cohorts.not-rising',
      'each cohort must bring emission to more than the one before',
      { field: `${field}.${falling}.share` },
    );
  }
}

/** Refuses terms whose rules contradict each other. */
export function requireSoundTerms(terms: PolicyTerms): void {
  if (milliseconds(terms.stopAccepting) < milliseconds(terms.stopEmitting)) {
    throw new DomainError(
      'policy.periods-contradict',
      `a version would still emit (until ${terms.stopEmitting}) when it is no longer accepted (${terms.stopAccepting}): stopAccepting is at least stopEmitting`,
      { field: 'terms.stopAccepting' },
    );
  }
  requireTimes(terms, 'terms.');
  requireWithinPeriod(terms.calendar, terms.stopEmitting, 'policy.cadence-contradicts', 'terms.calendar');
  if (terms.cohorts !== undefined) requireWholeCohorts(terms.cohorts, 'terms.cohorts');
}
