import { z } from 'zod';
import { SecretValue, type Clock } from '#platform';
import { BackendError } from '../key-backend.js';
import { refuse } from '../requirements.js';
import { DestroyerTokens } from './destroyer-tokens.js';
import type { TokenSource, VaultClient } from './vault-client.js';
import type { Identity } from './vault-engine.js';
import { VaultSession, type VaultLogin } from './vault-login.js';

export interface VaultIdentityOptions {
  readonly client: VaultClient;
  /** The driver's. */
  readonly login: VaultLogin;
  /** Absent: the driver probes. */
  readonly probe?: VaultLogin;
  readonly fence: {
    /** The token role that makes tokens for one request (deploy/vault/). */
    readonly role: string;
    /** What such a token may do. */
    readonly policies: readonly string[];
  };
  readonly clock: Clock;
}

const madeSchema = z.looseObject({
  auth: z.looseObject({
    client_token: z.string().min(1),
    lease_duration: z.number(),
    num_uses: z.number().default(0),
  }),
});

/** Whom Keyturn is to one server, by the logins it was given. */
export class VaultIdentity implements Identity, TokenSource {
  readonly #options: VaultIdentityOptions;
  readonly #driver: VaultSession;
  readonly #probe: VaultSession;
  readonly destroyers: DestroyerTokens;

  constructor(options: VaultIdentityOptions) {
    this.#options = options;
    const { client, login, probe, clock } = options;
    this.#driver = new VaultSession(client, login, clock);
    this.#probe = probe === undefined ? this.#driver : new VaultSession(client, probe, clock);
    this.destroyers = new DestroyerTokens(client, clock);
    client.useTokens(this);
  }

  async token(): Promise<SecretValue> {
    return this.#driver.token();
  }

  async probe(): Promise<SecretValue> {
    return this.#probe.token();
  }

  /**
   * A token that nobody used dies by itself: asking for one is no effect, and an answer that is lost is not unknown. What the role does
   * not keep (one use, a short life) is not taken: it would be no fence.
   */
  async once(seconds: number): Promise<SecretValue> {
    const { client, fence } = this.#options;
    const path = `auth/token/create/${fence.role}`;
    const token = await this.token();
    const whole = Math.ceil(seconds);
    const answer = await client
      .effect(path, { method: 'POST', token, body: { ttl: `${whole}s`, policies: fence.policies } })
      .catch((error: unknown) => {
        throw error instanceof BackendError && error.errorClass === 'unknown'
          ? new BackendError('transient', error.message)
          : error;
      });
    const { data } = madeSchema.safeParse(answer?.body);
    if (data === undefined) throw refuse('config', `${client.instance}, ${path}: it made no token`);
    const { client_token: made, lease_duration: life, num_uses: uses } = data.auth;
    if (uses !== 1 || life > whole || life <= 0)
      throw refuse(
        'config',
        `${client.instance}: the token role ${fence.role} makes tokens that are good for more than one request of ${whole} s: set its token_num_uses to 1 and its token_type to service`,
      );
    return new SecretValue(made);
  }

  async destroyer({ object, rotation }: Parameters<Identity['destroyer']>[0]): Promise<SecretValue> {
    const token = this.destroyers.of(rotation);
    if (token !== undefined) return token;
    throw refuse('auth', `${this.#options.client.instance}: ${noDestroyerText(object)}`);
  }

  /** Why a login of these was refused, in words without a secret; `undefined`: none was. */
  trouble(): string | undefined {
    return this.#driver.trouble() ?? this.#probe.trouble();
  }

  refused(token: SecretValue): (() => Promise<SecretValue>) | undefined {
    const session = [this.#driver, this.#probe].find((each) => each.forget(token));
    return session === undefined ? undefined : () => session.token();
  }
}

/** Keyturn's own logins delete no key material. */
export function noDestroyerText(object: string): string {
  return `there is no token that may delete key material of ${object} here (none was supplied, it is over, or the service was restarted): whoever may approve it supplies one (keyturn destruction token)`;
}
