import { request as httpRequest } from 'node:http';
import { jest } from '@jest/globals';
import { EventReader, type ServerSentEvent } from '../../apps/cli/src/event-reader.js';
import { Stage } from './support.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';

// A starting service is slow where the machine is busy.
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

interface Line {
  readonly eventId: string;
  readonly treeSize: number;
  readonly title: string;
  readonly rotation?: string | null;
  readonly family?: { readonly qualifiedName: string };
}

interface Following {
  readonly lines: readonly Line[];
  readonly events: readonly ServerSentEvent[];
  /** All that came, as it came. */
  readonly text: () => string;
  readonly place: () => string | undefined;
  /** Resolves once this holds. */
  until(holds: () => boolean): Promise<void>;
  readonly ended: Promise<void>;
  cut(): void;
}

async function follow(
  path: string,
  options: { readonly token?: string; readonly last?: string | undefined } = {},
): Promise<Following> {
  const { token = service.token, last } = options;
  const lines: Line[] = [];
  const events: ServerSentEvent[] = [];
  const reader = new EventReader();
  const cutting = new AbortController();
  let text = '';
  let looked = (): void => undefined;
  const response = await fetch(`${service.url}/api/v1${path}`, {
    headers: {
      authorization: `Bearer ${token}`,
      ...(last === undefined ? {} : { 'last-event-id': last }),
    },
    signal: cutting.signal,
  });
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
  expect(response.headers.get('cache-control')).toBe('no-store');
  const ended = (async () => {
    try {
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) {
        const part = decoder.decode(chunk, { stream: true });
        text += part;
        for (const event of reader.read(part)) {
          events.push(event);
          if (event.type === 'message' && event.data !== '') lines.push(JSON.parse(event.data) as Line);
        }
        looked();
      }
    } catch (error) {
      if (!cutting.signal.aborted) throw error;
    } finally {
      looked();
    }
  })();
  return {
    lines,
    events,
    text: () => text,
    place: () => events.at(-1)?.lastEventId,
    ended,
    until: async (holds) => {
      while (!holds()) {
        await new Promise<void>((resolve) => {
          looked = resolve;
        });
      }
    },
    cut: () => {
      cutting.abort();
    },
  };
}

async function timeline(id: string): Promise<readonly Line[]> {
  const { body } = await service.call('GET', `/api/v1/rotations/${id}/timeline`);
  return body['entries'] as readonly Line[];
}

async function note(id: string, text: string): Promise<void> {
  const { status } = await stage.post(`/rotations/${id}/notes`, { note: text });
  expect(status).toBe(200);
}

const ids = (lines: readonly Line[]): readonly string[] => lines.map(({ eventId }) => eventId);

it('follows an emergency from its declaration to its end: the timeline, line for line', async () => {
  const { id: family } = await stage.familyWithKey();
  const whole = await follow('/timeline/stream');
  const { id } = await stage.request(family, { strategy: 'emergency', reason: 'seen in a log' });
  const one = await follow(`/rotations/${id}/timeline/stream`);
  await stage.driveTo(id, 'completed');
  const recorded = await timeline(id);
  expect(recorded.map(({ title }) => title).join()).toMatch(/contain/i);
  await one.until(() => one.lines.length >= recorded.length);
  expect(one.lines).toEqual(recorded);
  // The whole log's timeline tells the same of it, in the same order, and whose it is.
  const mine = () => whole.lines.filter(({ rotation }) => rotation === id);
  await whole.until(() => mine().length >= recorded.length);
  expect(ids(mine())).toEqual(ids(recorded));
  expect(mine()[0]?.family?.qualifiedName).toMatch(/^staging\//);
  one.cut();
  whole.cut();
});

it('goes on after a cut at any byte: no gap, no repeat', async () => {
  const { id: family } = await stage.family();
  const { id } = await stage.request(family);
  for (const text of ['one', 'two', 'three', 'four']) await note(id, text);
  const path = `/rotations/${id}/timeline/stream`;
  const first = await follow(path);
  const before = await timeline(id);
  await first.until(() => first.lines.length >= before.length);
  first.cut();
  // What happens while nobody follows.
  await note(id, 'in the gap');
  const recorded = ids(await timeline(id));
  const bytes = Buffer.from(first.text());
  /** By the place a reader has that saw only so many bytes: what it was shown. */
  const cuts = new Map<string | undefined, readonly string[]>();
  for (let length = 0; length <= bytes.length; length += 1) {
    const events = [...new EventReader().read(bytes.subarray(0, length).toString('utf8'))];
    const shown = events
      .filter(({ data }) => data !== '')
      .map(({ data }) => (JSON.parse(data) as Line).eventId);
    const place = events.at(-1)?.lastEventId;
    // However many bytes: the same place, the same lines.
    expect(cuts.get(place) ?? shown).toEqual(shown);
    cuts.set(place, shown);
  }
  expect(cuts.size).toBe(before.length + 2);
  for (const [last, shown] of cuts) {
    const again = await follow(path, { last });
    await again.until(() => shown.length + again.lines.length >= recorded.length);
    expect([...shown, ...ids(again.lines)]).toEqual(recorded);
    again.cut();
  }
});

it('misses nothing of what several people record at once', async () => {
  const rotations = await Promise.all(
    [1, 2, 3].map(async () => (await stage.request((await stage.family()).id)).id),
  );
  const whole = await follow('/timeline/stream');
  await Promise.all(
    rotations.flatMap((id) => Array.from({ length: 10 }, (_, index) => note(id, `note ${index}`))),
  );
  await whole.until(() => whole.lines.length >= 30);
  const expected = (await Promise.all(rotations.map(timeline)))
    .flatMap((lines) => lines.slice(-10))
    .toSorted((left, right) => left.treeSize - right.treeSize);
  expect(ids(whole.lines)).toEqual(ids(expected));
  whole.cut();
});

it('tells nobody more than the timeline would', async () => {
  const { id } = await stage.request((await stage.family()).id);
  const elsewhere = await service.tokenWith(['viewer'], {
    scope: { environments: ['production'], teams: 'all' },
  });
  const path = `/api/v1/rotations/${id}/timeline/stream`;
  const asked = await service.call('GET', path, { token: elsewhere.token });
  expect([asked.status, asked.body['code']]).toEqual([403, 'access.out-of-scope']);
  expect((await service.call('GET', path, { token: null })).status).toBe(401);
  const blind = await follow('/timeline/stream', { token: elsewhere.token });
  const seeing = await follow('/timeline/stream');
  await note(id, 'a note of staging');
  await seeing.until(() => seeing.lines.length === 1);
  // It comes to the next thing it may see, and to no line before it.
  const { id: own } = await stage.request((await stage.family({ environment: 'production' })).id);
  await blind.until(() => blind.lines.length > 0);
  expect(new Set(blind.lines.map(({ rotation }) => rotation))).toEqual(new Set([own]));
  blind.cut();
  seeing.cut();
});

it('ends when its token is revoked, and says so', async () => {
  const { id } = await stage.request((await stage.family()).id);
  const viewer = await service.tokenWith(['viewer']);
  const one = await follow(`/rotations/${id}/timeline/stream`, { token: viewer.token });
  const whole = await follow('/timeline/stream', { token: viewer.token });
  expect((await service.call('DELETE', `/api/v1/tokens/${viewer.id}`)).status).toBeLessThan(300);
  await Promise.all([one.ended, whole.ended]);
  for (const { events } of [one, whole]) {
    expect(events.at(-1)?.type).toBe('end');
    expect(events.at(-1)?.data).toContain('access.unauthenticated');
  }
  const again = await service.call('GET', '/api/v1/timeline/stream', { token: viewer.token });
  expect(again.status).toBe(401);
});

it.each(['-1', 'x', '1.5', ' ', '9'.repeat(16)])('refuses the Last-Event-ID %j', async (last) => {
  const { status, body } = await service.call('GET', '/api/v1/timeline/stream', {
    headers: { 'last-event-id': last },
  });
  expect([status, body['code']]).toEqual([400, 'query.invalid']);
});

it('refuses a place the log has not reached: it is another log, and a gap would go unseen', async () => {
  const treeSize = await service.keyturn.log.treeSize();
  const beyond = await service.call('GET', '/api/v1/timeline/stream', {
    headers: { 'last-event-id': String(treeSize + 100) },
  });
  expect([beyond.status, beyond.body['code']]).toEqual([422, 'timeline.beyond-log']);
  const after = await service.call('GET', `/api/v1/timeline/stream?after=${treeSize + 100}`);
  expect(after.status).toBe(422);
});

it('answers a HEAD by its headers, and keeps nothing open for it', async () => {
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const head = httpRequest(
      `${service.url}/api/v1/timeline/stream`,
      { method: 'HEAD', headers: { authorization: `Bearer ${service.token}` } },
      (response) => {
        response.resume();
        resolve(response.statusCode);
      },
    );
    head.on('error', reject);
    head.end();
  });
  expect(status).toBe(200);
});
