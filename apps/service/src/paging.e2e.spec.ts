import { jest } from '@jest/globals';
import { ObligationWatch } from '#schedule';
import { Timetable } from './rotation/schedule-rows.js';
import { startService, type Answer, type StartedService } from './testing/started-service.js';

// A starting service is slow where the machine is busy.
jest.setTimeout(60_000);

/** Every list, and the instant it is asked at where its order depends on one. */
const LISTS = [
  '/api/v1/families',
  '/api/v1/rotations',
  '/api/v1/rotations?state=open',
  '/api/v1/containments',
  '/api/v1/destructions?state=all',
  '/api/v1/consumers',
  '/api/v1/policies',
  '/api/v1/tokens',
  '/api/v1/freezes',
  '/api/v1/schedule',
  '/api/v1/schedule/overdue',
  '/api/v1/schedule/owed',
  '/api/v1/obligations',
];

type Item = Readonly<Record<string, unknown>>;

describe('lists come in pages', () => {
  let service: StartedService;

  const ok = ({ status, body, text }: Answer): Readonly<Record<string, unknown>> => {
    if (status >= 300) throw new Error(`${status}: ${text}`);
    return body;
  };
  const itemsIn = ({ items }: Readonly<Record<string, unknown>>): readonly Item[] => {
    if (!Array.isArray(items)) throw new Error('no list');
    const all: readonly Item[] = items;
    return all;
  };
  const get = async (path: string, query: Readonly<Record<string, string>> = {}): Promise<Answer> => {
    const separator = path.includes('?') ? '&' : '?';
    return service.call('GET', `${path}${separator}${new URLSearchParams(query).toString()}`);
  };

  async function register(name: string): Promise<string> {
    const family = ok(
      await service.call('POST', '/api/v1/families', {
        body: {
          name,
          environment: 'production',
          kind: 'asymmetric-key',
          algorithm: 'ES256',
          protects: 'other',
          usage: 'sign',
          overlap: 'dual',
          mode: 'driven',
          authority: { kind: 'keyturn' },
          owner: { role: 'on-call' },
          team: 'platform',
          artefactLife: 'PT15M',
          backEnd: { instance: 'local', object: `keys/${name}` },
        },
      }),
    );
    return String(family['id']);
  }

  async function furnish(name: string): Promise<void> {
    const id = await register(name);
    for (const role of ['verifier', 'emitter']) {
      ok(
        await service.call('POST', `/api/v1/families/${id}/consumers`, {
          body: { name: `${name}'s ${role}`, roles: [role], cacheTtl: 'PT5M', deployPropagation: 'PT5M' },
        }),
      );
    }
    const deviation = { reason: 'a page of lists needs no runbook', until: '2999-01-01T00:00:00.000Z' };
    ok(
      await service.call('POST', `/api/v1/families/${id}/rotations`, {
        body: { reason: 'paging', deviation },
      }),
    );
    const selector = { environment: `only-${name}` };
    ok(
      await service.call('POST', '/api/v1/policies', {
        body: {
          name: `policy of ${name}`,
          selector,
          terms: {
            stopEmitting: 'P90D',
            stopAccepting: 'P120D',
            margins: { clockSkew: 'PT30S', safety: 'PT5M' },
            approvals: 1,
            settle: 'PT1H',
            watch: 'PT1H',
            emergency: { approvalWithin: 'P1D', reviewWithin: 'P1D', targets: [] },
          },
          basis: { setBy: 'CISO', riskAnalysis: 'RA-7', reviewedOn: '2025-01-01', nextReview: '2026-01-01' },
          effectiveFrom: '2026-03-03T00:00:00.000Z',
        },
      }),
    );
    // What a back end would have to hold first is written down as it is recorded: lists show what is on record.
    const backEnd = { instance: 'local', object: `keys/${name}` };
    const about = { family: id, backEnd, versions: ['k1'], reason: 'paging' };
    for (const [category, type] of [
      ['containment', 'ContainmentRequested'],
      ['destruction', 'DestructionRequested'],
    ] as const) {
      const stream = `${category}-${service.keyturn.ids.random()}`;
      await service.keyturn.store.append(
        { stream, revision: -1, lastRecordedAt: 0 },
        [{ type, data: about }],
        {
          actor: service.subject,
          correlationId: id,
          causationId: id,
          origin: { via: 'http' },
        },
      );
      await service.keyturn.settle({ stream, revision: 0 });
    }
    await service.tokenWith(['viewer']);
    ok(
      await service.call('POST', '/api/v1/freezes', {
        body: { name: `freeze of ${name}`, reason: 'paging', scope: { environments: ['elsewhere'] } },
      }),
    );
  }

  beforeAll(async () => {
    service = await startService();
    for (const name of ['m1', 'm2', 'm3', 'm4', 'm5']) {
      await furnish(name);
      // Two that were asked for in the same millisecond are told apart by their ids.
      if (name !== 'm2') service.clock.advance(1_000);
    }
    // The day of each policy's review is over.
    const { ledger, readModel, clock } = service.keyturn;
    await readModel.caughtUp();
    const timetable = new Timetable(readModel);
    const watch = new ObligationWatch({ ledger, readModel, overdue: () => timetable.owedLate(clock.now()) });
    await watch.sweep();
    watch.stop();
    await readModel.caughtUp();
  });
  afterAll(() => service.stop());

  it.each(LISTS)('GET %s: pages of two are the whole list, in its order', async (path) => {
    const whole = ok(await get(path, { limit: '500' }));
    expect(whole['next']).toBeNull();
    expect(itemsIn(whole).length).toBeGreaterThanOrEqual(5);
    const pages: Item[] = [];
    let cursor: string | null = null;
    do {
      const page: Readonly<Record<string, unknown>> = ok(
        await get(path, { limit: '2', ...(cursor === null ? {} : { cursor }) }),
      );
      expect(itemsIn(page).length).toBeLessThanOrEqual(2);
      pages.push(...itemsIn(page));
      cursor = typeof page['next'] === 'string' ? page['next'] : null;
    } while (cursor !== null);
    // As of one instant each: only how long something has been so may differ.
    expect(pages.map(identityOf)).toEqual(itemsIn(whole).map(identityOf));
  });

  it('stays where it is when something comes in before it or after it', async () => {
    const first = ok(await get('/api/v1/families', { limit: '3' }));
    expect(itemsIn(first).map(({ name }) => name)).toEqual(['m1', 'm2', 'm3']);
    await register('a-before');
    await register('n-after');
    const second = ok(await get('/api/v1/families', { limit: '3', cursor: String(first['next']) }));
    expect(itemsIn(second).map(({ name }) => name)).toEqual(['m4', 'm5', 'n-after']);
    expect(second['next']).toBeNull();
  });

  it.each(LISTS)(
    'GET %s refuses a cursor no page of it has given, and a limit out of bounds',
    async (path) => {
      const other = path.startsWith('/api/v1/families') ? '/api/v1/tokens' : '/api/v1/families';
      const foreign = String(ok(await get(other, { limit: '1' }))['next']);
      const mine = String(ok(await get(path, { limit: '1' }))['next']);
      for (const cursor of ['', 'x', '100', mine.slice(0, -3), foreign]) {
        const answer = await get(path, { cursor });
        expect([cursor, answer.status, answer.body['code']]).toEqual([cursor, 400, 'cursor.invalid']);
        expect(answer.body['errors']).toMatchObject([{ field: '/cursor' }]);
      }
      for (const limit of ['0', '501', '-1', 'many', '1.5']) {
        const answer = await get(path, { limit });
        expect([limit, answer.status, answer.body['code']]).toEqual([limit, 400, 'query.invalid']);
        expect(answer.body['errors']).toMatchObject([{ field: '/limit' }]);
      }
      expect((await get(path, { cursor: 'x'.repeat(4_001) })).body['code']).toBe('query.invalid');
    },
  );

  it('no list was forgotten', async () => {
    const plain = service.routes.filter(({ method, url }) => method === 'GET' && !url.includes(':'));
    const lists: string[] = [];
    for (const { url } of plain) {
      const { body } = await service.call('GET', url);
      // As long as the file that names them.
      if (Array.isArray(body['items']) && url !== '/api/v1/back-ends') lists.push(url);
    }
    expect(new Set(lists)).toEqual(new Set(LISTS.map((path) => path.split('?')[0])));
  });
});

function identityOf({ id, name, family, rotation, policy, kind, environment }: Item): unknown {
  return { id, name, family, rotation, policy, kind, environment };
}
