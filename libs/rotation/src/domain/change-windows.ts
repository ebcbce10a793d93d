import type { Blackout, ChangeWindow, Weekday } from './calendar.js';
import { WEEKDAYS } from './calendar.js';
import { parseInstant } from '#eventlog';

/** When forward steps that change what is accepted or emitted may begin. */
export type ChangeTime =
  | { readonly open: true }
  /** `opensAt` is absent where no window opens within the next eight days of open calendar. */
  | { readonly open: false; readonly opensAt?: number; readonly why: string };

const MINUTE = 60_000;
const DAY = 86_400_000;

interface LocalTime {
  readonly weekday: Weekday;
  readonly minute: number;
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    weekday: 'long',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });
  formats.set(timeZone, made);
  return made;
}

/** Whether this zone is known here. */
export function isTimeZone(timeZone: string): boolean {
  try {
    formatOf(timeZone);
    return true;
  } catch {
    return false;
  }
}

/** What a wall clock in this zone shows at an instant. */
export function localTime(instant: number, timeZone: string): LocalTime {
  const parts = formatOf(timeZone).formatToParts(instant);
  const of = (type: Intl.DateTimeFormatPartTypes): string =>
    parts.find((part) => part.type === type)?.value ?? '';
  const name = of('weekday').toLowerCase();
  return {
    weekday: WEEKDAYS.find((weekday) => weekday === name) ?? 'monday',
    minute: Number(of('hour')) * 60 + Number(of('minute')),
    year: Number(of('year')),
    month: Number(of('month')),
    day: Number(of('day')),
  };
}

function minuteOf(timeOfDay: string): number {
  const [hours = '0', minutes = '0'] = timeOfDay.split(':');
  return Number(hours) * 60 + Number(minutes);
}

function dayBefore(weekday: Weekday): Weekday {
  return WEEKDAYS[(WEEKDAYS.indexOf(weekday) + 6) % 7] ?? weekday;
}

function isOpen(window: ChangeWindow, instant: number): boolean {
  const local = localTime(instant, window.timeZone);
  const from = minuteOf(window.from);
  const to = minuteOf(window.to);
  if (from < to) return window.weekdays.includes(local.weekday) && local.minute >= from && local.minute < to;
  return (
    (window.weekdays.includes(local.weekday) && local.minute >= from) ||
    (window.weekdays.includes(dayBefore(local.weekday)) && local.minute < to)
  );
}

/** The first instant after `after` at which this window opens; where the clocks skip its beginning, the first one after the gap. */
function nextOpening(window: ChangeWindow, after: number): number | undefined {
  const from = minuteOf(window.from);
  for (let days = 0; days <= 8; days += 1) {
    const local = localTime(after + days * DAY, window.timeZone);
    // A wall clock may be hours off an instant counted in days of 24 h: one more look puts it right, the second settles a change of
    // the offset in between.
    let candidate = after + days * DAY + (from - local.minute) * MINUTE;
    candidate -= candidate % MINUTE;
    for (let look = 0; look < 2; look += 1) {
      const shown = localTime(candidate, window.timeZone).minute;
      const off = ((shown - from + 2_160) % 1_440) - 720;
      if (off === 0) break;
      // In a gap no instant shows `from`: stepping back would leave the day's first shown minute after it.
      if (look === 1 && off > 0) break;
      candidate -= off * MINUTE;
    }
    if (candidate > after && isOpen(window, candidate)) return candidate;
  }
  return undefined;
}

function blackoutAt(
  blackouts: readonly Blackout[],
  instant: number,
): { readonly until: number; readonly reason: string } | undefined {
  return blackouts
    .map(({ from, to, reason }) => ({
      from: parseInstant(from) ?? Infinity,
      until: parseInstant(to) ?? -Infinity,
      reason,
    }))
    .find((blackout) => blackout.from <= instant && instant < blackout.until);
}

/** Whether a change may begin now, and if not, when the next moment is that lies in a window and in no blackout. */
export function changeTime(
  windows: readonly ChangeWindow[],
  blackouts: readonly Blackout[],
  now: number,
): ChangeTime {
  const free = (instant: number): boolean =>
    (windows.length === 0 || windows.some((window) => isOpen(window, instant))) &&
    blackoutAt(blackouts, instant) === undefined;
  if (free(now)) return { open: true };
  const black = blackoutAt(blackouts, now);
  const why = black === undefined ? 'its change window' : `a blackout: ${black.reason}`;
  // At most one turn for each blackout and window beginning in between.
  let at = now;
  for (let turn = 0; turn < blackouts.length + 10; turn += 1) {
    const blocked = blackoutAt(blackouts, at);
    if (blocked !== undefined) at = blocked.until;
    if (free(at)) return { open: false, opensAt: at, why };
    const openings = windows.flatMap((window) => nextOpening(window, at) ?? []);
    if (openings.length === 0) break;
    at = Math.min(...openings);
    if (free(at)) return { open: false, opensAt: at, why };
  }
  return { open: false, why };
}
