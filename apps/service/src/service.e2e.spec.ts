import { jest } from '@jest/globals';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LogLockedError } from '#eventlog';
import { loadConfig } from '#platform';
import { openKeyturn } from './composition.js';
import { serve } from './serve.js';
import { startService, type StartedService } from './testing/started-service.js';

// A starting service is slow where the machine is busy.
jest.setTimeout(30_000);

let service: StartedService;

beforeAll(async () => {
  service = await startService();
});

afterAll(async () => {
  await service.stop();
});

describe('health', () => {
  it('is live and ready, and asks for no token', async () => {
    expect(await service.call('GET', '/health/live', { token: null })).toMatchObject({ status: 200 });
    const ready = await service.call('GET', '/health/ready', { token: null });
    expect(ready.status).toBe(200);
    expect(ready.body).toMatchObject({ status: 'ready' });
  });
});

describe('JWKS', () => {
  const familyId = '4da3a0db-f3c2-4d64-aa6d-e4dfbb69708b';
  const attempt = (step: number) => ({
    key: `rotation/${step}`,
    attemptId: `attempt-${step}`,
    object: 'jwt',
    familyId,
    fence: { slot: 1, step },
    signal: new AbortController().signal,
  });

  it('is 404 for a family that serves nothing', async () => {
    const answer = await service.call('GET', `/jwks/${familyId}`, { token: null });
    expect([answer.status, answer.body['code']]).toEqual([404, 'jwks.not-found']);
    expect((await service.call('GET', '/jwks/..%2f..%2fmaster.key', { token: null })).status).toBe(404);
  });

  it('is served with its ETag and max-age', async () => {
    const { backend } = service.keyturn;
    await backend.generate(attempt(1), { versionId: 'v1', algorithm: 'EdDSA' });
    await backend.publish(attempt(2), { versions: ['v1'], maxAgeSeconds: 120 });
    const answer = await service.call('GET', `/jwks/${familyId}`, { token: null });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/jwk-set+json');
    expect(answer.headers.get('cache-control')).toBe('public, max-age=120');
    expect(answer.body).toMatchObject({ keys: [{ kid: 'v1', kty: 'OKP' }] });
    const etag = answer.headers.get('etag') ?? '';
    expect(etag).toMatch(/^"[^"]+"$/);
    const again = await service.call('GET', `/jwks/${familyId}`, {
      token: null,
      headers: { 'if-none-match': `"other", ${etag}` },
    });
    expect([again.status, again.text, again.headers.get('etag')]).toEqual([304, '', etag]);
  });
});

describe('the log', () => {
  it('is read as CloudEvents, page by page, and the reading is recorded once an hour', async () => {
    const before = await service.keyturn.log.treeSize();
    const first = await service.call('GET', '/api/v1/log/events?limit=3');
    expect(first.headers.get('content-type')).toBe('application/x-ndjson');
    const lines = first.text.trim().split('\n');
    expect(lines).toHaveLength(3);
    const events: Record<string, unknown>[] = lines.map((line) => JSON.parse(line));
    expect(events.map((event) => event['treesize'])).toEqual([1, 2, 3]);
    expect(events[0]).toMatchObject({
      specversion: '1.0',
      type: 'keyturn.LogOpened',
      source: `urn:uuid:${service.keyturn.store.logId}`,
      datacontenttype: 'application/json',
      data: { logId: service.keyturn.store.logId },
    });
    const rest = await service.call('GET', '/api/v1/log/events?after=3');
    expect(rest.text.trim().split('\n')).toHaveLength(before + 1 - 3);
    expect(rest.text).toContain('keyturn.AuditLogRead');
    expect(await service.keyturn.log.treeSize()).toBe(before + 1);
    expect(`${first.text}${rest.text}`).not.toContain('salt');
  });
});

describe('the documentation', () => {
  it('names every route but its own, with bodies and permissions', async () => {
    const { body, status } = await service.call('GET', '/api/docs/openapi.json', { token: null });
    expect(status).toBe(200);
    expect(body).toMatchObject({ openapi: '3.1.0' });
    const documented = new Set(
      Object.entries(body['paths'] ?? {}).flatMap(([path, item]) =>
        Object.keys(item).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
      ),
    );
    const routed = service.routes
      .map(({ method, url }) => `${method} ${url}`)
      .filter((route) => !route.includes('/api/docs'));
    expect([...documented].sort()).toEqual(routed.sort());
    expect(body).toMatchObject({
      paths: {
        '/api/v1/tokens': {
          post: {
            'x-permission': 'token:admin',
            requestBody: {
              content: {
                'application/json': {
                  schema: { type: 'object', required: ['subject', 'roles', 'scope', 'label'] },
                },
              },
            },
          },
        },
      },
    });
  });

  it('has a page for people', async () => {
    const answer = await service.call('GET', '/api/docs', { token: null });
    expect(answer.headers.get('content-type')).toContain('text/html');
    expect(answer.text).toContain('/api/v1/tokens');
  });
});

describe('start and stop', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'keyturn-start-'));
  });

  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  const configOf = (more: Record<string, string> = {}) =>
    loadConfig({
      KEYTURN_DATA_DIR: join(directory, 'data'),
      KEYTURN_PORT: '0',
      KEYTURN_LOG: 'silent',
      ...more,
    });

  it('makes the directory and the master key for nobody else, and says the one-time code until it was used', async () => {
    const codes: string[] = [];
    const options = {
      inlineLog: true,
      onOneTimeSignIn: (code: string) => {
        codes.push(code);
      },
    };
    const first = await serve(configOf(), options);
    expect(statSync(join(directory, 'data')).mode & 0o777).toBe(0o700);
    expect(statSync(join(directory, 'data', 'master.key')).mode & 0o777).toBe(0o600);
    await first.stop();
    const second = await serve(configOf(), options);
    const exchange = (code: string | undefined): Promise<Response> =>
      fetch(`${second.url}/api/v1/tokens/bootstrap`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ code, name: 'Ada' }),
      });
    expect((await exchange(codes[0])).status).toBe(401);
    const both = await Promise.all([exchange(codes[1]), exchange(codes[1])]);
    expect(both.map(({ status }) => String(status)).sort()).toEqual(['201', '401']);
    await second.stop();
    const third = await serve(configOf(), options);
    await third.stop();
    expect(codes).toHaveLength(2);
  });

  it('refuses a second Keyturn on the same directory and touches nothing', async () => {
    const first = await openKeyturn(configOf(), { inlineLog: true });
    await expect(openKeyturn(configOf(), { inlineLog: true })).rejects.toBeInstanceOf(LogLockedError);
    expect(await first.log.treeSize()).toBeGreaterThan(0);
    await first.close();
  });

  it('makes no new master key beside keys that were sealed with another', async () => {
    await (await openKeyturn(configOf(), { inlineLog: true })).close();
    rmSync(join(directory, 'data', 'master.key'));
    await expect(openKeyturn(configOf(), { inlineLog: true })).rejects.toThrow('does not exist');
    // Nothing was left open: the lock is free.
    writeFileSync(join(directory, 'note'), '');
    await expect(openKeyturn(configOf(), { inlineLog: true })).rejects.toThrow('does not exist');
  });

  it('runs its hooks before it closes what they need, newest first, once', async () => {
    const keyturn = await openKeyturn(configOf(), { inlineLog: true });
    const order: string[] = [];
    keyturn.beforeClose(async () => {
      order.push(`first, log at ${await keyturn.log.treeSize()}`);
    });
    keyturn.beforeClose(() => {
      order.push('second');
      return Promise.resolve();
    });
    await Promise.all([keyturn.close(), keyturn.close()]);
    expect(order).toEqual(['second', 'first, log at 1']);
    expect(keyturn.unready()).toBe('the service is stopping');
    await expect(keyturn.log.treeSize()).rejects.toMatchObject({ code: 'log.unavailable' });
  });
});
