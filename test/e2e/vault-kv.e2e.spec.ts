import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { haveRealPart } from '#platform/testing';
import type { PolicyView } from '#rotation';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { ClockProxy } from '../../libs/custody/src/testing/clock-proxy.js';
import { KvOperator } from '../../libs/custody/src/testing/kv-operator.js';
import { OpenBao } from '../../libs/custody/src/testing/openbao.js';
import { bodyOf, policyBody, Stage } from './support.js';

jest.setTimeout(120_000);

const real = haveRealPart('openbao', 4);

/** Each layout as an application finds it, before, in the middle and after: what it may use, by its own way in. */
(real ? describe : describe.skip)('a service that drives secrets of KV v2 on a real server', () => {
  let bao: OpenBao;
  let proxy: ClockProxy;
  let operator: KvOperator;
  let mount: string;
  let folder: string;
  let service: StartedService;
  let stage: Stage;

  beforeAll(async () => {
    bao = await OpenBao.start();
    operator = new KvOperator(bao);
    mount = await bao.mount('kv', { options: { version: '2' } });
    folder = mkdtempSync(join(tmpdir(), 'keyturn-kv-e2e-'));
    const login = async (name: string, policies: readonly string[]): Promise<string> => {
      const token = await operator.tokenOf(policies, { mount, folder: 'app' });
      writeFileSync(join(folder, name), token.reveal(), { mode: 0o600 });
      return name;
    };
    const now = Date.now();
    let clock: Pick<StartedService['clock'], 'now'> = { now: () => now };
    proxy = await ClockProxy.before(bao.address, () => clock.now());
    const server = (token: string) => ({
      address: proxy.address.href,
      documents: { mount, folder: 'keyturn' },
      login: { kind: 'token-file', file: token },
      fence: { role: 'keyturn-fence', policies: ['keyturn-fence'] },
    });
    const file = join(folder, 'back-ends.yaml');
    // JSON is YAML.
    const written = {
      servers: {
        blind: server(await login('driver.token', ['kv-driver'])),
        reading: server(await login('fields.token', ['kv-fields-driver'])),
      },
      backEnds: [
        { instance: 'vault.kv', server: 'blind', engine: 'kv', layout: 'document' },
        { instance: 'vault.kv-paths', server: 'blind', engine: 'kv', layout: 'paths' },
        { instance: 'vault.kv-fields', server: 'reading', engine: 'kv', layout: 'fields' },
        { instance: 'vault.kv-single', server: 'reading', engine: 'kv', layout: 'single' },
      ],
    };
    writeFileSync(file, JSON.stringify(written));
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
    rmSync(folder, { recursive: true, force: true });
  });

  const symmetric = (instance: string, name: string) => ({
    kind: 'shared-secret',
    algorithm: 'HS256',
    usage: 'mac',
    backEnd: { instance, object: `${mount}/data/app/${name}` },
  });
  const told = async (name: string): Promise<Readonly<Record<string, unknown>>> =>
    (await operator.read(`${mount}/data/app/${name}`))?.data ?? {};

  it('the keyed document: both are told in the overlap, the new one alone after it', async () => {
    const family = await stage.familyWithKey(symmetric('vault.kv', 'document'));
    const before = family.current ?? '';
    expect(await told('document')).toMatchObject({ accept: [before], emit: before });
    const { id, incoming, exceptions } = await stage.request(family.id, { trigger: 'scheduled' });
    expect(exceptions.join()).not.toContain('reads what');
    const after = incoming ?? '';
    await stage.driveTo(id, 'draining');
    const middle = await told('document');
    expect(middle).toMatchObject({ emit: after });
    expect([...(middle['accept'] as string[])].sort()).toEqual([before, after].sort());
    await stage.driveTo(id, 'completed');
    expect(await told('document')).toMatchObject({ accept: [after], emit: after });
  });

  it('two paths: the pointer moves, the idle path is written', async () => {
    const family = await stage.familyWithKey(symmetric('vault.kv-paths', 'paths'));
    expect(await told('paths')).toMatchObject({ accept: ['blue'], emit: 'blue' });
    const { id } = await stage.request(family.id, { trigger: 'scheduled' });
    await stage.driveTo(id, 'draining');
    expect(await told('paths')).toMatchObject({ emit: 'green' });
    await stage.driveTo(id, 'completed');
    expect(await told('paths')).toMatchObject({ accept: ['green'], emit: 'green' });
  });

  it('current and previous: the fields are swapped, the old value goes last', async () => {
    const family = await stage.familyWithKey(symmetric('vault.kv-fields', 'fields'));
    const { current: old } = await told('fields');
    const { id, exceptions } = await stage.request(family.id, { trigger: 'scheduled' });
    // Whoever approves it sees what the other layouts never do.
    expect(exceptions).toContainEqual(expect.stringContaining('reads what'));
    await stage.driveTo(id, 'draining');
    const middle = await told('fields');
    expect(middle['previous']).toBe(old);
    expect(middle['current']).not.toBe(old);
    await stage.driveTo(id, 'completed');
    const end = await told('fields');
    expect(end['current']).toBe(middle['current']);
    expect(Object.values(end)).not.toContain(old);
  });

  it('no value of any of them is in the log or in what the service says', async () => {
    const secrets = ['document', 'paths', 'paths/blue', 'paths/green', 'fields'];
    const values = await operator.values(...secrets.map((name) => `${mount}/data/app/${name}`));
    expect(values.length).toBeGreaterThanOrEqual(5);
    const texts = [
      (await stage.get('/log/events?limit=5000')).text,
      (await stage.get('/families')).text,
      (await stage.get('/rotations?state=all')).text,
      (await service.call('GET', '/metrics')).text,
    ];
    for (const value of values) {
      const text = value.reveal().toString('utf8');
      const forms = [
        text,
        Buffer.from(text, 'base64url').toString('hex'),
        Buffer.from(text).toString('base64'),
      ];
      for (const shown of texts) for (const form of forms) expect(shown.includes(form)).toBe(false);
    }
  });
});
