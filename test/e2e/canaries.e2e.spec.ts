import { spawn, type ChildProcess } from 'node:child_process';
import { createPrivateKey, randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { openDatabase } from '#eventlog/sqlite';
import { SecretValue } from '#platform';
import type { FamilyView, PolicyView, RotationViewJson } from '#rotation';
import { KeySealer } from '../../libs/custody/src/local/key-material.js';
import { EVERYWHERE, familyBody, policyBody, wish } from './support.js';
import { filesUnder, hitsOf, inflated, valuesIn } from '../support/canary-scan.js';
import { COMPLETE_RUNBOOK } from '../support/runbook.js';

// A whole process with windows of real seconds, on a busy machine.
jest.setTimeout(120_000);

const MAIN = 'dist/apps/service/src/main.js';

const directory = mkdtempSync(join(tmpdir(), 'keyturn-canaries-'));
const dataDir = join(directory, 'data');
const masterKey = randomBytes(32);
const canaries = new Map<string, Buffer>([['the master key', masterKey]]);
const places = new Map<string, Buffer>();
const said = { stdout: '', stderr: '' };
let child: ChildProcess;
let url = '';
let errors = '';

async function send(method: string, path: string, token: string, body?: unknown): Promise<Response> {
  return fetch(`${url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'idempotency-key': randomUUID(),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
}

async function ok(method: string, path: string, token: string, body?: unknown): Promise<string> {
  const response = await send(method, `/api/v1${path}`, token, body);
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text;
}

async function fails(method: string, path: string, token: string, body?: unknown): Promise<void> {
  const response = await send(method, path, token, body);
  expect(response.status).toBeGreaterThanOrEqual(400);
  errors += `${[...response.headers].join('\n')}\n${await response.text()}\n`;
}

async function started(): Promise<string> {
  const giveUp = Date.now() + 30_000;
  for (;;) {
    const [, code] = /good until .*\n\n {2}(\S+)\n/.exec(said.stdout) ?? [];
    const [, at] = /listens on (\S+)/.exec(said.stdout) ?? [];
    if (code !== undefined && at !== undefined) {
      url = at;
      return code;
    }
    if (Date.now() > giveUp) throw new Error(`it does not start: ${said.stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function drive(familyId: string, token: string, approver: string, change: object): Promise<string> {
  const path = `/families/${familyId}/rotations`;
  let rotation: RotationViewJson = JSON.parse(await ok('POST', path, token, { ...wish(), ...change }));
  await ok('POST', `/rotations/${rotation.id}/approve`, approver, {});
  const giveUp = Date.now() + 30_000;
  while (!rotation.ended) {
    if (Date.now() > giveUp) throw new Error(`it stays ${rotation.phase}: ${rotation.waitsFor ?? ''}`);
    for (const { kind, consumer, version, missing } of rotation.confirmations) {
      const ready = kind === 'acceptance' ? rotation.phase === 'accepting' : rotation.phase === 'emitting';
      if (!missing || !ready) continue;
      const body = { kind, consumer, version, instances: ['one'] };
      await ok('POST', `/rotations/${rotation.id}/confirmations`, token, body);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    rotation = JSON.parse(await ok('GET', `/rotations/${rotation.id}`, token));
  }
  return rotation.id;
}

beforeAll(async () => {
  if (!existsSync(MAIN)) throw new Error('build first: npx tsc -p tsconfig.build.json');
  child = spawn(process.execPath, [MAIN], {
    env: {
      KEYTURN_DATA_DIR: dataDir,
      KEYTURN_PORT: '0',
      KEYTURN_LOG: 'json',
      KEYTURN_MASTER_KEY: masterKey.toString('base64'),
      DEBUG: '*',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout?.on('data', (chunk: Buffer) => (said.stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()));
  const code = await started();
  canaries.set('the one-time code', Buffer.from(code));
  await fails('POST', '/api/v1/tokens/bootstrap', 'none', { code: `${code}x`, name: 'Eve' });
  const first: { token: string } = JSON.parse(
    await ok('POST', '/tokens/bootstrap', 'none', { code, name: 'Ada' }),
  );
  const { token } = first;
  canaries.set('the first token', Buffer.from(token));
  await fails('POST', '/api/v1/tokens/bootstrap', 'none', { code, name: 'Eve' });
  const order = {
    subject: { name: 'Bo', kind: 'person' },
    roles: ['approver', 'viewer', 'auditor'],
    scope: EVERYWHERE,
  };
  const second: { token: string; id: string } = JSON.parse(
    await ok('POST', '/tokens', token, { ...order, label: 'Bo' }),
  );
  canaries.set('the second token', Buffer.from(second.token));

  const terms = { margins: { clockSkew: 'PT0S', safety: 'PT0S' }, settle: 'PT0S', watch: 'PT0S' };
  const body = policyBody(Date.now(), { selector: { environment: 'staging' } }, terms);
  const policy: PolicyView = JSON.parse(await ok('POST', '/policies', token, body));
  await ok('POST', `/policies/${policy.id}/approve`, second.token, {});
  const rotations: string[] = [];
  for (const [algorithm, usage, kind] of [
    ['ES256', 'sign', 'asymmetric-key'],
    ['EdDSA', 'sign', 'asymmetric-key'],
    ['HS256', 'mac', 'shared-secret'],
  ]) {
    const details = familyBody({ algorithm, usage, kind, artefactLife: 'PT1S' });
    const family: FamilyView = JSON.parse(await ok('POST', '/families', token, details));
    const consumers = `/families/${family.id}/consumers`;
    await ok('POST', consumers, token, { name: `issuer ${family.id}`, roles: ['emitter'] });
    await ok('POST', consumers, token, { name: `api ${family.id}`, roles: ['verifier'], cacheTtl: 'PT1S' });
    await ok('PUT', `/families/${family.id}/runbook`, token, COMPLETE_RUNBOOK);
    rotations.push(await drive(family.id, token, second.token, {}));
    const emergency = { strategy: 'emergency', trigger: 'compromise' };
    rotations.push(await drive(family.id, token, second.token, emergency));
  }

  await fails('GET', `/api/v1/families?token=${token}`, token);
  await fails('GET', `/api/v1/families/${token}`, token);
  await fails('GET', `/api/v1/${token}`, token);
  await fails('GET', '/api/v1/families', `${token}x`);
  await fails('POST', '/api/v1/families', token, `{"name": "${token}`);
  await fails('POST', '/api/v1/families', token, { ...familyBody(), artefactLife: token });
  await fails('POST', '/api/v1/families', token, { ...familyBody(), usage: masterKey.toString('base64') });
  await fails('POST', '/api/v1/tokens', second.token, { ...order, label: 'more' });
  await fails('POST', `/api/v1/rotations/${rotations[0] ?? ''}/rollback`, token, { reason: 'too late' });
  await ok('DELETE', `/tokens/${second.id}`, token);
  await fails('GET', '/api/v1/families', second.token);

  places.set('the exported log', Buffer.from(await ok('GET', '/log/events?limit=5000', token)));
  for (const path of ['/families', '/rotations', '/tokens', '/me', '/policies', '/schedule']) {
    places.set(path, Buffer.from(await ok('GET', path, token)));
  }
  for (const id of rotations) {
    const answer = await send('GET', `/api/v1/rotations/${id}/record.pdf`, token);
    const pdf = Buffer.from(await answer.arrayBuffer());
    places.set(`the record of ${id}`, pdf);
    expect(inflated(pdf).length).toBeGreaterThan(1_000);
    places.set(`the record of ${id}, unpacked`, inflated(pdf));
  }
  // While it runs: the write-ahead logs too.
  for (const [name, bytes] of filesUnder(dataDir)) places.set(`${name}, running`, bytes);

  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
  for (const [name, bytes] of filesUnder(dataDir)) {
    places.set(name, bytes);
    if (name.endsWith('.sqlite')) places.set(`${name}, every value`, valuesIn(join(dataDir, name)));
  }

  const custody = openDatabase(join(dataDir, 'custody', 'custody.sqlite'));
  const sealer = new KeySealer(new SecretValue(Buffer.from(masterKey)));
  for (const row of custody.prepare('SELECT object, version_id, algorithm, material FROM versions').all()) {
    const { object, version_id: version, algorithm, material } = row;
    if (!(material instanceof Uint8Array)) throw new Error('a version without its material');
    const opened = sealer.open(material, String(object), String(version));
    const name = `the private key of ${String(algorithm)} ${String(version)}`;
    if (algorithm === 'HS256') canaries.set(name, opened);
    else {
      const { d } = createPrivateKey({ key: opened, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' });
      canaries.set(name, Buffer.from(d ?? '', 'base64url'));
    }
  }
  custody.close();
  places.set('error answers', Buffer.from(errors));
  // What the first start prints is the one place where the code belongs.
  const code1 = said.stdout.indexOf(code);
  places.set('stdout', Buffer.from(said.stdout.slice(0, code1) + said.stdout.slice(code1 + code.length)));
  places.set('stderr', Buffer.from(said.stderr));
});

afterAll(() => {
  child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

it('no master key, private key, token or one-time code stands in any file, output, answer, export or record', () => {
  expect(canaries.size).toBe(10);
  expect([...canaries.values()].every((secret) => secret.length >= 16)).toBe(true);
  expect([...places.keys()]).toEqual(
    expect.arrayContaining([
      'log.sqlite',
      'log.sqlite-wal, running',
      'custody/custody.sqlite',
      'error answers',
      'stdout',
    ]),
  );
  expect(hitsOf(canaries, places)).toEqual([]);
});
