import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { jest } from '@jest/globals';
import { SecretValue } from '#platform';
import { haveRealPart } from '#platform/testing';
import { BackendError } from '../key-backend.js';
import { CertificateAuthority } from '../testing/certificates.js';
import { formsOf } from '../testing/local-harness.js';
import { Postgres } from '../testing/postgres.js';
import { PostgresProbe } from './database-postgres.js';

jest.setTimeout(60_000);

(haveRealPart('postgres', 8) ? describe : describe.skip)('a login to a real PostgreSQL', () => {
  const WITHIN_MS = 1_000;
  let postgres: Postgres;
  let probe: PostgresProbe;
  beforeAll(async () => {
    postgres = await Postgres.start();
    probe = new PostgresProbe({
      tls: undefined,
      host: '127.0.0.1',
      port: postgres.port,
      database: 'postgres',
      withinMs: WITHIN_MS,
    });
  });
  afterAll(() => postgres.stop());

  let users = 0;
  async function user(options = ''): Promise<{ readonly username: string; readonly password: SecretValue }> {
    users += 1;
    const username = `app_${users}`;
    const password = randomBytes(15).toString('base64');
    await postgres.query(`CREATE ROLE ${username} LOGIN PASSWORD '${password}' ${options}`);
    return { username, password: new SecretValue(password) };
  }

  it('is let in by the password, and refused by another one', async () => {
    const credential = await user();
    expect(await probe.logIn(credential)).toEqual({ kind: 'accepted' });
    const wrong = new SecretValue('not it');
    expect(await probe.logIn({ ...credential, password: wrong })).toEqual({ kind: 'refused' });
    await postgres.query(`ALTER ROLE ${credential.username} PASSWORD 'another'`);
    expect(await probe.logIn(credential)).toEqual({ kind: 'refused' });
    expect(await probe.logIn({ username: 'nobody_here', password: wrong })).toEqual({ kind: 'refused' });
  });

  it('takes nothing out of the environment', async () => {
    const { username, password } = await user();
    const environment = {
      PGPASSWORD: password.reveal().toString('utf8'),
      PGHOST: '127.0.0.9',
      PGUSER: 'postgres',
      PGOPTIONS: '-c no_such_setting=1',
      PGREPLICATION: 'database',
      PGSSLMODE: 'require',
      PGSSLNEGOTIATION: 'direct',
      PGCLIENTENCODING: 'none',
      PGCLIENT_ENCODING: 'none',
    };
    // oxlint-disable-next-line no-restricted-properties -- the client library reads it
    const { env } = process;
    Object.assign(env, environment);
    try {
      expect(await probe.logIn({ username, password })).toEqual({ kind: 'accepted' });
      const wrong = new SecretValue('not it');
      expect(await probe.logIn({ username, password: wrong })).toEqual({ kind: 'refused' });
    } finally {
      for (const name of Object.keys(environment)) Reflect.deleteProperty(env, name);
    }
  });

  describe('over TLS', () => {
    /** Says whether anybody came as far as to ask for it. */
    class Watched extends SecretValue {
      asked = 0;
      override reveal(): Buffer {
        this.asked += 1;
        return super.reveal();
      }
    }
    let folder: string;
    let authority: CertificateAuthority;
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'keyturn-tls-'));
      authority = CertificateAuthority.in(folder);
    });
    afterAll(async () => {
      await postgres.useTls();
      rmSync(folder, { recursive: true, force: true });
    });

    async function tried(host: string, ca?: string) {
      const { username, password } = await user();
      const watched = new Watched(password.reveal());
      const over = new PostgresProbe({
        host,
        port: postgres.port,
        database: 'postgres',
        tls: ca === undefined ? {} : { ca },
        withinMs: WITHIN_MS,
      });
      const verdict = await over.logIn({ username, password: watched }).catch((error: unknown) => error);
      return { verdict, asked: watched.asked };
    }

    it('logs in where the right authority signed for the right name or address', async () => {
      await postgres.useTls(authority.issue('DNS:localhost', 'IP:127.0.0.1'));
      for (const host of ['localhost', '127.0.0.1'])
        expect(await tried(host, authority.certificate)).toEqual({ verdict: { kind: 'accepted' }, asked: 1 });
    });

    it('says nothing to who was signed for by another authority, is somebody else, or speaks in the clear', async () => {
      const other = CertificateAuthority.in(folder);
      await postgres.useTls(other.issue('DNS:localhost'));
      expect(await tried('localhost', authority.certificate)).toMatchObject({
        verdict: { errorClass: 'config', message: expect.stringMatching(/not to be trusted .*caFile/) },
        asked: 0,
      });
      expect(await tried('localhost')).toMatchObject({
        verdict: { errorClass: 'config', message: expect.stringMatching(/not to be trusted .*caFile/) },
        asked: 0,
      });
      await postgres.useTls(authority.issue('DNS:db.example.com', 'IP:127.0.0.2'));
      for (const host of ['localhost', '127.0.0.1'])
        expect(await tried(host, authority.certificate)).toMatchObject({
          verdict: { errorClass: 'config', message: expect.stringContaining('for another name') },
          asked: 0,
        });
      await postgres.useTls();
      expect(await tried('localhost', authority.certificate)).toMatchObject({
        verdict: { errorClass: 'config', message: expect.stringContaining('speaks no TLS') },
        asked: 0,
      });
    });
  });

  it('leaves no session behind', async () => {
    const credential = await user();
    for (let times = 0; times < 5; times += 1) await probe.logIn(credential);
    const open = async () =>
      (await postgres.query(`SELECT 1 FROM pg_stat_activity WHERE usename = '${credential.username}'`))
        .length;
    for (let tries = 0; tries < 50 && (await open()) > 0; tries += 1)
      await new Promise((done) => setTimeout(done, 20));
    expect(await open()).toBe(0);
  });

  it('calls a user that may not log in unproved, whatever its password', async () => {
    const credential = await user();
    await postgres.query(`ALTER ROLE ${credential.username} NOLOGIN`);
    expect(await probe.logIn(credential)).toMatchObject({
      kind: 'unproved',
      why: expect.stringMatching('28000'),
    });
  });

  it('calls a login unproved that was let in without being asked for its password', async () => {
    const { username } = await user();
    const [{ hba_file: file } = {}] = await postgres.query('SHOW hba_file');
    const rules = await postgres.query(`SELECT pg_read_file('${String(file)}') AS text`);
    const text = String(rules[0]?.['text']);
    const write = async (lines: string) => {
      await postgres.query(
        `COPY (SELECT unnest(string_to_array($$${lines}$$, chr(10)))) TO '${String(file)}'`,
      );
      await postgres.query('SELECT pg_reload_conf()');
    };
    await write(`host all ${username} 127.0.0.1/32 trust\n${text}`);
    try {
      const any = { username, password: new SecretValue('anything') };
      let verdict = await probe.logIn(any);
      // It reads its rules anew a moment after it was told to.
      for (let tries = 0; tries < 50 && verdict.kind === 'refused'; tries += 1) {
        await new Promise((done) => setTimeout(done, 20));
        verdict = await probe.logIn(any);
      }
      expect(verdict).toEqual({ kind: 'unproved', why: 'the database asked for no password' });
    } finally {
      await write(text);
    }
  });

  it('is transient, within its limit, where the database hangs or is down', async () => {
    const credential = await user();
    const failure = async (): Promise<BackendError> => {
      const error = await probe.logIn(credential).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (!(error instanceof BackendError)) throw new Error('it did not fail as a back end does');
      return error;
    };
    postgres.freeze();
    const began = Date.now();
    const hung = await failure().finally(() => {
      postgres.thaw();
    });
    expect(Date.now() - began).toBeLessThan(WITHIN_MS * 4);
    await postgres.crash();
    const down = await failure();
    await postgres.resume();
    expect([hung.errorClass, down.errorClass]).toEqual(['transient', 'transient']);
    expect(await probe.logIn(credential)).toEqual({ kind: 'accepted' });
    const value = credential.password.reveal();
    for (const error of [hung, down]) {
      expect(error.cause).toBeUndefined();
      const printed =
        inspect(error, { depth: 8, showHidden: true }) + JSON.stringify(error) + String(error.stack);
      for (const form of [value.toString('utf8'), ...formsOf(value)])
        expect(printed.includes(form)).toBe(false);
    }
  });
});
