import { DomainError } from '#eventlog';
import type { CalendarRule } from '../domain/calendar.js';
import { WEEKDAYS } from '../domain/calendar.js';
import { isTimeZone } from '../domain/change-windows.js';
import { milliseconds } from '../domain/duration.js';
import type { PolicyTerms } from '../domain/policy.events.js';

/** What in a policy's terms contradicts itself. */
interface TermsProblem {
  readonly code: 'policy.periods-contradict' | 'policy.cadence-contradicts' | 'policy.time-zone-unknown';
  /** Inside the terms. */
  readonly path: readonly string[];
  readonly message: string;
}

/** Rules that stand beside each other and cannot both be kept. */
export function termsProblems(terms: PolicyTerms): readonly TermsProblem[] {
  const { stopEmitting, stopAccepting, calendar } = terms;
  const found: TermsProblem[] = [];
  if (milliseconds(stopAccepting) < milliseconds(stopEmitting)) {
    const message = 'must not be shorter than stopEmitting: what still emits must be accepted';
    found.push({ code: 'policy.periods-contradict', path: ['stopAccepting'], message });
  }
  if (calendar === undefined) return found;
  if (!isTimeZone(calendar.timeZone)) {
    const message = 'must be a time zone that is known here, such as Europe/Vienna or UTC';
    found.push({ code: 'policy.time-zone-unknown', path: ['calendar', 'timeZone'], message });
  }
  const days = longestGapDays(calendar);
  if (days * DAY > milliseconds(stopEmitting)) {
    const message = `must not contradict stopEmitting: ${ruleText(calendar)} comes up to ${days} days apart, and ${stopEmitting} is shorter; choose one`;
    found.push({ code: 'policy.cadence-contradicts', path: ['calendar'], message });
  }
  return found;
}

/** Throws the first of them. */
export function requireSoundTerms(terms: PolicyTerms): void {
  const [first] = termsProblems(terms);
  if (first === undefined) return;
  const field = ['terms', ...first.path].join('.');
  throw new DomainError(first.code, `${field} ${first.message}`, { field });
}

const DAY = 86_400_000;
const MONTHS = { month: 1, quarter: 3, year: 12 } as const;
/** Weekdays and leap years stand in every order within 28 years, as long as no century interferes; with one more for the seam. */
const [FROM_YEAR, TO_YEAR] = [2001, 2030];

/** The most days between two days this rule names, one after the other. Of days, not hours: the wall clock stays the same. */
export function longestGapDays(rule: CalendarRule): number {
  const months = MONTHS[rule.of];
  const weekday = (WEEKDAYS.indexOf(rule.weekday) + 1) % 7;
  const days: number[] = [];
  for (let month = 0; month < (TO_YEAR - FROM_YEAR) * 12; month += months) {
    const first = Date.UTC(FROM_YEAR, month, 1) / DAY;
    const next = Date.UTC(FROM_YEAR, month + months, 1) / DAY;
    const dayOf = (day: number): number => new Date(day * DAY).getUTCDay();
    days.push(
      rule.nth === 'last'
        ? next - 1 - ((dayOf(next - 1) - weekday + 7) % 7)
        : first + ((weekday - dayOf(first) + 7) % 7) + (rule.nth - 1) * 7,
    );
  }
  return Math.max(...days.slice(1).map((day, index) => day - (days[index] ?? day)));
}

const ORDINALS = ['1st', '2nd', '3rd', '4th'] as const;

/** `the 2nd Thursday of the quarter`. */
function ruleText({ nth, weekday, of }: CalendarRule): string {
  const named = `${weekday.slice(0, 1).toUpperCase()}${weekday.slice(1)}`;
  return `the ${nth === 'last' ? 'last' : (ORDINALS[nth - 1] ?? '')} ${named} of the ${of}`;
}
