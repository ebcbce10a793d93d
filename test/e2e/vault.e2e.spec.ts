import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { haveRealPart } from '#platform/testing';
import type { ServedDocument } from '#custody';
import type { FamilyView, PolicyView } from '#rotation';
import { inventoryDirectory } from '../../apps/service/src/rotation/inventory-directory.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { ClockProxy } from '../../libs/custody/src/testing/clock-proxy.js';
import { OpenBao } from '../../libs/custody/src/testing/openbao.js';
import { setUpVault } from '../../libs/custody/src/testing/set-up-vault.js';
import { expectCausalChain, exportedEvents } from './causal-chain.js';
import { bodyOf, familyBody, policyBody, Stage } from './support.js';

jest.setTimeout(180_000);

const CASES = 10;
// deploy/vault/setup.sh makes canaries with it.
const real = haveRealPart('openbao', CASES) && haveRealPart('openssl', CASES);
const INSTANCE = 'vault.keyturn';
const WEEKEND_MS = 62 * 3_600_000;

(real ? describe : describe.skip)('a service with a real server behind it', () => {
  let bao: OpenBao;
  let proxy: ClockProxy;
  let out: string;
  let service: StartedService;
  let stage: Stage;
  let family: FamilyView;

  beforeAll(async () => {
    bao = await OpenBao.start();
    out = mkdtempSync(join(tmpdir(), 'keyturn-vault-e2e-'));
    const file = join(out, 'back-ends.yaml');
    const now = Date.now();
    let clock: Pick<StartedService['clock'], 'now'> = { now: () => now };
    proxy = await ClockProxy.before(bao.address, () => clock.now());
    const settings = setUpVault(bao, out, ['jwt', 'weekend', 'stolen']);
    writeFileSync(file, settings.replace(bao.address.origin, proxy.address.origin));
    service = await startService({ KEYTURN_BACK_ENDS: file }, now);
    ({ clock } = service);
    stage = await Stage.on(service);
    const body = policyBody(stage.now, { selector: { environment: 'staging' } });
    const policy = bodyOf<PolicyView>(await stage.post('/policies', body), 201);
    bodyOf(await stage.post(`/policies/${policy.id}/approve`, {}, { token: stage.approver }), 200);
  });
  afterAll(async () => {
    await service.stop();
    await proxy.close();
    await bao.stop();
    rmSync(out, { recursive: true, force: true });
  });

  const on = (key: string) => ({ backEnd: { instance: INSTANCE, object: `transit/keys/${key}` } });

  async function served(of: string = family.id): Promise<readonly string[]> {
    const answer = await service.call('GET', `/jwks/${of}`, { token: null });
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

  it('destroys with what its approver supplies, wrapped, and with nothing else', async () => {
    const seen = bodyOf<FamilyView>(await stage.get(`/families/${family.id}`), 200);
    const [gone] = seen.versions.filter(({ accepted, destroyed }) => !accepted && !destroyed);
    const asked = await stage.post(`/families/${family.id}/destructions`, {
      versions: [gone?.versionId],
      reason: 'its retention is over',
    });
    const { id } = bodyOf<{ id: string }>(asked, 201);
    bodyOf(await stage.post(`/destructions/${id}/approve`, {}, { token: stage.approver }), 200);
    const before = await service.keyturn.log.treeSize();
    const waits = await stage.runner.advanceDestruction(id);
    expect(waits).toMatchObject({ waitsFor: expect.stringContaining('keyturn destruction token') });
    // The slot it took, and no attempt that could only fail.
    expect((await service.keyturn.log.treeSize()) - before).toBe(1);

    const make = () =>
      bao.wrapped('auth/token/create', {
        policies: ['keyturn-destroyer'],
        no_default_policy: true,
        ttl: '30m',
      });
    const supply = async (wrapped: { reveal(): Buffer }, token?: string) =>
      service.call('PUT', `/api/v1/destructions/${id}/token`, {
        body: { wrappedToken: wrapped.reveal().toString('utf8') },
        ...(token === undefined ? {} : { token }),
      });
    const own = await supply(await make());
    expect([own.status, own.body['code']]).toEqual([403, 'destruction.own-approval']);
    const wrapped = await make();
    const taken = bodyOf<{ id: string }>(await supply(wrapped, stage.approver), 200);
    expect(taken.id).toBe(id);
    const again = await supply(wrapped, stage.approver);
    expect([again.status, again.body['code']]).toEqual([422, 'destruction.token-refused']);
    expect([own.text, again.text].join()).not.toContain(wrapped.reveal().toString('utf8'));

    expect(await stage.runner.advanceDestruction(id)).toEqual({ finished: true });
    const { data } = await bao.api<{ data: { min_available_version: number } }>('GET', 'transit/keys/jwt');
    expect(data.min_available_version).toBe(2);
    const events = (await stage.get('/log/events?limit=5000')).text;
    expect(events).toContain('DestructionTokenSupplied');
    expect(events).not.toContain(wrapped.reveal().toString('utf8'));
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
      expect(text).not.toContain(proxy.address.host);
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
    const away = await started(yaml.replace(proxy.address.origin, 'http://127.0.0.1:9'));
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

  it('serves a contained key no longer though the server is sealed, with one attempt, and tells the server once it is back', async () => {
    const stolen = await stage.familyWithKey(on('stolen'));
    const key = stolen.current ?? '';
    expect(await served(stolen.id)).toEqual([key]);
    await bao.seal();
    await service.keyturn.vault.look();
    const asked = await stage.post(`/families/${stolen.id}/containments`, {
      versions: [key],
      reason: 'seen in a log',
    });
    const { id } = bodyOf<{ id: string }>(asked, 201);
    const before = await service.keyturn.log.treeSize();
    for (const end = stage.now + WEEKEND_MS; stage.now < end;) {
      const wake = await stage.runner.advanceContainment(id, stolen.id);
      if (wake.finished || wake.until === undefined) throw new Error(`it waits: ${JSON.stringify(wake)}`);
      expect(await served(stolen.id)).toEqual([]);
      service.clock.advance(Math.max(60_000, wake.until - stage.now));
    }
    // Its intent, and that the server was not told.
    expect((await service.keyturn.log.treeSize()) - before).toBe(2);
    const events = (await stage.get('/log/events?limit=5000')).text;
    expect(events).toContain(`The JWKS that Keyturn serves leaves ${key} out already; ${INSTANCE} itself`);
    await bao.unseal();
    await service.keyturn.vault.look();
    await stage.runner.advanceContainment(id, stolen.id);
    await service.keyturn.readModel.caughtUp();
    const contained = bodyOf<{ status: string }>(await stage.get(`/containments/${id}`), 200);
    expect(contained.status).toBe('applied');
    expect(await served(stolen.id)).toEqual([]);
    // Its only version is its newest, which no limit of the engine refuses: what accepts nothing is the record, which consumers go by.
    const { data } = await bao.api<{ data: { data: { denied: Readonly<Record<string, unknown>> } } }>(
      'GET',
      'keyturn/data/objects/transit/keys/stolen',
    );
    expect(data.data.denied[key]).toHaveLength(1);
  });

  it('spends no more than one attempt on a weekend with a sealed server, and goes on after it', async () => {
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
    // It had answered a moment before: one attempt begins, and finds out.
    expect((await size()) - before).toBeLessThanOrEqual(2);
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

  it('knows whose verifiers are served nothing: after a restore, until the server has answered', async () => {
    const { readModel, backEnds } = service.keyturn;
    const unserved = (servedDocument: (id: string) => ServedDocument | undefined) =>
      inventoryDirectory({ readModel, backEnds, servedDocument }).unserved();
    expect(unserved((id) => service.keyturn.servedDocument(id))).toEqual([]);
    expect(unserved(() => undefined)).toContain(family.id);
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
