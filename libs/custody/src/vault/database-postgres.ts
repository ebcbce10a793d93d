import { Client } from 'pg';
import { errorCode } from '../error-code.js';
import { BackendError } from '../key-backend.js';
import { refuse } from '../requirements.js';
import type { Credential, CredentialProbe, LoginVerdict } from './database-login.js';
import type { DatabaseConnection } from './database-settings.js';

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

export interface PostgresProbeOptions extends Pick<DatabaseConnection, 'host' | 'port' | 'database' | 'tls'> {
  /** Milliseconds. */
  readonly withinMs?: number;
}

/** The client library's own words where the server answers that it has no TLS; the error has no code. */
const NO_TLS = 'The server does not support SSL connections';
/** Of a server that is PostgreSQL in something's place: an answer that is neither yes nor no. */
const NO_POSTGRESQL = 'There was an error establishing an SSL connection';
/** What Node and OpenSSL say of a certificate, or of a handshake that came to none. */
const BAD_CERTIFICATE =
  /^(?:ERR_TLS_|ERR_SSL_|CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_|ERROR_IN_CERT_|EPROTO$)/;
const OTHER_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID';

/** Logs in to PostgreSQL. Everything is given to the client: nothing comes out of `PG*` of the environment or a password file. */
export class PostgresProbe implements CredentialProbe {
  readonly #options: PostgresProbeOptions;

  constructor(options: PostgresProbeOptions) {
    this.#options = options;
  }

  async logIn({ username, password }: Credential): Promise<LoginVerdict> {
    const { host, port, database, tls, withinMs = WITHIN_MS } = this.#options;
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
      // Whatever the environment says of it.
      ssl: tls !== undefined && { ...tls, rejectUnauthorized: true },
      sslnegotiation: 'postgres',
      application_name: 'keyturn-probe',
      connectionTimeoutMillis: withinMs,
    });
    emptied(client);
    // A connection that breaks after the login says nothing about it.
    client.on('error', () => undefined);
    try {
      await client.connect();
    } catch (error) {
      this.#requireTrusted(error);
      return this.#verdict(errorCode(error), asked);
    } finally {
      void client.end().catch(() => undefined);
    }
    return asked ? { kind: 'accepted' } : { kind: 'unproved', why: 'the database asked for no password' };
  }

  /** Throws `config` where the way there is not safe: nothing was said to the database but hello. */
  #requireTrusted(error: unknown): void {
    const { host, port, tls } = this.#options;
    if (tls === undefined) return;
    const where = `${host}:${port}`;
    const code = errorCode(error);
    const message = error instanceof Object && 'message' in error ? error.message : '';
    if (message === NO_TLS || message === NO_POSTGRESQL)
      throw refuse(
        'config',
        `${where}: the database speaks no TLS, and no password is sent in the clear. Switch TLS on there, or say plainText: true where nobody else is on the way`,
      );
    if (code === OTHER_NAME)
      throw refuse(
        'config',
        `${where}: the database's certificate is for another name: host must be one that stands in it`,
      );
    if (BAD_CERTIFICATE.test(code))
      throw refuse(
        'config',
        `${where}: the database's certificate is not to be trusted (${code}): name who signed it in caFile`,
      );
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

/** What the library takes out of `PGOPTIONS`, `PGREPLICATION` and the like by itself is taken out again: there is no way to tell it none. */
function emptied(client: Client): void {
  const parameters: unknown = Reflect.get(client, 'connectionParameters');
  if (typeof parameters !== 'object' || parameters === null)
    throw new TypeError('the PostgreSQL client has no parameters where they were');
  Object.assign(parameters, { options: undefined, replication: undefined, client_encoding: 'UTF8' });
}
