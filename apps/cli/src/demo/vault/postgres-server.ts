import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, cpSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { SecretValue } from '#platform';
import { ChildServer } from './child-server.js';
import { freePort } from './parts.js';

const READY_MS = 30_000;
/** It refuses to run as root. */
const NOBODY = 65_534;
const OPERATOR = 'postgres';
/** PostgreSQL's own no to a password. */
const INVALID_PASSWORD = '28P01';

/** A real PostgreSQL on loopback that wants a password from everybody. */
export class PostgresServer {
  private constructor(
    readonly port: number,
    private readonly home: string,
    private readonly server: ChildServer,
    readonly operator: { readonly name: string; readonly password: SecretValue },
  ) {}

  /** A folder of its own: its user is nobody where the demo is run by root, and gets into no folder of root's. */
  static async start(program: string): Promise<PostgresServer> {
    const home = mkdtempSync(join(tmpdir(), 'keyturn-demo-postgres-'));
    const port = await freePort();
    const password = randomBytes(16).toString('hex');
    const passwordFile = join(home, 'password');
    writeFileSync(passwordFile, password, { mode: 0o600 });
    const run = reachable(program, home);
    const data = join(home, 'data');
    for (const path of [home, passwordFile]) giveAway(path);
    await promisify(execFile)(
      join(dirname(run), 'initdb'),
      [
        `--pgdata=${data}`,
        `--username=${OPERATOR}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--no-locale',
        '--encoding=UTF8',
        '--no-sync',
      ],
      { ...whom(), env: {} },
    );
    rmSync(passwordFile);
    const settings = ['unix_socket_directories=', 'shared_buffers=16MB', 'max_connections=40'];
    const server = new ChildServer(
      'PostgreSQL',
      [run, '-D', data, '-h', '127.0.0.1', '-p', String(port), ...settings.flatMap((each) => ['-c', each])],
      { ...whom(), env: {} },
    );
    const started = new PostgresServer(port, home, server, {
      name: OPERATOR,
      password: new SecretValue(password),
    });
    try {
      await server.until(() => started.logsIn(OPERATOR, started.operator.password), READY_MS);
      return started;
    } catch (error) {
      await started.stop();
      throw error;
    }
  }

  /** A new connection, as a pool opens one. `false`: the password is refused; anything else is thrown. */
  async logsIn(user: string, password: SecretValue): Promise<boolean> {
    return this.#as(user, password, async (client) => {
      await client.query('SELECT 1');
    }).then(
      () => true,
      (error: unknown) => {
        if (typeof error === 'object' && error !== null && 'code' in error && error.code === INVALID_PASSWORD)
          return false;
        throw error;
      },
    );
  }

  /** One statement as its operator. */
  async run(statement: string): Promise<void> {
    await this.#as(this.operator.name, this.operator.password, async (client) => {
      await client.query(statement);
    });
  }

  async stop(): Promise<void> {
    await this.server.stop('SIGINT');
    rmSync(this.home, { recursive: true, force: true });
  }

  async #as(user: string, password: SecretValue, use: (client: Client) => Promise<void>): Promise<void> {
    const client = new Client({
      host: '127.0.0.1',
      port: this.port,
      database: 'postgres',
      user,
      password: password.reveal().toString('utf8'),
      ssl: false,
    });
    client.on('error', () => undefined);
    await client.connect();
    try {
      await use(client);
    } finally {
      await client.end();
    }
  }
}

/** Who runs it: the user of the demo, or for root somebody who is not. */
function whom(): { readonly uid?: number; readonly gid?: number } {
  return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
}

function giveAway(path: string): void {
  if (process.getuid?.() === 0) chownSync(path, NOBODY, NOBODY);
}

/** The program where its user can reach it: a copy, where a folder on the way is closed to others (a checkout under `/root`). */
function reachable(program: string, home: string): string {
  if (process.getuid?.() !== 0 || isOpen(dirname(program))) return program;
  const to = join(home, 'program');
  cpSync(dirname(dirname(program)), to, { recursive: true, verbatimSymlinks: true });
  chmodSync(to, 0o755);
  return join(to, 'bin/postgres');
}

function isOpen(folder: string): boolean {
  const open = (statSync(folder).mode & 0o005) === 0o005;
  return open && (folder === dirname(folder) || isOpen(dirname(folder)));
}
