import { DomainError } from '#eventlog';
import { calendarText, longestGap } from '../domain/calendar-rule.js';
import { formatDuration, milliseconds } from '../domain/duration.js';
import type { PolicyTerms } from '../domain/policy.events.js';
import { isTimeZone } from '../domain/zoned-time.js';

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
  const gap = longestGap(calendar);
  if (gap > milliseconds(stopEmitting)) {
    const message = `must not contradict stopEmitting: the ${calendarText(calendar)} comes up to ${formatDuration(gap)} apart, and ${stopEmitting} is shorter; choose one`;
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
