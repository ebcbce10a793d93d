import type { z } from 'zod';
import { containmentSchema, destructionSchema, type Containment, type Destruction } from './api.js';
import { RefusedError, UsageError } from './failures.js';
import { findFamily, PREFIX, SHORTEST_PREFIX, UUID } from './find.js';
import type { Session } from './session.js';

/** By id, the beginning of one, or by its family where that has one that is open. */
export function findContainment(session: Session, text: string): Promise<Containment> {
  return find(session, 'containment', containmentSchema, text);
}

export function findDestruction(session: Session, text: string): Promise<Destruction> {
  return find(session, 'destruction', destructionSchema, text);
}

async function find<Schema extends z.ZodType<{ readonly id: string; readonly status: string }>>(
  session: Session,
  kind: 'containment' | 'destruction',
  schema: Schema,
  text: string,
): Promise<z.output<Schema>> {
  const { client } = session;
  if (UUID.test(text)) return client.get(`/${kind}s/${text}`, schema);
  const named = text.includes('/');
  if (!named && (text.length < SHORTEST_PREFIX || !PREFIX.test(text))) {
    throw new UsageError(
      `"${text}" names no ${kind}: write its id, the first ${SHORTEST_PREFIX} or more characters of it, or environment/name`,
    );
  }
  const { items } = await client.all(
    `/${kind}s`,
    schema,
    named ? { family: (await findFamily(session, text)).id, state: 'open' } : { state: 'all' },
  );
  const found = named ? items : items.filter(({ id }) => id.startsWith(text));
  const [only, ...others] = found;
  if (only === undefined) {
    throw new RefusedError(
      `${kind}.not-found`,
      named
        ? `no ${kind} of ${text} is open: see keyturn ${kind} list --all`
        : `there is no ${kind} "${text}"`,
    );
  }
  if (others.length > 0) {
    const which = found.slice(0, 10).map(({ id, status }) => `${id} (${status})`);
    throw new RefusedError(`${kind}.ambiguous`, `"${text}" could be:\n${which.join('\n')}`);
  }
  return only;
}
