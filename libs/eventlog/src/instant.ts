import { z } from 'zod';

/**
 * RFC 3339 UTC with milliseconds, as contracts.md has it. Finer fractions are cut, never rounded up. Pure: the same
 * text gives the same number everywhere, so domain code may use it.
 */
export function formatInstant(instant: number): string {
  return new Date(instant).toISOString();
}

const RFC3339 = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(?:\.(\d+))?(Z|[+-]\d{2}:\d{2})$/;

/** As `formatInstant` writes it, on a day every month has: most of what is ever parsed, and nothing can roll over. */
const WRITTEN_BY_US = /^\d{4}-\d{2}-(?:[01]\d|2[0-8])T(?:[01]\d|2[0-3]):\d{2}:\d{2}\.\d{3}Z$/;

/** Parses RFC 3339; `undefined` where it is not one or names no real day. */
export function parseInstant(text: string): number | undefined {
  if (WRITTEN_BY_US.test(text)) {
    const written = Date.parse(text);
    return Number.isNaN(written) ? undefined : written;
  }
  const match = RFC3339.exec(text);
  if (match === null) return undefined;
  const [, day, time, fraction = '', zone] = match;
  const instant = Date.parse(`${day}T${time}.${fraction.slice(0, 3).padEnd(3, '0')}${zone}`);
  if (Number.isNaN(instant)) return undefined;
  // V8 rolls 31 February over to March: what does not come back as it went in was no real day.
  const utc = Date.parse(`${day}T${time}Z`);
  return formatInstant(utc).startsWith(`${day}T${time}`) ? instant : undefined;
}

/** An instant inside an event's data: RFC 3339 UTC text, normalised to milliseconds. */
export const instantSchema = z
  .string()
  .refine((text) => parseInstant(text) !== undefined, {
    message: 'must be an RFC 3339 instant such as 2026-01-31T09:00:00.000Z',
  })
  .transform((text) => (WRITTEN_BY_US.test(text) ? text : formatInstant(parseInstant(text) ?? 0)));
