import { jest } from '@jest/globals';
import type { RotationViewJson } from '#rotation';
import { readPdf } from '../../libs/evidence/src/testing/pdf-reader.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
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
