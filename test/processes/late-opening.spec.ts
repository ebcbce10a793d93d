import { interceptFailpoint } from '#platform';
import { ManualClock } from '#platform/testing';
import { TERMS_WITHOUT_POLICY, type CommandContext, type Placed } from '#rotation';
import { RequestRotation, RequestRotationHandler } from '#rotation/application';
import { COMPLETE_RUNBOOK } from '../support/runbook.js';
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

  const dying = async (work: () => Promise<unknown>): Promise<void> => {
    const died = new Error('died here');
    const disarm = interceptFailpoint('seam:slot-opened', () => {
      throw died;
    });
    await expect(work()).rejects.toBe(died);
    disarm();
  };
  const types = async (stream: string): Promise<readonly string[]> =>
    (await world.facts(stream)).map((event) => event.type);
  const rows = async (id: string): Promise<readonly unknown[]> => {
    await world.readModel.caughtUp();
    return world.readModel.db.prepare('SELECT id FROM wakeups WHERE id = ?').all(id);
  };

  describe('after an emergency took the slot', () => {
    const wish = { strategy: 'graceful', trigger: 'manual', reason: 'a test' } as const;
    let context: CommandContext;
    let first: string;
    const requesting = (of: CommandContext): Promise<Placed> =>
      new RequestRotationHandler(world.ledger, world.backEnds, {
        policyIds: () => Promise.resolve([]),
      }).execute(new RequestRotation(of, family, wish));

    beforeEach(async () => {
      await world.reviseFamily(family, { type: 'ReviseRunbook', runbook: COMPLETE_RUNBOOK });
      context = world.context();
      await dying(() => requesting(context));
      first = (await world.family(family)).slot?.rotation ?? '';
      const { id } = await world.emergency(family);
      await world.leapToEnd(id);
      expect(await rows(first)).toHaveLength(1);
    });

    const opened = async (): Promise<number> =>
      (await types(`family-${family}`)).filter((type) => type === 'RotationOpened').length;

    it('a repeat is told of the superseded rotation, and opens nothing', async () => {
      const before = await opened();
      const placed = await requesting({ ...context, repeat: [{ stream: `family-${family}` }] });
      expect(placed).toMatchObject({ id: first, changed: false });
      expect((await world.rotation(first)).phase).toBe('superseded');
      expect(await opened()).toBe(before);
      expect(await rows(first)).toEqual([]);
      // Said again, nothing more.
      const facts = await types(`rotation-${first}`);
      await requesting({ ...context, repeat: [{ stream: `family-${family}` }] });
      expect(await types(`rotation-${first}`)).toEqual(facts);
      expect(facts).toEqual(['RotationRequested', 'RotationSuperseded']);
    });

    it('without a repeat the runner ends it, and its wake-up goes', async () => {
      expect(await world.runner.advance(first, family)).toEqual({ finished: true });
      expect(await types(`rotation-${first}`)).toEqual(['RotationRequested', 'RotationSuperseded']);
      expect(await rows(first)).toEqual([]);
    });
  });

  it('declares an emergency that another one overtook before it was declared', async () => {
    await dying(() => world.emergency(family));
    const first = (await world.family(family)).slot?.rotation ?? '';
    const { id } = await world.emergency(family);
    await world.leapToEnd(id);
    expect(await world.runner.advance(first, family)).toEqual({ finished: true });
    expect((await world.rotation(first)).phase).toBe('superseded');
    expect((await world.rotation(first)).emergency).toBeDefined();
    expect(await rows(first)).toEqual([]);
  });

  it('is refused once the deviation it stands on has ended', async () => {
    const until = new Date(clock.now() + DAY).toISOString();
    await dying(() =>
      world.request(family, { windows: { drain: 'PT2M' }, deviation: { reason: 'a launch', until } }),
    );
    const rotation = (await world.family(family)).slot?.rotation ?? '';
    clock.advance(2 * DAY);
    expect(await world.runner.advance(rotation, family)).toEqual({ finished: true });
    expect((await world.rotation(rotation)).phase).toBe('rejected');
    expect((await world.family(family)).slot?.open).toBe(false);
  });

  it('is not approved once the deviation it stands on has ended', async () => {
    const until = new Date(clock.now() + DAY).toISOString();
    const { id } = await world.request(family, {
      windows: { drain: 'PT2M' },
      deviation: { reason: 'a launch', until },
    });
    clock.advance(DAY);
    await expect(world.approve(id)).rejects.toMatchObject({ code: 'deviation.expired' });
    expect((await world.rotation(id)).phase).toBe('requested');
  });

  it('owes an emergency’s approval and review from its declaration', async () => {
    await dying(() => world.emergency(family));
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
