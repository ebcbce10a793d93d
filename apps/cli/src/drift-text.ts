import { shellWord } from '#rotation';
import type { Family } from './api.js';
import type { Session } from './session.js';
import { dayAndDistance } from './words.js';

/** What differs of one family and the command that accepts it; nothing where nothing does. */
export function driftLines(session: Session, family: Family): readonly string[] {
  const { paint } = session;
  const { drift, qualifiedName } = family;
  if (drift === null || drift === undefined) return [];
  const { differences, more, observedAt } = drift;
  return [
    `  ${qualifiedName}: ${paint('drift', 'yellow')}, observed ${dayAndDistance(observedAt, session.now())}`,
    ...differences.map((difference) => `    ${difference}`),
    ...(more > 0 ? [`    and ${more} more`] : []),
    `    ${paint(`keyturn drift accept ${shellWord(qualifiedName)} --reason "…"`, 'cyan')}`,
  ];
}
