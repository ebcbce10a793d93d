import { tokenSchema } from './api.js';
import { ProblemError, RefusedError } from './failures.js';
import { UUID } from './find.js';
import type { Session } from './session.js';

export const PERSON_ARGUMENT =
  'a person: the subject id as token list or whoami shows it, or a name only one has';

/** The subject's id. A name is looked up among all tokens, which only some may read; an id asks nobody. */
export async function findPerson({ client }: Session, text: string): Promise<string> {
  if (UUID.test(text)) return text;
  const { items } = await client.all('/tokens', tokenSchema).catch((error: unknown) => {
    if (!(error instanceof ProblemError) || error.status !== 403) throw error;
    throw new RefusedError(
      'subject.name-not-read',
      `your token may not look up who "${text}" is: write the subject id, which keyturn whoami shows to them`,
    );
  });
  const subjects = [...new Set(items.filter(({ name }) => name === text).map(({ subject }) => subject))];
  const [only, ...others] = subjects;
  if (only === undefined) {
    throw new RefusedError('subject.not-found', `nobody here is called "${text}": see keyturn token list`);
  }
  if (others.length > 0) {
    throw new RefusedError('subject.ambiguous', `"${text}" could be:\n${subjects.slice(0, 10).join('\n')}`);
  }
  return only;
}
