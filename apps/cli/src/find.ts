import { z } from 'zod';
import {
  destructionSchema,
  familySchema,
  policySchema,
  rotationSchema,
  type Destruction,
  type Family,
  type Policy,
  type Rotation,
} from './api.js';
import { ProblemError, RefusedError, UsageError } from './failures.js';
import type { Session } from './session.js';

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** Fewer characters of an id are a typing slip. */
export const SHORTEST_PREFIX = 4;
export const PREFIX = /^[0-9a-f][0-9a-f-]*$/;

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
  // The service finds it, and refuses to guess between two.
  return client.get(`/rotations/${text}`, rotationSchema);
}

/** By id, the beginning of one, or name. */
export async function findPolicy({ client }: Session, text: string): Promise<Policy> {
  const { items } = await client.all('/policies', policySchema);
  const found = items.filter(
    (policy) => policy.name === text || (text.length >= SHORTEST_PREFIX && policy.id.startsWith(text)),
  );
  const [first, ...more] = found;
  if (first === undefined) throw new RefusedError('policy.not-found', `there is no policy "${text}"`);
  if (more.length > 0) {
    const names = found.slice(0, 10).map((policy) => `${policy.id} (${policy.name})`);
    throw new RefusedError('policy.ambiguous', `"${text}" could be:\n${names.join('\n')}`);
  }
  return first;
}

export type Approvable =
  | { readonly kind: 'rotation'; readonly rotation: Rotation }
  | { readonly kind: 'policy'; readonly policy: Policy }
  | { readonly kind: 'destruction'; readonly destruction: Destruction };

/** A planned one waits before it starts, an emergency afterwards, also once it has ended. */
function waitsForDecision({ phase, emergency, imported }: Rotation): boolean {
  if (imported) return false;
  if (emergency === null) return phase === 'requested';
  return !emergency.approved && (emergency.refused ?? null) === null;
}

/** Of a family, what waits for a decision: a rotation, then a destruction. What ended long ago is not what is meant. */
export async function findWaiting(
  session: Session,
  name: string,
): Promise<Exclude<Approvable, { readonly kind: 'policy' }> | undefined> {
  const { client } = session;
  const family = await findFamily(session, name);
  const rotations = await client.all('/rotations', rotationSchema, { family: family.id, state: 'all' });
  const rotation = rotations.items
    .filter(waitsForDecision)
    .toSorted((left, right) => Number(left.ended) - Number(right.ended))
    .at(0);
  if (rotation !== undefined) return { kind: 'rotation', rotation };
  const open = await client.all('/destructions', destructionSchema, { family: family.id, state: 'open' });
  const [destruction, ...others] = open.items.filter(({ status }) => status === 'requested');
  if (destruction === undefined) return undefined;
  if (others.length > 0) {
    const ids = [destruction, ...others].map(({ id, versions }) => `${id} (${versions.join(', ')})`);
    throw new RefusedError(
      'destruction.ambiguous',
      `more than one destruction of ${name} waits, write the id of the one you mean:\n${ids.join('\n')}`,
    );
  }
  return { kind: 'destruction', destruction };
}

/** Rotations first: they wait for somebody, policies can wait. */
export async function findApprovable(session: Session, text: string): Promise<Approvable> {
  if (text.includes('/')) {
    const waiting = await findWaiting(session, text);
    if (waiting !== undefined) return waiting;
  }
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
      const destruction = UUID.test(text) ? await findDestruction(session, text) : undefined;
      if (destruction !== undefined) return { kind: 'destruction', destruction };
      throw new RefusedError('approvable.not-found', `there is no rotation, policy or destruction "${text}"`);
    }
  }
}

async function findDestruction({ client }: Session, id: string): Promise<Destruction | undefined> {
  try {
    return await client.get(`/destructions/${id}`, destructionSchema);
  } catch (error) {
    if (error instanceof ProblemError && error.status === 404) return undefined;
    throw error;
  }
}

const placedSchema = z.looseObject({ id: z.string() });

/** Answers of commands show the rotation as it is then; where one shows only where it stands, it is read. */
export async function rotationAfter(session: Session, answer: unknown, id: string): Promise<Rotation> {
  const shown = rotationSchema.safeParse(answer);
  if (shown.success) return shown.data;
  const placed = placedSchema.safeParse(answer);
  return session.client.get(`/rotations/${placed.success ? placed.data.id : id}`, rotationSchema);
}
