import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { loadConfig } from '#platform';
import { GRACE_MS, serve, type Serving } from './serve.js';

// A starting service is slow where the machine is busy.
jest.setTimeout(30_000);

let directory: string;
let serving: Serving;
let token: string;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'keyturn-stop-'));
  const config = loadConfig({
    KEYTURN_DATA_DIR: join(directory, 'data'),
    KEYTURN_PORT: '0',
    KEYTURN_LOG: 'silent',
  });
  let code = '';
  serving = await serve(config, {
    inlineLog: true,
    onOneTimeSignIn: (made) => {
      code = made;
    },
  });
  const answer = await fetch(`${serving.url}/api/v1/tokens/bootstrap`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code, name: 'Ada' }),
  });
  token = /kt_[\w-]{43}/.exec(await answer.text())?.[0] ?? '';
});

afterEach(async () => {
  jest.restoreAllMocks();
  await serving.stop(0);
  rmSync(directory, { recursive: true, force: true });
});

const issue = (): Promise<Response> =>
  fetch(`${serving.url}/api/v1/tokens`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${token}`,
      'idempotency-key': 'slow',
    },
    body: JSON.stringify({
      subject: { name: 'Bo', kind: 'workload' },
      roles: ['viewer'],
      scope: { environments: 'all', teams: 'all' },
      label: 'slow',
    }),
  });

/** Holds every command before it is decided, until it is let go. */
function hold(): { readonly reached: Promise<void>; readonly letGo: () => void } {
  const { readModel } = serving.keyturn;
  let reach = (): void => undefined;
  let letGo = (): void => undefined;
  const reached = new Promise<void>((resolve) => {
    reach = resolve;
  });
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  jest.spyOn(readModel, 'caughtUp').mockImplementation(() => {
    reach();
    return held;
  });
  return { reached, letGo: () => letGo() };
}

it('lets a request under way finish, then closes what it needed', async () => {
  const { reached, letGo } = hold();
  const answer = issue();
  await reached;
  const stopped = serving.stop();
  expect(serving.keyturn.unready()).toBe('the service is stopping');
  letGo();
  expect((await answer).status).toBe(201);
  await stopped;
  await expect(fetch(`${serving.url}/health/live`)).rejects.toThrow('fetch failed');
  await expect(serving.keyturn.log.treeSize()).rejects.toMatchObject({ code: 'log.unavailable' });
});

it('answers 503 to one that takes longer than the grace', async () => {
  const { reached, letGo } = hold();
  const answer = issue();
  await reached;
  const stopped = serving.stop(50);
  const { status, headers, problem } = await answer.then(async (response) => ({
    status: response.status,
    headers: response.headers,
    problem: await response.text(),
  }));
  expect(status).toBe(503);
  expect(headers.get('retry-after')).toBe('1');
  expect(problem).toContain('service.stopping');
  letGo();
  await stopped;
});

it('ends a timeline that somebody follows, says so, and is not held up by it', async () => {
  const response = await fetch(`${serving.url}/api/v1/timeline/stream`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const reader = response.body?.getReader();
  // It is open: the first words are there.
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toContain('retry: ');
  const told = (async () => {
    let text = '';
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
      if (done) return text;
      text += Buffer.from(value).toString();
    }
  })();
  const began = performance.now();
  await serving.stop(GRACE_MS);
  expect(performance.now() - began).toBeLessThan(GRACE_MS / 2);
  expect(await told).toContain('event: end\ndata: {"code":"service.stopping"');
});
