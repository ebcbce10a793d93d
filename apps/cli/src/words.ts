import { formatDuration, milliseconds, parseDuration, spanText } from '#rotation';
import { formatInstant, parseInstant } from '#eventlog';
import { UsageError } from './failures.js';

/** `2026-01-31 09:00 UTC`; what was not recorded is said so. */
export function day(instant: string | null | undefined): string {
  if (instant === null || instant === undefined) return 'not recorded';
  const at = parseInstant(instant);
  return at === undefined ? instant : `${formatInstant(at).slice(0, 16).replace('T', ' ')} UTC`;
}

/** An instant, and how far away it is. */
export function dayAndDistance(instant: string, now: number): string {
  const at = parseInstant(instant);
  if (at === undefined) return instant;
  return `${day(instant)} (${distance(at - now)})`;
}

export function distance(span: number): string {
  if (Math.abs(span) < 1_000) return 'now';
  return span > 0 ? `in ${coarse(span)}` : `${coarse(-span)} ago`;
}

/** Two units are enough: `3 d 4 h`. */
export function coarse(span: number): string {
  return spanText(Math.floor(span / 1_000) * 1_000)
    .split(' ')
    .slice(0, 4)
    .join(' ');
}

/** An ISO 8601 duration as people say it. */
export function lengthOf(duration: string): string {
  return parseDuration(duration) === undefined ? duration : spanText(milliseconds(duration));
}

/** `T+1.5s`; what is just before counts as then. */
export function sinceStart(span: number): string {
  const tenths = Math.round(span / 100);
  return `${tenths < 0 ? 'T−' : 'T+'}${(Math.abs(tenths) / 10).toFixed(1)}s`;
}

/** What something waits for, for people: that it is held is a mark for programs. */
export function waitsForText(waitsFor: string): string {
  return waitsFor.replace(/^held: /, '');
}

/** What to type after `--id`-like arguments: enough of an id to be told apart on a screen. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}

const SHORT_DURATION = /^(\d+)(w|d|h|m|min|s)$/;

/** `P7D` or, as typed at 2 a.m., `7d`. Answers ISO 8601. */
export function durationArgument(text: string): string {
  const iso = parseDuration(text.toUpperCase());
  if (iso !== undefined) return formatDuration(iso);
  const [, count = '', unit = ''] = SHORT_DURATION.exec(text.toLowerCase()) ?? [];
  const size = { w: 604_800_000, d: 86_400_000, h: 3_600_000, m: 60_000, min: 60_000, s: 1_000 }[unit];
  const span = size === undefined ? undefined : parseDuration(formatDuration(Number(count) * size));
  if (span === undefined) {
    throw new UsageError(
      `"${text}" is no length of time: write 7d, 12h, 30m, or ISO 8601 such as P7D or PT30M`,
    );
  }
  return formatDuration(span);
}

/** RFC 3339, or a distance before now: `20m ago`. Answers RFC 3339 UTC. */
export function instantArgument(text: string, now: number): string {
  const at = parseInstant(text);
  if (at !== undefined) return formatInstant(at);
  if (text === 'now') return formatInstant(now);
  const [length, ago, ...more] = text.trim().split(/\s+/);
  if (length !== undefined && ago === 'ago' && more.length === 0) {
    return formatInstant(now - milliseconds(durationArgument(length)));
  }
  throw new UsageError(
    `"${text}" is no instant: write RFC 3339 such as 2026-01-31T02:10:00Z, or a distance such as "20m ago"`,
  );
}

/** A number of events: the first so many of the log. */
export function treeSizeArgument(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) {
    throw new UsageError(`"${text}" is no tree size: a whole number from 1 on, as answers and pages name it`);
  }
  return Number(text);
}
