import type { Freeze } from './api.js';

/** What a freeze covers, in words. */
export function freezeScope({ scope }: Freeze): string {
  const { environments, teams, kinds, families } = scope;
  const parts = [
    ...(environments === undefined ? [] : [`in ${environments.join(', ')}`]),
    ...(teams === undefined ? [] : [`of ${teams.join(', ')}`]),
    ...(kinds === undefined ? [] : [kinds.join(', ')]),
    ...(families === undefined
      ? []
      : [families.length === 1 ? 'one family' : `${families.length} families by name`]),
  ];
  return parts.length === 0 ? 'everything' : parts.join('; ');
}
