import { EventReader, type ServerSentEvent } from './event-reader.js';
import { ROTATION, ROTATION_ID } from './testing/examples.js';
import { run, TOKEN, type Ran } from './testing/run-in.js';
import { problem, startStandIn, type StandInRoute, type StandInService } from './testing/stand-in-service.js';

const STREAM = `GET /rotations/${ROTATION_ID}/timeline/stream`;
const ONE = `GET /rotations/${ROTATION_ID}`;

let standIn: StandInService | undefined;
afterEach(async () => {
  await standIn?.close();
  standIn = undefined;
});

const line = (treeSize: number, more = {}) => ({
  eventId: `event-${treeSize}`,
  treeSize,
  type: 'NoteAdded',
  at: '2026-03-01T10:00:00.000Z',
  recordedAt: '2026-03-01T10:00:00.000Z',
  instantNotRecorded: false,
  title: `fact ${treeSize}`,
  detail: '',
  actorName: 'Ada',
  provenance: 'performed',
  kind: 'note',
  ...more,
});

const frame = (treeSize: number): string => `id: ${treeSize}\ndata: ${JSON.stringify(line(treeSize))}\n\n`;
const end = (code: string): string => `event: end\ndata: ${JSON.stringify({ code, detail: 'it is so' })}\n\n`;
const streamed = (...frames: readonly string[]): StandInRoute => ({
  raw: `retry: 1\nid: 0\n\n${frames.join('')}`,
  headers: { 'content-type': 'text/event-stream' },
});

async function follow(
  stream: StandInRoute,
  interruptAfter: number,
  more: readonly string[] = [],
): Promise<Ran> {
  standIn = await startStandIn({ [ONE]: { body: ROTATION }, [STREAM]: stream });
  const argv = ['timeline', ROTATION_ID, '--follow', ...more];
  const ran = await run(argv, { url: standIn.url, interruptAfter });
  expect(ran.out + ran.err).not.toContain(TOKEN);
  return ran;
}

const answers =
  (...all: readonly StandInRoute[]): StandInRoute =>
  (times) => {
    const route = all[Math.min(times, all.length - 1)] ?? {};
    return typeof route === 'function' ? route(times) : route;
  };

const factsIn = ({ out }: Ran): readonly string[] => out.match(/fact \d+/g) ?? [];

describe('timeline --follow', () => {
  it('goes on where it was cut off, until Ctrl-C: nothing missed, nothing twice', async () => {
    const half = frame(3).slice(0, 20);
    const ran = await follow(
      answers(
        streamed(frame(1), frame(2), half),
        streamed(frame(3)),
        streamed(': alive\nid: 9\n\n'),
        streamed(),
      ),
      4,
    );
    expect(ran.code).toBe(130);
    expect(factsIn(ran)).toEqual(['fact 1', 'fact 2', 'fact 3']);
    const places = standIn?.seen.slice(1).map(({ headers }) => headers['last-event-id']);
    // The half of an event never was one; a sign of life moves the place, too.
    expect(places).toEqual([undefined, '2', '3', '9']);
    expect(ran.err).toContain('opened again where it was');
  });

  it('comes back when the service stopped, also while it does not answer', async () => {
    const down: StandInRoute = { status: 503, body: problem(503, 'service.stopping', '…') };
    const ran = await follow(
      answers(streamed(frame(1), end('service.stopping')), down, down, streamed(frame(2))),
      4,
    );
    expect(factsIn(ran)).toEqual(['fact 1', 'fact 2']);
    // It waits longer each time nobody answers.
    expect(ran.slept.slice(0, 3)).toEqual([500, 2_000, 5_000]);
  });

  it('does not come back where it may not', async () => {
    const ran = await follow(streamed(frame(1), end('access.unauthenticated')), 9);
    expect([ran.code, ran.slept]).toEqual([1, []]);
    expect(ran.err).toContain('access.unauthenticated');
  });

  it('ends at once where nobody ever answered as a stream', async () => {
    expect((await follow({ status: 503, body: problem(503, 'service.not-ready', '…') }, 9)).code).toBe(3);
    await standIn?.close();
    expect((await follow({ body: { hello: 'there' } }, 9)).code).toBe(3);
  });

  it('looks again and again where the service knows no stream', async () => {
    const entries = (...sizes: readonly number[]) => ({
      body: { entries: sizes.map((size) => line(size)), targets: [], treeSize: sizes.at(-1) },
    });
    standIn = await startStandIn({
      [ONE]: { body: ROTATION },
      [STREAM]: { status: 404, body: problem(404, 'route.not-found', 'nothing here') },
      [`GET /rotations/${ROTATION_ID}/timeline`]: (times) => (times === 0 ? entries(1, 2) : entries(1, 2, 3)),
    });
    const ran = await run(['timeline', ROTATION_ID, '--follow'], { url: standIn.url, interruptAfter: 3 });
    expect([ran.code, factsIn(ran)]).toEqual([130, ['fact 1', 'fact 2', 'fact 3']]);
  });

  it('writes one JSON value a line', async () => {
    const ran = await follow(streamed(frame(1), frame(2)), 1, ['--json']);
    const lines = ran.out
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text) as { treeSize?: number });
    expect(lines.slice(0, 2).map(({ treeSize }) => treeSize)).toEqual([1, 2]);
  });

  it('follows everything from a place on, and says whose each line is', async () => {
    const family = { id: 'f', qualifiedName: 'production/session-jwt' };
    const raw = `id: 8\ndata: ${JSON.stringify(line(8, { family, rotation: ROTATION_ID }))}\n\n`;
    standIn = await startStandIn({
      'GET /timeline/stream': { raw, headers: { 'content-type': 'text/event-stream' } },
    });
    const ran = await run(['timeline', '--follow', '--after', '7'], { url: standIn.url, interruptAfter: 1 });
    expect(standIn.seen[0]?.path).toBe('/api/v1/timeline/stream?after=7');
    expect(ran.out).toContain('production/session-jwt');
    expect((await run(['timeline'])).code).toBe(2);
  });
});

describe('taking a stream apart', () => {
  const text =
    ': hello\r\nretry: 5\r\n\r\nid: 1\ndata: a\ndata:  b\n\nevent: end\rdata\r\rid: 2\r\ndata:ü€\r\n\r\ndata: cut off';
  const all = (parts: readonly string[]): readonly ServerSentEvent[] => {
    const reader = new EventReader();
    return parts.flatMap((part) => [...reader.read(part)]);
  };
  const whole = all([text]);

  it('reads fields as the HTML standard says', () => {
    expect(whole).toEqual([
      { type: 'message', data: '', lastEventId: undefined },
      { type: 'message', data: 'a\n b', lastEventId: '1' },
      { type: 'end', data: '', lastEventId: '1' },
      { type: 'message', data: 'ü€', lastEventId: '2' },
    ]);
  });

  it('wherever it is cut', () => {
    for (let first = 0; first <= text.length; first += 1) {
      for (let second = first; second <= text.length; second += 1) {
        const parts = [text.slice(0, first), text.slice(first, second), text.slice(second)];
        expect(all(parts)).toEqual(whole);
      }
    }
  });
});
