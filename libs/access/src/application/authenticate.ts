import { timingSafeEqual } from 'node:crypto';
import type { Clock } from '#platform';
import type { Principal } from '../domain/permissions.js';
import type { TokenDirectory } from './token-directory.js';
import { hashOfSecret, isToken } from './token-secret.js';

/** Why nobody was recognised. Only whoever holds a real token hears `expired` and `revoked`. */
export type Unauthenticated = 'missing' | 'malformed' | 'unknown' | 'expired' | 'revoked';

export type Authentication =
  | { readonly kind: 'principal'; readonly principal: Principal }
  | { readonly kind: 'refused'; readonly reason: Unauthenticated };

/** Whoever an `Authorization` header stands for. */
export function authenticate(
  directory: TokenDirectory,
  clock: Clock,
  header: string | undefined,
): Authentication {
  if (header === undefined || header.trim() === '') return refused('missing');
  const [, given = ''] = /^Bearer +(\S+)$/i.exec(header.trim()) ?? [];
  if (given === '') return refused('malformed');
  // What is looked up is a hash of what was sent: the time it takes says nothing about the tokens there are.
  const hash = hashOfSecret(given);
  const entry = directory.tokenByHash(hash);
  const known = timingSafeEqual(Buffer.from(hash), Buffer.from(entry?.tokenHash ?? NO_HASH));
  if (!isToken(given)) return refused('malformed');
  if (entry === undefined || !known || entry.bootstrap) return refused('unknown');
  if (entry.revokedAt !== undefined) return refused('revoked');
  if (entry.expiresAt !== undefined && entry.expiresAt <= clock.now()) return refused('expired');
  const { subject, name, tokenId, roles, scope } = entry;
  return { kind: 'principal', principal: { subject, name, tokenId, roles, scope } };
}

const NO_HASH = '0'.repeat(64);

function refused(reason: Unauthenticated): Authentication {
  return { kind: 'refused', reason };
}
