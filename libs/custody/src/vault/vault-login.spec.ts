import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { jest } from '@jest/globals';
import { exportSPKI, generateKeyPair, SignJWT } from 'jose';
import type { SecretValue } from '#platform';
import { haveRealPart, ManualClock } from '#platform/testing';
import { BackendError } from '../key-backend.js';
import { OpenBao } from '../testing/openbao.js';
import { TokenRefusedError } from './vault-answer.js';
import { VaultClient } from './vault-client.js';
import { VaultIdentity } from './vault-identity.js';
import type { VaultLogin } from './vault-login.js';

jest.setTimeout(60_000);

const CASES = 13;
const real = haveRealPart('openbao', CASES);

(real ? describe : describe.skip)('who Keyturn is to a real server', () => {
  let bao: OpenBao;
  let kv: string;
  let folder: string;
  let clock: ManualClock;
  let client: VaultClient;
  beforeAll(async () => {
    bao = await OpenBao.start();
    kv = await bao.mount('kv', { options: { version: '2' } });
    await bao.api('POST', 'sys/auth/approle', { type: 'approle' });
    await bao.api('POST', 'sys/auth/jwt', { type: 'jwt' });
    const policy = `path "${kv}/data/*" { capabilities = ["create", "update", "read"] }
path "auth/token/*" { capabilities = ["read", "update"] }`;
    await bao.api('POST', 'sys/policies/acl/reader', { policy });
    await bao.api('POST', `${kv}/data/there`, { data: { a: 'b' } });
    await bao.api('POST', 'auth/token/roles/fence', {
      token_type: 'service',
      token_num_uses: 1,
      orphan: true,
      token_no_default_policy: true,
      allowed_policies: ['reader'],
    });
    await bao.api('POST', 'auth/token/roles/no-fence', { orphan: true, allowed_policies: ['reader'] });
  });
  afterAll(() => bao.stop());
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'keyturn-login-'));
    clock = new ManualClock('2026-03-02T09:00:00.000Z');
    client = new VaultClient({ instance: 'vault.test', address: bao.address });
  });
  afterEach(async () => {
    await client.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const identityOf = (login: VaultLogin, role = 'fence', probe?: VaultLogin) =>
    new VaultIdentity({
      client,
      login,
      ...(probe === undefined ? {} : { probe }),
      fence: { role, policies: ['reader'] },
      clock,
    });
  const read = async (token: SecretValue) => client.read(`${kv}/data/there`, { token });
  const textOf = (token: SecretValue) => token.reveal().toString('utf8');
  const revoke = async (token: SecretValue) => bao.api('POST', 'auth/token/revoke', { token: textOf(token) });
  function fileWith(text: string): string {
    const file = join(folder, randomUUID());
    writeFileSync(file, `${text}\n`);
    return file;
  }

  async function approle(options: object = {}, secret: object = {}) {
    const name = randomUUID();
    const path = `auth/approle/role/${name}`;
    await bao.api('POST', path, { token_policies: 'reader', token_ttl: '60s', ...options });
    const role: { data: { role_id: string } } = await bao.api('GET', `${path}/role-id`);
    const made: { data: { secret_id: string } } = await bao.api('POST', `${path}/secret-id`, secret);
    const login = {
      kind: 'approle',
      mount: 'approle',
      roleId: role.data.role_id,
      secretIdFile: fileWith(made.data.secret_id),
    } as const;
    return { login, secretId: made.data.secret_id, path };
  }

  async function refusal(work: Promise<unknown>): Promise<BackendError> {
    const error: unknown = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof BackendError))
      throw new Error(`not refused by the port's error: ${String(error)}`);
    return error;
  }

  it('logs in by AppRole, once for however many wait', async () => {
    const { login } = await approle({}, { num_uses: 1 });
    const identity = identityOf(login);
    const tokens = await Promise.all(Array.from({ length: 20 }, () => identity.token()));
    expect(new Set(tokens.map(textOf)).size).toBe(1);
    expect(tokens[0] !== undefined && (await read(tokens[0]))?.status).toBe(200);
  });

  it('renews at two thirds of its life, and not before', async () => {
    const identity = identityOf((await approle()).login);
    const token = await identity.token();
    const renewals = async () => {
      const looked: { data: { last_renewal_time?: number } } = await bao.api('POST', 'auth/token/lookup', {
        token: textOf(token),
      });
      return looked.data.last_renewal_time;
    };
    clock.advance(39_000);
    expect(textOf(await identity.token())).toBe(textOf(token));
    expect(await renewals()).toBeUndefined();
    clock.advance(2_000);
    expect(textOf(await identity.token())).toBe(textOf(token));
    expect(await renewals()).toBeGreaterThan(0);
  });

  it('asks for another token where renewing gives hardly any life', async () => {
    const { login, path } = await approle();
    const identity = identityOf(login);
    const token = await identity.token();
    // From now on the server renews it for no more than this, of the 60 s it was given.
    await bao.api('POST', path, { token_ttl: '5s', token_max_ttl: '5s' });
    clock.advance(41_000);
    expect(textOf(await identity.token())).not.toBe(textOf(token));
  });

  it('uses a token that is still good while no other one can be had', async () => {
    const { login } = await approle({ token_ttl: '60s', token_type: 'batch' });
    const identity = identityOf(login);
    const token = await identity.token();
    writeFileSync(login.secretIdFile, 'nothing-good');
    clock.advance(41_000);
    expect(textOf(await identity.token())).toBe(textOf(token));
    clock.advance(20_000);
    expect((await refusal(identity.token())).errorClass).toBe('auth');
  });

  it('reads once again with another token where one was revoked, and sends no change twice', async () => {
    const identity = identityOf((await approle()).login);
    const first = await identity.token();
    await revoke(first);
    expect((await read(first))?.status).toBe(200);
    const second = await identity.token();
    expect(textOf(second)).not.toBe(textOf(first));
    // Held by a request that was made before.
    expect((await read(first))?.status).toBe(200);
    expect(textOf(await identity.token())).toBe(textOf(second));
    await revoke(second);
    const write = { method: 'POST', token: second, body: { data: { a: 'c' } } } as const;
    const error = await refusal(client.effect(`${kv}/data/written`, write));
    expect([error instanceof TokenRefusedError, error.errorClass]).toEqual([true, 'auth']);
    expect(await client.read(`${kv}/data/written`, { token: bao.rootToken })).toBeUndefined();
    const third = await identity.token();
    expect((await client.effect(`${kv}/data/written`, { ...write, token: third }))?.status).toBe(200);
  });

  it('does not take a rule that forbids it for a token that is over', async () => {
    const identity = identityOf((await approle({}, { num_uses: 1 })).login);
    const token = await identity.token();
    const error = await refusal(client.read('sys/mounts', { token }));
    expect([error instanceof TokenRefusedError, error.errorClass]).toEqual([false, 'auth']);
    expect(textOf(await identity.token())).toBe(textOf(token));
  });

  it('says what a wrong secret id is, without a word of it, and locks nobody out', async () => {
    const { login, secretId } = await approle();
    const wrong = 'wrong-5b9d-secret';
    writeFileSync(login.secretIdFile, wrong);
    const identity = identityOf(login);
    for (let count = 0; count < 20; count += 1) {
      clock.advance(45_000);
      const error = await refusal(identity.token());
      expect([error.errorClass, error.message]).toEqual([
        'auth',
        expect.stringContaining(login.secretIdFile),
      ]);
      expect(`${inspect(error)}${error.stack}`).not.toContain(wrong);
    }
    writeFileSync(login.secretIdFile, secretId);
    expect((await read(await identity.token()))?.status).toBe(200);
  });

  it('meets a server that does lock a role out', async () => {
    const { login, secretId } = await approle();
    const ask = async (said: string) =>
      bao
        .api('POST', 'auth/approle/login', { role_id: login.roleId, secret_id: said })
        .then(() => 'good', String);
    for (let count = 0; count < 6; count += 1) expect(await ask('wrong')).not.toBe('good');
    expect(await ask(secretId)).toContain('403');
    const error = await refusal(identityOf(login).token());
    expect([error.errorClass, error.message]).toEqual(['auth', expect.stringContaining('locked')]);
  });

  it('logs in with a JWT by keys the server holds', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    await bao.api('POST', 'auth/jwt/config', { jwt_validation_pubkeys: [await exportSPKI(publicKey)] });
    await bao.api('POST', 'auth/jwt/role/keyturn', {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: ['vault'],
      bound_subject: 'keyturn',
      token_policies: 'reader',
      token_ttl: '60s',
    });
    const signed = async (audience: string) =>
      new SignJWT({})
        .setProtectedHeader({ alg: 'ES256' })
        .setSubject('keyturn')
        .setAudience(audience)
        .setIssuedAt()
        .setExpirationTime('10m')
        .sign(privateKey);
    const file = fileWith(await signed('vault'));
    const login = { kind: 'jwt', mount: 'jwt', role: 'keyturn', file } as const;
    expect((await read(await identityOf(login).token()))?.status).toBe(200);
    const elsewhere = await signed('elsewhere');
    const error = await refusal(identityOf({ ...login, file: fileWith(elsewhere) }).token());
    expect([error.errorClass, error.message]).toEqual(['auth', expect.stringContaining('audience')]);
    expect(inspect(error)).not.toContain(elsewhere.split('.')[2]);
  });

  it('takes a token out of a file, and another one that somebody put there', async () => {
    const made = async () =>
      (
        await bao.api<{ auth: { client_token: string } }>('POST', 'auth/token/create', {
          policies: ['reader'],
          ttl: '60s',
        })
      ).auth.client_token;
    const one = await made();
    const file = fileWith(one);
    const identity = identityOf({ kind: 'token-file', file });
    const token = await identity.token();
    expect(textOf(token)).toBe(one);
    await revoke(token);
    expect((await refusal(read(token))).errorClass).toBe('auth');
    const two = await made();
    writeFileSync(file, two);
    expect(textOf(await identity.token())).toBe(two);
    for (const unfit of ['', 'two\nlines', 'a b']) {
      const bad = identityOf({ kind: 'token-file', file: fileWith(unfit) });
      expect((await refusal(bad.token())).errorClass).toBe('auth');
    }
    const missing = identityOf({ kind: 'token-file', file: join(folder, 'none') });
    expect((await refusal(missing.token())).message).toContain('none cannot be read');
  });

  it('makes tokens for one request that die with their lease, and takes no others for a fence', async () => {
    const { login } = await approle();
    const identity = identityOf(login);
    const once = await identity.once(20);
    expect((await read(once))?.status).toBe(200);
    expect((await refusal(read(once))).errorClass).toBe('auth');
    const short = await identity.once(1);
    await new Promise((done) => setTimeout(done, 2_100));
    expect((await refusal(read(short))).errorClass).toBe('auth');
    const unfit = await refusal(identityOf(login, 'no-fence').once(20));
    expect([unfit.errorClass, unfit.message]).toEqual(['config', expect.stringContaining('token_num_uses')]);
    expect((await refusal(identityOf(login, 'none-such').once(20))).errorClass).toBe('config');
  });

  it('probes by a login of its own, or by the driver’s, and deletes nothing', async () => {
    const driver = (await approle()).login;
    const probe = (await approle()).login;
    const both = identityOf(driver, 'fence', probe);
    expect(textOf(await both.probe())).not.toBe(textOf(await both.token()));
    const one = identityOf(driver);
    expect(textOf(await one.probe())).toBe(textOf(await one.token()));
    const error = await refusal(one.destroyer({ object: 'transit/keys/x', rotation: 'd/destroy' }));
    expect([error.errorClass, error.message]).toEqual([
      'auth',
      expect.stringContaining('keyturn destruction token'),
    ]);
  });

  it('never calls a login unknown: sealed, away or cut off, it is tried again', async () => {
    const { login } = await approle();
    const server = createServer((request) => request.socket.destroy());
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    await client.close();
    client = new VaultClient({ instance: 'vault.test', address: new URL(`http://127.0.0.1:${port}`) });
    expect((await refusal(identityOf(login).token())).errorClass).toBe('transient');
    server.close();
    await client.close();
    client = new VaultClient({ instance: 'vault.test', address: bao.address });
    const identity = identityOf(login);
    await bao.seal();
    const sealed = await refusal(identity.token());
    expect([sealed.errorClass, sealed.message]).toEqual(['transient', expect.stringContaining('sealed')]);
    await bao.unseal();
    expect((await read(await identity.token()))?.status).toBe(200);
  });
});
