import { createLocalJWKSet, errors, jwtVerify, type JSONWebKeySet } from 'jose';
import type { SecretValue } from '#platform';
import { Traffic } from '../traffic.js';
import type { BaoServer } from './bao-server.js';
import { NONE, type Consumers, type Negative, type Shown } from './consumers.js';
import { readUsed, type Used } from './pointer.js';

/** How long the issuer goes on with the version it read. */
const POINTER_MS = 1_000;

interface FirstToken {
  readonly text: string;
  /** Transit's own of the version. */
  readonly number: string;
  readonly signedAt: number;
}

export interface TransitConsumersOptions {
  readonly bao: BaoServer;
  /** May sign with the versions its policy names, and read which one to use; nothing else. */
  readonly issuerToken: SecretValue;
  readonly object: string;
  readonly jwksUrl: string;
  readonly lifeMs: number;
  readonly verifiers: readonly { readonly name: string; readonly cacheMs: number }[];
}

/** An issuer that signs through transit with the version the pointer names, and verifiers on exact caches of the JWKS. */
export class TransitConsumers implements Consumers {
  readonly #options: TransitConsumersOptions;
  readonly #traffic: Traffic;
  #used: Used | undefined;
  #readAt = 0;
  #notSigned = 0;
  /** By version: the first token, whatever became of it since. */
  readonly #first = new Map<string, FirstToken>();

  constructor(options: TransitConsumersOptions) {
    this.#options = options;
    const { jwksUrl, lifeMs, verifiers } = options;
    this.#traffic = new Traffic({ jwksUrl, lifeMs, verifiers, sign: () => this.#sign() });
  }

  async start(): Promise<void> {
    await this.#traffic.start();
  }

  stop(): void {
    this.#traffic.stop();
  }

  knows(consumer: string, version: string): boolean {
    return this.#traffic.knows(consumer, version) || this.#used?.versionId === version;
  }

  taken(): readonly Shown[] {
    const notSigned = this.#traffic.notSigned - this.#notSigned;
    this.#notSigned += notSigned;
    return [
      ...this.#traffic.presented.splice(0).map(({ token, accepted }) => ({ version: token.kid, accepted })),
      ...Array.from({ length: notSigned }, () => ({ version: NONE, accepted: false })),
    ];
  }

  async negative(): Promise<Negative> {
    const { bao, object, jwksUrl } = this.#options;
    const [kid, old] = [...this.#first].find(([version]) => version !== this.#used?.versionId) ?? [];
    if (kid === undefined || old === undefined)
      return { refused: false, how: 'no token of an old version was signed' };
    const [header = '', payload = '', signature = ''] = old.text.split('.');
    const document: JSONWebKeySet = JSON.parse(await (await fetch(jwksUrl)).text());
    // Its time is not over by this clock: the key is the only reason that is left to refuse it.
    const byVerifier = await refusalOf(
      jwtVerify(old.text, createLocalJWKSet(document), { currentDate: new Date(old.signedAt) }),
    );
    // To the server itself: that the engine refuses it, too, is another matter than what verifiers are served.
    const byEngine = await refusalOf(
      bao.ask('POST', object.replace('/keys/', '/verify/'), {
        input: Buffer.from(`${header}.${payload}`).toString('base64'),
        signature: `vault:v${old.number}:${signature}`,
        hash_algorithm: 'sha2-256',
        marshaling_algorithm: 'jws',
      }),
    );
    return {
      refused: byVerifier instanceof errors.JWKSNoMatchingKey && isTooOld(byEngine),
      how: `a token of the old version: verifiers ${wordsOf(byVerifier)}, transit ${wordsOf(byEngine)}`,
    };
  }

  async #sign(): Promise<string> {
    const { bao, issuerToken, object, lifeMs } = this.#options;
    const now = Date.now();
    if (now - this.#readAt > POINTER_MS) {
      this.#used = await readUsed(bao, issuerToken, object);
      this.#readAt = now;
    }
    const used = this.#used;
    if (used === undefined) throw new Error('nothing is used yet');
    const issuedAt = Math.floor(now / 1_000);
    const claims = { iss: 'issuer', sub: 'nobody', iat: issuedAt, exp: issuedAt + lifeMs / 1_000 };
    const unsigned = [{ alg: 'ES256', typ: 'JWT', kid: used.versionId }, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.');
    const { data } = await bao.askAs<{ data: { signature: string } }>(
      issuerToken,
      'POST',
      object.replace('/keys/', '/sign/'),
      {
        input: Buffer.from(unsigned).toString('base64'),
        // A string: the policy compares it so.
        key_version: used.engine,
        hash_algorithm: 'sha2-256',
        marshaling_algorithm: 'jws',
      },
    );
    const token = `${unsigned}.${data.signature.slice(data.signature.lastIndexOf(':') + 1)}`;
    if (!this.#first.has(used.versionId))
      this.#first.set(used.versionId, { text: token, number: used.engine, signedAt: now });
    return token;
  }
}

/** What a call was refused with; `undefined`: it was not. */
async function refusalOf(call: Promise<unknown>): Promise<Error | undefined> {
  return call.then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error : new Error('something that is no error was thrown')),
  );
}

function wordsOf(refusal: Error | undefined): string {
  if (refusal === undefined) return 'accepted it';
  if (refusal instanceof errors.JWKSNoMatchingKey) return 'know no such key';
  return isTooOld(refusal) ? 'refused it as too old' : `said ${refusal.message}`;
}

/** The server's own words for a version below min_decryption_version. */
function isTooOld(refusal: Error | undefined): boolean {
  return refusal?.message.includes('too old') === true;
}
