import { interceptFailpoint } from '#platform';
import { ManualClock } from '#platform/testing';
import { CLAIM_GRACE_MS, claimStream, sweepClaims } from '#rotation';
import { World } from '../support/world.js';

/** A command that dies between a claim and the fact that uses it leaves a name nobody can take: the sweep frees it. */
describe('the sweep of claims', () => {
  const died = new Error('died here');
  let clock: ManualClock;
  let world: World;

  beforeEach(async () => {
    clock = new ManualClock('2026-03-02T09:00:00.000Z');
    world = await World.open({ clock });
  });

  afterEach(() => world.close());

  async function dieAt(failpoint: string, work: () => Promise<unknown>): Promise<void> {
    const disarm = interceptFailpoint(failpoint, () => {
      throw died;
    });
    try {
      await expect(work()).rejects.toBe(died);
    } finally {
      disarm();
    }
    await world.readModel.caughtUp();
  }

  const holderOf = async (
    kind: 'family-name' | 'object',
    environment: string,
    value: string,
  ): Promise<string | undefined> =>
    (await world.ledger.claim(claimStream(world.ledger.logId, kind, environment, value))).state.holder;

  it('frees name and object of a family that was never registered, once the command can no longer come back', async () => {
    await dieAt('seam:object-claimed', () => world.registerFamily({ name: 'lost', algorithm: 'ES256' }));
    expect(await holderOf('family-name', 'production', 'lost')).toBeDefined();

    clock.advance(CLAIM_GRACE_MS - 1);
    expect(await sweepClaims(world.ledger, world.readModel)).toBe(0);
    clock.advance(1);
    expect(await sweepClaims(world.ledger, world.readModel)).toBe(2);

    expect(await holderOf('family-name', 'production', 'lost')).toBeUndefined();
    expect(await holderOf('object', '', 'local:keys/lost')).toBeUndefined();
    await expect(world.registerFamily({ name: 'lost', algorithm: 'ES256' })).resolves.toMatchObject({
      changed: true,
    });
  });

  it('leaves a claim alone whose fact came', async () => {
    const { stream } = await world.registerFamily({ name: 'kept', algorithm: 'ES256' });
    await world.readModel.caughtUp();
    clock.advance(10 * CLAIM_GRACE_MS);
    expect(await sweepClaims(world.ledger, world.readModel)).toBe(0);
    expect(await holderOf('family-name', 'production', 'kept')).toBe(stream);
  });

  it('frees a claim once only', async () => {
    await dieAt('seam:family-claimed', () => world.registerFamily({ name: 'late', algorithm: 'ES256' }));
    clock.advance(2 * CLAIM_GRACE_MS);
    expect(await sweepClaims(world.ledger, world.readModel)).toBe(1);
    await world.readModel.caughtUp();
    expect(await sweepClaims(world.ledger, world.readModel)).toBe(0);
  });
});
