import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { SecretValue } from '#platform';
import { BackendError, type Algorithm } from '../key-backend.js';
import { TooOldError } from './vault-answer.js';
import type { VaultClient } from './vault-client.js';

/** Transit's own names of what we make. Its hmac keys have no versions anybody could see: symmetric families are not driven there. */
export const TRANSIT_TYPES: Readonly<Partial<Record<Algorithm, string>>> = {
  RS256: 'rsa-2048',
  ES256: 'ecdsa-p256',
  EdDSA: 'ed25519',
};

const STRENGTHS: Readonly<Partial<Record<Algorithm, number>>> = { RS256: 2048, ES256: 256, EdDSA: 256 };

/** How each is signed and verified; both must say the same, or a good signature is called bad. */
const SIGNATURES: Readonly<Record<Algorithm, Readonly<Record<string, string>>>> = {
  RS256: { signature_algorithm: 'pkcs1v15', hash_algorithm: 'sha2-256' },
  ES256: { hash_algorithm: 'sha2-256' },
  EdDSA: {},
  HS256: {},
  password: {},
};

/** An RSA key takes up to 2.4 s in a crowd. */
const ROTATE_MS = 15_000;

const keySchema = z.looseObject({
  type: z.string(),
  latest_version: z.number(),
  min_decryption_version: z.number(),
  min_encryption_version: z.number(),
  min_available_version: z.number().default(0),
  auto_rotate_period: z.number().default(0),
  soft_deleted: z.boolean().default(false),
  keys: z.record(
    z.string(),
    z.union([z.looseObject({ creation_time: z.string(), public_key: z.string() }), z.number()]),
  ),
});

export interface TransitVersion {
  readonly number: number;
  readonly publicJwk: Readonly<Record<string, string>>;
  /** SHA-256 of the SPKI, hex. */
  readonly fingerprint: string;
  readonly strengthBits: number;
  /** RFC 3339, by the server. */
  readonly createdAt: string;
}

export interface TransitKeyState {
  readonly algorithm: Algorithm;
  readonly latest: number;
  /** 1: nothing is refused. */
  readonly minDecryption: number;
  /** 0: only the newest. */
  readonly minEncryption: number;
  readonly minAvailable: number;
  /** The server turns it by itself: nobody but Keyturn may, where Keyturn drives. */
  readonly turnsItself: boolean;
  readonly softDeleted: boolean;
  /** Those the server still shows: not below `minDecryption`. */
  readonly versions: readonly TransitVersion[];
}

/** One key of one transit mount, as its HTTP face has it. Nothing here decides; every call is sent once. */
export class TransitKey {
  constructor(
    private readonly client: VaultClient,
    private readonly mount: string,
    private readonly name: string,
  ) {}

  async read(token: SecretValue): Promise<TransitKeyState | undefined> {
    const path = `${this.mount}/keys/${this.name}`;
    const answer = await this.client.read(path, { token });
    if (answer === undefined) return undefined;
    const found = keySchema.safeParse(answer.data);
    const algorithm = ALGORITHM_OF.get(found.data?.type ?? '');
    if (found.data === undefined || algorithm === undefined) {
      throw new BackendError(
        'config',
        `${this.client.instance}, ${path}: it is no key that can be driven here`,
      );
    }
    const { data } = found;
    return {
      algorithm,
      latest: data.latest_version,
      minDecryption: data.min_decryption_version,
      minEncryption: data.min_encryption_version,
      minAvailable: data.min_available_version,
      turnsItself: data.auto_rotate_period > 0,
      softDeleted: data.soft_deleted,
      versions: Object.entries(data.keys).flatMap(([number, key]) =>
        typeof key === 'number'
          ? []
          : [versionOf(algorithm, Number(number), key.public_key, key.creation_time)],
      ),
    };
  }

  /** Makes the key with its first version. Where it is there already the server says so only by what it shows. */
  async create(algorithm: Algorithm, token: SecretValue, rotation?: string): Promise<void> {
    await this.#effect(`keys/${this.name}`, { type: TRANSIT_TYPES[algorithm] }, token, rotation, ROTATE_MS);
  }

  /** One version more, each time it is sent. */
  async rotate(token: SecretValue, rotation?: string): Promise<void> {
    await this.#effect(`keys/${this.name}/rotate`, {}, token, rotation, ROTATE_MS);
  }

  /** Both numbers, always: one that is left out or 0 opens again what was revoked. */
  async limit(
    numbers: { readonly minDecryption: number; readonly minEncryption: number },
    token: SecretValue,
    rotation?: string,
  ): Promise<void> {
    const { minDecryption, minEncryption } = numbers;
    if (minDecryption < 1)
      throw new RangeError('min_decryption_version 0 means 1: it would open what was revoked');
    const body = { min_decryption_version: minDecryption, min_encryption_version: minEncryption };
    await this.#effect(`keys/${this.name}/config`, body, token, rotation);
  }

  /** Signs with exactly this version: 0, or none, would mean the newest. */
  async sign(number: number, algorithm: Algorithm, input: string, token: SecretValue): Promise<string> {
    if (!Number.isSafeInteger(number) || number < 1)
      throw new RangeError('a version to sign with is 1 or more');
    const answer = await this.client.effect(`${this.mount}/sign/${this.name}`, {
      method: 'POST',
      token,
      body: { input, key_version: String(number), ...SIGNATURES[algorithm] },
    });
    const { signature } = z.looseObject({ signature: z.string() }).parse(answer?.data);
    if (!signature.startsWith(`vault:v${number}:`))
      throw new BackendError(
        'config',
        `${this.client.instance}, ${this.name}: it signed with another version`,
      );
    return signature;
  }

  /** Asks the engine whether it accepts a signature. `false` is no refusal of a version: another input says so, too. */
  async tries(
    signature: string,
    algorithm: Algorithm,
    input: string,
    token: SecretValue,
  ): Promise<{ readonly accepted: boolean | undefined; readonly how: string }> {
    try {
      const answer = await this.client.effect(`${this.mount}/verify/${this.name}`, {
        method: 'POST',
        token,
        body: { input, signature, ...SIGNATURES[algorithm] },
      });
      const { valid } = z.looseObject({ valid: z.boolean() }).parse(answer?.data);
      return valid
        ? { accepted: true, how: 'the server verified a canary signed with it' }
        : {
            accepted: undefined,
            how: 'the server says that its canary is of another key, which proves nothing',
          };
    } catch (error) {
      if (!(error instanceof TooOldError)) throw error;
      return { accepted: false, how: 'the server refused a canary signed with it as too old' };
    }
  }

  /** Deletes every version older than this, for good. */
  async trim(minAvailable: number, token: SecretValue, rotation?: string): Promise<void> {
    await this.#effect(`keys/${this.name}/trim`, { min_available_version: minAvailable }, token, rotation);
  }

  async #effect(
    path: string,
    body: Readonly<Record<string, unknown>>,
    token: SecretValue,
    rotation: string | undefined,
    withinMs?: number,
  ): Promise<void> {
    const answer = await this.client.effect(`${this.mount}/${path}`, {
      method: 'POST',
      token,
      body,
      ...(rotation === undefined ? {} : { rotation }),
      ...(withinMs === undefined ? {} : { withinMs }),
    });
    if (answer === undefined) {
      throw new BackendError(
        'not-found',
        `${this.client.instance}, ${this.mount}/${path}: there is no such key`,
      );
    }
  }
}

const ALGORITHM_OF = new Map<string, Algorithm>([
  ['rsa-2048', 'RS256'],
  ['ecdsa-p256', 'ES256'],
  ['ed25519', 'EdDSA'],
]);

function versionOf(algorithm: Algorithm, number: number, shown: string, createdAt: string): TransitVersion {
  const publicKey = algorithm === 'EdDSA' ? ed25519Of(shown) : createPublicKey(shown);
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return {
    number,
    publicJwk: publicJwkOf(publicKey),
    fingerprint: createHash('sha256').update(spki).digest('hex'),
    strengthBits: STRENGTHS[algorithm] ?? 0,
    // The server leaves trailing zeros out.
    createdAt: new Date(createdAt).toISOString(),
  };
}

function publicJwkOf(key: KeyObject): Readonly<Record<string, string>> {
  return z.record(z.string(), z.string()).parse(key.export({ format: 'jwk' }));
}

/** Shown as 32 raw bytes, base64. */
function ed25519Of(shown: string): KeyObject {
  const x = Buffer.from(shown, 'base64').toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}
