import { z } from 'zod';
import { SecretValue, type Clock } from '#platform';
import { BackendError, type SuppliedDestroyer } from '../key-backend.js';
import { refuse } from '../requirements.js';
import { RequestRefusedError, TokenRefusedError } from './vault-answer.js';
import type { VaultClient } from './vault-client.js';

const unwrappedSchema = z.looseObject({
  auth: z.looseObject({
    client_token: z.string().min(1),
    /** Seconds. */
    lease_duration: z.number().positive(),
    policies: z.array(z.string()).default([]),
  }),
});

/** The policy as deploy/vault/setup.sh names it. */
const HOW =
  'bao token create -policy=keyturn-destroyer -no-default-policy -ttl=1h -wrap-ttl=15m -field=wrapping_token';

interface Held {
  readonly token: SecretValue;
  /** Monotonic, milliseconds. */
  readonly endsAt: number;
}

/**
 * What approvers of destructions supplied, each for one of them by its idempotency key: in memory alone, until it was used or is over. Keyturn's own logins delete no key
 * material; who took this process over still cannot.
 */
export class DestroyerTokens {
  readonly #held = new Map<string, Held>();

  constructor(
    private readonly client: VaultClient,
    private readonly clock: Clock,
  ) {}

  /**
   * Opens the wrapping at once: that is possible only once, so that whoever opened it on the way is found out now and not at the deletion.
   * `config`: it is no such token, or may do whatever it likes.
   */
  async supply(key: string, wrapped: SecretValue): Promise<SuppliedDestroyer> {
    const { client_token: text, lease_duration: seconds, policies } = await this.#unwrapped(wrapped);
    const token = new SecretValue(text);
    if (policies.includes('root')) {
      await this.#revoke(token);
      throw refuse(
        'config',
        `${this.client.instance}: the token may do whatever it likes, and was revoked: supply one that may delete this key and nothing else (${HOW})`,
      );
    }
    const before = this.#held.get(key);
    this.#held.set(key, { token, endsAt: this.clock.monotonic() + seconds * 1_000 });
    // Of two for the same destruction the newer is meant.
    if (before !== undefined) await this.#revoke(before.token);
    return {
      seconds,
      drop: async () => {
        if (this.#held.get(key)?.token === token) this.#held.delete(key);
        await this.#revoke(token);
      },
    };
  }

  /** `undefined`: nobody supplied one, or it is over. */
  of(key: string): SecretValue | undefined {
    const held = this.#held.get(key);
    if (held === undefined) return undefined;
    if (this.clock.monotonic() < held.endsAt) return held.token;
    this.#held.delete(key);
    return undefined;
  }

  /** It has done what it was for, or will not be needed. */
  async dismiss(key: string): Promise<void> {
    const held = this.#held.get(key);
    this.#held.delete(key);
    if (held !== undefined) await this.#revoke(held.token);
  }

  async #unwrapped(wrapped: SecretValue): Promise<z.output<typeof unwrappedSchema>['auth']> {
    const { instance } = this.client;
    try {
      const answer = await this.client.effect('sys/wrapping/unwrap', {
        method: 'POST',
        token: wrapped,
        body: {},
      });
      const { data } = unwrappedSchema.safeParse(answer?.body);
      if (data !== undefined) return data.auth;
    } catch (error) {
      if (error instanceof RequestRefusedError || error instanceof TokenRefusedError)
        throw refuse(
          'config',
          `${instance} does not know this wrapping token: it is none (a token that is not wrapped), it is over, or somebody has opened it already; if that was not you, revoke what was in it. Make a new one: ${HOW}`,
        );
      if (!(error instanceof BackendError) || error.errorClass !== 'unknown') throw error;
      throw new BackendError(
        'transient',
        `${error.message}. Its wrapping may be open now: make a new one (${HOW})`,
      );
    }
    throw refuse('config', `${instance}: there is no token that ends by itself in this wrapping: ${HOW}`);
  }

  /** As far as it may; one that may not end itself ends by its time. */
  async #revoke(token: SecretValue): Promise<void> {
    try {
      await this.client.effect('auth/token/revoke-self', { method: 'POST', token, body: {} });
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
    }
  }
}
