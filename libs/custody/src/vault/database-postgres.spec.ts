import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { jest } from '@jest/globals';
import { SecretValue } from '#platform';
import { haveRealPart } from '#platform/testing';
import { BackendError } from '../key-backend.js';
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

  it('takes no password out of the environment', async () => {
    const { username, password } = await user();
    // oxlint-disable-next-line no-restricted-properties -- the client library reads it
    process.env['PGPASSWORD'] = password.reveal().toString('utf8');
    try {
      const wrong = new SecretValue('not it');
      expect(await probe.logIn({ username, password: wrong })).toEqual({ kind: 'refused' });
    } finally {
      // oxlint-disable-next-line no-restricted-properties -- as above
      delete process.env['PGPASSWORD'];
    }
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
