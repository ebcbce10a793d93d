import { DomainError, parseInstant } from '#eventlog';
import type { Blackout, CalendarRule, ChangeWindow } from './calendar.js';
import { calendarText, longestGap } from './calendar-rule.js';
import { formatDuration, milliseconds } from './duration.js';
import type { Cohort, PolicyTerms } from './policy.events.js';
import { isTimeZone } from './zoned-time.js';

/** Rules about when: two that contradict each other are refused where the second is written, never resolved in silence. */

export interface RuleProblem {
  readonly code:
    | 'policy.periods-contradict'
    | 'policy.cadence-contradicts'
    | 'schedule.lengthens-policy'
    | 'time-zone.unknown'
    | 'blackout.ends-before-it-begins'
    | 'cohorts.not-whole'
    | 'cohorts.not-rising';
  /** Inside what was looked at. */
  readonly path: readonly string[];
  readonly message: string;
}

interface Times {
  readonly calendar?: CalendarRule | undefined;
  readonly changeWindows?: readonly ChangeWindow[] | undefined;
  readonly blackouts?: readonly Blackout[] | undefined;
}

/** Time zones nobody knows, and blackouts that end before they begin. */
function timesProblems({ calendar, changeWindows = [], blackouts = [] }: Times): readonly RuleProblem[] {
  const zones: readonly (readonly [string, readonly string[]])[] = [
    ...(calendar === undefined ? [] : [[calendar.timeZone, ['calendar', 'timeZone']] as const]),
    ...changeWindows.map(
      ({ timeZone }, index) => [timeZone, ['changeWindows', String(index), 'timeZone']] as const,
    ),
  ];
  return [
    ...zones
      .filter(([zone]) => !isTimeZone(zone))
      .map(([, path]) => ({
        code: 'time-zone.unknown' as const,
        path,
        message: 'must be a time zone that is known here, such as Europe/Vienna or UTC',
      })),
    ...blackouts.flatMap(({ from, to }, index) =>
      (parseInstant(to) ?? 0) > (parseInstant(from) ?? 0)
        ? []
        : [
            {
              code: 'blackout.ends-before-it-begins' as const,
              path: ['blackouts', String(index), 'to'],
              message: `must be later than from: this blackout would end (${to}) before it begins (${from})`,
            },
          ],
    ),
  ];
}

/** A calendar that may leave more time between two rotations than a version may emit. */
function gapProblems(
  calendar: CalendarRule | undefined,
  stopEmitting: string,
  code: 'policy.cadence-contradicts' | 'schedule.lengthens-policy',
): readonly RuleProblem[] {
  if (calendar === undefined || longestGap(calendar) <= milliseconds(stopEmitting)) return [];
  const apart = `the ${calendarText(calendar)} comes up to ${formatDuration(longestGap(calendar))} apart`;
  return [
    {
      code,
      path: ['calendar'],
      message:
        code === 'policy.cadence-contradicts'
          ? `must not contradict stopEmitting: ${apart}, and ${stopEmitting} is shorter; choose one`
          : `must not lengthen the policy’s period: ${apart}, and a version stops emitting after ${stopEmitting}`,
    },
  ];
}

/** Cohorts that do not rise to 100 %. */
export function cohortProblems(cohorts: readonly Cohort[]): readonly RuleProblem[] {
  const last = cohorts.at(-1)?.share;
  if (last !== 100) {
    return [
      {
        code: 'cohorts.not-whole',
        path: [],
        message: `must end at 100 %: the last cohort brings emission to ${last ?? 0} %`,
      },
    ];
  }
  return cohorts.flatMap((cohort, index) =>
    cohort.share > (cohorts[index - 1]?.share ?? 0)
      ? []
      : [
          {
            code: 'cohorts.not-rising' as const,
            path: [String(index), 'share'],
            message: 'must bring emission to more than the cohort before',
          },
        ],
  );
}

/** What in a policy's terms contradicts itself. */
export function termsProblems(terms: PolicyTerms): readonly RuleProblem[] {
  const { stopEmitting, stopAccepting, calendar, cohorts = [] } = terms;
  const periods: readonly RuleProblem[] =
    milliseconds(stopAccepting) >= milliseconds(stopEmitting)
      ? []
      : [
          {
            code: 'policy.periods-contradict',
            path: ['stopAccepting'],
            message: 'must not be shorter than stopEmitting: what still emits must be accepted',
          },
        ];
  return [
    ...periods,
    ...timesProblems(terms),
    ...gapProblems(calendar, stopEmitting, 'policy.cadence-contradicts'),
    ...(cohorts.length === 0
      ? []
      : cohortProblems(cohorts).map((problem) => ({ ...problem, path: ['cohorts', ...problem.path] }))),
  ];
}

/** What in a family's own schedule contradicts itself, or the policy's period. */
export function scheduleProblems(schedule: Times, stopEmitting: string): readonly RuleProblem[] {
  return [
    ...timesProblems(schedule),
    ...gapProblems(schedule.calendar, stopEmitting, 'schedule.lengthens-policy'),
  ];
}

/** Throws the first of them; `at` is where what was looked at stands in what was sent. */
export function requireNone(problems: readonly RuleProblem[], at: readonly string[] = []): void {
  const [first] = problems;
  if (first === undefined) return;
  const field = [...at, ...first.path].join('.');
  throw new DomainError(first.code, `${field} ${first.message}`, { field });
}
