import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { SecretValue, type Clock } from '#platform';
import { BackendError } from '../key-backend.js';
import { RequestRefusedError, TokenRefusedError } from './vault-answer.js';
import type { VaultClient } from './vault-client.js';

/** How Keyturn says who it is. Files are read at each login: whoever replaces one needs no restart. */
export const vaultLoginSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('token-file'), file: z.string().min(1) }),
  z.strictObject({
    kind: z.literal('approle'),
    mount: z.string().min(1).default('approle'),
    roleId: z.string().min(1),
    secretIdFile: z.string().min(1),
  }),
  z.strictObject({
    kind: z.literal('jwt'),
    /** `kubernetes` where it is mounted so: both take a role and a token. */
    mount: z.string().min(1).default('jwt'),
    role: z.string().min(1),
    file: z.string().min(1),
  }),
]);
export type VaultLogin = z.output<typeof vaultLoginSchema>;

const authSchema = z.looseObject({
  auth: z.looseObject({
    client_token: z.string().min(1),
    lease_duration: z.number(),
    renewable: z.boolean().default(false),
  }),
});
const lookedUpSchema = z.looseObject({ ttl: z.number(), renewable: z.boolean().default(false) });

/** A token is renewed, or another one asked for, when so much of its life is over. */
const RENEWED_AFTER = 2 / 3;
/** Renewed for less than so much of the life it was given: it nears its end, and another one is asked for. */
const WORTH_KEEPING = 1 / 3;
/** Of one that never ends: looked up again, since it may have been revoked. */
const LOOKED_AFTER_MS = 3_600_000;
/** While a token is still good and no other one can be had. */
const TRIED_AGAIN_MS = 10_000;
/**
 * What an AppRole login was refused with is not sent again for so long, unless the file says something else by then: servers count refused
 * logins for 15 minutes from the last one, and lock the role for everybody at the fifth.
 */
const NOT_AGAIN_MS = 16 * 60_000;

interface Held {
  readonly token: SecretValue;
  readonly renewable: boolean;
  /** Milliseconds it was given at its login. */
  readonly life: number;
  /** Monotonic: when to renew, and when it is over. */
  readonly renewAt: number;
  readonly endsAt: number;
}

/** One login on one server: its token, always good for a while, and one request for it however many wait. */
export class VaultSession {
  readonly #client: VaultClient;
  readonly #login: VaultLogin;
  readonly #clock: Clock;
  readonly #given = new WeakSet<SecretValue>();
  #held: Held | undefined;
  #asking: Promise<Held> | undefined;
  #trouble: string | undefined;
  #refused:
    { readonly secret: SecretValue; readonly error: BackendError; readonly until: number } | undefined;

  constructor(client: VaultClient, login: VaultLogin, clock: Clock) {
    this.#client = client;
    this.#login = login;
    this.#clock = clock;
  }

  async token(): Promise<SecretValue> {
    if (this.#held !== undefined && this.#clock.monotonic() < this.#held.renewAt) return this.#held.token;
    // Whoever asks meanwhile waits for the same login: servers count them.
    this.#asking ??= this.#another().finally(() => {
      this.#asking = undefined;
    });
    return (await this.#asking).token;
  }

  /** Why the last login was refused, in words; `undefined`: it was not. */
  trouble(): string | undefined {
    return this.#trouble;
  }

  /** The server does not know it any more. Whether it was one of this login's. */
  forget(token: SecretValue): boolean {
    if (this.#held?.token === token) this.#held = undefined;
    return this.#given.has(token);
  }

  async #another(): Promise<Held> {
    const before = this.#held;
    try {
      const held = this.#keep((await this.#renewed(before)) ?? (await this.#logIn()));
      this.#trouble = undefined;
      return held;
    } catch (error) {
      if (error instanceof BackendError && error.errorClass === 'auth') this.#trouble = error.message;
      const now = this.#clock.monotonic();
      // Nobody said that it is over: whoever has to mend the login has until then.
      if (before === undefined || this.#held !== before || now >= before.endsAt) throw error;
      return this.#keep({ ...before, renewAt: Math.min(now + TRIED_AGAIN_MS, before.endsAt) });
    }
  }

  #keep(held: Held): Held {
    this.#given.add(held.token);
    this.#held = held;
    return held;
  }

  async #renewed(before: Held | undefined): Promise<Held | undefined> {
    if (before?.renewable !== true || this.#clock.monotonic() >= before.endsAt) return undefined;
    try {
      const answer = await this.#client.effect('auth/token/renew-self', {
        method: 'POST',
        token: before.token,
        body: {},
      });
      const renewed = this.#heldOf(answer?.body, before);
      const left = (renewed?.endsAt ?? 0) - this.#clock.monotonic();
      // A token file has no other one to give.
      return this.#login.kind === 'token-file' || left >= before.life * WORTH_KEEPING ? renewed : undefined;
    } catch (error) {
      if (error instanceof BackendError) return undefined;
      throw error;
    }
  }

  async #logIn(): Promise<Held> {
    const login = this.#login;
    const secret = await secretIn(fileOf(login));
    const now = this.#clock.monotonic();
    const refused = this.#refused;
    if (refused !== undefined && now < refused.until && refused.secret.reveal().equals(secret.reveal()))
      throw refused.error;
    this.#refused = undefined;
    try {
      return login.kind === 'token-file' ? await this.#lookUp(secret) : await this.#ask(login, secret);
    } catch (error) {
      const told = this.#told(error);
      if (login.kind === 'approle' && told instanceof BackendError && told.errorClass === 'auth')
        this.#refused = { secret, error: told, until: now + NOT_AGAIN_MS };
      throw told;
    }
  }

  async #lookUp(token: SecretValue): Promise<Held> {
    const answer = await this.#client.read('auth/token/lookup-self', { token });
    const { data } = lookedUpSchema.safeParse(answer?.data);
    if (data === undefined)
      throw new BackendError('auth', `${this.#client.instance}: it does not say how long the token lives`);
    return this.#heldFor(token, data.ttl, data.renewable);
  }

  async #ask(login: Exclude<VaultLogin, { kind: 'token-file' }>, secret: SecretValue): Promise<Held> {
    const { instance } = this.#client;
    const path = `auth/${login.mount}/login`;
    const said = secret.reveal().toString('utf8');
    const body =
      login.kind === 'approle' ? { role_id: login.roleId, secret_id: said } : { role: login.role, jwt: said };
    const answer = await this.#client.effect(path, { method: 'POST', body });
    const held = this.#heldOf(answer?.body);
    if (held === undefined) throw new BackendError('auth', `${instance}, ${path}: it gave no token`);
    return held;
  }

  /** A login that failed, in words; nothing at all was changed by it, whatever became of its answer. */
  #told(error: unknown): unknown {
    if (!(error instanceof BackendError)) return error;
    const { instance } = this.#client;
    if (error instanceof RequestRefusedError || error instanceof TokenRefusedError)
      return new BackendError('auth', `${instance}: it refuses the login: ${whyOf(this.#login)}`);
    return error.errorClass === 'unknown' ? new BackendError('transient', error.message) : error;
  }

  /** Of `before`, where it is the same token for longer. */
  #heldOf(body: unknown, before?: Held): Held | undefined {
    const { data } = authSchema.safeParse(body);
    if (data === undefined) return undefined;
    const { client_token: token, lease_duration: seconds, renewable } = data.auth;
    // Servers count whole seconds: what is left of a token that ends is then none, and not for ever.
    if (before !== undefined && seconds === 0) return undefined;
    const held = this.#heldFor(before?.token ?? new SecretValue(token), seconds, renewable);
    return before === undefined ? held : { ...held, life: before.life };
  }

  #heldFor(token: SecretValue, seconds: number, renewable: boolean): Held {
    const now = this.#clock.monotonic();
    const life = seconds * 1_000;
    return seconds === 0
      ? { token, renewable: false, life: Infinity, renewAt: now + LOOKED_AFTER_MS, endsAt: Infinity }
      : { token, renewable, life, renewAt: now + life * RENEWED_AFTER, endsAt: now + life };
  }
}

function fileOf(login: VaultLogin): string {
  return login.kind === 'approle' ? login.secretIdFile : login.file;
}

function whyOf(login: VaultLogin): string {
  switch (login.kind) {
    case 'approle':
      return `the role id, or the secret id in ${login.secretIdFile}, is not good (any more), or the role is locked after too many refused logins. Put a new secret id there (auth/${login.mount}/role/NAME/secret-id)`;
    case 'jwt':
      return `the token in ${login.file} is over, or not one that the role ${login.role} of auth/${login.mount} takes (issuer, audience, subject, key)`;
    case 'token-file':
      return `the token in ${login.file} is over or revoked. Put a new one there`;
  }
}

/** Whoever wrote the file ended it with a line or did not. */
async function secretIn(file: string): Promise<SecretValue> {
  let text: string;
  try {
    text = (await readFile(file, 'utf8')).trim();
  } catch {
    throw new BackendError('auth', `${file} cannot be read: it should hold what Keyturn signs in with`);
  }
  // A line break inside would end a header, and a request.
  if (!/^[\x21-\x7e]{1,16384}$/.test(text))
    throw new BackendError('auth', `${file} should hold what Keyturn signs in with, and nothing else`);
  return new SecretValue(text);
}
