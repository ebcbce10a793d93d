import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { haveRealPart } from '#platform/testing';
import type { FamilyView, PolicyView } from '#rotation';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { ClockProxy } from '../../libs/custody/src/testing/clock-proxy.js';
import { DatabasePairs, rolesOf } from '../../libs/custody/src/testing/database-pairs.js';
import { formsOf } from '../../libs/custody/src/testing/local-harness.js';
import { OpenBao } from '../../libs/custody/src/testing/openbao.js';
import { Postgres } from '../../libs/custody/src/testing/postgres.js';
import { setUpVault } from '../../libs/custody/src/testing/set-up-vault.js';
import { expectCausalChain, exportedEvents } from './causal-chain.js';
import { bodyOf, familyBody, policyBody, Stage } from './support.js';

jest.setTimeout(120_000);

const CASES = 5;
const real = haveRealPart('openbao', CASES) && haveRealPart('postgres', CASES);
const INSTANCE = 'vault.keyturn-db';

interface Pointed {
  readonly versions: readonly { readonly engine: string; readonly emittingShare: number }[];
}

interface Login {
  readonly username: string;
  readonly password: string;
}

/** With the policies that setup.sh writes, from the file that it prints. */
(real ? describe : describe.skip)('a service that drives database pairs on a real server', () => {
  let bao: OpenBao;
  let proxy: ClockProxy;
  let postgres: Postgres;
  let pairs: DatabasePairs;
  let object: string;
  let other: string;
  let out: string;
  let service: StartedService;
  let stage: Stage;
  let family: FamilyView;
  const passwords = new Set<string>();

  beforeAll(async () => {
    [bao, postgres] = await Promise.all([OpenBao.start(), Postgres.start()]);
    pairs = await DatabasePairs.open(bao, postgres, 'database');
    [object, other] = [await pairs.make(), await pairs.make()];
    out = mkdtempSync(join(tmpdir(), 'keyturn-database-e2e-'));
    const file = join(out, 'back-ends.yaml');
    const asked = {
      PAIRS: [object, other].map((each) => rolesOf(each).join('/')).join(' '),
      DB_HOST: '127.0.0.1',
      DB_PORT: String(postgres.port),
      DB_NAME: 'postgres',
    };
    const now = Date.now();
    let clock: Pick<StartedService['clock'], 'now'> = { now: () => now };
    proxy = await ClockProxy.before(bao.address, () => clock.now());
    const settings = setUpVault(bao, out, [], asked);
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
    await postgres.stop();
    rmSync(out, { recursive: true, force: true });
  });

  const on = (named: string) => ({
    kind: 'database-credential',
    algorithm: 'password',
    usage: 'authenticate',
    backEnd: { instance: INSTANCE, object: named },
  });

  /** What an application logs in with now: the role that the pointer names; before there is one, the first. */
  async function login(): Promise<Login> {
    const path = `keyturn/data/objects/${object}`;
    const shown = await bao.api<{ data: { data: Pointed } }>('GET', path).catch((error: unknown) => {
      if (error instanceof Error && error.message.includes('404')) return undefined;
      throw error;
    });
    const engine =
      shown === undefined
        ? `${rolesOf(object)[0]}@`
        : (shown.data.data.versions.find(({ emittingShare }) => emittingShare === 100)?.engine ?? '');
    const { username, password } = await pairs.credential(engine.slice(0, engine.lastIndexOf('@')));
    passwords.add(password);
    return { username, password };
  }

  async function getsIn({ username, password }: Login): Promise<boolean> {
    const session = await postgres.session(username, password).catch(() => undefined);
    await session?.end();
    return session !== undefined;
  }

  it('turns a pair: open sessions go on, the old password is refused, the new one let in', async () => {
    family = await stage.family(on(object));
    const before = await login();
    expect(before.username).toBe(`${rolesOf(object)[0]}-user`);
    const session = await postgres.session(before.username, before.password);
    const { id } = await stage.request(family.id, { trigger: 'scheduled' });
    await stage.driveTo(id, 'accepting');
    expect(await login()).toEqual(before);
    await stage.driveTo(id, 'draining');
    const after = await login();
    expect(after.username).not.toBe(before.username);
    expect([await getsIn(before), await getsIn(after)]).toEqual([true, true]);
    await stage.driveTo(id, 'completed');
    await stage.look(id);
    expect(await login()).toEqual(after);
    expect([await getsIn(before), await getsIn(after)]).toEqual([false, true]);
    const { rows }: { rows: unknown[] } = await session.query('SELECT current_user AS who');
    expect(rows).toEqual([{ who: before.username }]);
    await session.end();
    const events = (await stage.get('/log/events?limit=5000')).text;
    expect(events).toContain('the database refused a login with its password');
    expectCausalChain(exportedEvents(events));
  });

  it('rolls back before the old role is turned: its password was good all the time', async () => {
    const before = await login();
    const { current } = bodyOf<FamilyView>(await stage.get(`/families/${family.id}`), 200);
    const { id } = await stage.request(family.id, { trigger: 'scheduled' });
    await stage.driveTo(id, 'draining');
    const tried = await login();
    expect(tried.username).not.toBe(before.username);
    bodyOf(await stage.post(`/rotations/${id}/rollback`, { reason: 'the application cannot log in' }), 200);
    await stage.look(id);
    for (const { kind, consumer, version, missing } of (await stage.rotation(id)).confirmations) {
      if (kind !== 'emission' || version !== current || !missing) continue;
      const instances = [`${consumer}-1`];
      await stage.post(`/rotations/${id}/confirmations`, { kind, consumer, version, instances });
    }
    await stage.driveTo(id, 'rolled-back');
    await stage.look(id);
    expect(await login()).toEqual(before);
    expect([await getsIn(before), await getsIn(tried)]).toEqual([true, false]);
    family = bodyOf(await stage.get(`/families/${family.id}`), 200);
    expect(family).toMatchObject({ current, runningRotation: null });
  });

  it('finds a password that the database does not know, and mends it by one more rotate', async () => {
    const before = await login();
    const [blue, green] = rolesOf(object);
    const idle = before.username === `${blue}-user` ? green : blue;
    const { id } = await stage.request(family.id, { trigger: 'scheduled' });
    await stage.approve(id);
    // As where a rotate of somebody else was under way: the database has another password, and nobody was told.
    const hand = await postgres.session('postgres', postgres.rootPassword);
    const { acted } = await postgres.onceChanged(`${idle}-user`, () =>
      hand.query(`ALTER ROLE "${idle}-user" PASSWORD 'another'`),
    );
    await stage.driveTo(id, 'accepting');
    await acted;
    await hand.end();
    expect(await getsIn(await pairs.credential(idle))).toBe(true);
    const { data } = await bao.api<{ data: { data: { versions: readonly { broken?: boolean }[] } } }>(
      'GET',
      `keyturn/data/objects/${object}`,
    );
    expect(data.data.versions.filter(({ broken }) => broken === true)).toHaveLength(1);
    await stage.driveTo(id, 'completed');
    await stage.look(id);
    const after = await login();
    expect(after.username).toBe(`${idle}-user`);
    expect([await getsIn(before), await getsIn(after)]).toEqual([false, true]);
  });

  it('refuses a second family on one of its roles, whatever the other one is, and names the first', async () => {
    const [blue, green] = rolesOf(object);
    const [another] = rolesOf(other);
    for (const named of [`${green}/${blue}`, `${blue}/${another}`, `${another}/${green}`]) {
      const answer = await stage.post('/families', familyBody(on(`database/static-roles/${named}`)));
      expect([named, answer.status, answer.body]).toMatchObject([
        named,
        409,
        { code: 'back-end.object-taken' },
      ]);
      expect(answer.text).toContain(`${family.environment}/${family.name}`);
    }
    const misnamed = await stage.post('/families', familyBody(on('database/static-roles/blue')));
    expect([misnamed.status, misnamed.body]).toMatchObject([422, { code: 'back-end.object-refused' }]);
    const signing = await stage.post('/families', familyBody({ ...on(other), usage: 'sign' }));
    expect([signing.status, signing.body]).toMatchObject([422, { code: 'family.usage-mismatch' }]);
    // None of the refusals holds anything.
    bodyOf(await stage.post('/families', familyBody(on(other))), 201);
  });

  it('keeps every password out of what it wrote down and said', async () => {
    for (const role of rolesOf(object)) passwords.add((await pairs.credential(role)).password);
    expect(passwords.size).toBeGreaterThanOrEqual(5);
    const texts = [
      (await stage.get('/log/events?limit=5000')).text,
      (await stage.get('/families')).text,
      (await stage.get('/rotations?state=all')).text,
      (await stage.get('/back-ends')).text,
      (await service.call('GET', '/metrics')).text,
      (await service.call('GET', '/health/ready', { token: null })).text,
    ];
    expect(texts[0]).toContain('OldKeyRevoked');
    for (const password of passwords)
      for (const form of [password, ...formsOf(Buffer.from(password))])
        expect(texts.some((text) => text.includes(form))).toBe(false);
  });
});
