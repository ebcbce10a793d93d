import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { SecretValue, type Clock } from '#platform';
import { BackendError } from '../key-backend.js';
import { beforeBegun } from './effect-phases.js';
import type { VaultClient } from './vault-client.js';

/** How Keyturn says who it is. Files are read at each login: whoever replaces one needs no restart. */
export const vaultLoginSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('token-file'), file: z.string() }),
  z.strictObject({
    kind: z.literal('approle'),
    mount: z.string().default('approle'),
    roleId: z.string(),
    secretIdFile: z.string(),
  }),
  z.strictObject({
    kind: z.literal('jwt'),
    /** `kubernetes` where it is mounted so: both take a role and a token. */
    mount: z.string().default('jwt'),
    role: z.string(),
    file: z.string(),
  }),
]);
export type VaultLogin = z.output<typeof vaultLoginSchema>;

export interface VaultIdentityOptions {
  readonly client: VaultClient;
  readonly login: VaultLogin;
  /** The token role that makes tokens for one request (deploy/vault/, docs/vault.md). */
  readonly fenceRole: string;
  /** The policies such a token has. */
  readonly fencePolicies: readonly string[];
  readonly clock: Clock;
}

const authSchema = z.looseObject({
  auth: z.looseObject({ client_token: z.string(), lease_duration: z.number(), renewable: z.boolean() }),
});
const lookedUpSchema = z.looseObject({ ttl: z.number(), renewable: z.boolean().default(false) });

/** A token is renewed, or another one asked for, when so much of its life is over. */
const RENEWED_AFTER = 2 / 3;
/** Of one that never ends: looked up again, since it may have been revoked. */
const LOOKED_AFTER_MS = 3_600_000;

interface Held {
  readonly token: SecretValue;
  readonly renewable: boolean;
  /** Monotonic: when to renew, and when it is over. */
  readonly renewAt: number;
  readonly endsAt: number;
}

/** Keyturn's own token on one server, always good for a while, and tokens for one request made with it. */
export class VaultIdentity {
  readonly #options: VaultIdentityOptions;
  #held: Held | undefined;
  #asking: Promise<Held> | undefined;

  constructor(options: VaultIdentityOptions) {
    this.#options = options;
  }

  async token(): Promise<SecretValue> {
    const now = this.#options.clock.monotonic();
    if (this.#held !== undefined && now < this.#held.renewAt) return this.#held.token;
    // Whoever asks meanwhile waits for the same login: a lockout counts each one.
    this.#asking ??= this.#renewed(now).finally(() => {
      this.#asking = undefined;
    });
    this.#held = await this.#asking;
    return this.#held.token;
  }

  /** After a 403 outside an effect, once: the token may be revoked. Inside one, the saga decides anew. */
  forget(): void {
    this.#held = undefined;
  }

  async once(seconds: number): Promise<SecretValue> {
    const { client, fenceRole, fencePolicies } = this.#options;
    const path = `auth/token/create/${fenceRole}`;
    const token = await this.token();
    const body = { ttl: `${Math.ceil(seconds)}s`, policies: fencePolicies };
    const answer = await beforeBegun(() => client.effect(path, { method: 'POST', token, body }));
    const made = authSchema.safeParse(answer?.body);
    if (!made.success) throw new BackendError('config', `${client.instance}, ${path}: it made no token`);
    return new SecretValue(made.data.auth.client_token);
  }

  async #renewed(now: number): Promise<Held> {
    const held = this.#held;
    if (held?.renewable === true && now < held.endsAt) {
      const renewed = await this.#renew(held.token).catch(() => undefined);
      if (renewed !== undefined) return renewed;
    }
    return this.#logIn();
  }

  async #renew(token: SecretValue): Promise<Held | undefined> {
    const answer = await this.#options.client.effect('auth/token/renew-self', {
      method: 'POST',
      token,
      body: {},
    });
    return this.#heldOf(answer?.body, token);
  }

  async #logIn(): Promise<Held> {
    const { client, login, clock } = this.#options;
    if (login.kind === 'token-file') {
      const token = await secretIn(login.file);
      const answer = await client.read('auth/token/lookup-self', { token });
      const { ttl, renewable } = lookedUpSchema.parse(answer?.data);
      return held(token, ttl, renewable, clock.monotonic());
    }
    const secret = await secretIn(login.kind === 'approle' ? login.secretIdFile : login.file);
    const path = `auth/${login.mount}/login`;
    const body =
      login.kind === 'approle'
        ? { role_id: login.roleId, secret_id: text(secret) }
        : { role: login.role, jwt: text(secret) };
    const answer = await beforeBegun(() => client.effect(path, { method: 'POST', body }));
    const logged = this.#heldOf(answer?.body);
    if (logged === undefined) throw new BackendError('auth', `${client.instance}, ${path}: it gave no token`);
    return logged;
  }

  #heldOf(body: unknown, same?: SecretValue): Held | undefined {
    const { data } = authSchema.safeParse(body);
    if (data === undefined) return undefined;
    const { client_token: token, lease_duration: seconds, renewable } = data.auth;
    return held(same ?? new SecretValue(token), seconds, renewable, this.#options.clock.monotonic());
  }
}

function held(token: SecretValue, seconds: number, renewable: boolean, now: number): Held {
  if (seconds === 0) return { token, renewable: false, renewAt: now + LOOKED_AFTER_MS, endsAt: Infinity };
  const life = seconds * 1_000;
  return { token, renewable, renewAt: now + life * RENEWED_AFTER, endsAt: now + life };
}

/** Whoever wrote the file ended it with a line or did not. */
async function secretIn(file: string): Promise<SecretValue> {
  try {
    return new SecretValue((await readFile(file, 'utf8')).trim());
  } catch {
    throw new BackendError('auth', `${file} cannot be read: it should hold what Keyturn signs in with`);
  }
}

function text(secret: SecretValue): string {
  return secret.reveal().toString('utf8');
}
