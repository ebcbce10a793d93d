import { interceptFailpoint } from '#platform';
import { ManualClock } from '#platform/testing';
import { TERMS_WITHOUT_POLICY } from '#rotation';
import { World } from '../support/world.js';

const DAY = 86_400_000;

/** A crash between the slot and the rotation's own stream moves no duty. */
describe('an opening that is completed late', () => {
  let clock: ManualClock;
  let world: World;
  let family: string;

  beforeEach(async () => {
    clock = new ManualClock('2026-03-02T09:00:00.000Z');
    world = await World.open({ clock });
    family = (await world.registerFamily({ name: 'session', algorithm: 'ES256', artefactLife: 'PT1H' })).id;
    await world.registerConsumer(family, { name: 'api', roles: ['emitter', 'verifier'], cacheTtl: 'PT5M' });
    await world.firstVersion(family);
  });
  afterEach(() => world.close());

  it('owes an emergency’s approval and review from its declaration', async () => {
    const died = new Error('died here');
    const disarm = interceptFailpoint('seam:slot-opened', () => {
      throw died;
    });
    await expect(world.emergency(family)).rejects.toBe(died);
    disarm();
    const declaredAt = clock.now();
    const rotation = (await world.family(family)).slot?.rotation ?? '';
    clock.advance(2 * DAY);
    await world.runner.advance(rotation, family);
    expect(TERMS_WITHOUT_POLICY.emergency).toMatchObject({ approvalWithin: 'P1D', reviewWithin: 'P1D' });
    expect((await world.rotation(rotation)).emergency).toMatchObject({
      approvalDueAt: declaredAt + DAY,
      reviewDueAt: declaredAt + DAY,
    });
  });
});
