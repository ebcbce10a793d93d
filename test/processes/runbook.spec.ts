import { ManualClock } from '#platform/testing';
import { runbookCompleteness } from '#rotation';
import { RequestRotation, RequestRotationHandler, type RotationWish } from '#rotation/application';
import { COMPLETE_RUNBOOK } from '../support/runbook.js';
import { World } from '../support/world.js';

/** An incomplete runbook holds up planned rotations of driven families, and nothing else. */
describe('an incomplete runbook', () => {
  let world: World;
  let family: string;

  beforeEach(async () => {
    world = await World.open({ clock: new ManualClock('2026-03-02T09:00:00.000Z') });
    family = (await world.registerFamily({ name: 'one', algorithm: 'ES256', artefactLife: 'PT1H' })).id;
    await world.registerConsumer(family, { name: 'api', roles: ['emitter', 'verifier'], cacheTtl: 'PT5M' });
  });
  afterEach(() => world.close());

  // Straight to the use case: the world fills the page in by itself.
  const request = (change: Partial<RotationWish> = {}, of = family) =>
    new RequestRotationHandler(world.ledger, world.backEnds, {
      policyIds: () => Promise.resolve([]),
    }).execute(
      new RequestRotation(world.context(), of, {
        strategy: 'graceful',
        trigger: 'manual',
        reason: 'a test',
        ...change,
      }),
    );

  it('refuses a planned rotation, names what is missing and leaves the log as it was', async () => {
    const { storage: _storage, nextReview: _nextReview, ...some } = COMPLETE_RUNBOOK;
    await world.reviseFamily(family, { type: 'ReviseRunbook', runbook: some });
    const before = await world.facts(`family-${family}`);
    await expect(request()).rejects.toMatchObject({
      code: 'runbook.incomplete',
      details: { missing: ['storage and distribution', 'next review'] },
    });
    expect(await world.facts(`family-${family}`)).toEqual(before);
  });

  it('lets it pass once the page is filled', async () => {
    await world.reviseFamily(family, { type: 'ReviseRunbook', runbook: COMPLETE_RUNBOOK });
    expect(runbookCompleteness(await world.family(family)).missing).toEqual([]);
    expect((await request()).changed).toBe(true);
  });

  it('lets it pass by a deviation, which is recorded', async () => {
    const deviation = { reason: 'the audit is tomorrow', until: '2026-03-09T09:00:00.000Z' };
    const { id } = await request({ deviation });
    const facts = await world.facts(id);
    expect(facts.find((event) => event.type === 'DeviationRecorded')?.data).toMatchObject({
      what: expect.stringContaining('The runbook says nothing of scope and purpose'),
      reason: deviation.reason,
    });
  });

  it('never holds up an emergency', async () => {
    const { id } = await request({ deviation: { reason: 'first', until: '2026-03-09T09:00:00.000Z' } });
    await world.advance(id);
    await world.approve(id);
    await world.leapToEnd(id);
    const emergency = { strategy: 'emergency', trigger: 'compromise', emergency: { contain: true } } as const;
    expect((await request(emergency)).changed).toBe(true);
  });

  it('never holds up what people do themselves', async () => {
    const attested = await world.registerFamily({
      name: 'two',
      algorithm: 'ES256',
      artefactLife: 'PT1H',
      mode: 'attested',
      authority: { kind: 'nobody' },
    });
    await world.registerConsumer(attested.id, {
      name: 'web',
      roles: ['emitter', 'verifier'],
      cacheTtl: 'PT5M',
    });
    expect((await request({}, attested.id)).changed).toBe(true);
  });
});
