import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  randomBytes,
  sign,
  verify,
  constants,
  type KeyObject,
} from 'node:crypto';
import { promisify } from 'node:util';
import { textOf, type Body } from './face.js';
import { Refusal } from './refusal.js';

/** Keys and signatures as transit makes them. */

export const KEY_TYPES = ['rsa-2048', 'ecdsa-p256', 'ed25519'] as const;
export type KeyType = (typeof KEY_TYPES)[number];

const generate = promisify(generateKeyPair);
const HASHES: Readonly<Record<string, string>> = {
  'sha2-256': 'sha256',
  'sha2-384': 'sha384',
  'sha2-512': 'sha512',
};

export interface Made {
  /** PKCS #8, PEM. */
  readonly privateKey: string;
  readonly hmacKey: string;
}

export async function makeKey(type: KeyType): Promise<Made> {
  const { privateKey } =
    type === 'rsa-2048'
      ? await generate('rsa', { modulusLength: 2_048 })
      : type === 'ecdsa-p256'
        ? await generate('ec', { namedCurve: 'P-256' })
        : await generate('ed25519');
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { privateKey: pem, hmacKey: randomBytes(32).toString('base64') };
}

/** As it is shown: PEM, or 32 raw bytes in base64. */
export function publicKeyOf(type: KeyType, { privateKey }: Made): string {
  const key = createPublicKey(privateKey);
  if (type !== 'ed25519') return key.export({ type: 'spki', format: 'pem' }).toString();
  return Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url').toString('base64');
}

export function pemOf({ privateKey }: Made): string {
  return createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString().trim();
}

interface Manner {
  readonly key: KeyObject;
  readonly hash: string | null;
  readonly options: { padding?: number; saltLength?: number; dsaEncoding?: 'ieee-p1363' | 'der' };
  readonly encoding: 'base64' | 'base64url';
}

function mannerOf(type: KeyType, { privateKey }: Made, body: Body): Manner {
  const key = createPrivateKey(privateKey);
  const jws = body['marshaling_algorithm'] === 'jws';
  const encoding = jws ? 'base64url' : 'base64';
  if (type === 'ed25519') return { key, hash: null, options: {}, encoding };
  const hash = HASHES[textOf(body['hash_algorithm']) || 'sha2-256'];
  if (hash === undefined) throw Refusal.of(400, `invalid hash algorithm "${textOf(body['hash_algorithm'])}"`);
  if (type === 'ecdsa-p256')
    return { key, hash, options: { dsaEncoding: jws ? 'ieee-p1363' : 'der' }, encoding };
  const pkcs1 = body['signature_algorithm'] === 'pkcs1v15';
  const salt =
    body['salt_length'] === 'hash' ? constants.RSA_PSS_SALTLEN_DIGEST : constants.RSA_PSS_SALTLEN_MAX_SIGN;
  return pkcs1
    ? { key, hash, options: { padding: constants.RSA_PKCS1_PADDING }, encoding }
    : { key, hash, options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: salt }, encoding };
}

export function inputOf(body: Body): Buffer {
  const text = textOf(body['input']);
  const input = Buffer.from(text, 'base64');
  if (input.toString('base64') !== text) throw Refusal.of(400, 'unable to decode input as base64');
  return input;
}

export function signed(type: KeyType, made: Made, body: Body): string {
  const { key, hash, options, encoding } = mannerOf(type, made, body);
  return sign(hash, inputOf(body), { key, ...options }).toString(encoding);
}

export function isSigned(type: KeyType, made: Made, body: Body, signature: string): boolean {
  const { key, hash, options, encoding } = mannerOf(type, made, body);
  const { saltLength: _any, ...rest } = options;
  const auto = options.saltLength === undefined ? {} : { saltLength: constants.RSA_PSS_SALTLEN_AUTO };
  return verify(
    hash,
    inputOf(body),
    { key: createPublicKey(key), ...rest, ...auto },
    Buffer.from(signature, encoding),
  );
}

export function hmacOf({ hmacKey }: Made, body: Body): string {
  const hash = HASHES[textOf(body['algorithm']) || 'sha2-256'] ?? 'sha256';
  return createHmac(hash, Buffer.from(hmacKey, 'base64')).update(inputOf(body)).digest('base64');
}
