import { createHash, randomBytes } from 'node:crypto';
import { SecretValue } from '#platform';

/** What a token looks like: `kt_` and 32 random bytes. A one-time code has another prefix, so that neither passes for the other. */
const TOKEN = /^kt_[\w-]{43}$/;
const CODE = /^kt1_[\w-]{43}$/;

export interface NewSecret {
  /** Shown once, kept nowhere. */
  readonly secret: SecretValue;
  /** SHA-256, lower-case hex: all that is stored. 256 random bits need no salt and no slow hash. */
  readonly hash: string;
}

export const newToken = (): NewSecret => made('kt_');
export const newCode = (): NewSecret => made('kt1_');

export const isToken = (text: string): boolean => TOKEN.test(text);
export const isCode = (text: string): boolean => CODE.test(text);

export function hashOfSecret(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

function made(prefix: string): NewSecret {
  const text = `${prefix}${randomBytes(32).toString('base64url')}`;
  return { secret: new SecretValue(text), hash: hashOfSecret(text) };
}
