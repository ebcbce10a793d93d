import { ManualClock } from '#platform/testing';
import { rotationStream } from '#rotation';
import { World } from '../support/world.js';

/** What a back end answers may be no fact that can be recorded: that is a person's matter, not a turn without end. */
describe('what can never be recorded', () => {
  let world: World;
  let isOverlong = true;

  beforeEach(async () => {
    isOverlong = true;
    world = await World.open({
      clock: new ManualClock('2026-03-02T09:00:00.000Z'),
      before: (real) => {
        const generate = real.generate.bind(real);
        const observe = real.observe.bind(real);
        const said = <Version extends { readonly fingerprint: string }>(version: Version): Version =>
          isOverlong ? { ...version, fingerprint: 'f'.repeat(201) } : version;
        real.generate = async (...asked) => said(await generate(...asked));
        real.observe = async (...asked) => {
          const seen = await observe(...asked);
          return { ...seen, versions: seen.versions.map(said) };
        };
        return real;
      },
    });
  });
  afterEach(() => world.close());

  it('suspends with its reason and writes no more; a retry goes on once it can be', async () => {
    const { id: family } = await world.registerFamily({
      name: 'session',
      algorithm: 'ES256',
      artefactLife: 'PT1H',
    });
    await world.registerConsumer(family, { name: 'api', roles: ['emitter', 'verifier'], cacheTtl: 'PT5M' });
    const { id } = await world.request(family);
    await world.approve(id);
    await world.runner.advance(id, family);
    const { suspended } = await world.rotation(id);
    expect(suspended?.code).toBe('record.impossible');
    expect(suspended?.reason).toContain('fingerprint');
    const written = (await world.facts(rotationStream(id))).length;
    for (let look = 0; look < 5; look += 1) {
      const wake = await world.runner.advance(id, family);
      expect(wake.finished ? 'finished' : wake.waitsFor).toContain('a person');
    }
    expect(await world.facts(rotationStream(id))).toHaveLength(written);
    isOverlong = false;
    await world.ask(id, { type: 'retry' });
    await world.runner.advance(id, family);
    const after = await world.rotation(id);
    expect(after.suspended).toBeUndefined();
    expect(after.accepted).toBeDefined();
  });
});
