import { jest } from '@jest/globals';
import type { FamilyView } from '#rotation';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { bodyOf, Stage, wish } from './support.js';

/** A family's timeline is every fact of its streams and of nobody else's, in the log's order, whatever the size of a page. */

jest.setTimeout(60_000);

let service: StartedService;
let stage: Stage;
let family: FamilyView;
/** Every stream of the family, as the log has them. */
let expected: readonly string[];

interface Line {
  readonly eventId: string;
  readonly treeSize: number;
  readonly stream: string;
  readonly title: string;
}

const path = (): string => `/families/${family.id}/timeline`;

async function pages(limit: number): Promise<readonly Line[]> {
  const lines: Line[] = [];
  let cursor = '';
  do {
    const { body } = await stage.get(`${path()}?limit=${limit}${cursor === '' ? '' : `&cursor=${cursor}`}`);
    const items = body['items'] as Line[];
    expect(items.length).toBeLessThanOrEqual(limit);
    lines.push(...items);
    cursor = typeof body['next'] === 'string' ? body['next'] : '';
  } while (cursor !== '');
  return lines;
}

beforeAll(async () => {
  service = await startService();
  stage = await Stage.on(service);
  family = await stage.familyWithKey();
  await stage.familyWithKey();
  const graceful = await stage.request(family.id);
  const counted = {
    from: new Date(stage.now - 60_000).toISOString(),
    to: new Date(stage.now).toISOString(),
    current: 5,
    previous: 1,
    invalid: 0,
  };
  bodyOf(await stage.post(`/rotations/${graceful.id}/telemetry`, counted), 200);
  await stage.driveTo(graceful.id, 'completed');
  await stage.look(graceful.id);
  const declared = bodyOf<{ id: string }>(
    await stage.post(
      `/families/${family.id}/rotations`,
      wish({ strategy: 'emergency', trigger: 'compromise' }),
    ),
    201,
  );
  await stage.driveTo(declared.id, 'completed');
  await stage.look(declared.id);
  await service.keyturn.readModel.caughtUp();
  const ours: string[] = [];
  const streams = new Set([`family-${family.id}`]);
  for await (const logged of service.keyturn.log.readAll()) {
    const event = service.keyturn.store.decode(logged);
    const { data } = event;
    const text = JSON.stringify(data);
    // A stream is the family's where its first fact names it, or a rotation that does.
    if (event.revision === 0 && /^(rotation|containment|telemetry)-/u.test(event.stream)) {
      const named = [...streams].some((stream) => text.includes(stream.slice(stream.indexOf('-') + 1)));
      if (named) streams.add(event.stream);
    }
    if (streams.has(event.stream)) ours.push(event.id);
  }
  expected = ours;
  expect(
    [...streams]
      .map((stream) => stream.split('-')[0])
      .sort((left = '', right = '') => (left < right ? -1 : 1)),
  ).toEqual(['containment', 'family', 'rotation', 'rotation', 'rotation', 'telemetry']);
});

afterAll(async () => {
  await service.stop();
});

it.each([500, 17, 1])('in pages of %d it is every fact, once, in the order of the log', async (limit) => {
  const lines = await pages(limit);
  expect(lines.map(({ eventId }) => eventId)).toEqual(expected);
  for (const { title } of lines) expect(title).not.toBe('');
});

it('what comes in while its pages are read comes at their end', async () => {
  const { body: first } = await stage.get(`${path()}?limit=500`);
  expect(first['next']).toBeNull();
  const { body: page } = await stage.get(`${path()}?limit=${expected.length - 1}`);
  bodyOf(
    await service.call('PUT', `/api/v1/families/${family.id}/owner`, { body: { role: 'Somebody else' } }),
    200,
  );
  const { body: rest } = await stage.get(`${path()}?limit=500&cursor=${String(page['next'])}`);
  expect((rest['items'] as Line[]).map(({ title }) => title).at(-1)).toBe('Owner assigned');
  expect((rest['items'] as Line[]).map(({ eventId }) => eventId)[0]).toBe(expected.at(-1));
});

it('is refused to whom the family is refused, and by a cursor of another list', async () => {
  const elsewhere = await service.tokenWith(['auditor'], {
    scope: { environments: ['elsewhere'], teams: 'all' },
  });
  const foreign = await service.call('GET', `/api/v1${path()}`, { token: elsewhere.token });
  expect([foreign.status, foreign.body['code']]).toEqual([403, 'access.out-of-scope']);
  const { body: other } = await stage.get('/families?limit=1');
  const wrong = await stage.get(`${path()}?cursor=${String(other['next'])}`);
  expect([wrong.status, wrong.body['code']]).toEqual([400, 'cursor.invalid']);
  const unknown = await stage.get('/families/5b0d7d9e-6f6e-4a57-8a70-0b3f0f6f2c31/timeline');
  expect([unknown.status, unknown.body['code']]).toEqual([404, 'family.not-found']);
});
