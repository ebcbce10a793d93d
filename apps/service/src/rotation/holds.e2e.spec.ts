import { jest } from '@jest/globals';
import { HOLDS_STREAM } from '#rotation';
import { startService, type StartedService } from '../testing/started-service.js';

// A starting service is slow where the machine is busy.
jest.setTimeout(30_000);

let service: StartedService;

beforeAll(async () => {
  service = await startService();
});

afterAll(async () => {
  await service.stop();
});

const call: StartedService['call'] = (...args) => service.call(...args);
const treeSize = (): Promise<number> => service.keyturn.log.treeSize();

async function held(): Promise<void> {
  const { store, ledger, clock } = service.keyturn;
  const { history } = await ledger.holds();
  const id = service.keyturn.ids.random();
  const at = new Date(clock.now()).toISOString();
  await store.append(
    history,
    [{ type: 'ClockHeld', data: { found: 'monotonic', wall: at, expected: at, reason: 'it leapt' } }],
    { actor: 'system', correlationId: id, causationId: id, origin: { via: 'kit' } },
  );
}

describe('freezes', () => {
  it('are declared, listed, seen among the holds, and lifted', async () => {
    const declared = await call('POST', '/api/v1/freezes', {
      body: {
        name: 'year end',
        reason: 'no changes',
        until: '2026-03-05T00:00:00Z',
        scope: { environments: ['production'] },
      },
    });
    expect([declared.status, declared.body['status']]).toEqual([201, 'in force']);
    const id = String(declared.body['id']);
    const list = await call('GET', '/api/v1/freezes');
    expect(list.body).toMatchObject({ items: [{ id, name: 'year end', liftedAt: null }], next: null });
    expect((await call('GET', '/api/v1/holds')).body).toMatchObject({ open: [], freezes: [{ id }] });
    const lifted = await call('POST', `/api/v1/freezes/${id}/lift`, { body: { reason: 'over' } });
    expect([lifted.status, lifted.body['status']]).toEqual([200, 'lifted']);
    const size = await treeSize();
    expect((await call('POST', `/api/v1/freezes/${id}/lift`, { body: { reason: 'over' } })).status).toBe(200);
    expect(await treeSize()).toBe(size);
    expect((await call('GET', '/api/v1/holds')).body).toMatchObject({ freezes: [] });
  });

  it('are listed in pages, those declared last first', async () => {
    for (const name of ['one', 'two', 'three']) {
      await call('POST', '/api/v1/freezes', { body: { name, reason: 'r' } });
    }
    const first = await call('GET', '/api/v1/freezes?limit=2');
    expect(first.body['items']).toMatchObject([{ name: 'three' }, { name: 'two' }]);
    const second = await call('GET', `/api/v1/freezes?limit=2&cursor=${String(first.body['next'])}`);
    expect(second.body['items']).toMatchObject([{ name: 'one' }, { name: 'year end' }]);
    expect(second.body['next']).toBeNull();
    expect((await call('GET', '/api/v1/freezes?cursor=nonsense')).body['code']).toBe('cursor.invalid');
  });

  it('a repeat of the same request is the same freeze', async () => {
    const again = { body: { name: 'again', reason: 'r' }, key: 'the-same-key' };
    const once = await call('POST', '/api/v1/freezes', again);
    const size = await treeSize();
    const twice = await call('POST', '/api/v1/freezes', again);
    expect(twice.body['id']).toBe(once.body['id']);
    expect(await treeSize()).toBe(size);
  });

  it.each([
    ['that is over', { until: '2026-03-01T00:00:00Z', from: '2026-02-01T00:00:00Z' }, 422, 'freeze.over'],
    [
      'that ends before it begins',
      { until: '2026-04-01T00:00:00Z', from: '2026-05-01T00:00:00Z' },
      422,
      'freeze.ends-before-it-begins',
    ],
    ['of a family nobody knows', { scope: { families: ['production/nothing'] } }, 404, 'family.not-found'],
    ['of an empty list', { scope: { environments: [] } }, 422, 'request.invalid'],
    ['with a slip in it', { untill: '2026-04-01T00:00:00Z' }, 422, 'request.invalid'],
  ])('one %s is refused and leaves the log as it was', async (_, change, status, code) => {
    const size = await treeSize();
    const answer = await call('POST', '/api/v1/freezes', {
      body: { name: 'bad', reason: 'r', ...change },
    });
    expect([answer.status, answer.body['code']]).toEqual([status, code]);
    expect(await treeSize()).toBe(size);
  });

  it('reach no further than the token that declares them', async () => {
    const { token } = await service.tokenWith(['operator'], {
      scope: { environments: ['staging'], teams: 'all' },
    });
    const declare = (scope: object): Promise<{ readonly status: number }> =>
      call('POST', '/api/v1/freezes', { body: { name: 'narrow', reason: 'r', scope }, token });
    expect((await declare({})).status).toBe(403);
    expect((await declare({ environments: ['staging', 'production'] })).status).toBe(403);
    expect((await declare({ environments: ['staging'] })).status).toBe(201);
    const { body } = await call('POST', '/api/v1/freezes', { body: { name: 'wide', reason: 'r' } });
    const lifted = await call('POST', `/api/v1/freezes/${String(body['id'])}/lift`, {
      body: { reason: 'r' },
      token,
    });
    expect(lifted.status).toBe(403);
  });
});

describe('holds', () => {
  it('are confirmed by a person who may, with a reason, and not where nothing is held', async () => {
    const confirm = (options: object): ReturnType<StartedService['call']> =>
      call('POST', '/api/v1/holds/clock/confirm', { body: { reason: 'compared' }, ...options });
    const size = await treeSize();
    const nothing = await confirm({});
    expect([nothing.status, nothing.body['code']]).toEqual([409, 'hold.not-open']);
    expect(await treeSize()).toBe(size);
    await held();
    const open = await call('GET', '/api/v1/holds');
    expect(open.body['open']).toMatchObject([{ hold: 'clock', reason: 'it leapt' }]);
    const workload = await service.tokenWith(['operator']);
    const refused = await confirm({ token: workload.token });
    expect([refused.status, refused.body['code']]).toEqual([403, 'hold.person-needed']);
    const narrow = await service.tokenWith(['operator'], {
      subject: { name: 'Bo', kind: 'person' },
      scope: { environments: ['staging'], teams: 'all' },
    });
    expect((await confirm({ token: narrow.token })).body['code']).toBe('access.out-of-scope');
    expect((await confirm({ body: {} })).status).toBe(422);
    const confirmed = await confirm({});
    expect([confirmed.status, confirmed.body['open']]).toEqual([200, []]);
    const { events } = await service.keyturn.store.read(HOLDS_STREAM);
    expect(events.at(-1)).toMatchObject({
      type: 'ClockConfirmed',
      actor: service.subject,
      data: { by: 'person', reason: 'compared' },
    });
  });
});
