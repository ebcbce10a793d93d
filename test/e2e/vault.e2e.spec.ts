import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { haveRealPart } from '#platform/testing';
import type { FamilyView, PolicyView } from '#rotation';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { OpenBao } from '../../libs/custody/src/testing/openbao.js';
import { setUpVault } from '../../libs/custody/src/testing/set-up-vault.js';
import { expectCausalChain, exportedEvents } from './causal-chain.js';
import { bodyOf, familyBody, policyBody, Stage } from './support.js';

jest.setTimeout(120_000);

const CASES = 7;
// deploy/vault/setup.sh makes canaries with it.
const real = haveRealPart('openbao', CASES) && haveRealPart('openssl', CASES);
const INSTANCE = 'vault.keyturn';
const WEEKEND_MS = 62 * 3_600_000;

(real ? describe : describe.skip)('a service with a real server behind it', () => {
  let bao: OpenBao;
  let out: string;
  let service: StartedService;
  let stage: Stage;
  let family: FamilyView;

  beforeAll(async () => {
    bao = await OpenBao.start();
    out = mkdtempSync(join(tmpdir(), 'keyturn-vault-e2e-'));
    const file = join(out, 'back-ends.yaml');
    writeFileSync(file, setUpVault(bao, out, ['jwt', 'weekend']));
    // The server's clock is the machine's, so ours begins there; it is looked at once, since it cannot follow ours.
    service = await startService({ KEYTURN_BACK_ENDS: file }, Date.now());
    stage = await Stage.on(service);
    const body = policyBody(stage.now, { selector: { environment: 'staging' } });
    const policy = bodyOf<PolicyView>(await stage.post('/policies', body), 201);
    bodyOf(await stage.post(`/policies/${policy.id}/approve`, {}, { token: stage.approver }), 200);
  });
  afterAll(async () => {
    await service.stop();
    await bao.stop();
    rmSync(out, { recursive: true, force: true });
  });

  const on = (key: string) => ({ backEnd: { instance: INSTANCE, object: `transit/keys/${key}` } });

  async function served(): Promise<readonly string[]> {
    const answer = await service.call('GET', `/jwks/${family.id}`, { token: null });
    const { keys } = bodyOf<{ keys: readonly { kid: string; d?: string }[] }>(answer, 200);
    expect(keys.every((key) => key.d === undefined)).toBe(true);
    return keys.map(({ kid }) => kid).sort();
  }

  async function keyOf(name: string) {
    const { data } = await bao.api<{
      data: { latest_version: number; min_decryption_version: number; min_encryption_version: number };
    }>('GET', `transit/keys/${name}`);
    return data;
  }

  it('turns a key of it, from generate to completed, and serves both in the overlap', async () => {
    family = await stage.familyWithKey(on('jwt'));
    const before = family.current ?? '';
    expect(await served()).toEqual([before]);
    const { id, incoming } = await stage.request(family.id, { trigger: 'scheduled' });
    const after = incoming ?? '';
    await stage.driveTo(id, 'accepting');
    const both = [before, after].sort();
    expect(await served()).toEqual(both);
    await stage.driveTo(id, 'draining');
    expect(await served()).toEqual(both);
    expect(await keyOf('jwt')).toMatchObject({ latest_version: 2, min_decryption_version: 1 });
    await stage.driveTo(id, 'completed');
    await stage.look(id);
    expect(await served()).toEqual([after]);
    expect(await keyOf('jwt')).toMatchObject({ latest_version: 2, min_decryption_version: 2 });
    expectCausalChain(exportedEvents((await stage.get('/log/events?limit=5000')).text));
  });

  it('rolls another one back: the old version is used again, and the new one is refused there', async () => {
    const [before] = await served();
    const { id, incoming } = await stage.request(family.id, { trigger: 'scheduled' });
    await stage.driveTo(id, 'draining');
    expect(await served()).toEqual([before ?? '', incoming ?? ''].sort());
    bodyOf(await stage.post(`/rotations/${id}/rollback`, { reason: 'verifiers refuse it' }), 200);
    await stage.look(id);
    for (const { kind, consumer, version, missing } of (await stage.rotation(id)).confirmations) {
      if (kind !== 'emission' || version !== before || !missing) continue;
      const instances = [`${consumer}-1`];
      bodyOf(await stage.post(`/rotations/${id}/confirmations`, { kind, consumer, version, instances }), 200);
    }
    await stage.driveTo(id, 'rolled-back');
    await stage.look(id);
    expect(await served()).toEqual([before]);
    family = bodyOf(await stage.get(`/families/${family.id}`), 200);
    expect(family).toMatchObject({ current: before, runningRotation: null });
  });

  it('refuses a second family on the same key, and names the first', async () => {
    const answer = await stage.post('/families', familyBody(on('jwt')));
    expect(answer.status).toBe(409);
    expect(answer.body).toMatchObject({
      code: 'back-end.object-taken',
      detail: expect.stringContaining(`${INSTANCE}:transit/keys/jwt`),
    });
    expect(answer.text).toContain(`${family.environment}/${family.name}`);
  });

  it('says what it knows of its back ends', async () => {
    const { items } = bodyOf<{ items: readonly { instance: string }[] }>(await stage.get('/back-ends'), 200);
    expect(items.map(({ instance }) => instance)).toEqual(['local', 'attested', INSTANCE]);
    expect(items[2]).toMatchObject({ kind: 'vault-transit', server: { state: 'answers', reason: null } });
    const ready = await service.call('GET', '/health/ready', { token: null });
    expect(ready.body).toMatchObject({ backEnds: { [INSTANCE]: { state: 'answers' } } });
    const metrics = await service.call('GET', '/metrics');
    expect(metrics.text).toContain(`keyturn_back_end_answers{instance="${INSTANCE}"} 1`);
    expect(metrics.text).toContain(`keyturn_back_end_sealed{instance="${INSTANCE}"} 0`);
    for (const text of [ready.text, metrics.text, JSON.stringify(items)])
      expect(text).not.toContain(bao.address.host);
  });

  it('starts though a server is away, and says so; a wrong secret id shows before a step needs it', async () => {
    const folder = mkdtempSync(join(out, 'away-'));
    const file = join(folder, 'back-ends.yaml');
    const started = async (yaml: string) => {
      writeFileSync(file, yaml);
      const other = await startService({ KEYTURN_BACK_ENDS: file }, Date.now());
      try {
        await other.keyturn.vault.look();
        const ready = await other.call('GET', '/health/ready', { token: null });
        const { items } = bodyOf<{ items: readonly { instance: string }[] }>(
          await other.call('GET', '/api/v1/back-ends'),
          200,
        );
        return { ready, shown: items.find(({ instance }) => instance === INSTANCE) };
      } finally {
        await other.stop();
      }
    };
    const yaml = readFileSync(join(out, 'back-ends.yaml'), 'utf8');
    const away = await started(yaml.replace(bao.address.origin, 'http://127.0.0.1:9'));
    expect([away.ready.status, away.ready.body]).toMatchObject([
      200,
      { backEnds: { [INSTANCE]: { state: 'away', answeredAt: null } } },
    ]);
    expect(away.shown).toMatchObject({ server: { state: 'away', reason: 'no connection (ECONNREFUSED)' } });
    const wrong = join(folder, 'wrong');
    writeFileSync(wrong, 'wrong-7d21');
    const refused = await started(yaml.replace(join(out, 'driver.secret-id'), wrong));
    expect(refused.shown).toMatchObject({
      server: { state: 'answers', login: expect.stringContaining(wrong) },
    });
    expect(JSON.stringify(refused)).not.toContain('wrong-7d21');
    await expect(started('servers: {}')).rejects.toThrow('KEYTURN_BACK_ENDS');
  });

  it('spends no event on a weekend with a sealed server, and goes on after it', async () => {
    const { id: familyId } = await stage.family(on('weekend'));
    const { id } = await stage.request(familyId, { trigger: 'scheduled' });
    await stage.approve(id);
    const servedBefore = await served();
    await bao.seal();
    const size = async () => service.keyturn.log.treeSize();
    const before = await size();
    const end = stage.now + WEEKEND_MS;
    let looks = 0;
    while (stage.now < end) {
      const wake = await stage.runner.advance(id);
      looks += 1;
      if (wake.finished || wake.until === undefined) throw new Error(`it waits: ${JSON.stringify(wake)}`);
      expect(wake.waitsFor).toContain('sealed');
      service.clock.advance(Math.max(1_000, wake.until - stage.now));
    }
    expect(looks).toBeGreaterThan(1_000);
    expect((await size()) - before).toBe(0);
    const ready = await service.call('GET', '/health/ready', { token: null });
    expect([ready.status, ready.body]).toMatchObject([
      200,
      { backEnds: { [INSTANCE]: { state: 'sealed' } } },
    ]);
    // Whoever verifies notices nothing.
    expect(await served()).toEqual(servedBefore);
    await bao.unseal();
    await service.keyturn.vault.look();
    const rotation = await stage.driveTo(id, 'accepting');
    expect(rotation.phase).toBe('accepting');
    expect((await keyOf('weekend')).latest_version).toBe(1);
  });

  it('keeps every secret out of what it wrote down and said', async () => {
    const events = (await stage.get('/log/events?limit=5000')).text;
    expect(events).toContain('OldKeyRevoked');
    for (const who of ['driver', 'probe']) {
      const secret = readFileSync(join(out, `${who}.secret-id`), 'utf8').trim();
      expect(secret).toMatch(/^[0-9a-f-]{36}$/);
      expect(events).not.toContain(secret);
    }
    expect(events).not.toMatch(/\b[sb]\.[A-Za-z0-9]{20,}/);
    expect(events).not.toContain(bao.rootToken.reveal().toString('utf8'));
  });
});
