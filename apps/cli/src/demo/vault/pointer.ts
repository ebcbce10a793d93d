import { z } from 'zod';
import type { SecretValue } from '#platform';
import { BaoRefusal, type BaoServer } from './bao-server.js';

/** Of what Keyturn keeps of an object in the server, what a consumer reads: which version is used now. */
const pointerSchema = z.object({
  versions: z.array(
    z.object({
      versionId: z.string(),
      /** The engine's own name for it: transit's number, a role and when it was turned. */
      engine: z.string(),
      accepted: z.boolean(),
      emittingShare: z.number(),
    }),
  ),
});

export interface Used {
  readonly versionId: string;
  readonly engine: string;
}

/** Where setup.sh keeps it: `keyturn/data/objects/transit/keys/session-jwt`. */
export function pointerPath(object: string): string {
  return `keyturn/data/objects/${object}`;
}

/** As the consumer's own token reads it; `undefined`: nothing is used yet. */
export async function readUsed(
  bao: BaoServer,
  token: SecretValue,
  object: string,
): Promise<Used | undefined> {
  const answer = await bao
    .askAs<{ data: { data: unknown } }>(token, 'GET', pointerPath(object))
    .catch((error: unknown) => {
      if (error instanceof BaoRefusal && error.status === 404) return undefined;
      throw error;
    });
  // Keyturn did nothing to it yet.
  if (answer === undefined) return undefined;
  const { versions } = pointerSchema.parse(answer.data.data);
  return versions.find(({ emittingShare }) => emittingShare > 0);
}
