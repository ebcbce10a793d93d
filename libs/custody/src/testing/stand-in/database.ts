import { randomInt } from 'node:crypto';
import { Socket } from 'node:net';
import { Client, escapeIdentifier } from 'pg';
import {
  NO_CONTENT,
  NOT_THERE,
  found,
  instant,
  secondsOf,
  textOf,
  unsupported,
  type Answer,
  type Ask,
  type Body,
  type Engine,
} from './face.js';
import { Refusal } from './refusal.js';
import type { Transaction } from './storage.js';

interface Role {
  readonly db_name: string;
  readonly username: string;
  /** Seconds. */
  readonly rotation_period: number;
  readonly last_vault_rotation: string;
  readonly password: string;
}

/** The timer ticks so often, and what failed is tried once more after this: 10 to 15 s later. */
const TICK_MS = 5_000;
const AGAIN_MS = 10_000;
/** Between the database and what lasts here: whoever dies in it, or is overtaken in it, leaves a password nobody knows. */
const WRITTEN_MS = 5;
const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-';

/** Static roles of a database engine, over a real PostgreSQL. */
export class DatabaseEngine implements Engine {
  /** When each role turns by itself. Of memory only. */
  readonly #due = new Map<string, number>();
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly begin: () => Transaction,
    leads: boolean,
  ) {
    if (!leads) return;
    const storage = begin();
    for (const name of storage.list('role/')) {
      const role = storage.read<Role>(`role/${name}`);
      if (role !== undefined) this.#plan(name, role);
    }
    this.#timer = setInterval(() => void this.#tick(), TICK_MS).unref();
  }

  exists({ path, storage }: Ask): boolean {
    const [face, name = ''] = path.split('/');
    return face !== 'static-roles' || storage.read(`role/${name}`) !== undefined;
  }

  reachesOut({ method }: Pick<Ask, 'method'>): boolean {
    return method !== 'GET' && method !== 'LIST';
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#due.clear();
  }

  async answer(ask: Ask): Promise<Answer> {
    const { storage } = ask;
    const [face = '', name = ''] = ask.path.split('/');
    const role = storage.read<Role>(`role/${name}`);
    switch (`${ask.method} ${face}`) {
      case 'POST config':
        storage.put(`config/${name}`, { ...storage.read<Body>(`config/${name}`), ...ask.body });
        return NO_CONTENT;
      case 'POST static-roles':
        return this.#upserted(ask, name, role);
      case 'GET static-roles':
        if (role === undefined) throw NOT_THERE;
        return found(shown(role));
      case 'DELETE static-roles':
        storage.remove(`role/${name}`);
        this.#due.delete(name);
        return NO_CONTENT;
      case 'GET static-creds':
        if (role === undefined) throw Refusal.of(400, `unknown role: ${name}`);
        return found({ ...shown(role), password: role.password, ttl: this.#left(name) });
      case 'POST rotate-role':
        if (role === undefined) throw Refusal.of(400, 'no static role found for role name');
        await this.#rotate(storage, name, role, ask.signal);
        return NO_CONTENT;
      default:
        throw unsupported(ask);
    }
  }

  /** A new role changes the password at once; one that is there keeps it. */
  async #upserted({ body, storage, signal }: Ask, name: string, before: Role | undefined): Promise<Answer> {
    const username = textOf(body['username']);
    if (before !== undefined && username !== before.username)
      throw Refusal.of(400, 'cannot update static account username');
    if (username === '') throw Refusal.of(400, 'username is a required field to create a static account');
    const period = secondsOf(body['rotation_period']) ?? before?.rotation_period;
    if (period === undefined) throw Refusal.of(400, 'rotation_period is required to create static accounts');
    if (period < TICK_MS / 1_000) throw Refusal.of(400, 'rotation_period must be 5 seconds or more');
    const kept = { last_vault_rotation: '', password: '', ...before };
    const role: Role = { ...kept, db_name: textOf(body['db_name']), username, rotation_period: period };
    if (before !== undefined) {
      storage.put(`role/${name}`, role);
      this.#plan(name, role);
      return NO_CONTENT;
    }
    try {
      await this.#turn(storage, name, role, signal);
    } catch (error) {
      throw Refusal.several(500, error instanceof Error ? error.message : 'no connection');
    }
    return NO_CONTENT;
  }

  /** What fails is tried again in the background, once it is time. */
  async #rotate(storage: Transaction, name: string, role: Role, signal?: AbortSignal): Promise<void> {
    try {
      await this.#turn(storage, name, role, signal);
    } catch (error) {
      this.#due.set(name, Date.now() + AGAIN_MS);
      const why = error instanceof Error ? error.message : 'no connection';
      throw Refusal.several(
        500,
        `unable to finish rotating credentials; retries will continue in the background but it is also safe to retry manually: ${why}`,
      );
    }
  }

  async #turn(storage: Transaction, name: string, role: Role, signal?: AbortSignal): Promise<void> {
    const config = storage.read<Body>(`config/${role.db_name}`);
    if (config === undefined)
      throw new Error(`failed to find entry for connection with name: "${role.db_name}"`);
    const password = Array.from({ length: 20 }, () => LETTERS[randomInt(LETTERS.length)]).join('');
    await alter(config, role.username, password, signal);
    await new Promise((done) => setTimeout(done, WRITTEN_MS));
    const turned: Role = { ...role, password, last_vault_rotation: instant() };
    storage.put(`role/${name}`, turned);
    this.#plan(name, turned);
  }

  #plan(name: string, { last_vault_rotation, rotation_period }: Role): void {
    this.#due.set(name, Date.parse(last_vault_rotation) + rotation_period * 1_000);
  }

  #left(name: string): number {
    return Math.max(Math.round(((this.#due.get(name) ?? 0) - Date.now()) / 1_000), 0);
  }

  async #tick(): Promise<void> {
    const due = [...this.#due].filter(([, at]) => at <= Date.now());
    for (const [name] of due) {
      const storage = this.begin();
      const role = storage.read<Role>(`role/${name}`);
      try {
        if (role === undefined) this.#due.delete(name);
        else await this.#rotate(storage, name, role);
        storage.commit();
      } catch (error) {
        // As after any failure: it is planned again.
        if (!(error instanceof Refusal)) throw error;
      }
    }
  }
}

function shown({ password: _secret, ...role }: Role): Body {
  return { ...role, credential_type: 'password', rotation_statements: [] };
}

async function alter(config: Body, user: string, password: string, signal?: AbortSignal): Promise<void> {
  const url = textOf(config['connection_url'])
    .replace('{{username}}', encodeURIComponent(textOf(config['username'])))
    .replace('{{password}}', encodeURIComponent(textOf(config['password'])));
  const socket = new Socket();
  const client = new Client({ connectionString: url, stream: () => socket });
  client.on('error', () => undefined);
  const give = (): void => {
    socket.destroy(new Error('context canceled'));
  };
  signal?.addEventListener('abort', give);
  try {
    if (signal?.aborted === true) throw new Error('context canceled');
    await client.connect();
    await client.query(`ALTER ROLE ${escapeIdentifier(user)} WITH PASSWORD '${password}'`);
    await client.end();
  } catch (error) {
    socket.destroy();
    if (typeof error === 'object' && error !== null && 'code' in error && 'message' in error)
      throw new Error(`${String(error.message)} (SQLSTATE ${String(error.code)})`, { cause: error });
    throw error;
  } finally {
    signal?.removeEventListener('abort', give);
  }
}
