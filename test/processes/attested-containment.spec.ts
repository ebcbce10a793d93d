import { ManualClock } from '#platform/testing';
import { FaultyBackEnd } from '../support/faulty-back-end.js';
import { World } from '../support/world.js';

const MINUTE = 60_000;

/** From when on nobody trusts a compromised version: a bound rests on what the back end did, not on what was said of it. */
describe('an emergency whose containment', () => {
  let clock: ManualClock;
  let world: World;
  let faults: FaultyBackEnd;
  let family: string;
  let old: string;

  beforeEach(async () => {
    clock = new ManualClock('2026-03-02T09:00:00.000Z');
    world = await World.open({ clock, before: (real) => (faults = new FaultyBackEnd(real)) });
    family = (await world.registerFamily({ name: 'session', algorithm: 'ES256', artefactLife: 'PT1H' })).id;
    await world.registerConsumer(family, { name: 'api', roles: ['emitter', 'verifier'], cacheTtl: 'PT30M' });
    old = await world.firstVersion(family);
  });
  afterEach(() => world.close());

  async function revocation(attested: boolean): Promise<{ readonly sinceContained: number }> {
    faults.away = attested;
    const { id } = await world.emergency(family, { compromisedVersions: [old], contain: true });
    await world.advance(id);
    const containment = (await world.rotation(id)).emergency?.containment ?? '';
    if (attested) {
      await world.askContainment(containment, {
        type: 'attest',
        step: 'contain',
        attestation: { evidence: { note: 'blocked at the gateway' } },
      });
      clock.advance(10 * MINUTE);
      faults.away = false;
    }
    const { state } = await world.ledger.containment(containment);
    await world.leapToEnd(id);
    const { revoked } = await world.rotation(id);
    return { sinceContained: (revoked?.trustEndsAt ?? 0) - (state.trustEndsAt ?? 0) };
  }

  it('the back end applied: the bound of the containment stands', async () => {
    expect(await revocation(false)).toEqual({ sinceContained: 0 });
  });

  it('people attested: the bound counts from the revocation', async () => {
    expect((await revocation(true)).sinceContained).toBeGreaterThanOrEqual(10 * MINUTE);
  });
});
