import { jest } from '@jest/globals';
import { formatInstant } from '#eventlog';
import { startService, type StartedService } from '../testing/started-service.js';

// A starting service is slow where the machine is busy.
jest.setTimeout(30_000);

let service: StartedService;
let approver: string;

beforeAll(async () => {
  service = await startService();
  approver = (await service.tokenWith(['approver'])).token;
});

afterAll(async () => {
  await service.stop();
});

const call: StartedService['call'] = (...args) => service.call(...args);
const in90Days = (): string => formatInstant(service.clock.now() + 90 * 86_400_000);
const quarterly = { nth: 2, weekday: 'thursday', of: 'quarter', at: '02:00', timeZone: 'UTC' };

function policy(selector: object, terms: object = {}): Record<string, unknown> {
  return {
    name: 'a policy',
    selector,
    terms: {
      stopEmitting: 'P90D',
      stopAccepting: 'P120D',
      margins: { clockSkew: 'PT30S', safety: 'PT5M' },
      approvals: 1,
      settle: 'PT1H',
      watch: 'PT1H',
      emergency: { approvalWithin: 'P1D', reviewWithin: 'P1D', targets: [] },
      ...terms,
    },
    basis: { setBy: 'CISO', riskAnalysis: 'RA-7', reviewedOn: '2026-01-01', nextReview: '2027-01-01' },
    effectiveFrom: formatInstant(service.clock.now()),
  };
}

async function defined(selector: object): Promise<string> {
  const answer = await call('POST', '/api/v1/policies', { body: policy(selector) });
  expect(answer.status).toBe(201);
  return String(answer.body['id']);
}

/** Refused, and the log is as it was. */
async function proveRefused(
  work: () => ReturnType<StartedService['call']>,
  status: number,
  code: string,
  field?: string,
): Promise<void> {
  const size = await service.keyturn.log.treeSize();
  const answer = await work();
  expect([answer.status, answer.body['code']]).toEqual([status, code]);
  if (field !== undefined) expect(answer.body['errors']).toMatchObject([{ field }]);
  expect(await service.keyturn.log.treeSize()).toBe(size);
}

describe('policies that contradict themselves or each other', () => {
  it('two cadence rules', () =>
    proveRefused(
      () => call('POST', '/api/v1/policies', { body: policy({ environment: 'a' }, { calendar: quarterly }) }),
      422,
      'policy.cadence-contradicts',
      '/terms/calendar',
    ));

  it('a cohort plan that does not end at 100 %', () =>
    proveRefused(
      () =>
        call('POST', '/api/v1/policies', {
          body: policy({ environment: 'b' }, { cohorts: [{ share: 50, hold: 'P7D' }] }),
        }),
      422,
      'cohorts.not-whole',
      '/terms/cohorts',
    ));

  it('the same selector twice', async () => {
    await defined({ environment: 'twice' });
    await proveRefused(
      () => call('POST', '/api/v1/policies', { body: policy({ environment: 'twice' }) }),
      409,
      'policy.selector-taken',
      '/selector',
    );
  });

  it('one approved by its author', async () => {
    const id = await defined({ environment: 'own' });
    await proveRefused(
      () => call('POST', `/api/v1/policies/${id}/approve`, { body: {} }),
      403,
      'policy.own-approval',
    );
  });

  it('an amendment approved unseen; by its revision, or If-Match, it is', async () => {
    const id = await defined({ environment: 'amended' });
    const path = `/api/v1/policies/${id}`;
    const { selector: _selector, ...body } = policy({}, { approvals: 2 });
    const amended = await call('PUT', path, { body });
    expect([amended.status, amended.body['termsRevision']]).toEqual([200, 1]);
    const approve = (options: object): ReturnType<StartedService['call']> =>
      call('POST', `${path}/approve`, { body: {}, token: approver, ...options });
    await proveRefused(() => approve({}), 422, 'policy.revision-missing', '/revision');
    await proveRefused(() => approve({ body: { revision: 0 } }), 409, 'policy.other-revision', '/revision');
    await proveRefused(() => approve({ headers: { 'if-match': '"0"' } }), 412, 'precondition.failed');
    expect((await approve({ body: { revision: 1 } })).body['status']).toBe('in force');
  });
});

describe('standing approvals', () => {
  it('are granted by an approver, shown, and revoked', async () => {
    const id = await defined({ environment: 'standing' });
    const path = `/api/v1/policies/${id}`;
    const grant = (body: object, token: string | undefined = approver): ReturnType<StartedService['call']> =>
      call('POST', `${path}/standing-approvals`, { body: { reason: 'CAB-1', ...body }, token });
    await proveRefused(() => grant({ until: in90Days() }), 409, 'standing.policy-not-approved');
    await call('POST', `${path}/approve`, { body: {}, token: approver });
    await proveRefused(
      () => grant({ until: '2026-03-01T00:00:00Z' }),
      422,
      'standing.past-its-end',
      '/until',
    );
    await proveRefused(
      () => grant({ until: '2027-02-01T00:00:00Z' }),
      422,
      'standing.beyond-review',
      '/until',
    );
    await proveRefused(() => grant({ until: in90Days(), strategies: ['emergency'] }), 422, 'request.invalid');
    await proveRefused(() => grant({ until: in90Days() }, service.token), 403, 'standing.own-policy');
    const granted = await grant({ until: in90Days() });
    expect([granted.status, granted.body['standing']]).toMatchObject([
      201,
      [{ status: 'in force', strategies: ['graceful', 'rolling', 'cutover'] }],
    ]);
    const [{ approval }] = granted.body['standing'] as [{ approval: string }];
    const revoked = await call('POST', `${path}/standing-approvals/${approval}/revoke`, {
      body: { reason: 'each of them' },
      token: approver,
    });
    expect(revoked.body['standing']).toMatchObject([{ status: 'revoked' }]);
  });
});

describe('a family’s schedule', () => {
  it('places work inside its policy’s period, by If-Match', async () => {
    await defined({ environment: 'scheduled' }).then((id) =>
      call('POST', `/api/v1/policies/${id}/approve`, { body: {}, token: approver }),
    );
    const registered = await call('POST', '/api/v1/families', {
      body: {
        name: 'session jwt',
        environment: 'scheduled',
        kind: 'shared-secret',
        protects: 'application-account',
        usage: 'mac',
        overlap: 'dual',
        authority: { kind: 'nobody' },
        owner: { role: 'Platform on-call' },
        team: 'platform',
      },
    });
    const id = String(registered.body['id']);
    const path = `/api/v1/families/${id}/schedule`;
    await proveRefused(
      () => call('PUT', path, { body: { calendar: quarterly } }),
      422,
      'schedule.lengthens-policy',
      '/calendar',
    );
    await proveRefused(
      () => call('PUT', path, { body: { calendar: { ...quarterly, timeZone: 'Europe/Atlantis' } } }),
      422,
      'time-zone.unknown',
      '/calendar/timeZone',
    );
    const monthly = { ...quarterly, of: 'month' };
    await proveRefused(
      () => call('PUT', path, { body: { calendar: monthly }, headers: { 'if-match': '"7"' } }),
      412,
      'precondition.failed',
    );
    const set = await call('PUT', path, { body: { calendar: monthly }, headers: { 'if-match': '"0"' } });
    expect([set.status, set.body['schedule']]).toEqual([200, { calendar: monthly }]);
    expect((await call('GET', path)).body).toMatchObject({
      calendar: '2nd thursday of the month, 02:00 UTC',
      plannedFor: '2026-03-12T02:00:00.000Z',
    });
  });
});

it('telemetry of a rotation nobody knows, of no span, of the future: refused', async () => {
  const none = '00000000-0000-4000-8000-000000000000';
  const body = {
    from: '2026-03-02T08:00:00Z',
    to: '2026-03-02T09:00:00Z',
    current: 1,
    previous: 0,
    invalid: 0,
  };
  await proveRefused(
    () => call('POST', `/api/v1/rotations/${none}/telemetry`, { body }),
    404,
    'rotation.not-found',
  );
  await proveRefused(
    () => call('POST', `/api/v1/rotations/${none}/telemetry`, { body: { ...body, current: -1 } }),
    422,
    'request.invalid',
  );
});
