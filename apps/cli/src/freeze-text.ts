import type { Freeze } from './api.js';

/** What a freeze covers, in words. `names`: of the families it names, where they are known; the freeze itself holds ids. */
export function freezeScope({ scope }: Freeze, names?: readonly string[]): string {
  const { environments, teams, kinds, families } = scope;
  const parts = [
    ...(environments === undefined ? [] : [`in ${environments.join(', ')}`]),
    ...(teams === undefined ? [] : [`of ${teams.join(', ')}`]),
    ...(kinds === undefined ? [] : [kinds.join(', ')]),
    ...(families === undefined
      ? []
      : [
          names !== undefined && names.length <= 5
            ? names.join(', ')
            : families.length === 1
              ? 'one family'
              : `${families.length} families by name`,
        ]),
  ];
  return parts.length === 0 ? 'everything' : parts.join('; ');
}
