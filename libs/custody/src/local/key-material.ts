import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createSecretKey,
  generateKeyPair,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
  type KeyObject,
} from 'node:crypto';
import { promisify } from 'node:util';
import type { JWK } from 'jose';
import type { SecretValue } from '#platform';
import { BackendError, type Algorithm, type KeyAlgorithm } from '../key-backend.js';

const generatePair = promisify(generateKeyPair);

/** 128-bit strength (NIST SP 800-57 part 1, table 2). */
const RSA_BITS = 3072;
const HMAC_BYTES = 32;

/** A new key as it is stored: what the world may know of it, and the material, in the clear only until it is sealed. */
export interface NewKey {
  readonly strengthBits: number;
  readonly fingerprint: string;
  /** Public parameters; none for a symmetric key. */
  readonly publicJwk: JWK | undefined;
  /** PKCS #8, or the bytes of a symmetric key. Whoever seals it fills it with zeros. */
  readonly material: Buffer;
}

/** Makes a key in the thread pool, so that searching RSA primes never holds up the event loop. */
export async function generateKey(algorithm: Algorithm): Promise<NewKey> {
  if (algorithm === 'password')
    throw new BackendError(
      'config',
      'The local back end makes keys; a password is made where it is asked for',
    );
  return generators[algorithm]();
}

const generators: Readonly<Record<KeyAlgorithm, () => Promise<NewKey>>> = {
  RS256: async () => asymmetric(await generatePair('rsa', { modulusLength: RSA_BITS }), RSA_BITS),
  ES256: async () => asymmetric(await generatePair('ec', { namedCurve: 'P-256' }), 256),
  EdDSA: async () => asymmetric(await generatePair('ed25519'), 256),
  HS256: async () => ({
    strengthBits: HMAC_BYTES * 8,
    // Not made from the key: even a keyed hash of it would be one more place to attack it.
    fingerprint: randomBytes(32).toString('hex'),
    publicJwk: undefined,
    material: randomBytes(HMAC_BYTES),
  }),
};

function asymmetric(
  pair: { readonly publicKey: KeyObject; readonly privateKey: KeyObject },
  strengthBits: number,
): NewKey {
  const { kty, crv, n, e, x, y } = pair.publicKey.export({ format: 'jwk' });
  const publicJwk = Object.fromEntries(
    Object.entries({ kty, crv, n, e, x, y }).filter(([, value]) => value !== undefined),
  ) satisfies JWK;
  return {
    strengthBits,
    fingerprint: createHash('sha256')
      .update(pair.publicKey.export({ format: 'der', type: 'spki' }))
      .digest('hex'),
    publicJwk,
    material: pair.privateKey.export({ format: 'der', type: 'pkcs8' }),
  };
}

/** The key object of opened material, whose bytes are filled with zeros. */
export function importKey(algorithm: Algorithm, material: Buffer): KeyObject {
  try {
    return algorithm === 'HS256'
      ? createSecretKey(material)
      : createPrivateKey({ key: material, format: 'der', type: 'pkcs8' });
  } finally {
    material.fill(0);
  }
}

const FORMAT = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Seals material under the master key: `version (1) ‖ nonce (12) ‖ tag (16) ‖ ciphertext`, AES-256-GCM. The associated
 * data bind it to its object and version, so that a row copied to another version does not open there.
 */
export class KeySealer {
  readonly #sealing: Buffer;
  readonly #checking: Buffer;

  constructor(masterKey: SecretValue) {
    this.#sealing = subkey(masterKey, 'keyturn custody sealing v1');
    this.#checking = subkey(masterKey, 'keyturn custody check v1');
  }

  seal(material: Buffer, object: string, versionId: string): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#sealing, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(binding(object, versionId));
    const sealed = Buffer.concat([cipher.update(material), cipher.final()]);
    return Buffer.concat([Buffer.of(FORMAT), nonce, cipher.getAuthTag(), sealed]);
  }

  open(sealed: Uint8Array, object: string, versionId: string): Buffer {
    if (sealed[0] !== FORMAT || sealed.length <= 1 + NONCE_BYTES + TAG_BYTES) {
      throw new BackendError('config', `The stored key of version ${versionId} has an unknown format`);
    }
    const tagAt = 1 + NONCE_BYTES;
    const decipher = createDecipheriv('aes-256-gcm', this.#sealing, sealed.subarray(1, tagAt), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(binding(object, versionId));
    decipher.setAuthTag(sealed.subarray(tagAt, tagAt + TAG_BYTES));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(tagAt + TAG_BYTES)), decipher.final()]);
    } catch {
      throw new BackendError(
        'config',
        `The stored key of version ${versionId} was altered: it does not open`,
      );
    }
  }

  /** A value by which a store knows its master key again; it tells nothing of the key. */
  checkValue(storeId: Uint8Array): Buffer {
    return createHmac('sha256', this.#checking).update(storeId).digest();
  }

  matches(storeId: Uint8Array, checkValue: Uint8Array): boolean {
    const own = this.checkValue(storeId);
    return own.length === checkValue.length && timingSafeEqual(own, checkValue);
  }
}

/** What files and people call a master key by: 32 bits that tell nothing of the others. */
export function masterKeyName(masterKey: SecretValue): string {
  return subkey(masterKey, 'keyturn master key name v1').subarray(0, 4).toString('hex');
}

function subkey(masterKey: SecretValue, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', masterKey.reveal(), Buffer.alloc(0), purpose, 32));
}

function binding(object: string, versionId: string): Buffer {
  return Buffer.from(JSON.stringify(['keyturn-custody', FORMAT, object, versionId]), 'utf8');
}
