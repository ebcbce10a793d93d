import { createServer, type RequestListener, type Server } from 'node:http';
import { inspect } from 'node:util';
import { jest } from '@jest/globals';
import { SecretValue } from '#platform';
import { haveRealPart } from '#platform/testing';
import { BackendError } from '../key-backend.js';
import { OpenBao } from '../testing/openbao.js';
import { CasMismatchError } from './vault-answer.js';
import { VaultClient, type VaultClientOptions } from './vault-client.js';

jest.setTimeout(60_000);

const CANARY = 'canary-9f1b-never-to-be-seen';
const open: VaultClient[] = [];
function clientOf(address: URL, more: Partial<VaultClientOptions> = {}): VaultClient {
  const client = new VaultClient({ instance: 'vault.test', address, ...more });
  open.push(client);
  return client;
}
afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
});

async function refusal(work: Promise<unknown>): Promise<BackendError> {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof BackendError)) throw new Error(`no error of the port: ${inspect(error)}`);
  // Whatever prints it: neither what was sent nor with which token.
  for (const printed of [inspect(error, { depth: 9, showHidden: true }), JSON.stringify(error), error.stack])
    expect(printed).not.toContain(CANARY);
  expect(error.cause).toBeUndefined();
  return error;
}

const REAL_CASES = 9;
const real = haveRealPart('openbao', REAL_CASES);

(real ? describe : describe.skip)('a Vault client on a real server', () => {
  let bao: OpenBao;
  let kv: string;
  let token: SecretValue;
  beforeAll(async () => {
    bao = await OpenBao.start();
    kv = await bao.mount('kv', { options: { version: '2' } });
    token = bao.rootToken;
  });
  afterAll(async () => {
    await bao.stop();
  });

  const write = (client: VaultClient, name: string, cas: number) =>
    client.effect(`${kv}/data/${name}`, {
      method: 'POST',
      token,
      body: { options: { cas }, data: { password: CANARY } },
    });

  it('writes once by compare-and-set, and says that the second was not executed', async () => {
    const client = clientOf(bao.address);
    const written = await write(client, 'cas', 0);
    expect(written).toMatchObject({ status: 200, data: { version: 1 }, warnings: [] });
    expect(written?.requestId).toMatch(/^[0-9a-f-]{36}$/);
    const error = await refusal(write(client, 'cas', 0));
    expect(error).toBeInstanceOf(CasMismatchError);
    expect(error.message).toBe(`vault.test, ${kv}/data/cas: it was changed by somebody else meanwhile`);
  });

  it('reads what is there, and its index comes with it', async () => {
    const client = clientOf(bao.address);
    await write(client, 'read', 0);
    const answer = await client.read(`${kv}/metadata/read`, { token });
    expect(answer?.data).toMatchObject({ current_version: 1 });
    expect(answer?.index).toEqual(expect.any(String));
    const again = await client.read(`${kv}/metadata/read`, { token });
    expect(again?.data).toEqual(answer?.data);
  });

  it('tells an object that is not there from a mount that is not', async () => {
    const client = clientOf(bao.address);
    expect(await client.read(`${kv}/metadata/nobody`, { token })).toBeUndefined();
    expect(await client.list(`${kv}/metadata`, { token })).toMatchObject({ status: 200 });
    const error = await refusal(client.read('nowhere/metadata/nobody', { token }));
    expect([error.errorClass, error.message]).toEqual([
      'config',
      'vault.test, nowhere/metadata/nobody: nothing is mounted there',
    ]);
  });

  it('patches by the call’s own token', async () => {
    const client = clientOf(bao.address);
    await write(client, 'patch', 0);
    const error = await refusal(
      client.effect(`${kv}/data/patch`, {
        method: 'PATCH',
        token: new SecretValue(CANARY),
        body: { data: { password: CANARY } },
      }),
    );
    expect(error.errorClass).toBe('auth');
    const patched = await client.effect(`${kv}/data/patch`, {
      method: 'PATCH',
      token,
      body: { data: { other: 'x' } },
    });
    expect(patched?.data).toMatchObject({ version: 2 });
  });

  it('knows a namespace that does not exist', async () => {
    const client = clientOf(bao.address, { namespace: 'team-nobody' });
    const error = await refusal(client.read(`${kv}/metadata/x`, { token }));
    expect([error.errorClass, error.message]).toEqual([
      'config',
      `vault.test, ${kv}/metadata/x: it has no such namespace`,
    ]);
  });

  it('takes no token, address, namespace or prefix out of the environment', async () => {
    const replaced = jest.replaceProperty(process, 'env', {
      VAULT_TOKEN: token.reveal().toString('utf8'),
      VAULT_NAMESPACE: 'elsewhere',
      VAULT_PREFIX: '/elsewhere',
      VAULT_ADDR: 'http://127.0.0.1:9',
      http_proxy: 'http://127.0.0.1:9',
      HTTP_PROXY: 'http://127.0.0.1:9',
    });
    try {
      const client = clientOf(bao.address);
      expect((await refusal(client.read(`${kv}/metadata/x`))).errorClass).toBe('auth');
      expect(await client.read(`${kv}/metadata/nobody`, { token })).toBeUndefined();
    } finally {
      replaced.restore();
    }
  });

  it('waits for a sealed server: nothing was executed', async () => {
    const client = clientOf(bao.address);
    await bao.seal();
    try {
      const error = await refusal(write(client, 'sealed', 0));
      expect([error.errorClass, error.message]).toEqual([
        'transient',
        `vault.test, ${kv}/data/sealed: it is sealed`,
      ]);
    } finally {
      await bao.unseal();
    }
    expect(await client.read(`${kv}/metadata/sealed`, { token })).toBeUndefined();
  });

  it('says that it is not there while it is down, and goes on when it is up', async () => {
    const client = clientOf(bao.address);
    await write(client, 'crash', 0);
    const down = bao.crash();
    const errors: string[] = [];
    for (;;) {
      const seen = await client.read(`${kv}/metadata/crash`, { token }).catch((error: unknown) => error);
      if (!(seen instanceof BackendError)) break;
      errors.push(seen.errorClass);
    }
    await down;
    expect(errors.length).toBeGreaterThan(0);
    expect(new Set(errors)).toEqual(new Set(['transient']));
    expect((await client.read(`${kv}/metadata/crash`, { token }))?.data).toMatchObject({
      current_version: 1,
    });
  });

  it('refuses a path before anything is sent', async () => {
    const client = clientOf(bao.address);
    for (const path of [
      '',
      '/x',
      'x/',
      'a//b',
      'a/../sys/seal',
      './a',
      'a?b',
      'a#b',
      'a b',
      'a\nb',
      'a%2fb',
      'x'.repeat(513),
    ])
      await expect(client.read(path, { token })).rejects.toThrow(RangeError);
  });
});

describe('a Vault client and a server that means harm', () => {
  let server: Server;
  let requests: { readonly url: string | undefined; readonly method: string | undefined }[];
  async function serve(listener: RequestListener): Promise<URL> {
    requests = [];
    server = createServer((request, response) => {
      requests.push({ url: request.url, method: request.method });
      listener(request, response);
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const address = server.address();
    return new URL(`http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`);
  }
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });
  const token = new SecretValue(CANARY);
  const effect = { method: 'POST', token, body: { value: CANARY } } as const;

  it('follows no redirect: a write that was redirected may have happened', async () => {
    const address = await serve((_request, response) => {
      response.writeHead(307, { Location: 'http://127.0.0.1:9/v1/x' }).end();
    });
    const client = clientOf(address);
    expect((await refusal(client.effect('transit/keys/x/rotate', effect))).errorClass).toBe('unknown');
    expect((await refusal(client.read('transit/keys/x', { token }))).errorClass).toBe('transient');
    expect(requests).toHaveLength(2);
  });

  it('sends back further than the index it was given, so that no standby answers for the leader', async () => {
    const indexOf = (value: string): string =>
      Buffer.from(JSON.stringify({ cluster: 'one', value })).toString('base64');
    const sent: unknown[] = [];
    const given = [undefined, indexOf('39'), 'opaque', undefined];
    const address = await serve((request, response) => {
      sent.push(request.headers['x-vault-index']);
      const index = given.shift();
      response.writeHead(200, index === undefined ? {} : { 'X-Vault-Index': index }).end('{"data":{}}');
    });
    const client = clientOf(address);
    for (const path of ['a', 'b', 'c', 'd']) await client.read(path, { token });
    expect(sent).toEqual([undefined, undefined, indexOf('18446744073709551615'), 'opaque']);
  });

  it('ends at its limit of time: a write is unknown, a read is tried again', async () => {
    const client = clientOf(await serve(() => undefined));
    expect((await refusal(client.effect('a/b', { ...effect, withinMs: 500 }))).errorClass).toBe('unknown');
    expect((await refusal(client.read('a/b', { withinMs: 500 }))).errorClass).toBe('transient');
    expect(requests).toHaveLength(2);
  });

  it('sends nothing once it is told to stop, and does not know of what was on its way', async () => {
    const client = clientOf(await serve(() => undefined));
    const before = await refusal(client.effect('a/b', { ...effect, signal: AbortSignal.abort() }));
    expect([before.errorClass, requests]).toEqual(['transient', []]);
    const stop = new AbortController();
    const asked = refusal(client.effect('a/b', { ...effect, signal: stop.signal }));
    while (requests.length === 0) await new Promise((done) => setTimeout(done, 5));
    stop.abort();
    expect((await asked).errorClass).toBe('unknown');
  });

  it('reads no body without an end', async () => {
    const address = await serve((_request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      const more = (): void => {
        while (!response.destroyed && response.write('x'.repeat(1024 * 1024)));
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    });
    const before = process.memoryUsage().rss;
    expect((await refusal(clientOf(address).read('a/b'))).errorClass).toBe('transient');
    expect(process.memoryUsage().rss - before).toBeLessThan(256 * 1024 * 1024);
  });

  it.each([
    ['a reset', (_request, response) => response.destroy(), 'unknown'],
    [
      'half an answer',
      (_request, response) => response.writeHead(200, { 'Content-Length': 100 }).write('{"da'),
      'unknown',
    ],
    ['no JSON', (_request, response) => response.writeHead(200).end('<html>'), 'unknown'],
    [
      'a failure inside',
      (_request, response) => response.writeHead(500).end(`{"errors":["1 error occurred: ${CANARY}"]}`),
      'unknown',
    ],
    [
      'a mistake told as 500',
      (_request, response) => response.writeHead(500).end('{"errors":["no such key version"]}'),
      'config',
    ],
    [
      'no active node',
      (_request, response) =>
        response.writeHead(500).end('{"errors":["local node not active but active cluster node not found"]}'),
      'transient',
    ],
    [
      'a quota',
      (_request, response) =>
        response.writeHead(429).end('{"errors":["request path \\"x\\": rate limit quota exceeded"]}'),
      'quota',
    ],
    [
      'a stale standby',
      (_request, response) => response.writeHead(429, { 'Retry-After': '1' }).end('{"errors":[]}'),
      'transient',
    ],
    [
      'an answer that is wrapped though nobody asked for it',
      (_request, response) =>
        response.writeHead(200).end(`{"data":null,"wrap_info":{"token":"${CANARY}","ttl":60}}`),
      'auth',
    ],
    [
      'batch errors with values in them',
      (_request, response) =>
        response.writeHead(400).end(`{"data":{"batch_results":[{"plaintext":"${CANARY}"}]}}`),
      'config',
    ],
  ] satisfies readonly (readonly [string, RequestListener, string])[])(
    '%s of a write is what it is',
    async (_name, listener, expected) => {
      const client = clientOf(await serve(listener));
      const error = await refusal(client.effect('transit/keys/x/rotate', { ...effect, withinMs: 2_000 }));
      expect([error.errorClass, requests.length]).toEqual([expected, 1]);
    },
  );

  it('prints nothing, whatever DEBUG says', async () => {
    const address = await serve((_request, response) => response.writeHead(200).end('{"data":{}}'));
    const replaced = jest.replaceProperty(process, 'env', { DEBUG: '*' });
    const said: string[] = [];
    const write = jest.spyOn(process.stderr, 'write').mockImplementation((text) => {
      said.push(String(text));
      return true;
    });
    try {
      await clientOf(address).effect('secret/data/x', effect);
      expect(said.join('')).toBe('');
    } finally {
      write.mockRestore();
      replaced.restore();
    }
  });

  it('a wrong certificate is a connection that was never made', async () => {
    const client = clientOf(new URL('https://127.0.0.1:9'), { ca: 'no PEM' });
    await serve(() => undefined);
    expect((await refusal(client.effect('a/b', effect))).errorClass).not.toBe('unknown');
  });
});
