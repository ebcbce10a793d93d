import { z } from 'zod';
import {
  familySchema,
  policySchema,
  rotationSchema,
  type Family,
  type Policy,
  type Rotation,
} from './api.js';
import { ProblemError, RefusedError, UsageError } from './failures.js';
import type { Session } from './session.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** Fewer characters of an id are a typing slip. */
const SHORTEST_PREFIX = 4;
const PREFIX = /^[0-9a-f][0-9a-f-]*$/;

export async function findFamily({ client }: Session, text: string): Promise<Family> {
  if (!text.includes('/') && !UUID.test(text)) {
    throw new UsageError(
      `"${text}" names no secret family: write environment/name, such as production/session-jwt`,
    );
  }
  return client.get(`/families/${encodeURIComponent(text)}`, familySchema);
}

export interface FindRotation {
  /** For what can also be asked about a rotation that ended: without a running one, the last of the family. */
  readonly orLast?: boolean;
}

export async function findRotation(
  session: Session,
  text: string,
  { orLast = false }: FindRotation = {},
): Promise<Rotation> {
  const { client } = session;
  if (UUID.test(text)) return client.get(`/rotations/${text}`, rotationSchema);
  if (text.includes('/')) {
    const family = await findFamily(session, text);
    if (family.runningRotation !== null) {
      return client.get(`/rotations/${family.runningRotation}`, rotationSchema);
    }
    const { items } = await client.all('/rotations', rotationSchema, { family: family.id, state: 'all' });
    const last = items
      .toSorted((left, right) => ((left.requestedAt ?? '') < (right.requestedAt ?? '') ? -1 : 1))
      .at(-1);
    if (last === undefined) throw new RefusedError('rotation.not-found', `${text} was never rotated here`);
    if (!orLast) {
      throw new RefusedError(
        'rotation.not-found',
        `no rotation of ${text} is running; its last one was ${last.id} (${last.phase})`,
      );
    }
    session.aside(`No rotation of ${text} is running: this is its last one, ${last.id}.`);
    return last;
  }
  if (text.length < SHORTEST_PREFIX || !PREFIX.test(text)) {
    throw new UsageError(
      `"${text}" names no rotation: write its id, the first ${SHORTEST_PREFIX} or more characters of it, or environment/name`,
    );
  }
  // All of them: a beginning that is unique among the running ones may be meant for one that ended.
  const { items } = await client.all('/rotations', rotationSchema, { state: 'all', limit: 100 });
  return onlyOne(
    items.filter((rotation) => rotation.id.startsWith(text)),
    'rotation',
    text,
    (rotation) => `${rotation.id} (${rotation.family.qualifiedName}, ${rotation.phase})`,
  );
}

/** By id, the beginning of one, or name. */
export async function findPolicy({ client }: Session, text: string): Promise<Policy> {
  const { items } = await client.all('/policies', policySchema);
  return onlyOne(
    items.filter(
      (policy) => policy.name === text || (text.length >= SHORTEST_PREFIX && policy.id.startsWith(text)),
    ),
    'policy',
    text,
    (policy) => `${policy.id} (${policy.name})`,
  );
}

export type Approvable =
  | { readonly kind: 'rotation'; readonly rotation: Rotation }
  | { readonly kind: 'policy'; readonly policy: Policy };

/** Rotations first: they wait for somebody, policies can wait. */
export async function findApprovable(session: Session, text: string): Promise<Approvable> {
  try {
    return { kind: 'rotation', rotation: await findRotation(session, text, { orLast: true }) };
  } catch (error) {
    const maybePolicy =
      error instanceof UsageError ||
      (error instanceof RefusedError && error.problem.code === 'rotation.not-found') ||
      (error instanceof ProblemError && error.status === 404);
    if (!maybePolicy) throw error;
    try {
      return { kind: 'policy', policy: await findPolicy(session, text) };
    } catch (second) {
      if (!(second instanceof RefusedError) || second.problem.code !== 'policy.not-found') throw second;
      throw new RefusedError('approvable.not-found', `there is no rotation and no policy "${text}"`);
    }
  }
}

function onlyOne<Item>(
  found: readonly Item[],
  what: string,
  text: string,
  name: (item: Item) => string,
): Item {
  const [first, ...more] = found;
  if (first === undefined) throw new RefusedError(`${what}.not-found`, `there is no ${what} "${text}"`);
  if (more.length > 0) {
    throw new RefusedError(
      `${what}.ambiguous`,
      `"${text}" could be:\n${found.slice(0, 10).map(name).join('\n')}`,
    );
  }
  return first;
}

const placedSchema = z.looseObject({ id: z.string() });

/** Answers of commands show the rotation as it is then; where one shows only where it stands, it is read. */
export async function rotationAfter(session: Session, answer: unknown, id: string): Promise<Rotation> {
  const shown = rotationSchema.safeParse(answer);
  if (shown.success) return shown.data;
  const placed = placedSchema.safeParse(answer);
  return session.client.get(`/rotations/${placed.success ? placed.data.id : id}`, rotationSchema);
}
