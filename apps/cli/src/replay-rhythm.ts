import { parseInstant } from '#eventlog';
import { UsageError } from './failures.js';

/** A history of weeks has long silences: none takes longer than this on screen. */
const LONGEST_PAUSE_MS = 2_000;

/** `60x`, `60` or `2.5x`: so many times faster than it happened. `0` and `max`: all at once, as `undefined`. */
export function speedArgument(text: string): number | undefined {
  if (text === 'max') return undefined;
  const match = /^(\d+(?:\.\d+)?)x?$/.exec(text);
  if (match === null) throw new UsageError(`"${text}" is no speed: write 60x, 1x, or max for all at once`);
  const speed = Number(match[1]);
  return speed === 0 ? undefined : speed;
}

export interface Beat {
  readonly at: string;
  readonly instantNotRecorded: boolean;
}

/**
 * How long to wait before each entry. What has no recorded instant waits for nothing and moves no clock; what was so
 * earlier than the entry before it follows at once.
 */
export function rhythmOf(
  beats: readonly Beat[],
  speed: number | undefined,
  longest = LONGEST_PAUSE_MS,
): readonly number[] {
  let last: number | undefined;
  return beats.map(({ at, instantNotRecorded }) => {
    const instant = instantNotRecorded ? undefined : parseInstant(at);
    if (instant === undefined) return 0;
    const gap = last === undefined ? 0 : Math.max(0, instant - last);
    last = last === undefined ? instant : Math.max(last, instant);
    return speed === undefined ? 0 : Math.min(longest, Math.round(gap / speed));
  });
}
