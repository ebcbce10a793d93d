import type { Family } from './api.js';
import { day, shortId } from './words.js';

/** A departure of one family from its policy, and whether it binds yet. */
export function deviationText({
  id,
  departs,
  until,
  approvedBy,
  reason,
}: NonNullable<Family['deviations']>[number]): string {
  const binds = approvedBy === null ? 'waits for an approval by another' : 'approved';
  return `${shortId(id)}  ${Object.keys(departs).join(', ')}, until ${day(until)}, ${binds}: ${reason}`;
}

/** Who knows it, and what is open about that. */
export function custodianText({
  subject,
  knows,
  acknowledgedAt,
  leftAt,
  settledBy,
}: NonNullable<Family['custodians']>[number]): string {
  const isSet = (value: string | null | undefined): value is string => typeof value === 'string';
  return [
    `${subject}${knows === undefined ? '' : ` knows: ${knows}`}`,
    isSet(acknowledgedAt) ? `acknowledged ${day(acknowledgedAt)}` : 'not acknowledged',
    ...(isSet(leftAt)
      ? [`left ${day(leftAt)}, ${isSet(settledBy) ? 'rotated since' : 'a rotation is owed'}`]
      : []),
  ].join('; ');
}
