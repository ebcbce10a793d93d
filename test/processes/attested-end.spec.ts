import { ManualClock } from '#platform/testing';
import { obligationRows } from '#schedule';
import { FaultyBackEnd } from '../support/faulty-back-end.js';
import { World } from '../support/world.js';

const MINUTE = 60_000;

/** With the back end away people carry an emergency to its end; what they said is compared with it afterwards, over or not. */
describe('an emergency that people finished', () => {
  let clock: ManualClock;
  let world: World;
  let faults: FaultyBackEnd;
  let family: string;
  let old: string;
  let rotation: string;

  beforeEach(async () => {
    clock = new ManualClock('2026-03-02T09:00:00.000Z');
    world = await World.open({ clock, before: (real) => (faults = new FaultyBackEnd(real)) });
    family = (await world.registerFamily({ name: 'session', algorithm: 'ES256', artefactLife: 'PT1H' })).id;
    await world.registerConsumer(family, { name: 'api', roles: ['emitter', 'verifier'], cacheTtl: 'PT5M' });
    old = await world.firstVersion(family);
    faults.away = true;
    rotation = (await world.emergency(family, { compromisedVersions: [old], contain: false })).id;
    await world.advance(rotation);
    clock.advance(3 * MINUTE);
    await people();
    await world.readModel.caughtUp();
  });
  afterEach(() => world.close());

  /** Takes every step over and attests it, until the rotation is over. */
  async function people(): Promise<void> {
    for (const step of ['generate', 'accept', 'emit', 'revoke', 'verify'] as const) {
      await world.advance(rotation);
      await world.ask(rotation, { type: 'switch-to-attested', step, reason: 'the back end is away' });
      await world.advance(rotation);
      await world.ask(rotation, {
        type: 'attest',
        step,
        attestation: { evidence: { link: 'https://change.example/CHG-7' } },
      });
    }
    for (let turn = 0; turn < 20; turn += 1) {
      const wake = await world.advance(rotation);
      if ((await world.rotation(rotation)).ended !== undefined) return;
      clock.advance(Math.max(0, (wake.finished ? undefined : wake.until) ?? MINUTE) - clock.now());
    }
    throw new Error('it does not end');
  }

  const compared = async () =>
    (await world.facts(rotation)).flatMap(({ type, data }) =>
      type === 'AttestationReconciled' ? [data] : [],
    );
  const owed = async () => {
    const rows = obligationRows({
      families: [await world.family(family)],
      rotations: [await world.rotation(rotation)],
      policies: [],
      now: clock.now(),
    });
    return rows.filter(({ kind }) => kind === 'reconciliation');
  };
  const watched = async (): Promise<number> => {
    await world.readModel.caughtUp();
    return Number(
      world.readModel.db.prepare('SELECT count(*) AS n FROM wakeups WHERE id = ?').get(rotation)?.['n'],
    );
  };

  it('waits for its back end after its end, and is looked at again', async () => {
    expect((await world.rotation(rotation)).phase).toBe('completed');
    expect((await world.family(family)).slot?.open).toBe(false);
    const wake = await world.advance(rotation);
    expect(wake).toMatchObject({ finished: false, until: clock.now() + 5 * MINUTE });
    expect(await watched()).toBe(1);
    expect(await owed()).toHaveLength(1);
  });

  it('contradicted: on record once, nothing performed, the record put right, and the next emergency revokes for real', async () => {
    faults.away = false;
    await world.advance(rotation);
    expect(await compared()).toEqual([
      {
        agrees: false,
        steps: ['generate', 'accept', 'emit', 'revoke'],
        differences: expect.arrayContaining([
          `The back end does not show what was attested of revoke: it still accepts ${old}.`,
        ]),
        notCompared: ['verify'],
      },
    ]);
    expect(world.backEnd.acceptedKids('keys/session')).toEqual([old]);
    expect(await owed()).toEqual([]);
    const { versions } = await world.family(family);
    expect(versions.filter(({ accepted }) => accepted)).toMatchObject([
      { versionId: old, emittingShare: 100, compromised: true },
    ]);
    // What was seen, not what somebody did.
    const seen = (await world.facts(`family-${family}`)).filter(({ type }) => type === 'VersionObserved');
    expect(seen.map(({ provenance }) => provenance)).toEqual(['observed', 'observed']);
    clock.advance(60 * MINUTE);
    expect(await world.advance(rotation)).toEqual({ finished: true });
    expect(await compared()).toHaveLength(1);
    expect(await watched()).toBe(0);

    const { id } = await world.emergency(family, { compromisedVersions: [old], contain: false });
    const { plan } = await world.leapToEnd(id);
    expect(plan?.outgoing).toEqual([old]);
    expect(world.backEnd.acceptedKids('keys/session')).toEqual([plan?.incoming]);
  });

  it('a death between the record put right and the comparison changes nothing of either', async () => {
    faults.away = false;
    const put = async (): Promise<number> =>
      (await world.facts(`family-${family}`)).filter(({ type }) => type === 'VersionObserved').length;
    // One decision, as much as a process that dies after it has made.
    await world.runner.advance(rotation, family, 1);
    expect([await put(), await compared()]).toEqual([2, []]);
    await world.advance(rotation);
    expect(await put()).toBe(2);
    expect(await compared()).toMatchObject([
      { agrees: false, steps: ['generate', 'accept', 'emit', 'revoke'] },
    ]);
  });
});
