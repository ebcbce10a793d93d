import { z } from 'zod';

/**
 * RFC 3339 UTC with milliseconds, as contracts.md has it. Finer fractions are cut, never rounded up. Pure: the same
 * text gives the same number everywhere, so domain code may use it.
 */
export function formatInstant(instant: number): string {
  return new Date(instant).toISOString();
}

const RFC3339 = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(?:\.(\d+))?(Z|[+-]\d{2}:\d{2})$/;

/** Parses RFC 3339; `undefined` where it is not one or names no real day. */
export function parseInstant(text: string): number | undefined {
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
  .transform((text) => formatInstant(parseInstant(text) ?? 0));
