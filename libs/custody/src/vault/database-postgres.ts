import { Client } from 'pg';
import { errorCode } from '../error-code.js';
import { BackendError } from '../key-backend.js';
import type { Credential, CredentialProbe, LoginVerdict } from './database-login.js';

/** What PostgreSQL itself says; anything else is of the connection. */
const SQLSTATE = /^[0-9A-Z]{5}$/;
/** Milliseconds until a login is let in or refused. */
const WITHIN_MS = 5_000;

/** The password was asked for and is not the right one; also one that is past its `VALID UNTIL`. */
const INVALID_PASSWORD = '28P01';
/** No rule of `pg_hba.conf` lets it in, or the role may not log in: said before or after the password, and not about it. */
const INVALID_AUTHORIZATION = '28000';
/** Too many connections; starting up, shutting down, recovering. What begins with 08 is the connection's. */
const PASSING = new Set(['53300', '57P01', '57P02', '57P03']);

export interface PostgresProbeOptions {
  readonly host: string;
  readonly port: number;
  /** One that the pair's users may connect to. */
  readonly database: string;
  /** Milliseconds. */
  readonly withinMs?: number;
}

/** Logs in to PostgreSQL. Everything is given to the client: nothing comes out of `PG*` of the environment or a password file. */
export class PostgresProbe implements CredentialProbe {
  readonly #options: PostgresProbeOptions;

  constructor(options: PostgresProbeOptions) {
    this.#options = options;
  }

  async logIn({ username, password }: Credential): Promise<LoginVerdict> {
    const { host, port, database, withinMs = WITHIN_MS } = this.#options;
    let asked = false;
    const client = new Client({
      host,
      port,
      database,
      user: username,
      // Called only where the database asks for it: whoever is let in unasked has proved nothing.
      password: () => {
        asked = true;
        return password.reveal().toString('utf8');
      },
      ssl: false,
      application_name: 'keyturn-probe',
      connectionTimeoutMillis: withinMs,
    });
    // A connection that breaks after the login says nothing about it.
    client.on('error', () => undefined);
    try {
      await client.connect();
    } catch (error) {
      return this.#verdict(errorCode(error), asked);
    } finally {
      void client.end().catch(() => undefined);
    }
    return asked ? { kind: 'accepted' } : { kind: 'unproved', why: 'the database asked for no password' };
  }

  #verdict(code: string, asked: boolean): LoginVerdict {
    const { host, port } = this.#options;
    if (code === INVALID_PASSWORD && asked) return { kind: 'refused' };
    if (code === INVALID_AUTHORIZATION)
      return { kind: 'unproved', why: 'the database does not let this user in from here (28000)' };
    const passes = !SQLSTATE.test(code) || code.startsWith('08') || PASSING.has(code);
    if (passes)
      throw new BackendError('transient', `${host}:${port}: the database could not be asked (${code})`);
    return { kind: 'unproved', why: `the database ended the login for another reason (${code})` };
  }
}
