import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readFileSync } from 'node:fs';
import { packageFolder } from '../package-folder.js';
import type { BaoServer } from './bao-server.js';
import type { PostgresServer } from './postgres-server.js';

/** What examples/vault.yaml and docs/vault.md call them. */
export const TRANSIT_KEY = 'session-jwt';
export const KV_SECRET = 'payments/hmac';
export const PAIR = ['orders-blue', 'orders-green'] as const;

/** So long that the roles never turn by themselves while anybody looks: ten times the 90 days between rotations, and more. */
const ROTATION_PERIOD = '87600h';

/** What an operator of PostgreSQL and of the server's database engine prepares: two users, and a static role for each. */
export async function setUpDatabase(bao: BaoServer, postgres: PostgresServer): Promise<void> {
  for (const role of PAIR)
    await postgres.run(`CREATE ROLE "${role}" LOGIN PASSWORD '${randomBytes(24).toString('hex')}'`);
  await bao.ask('POST', 'sys/mounts/database', { type: 'database' });
  await bao.ask('POST', 'database/config/main', {
    plugin_name: 'postgresql-database-plugin',
    allowed_roles: PAIR.join(','),
    connection_url: `postgresql://{{username}}:{{password}}@127.0.0.1:${postgres.port}/postgres?sslmode=disable`,
    username: postgres.operator.name,
    password: postgres.operator.password.reveal().toString('utf8'),
  });
  for (const role of PAIR)
    await bao.ask('POST', `database/static-roles/${role}`, {
      db_name: 'main',
      username: role,
      rotation_period: ROTATION_PERIOD,
    });
}

/** Runs deploy/vault/setup.sh, and writes what it prints into the file that KEYTURN_BACK_ENDS names. */
export async function setUpVault(bao: BaoServer, postgres: PostgresServer, folder: string): Promise<string> {
  const printed = await new Promise<string>((resolve, reject) => {
    execFile(
      'sh',
      [join(packageFolder(), 'deploy/vault/setup.sh'), folder, TRANSIT_KEY],
      {
        env: {
          PATH: [dirname(bao.program), '/usr/local/bin', '/usr/bin', '/bin'].join(':'),
          HOME: folder,
          BAO_ADDR: bao.address,
          BAO_TOKEN: bao.rootToken.reveal().toString('utf8'),
          KV_SECRETS: KV_SECRET,
          PAIRS: PAIR.join('/'),
          DB_HOST: '127.0.0.1',
          DB_PORT: String(postgres.port),
          DB_NAME: 'postgres',
        },
      },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`deploy/vault/setup.sh: ${stderr.trim()}`));
      },
    );
  });
  const file = join(folder, 'back-ends.yaml');
  writeFileSync(file, printed.slice(printed.indexOf('servers:')));
  // So that the server's own audit log says which rotation asked.
  await bao.ask('POST', 'sys/config/auditing/request-headers/X-Keyturn-Rotation', { hmac: false });
  return file;
}

/** One of deploy/vault, filled in as setup.sh does it. */
export function emitterPolicy(versions: readonly string[]): string {
  const values: Readonly<Record<string, string>> = {
    TRANSIT: 'transit',
    DOCUMENTS: 'keyturn',
    FOLDER: 'objects',
    KEY: TRANSIT_KEY,
    VERSIONS: versions.map((version) => `"${version}"`).join(', '),
  };
  const text = readFileSync(join(packageFolder(), 'deploy/vault/transit-emitter.hcl'), 'utf8');
  return text.replaceAll(/\b(?:TRANSIT|DOCUMENTS|FOLDER|KEY|VERSIONS)\b/g, (name) => values[name] ?? name);
}
