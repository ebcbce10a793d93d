import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as forward, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { parse, stringify } from 'yaml';
import { systemClock } from '#platform';
import { haveRealPart } from '#platform/testing';
import { BackendError } from '../key-backend.js';
import { Attempts } from '../testing/key-backend.contract.js';
import { OpenBao } from '../testing/openbao.js';
import { setUpVault } from '../testing/set-up-vault.js';
import { VaultBackEnds } from './open-vault.js';
import { readBackEnds } from './vault-config.js';

jest.setTimeout(60_000);

const CASES = 5;
// deploy/vault/setup.sh makes canaries with it.
const real = haveRealPart('openbao', CASES) && haveRealPart('openssl', CASES);

(real ? describe : describe.skip)('the servers of a file', () => {
  let bao: OpenBao;
  let out: string;
  let said: { servers: { keyturn: Record<string, unknown> } };
  let keys = 0;
  const open: VaultBackEnds[] = [];
  const servers: Server[] = [];

  beforeAll(async () => {
    bao = await OpenBao.start();
    out = mkdtempSync(join(tmpdir(), 'keyturn-health-'));
    said = parse(setUpVault(bao, out, ['one', 'two', 'three', 'four']));
  });
  afterEach(async () => {
    for (const vault of open.splice(0)) await vault.close();
    for (const server of servers.splice(0)) server.close();
  });
  afterAll(async () => {
    await bao.stop();
    rmSync(out, { recursive: true, force: true });
  });

  function vaultWith(change: object): VaultBackEnds {
    const file = join(out, 'back-ends.yaml');
    const { servers: named } = said;
    writeFileSync(file, stringify({ ...said, servers: { keyturn: { ...named.keyturn, ...change } } }));
    const directory = join(out, randomUUID());
    const vault = new VaultBackEnds({ settings: readBackEnds(file), directory, clock: systemClock });
    open.push(vault);
    return vault;
  }

  const backEndOf = ({ all: [backEnd] }: VaultBackEnds) => {
    if (backEnd === undefined) throw new Error('no back end was opened');
    return backEnd;
  };
  const attempts = () =>
    new Attempts({
      object: `transit/keys/${['one', 'two', 'three', 'four'][keys++] ?? ''}`,
      familyId: randomUUID(),
    });
  const make = () => ({ versionId: randomUUID(), algorithm: 'ES256' }) as const;

  /** Before the real server: what it is sent is counted. */
  async function before(tls?: { key: Buffer; cert: Buffer }) {
    const seen: string[] = [];
    const listener: RequestListener = (request, response) => {
      seen.push(`${request.method ?? ''} ${request.url ?? ''}`);
      const { method, headers, url } = request;
      const { hostname, port } = bao.address;
      const onward = forward({ hostname, port, method, headers, path: url }, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      });
      request.pipe(onward);
    };
    const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
    servers.push(server);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    return { seen, address: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}` };
  }

  it('asks nothing of a server that is sealed, but whether it still is, and goes on once it is not', async () => {
    const { seen, address } = await before();
    const vault = vaultWith({ address });
    const backEnd = backEndOf(vault);
    const target = attempts();
    await backEnd.generate(target.next(), make());
    const wanted = { object: target.object, effect: 'publish', versions: [], key: 'r/accept' } as const;
    expect(backEnd.unavailable?.(wanted)).toBeUndefined();
    await bao.seal();
    const refusal = async () => {
      const error: unknown = await backEnd.observe(target.object).catch((thrown: unknown) => thrown);
      return error instanceof BackendError ? [error.errorClass, error.message] : undefined;
    };
    const sealed = ['transient', expect.stringContaining('sealed')];
    expect(await refusal()).toEqual(sealed);
    expect(backEnd.unavailable?.(wanted)).toBe('vault.keyturn: it is sealed');
    const sent = seen.length;
    for (let count = 0; count < 100; count += 1) expect(await refusal()).toEqual(sealed);
    expect(seen.length).toBe(sent);
    await vault.look();
    expect(vault.health()).toMatchObject([{ instance: 'vault.keyturn', state: 'sealed' }]);
    expect(seen.slice(sent).every((each) => each.includes('sys/health'))).toBe(true);
    await bao.unseal();
    await vault.look();
    expect(vault.health()).toMatchObject([{ state: 'answers', version: '2.7.2' }]);
    expect((await backEnd.observe(target.object)).versions).toHaveLength(1);
  });

  it('is looked at in the background', async () => {
    const vault = vaultWith({});
    expect(vault.health()).toMatchObject([{ state: 'not-asked' }]);
    vault.start();
    while (vault.health()[0]?.state === 'not-asked') await new Promise((done) => setTimeout(done, 20));
    expect(vault.health()).toMatchObject([{ state: 'answers' }]);
    await bao.seal();
    await vault.look();
    await bao.unseal();
    const end = Date.now() + 15_000;
    while (vault.health()[0]?.state !== 'answers' && Date.now() < end)
      await new Promise((done) => setTimeout(done, 100));
    expect(vault.health()).toMatchObject([{ state: 'answers' }]);
  });

  it('says what is away, and what is no such server at all', async () => {
    const nobody = vaultWith({ address: 'http://127.0.0.1:9' });
    await nobody.look();
    expect(nobody.health()).toMatchObject([{ state: 'away', reason: 'no connection (ECONNREFUSED)' }]);
    const other = createServer((_request, response) => response.end('{"hello":"world"}'));
    servers.push(other);
    await new Promise<void>((done) => other.listen(0, '127.0.0.1', done));
    const address = other.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const stranger = vaultWith({ address: `http://127.0.0.1:${port}` });
    await stranger.look();
    expect(stranger.health()).toMatchObject([
      { state: 'away', reason: 'what answers there is no Vault or OpenBao' },
    ]);
  });

  it('trusts who signed its certificate, and nobody else', async () => {
    const ca = join(out, 'ca.pem');
    const key = join(out, 'ca.key');
    const made = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1 -keyout ${key} -out ${ca}`;
    execFileSync('openssl', made.split(' '), { stdio: 'ignore' });
    const { address } = await before({ key: readFileSync(key), cert: readFileSync(ca) });
    const trusting = vaultWith({ address, caFile: 'ca.pem' });
    const target = attempts();
    await backEndOf(trusting).generate(target.next(), make());
    expect((await backEndOf(trusting).observe(target.object)).versions).toHaveLength(1);
    const strict = vaultWith({ address });
    await strict.look();
    expect(strict.health()).toMatchObject([{ state: 'away', reason: expect.stringMatching(/SELF_SIGNED/) }]);
  });

  it('works in a namespace, by its policies there', async () => {
    await bao.api('POST', 'sys/namespaces/team1', {});
    const inside = mkdtempSync(join(out, 'team1-'));
    const made: typeof said = parse(
      setUpVault(bao, inside, ['one', 'two', 'three', 'four'], { namespace: 'team1' }),
    );
    const vault = vaultWith({ ...made.servers.keyturn, namespace: 'team1' });
    await vault.look();
    expect(vault.health()).toMatchObject([{ state: 'answers' }]);
    const target = attempts();
    await backEndOf(vault).generate(target.next(), make());
    const { data } = await bao.api<{ data: { latest_version: number } }>('GET', `team1/${target.object}`);
    expect(data.latest_version).toBe(1);
    await expect(bao.api('GET', target.object)).rejects.toThrow('404');
    const nowhere = vaultWith({ ...made.servers.keyturn, namespace: 'team2' });
    await expect(backEndOf(nowhere).observe(target.object)).rejects.toThrow('it has no such namespace');
  });
});
