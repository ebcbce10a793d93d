import { ManualClock } from '#platform/testing';
import { SampleTelemetry, SampleTelemetryHandler, type TelemetryCounts } from '#rotation/application';
import { HOUR, MINUTE, rotating } from '../clocks/support.js';
import { World } from '../support/world.js';

/** What is counted holds the revocation or lets it pass; it never shortens a window. */

let clock: ManualClock;
let world: World;
let rotationId: string;

beforeEach(async () => {
  clock = new ManualClock('2026-03-02T09:00:00.000Z');
  world = await World.open({ clock });
  const gates = { telemetry: { minUses: 100, freshWithin: 'PT1H', previousAtMost: 500, invalidAtMost: 10 } };
  ({ rotationId } = await rotating(world, { terms: {} }));
  await world.rollback(rotationId);
  const { familyId } = await world.rotation(rotationId);
  await world.leapToEnd(rotationId);
  await world.policy(
    { margins: { clockSkew: 'PT0S', safety: 'PT0S' }, watch: 'PT30M', settle: 'PT10M', gates },
    { name: 'gates', selector: { environment: 'production' } },
  );
  rotationId = (await world.request(familyId)).id;
  await world.approve(rotationId);
  await world.advance(rotationId);
  await world.confirmAsked(rotationId);
  clock.advance(11 * MINUTE);
  await world.advance(rotationId);
  await world.confirmAsked(rotationId);
  await world.advance(rotationId);
});

afterEach(() => world.close());

const instant = (ago: number): string => new Date(clock.now() - ago).toISOString();
const counted = (counts: Partial<TelemetryCounts>): Promise<unknown> =>
  new SampleTelemetryHandler(world.ledger).execute(
    new SampleTelemetry(world.context(), rotationId, {
      from: instant(10 * MINUTE),
      to: instant(0),
      current: 1_000,
      previous: 0,
      invalid: 0,
      ...counts,
    }),
  );
const waits = async (): Promise<string> => {
  const wake = await world.advance(rotationId);
  return wake.finished ? 'finished' : wake.waitsFor;
};

it('holds until enough was counted, fresh and quiet; never before the window', async () => {
  await counted({});
  expect(await waits()).toContain('the drain window');
  clock.advance(2 * HOUR);
  expect(await waits()).toContain('too old');
  await counted({ current: 50 });
  expect(await waits()).toContain('50 uses');
  await counted({ current: 1_000, invalid: 2 });
  expect(await waits()).toContain('2 of 1002 verifications failed');
  await counted({ current: 2_847, invalid: 2 });
  expect(await waits()).toBe('the watch after the last step');
  expect((await world.facts(rotationId)).map(({ type }) => type)).toContain('OldKeyRevoked');
});

it('an artefact of the old version, seen after all it emitted had run out, holds whatever the share', async () => {
  clock.advance(2 * HOUR);
  await counted({ current: 100_000, previous: 1, previousLastSeen: instant(MINUTE) });
  expect(await waits()).toContain('somebody unknown emits with it');
  await world.ask(rotationId, { type: 'override', gate: 'telemetry', reason: 'it is the load test' });
  expect(await waits()).toBe('the watch after the last step');
});

it.each<[string, () => Partial<TelemetryCounts>, string]>([
  ['a span turned round', () => ({ from: instant(0), to: instant(MINUTE) }), 'to'],
  ['a span of nothing', () => ({ from: instant(0), to: instant(0) }), 'to'],
  ['the future', () => ({ to: instant(-2 * MINUTE) }), 'to'],
  ['seen, though none was counted', () => ({ previousLastSeen: instant(MINUTE) }), 'previousLastSeen'],
  ['seen before the span', () => ({ previous: 1, previousLastSeen: instant(HOUR) }), 'previousLastSeen'],
])('%s is refused and leaves the log as it was', async (_, counts, field) => {
  const size = await world.store.log.treeSize();
  await expect(counted(counts())).rejects.toMatchObject({ code: 'telemetry.invalid', details: { field } });
  expect(await world.store.log.treeSize()).toBe(size);
});
