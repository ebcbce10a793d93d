import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { jest } from '@jest/globals';
import { loadConfig } from '#platform';
import { rotationStream, type FamilyView, type PolicyView, type RotationViewJson } from '#rotation';
import { serve, type Serving } from '#service';
import { startWorkers } from '../../apps/service/src/rotation/workers.js';
import { EVERYWHERE, familyBody, policyBody, wish } from './support.js';
import { COMPLETE_RUNBOOK } from '../support/runbook.js';

// Windows of real seconds, on a busy machine.
jest.setTimeout(90_000);

const directory = mkdtempSync(join(tmpdir(), 'keyturn-restart-'));
const dataDir = join(directory, 'data');
const config = loadConfig({ KEYTURN_DATA_DIR: dataDir, KEYTURN_PORT: '0', KEYTURN_LOG: 'silent' });
let serving: Serving;
let token: string;
let approver: string;
let family: FamilyView;
let rotation: RotationViewJson;

async function start(workers: boolean): Promise<string> {
  let code = '';
  const onOneTimeSignIn = (made: string): void => {
    code = made;
  };
  serving = await serve(config, { inlineLog: true, workers, onOneTimeSignIn });
  await serving.keyturn.readModel.caughtUp();
  return code;
}

async function ask(method: string, path: string, body?: unknown, as = token): Promise<string> {
  const response = await fetch(`${serving.url}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${as}`,
      'content-type': 'application/json',
      'idempotency-key': randomUUID(),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text;
}

async function look(): Promise<RotationViewJson> {
  rotation = JSON.parse(await ask('GET', `/rotations/${rotation.id}`));
  return rotation;
}

async function until(phase: RotationViewJson['phase']): Promise<void> {
  const giveUp = Date.now() + 20_000;
  while ((await look()).phase !== phase) {
    if (Date.now() > giveUp) throw new Error(`it stays ${rotation.phase}: ${rotation.waitsFor ?? ''}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function confirm(kind: 'acceptance' | 'emission'): Promise<void> {
  for (const { consumer, version } of rotation.confirmations.filter((each) => each.kind === kind)) {
    await ask('POST', `/rotations/${rotation.id}/confirmations`, {
      kind,
      consumer,
      version,
      instances: ['one'],
    });
  }
}

async function request(): Promise<void> {
  rotation = JSON.parse(await ask('POST', `/families/${family.id}/rotations`, wish()));
  await ask('POST', `/rotations/${rotation.id}/approve`, {}, approver);
  await until('accepting');
}

/** Every list a person reads, without what only says when it was asked. */
async function lists(): Promise<readonly unknown[]> {
  const paths = ['/families', '/rotations', '/policies', '/tokens', '/consumers', '/schedule'];
  const texts = await Promise.all(paths.map((path) => ask('GET', path)));
  return texts.map((text) => {
    const { asOf: _asOf, ...rest }: Record<string, unknown> = JSON.parse(text);
    return rest;
  });
}

async function served(): Promise<{ readonly status: number; readonly kids: readonly string[] }> {
  const response = await fetch(`${serving.url}/jwks/${family.id}`);
  const { keys }: { keys: readonly { kid: string }[] } = JSON.parse(await response.text());
  return { status: response.status, kids: keys.map(({ kid }) => kid) };
}

beforeAll(async () => {
  const code = await start(true);
  const first: { token: string } = JSON.parse(
    await ask('POST', '/tokens/bootstrap', { code, name: 'Ada' }, 'none'),
  );
  token = first.token;
  const subject = { name: 'Bo', kind: 'person' };
  const order = { subject, roles: ['approver', 'viewer'], scope: EVERYWHERE, label: 'Bo' };
  const second: { token: string } = JSON.parse(await ask('POST', '/tokens', order));
  approver = second.token;
  const terms = { margins: { clockSkew: 'PT0S', safety: 'PT1S' }, settle: 'PT0S', watch: 'PT0S' };
  const body = policyBody(Date.now(), { selector: { environment: 'staging' } }, terms);
  const policy: PolicyView = JSON.parse(await ask('POST', '/policies', body));
  await ask('POST', `/policies/${policy.id}/approve`, {}, approver);
  family = JSON.parse(await ask('POST', '/families', familyBody({ artefactLife: 'PT1S' })));
  await ask('POST', `/families/${family.id}/consumers`, { name: 'issuer', roles: ['emitter'] });
  const verifier = { name: 'api', roles: ['verifier'], cacheTtl: 'PT1S' };
  await ask('POST', `/families/${family.id}/consumers`, verifier);
  await ask('PUT', `/families/${family.id}/runbook`, COMPLETE_RUNBOOK);
  await request();
  await confirm('acceptance');
  await until('emitting');
  await confirm('emission');
  await until('completed');
});

afterAll(async () => {
  await serving.stop(0);
  rmSync(directory, { recursive: true, force: true });
});

it('a rotation closed in the middle of its accept window wakes in the next process, and goes on without its read models', async () => {
  await request();
  await confirm('acceptance');
  const ends = Date.parse((await look()).windows?.accept.endsAt ?? '');
  await serving.stop(0);
  expect(Date.now()).toBeLessThan(ends);

  await start(false);
  const row = serving.keyturn.readModel.db
    .prepare('SELECT wake_at FROM wakeups WHERE id = ?')
    .get(rotation.id);
  expect(typeof row?.['wake_at']).toBe('number');
  expect((await look()).phase).toBe('accepting');
  startWorkers(serving.keyturn);
  await until('emitting');
  const { events } = await serving.keyturn.store.read(rotationStream(rotation.id));
  expect(events.find(({ type }) => type === 'EmitterSwitched')?.recordedAt).toBeGreaterThanOrEqual(ends);
  await confirm('emission');
  expect((await look()).phase).toBe('draining');
  await serving.stop(0);

  const files = readdirSync(dataDir).filter((name) => name.startsWith('read-model.'));
  expect(files.length).toBeGreaterThan(0);
  for (const name of files) rmSync(join(dataDir, name));
  await start(true);
  await until('completed');
  expect((await served()).kids).toEqual([rotation.incoming]);
});

it('a rebuild streams its progress, while keys are served, and shows the same afterwards', async () => {
  await Promise.all(
    Array.from({ length: 150 }, () => ask('POST', `/rotations/${rotation.id}/notes`, { note: 'one more' })),
  );
  const before = await lists();
  const document = await served();
  expect(document.status).toBe(200);
  const rebuilt = new AbortController();
  const seen: unknown[] = [];
  const watching = (async () => {
    while (!rebuilt.signal.aborted) seen.push(await served());
  })();
  const text = await ask('POST', '/read-model/rebuild');
  rebuilt.abort();
  await watching;

  const progress: readonly Record<string, unknown>[] = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const treeSize = await serving.keyturn.log.treeSize();
  expect(progress[0]).toEqual({ done: 0, total: treeSize });
  expect(progress.at(-1)).toEqual({ finished: true });
  const done = progress.slice(0, -1).map((line) => Number(line['done']));
  expect(done).toEqual(done.toSorted((left, right) => left - right));
  expect(done.at(-1)).toBe(treeSize);
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.every((each) => JSON.stringify(each) === JSON.stringify(document))).toBe(true);
  expect(await lists()).toEqual(before);
});
