import { createHash } from 'node:crypto';
import { z } from 'zod';
import { SecretValue } from '#platform';
import { BackendError } from '../key-backend.js';
import { refuse } from '../requirements.js';
import type { Credential } from './database-login.js';
import type { VaultClient } from './vault-client.js';
import type { Needs } from './vault-engine.js';

const roleSchema = z.looseObject({
  username: z.string(),
  db_name: z.string(),
  last_vault_rotation: z.string(),
  /** Seconds. Absent where a role turns by a schedule (HashiCorp Vault). */
  rotation_period: z.number().optional(),
  credential_type: z.string().default('password'),
});
const credentialSchema = z.looseObject({
  username: z.string(),
  password: z.string(),
  last_vault_rotation: z.string(),
});

/** One static role as the server shows it: everything but its password. */
export interface RoleState {
  readonly role: string;
  /** In the database. */
  readonly username: string;
  /** The server's name of the connection it is turned over. */
  readonly connection: string;
  /** RFC 3339, by the server. */
  readonly lastRotation: string;
  /** Which password of it this is: role and last rotation. The next rotation makes another. */
  readonly engine: string;
  /** Seconds after which the server turns it by itself; `undefined`: by a schedule. */
  readonly periodSeconds: number | undefined;
  readonly isPassword: boolean;
}

/** Two static roles of one mount, `MOUNT/static-roles/BLUE/GREEN`, as their HTTP face has them. Nothing here decides; every call is sent once. */
export class DatabasePair {
  readonly mount: string;
  readonly roles: readonly [string, string];

  constructor(
    private readonly client: VaultClient,
    readonly object: string,
  ) {
    const pair = pairIn(object);
    if (pair === undefined)
      throw refuse(
        'config',
        `${object} names no pair of static roles: write it as MOUNT/static-roles/BLUE/GREEN, with two different roles`,
      );
    this.mount = pair.mount;
    this.roles = pair.roles;
  }

  /** `undefined`: there is no such role. */
  async read(role: string, token: SecretValue): Promise<RoleState | undefined> {
    const path = `${this.mount}/static-roles/${role}`;
    const answer = await this.client.read(path, { token });
    if (answer === undefined) return undefined;
    const { data } = roleSchema.safeParse(answer.data);
    if (data === undefined)
      throw new BackendError('config', `${this.client.instance}, ${path}: it is no static role`);
    const lastRotation = instantOf(data.last_vault_rotation);
    return {
      role,
      username: data.username,
      connection: data.db_name,
      lastRotation,
      engine: `${role}@${lastRotation}`,
      periodSeconds: data.rotation_period,
      isPassword: data.credential_type === 'password',
    };
  }

  /** The password as it is now. For whoever logs in with it, and nobody else. */
  async credential(
    role: string,
    token: SecretValue,
  ): Promise<Credential & { /** As `RoleState`'s. */ readonly engine: string }> {
    const path = `${this.mount}/static-creds/${role}`;
    const answer = await this.client.read(path, { token });
    const { data } = credentialSchema.safeParse(answer?.data);
    if (data === undefined)
      throw new BackendError('config', `${this.client.instance}, ${path}: it shows no credential`);
    return {
      username: data.username,
      password: new SecretValue(data.password),
      engine: `${role}@${instantOf(data.last_vault_rotation)}`,
    };
  }

  /** Another password, each time it is sent. */
  async rotate(
    role: string,
    token: SecretValue,
    { rotation, withinMs }: { readonly rotation: string; readonly withinMs: number },
  ): Promise<void> {
    const path = `${this.mount}/rotate-role/${role}`;
    const answer = await this.client.effect(path, { method: 'POST', token, body: {}, rotation, withinMs });
    if (answer === undefined)
      throw new BackendError('not-found', `${this.client.instance}, ${path}: there is no such role`);
  }
}

/** What a name of a pair says; `undefined`: it is none. */
export function pairIn(
  object: string,
): { readonly mount: string; readonly roles: readonly [string, string] } | undefined {
  const [, mount = '', blue = '', green = ''] = /^(.+)\/static-roles\/([^/]+)\/([^/]+)$/.exec(object) ?? [];
  return green === '' || blue === green ? undefined : { mount, roles: [blue, green] };
}

/** What each of Keyturn's tokens must be allowed to turn a pair. */
export function databaseNeeds(object: string): Needs {
  const { mount = '', roles = [] } = pairIn(object) ?? {};
  const on = (part: string, capability: string): Readonly<Record<string, readonly string[]>> =>
    Object.fromEntries(roles.map((role) => [`${mount}/${part}/${role}`, [capability]]));
  return {
    driver: on('static-roles', 'read'),
    fence: on('rotate-role', 'update'),
    probe: on('static-creds', 'read'),
  };
}

/** The role of a name such as `blue@2026-11-22T05:00:00.123Z`. */
export function roleOf(engine: string): string {
  return engine.slice(0, engine.lastIndexOf('@'));
}

/** What a password may be known by: the name of its generation, and nothing of itself. */
export function fingerprintOf(object: string, engine: string): string {
  return createHash('sha256').update(`${object}\n${engine}`).digest('hex');
}

/** The server has nanoseconds and leaves trailing zeros out; no role is turned twice in a millisecond. */
function instantOf(shown: string): string {
  const at = Date.parse(shown);
  if (Number.isNaN(at))
    throw new BackendError('config', 'a static role shows no instant of its last rotation');
  return new Date(at).toISOString();
}
