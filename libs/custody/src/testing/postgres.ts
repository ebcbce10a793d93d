import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  chownSync,
  closeSync,
  constants,
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { tmpdir } from 'node:os';
import { Client } from 'pg';
import { POSTGRES } from '#platform/testing';
import { freePort } from './free-port.js';
import { SETPRIV, type LeftRunning } from './openbao.js';

const READY_MS = 20_000;
/** It refuses to run as root. */
const NOBODY = 65_534;
const SUPERUSER = 'postgres';

/** What a spec may do that shares a PostgreSQL with others: users of its own. */
export class PostgresFace {
  constructor(
    readonly port: number,
    /** Of the superuser, for whom an operator or a secrets engine signs in. */
    readonly rootPassword: string,
  ) {}

  /** One statement, as the operator; on a connection of its own. */
  async query(statement: string): Promise<readonly Record<string, unknown>[]> {
    const client = new Client({ ...this.#place(), user: SUPERUSER, password: this.rootPassword });
    client.on('error', () => undefined);
    await client.connect();
    try {
      const { rows }: { rows: Record<string, unknown>[] } = await client.query(statement);
      return rows;
    } finally {
      await client.end();
    }
  }

  /** An application's session, open until it ends it. */
  async session(user: string, password: string): Promise<Client> {
    const client = new Client({ ...this.#place(), user, password });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  #place(): { readonly host: string; readonly port: number; readonly database: string; readonly ssl: false } {
    return { host: '127.0.0.1', port: this.port, database: 'postgres', ssl: false };
  }
}

/** One PostgreSQL on loopback, with a data folder of its own, that wants a password from everybody. Ended by its process id. */
export class Postgres extends PostgresFace {
  #child: ChildProcess | undefined;

  private constructor(
    port: number,
    private readonly home: string,
    private readonly program: string,
    rootPassword: string,
    private readonly log: boolean,
  ) {
    super(port, rootPassword);
  }

  /**
   * `under`: where its home is made. `log`: it writes every statement down, passwords too, in its own folder, for
   * {@link passwordChanges}.
   */
  static async start({
    under = tmpdir(),
    log = false,
  }: { readonly under?: string; readonly log?: boolean } = {}): Promise<Postgres> {
    const home = mkdtempSync(join(under, 'keyturn-postgres-'));
    const postgres = new Postgres(
      await freePort(),
      home,
      reachable(POSTGRES, home),
      randomBytes(16).toString('hex'),
      log,
    );
    const passwordFile = join(home, 'password');
    writeFileSync(passwordFile, postgres.rootPassword);
    giveAway(home);
    giveAway(passwordFile);
    execFileSync(
      join(dirname(postgres.program), 'initdb'),
      [
        `--pgdata=${postgres.#data}`,
        `--username=${SUPERUSER}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--no-locale',
        '--encoding=UTF8',
        '--no-sync',
      ],
      { ...whom(), env: {}, stdio: 'ignore' },
    );
    await postgres.resume();
    return postgres;
  }

  /** Takes connections by TLS as well from now on, with this certificate; without one, no more. */
  async useTls(server?: { readonly certificate: string; readonly key: string }): Promise<void> {
    if (server !== undefined) {
      for (const [name, pem] of [
        ['server.crt', server.certificate],
        ['server.key', server.key],
      ] as const) {
        const file = join(this.#data, name);
        rmSync(file, { force: true });
        writeFileSync(file, pem, { mode: 0o600 });
        giveAway(file);
      }
    }
    const wanted = server === undefined ? 'off' : 'on';
    await this.query(`ALTER SYSTEM SET ssl = ${wanted}`);
    // Where it is on already, only a new start takes another certificate at once.
    await this.pause();
    await this.resume();
    const [{ ssl } = {}] = await this.query('SHOW ssl');
    if (ssl !== wanted) throw new Error(`PostgreSQL has ssl ${String(ssl)}`);
  }

  /** How often a user's password was changed for good, by its log and its own record of transactions. */
  async passwordChanges(user: string): Promise<number> {
    const changing = `ALTER ROLE "${user}"`;
    const transactions = new Set(
      readFileSync(this.#logFile, 'utf8')
        .split('\n')
        .filter((line) => line.includes('duration: ') && line.includes(changing))
        .map((line) => /^(\d+)\|/.exec(line)?.[1] ?? '0'),
    );
    const [counted] = await this.query(
      `SELECT count(*)::int AS times FROM unnest('{${[...transactions].join(',')}}'::text[]) AS each WHERE each <> '0' AND pg_xact_status(each::xid8) = 'committed'`,
    );
    return Number(counted?.['times']);
  }

  /** Does something the moment a user has another password than now; what is returned resolves once it watches. */
  async onceChanged<T>(user: string, act: () => Promise<T>): Promise<{ readonly acted: Promise<T> }> {
    const client = await this.session(SUPERUSER, this.rootPassword);
    const password = async (): Promise<unknown> => {
      const { rows }: { rows: { rolpassword: unknown }[] } = await client.query(
        'SELECT rolpassword FROM pg_authid WHERE rolname = $1',
        [user],
      );
      return rows[0]?.rolpassword;
    };
    const before = await password();
    const end = Date.now() + READY_MS;
    const watch = async (): Promise<T> => {
      while ((await password()) === before && Date.now() < end);
      const acting = act();
      await client.end();
      return acting;
    };
    return { acted: watch() };
  }

  /** Nothing of it runs on until `thaw`: connections are taken by the kernel and nobody answers. */
  freeze(): void {
    this.#signal('SIGSTOP');
  }

  thaw(): void {
    this.#signal('SIGCONT');
  }

  /** SIGKILL to all of it, in whatever it is doing. */
  async crash(): Promise<void> {
    await this.#ended(() => {
      this.#signal('SIGKILL');
    });
  }

  /** In good order, its data stay. */
  async pause(): Promise<void> {
    await this.#ended(() => this.#child?.kill('SIGINT'));
  }

  /** Up again, at the same port with what was durable. */
  async resume(): Promise<void> {
    const end = Date.now() + READY_MS;
    for (;;) {
      if (this.#child === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null)
        this.#spawn();
      const up = await this.query('SELECT 1').catch(() => undefined);
      if (up !== undefined) return;
      if (Date.now() > end) throw new Error('PostgreSQL did not come up');
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async stop(): Promise<void> {
    await this.crash();
    rmSync(this.home, { recursive: true, force: true });
  }

  get #logFile(): string {
    return join(this.home, 'log');
  }

  /** Left to others: whoever started it does not wait for its end. */
  left(): LeftRunning {
    this.#child?.unref();
    return { pid: this.#child?.pid ?? 0, home: this.home };
  }

  get #data(): string {
    return join(this.home, 'data');
  }

  #spawn(): void {
    const settings = ['unix_socket_directories=', 'shared_buffers=16MB', 'max_connections=40'];
    if (this.log) settings.push('log_min_duration_statement=0', 'log_line_prefix=%x|');
    const written = this.log ? openSync(this.#logFile, 'a', 0o600) : undefined;
    const [command = '', ...first] = existsSync(SETPRIV)
      ? [SETPRIV, '--pdeathsig', 'INT', this.program]
      : [this.program];
    this.#child = spawn(
      command,
      [
        ...first,
        '-D',
        this.#data,
        '-h',
        '127.0.0.1',
        '-p',
        String(this.port),
        ...settings.flatMap((each) => ['-c', each]),
      ],
      { ...whom(), env: {}, stdio: ['ignore', 'ignore', written ?? 'ignore'] },
    );
    if (written !== undefined) closeSync(written);
  }

  /** To the server and to every process of it: each backend is a session of its own, no group holds them. */
  #signal(signal: NodeJS.Signals): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    const all = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number));
    const children = all.flatMap(([child = 0, parent]) => (parent === pid ? [child] : []));
    for (const each of [pid, ...children]) {
      try {
        process.kill(each, signal);
      } catch {
        // It ended by itself meanwhile.
      }
    }
  }

  async #ended(end: () => unknown): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((done) => child.once('exit', done));
    end();
    await ended;
  }
}

/** Who runs it: the user of the tests, or for root somebody who is not. */
function whom(): { readonly uid?: number; readonly gid?: number } {
  return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
}

function giveAway(path: string): void {
  if (process.getuid?.() === 0) chownSync(path, NOBODY, NOBODY);
}

/** The program where its user can reach it: a copy, where a folder on the way is closed to others (a checkout under `/root`). */
function reachable(program: string, home: string): string {
  if (process.getuid?.() !== 0 || isOpen(program)) return program;
  const from = dirname(dirname(program));
  const to = join(home, 'program');
  cpSync(from, to, { recursive: true, verbatimSymlinks: true });
  return join(to, 'bin/postgres');
}

function isOpen(path: string): boolean {
  accessSync(path, constants.X_OK);
  const folder = dirname(path);
  const open = (statSync(path).mode & 0o005) === 0o005;
  return open && (folder === path || isOpen(folder));
}
