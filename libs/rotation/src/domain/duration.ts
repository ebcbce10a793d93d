import { z } from 'zod';

/**
 * ISO 8601 durations of a fixed length: weeks, days, hours, minutes, seconds. Years and months are refused, because
 * their length depends on where they start: write P365D or P90D. Milliseconds inside, text on paper.
 */
const FIXED =
  /^P(?=\d|T\d)(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,3}))?S)?)?$/;

/** Ten thousand days: longer ones are mistakes, and sums stay far inside whole numbers. */
const LONGEST = 10_000 * 86_400_000;

export function parseDuration(text: string): number | undefined {
  const match = FIXED.exec(text);
  if (match === null) return undefined;
  const [, weeks = '0', days = '0', hours = '0', minutes = '0', seconds = '0', fraction = ''] = match;
  const total =
    Number(weeks) * 604_800_000 +
    Number(days) * 86_400_000 +
    Number(hours) * 3_600_000 +
    Number(minutes) * 60_000 +
    Number(seconds) * 1_000 +
    Number(fraction.padEnd(3, '0'));
  return total <= LONGEST ? total : undefined;
}

/** The shortest usual form: PT0S, PT90S as PT1M30S, P90D. */
export function formatDuration(milliseconds: number): string {
  const days = Math.floor(milliseconds / 86_400_000);
  let rest = milliseconds - days * 86_400_000;
  const hours = Math.floor(rest / 3_600_000);
  rest -= hours * 3_600_000;
  const minutes = Math.floor(rest / 60_000);
  rest -= minutes * 60_000;
  const seconds = Math.floor(rest / 1_000);
  const fraction = rest - seconds * 1_000;
  const secondsText = fraction === 0 ? `${seconds}` : `${seconds}.${String(fraction).padStart(3, '0')}`;
  const time =
    (hours > 0 ? `${hours}H` : '') +
    (minutes > 0 ? `${minutes}M` : '') +
    (seconds > 0 || fraction > 0 ? `${secondsText}S` : '');
  if (days === 0 && time === '') return 'PT0S';
  return `P${days > 0 ? `${days}D` : ''}${time === '' ? '' : `T${time}`}`;
}

/** A duration inside an event or a request. */
export const durationSchema = z.string().refine((text) => parseDuration(text) !== undefined, {
  message:
    'must be an ISO 8601 duration in weeks, days, hours, minutes or seconds, such as P90D or PT10M (no years or months)',
});

/** Milliseconds of a duration that was validated before; 0 where it is absent. */
export function milliseconds(duration: string | undefined): number {
  return duration === undefined ? 0 : (parseDuration(duration) ?? 0);
}
