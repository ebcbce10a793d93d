import { parseInstant } from '#eventlog';
import { WEEKDAYS, type Blackout, type ChangeWindow } from './calendar.js';
import {
  DAY_MS,
  instantsShowing,
  localTime,
  minuteOf,
  MINUTE_MS,
  offsetChanges,
  wallOf,
  weekdayOf,
} from './zoned-time.js';

/** When forward steps that change what is accepted or emitted may begin. */
export type ChangeTime =
  | { readonly open: true }
  /** `opensAt` is absent where no window opens between blackouts. */
  | { readonly open: false; readonly opensAt?: number; readonly why: string };

/** A weekly window that a gap of the clocks swallows opens in the week after. */
const FARTHEST_DAYS = 15;

function opensOn({ weekdays }: ChangeWindow, weekday: number): boolean {
  const name = WEEKDAYS[(weekday + 7) % 7];
  return name !== undefined && weekdays.includes(name);
}

/** By the wall clock of its zone. `to` not after `from` is on the next day; both the same: a whole day. */
function isOpen(window: ChangeWindow, instant: number): boolean {
  const { weekday, minute } = localTime(instant, window.timeZone);
  const from = minuteOf(window.from);
  const to = minuteOf(window.to);
  if (from < to) return opensOn(window, weekday) && minute >= from && minute < to;
  return (opensOn(window, weekday) && minute >= from) || (opensOn(window, weekday - 1) && minute < to);
}

/**
 * The first instant after `after` at which this window begins to be open. A window begins where the wall clock reaches its
 * `from`, or where the clock is set and lands inside it.
 */
function nextOpening(window: ChangeWindow, after: number): number | undefined {
  const { timeZone } = window;
  const midnight = Math.floor(wallOf(after, timeZone) / DAY_MS) * DAY_MS;
  const changes = offsetChanges(after - DAY_MS, after + FARTHEST_DAYS * DAY_MS, timeZone);
  let earliest = changes.find((change) => change > after && isOpen(window, change));
  for (let day = 0; day <= FARTHEST_DAYS; day += 1) {
    const wall = midnight + day * DAY_MS + minuteOf(window.from) * MINUTE_MS;
    if (!opensOn(window, weekdayOf(wall))) continue;
    const begins = instantsShowing(wall, timeZone).find((instant) => instant > after);
    if (begins === undefined) continue;
    earliest = Math.min(begins, earliest ?? begins);
    break;
  }
  return earliest;
}

interface BlackoutSpan {
  readonly from: number;
  readonly until: number;
  readonly reason: string;
}

function spansOf(blackouts: readonly Blackout[]): readonly BlackoutSpan[] {
  return blackouts.map(({ from, to, reason }) => ({
    from: parseInstant(from) ?? Infinity,
    until: parseInstant(to) ?? -Infinity,
    reason,
  }));
}

/**
 * Whether a change may begin now, and if not, when the next moment is that lies in a window and in no blackout. `within`: the
 * policy's windows; a moment lies in one of theirs too.
 */
export function changeTime(
  windows: readonly ChangeWindow[],
  blackouts: readonly Blackout[],
  now: number,
  within: readonly ChangeWindow[] = [],
): ChangeTime {
  const spans = spansOf(blackouts);
  const blackAt = (instant: number): BlackoutSpan | undefined =>
    spans.find((span) => span.from <= instant && instant < span.until);
  const isIn = (some: readonly ChangeWindow[], instant: number): boolean =>
    some.length === 0 || some.some((window) => isOpen(window, instant));
  const inWindow = (instant: number): boolean => isIn(windows, instant) && isIn(within, instant);
  const black = blackAt(now);
  if (black === undefined && inWindow(now)) return { open: true };
  const why = black === undefined ? 'its change window' : `a blackout: ${black.reason}`;
  let at = now;
  // Windows come again every week: what is not open in the time after the last blackout never is.
  const limit = Math.max(now, ...spans.map((span) => span.until)) + FARTHEST_DAYS * DAY_MS;
  // Each turn leaves a blackout for good or goes to the beginning of a window.
  while (at <= limit) {
    for (let span = blackAt(at); span !== undefined; span = blackAt(at)) at = span.until;
    if (inWindow(at)) return { open: false, opensAt: at, why };
    const openings = [...windows, ...within].flatMap((window) => nextOpening(window, at) ?? []);
    if (openings.length === 0) break;
    at = Math.min(...openings);
  }
  return { open: false, why };
}
