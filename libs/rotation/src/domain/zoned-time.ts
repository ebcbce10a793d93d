/** Wall clocks of time zones. The zone's rules come from the platform's copy of the IANA database. */

export const MINUTE_MS = 60_000;
export const DAY_MS = 86_400_000;

/** What a wall clock in a zone shows. */
export interface LocalTime {
  /** 0 is Monday. */
  readonly weekday: number;
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  /** Minutes since its midnight. */
  readonly minute: number;
}

/** Midnight of a day of the (proleptic) Gregorian calendar as if it were UTC; months past December go on into the next years. */
export function midnightOf(year: number, month: number, day: number): number {
  // Years are counted from March, so that the leap day is their last day.
  const months = year * 12 + month - 3;
  const marchYear = Math.floor(months / 12);
  const monthOfYear = months - marchYear * 12;
  const leaps = Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400);
  const days = marchYear * 365 + leaps + Math.floor((153 * monthOfYear + 2) / 5) + day - 1;
  return (days - DAYS_TO_1970) * DAY_MS;
}

/** From 1 March of year 0. */
const DAYS_TO_1970 = 719_468;

/** The weekday of a wall clock's reading (see `wallOf`); 0 is Monday. 1970 began with a Thursday. */
export function weekdayOf(wall: number): number {
  return (((Math.floor(wall / DAY_MS) + 3) % 7) + 7) % 7;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const made = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
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
  const shown = { year: 0, month: 0, day: 0, hour: 0, minute: 0 };
  for (const { type, value } of formatOf(timeZone).formatToParts(instant)) {
    if (type in shown) shown[type as keyof typeof shown] = Number(value);
  }
  const { year, month, day, hour, minute } = shown;
  return {
    year,
    month,
    day,
    minute: hour * 60 + minute,
    weekday: weekdayOf(midnightOf(year, month, day)),
  };
}

/** The wall clock's reading as if it were UTC: comparable, and a day of it always has 24 hours. */
export function wallOf(instant: number, timeZone: string): number {
  const { year, month, day, minute } = localTime(instant, timeZone);
  return midnightOf(year, month, day) + minute * MINUTE_MS;
}

function offsetAt(instant: number, timeZone: string): number {
  return wallOf(instant, timeZone) - Math.floor(instant / MINUTE_MS) * MINUTE_MS;
}

/** The instants at which the wall clock shows this reading (see `wallOf`): one, two where it is set back, none in a gap. */
export function instantsShowing(wall: number, timeZone: string): readonly number[] {
  const offsets = new Set([offsetAt(wall - DAY_MS, timeZone), offsetAt(wall + DAY_MS, timeZone)]);
  return [...offsets]
    .map((offset) => wall - offset)
    .filter((instant) => wallOf(instant, timeZone) === wall)
    .sort((left, right) => left - right);
}

/** When the wall clock is set forward or back between two instants, to the minute. */
export function offsetChanges(from: number, to: number, timeZone: string): readonly number[] {
  const changes: number[] = [];
  for (let day = from; day < to; day += DAY_MS) {
    let low = day;
    let high = Math.min(day + DAY_MS, to);
    if (offsetAt(low, timeZone) === offsetAt(high, timeZone)) continue;
    while (high - low > MINUTE_MS) {
      const middle = low + Math.floor((high - low) / (2 * MINUTE_MS)) * MINUTE_MS;
      if (offsetAt(middle, timeZone) === offsetAt(low, timeZone)) low = middle;
      else high = middle;
    }
    // The change lies on a whole minute, the search may stand within one.
    changes.push(Math.floor(high / MINUTE_MS) * MINUTE_MS);
  }
  return changes;
}

/**
 * The first instant at which the wall clock shows this reading or, where it is skipped, the first after the gap: what is to
 * happen at 02:30 happens once in the night the clocks change, and not a week later.
 */
export function firstAtOrAfter(wall: number, timeZone: string): number {
  const [shown] = instantsShowing(wall, timeZone);
  if (shown !== undefined) return shown;
  const [gap] = offsetChanges(wall - DAY_MS, wall + DAY_MS, timeZone);
  return gap ?? wall;
}

/** Minutes since midnight of a time of day such as 02:00. */
export function minuteOf(timeOfDay: string): number {
  const [hours = '0', minutes = '0'] = timeOfDay.split(':');
  return Number(hours) * 60 + Number(minutes);
}
