import { ManualClock } from '#platform/testing';
import { containmentStream, type Wake } from '#rotation';
import { World } from '../support/world.js';

/** The runner reads the containments that the family's suspicions name: no rotation leaves a denied version alone in use. */
describe('a planned rotation beside a containment', () => {
  let clock: ManualClock;
  let world: World;
  let family: string;
  let old: string;
  let rotation: string;
  let incoming: string;

  beforeEach(async () => {
    clock = new ManualClock('2026-03-02T09:00:00.000Z');
    world = await World.open({ clock });
    family = (await world.registerFamily({ name: 'session', algorithm: 'ES256', artefactLife: 'PT1H' })).id;
    await world.registerConsumer(family, { name: 'api', roles: ['emitter', 'verifier'], cacheTtl: 'PT5M' });
    old = await world.firstVersion(family);
    rotation = (await world.request(family)).id;
    await world.approve(rotation);
    incoming = (await world.rotation(rotation)).plan?.incoming ?? '';
  });
  afterEach(() => world.close());

  const served = (): readonly string[] => world.backEnd.acceptedKids('keys/session');
  /** Until it waits with no time, or `reached`. */
  const leap = async (reached: () => Promise<boolean>): Promise<Wake> => {
    for (let turn = 0; turn < 200; turn += 1) {
      const wake = await world.advance(rotation);
      if (wake.finished || (await reached())) return wake;
      if ((await world.confirmAsked(rotation)) > 0) continue;
      if (wake.until === undefined) return wake;
      clock.advance(Math.max(0, wake.until - clock.now()));
    }
    throw new Error('it does not rest');
  };
  const contain = async (version: string): Promise<string> => {
    const { id } = await world.contain(family, [version]);
    await world.runner.advanceContainment(id, family);
    return id;
  };

  it('holds the revocation, is rolled back, and the cleared version is lifted afterwards', async () => {
    await leap(async () => (await world.rotation(rotation)).phase === 'draining');
    const containment = await contain(incoming);
    const wake = await leap(async () => false);
    expect(wake).toMatchObject({ finished: false });
    expect(wake.finished ? '' : wake.waitsFor).toContain(`${incoming} is contained on suspicion`);
    expect(served()).toEqual([old]);
    await world.rollback(rotation);
    await leap(async () => false);
    expect((await world.rotation(rotation)).phase).toBe('rolled-back');
    expect(served()).toEqual([old]);
    await world.reviseFamily(family, { type: 'ClearCompromise', versions: [incoming], reason: 'a test key' });
    await world.askContainment(containment, { type: 'lift', reason: 'it was a test key' });
    await world.runner.advanceContainment(containment, family);
    expect((await world.ledger.containment(containment)).state.status).toBe('lifted');
  });

  it('names the containment among what the intent was decided on', async () => {
    const containment = await contain(old);
    await leap(async () => (await world.rotation(rotation)).accepted !== undefined);
    const started = (await world.facts(rotation)).find((event) => event.type === 'StepStarted');
    expect(started?.data).toMatchObject({ view: { [containmentStream(containment)]: expect.any(Number) } });
    const deployed = (await world.facts(rotation)).find((event) => event.type === 'DualAcceptDeployed');
    expect(deployed?.data).toMatchObject({ versions: [incoming] });
  });

  it('refuses the way back to a version that is contained', async () => {
    await leap(async () => (await world.rotation(rotation)).switched !== undefined);
    await contain(old);
    await expect(world.rollback(rotation)).rejects.toMatchObject({ code: 'rotation.old-contained' });
    expect((await world.rotation(rotation)).rollback).toBeUndefined();
  });
});
