import { compactVerify, createLocalJWKSet, errors, importJWK, jwtVerify, type JSONWebKeySet } from 'jose';
import type { Algorithm } from '../key-backend.js';

export interface Verdict {
  readonly accepted: boolean;
  /** A short sentence for the record. */
  readonly how: string;
}

/**
 * Would a verifier that reads this document accept what the version signs? Asked twice: as a verifier asks, by the key
 * id, and with the signature tried on every served key under that key's own id, so that the same key under another
 * name is found too.
 */
export async function isAcceptedByDocument(question: {
  readonly document: string | undefined;
  readonly versionId: string;
  readonly algorithm: Algorithm;
  /** `undefined`: the private key is destroyed. */
  readonly sign: ((kid: string) => Promise<string>) | undefined;
  readonly now: number;
}): Promise<Verdict> {
  const { versionId, algorithm, sign, now } = question;
  if (question.document === undefined) return { accepted: false, how: 'no document is served' };
  const document: JSONWebKeySet = JSON.parse(question.document);
  const listed = document.keys.some(({ kid }) => kid === versionId);
  if (sign === undefined) {
    return {
      accepted: listed,
      how: `${listed ? 'in' : 'absent from'} the served document; its private key is destroyed, so no canary was signed`,
    };
  }
  if (await verifies(await sign(versionId), document, algorithm, now)) {
    return { accepted: true, how: 'a canary signed with it verified against the served document' };
  }
  for (const key of document.keys) {
    if (key.kid === undefined || key.kid === versionId || key.alg !== algorithm) continue;
    if (await signatureFits(await sign(key.kid), key, algorithm)) {
      return {
        accepted: true,
        how: `a canary signed with it verified as ${key.kid}: the same key is served under that id`,
      };
    }
  }
  return {
    accepted: false,
    how: listed
      ? 'in the served document, but a canary signed with it did not verify'
      : 'absent from the served document, and a canary signed with it did not verify against it under any key id',
  };
}

async function verifies(
  token: string,
  document: JSONWebKeySet,
  algorithm: Algorithm,
  now: number,
): Promise<boolean> {
  try {
    await jwtVerify(token, createLocalJWKSet(document), {
      algorithms: [algorithm],
      currentDate: new Date(now),
    });
    return true;
  } catch (error) {
    if (error instanceof errors.JOSEError) return false;
    throw error;
  }
}

async function signatureFits(
  token: string,
  key: JSONWebKeySet['keys'][number],
  algorithm: Algorithm,
): Promise<boolean> {
  try {
    await compactVerify(token, await importJWK(key, algorithm), { algorithms: [algorithm] });
    return true;
  } catch (error) {
    if (error instanceof errors.JOSEError) return false;
    throw error;
  }
}
