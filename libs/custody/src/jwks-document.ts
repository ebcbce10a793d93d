import { createHash } from 'node:crypto';
import type { Algorithm } from './key-backend.js';

/** What HTTP serves at `/jwks/{familyId}`. */
export interface ServedDocument {
  readonly body: Buffer;
  /** Strong, with its quotes. */
  readonly etag: string;
  readonly maxAgeSeconds: number;
}

/** The largest max-age ever served (contracts.md, The JWKS document). */
export const LARGEST_MAX_AGE_SECONDS = 300;

interface ListedVersion {
  readonly versionId: string;
  readonly algorithm: Algorithm;
  /** Absent for symmetric keys. */
  readonly publicJwk?: Readonly<Record<string, unknown>> | undefined;
  readonly accepted: boolean;
  readonly contained: boolean;
  /** It was accepted once. */
  readonly published: boolean;
}

/** None before the first publication, nor for symmetric keys; `{"keys":[]}` where nothing is accepted any more. */
export function renderJwks(
  versions: readonly ListedVersion[],
  maxAgeSeconds: number | undefined,
): ServedDocument | undefined {
  const asymmetric = versions.filter(({ publicJwk }) => publicJwk !== undefined);
  if (maxAgeSeconds === undefined || !asymmetric.some(({ published }) => published)) return undefined;
  const keys = asymmetric
    .filter(({ accepted, contained }) => accepted && !contained)
    .map(({ publicJwk, versionId, algorithm }) => ({
      ...publicJwk,
      kid: versionId,
      alg: algorithm,
      use: 'sig',
    }));
  const body = Buffer.from(JSON.stringify({ keys }), 'utf8');
  const etag = `"${createHash('sha256').update(body).digest('base64url')}"`;
  return { body, etag, maxAgeSeconds };
}
