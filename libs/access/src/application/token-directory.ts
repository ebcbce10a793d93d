import type { SubjectKind } from '../domain/access.events.js';
import type { Role, Scope } from '../domain/permissions.js';

/** A token as the read model knows it. */
export interface TokenEntry {
  readonly tokenId: string;
  readonly tokenHash: string;
  readonly subject: string;
  /** The subject's newest name; empty for a one-time code. */
  readonly name: string;
  readonly roles: readonly Role[];
  readonly scope: Scope;
  readonly label: string;
  readonly bootstrap: boolean;
  readonly issuedAt: number;
  readonly issuedBy: string;
  readonly expiresAt?: number;
  readonly revokedAt?: number;
}

/** Where a token stands among all of them. */
export type TokenPlace = Pick<TokenEntry, 'issuedAt' | 'tokenId'>;

export interface SubjectEntry {
  readonly subject: string;
  readonly name: string;
  readonly kind: SubjectKind;
}

/** Tokens and subjects as a question of the read model: it may lag behind the log. */
export interface TokenDirectory {
  tokenByHash(hash: string): TokenEntry | undefined;
  token(tokenId: string): TokenEntry | undefined;
  tokens(): readonly TokenEntry[];
  /** In the order they were issued in, from behind `after` on, at most `limit`. */
  tokensAfter(after: TokenPlace | undefined, limit: number): readonly TokenEntry[];
  subject(subject: string): SubjectEntry | undefined;
  subjects(): readonly SubjectEntry[];
}
