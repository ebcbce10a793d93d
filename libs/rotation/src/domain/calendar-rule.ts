import { WEEKDAYS, type CalendarRule } from './calendar.js';
import {
  DAY_MS,
  firstAtOrAfter,
  localTime,
  midnightOf,
  minuteOf,
  MINUTE_MS,
  weekdayOf,
} from './zoned-time.js';

/**
 * "The 2nd Thursday of the quarter, 02:00" as instants. Always by the wall clock of the rule's zone: in the night the clocks go
 * forward a skipped time means the first minute after the gap, in the night they go back the first of both.
 */

const MONTHS: Readonly<Record<CalendarRule['of'], number>> = { month: 1, quarter: 3, year: 12 };

/** Days between two occurrences, at most: whole weeks over the longest month, quarter and year. */
const LONGEST_GAP_DAYS: Readonly<Record<CalendarRule['of'], number>> = { month: 35, quarter: 98, year: 371 };

/** The longest time between two occurrences of such a rule, in days of its zone as milliseconds of 24 h days. */
export function longestGap({ of }: CalendarRule): number {
  return LONGEST_GAP_DAYS[of] * DAY_MS;
}

/** How people say it. */
export function calendarText({ nth, weekday, of, at, timeZone }: CalendarRule): string {
  const ordinal = { 1: '1st', 2: '2nd', 3: '3rd', 4: '4th', last: 'last' }[nth];
  return `${ordinal ?? String(nth)} ${weekday} of the ${of}, ${at} ${timeZone}`;
}

/** The occurrence in the period that begins with this month, counted from January of year 0. */
function occurrenceIn(rule: CalendarRule, period: number): number {
  const months = MONTHS[rule.of];
  const first = midnightOf(0, period * months + 1, 1);
  const wanted = WEEKDAYS.indexOf(rule.weekday);
  let day: number;
  if (rule.nth === 'last') {
    const last = midnightOf(0, (period + 1) * months + 1, 1) - DAY_MS;
    day = last - ((weekdayOf(last) - wanted + 7) % 7) * DAY_MS;
  } else {
    day = first + (((wanted - weekdayOf(first) + 7) % 7) + (rule.nth - 1) * 7) * DAY_MS;
  }
  return firstAtOrAfter(day + minuteOf(rule.at) * MINUTE_MS, rule.timeZone);
}

function periodOf(rule: CalendarRule, instant: number): number {
  const { year, month } = localTime(instant, rule.timeZone);
  return Math.floor((year * 12 + month - 1) / MONTHS[rule.of]);
}

/** The first occurrence after an instant. */
export function nextOccurrence(rule: CalendarRule, after: number): number {
  const period = periodOf(rule, after);
  const here = occurrenceIn(rule, period);
  return here > after ? here : occurrenceIn(rule, period + 1);
}

/** The last occurrence at or before an instant. */
export function lastOccurrence(rule: CalendarRule, atOrBefore: number): number {
  const period = periodOf(rule, atOrBefore);
  const here = occurrenceIn(rule, period);
  return here <= atOrBefore ? here : occurrenceIn(rule, period - 1);
}
