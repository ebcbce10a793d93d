import { ManualClock } from '#platform/testing';
import { containmentStream, type Wake } from '#rotation';
import { FaultyBackEnd } from '../support/faulty-back-end.js';
import { World } from '../support/world.js';

/** A containment is lifted only where its suspicion is cleared, under the family's slot; a confirmed version stays out. */
describe('lifting a containment', () => {
  let world: World;
  let faults: FaultyBackEnd;
  let family: string;
  let version: string;
  let containment: string;

  beforeEach(async () => {
    world = await World.open({
      clock: new ManualClock('2026-03-02T09:00:00.000Z'),
      before: (real) => (faults = new FaultyBackEnd(real)),
    });
    family = (await world.registerFamily({ name: 'session', algorithm: 'ES256', artefactLife: 'PT1H' })).id;
    await world.registerConsumer(family, { name: 'api', roles: ['emitter', 'verifier'], cacheTtl: 'PT5M' });
    version = await world.firstVersion(family);
    containment = (await world.contain(family, [version])).id;
    await world.runner.advanceContainment(containment, family);
  });
  afterEach(() => world.close());

  const served = (): readonly string[] => world.backEnd.acceptedKids('keys/session');
  const clear = () =>
    world.reviseFamily(family, { type: 'ClearCompromise', versions: [version], reason: 'a test key' });
  const lift = () => world.askContainment(containment, { type: 'lift', reason: 'it was a test key' });
  const advance = (): Promise<Wake> => world.runner.advanceContainment(containment, family);
  const status = async () => (await world.ledger.containment(containment)).state.status;
  const types = async (stream: string): Promise<readonly string[]> =>
    (await world.facts(stream)).map((event) => event.type);
  /** To the end on the manual clock. */
  const leap = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn += 1) {
      const wake = await advance();
      if (wake.finished) return;
      if (wake.until === undefined) throw new Error(`it waits for ${wake.waitsFor}`);
      (world.clock as ManualClock).advance(Math.max(0, wake.until - world.clock.now()));
    }
    throw new Error('it does not end');
  };

  it('lifts what was suspected and is cleared: served again, slot taken and free', async () => {
    expect(served()).toEqual([]);
    await clear();
    await lift();
    expect(await advance()).toEqual({ finished: true });
    expect(served()).toEqual([version]);
    expect(await status()).toBe('lifted');
    expect((await types(`family-${family}`)).slice(-3)).toEqual([
      'CompromiseCleared',
      'SlotTaken',
      'SlotFreed',
    ]);
    expect((await world.family(family)).process).toBeUndefined();
    expect((await types(containmentStream(containment))).slice(-3)).toEqual([
      'ContainmentLiftRequested',
      'StepStarted',
      'ContainmentLifted',
    ]);
    // Asked twice, done once.
    expect((await lift()).changed).toBe(false);
  });

  it('is refused while the suspicion stands, and leaves the log as it was', async () => {
    const before = await types(containmentStream(containment));
    await expect(lift()).rejects.toMatchObject({ code: 'containment.still-suspected' });
    expect(await types(containmentStream(containment))).toEqual(before);
    expect(served()).toEqual([]);
  });

  it('is refused for a confirmed version, and the confirmation cannot be cleared', async () => {
    const { id } = await world.emergency(family, { compromisedVersions: [version] });
    await world.leapToEnd(id);
    await expect(clear()).rejects.toMatchObject({ code: 'compromise.confirmed' });
    await expect(lift()).rejects.toMatchObject({ code: 'containment.version-compromised' });
    expect(served()).not.toContain(version);
  });

  it('stays when the version is suspected again before it is lifted', async () => {
    await clear();
    await lift();
    const again = (await world.contain(family, [version])).id;
    await world.runner.advanceContainment(again, family);
    expect(await advance()).toEqual({ finished: true });
    expect(await status()).toBe('applied');
    expect(await types(containmentStream(containment))).toContain('ContainmentLiftWithdrawn');
    expect(served()).toEqual([]);
    // Both are lifted for it to be served again.
    await clear();
    await lift();
    await advance();
    expect(served()).toEqual([]);
    await world.askContainment(again, { type: 'lift', reason: 'cleared' });
    await world.runner.advanceContainment(again, family);
    expect(served()).toEqual([version]);
  });

  it('waits for a rotation that holds the slot, and a planned rotation is refused while it holds it', async () => {
    await clear();
    const { id } = await world.request(family);
    await world.advance(id);
    await lift();
    expect(await advance()).toMatchObject({
      finished: false,
      waitsFor: `the family’s slot: rotation ${id} holds it`,
    });
    await world.ask(id, { type: 'reject', reason: 'later' }, world.approver);
    await world.advance(id);
    faults.plan('lift', 'refused');
    await advance();
    await expect(world.request(family)).rejects.toMatchObject({ code: 'family.slot-taken' });
    await leap();
    expect(served()).toEqual([version]);
    expect((await world.request(family)).changed).toBe(true);
  });

  it('gives way to an emergency: the confirmed version stays out', async () => {
    await clear();
    faults.plan('lift', 'refused');
    await lift();
    await advance();
    expect((await world.family(family)).process?.id).toBe(containment);
    const { id } = await world.emergency(family, { compromisedVersions: [version] });
    await world.leapToEnd(id);
    await leap();
    expect(await status()).toBe('applied');
    expect(served()).not.toContain(version);
    expect((await world.family(family)).process).toBeUndefined();
  });

  it.each(['refused', 'answer-lost'] as const)('performs it once where a call is %s', async (fault) => {
    await clear();
    await lift();
    faults.plan('lift', fault);
    await leap();
    expect(faults.outstanding).toBe(0);
    expect(served()).toEqual([version]);
    const outcomes = (await types(containmentStream(containment))).filter(
      (type) => type === 'ContainmentLifted',
    );
    expect(outcomes).toHaveLength(1);
  });

  it('asks a person after faults that do not pass, frees the slot, and goes on when it is retried', async () => {
    await clear();
    await lift();
    faults.plan('lift', 'refused', 8);
    for (let turn = 0; (await status()) !== 'suspended' && turn < 50; turn += 1) {
      const wake = await advance();
      if (!wake.finished && wake.until !== undefined) {
        (world.clock as ManualClock).advance(Math.max(0, wake.until - world.clock.now()));
      }
    }
    await advance();
    expect((await world.family(family)).process).toBeUndefined();
    expect(served()).toEqual([]);
    await world.askContainment(containment, { type: 'retry' });
    await leap();
    expect(await status()).toBe('lifted');
    await expect(world.askContainment(containment, { type: 'retry' })).rejects.toMatchObject({
      code: 'containment.not-suspended',
    });
  });
});

describe('a containment by hand', () => {
  it('is attested with evidence, and lifted by hand too', async () => {
    const clock = new ManualClock('2026-03-02T09:00:00.000Z');
    let faults: FaultyBackEnd | undefined;
    const world = await World.open({ clock, before: (real) => (faults = new FaultyBackEnd(real)) });
    try {
      const { id: family } = await world.registerFamily({
        name: 'session',
        algorithm: 'ES256',
        artefactLife: 'PT1H',
      });
      await world.registerConsumer(family, { name: 'api', roles: ['emitter', 'verifier'], cacheTtl: 'PT5M' });
      const version = await world.firstVersion(family);
      const { id } = await world.contain(family, [version]);
      const attest = (step: 'contain' | 'lift', evidence: object) =>
        world.askContainment(id, { type: 'attest', step, attestation: { evidence } });
      await expect(attest('contain', {})).rejects.toMatchObject({ code: 'attestation.no-evidence' });
      await attest('contain', { note: 'denied at the gateway, INC-7' });
      expect(await world.runner.advanceContainment(id, family)).toEqual({ finished: true });
      expect(
        (await world.facts(containmentStream(id))).map((event) => [event.type, event.provenance]),
      ).toEqual([
        ['ContainmentRequested', 'performed'],
        ['Attested', 'attested'],
        ['ContainmentApplied', 'attested'],
      ]);
      expect(faults?.outstanding).toBe(0);
      await world.reviseFamily(family, {
        type: 'ClearCompromise',
        versions: [version],
        reason: 'a test key',
      });
      await world.askContainment(id, { type: 'lift', reason: 'cleared' });
      expect(await world.runner.advanceContainment(id, family)).toMatchObject({
        waitsFor: 'an attestation of lift',
      });
      await expect(attest('lift', { note: 'undone' })).rejects.toMatchObject({
        code: 'attestation.no-evidence',
      });
      await attest('lift', { link: 'https://change.example/42' });
      expect(await world.runner.advanceContainment(id, family)).toEqual({ finished: true });
      expect((await world.ledger.containment(id)).state.status).toBe('lifted');
    } finally {
      await world.close();
    }
  });
});
