import type { Clock, Config } from '#platform';
import { problem, type Finding } from './finding.js';

/** Signs in to each server of KEYTURN_BACK_ENDS as the service does, and asks what it may do there. Changes nothing. */
export async function lookAtBackEnds(
  { backEndsFile }: Config,
  objects: readonly { readonly instance: string; readonly object: string }[],
  clock: Clock,
): Promise<readonly Finding[]> {
  if (backEndsFile === undefined) return [];
  const { BackEndsFileError, checkBackEnds, readBackEnds } = await import('#custody/vault');
  try {
    return await checkBackEnds(readBackEnds(backEndsFile), objects, clock);
  } catch (error) {
    if (!(error instanceof BackEndsFileError)) throw error;
    return error.problems.map(({ field, message }) =>
      problem(
        'back-ends',
        `${error.file}: ${field === '' ? 'it' : field} ${message}`,
        'mend the file that KEYTURN_BACK_ENDS names; the service does not start with it',
      ),
    );
  }
}
