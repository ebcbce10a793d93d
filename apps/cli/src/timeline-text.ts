import { parseInstant } from '#eventlog';
import type { TimelineLine } from './api.js';
import type { Session } from './session.js';
import type { Style } from './terminal.js';
import { coarse, day } from './words.js';

/** One fact of a timeline. `zero` is what T+ counts from. */
export function entryLines(
  { paint }: Session,
  entry: TimelineLine,
  zero: string,
  full: boolean,
): readonly string[] {
  const { at, recordedAt, instantNotRecorded, title, detail, actorName, doneBy, provenance, kind } = entry;
  const time = instantNotRecorded ? 'not recorded'.padEnd(19) : at.slice(0, 19).replace('T', ' ');
  const since = (instantNotRecorded ? '' : offset(zero, at)).padStart(13);
  const who = doneBy === undefined ? actorName : `${doneBy}, recorded by ${actorName}`;
  const later = !instantNotRecorded && at !== recordedAt ? `, recorded ${day(recordedAt)}` : '';
  const indent = ' '.repeat(36);
  return [
    `${paint(time, 'dim')} ${paint(since, 'dim')}  ${paint(title, 'bold', ...kindStyle(kind))}`,
    ...(detail === '' ? [] : [`${indent}${detail}`]),
    paint(`${indent}${who}, ${provenance}${later}`, 'dim'),
    ...(full ? [paint(`${indent}event ${entry.eventId}`, 'dim')] : []),
  ];
}

/** `T+1 min` */
export function offset(zero: string, at: string): string {
  const from = parseInstant(zero);
  const to = parseInstant(at);
  if (from === undefined || to === undefined) return '';
  return to < from ? `T−${coarse(from - to)}` : `T+${coarse(to - from)}`;
}

function kindStyle(kind: string): readonly Style[] {
  if (kind === 'failure') return ['red'];
  if (kind === 'gate' || kind === 'decision') return ['yellow'];
  return kind === 'effect' || kind === 'confirmation' ? ['green'] : [];
}
