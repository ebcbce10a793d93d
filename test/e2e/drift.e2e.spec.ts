import { randomUUID } from 'node:crypto';
import { jest } from '@jest/globals';
import { InventoryReconciler } from '#rotation';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { bodyOf, Stage } from './support.js';

jest.setTimeout(120_000);

let service: StartedService;
let stage: Stage;

beforeAll(async () => {
  service = await startService();
  stage = await Stage.on(service);
});

afterAll(async () => {
  await service.stop();
});

interface Shown {
  readonly id: string;
  readonly backEnd: { readonly object: string };
  readonly versions: readonly { readonly versionId: string }[];
  readonly drift: { readonly id: string; readonly differences: readonly string[] } | null;
}

/** Somebody with the keys of the back end makes a version in the family's object, past Keyturn. */
async function strangerMakes({ id, backEnd }: Shown): Promise<string> {
  const versionId = `stranger-${randomUUID().slice(0, 8)}`;
  await service.keyturn.backend.generate(
    {
      object: backEnd.object,
      familyId: id,
      key: `${randomUUID()}/stranger`,
      attemptId: randomUUID(),
      fence: { slot: 10_000, step: 1 },
      signal: new AbortController().signal,
    },
    { versionId, algorithm: 'ES256' },
  );
  await new InventoryReconciler(service.keyturn.ledger, service.keyturn.backEnds).reconcile('local', [id]);
  return versionId;
}

const shown = async (id: string): Promise<Shown> => bodyOf(await stage.get(`/families/${id}`), 200);

async function untilDrift(id: string): Promise<NonNullable<Shown['drift']>> {
  for (let turn = 0; turn < 200; turn += 1) {
    const { drift } = await shown(id);
    if (drift !== null) return drift;
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error('the family never showed its drift');
}

it('is shown, listed, accepted as it was looked at, and on the family’s timeline', async () => {
  const { id } = await stage.familyWithKey();
  const calm = await shown(id);
  expect(calm.drift).toBeNull();
  expect(bodyOf<{ items: unknown[] }>(await stage.get('/families?drift=open'), 200).items).toEqual([]);
  const versionId = await strangerMakes(calm);
  const drift = await untilDrift(id);
  expect(drift.differences).toEqual([`${versionId} was made by nobody on record`]);
  const listed = bodyOf<{ items: Shown[] }>(await stage.get('/families?drift=open'), 200);
  expect(listed.items.map((family) => family.id)).toEqual([id]);
  const path = `/families/${id}/drift/accept`;
  for (const [body, status, field] of [
    [{ reason: 'known' }, 422, 'drift'],
    [{ drift: 'x', reason: 'known' }, 422, 'drift'],
    [{ drift: drift.id }, 422, 'reason'],
    [{ drift: randomUUID(), reason: 'known' }, 409, 'drift'],
  ] as const) {
    const refused = await stage.post(path, body);
    expect({ status: refused.status, text: refused.text.includes(field) }).toEqual({ status, text: true });
  }
  expect((await shown(id)).drift?.id).toBe(drift.id);
  const accepted = bodyOf<Shown>(await stage.post(path, { drift: drift.id, reason: 'made in a drill' }), 200);
  expect(accepted.drift).toBeNull();
  expect(accepted.versions.map((version) => version.versionId)).toContain(versionId);
  expect((await stage.post(path, { drift: drift.id, reason: 'again' })).status).toBe(409);
  const timeline = await stage.get(`/families/${id}/timeline`);
  expect(timeline.text).toContain('Drift: the back end is not as the record has it');
  expect(timeline.text).toContain('Drift accepted');
});
