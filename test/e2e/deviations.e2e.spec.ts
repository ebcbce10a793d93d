import { jest } from '@jest/globals';
import { formatInstant } from '#eventlog';
import type { FamilyView } from '#rotation';
import { readPdf } from '../../libs/evidence/src/testing/pdf-reader.js';
import { bodyOf, CONSUMERS, policyBody, Stage } from './support.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';

/** A family departs from its policy: asked for, approved by another, shown wherever the policy is shown, ended, owed. */

jest.setTimeout(60_000);

const DAY = 86_400_000;

let service: StartedService;
let stage: Stage;
let family: FamilyView;

beforeAll(async () => {
  service = await startService();
  stage = await Stage.on(service);
  const { id } = bodyOf<{ id: string }>(await stage.post('/policies', policyBody(stage.now)), 201);
  bodyOf(await stage.post(`/policies/${id}/approve`, {}, { token: stage.approver }), 200);
  family = await stage.familyWithKey({}, CONSUMERS);
});

afterAll(async () => {
  await service.stop();
});

const inDays = (days: number): string => formatInstant(stage.now + days * DAY);

const asked = (change: object = {}): Record<string, unknown> => ({
  departs: { stopEmitting: 'P100D' },
  reason: 'RA-12',
  until: inDays(60),
  ...change,
});

async function pdf(path: string): Promise<string> {
  const response = await fetch(`${service.url}/api/v1${path}`, {
    headers: { authorization: `Bearer ${service.token}` },
  });
  expect(response.status).toBe(200);
  return readPdf(Buffer.from(await response.arrayBuffer())).pages.join(' ');
}

describe('refused, and the log stays as it was', () => {
  it.each<[string, object, string, string | undefined]>([
    ['no departure', { departs: {} }, 'request.invalid', '/departs'],
    ['an unknown term', { departs: { stopEmiting: 'P100D' } }, 'request.invalid', '/departs/stopEmiting'],
    ['a term of the wrong kind', { departs: { approvals: 'two' } }, 'request.invalid', '/departs/approvals'],
    ['an end that is past', { until: '2020-01-01T00:00:00Z' }, 'deviation.expired', '/until'],
    ['an end years away', { until: '2039-01-01T00:00:00Z' }, 'deviation.too-long', '/until'],
    ['no reason', { reason: '' }, 'request.invalid', '/reason'],
    [
      'what contradicts the rest of the policy',
      { departs: { stopEmitting: 'P121D' } },
      'policy.periods-contradict',
      '/departs/stopAccepting',
    ],
  ])('%s', async (_, change, code, field) => {
    const size = await service.keyturn.log.treeSize();
    const answer = await stage.post(`/families/${family.id}/deviations`, asked(change));
    expect([answer.status, answer.body['code']]).toEqual([422, code]);
    expect(answer.body['errors']).toEqual(expect.arrayContaining([expect.objectContaining({ field })]));
    expect(await service.keyturn.log.treeSize()).toBe(size);
  });
});

it('binds once another approved it, is shown where the policy is, and stays owed after its end until it is closed', async () => {
  const path = `/families/${family.id}/deviations`;
  const requested = bodyOf<FamilyView>(await stage.post(path, asked()), 201);
  const [deviation] = requested.deviations;
  expect(deviation).toMatchObject({ approvedBy: null, reason: 'RA-12', departs: { stopEmitting: 'P100D' } });
  const one = `${path}/${deviation?.id ?? ''}`;
  const terms = async (): Promise<unknown> => {
    const { body } = await stage.get(`/families/${family.id}/policy`);
    return [body['terms'], body['departures']];
  };
  expect(await terms()).toMatchObject([{ stopEmitting: 'P90D' }, []]);

  const size = await service.keyturn.log.treeSize();
  const approvedAlone = await stage.post(`${one}/approve`, {});
  expect([approvedAlone.status, approvedAlone.body['code']]).toEqual([403, 'deviation.own-approval']);
  const second = await stage.post(path, asked({ departs: { watch: 'PT9H' } }));
  expect([second.status, second.body['code']]).toEqual([409, 'deviation.standing']);
  const unknown = await stage.post(`${path}/${family.id}/approve`, {}, { token: stage.approver });
  expect([unknown.status, unknown.body['code']]).toEqual([404, 'deviation.not-found']);
  expect(await service.keyturn.log.treeSize()).toBe(size);

  bodyOf(await stage.post(`${one}/approve`, { note: 'CISO' }, { token: stage.approver }), 200);
  expect(await terms()).toMatchObject([
    { stopEmitting: 'P100D', stopAccepting: 'P120D' },
    [expect.stringMatching(/^stopEmitting P100D, until 2026-/u)],
  ]);
  const runbook = await pdf(`/families/${family.id}/runbook.pdf`);
  expect(runbook).toContain('stop emitting after 100 d');
  expect(runbook).toContain('By deviation, not as the policy says: stopEmitting P100D, until 2026-');

  const { id: rotation } = await stage.request(family.id);
  const record = await pdf(`/rotations/${rotation}/record.pdf`);
  expect(record).toMatch(
    /the family departs from its policy: stopEmitting P100D, until .*: RA-12 \(a deviation of the family, approved by /u,
  );
  bodyOf(await stage.post(`/rotations/${rotation}/abandon`, { reason: 'asked for its record' }), 200);
  await stage.driveTo(rotation, 'abandoned');
  await stage.look(rotation);

  const owed = async (): Promise<readonly unknown[]> => {
    const { body } = await stage.get('/schedule');
    return (body['items'] as { kind: string; status: string }[])
      .filter(({ kind }) => kind === 'deviation-end')
      .map(({ status }) => status);
  };
  expect(await owed()).toEqual(['ok']);
  service.clock.advance(61 * DAY);
  expect(await owed()).toEqual(['overdue']);
  expect(await terms()).toMatchObject([{ stopEmitting: 'P90D' }, []]);
  expect(await pdf(`/families/${family.id}/runbook.pdf`)).not.toContain('By deviation');
  bodyOf(await stage.post(`${one}/close`, { reason: 'looked at' }), 200);
  expect(await owed()).toEqual([]);
});
