import { jest } from '@jest/globals';
import { formatInstant } from '#eventlog';
import type { FamilyView, RotationViewJson } from '#rotation';
import { ObligationWatch } from '#schedule';
import { readPdf } from '../../libs/evidence/src/testing/pdf-reader.js';
import { Timetable } from '../../apps/service/src/rotation/schedule-rows.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { COMPLETE_RUNBOOK } from '../support/runbook.js';
import { bodyOf, Stage, wish } from './support.js';

/** An emergency runs first and is answered for afterwards: refused, what it did stands, and the record says so for good. */

jest.setTimeout(60_000);

let service: StartedService;
let stage: Stage;

beforeAll(async () => {
  service = await startService();
  stage = await Stage.on(service);
});

afterAll(async () => {
  await service.stop();
});

interface Owed {
  readonly kind: string;
  readonly status: string;
  readonly rotation: string | null;
  readonly what: string;
}

async function owed(rotation: string): Promise<readonly string[]> {
  const { body } = await stage.get('/schedule');
  return (body['items'] as Owed[]).filter((row) => row.rotation === rotation).map(({ kind }) => kind);
}

it('refused in retrospect: settled as refused, shown as an exception, undone in nothing', async () => {
  const family = await stage.familyWithKey();
  const declared = bodyOf<RotationViewJson>(
    await stage.post(
      `/families/${family.id}/rotations`,
      wish({ strategy: 'emergency', trigger: 'compromise' }),
    ),
    201,
  );
  const path = `/rotations/${declared.id}`;
  const reason = 'it was a test key';
  await stage.driveTo(declared.id, 'completed');
  expect(await owed(declared.id)).toContain('emergency-approval');

  const own = await stage.post(`${path}/reject`, { reason });
  expect([own.status, own.body['code']]).toEqual([403, 'rotation.own-approval']);
  const silent = await stage.post(`${path}/reject`, {}, { token: stage.approver });
  expect([silent.status, silent.body['code']]).toEqual([422, 'request.invalid']);

  const refused = bodyOf<RotationViewJson>(
    await stage.post(`${path}/reject`, { reason }, { token: stage.approver }),
    200,
  );
  expect(refused).toMatchObject({
    phase: 'completed',
    emergency: { approved: false, refused: { reason } },
    exceptions: expect.arrayContaining([
      `the approval of this emergency was refused in retrospect: ${reason}`,
    ]),
    next: [],
  });
  expect(await owed(declared.id)).toEqual(['post-incident-review']);
  const late = await stage.post(`${path}/approve`, {}, { token: stage.approver });
  expect([late.status, late.body['code']]).toEqual([409, 'rotation.approval-refused']);

  const { body: timeline } = await stage.get(`${path}/timeline`);
  const titles = (timeline['entries'] as { title: string; kind: string }[]).map(({ title }) => title);
  expect(titles).toContain('Approval refused in retrospect');
  expect(titles).not.toContain('Approved in retrospect');
  const response = await fetch(`${service.url}/api/v1${path}/record.pdf`, {
    headers: { authorization: `Bearer ${service.token}` },
  });
  const text = readPdf(Buffer.from(await response.arrayBuffer())).pages.join(' ');
  expect(text).toMatch(/Outcome Completed .* Approval refused in retrospect: an exception/u);
  expect(text).toContain(`refused: ${reason}`);
  expect(text).not.toMatch(/approved in retrospect/iu);
  // What it did stands: the family emits with what the emergency made.
  expect(bodyOf<{ current: string }>(await stage.get(`/families/${family.id}`), 200).current).toBe(
    declared.incoming ?? refused.incoming,
  );
});

it('an approval that was missed is on record, and who settled it late, when and how; the record is cut by scope and paged', async () => {
  const family = await stage.familyWithKey();
  const { id } = bodyOf<RotationViewJson>(
    await stage.post(
      `/families/${family.id}/rotations`,
      wish({ strategy: 'emergency', trigger: 'compromise' }),
    ),
    201,
  );
  const { emergency } = await stage.driveTo(id, 'completed');
  const missed = async (query = ''): Promise<readonly Record<string, unknown>[]> => {
    await service.keyturn.readModel.caughtUp();
    const { body } = await stage.get(`/obligations${query}`);
    return (body['items'] as Record<string, unknown>[]).filter(
      (item) => item['rotation'] === id && item['kind'] === 'emergency-approval',
    );
  };
  const { ledger, readModel, clock } = service.keyturn;
  const timetable = new Timetable(readModel);
  const watch = new ObligationWatch({ ledger, readModel, overdue: () => timetable.owedLate(clock.now()) });
  service.clock.advance(Date.parse(emergency?.approvalDueAt ?? '') - 1 - stage.now);
  await watch.sweep();
  expect(await missed()).toEqual([]);
  service.clock.advance(1);
  await watch.sweep();
  expect(await missed()).toMatchObject([
    { kind: 'emergency-approval', due: emergency?.approvalDueAt, family: { id: family.id }, settled: null },
  ]);
  service.clock.advance(3_600_000);
  await stage.approve(id);
  await watch.sweep();
  expect(await missed('?state=open')).toEqual([]);
  expect(await missed('?state=settled')).toMatchObject([
    {
      kind: 'emergency-approval',
      settled: { how: 'met', at: formatInstant(stage.now), fact: { type: 'RotationApproved' } },
    },
  ]);
  const elsewhere = await service.tokenWith(['auditor'], {
    scope: { environments: ['elsewhere'], teams: 'all' },
  });
  const { body } = await service.call('GET', '/api/v1/obligations', { token: elsewhere.token });
  expect(body['items']).toEqual([]);
  const wrong = await stage.get('/obligations?state=late');
  expect([wrong.status, wrong.body['code']]).toEqual([400, 'query.invalid']);
  watch.stop();
});

it('a secret registered by an emergency owes the rest of its registration until it is filled in, on record when that was late', async () => {
  const body = { path: '/etc/app/owing.key', environment: 'production', reason: 'seen in a ticket' };
  const { family } = bodyOf<RotationViewJson>(await stage.post('/emergencies', body), 201);
  const put = (part: string, what: object): ReturnType<StartedService['call']> =>
    service.call('PUT', `/api/v1/families/${family.id}/${part}`, { body: what });
  const view = async (): Promise<FamilyView> => bodyOf(await stage.get(`/families/${family.id}`), 200);
  const row = async (): Promise<unknown> => {
    const { body: schedule } = await stage.get('/schedule?limit=500');
    return (schedule['items'] as { kind: string; family: { id: string } | null; status: string }[])
      .filter((item) => item.kind === 'registration' && item.family?.id === family.id)
      .map(({ status }) => status);
  };
  const { due, missing } = (await view()).registrationOwed ?? { due: '', missing: [] };
  expect(Date.parse(due) - stage.now).toBe(7 * 86_400_000);
  expect(missing).toEqual(
    expect.arrayContaining(['classification', 'owner', 'deputy', 'escalation', 'consumers', 'blast radius']),
  );
  const classified = {
    kind: 'provider-key',
    protects: 'pan-in-transit',
    usage: 'authenticate',
    team: 'payments',
  };
  const refused = await put('classification', { ...classified, kind: 'a key', colour: 'red' });
  expect([refused.status, refused.body['code']]).toEqual([422, 'request.invalid']);
  const full = await stage.family();
  const inFull = await service.call('PUT', `/api/v1/families/${full.id}/classification`, {
    body: classified,
  });
  expect([inFull.status, inFull.body['code']]).toEqual([409, 'family.not-in-haste']);

  const { ledger, readModel, clock } = service.keyturn;
  const timetable = new Timetable(readModel);
  const watch = new ObligationWatch({ ledger, readModel, overdue: () => timetable.owedLate(clock.now()) });
  expect(await row()).toEqual(['due-soon']);
  service.clock.advance(Date.parse(due) - stage.now);
  expect(await row()).toEqual(['overdue']);
  await watch.sweep();

  bodyOf(await put('classification', classified), 200);
  expect(await view()).toMatchObject({
    ...classified,
    registrationOwed: { missing: expect.not.arrayContaining(['classification']) },
  });
  bodyOf(await put('owner', { role: 'Payments on-call', deputy: 'Platform', escalation: 'CTO' }), 200);
  bodyOf(await put('runbook', COMPLETE_RUNBOOK), 200);
  expect((await view()).registrationOwed?.missing).toEqual(['consumers']);
  bodyOf(await stage.post(`/families/${family.id}/consumers`, { name: 'checkout', roles: ['emitter'] }), 201);
  expect((await view()).registrationOwed).toBeNull();
  expect(await row()).toEqual([]);
  await watch.sweep();
  await readModel.caughtUp();
  const { body: record } = await stage.get('/obligations');
  expect(record['items']).toEqual(
    expect.arrayContaining([
      expect.objectContaining({
        kind: 'registration',
        due,
        settled: expect.objectContaining({
          how: 'met',
          fact: expect.objectContaining({ type: 'ConsumerRegistered' }),
        }),
      }),
    ]),
  );
  watch.stop();
});

describe('an emergency over all that one incident reached', () => {
  const over = (reason: string, emergency: Readonly<Record<string, unknown>> = {}) =>
    wish({
      strategy: 'emergency',
      trigger: 'compromise',
      reason,
      emergency: { unlessDeclared: true, ...emergency },
    });
  const declare = (id: string, body: unknown) => stage.post(`/families/${id}/rotations`, body);
  const compromisedOf = async (id: string): Promise<readonly string[]> => {
    await service.keyturn.readModel.caughtUp();
    const { versions } = bodyOf<FamilyView>(await stage.get(`/families/${id}`), 200);
    return versions.filter(({ compromised }) => compromised).map(({ versionId }) => versionId);
  };

  it('is declared once a family: a repeat, under way or after it, calls nothing compromised that it made', async () => {
    const family = await stage.familyWithKey();
    const stolen = over('team laptop stolen');
    const { id } = bodyOf<RotationViewJson>(await declare(family.id, stolen), 201);
    const refused = { code: 'emergency.already-declared', details: { rotation: id } };
    const repeated = await declare(family.id, stolen);
    expect([repeated.status, repeated.body]).toEqual([409, expect.objectContaining(refused)]);
    // Whatever it is called: what is under way has all versions that are accepted.
    expect((await declare(family.id, over('another one', { incident: 'INC-2' }))).status).toBe(409);
    await stage.driveTo(id, 'completed');
    await stage.look(id);
    service.clock.advance(3_600_000);
    for (const path of ['', '?plan']) {
      const again = await stage.post(`/families/${family.id}/rotations${path}`, stolen);
      expect([again.status, again.body]).toEqual([409, expect.objectContaining(refused)]);
    }
    expect(await compromisedOf(family.id)).toEqual([family.current]);
  });

  it('a new incident for the fresh key is possible, one that was discovered before it is not', async () => {
    const family = await stage.familyWithKey();
    const discoveredAt = formatInstant(stage.now);
    service.clock.advance(60_000);
    const { id } = bodyOf<RotationViewJson>(
      await declare(family.id, over('stolen', { incident: 'INC-1' })),
      201,
    );
    const { incoming } = await stage.driveTo(id, 'completed');
    await stage.look(id);
    service.clock.advance(3_600_000);
    const early = await declare(family.id, over('found on a disk', { incident: 'INC-2', discoveredAt }));
    expect([early.status, early.body['code']]).toEqual([409, 'emergency.already-declared']);
    const second = bodyOf<RotationViewJson>(
      await declare(family.id, over('again', { incident: 'INC-3' })),
      201,
    );
    expect(second.id).not.toBe(id);
    expect(await compromisedOf(family.id)).toEqual([family.current, incoming]);
  });

  it('takes what was in use at the discovery, and what an emergency left out', async () => {
    const family = await stage.familyWithKey();
    const discoveredAt = formatInstant(stage.now - 365 * 86_400_000);
    const none = await declare(family.id, over('an old disk', { discoveredAt }));
    expect([none.status, none.body['code']]).toEqual([422, 'emergency.no-version']);
    expect(await compromisedOf(family.id)).toEqual([]);
    expect((await declare(family.id, over('an old disk'))).status).toBe(201);
  });
});
