import { randomUUID } from 'node:crypto';
import { interceptFailpoint } from '#platform';
import { ManualClock } from '#platform/testing';
import { sweepDepartures } from '#rotation';
import { obligationRows } from '#schedule';
import { World } from '../support/world.js';

const DAY = 86_400_000;

/** Whoever knew a secret and leaves makes it owe a rotation, on every family, also after a crash between the streams. */
describe('somebody who knew secrets leaves', () => {
  let clock: ManualClock;
  let world: World;
  let one: string;
  let two: string;
  const person = randomUUID();

  const family = async (name: string): Promise<string> => {
    const { id } = await world.registerFamily({ name, algorithm: 'ES256', artefactLife: 'PT1H' });
    await world.registerConsumer(id, {
      name: `${name}-api`,
      roles: ['emitter', 'verifier'],
      cacheTtl: 'PT5M',
    });
    return id;
  };
  const knows = (id: string, subject = person) =>
    world.reviseFamily(id, { type: 'AssignCustodian', subject, knows: 'entered it by hand' });
  const owed = async (): Promise<readonly [string, string, string][]> => {
    const families = [await world.family(one), await world.family(two)];
    const policies = world.readModel.db
      .prepare('SELECT state FROM policies')
      .all()
      .map((row) => JSON.parse(String(row.state)));
    return obligationRows({ families, rotations: [], policies, now: clock.now() })
      .filter((row) => row.kind === 'departure')
      .map((row) => [row.family?.qualifiedName ?? '', row.due, row.status]);
  };

  beforeEach(async () => {
    clock = new ManualClock('2026-03-02T09:00:00.000Z');
    world = await World.open({ clock });
    one = await family('one');
    two = await family('two');
  });
  afterEach(() => world.close());

  it('owes a rotation of each family they knew, within the policy’s time', async () => {
    await world.policy({ departureWithin: 'P7D' });
    await knows(one);
    await knows(two);
    await knows(two, randomUUID());
    await world.left(person);
    expect(await owed()).toEqual([
      ['production/one', '2026-03-09T09:00:00.000Z', 'due-soon'],
      ['production/two', '2026-03-09T09:00:00.000Z', 'due-soon'],
    ]);
    clock.advance(8 * DAY);
    expect((await owed()).map(([, , status]) => status)).toEqual(['overdue', 'overdue']);
    // Said again, nothing more.
    expect((await world.left(person)).changed).toBe(false);
    expect(
      (await world.facts(`family-${one}`)).filter((event) => event.type === 'CustodianDeparted'),
    ).toHaveLength(1);
  });

  it('is settled by a rotation begun since, and by none that was begun before', async () => {
    await knows(one);
    await world.firstVersion(one);
    const before = await world.request(one);
    await world.advance(before.id);
    clock.advance(60_000);
    await world.left(person);
    await world.approve(before.id);
    await world.leapToEnd(before.id);
    expect((await world.rotation(before.id)).phase).toBe('completed');
    expect(await owed()).toHaveLength(1);
    const { id } = await world.request(one, { trigger: 'personnel-departure' });
    await world.advance(id);
    await world.approve(id);
    await world.leapToEnd(id);
    expect(await owed()).toEqual([]);
    expect((await world.family(one)).custodians[0]?.departed?.settledBy).toBe(id);
  });

  it('is not settled by an emergency that only revokes: what emits is older than their leaving', async () => {
    await knows(one);
    const first = await world.firstVersion(one);
    const second = await world.firstVersion(one);
    clock.advance(60_000);
    await world.left(person);
    clock.advance(60_000);
    const { id } = await world.emergency(one, { compromisedVersions: [first] });
    const ended = await world.leapToEnd(id);
    expect(ended.phase).toBe('completed');
    expect(ended.plan?.incoming).toBeUndefined();
    expect((await world.family(one)).versions.find((each) => each.emittingShare === 100)?.versionId).toBe(
      second,
    );
    expect((await world.family(one)).custodians[0]?.departed?.settledBy).toBeUndefined();
    expect(await owed()).toHaveLength(1);
    // One that makes a new key settles it.
    const other = await world.emergency(one, { compromisedVersions: [second] });
    await world.leapToEnd(other.id);
    expect((await world.family(one)).custodians[0]?.departed?.settledBy).toBe(other.id);
    expect(await owed()).toEqual([]);
  });

  it('is not settled by a rotation that is rolled back', async () => {
    await knows(one);
    await world.firstVersion(one);
    await world.left(person);
    const { id } = await world.request(one, { trigger: 'personnel-departure' });
    await world.advance(id);
    await world.approve(id);
    await world.advance(id);
    await world.rollback(id);
    await world.leapToEnd(id);
    expect((await world.rotation(id)).phase).not.toBe('completed');
    expect(await owed()).toHaveLength(1);
  });

  it('is completed by the sweep after a death between the streams', async () => {
    await knows(one);
    await knows(two);
    const died = new Error('died here');
    const disarm = interceptFailpoint('seam:person-left', () => {
      throw died;
    });
    await expect(world.left(person)).rejects.toBe(died);
    disarm();
    expect(await owed()).toEqual([]);
    await world.readModel.caughtUp();
    expect(await sweepDepartures(world.ledger, world.readModel)).toBe(2);
    expect(await owed()).toHaveLength(2);
    await world.readModel.caughtUp();
    expect(await sweepDepartures(world.ledger, world.readModel)).toBe(0);
  });

  it('leaves alone who comes back later and is entrusted anew', async () => {
    await knows(one);
    await world.left(person);
    clock.advance(DAY);
    await knows(one);
    await world.readModel.caughtUp();
    expect(await sweepDepartures(world.ledger, world.readModel)).toBe(0);
    expect((await world.family(one)).custodians.map((custodian) => custodian.departed)).toEqual([undefined]);
  });

  it('who came back and leaves again leaves a second time, and is owed for from then on', async () => {
    await knows(one);
    await knows(two);
    const first = await world.left(person);
    expect(first.changed).toBe(true);
    clock.advance(10 * DAY);
    await knows(one);
    clock.advance(10 * DAY);
    const again = await world.left(person);
    expect(again.changed).toBe(true);
    const leftAt = async (id: string) =>
      (await world.family(id)).custodians.map(
        ({ departed }) => departed && new Date(departed.leftAt).toISOString(),
      );
    expect(await leftAt(one)).toEqual(['2026-03-22T09:00:00.000Z']);
    expect(await leftAt(two)).toEqual(['2026-03-02T09:00:00.000Z']);
    // The control: said once more, it is the same leaving.
    clock.advance(DAY);
    expect((await world.left(person)).changed).toBe(false);
  });

  it('a leaving that is told again does not reach what was entrusted since', async () => {
    await knows(one);
    const at = '2026-03-02T08:00:00.000Z';
    await world.left(person, at);
    clock.advance(DAY);
    await knows(one);
    expect((await world.left(person, at)).changed).toBe(false);
    expect((await world.family(one)).custodians.map(({ departed }) => departed)).toEqual([undefined]);
  });

  it('refuses a leaving in the future, and leaves the log as it was', async () => {
    await knows(one);
    await expect(world.left(person, '2026-04-01T00:00:00.000Z')).rejects.toMatchObject({
      code: 'person.leaves-later',
    });
    expect((await world.ledger.person(person)).state.leftAt).toBeUndefined();
  });

  it('lets a custodian acknowledge only for themselves', async () => {
    const acknowledge = (subject: string) =>
      world.reviseFamily(one, { type: 'AcknowledgeCustodian', subject, statement: 'I keep it safe' });
    await expect(acknowledge(person)).rejects.toMatchObject({ code: 'custodian.not-found' });
    await knows(one);
    await acknowledge(person);
    expect((await acknowledge(person)).changed).toBe(false);
    expect((await world.family(one)).custodians[0]?.acknowledgedAt).toBe(clock.now());
  });
});

describe('facts on paper', () => {
  it('corrects a confirmed compromise, shows both, and the version stays out', async () => {
    const clock = new ManualClock('2026-03-02T09:00:00.000Z');
    const world = await World.open({ clock });
    try {
      const { id: family } = await world.registerFamily({
        name: 'one',
        algorithm: 'ES256',
        artefactLife: 'PT1H',
      });
      await world.registerConsumer(family, { name: 'api', roles: ['emitter', 'verifier'], cacheTtl: 'PT5M' });
      const version = await world.firstVersion(family);
      const { id } = await world.emergency(family, { compromisedVersions: [version] });
      await world.leapToEnd(id);
      const stream = `family-${family}`;
      const wrong = (await world.facts(stream)).find((event) => event.type === 'CompromiseConfirmed');
      await world.correct({ family }, wrong?.id ?? '');
      const facts = await world.facts(stream);
      expect(facts.map((event) => event.type)).toEqual(
        expect.arrayContaining(['CompromiseConfirmed', 'FactCorrected']),
      );
      expect(facts.at(-1)).toMatchObject({
        type: 'FactCorrected',
        actor: world.requester,
        provenance: 'attested',
        data: { of: wrong?.id, type: 'CompromiseConfirmed' },
      });
      expect((await world.family(family)).compromised).toContain(version);
      expect(world.backEnd.acceptedKids('keys/one')).not.toContain(version);
      await expect(world.correct({ family }, randomUUID())).rejects.toMatchObject({ code: 'fact.not-found' });
    } finally {
      await world.close();
    }
  });

  it('takes a confirmation back: what waits for it waits again', async () => {
    const clock = new ManualClock('2026-03-02T09:00:00.000Z');
    const world = await World.open({ clock });
    try {
      const { id: family } = await world.registerFamily({
        name: 'one',
        algorithm: 'ES256',
        artefactLife: 'PT1H',
      });
      const consumer = await world.registerConsumer(family, {
        name: 'api',
        roles: ['emitter', 'verifier'],
        cacheTtl: 'PT5M',
      });
      const { id } = await world.request(family);
      await world.advance(id);
      await world.approve(id);
      await world.advance(id);
      expect(await world.confirmAsked(id, ['acceptance'])).toBe(1);
      await world.ask(id, {
        type: 'withdraw-confirmation',
        kind: 'acceptance',
        consumerId: consumer.id,
        instances: ['1'],
        reason: 'that was another cluster',
      });
      clock.advance(DAY);
      expect(await world.advance(id)).toMatchObject({
        finished: false,
        waitsFor: expect.stringContaining('api'),
      });
      expect((await world.rotation(id)).switched).toBeUndefined();
      await world.correct({ rotation: id }, (await world.facts(id))[0]?.id ?? '');
      expect((await world.leapToEnd(id)).phase).toBe('completed');
    } finally {
      await world.close();
    }
  });
});
