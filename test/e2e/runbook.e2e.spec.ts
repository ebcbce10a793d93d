import { jest } from '@jest/globals';
import type { FamilyView } from '#rotation';
import { readPdf } from '../../libs/evidence/src/testing/pdf-reader.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { bodyOf, policyBody, CONSUMERS, Stage } from './support.js';

/** The pages for the wall, over HTTP: from the record as it is, for whom may see the family, and for nobody else. */

jest.setTimeout(60_000);

const PAGES = ['runbook.pdf', 'emergency-card.pdf'] as const;

let service: StartedService;
let stage: Stage;
let family: FamilyView;

async function page(
  path: string,
  token = service.token,
): Promise<{ response: Response; text: string; pdf: Buffer }> {
  const response = await fetch(`${service.url}/api/v1/families/${path}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const pdf = Buffer.from(await response.arrayBuffer());
  if (response.status !== 200) throw new Error(`${response.status}: ${pdf.toString('utf8')}`);
  const { pages } = readPdf(pdf);
  expect(pages).toHaveLength(1);
  return { response, text: pages.join(' '), pdf };
}

beforeAll(async () => {
  service = await startService();
  stage = await Stage.on(service);
  const policy = bodyOf<{ id: string }>(
    await stage.post('/policies', policyBody(stage.now + 3_600_000, { name: 'ninety days' })),
    201,
  );
  bodyOf(await stage.post(`/policies/${policy.id}/approve`, {}, { token: stage.approver }), 200);
  service.clock.advance(2 * 3_600_000);
  // Its page is to be incomplete: it was rotated by a deviation.
  const deviation = { reason: 'the page is written next week', until: '2026-12-31T00:00:00.000Z' };
  family = await stage.familyWithKey({}, CONSUMERS, { deviation });
});

afterAll(async () => {
  await service.stop();
});

it('the runbook shows the record: version, due date, policy, windows, and what is missing', async () => {
  const { response, text } = await page(`${family.id}/runbook.pdf`);
  expect(response.headers.get('content-type')).toBe('application/pdf');
  expect(response.headers.get('cache-control')).toBe('no-store');
  expect(response.headers.get('content-disposition')).toContain(`runbook-${family.id.slice(0, 8)}.pdf`);
  expect(text).toContain(`tree size ${response.headers.get('keyturn-tree-size') ?? '?'}`);
  expect(text.replaceAll(' ', '')).toContain(family.current ?? 'no version');
  expect(text).toContain('Policy ninety days');
  expect(text).toMatch(/Binding: mobile-app of .* caches its keys for P1D/u);
  expect(text).toContain('2 of 9 fields are complete');
  expect(text).toContain('Missing: nobody has written it down.');
  const changed = { scope: 'signs the sessions', rollbackPlan: 'one command' };
  bodyOf(
    await service.call('PUT', `/api/v1/families/${family.id}/runbook`, {
      body: changed,
      headers: { 'idempotency-key': 'a runbook' },
    }),
    200,
  );
  const after = (await page(`${family.id}/runbook.pdf`)).text;
  expect(after).toContain('signs the sessions');
  expect(after).toContain('4 of 9 fields are complete');
});

it('is the same bytes at the same instant and tree size, and says so when it is overdue', async () => {
  const first = await page(`${family.id}/runbook.pdf`);
  expect((await page(`${family.id}/runbook.pdf`)).pdf.equals(first.pdf)).toBe(true);
  expect((await page(`${family.id}/runbook.pdf?paper=letter`)).pdf.equals(first.pdf)).toBe(false);
  service.clock.advance(100 * 86_400_000);
  expect((await page(`${family.id}/runbook.pdf`)).text).toMatch(/overdue by \d+ days/u);
});

it('while a rotation runs, the windows are those of its plan', async () => {
  const { id } = await stage.request(family.id);
  const { text } = await page(`${family.id}/runbook.pdf`);
  expect(text).toContain(`rotation ${id.slice(0, 8)} is under way`);
  expect(text).toMatch(/Binding: mobile-app of/u);
  bodyOf(await stage.post(`/rotations/${id}/abandon`, { reason: 'only to see' }), 200);
  await stage.look(id);
});

it('the card names the very document that is served, and the path of its file', async () => {
  const { text } = await page(
    `${family.environment}%2F${encodeURIComponent(family.name)}/emergency-card.pdf`,
  );
  expect(text).toContain(`custody/jwks/${family.id}.json`);
  expect(text.replaceAll(' ', '')).toContain(family.current ?? 'no version');
  const file = `${service.directory}/data/custody/jwks/${family.id}.json`;
  const { readFileSync } = await import('node:fs');
  const served = await service.call('GET', `/jwks/${family.id}`);
  expect(readFileSync(file, 'utf8')).toBe(served.text);
});

it('of a family that is only watched, and of one without consumers, is a page all the same', async () => {
  const watched = await stage.family(
    { mode: 'tracked', authority: { kind: 'nobody' }, backEnd: undefined, algorithm: undefined },
    [],
  );
  const lonely = await stage.family({}, []);
  for (const { id } of [watched, lonely]) {
    for (const path of PAGES) expect((await page(`${id}/${path}`)).text).toContain('Missing');
    expect((await page(`${id}/runbook.pdf`)).text).toContain('Not computed:');
  }
});

describe.each(PAGES)('%s is refused', (path) => {
  const refused = async (query: string, token?: string | null) => {
    const options = token === undefined ? {} : { token };
    const { status, body } = await service.call('GET', `/api/v1/families/${query}`, options);
    return [status, body['code']];
  };

  it('to a token whose scope does not reach the family, by id and by name', async () => {
    for (const scope of [
      { environments: ['production'], teams: 'all' },
      { environments: 'all', teams: ['another'] },
    ]) {
      const { token } = await service.tokenWith(['viewer'], { scope });
      const name = `${family.environment}%2F${encodeURIComponent(family.name)}`;
      for (const reference of [family.id, name]) {
        expect(await refused(`${reference}/${path}`, token)).toEqual([403, 'access.out-of-scope']);
      }
    }
  });

  it('to nobody, and to an agent', async () => {
    expect(await refused(`${family.id}/${path}`, null)).toEqual([401, 'access.unauthenticated']);
    const { token } = await service.tokenWith(['agent']);
    expect(await refused(`${family.id}/${path}`, token)).toEqual([403, 'access.forbidden']);
  });

  it('on another sheet, with another question, of a family nobody knows', async () => {
    expect(await refused(`${family.id}/${path}?paper=a3`)).toEqual([400, 'query.invalid']);
    expect(await refused(`${family.id}/${path}?size=a4`)).toEqual([400, 'query.invalid']);
    expect(await refused(`00000000-0000-4000-8000-000000000000/${path}`)).toEqual([404, 'family.not-found']);
  });
});
