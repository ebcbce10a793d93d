import { randomBytes, randomUUID } from 'node:crypto';
import { v5 } from 'uuid';

/** Where ids and salts come from; injected, so that a test may fix them. */
export interface Ids {
  /** A random lower-case UUID. */
  random(): string;
  /** 16 random bytes, base64url: the salt of a body (contracts.md, The envelope). */
  salt(): string;
}

export const systemIds: Ids = {
  random: () => randomUUID(),
  salt: () => randomBytes(16).toString('base64url'),
};

/** UUIDv5 in the namespace `logId` over the parts joined by LF: every derived id of contracts.md. */
export function derivedId(logId: string, ...parts: readonly string[]): string {
  return v5(parts.join('\n'), logId);
}
