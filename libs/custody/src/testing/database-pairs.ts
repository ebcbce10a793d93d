import { randomUUID } from 'node:crypto';
import type { Served } from './openbao.js';
import type { PostgresFace } from './postgres.js';

/** The server's name of its connection to the database. */
export const CONNECTION = 'main';

/** A database engine over a real PostgreSQL, and pairs of static roles in it, each with a database user of its own. */
export class DatabasePairs {
  private constructor(
    private readonly bao: Served,
    private readonly postgres: PostgresFace,
    readonly mount: string,
  ) {}

  /** `at`: the mount's path, where it matters. */
  static async open(bao: Served, postgres: PostgresFace, at?: string): Promise<DatabasePairs> {
    const mount = at ?? (await bao.mount('database'));
    if (at !== undefined) await bao.api('POST', `sys/mounts/${at}`, { type: 'database' });
    await bao.api('POST', `${mount}/config/${CONNECTION}`, {
      plugin_name: 'postgresql-database-plugin',
      allowed_roles: '*',
      connection_url: `postgresql://{{username}}:{{password}}@127.0.0.1:${postgres.port}/postgres?sslmode=disable`,
      username: 'postgres',
      password: postgres.rootPassword,
    });
    return new DatabasePairs(bao, postgres, mount);
  }

  /** A pair that nobody uses yet; `period`: after how long its roles turn by themselves. */
  async make(period = '2000000h'): Promise<string> {
    const name = randomUUID().slice(0, 8);
    for (const role of [`blue-${name}`, `green-${name}`]) {
      await this.postgres.query(`CREATE ROLE "${role}-user" LOGIN`);
      await this.role(role, { username: `${role}-user`, rotation_period: period });
    }
    return `${this.mount}/static-roles/blue-${name}/green-${name}`;
  }

  async role(role: string, settings: Readonly<Record<string, unknown>>): Promise<void> {
    await this.bao.api('POST', `${this.mount}/static-roles/${role}`, { db_name: CONNECTION, ...settings });
  }

  /** As an application reads it. */
  async credential(role: string): Promise<{ readonly username: string; readonly password: string }> {
    const { data } = await this.bao.api<{ data: { username: string; password: string } }>(
      'GET',
      `${this.mount}/static-creds/${role}`,
    );
    return data;
  }

  /** As somebody beside Keyturn turns it. */
  async rotate(role: string): Promise<void> {
    await this.bao.api('POST', `${this.mount}/rotate-role/${role}`);
  }

  async lastRotation(role: string): Promise<string> {
    const { data } = await this.bao.api<{ data: { last_vault_rotation: string } }>(
      'GET',
      `${this.mount}/static-roles/${role}`,
    );
    return data.last_vault_rotation;
  }
}

/** `MOUNT/static-roles/BLUE/GREEN`: the two names. */
export function rolesOf(object: string): readonly [string, string] {
  const [blue = '', green = ''] = object.split('/').slice(-2);
  return [blue, green];
}
