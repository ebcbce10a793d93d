import { jest } from '@jest/globals';
import { rotationStream, type FamilyView, type PolicyView, type RotationViewJson } from '#rotation';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { expectCausalChain, exportedEvents } from './causal-chain.js';
import { bodyOf, policyBody, Stage } from './support.js';

// A starting service is slow where the machine is busy.
jest.setTimeout(60_000);

let service: StartedService;
let stage: Stage;
let family: FamilyView;

beforeAll(async () => {
  service = await startService();
  stage = await Stage.on(service);
  const body = policyBody(stage.now, { selector: { environment: 'staging' } });
  const policy = bodyOf<PolicyView>(await stage.post('/policies', body), 201);
  bodyOf(await stage.post(`/policies/${policy.id}/approve`, {}, { token: stage.approver }), 200);
  family = await stage.familyWithKey();
});

afterAll(async () => {
  await service.stop();
});

async function served(): Promise<readonly string[]> {
  const answer = await service.call('GET', `/jwks/${family.id}`, { token: null });
  const { keys } = bodyOf<{ keys: readonly { kid: string; d?: string }[] }>(answer, 200);
  expect(keys.every((key) => key.d === undefined)).toBe(true);
  return keys.map(({ kid }) => kid).sort();
}

interface Timeline {
  readonly entries: readonly { readonly at: string; readonly title: string }[];
}

async function schedule(): Promise<Readonly<Record<string, unknown>>> {
  return bodyOf(await stage.get(`/families/${family.id}/schedule`), 200);
}

async function record(id: string): Promise<Buffer> {
  const headers = { authorization: `Bearer ${service.token}` };
  const answer = await fetch(`${service.url}/api/v1/rotations/${id}/record.pdf`, { headers });
  expect(answer.headers.get('content-type')).toBe('application/pdf');
  return Buffer.from(await answer.arrayBuffer());
}

async function provePaper(id: string): Promise<void> {
  const first = await record(id);
  expect(first.subarray(0, 5).toString()).toBe('%PDF-');
  expect(first.subarray(-1_024).toString('latin1')).toContain('%%EOF');
  expect((await record(id)).equals(first)).toBe(true);
}

it('a graceful rotation serves both versions in its windows, the new one alone after them, and is on record', async () => {
  const before = family.current ?? '';
  const began = stage.now;
  const { id, incoming } = await stage.request(family.id, { trigger: 'scheduled' });
  const after = incoming ?? '';
  const both = [before, after].sort();
  expect(await served()).toEqual([before]);

  const accepting = await stage.driveTo(id, 'accepting');
  expect(await served()).toEqual(both);
  expect(accepting.windows?.accept.binding).toContain('caches its keys for P1D');
  const acceptEnds = Date.parse(accepting.windows?.accept.endsAt ?? '');
  await stage.confirmMissing(accepting);
  service.clock.advance(acceptEnds - stage.now - 1);
  await stage.look(id);
  expect((await stage.rotation(id)).phase).toBe('accepting');
  service.clock.advance(1);
  await stage.look(id);
  expect((await stage.rotation(id)).phase).toBe('emitting');
  expect(await served()).toEqual(both);

  const draining = await stage.driveTo(id, 'draining');
  expect(await served()).toEqual(both);
  const drainEnds = Date.parse(draining.windows?.drain.endsAt ?? '');
  service.clock.advance(drainEnds - stage.now - 1);
  await stage.look(id);
  expect(await served()).toEqual(both);
  service.clock.advance(1);
  await stage.look(id);
  expect(await served()).toEqual([after]);

  const completed = await stage.driveTo(id, 'completed');
  await stage.look(id);
  expect(completed.outgoing).toEqual([before]);
  expect(await served()).toEqual([after]);
  family = bodyOf(await stage.get(`/families/${family.id}`), 200);
  expect(family).toMatchObject({ current: after, runningRotation: null });

  const path = `/rotations/${id}/timeline`;
  const whole = bodyOf<Timeline>(await stage.get(path), 200).entries;
  const then = new Date(acceptEnds - 1).toISOString();
  const early = bodyOf<Timeline>(await stage.get(`${path}?at=${then}`), 200).entries;
  expect(early).toEqual(whole.slice(0, early.length));
  expect(early.length).toBeGreaterThan(3);
  expect(early.length).toBeLessThan(whole.length);
  expect(early.every(({ at }) => at <= then)).toBe(true);
  const last = new Date(stage.now).toISOString();
  expect(bodyOf<Timeline>(await stage.get(`${path}?at=${last}`), 200).entries).toEqual(whole);
  expect(Date.parse(whole[0]?.at ?? '')).toBe(began);
  await provePaper(id);
});

it('a document that has not changed is 304 by its ETag, and another one once it has', async () => {
  const path = `/jwks/${family.id}`;
  const { headers } = await service.call('GET', path);
  const etag = headers.get('etag') ?? '';
  expect(headers.get('cache-control')).toBe('public, max-age=300');
  const seen = { headers: { 'if-none-match': etag } };
  expect((await service.call('GET', path, seen)).status).toBe(304);
  const { id } = await stage.request(family.id);
  await stage.driveTo(id, 'accepting');
  const changed = await service.call('GET', path, seen);
  expect(changed.status).toBe(200);
  expect(changed.headers.get('etag')).not.toBe(etag);
  bodyOf(await stage.post(`/rotations/${id}/rollback`, { reason: 'only to see' }), 200);
  await stage.driveTo(id, 'rolled-back');
  await stage.look(id);
  expect(await served()).toEqual([family.current]);
});

it('what is due becomes overdue by time alone, and a rotation settles it', async () => {
  const overdue = async (): Promise<readonly string[]> => {
    const page = bodyOf<{ items: readonly { kind: string; family: { id: string } | null }[] }>(
      await stage.get('/schedule/overdue'),
      200,
    );
    return page.items.filter(({ kind }) => kind === 'rotation').map((item) => item.family?.id ?? '');
  };
  expect(await overdue()).not.toContain(family.id);
  service.clock.advance(100 * 86_400_000);
  expect(await overdue()).toContain(family.id);
  expect(await schedule()).toMatchObject({ status: 'overdue' });
  const { id } = await stage.request(family.id, { trigger: 'scheduled' });
  await stage.driveTo(id, 'completed');
  await stage.look(id);
  expect(await overdue()).not.toContain(family.id);
  family = bodyOf(await stage.get(`/families/${family.id}`), 200);
});

it('an emergency denies the compromised version before a new one exists, and rolls forward', async () => {
  const compromised = family.current ?? '';
  const wish = { strategy: 'emergency', trigger: 'compromise', emergency: { incident: 'INC-7' } };
  const declared: RotationViewJson = await stage.request(family.id, wish);
  expect(declared.emergency?.compromisedVersions).toEqual([compromised]);
  // One decision at a time, until it is contained: nothing was generated by then.
  const { ledger } = service.keyturn;
  const generated = async (): Promise<boolean> =>
    (await ledger.store.read(rotationStream(declared.id))).events.some(
      (event) => event.type === 'KeyGenerated',
    );
  let turns = 0;
  while ((await served()).includes(compromised)) {
    expect(await generated()).toBe(false);
    turns += 1;
    if (turns > 20) throw new Error('it was never contained');
    await stage.runner.advance(declared.id, family.id, 1);
    const containment = declared.emergency?.containment;
    if (typeof containment === 'string') await stage.runner.advanceContainment(containment, family.id);
  }
  expect(await served()).toEqual([]);
  expect(await generated()).toBe(false);

  const completed = await stage.driveTo(declared.id, 'completed');
  await stage.look(declared.id);
  expect(await served()).toEqual([completed.incoming]);
  expect(completed.incoming).not.toBe(compromised);
  expect(completed.emergency).toMatchObject({ approved: false, reviewed: false });
  await stage.approve(declared.id);
  bodyOf(await stage.post(`/rotations/${declared.id}/review`, { summary: 'a leaked backup' }), 200);
  expect((await stage.rotation(declared.id)).emergency).toMatchObject({ approved: true, reviewed: true });
  await provePaper(declared.id);
});

it('all of it is one causal chain, exported line by line', async () => {
  const answer = await stage.get('/log/events?limit=5000');
  const events = exportedEvents(answer.text);
  const treeSize = await service.keyturn.log.treeSize();
  expect(events).toHaveLength(treeSize);
  expect(Number(answer.headers.get('keyturn-tree-size'))).toBe(treeSize);
  expect(events.map(({ treesize }) => treesize)).toEqual(events.map((_, index) => index + 1));
  const counted = expectCausalChain(events);
  expect(counted.rotations).toBe(5);
  expect(counted.byEvents).toBeGreaterThan(60);
  expect(counted.byCommands).toBeGreaterThan(10);
});

it('a chain with a missing or a later cause is seen', async () => {
  const events = exportedEvents((await stage.get('/log/events?limit=5000')).text);
  const at = events.findIndex((event) => event.type === 'keyturn.StepStarted');
  expect(() => expectCausalChain(events.toSpliced(at, 1))).toThrow('of the saga has no cause');
  expect(() => expectCausalChain(events.toReversed())).toThrow('by a later event');
});
