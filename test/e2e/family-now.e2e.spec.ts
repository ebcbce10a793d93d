import { jest } from '@jest/globals';
import type { FamilyView } from '#rotation';
import { run } from '../../apps/cli/src/testing/run-in.js';
import { startService, type StartedService } from '../../apps/service/src/testing/started-service.js';
import { bodyOf, Stage } from './support.js';

/** What somebody in an incident reads of a family is how its versions are now, not how the last rotation left them. */

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

async function shown(id: string): Promise<Readonly<Record<string, readonly [boolean, number, boolean]>>> {
  const { versions }: FamilyView = bodyOf(await stage.get(`/families/${id}`), 200);
  return Object.fromEntries(
    versions.map(({ versionId, accepted, emittingShare = -1, contained }) => [
      versionId,
      [accepted, emittingShare, contained],
    ]),
  );
}

it('in the middle of a rotation, and while a version is contained', async () => {
  const { id, current } = await stage.familyWithKey();
  const old = current ?? '';
  const rotation = await stage.request(id);
  const { incoming } = await stage.driveTo(rotation.id, 'draining');
  expect(await shown(id)).toEqual({ [old]: [true, 0, false], [incoming ?? '']: [true, 100, false] });
  const listed: { readonly items: readonly FamilyView[] } = bodyOf(await stage.get('/families'), 200);
  expect(listed.items.find((each) => each.id === id)?.current).toBe(incoming);

  const { id: containment } = bodyOf<{ readonly id: string }>(
    await stage.post(`/families/${id}/containments`, { versions: [old], reason: 'seen in a log' }),
    201,
  );
  await stage.runner.advanceContainment(containment, id);
  await service.keyturn.readModel.caughtUp();
  expect((await shown(id))[old]).toEqual([true, 0, true]);
});

it('a family that cannot overlap has no windows, and says so', async () => {
  const { id } = await stage.family({ overlap: 'none' });
  expect((await stage.get(`/families/${id}/windows`)).status).toBe(200);
  const { code, out } = await run(['windows', id], {
    url: service.url,
    env: { KEYTURN_TOKEN: service.token },
    now: stage.now,
  });
  expect([code, out]).toEqual([0, expect.stringContaining('No window: this family cannot overlap')]);
});
