import { readFileSync } from 'node:fs';
import { jest } from '@jest/globals';
import { formatInstant } from '#eventlog';
import type { RotationViewJson } from '#rotation';
import { readPdf } from '../../libs/evidence/src/testing/pdf-reader.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { bodyOf, Stage } from './support.js';

/** What was known then: the first TREESIZE events of the log, and nothing of what came after them. */

jest.setTimeout(60_000);

interface Timeline {
  readonly entries: readonly {
    readonly treeSize: number;
    readonly type: string;
    readonly at: string;
    readonly instantNotRecorded: boolean;
  }[];
  readonly known: number | null;
  readonly treeSize: number;
}

let service: StartedService;
let stage: Stage;
let rotation: string;
let whole: Timeline['entries'];

const timeline = async (query: string): Promise<Timeline> =>
  bodyOf<Timeline>(await stage.get(`/rotations/${rotation}/timeline${query}`), 200);

beforeAll(async () => {
  service = await startService();
  stage = await Stage.on(service);
  const family = await stage.familyWithKey();
  const { id } = await stage.request(family.id);
  rotation = id;
  await stage.driveTo(id, 'completed');
  await stage.look(id);
  whole = (await timeline('')).entries;
});

afterAll(async () => {
  await service.stop();
});

it('is a prefix of the whole at every tree size, also between two events of the rotation', async () => {
  expect(whole.length).toBeGreaterThan(15);
  const sizes = whole.map((entry) => entry.treeSize);
  expect(sizes.some((size, index) => index > 0 && size > (sizes[index - 1] ?? 0) + 1)).toBe(true);
  for (let known = sizes[0] ?? 0; known <= (sizes.at(-1) ?? 0); known += 1) {
    const then = await timeline(`?known=${known}`);
    expect(then.entries).toEqual(whole.filter((entry) => entry.treeSize <= known));
    expect(then).toMatchObject({ known, treeSize: known });
  }
  const size = await service.keyturn.log.treeSize();
  expect((await timeline(`?known=${size}`)).entries).toEqual(whole);
  expect((await timeline('')).known).toBeNull();
});

it('judges windows and targets by what was known then', async () => {
  const accepted = whole.find(({ type }) => type === 'DualAcceptDeployed');
  const asked = async (known: number): Promise<unknown> =>
    (await stage.get(`/rotations/${rotation}/timeline?known=${known}`)).body['windows'];
  expect(await asked((accepted?.treeSize ?? 0) - 1)).not.toHaveProperty('accept.startedAt');
  expect(await asked(accepted?.treeSize ?? 0)).toHaveProperty('accept.startedAt');
});

it('with an instant: what was known then of what was so then', async () => {
  const middle = whole[Math.floor(whole.length / 2)];
  const at = middle?.at ?? '';
  const known = whole.at(-2)?.treeSize ?? 0;
  const both = (await timeline(`?known=${known}&at=${at}`)).entries;
  expect(both).toEqual(whole.filter((entry) => entry.treeSize <= known && entry.at <= at));
  expect(both.length).toBeGreaterThan(2);
  const early = whole[3]?.treeSize ?? 0;
  const late = formatInstant(stage.now);
  expect((await timeline(`?known=${early}&at=${late}`)).entries).toEqual(whole.slice(0, 4));
});

it('an imported fact was so long before it was known', async () => {
  const content = readFileSync('examples/stockease.json', 'utf8');
  bodyOf(await stage.post('/imports', { name: 'stockease.json', content }), 201);
  const { items } = bodyOf<{ items: readonly RotationViewJson[] }>(
    await stage.get('/rotations?limit=500'),
    200,
  );
  const imported = items.find(
    ({ imported: taken, strategy, family }) =>
      taken && strategy === 'graceful' && family.qualifiedName === 'production/StockEase session JWT',
  );
  const ask = async (query: string): Promise<Timeline['entries']> =>
    bodyOf<Timeline>(await stage.get(`/rotations/${imported?.id ?? ''}/timeline${query}`), 200).entries;
  const all = await ask('');
  const then = '2025-11-14T00:00:00.000Z';
  const so = all.filter(({ at, instantNotRecorded }) => !instantNotRecorded && at <= then);
  expect(so.length).toBeGreaterThan(1);
  expect(await ask(`?at=${then}`)).toEqual(so);
  // Known only since the import, event by event.
  const known = so[0]?.treeSize ?? 0;
  expect(await ask(`?at=${then}&known=${known}`)).toEqual(so.slice(0, 1));
});

describe('refused with a reason', () => {
  const refused = async (query: string, path = 'timeline') => {
    const answer = await stage.get(`/rotations/${rotation}/${path}${query}`);
    const errors = answer.body['errors'];
    const field = Array.isArray(errors) ? (errors[0] as { field: string }).field : undefined;
    return [answer.status, answer.body['code'], field];
  };

  it.each(['zero', '0', '-1', '1e3', '0x10', '3.5', '', ' 7', '9999999999999999'])(
    'what is no tree size: "%s"',
    async (text) => {
      const query = `?known=${encodeURIComponent(text)}`;
      expect(await refused(query)).toEqual([400, 'query.invalid', '/known']);
      expect(await refused(query, 'record.pdf')).toEqual([400, 'query.invalid', '/known']);
    },
  );

  it('more than the log holds', async () => {
    const more = (await service.keyturn.log.treeSize()) + 1;
    for (const path of ['timeline', 'record.pdf']) {
      expect(await refused(`?known=${more}`, path)).toEqual([422, 'timeline.beyond-log', '/known']);
    }
  });

  it('before the rotation began', async () => {
    const before = (whole[0]?.treeSize ?? 0) - 1;
    for (const path of ['timeline', 'record.pdf']) {
      expect(await refused(`?known=${before}`, path)).toEqual([422, 'timeline.before-beginning', '/known']);
    }
  });

  it('an instant before the beginning, of what was known then', async () => {
    const known = whole[2]?.treeSize ?? 0;
    expect(await refused(`?known=${known}&at=2020-01-01T00:00:00.000Z`)).toEqual([
      422,
      'timeline.before-beginning',
      '/at',
    ]);
  });

  it('a token whose scope does not reach the family', async () => {
    const scope = { environments: ['production'], teams: 'all' };
    const { token } = await service.tokenWith(['viewer'], { scope });
    for (const path of ['timeline', 'record.pdf']) {
      const { status, body } = await service.call(
        'GET',
        `/api/v1/rotations/${rotation}/${path}?known=${whole[0]?.treeSize ?? 0}`,
        { token },
      );
      expect([status, body['code']]).toEqual([403, 'access.out-of-scope']);
    }
  });
});

describe('the record on paper', () => {
  const paper = async (query: string): Promise<Buffer> => {
    const response = await fetch(`${service.url}/api/v1/rotations/${rotation}/record.pdf${query}`, {
      headers: { authorization: `Bearer ${service.token}` },
    });
    expect(response.status).toBe(200);
    return Buffer.from(await response.arrayBuffer());
  };

  it('as known then says its tree size on every page, and nothing of what came later', async () => {
    const accepted = whole.find(({ type }) => type === 'DualAcceptDeployed');
    const known = (accepted?.treeSize ?? 0) + 1;
    const { pages } = readPdf(await paper(`?known=${known}`));
    for (const page of pages) expect(page).toContain(`tree size ${known} `);
    const text = pages.join(' ');
    expect(text).toContain('In progress');
    expect(text).not.toContain('Emission switched');
    const all = readPdf(await paper('')).pages.join(' ');
    expect(all).toContain('Completed');
    expect(all.length).toBeGreaterThan(text.length);
  });

  it('is the same bytes for the same tree size, whatever was recorded since', async () => {
    const known = whole.at(-1)?.treeSize ?? 0;
    const before = await paper(`?known=${known}`);
    bodyOf(await stage.post(`/rotations/${rotation}/notes`, { note: 'seen later' }), 200);
    service.clock.advance(3_600_000);
    expect((await paper(`?known=${known}`)).equals(before)).toBe(true);
    expect((await paper('')).equals(before)).toBe(false);
  });
});
