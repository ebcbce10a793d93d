import * as fc from 'fast-check';
import { DomainError, formatInstant } from '#eventlog';
import { ManualClock } from '#platform/testing';
import { ClockWatch, type FamilyState, type PolicyState, type RotationState } from '#rotation';
import { obligationRows, obligationStream, ObligationWatch, type ObligationKind } from '#schedule';
import { World } from '../support/world.js';

/** What was owed by a date and missed is on record once, with its date, never early; and how it ended, when and by whom. */

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let clock: ManualClock;
let world: World;
let familyId: string;
let watches: ObligationWatch[];

beforeEach(async () => {
  clock = new ManualClock('2026-03-02T09:00:00.000Z');
  world = await World.open({ clock });
  watches = [];
  await world.policy({ emergency: { approvalWithin: 'P1D', reviewWithin: 'P2D', targets: [] } });
  familyId = (await world.registerFamily({ name: 'jwt', algorithm: 'ES256', artefactLife: 'PT1H' })).id;
  await world.registerConsumer(familyId, { name: 'api', roles: ['emitter', 'verifier'], cacheTtl: 'PT5M' });
  const { id } = await world.request(familyId);
  await world.approve(id);
  await world.leapToEnd(id);
});

afterEach(async () => {
  for (const each of watches) each.stop();
  await world.close();
});

/** As a process that just began: it remembers nothing. */
function watch(): ObligationWatch {
  const states = <State>(table: string): readonly State[] =>
    world.readModel.db
      .prepare(`SELECT state FROM ${table}`)
      .all()
      .map((row): State => JSON.parse(String(row['state'])));
  const made = new ObligationWatch({
    ledger: world.ledger,
    readModel: world.readModel,
    overdue: () =>
      obligationRows({
        families: states<FamilyState>('families'),
        rotations: states<RotationState>('rotations'),
        policies: states<PolicyState>('policies'),
        now: clock.now(),
      }).filter(({ status }) => status === 'overdue'),
  });
  watches.push(made);
  return made;
}

async function sweep(by = watch()): Promise<number> {
  await world.readModel.caughtUp();
  const recorded = await by.sweep();
  await world.readModel.caughtUp();
  return recorded;
}

async function recordOf(kind: ObligationKind, key: string): Promise<readonly [string, unknown, number][]> {
  const { events } = await world.store.read(obligationStream(world.store.logId, { kind, key }));
  return events.map(({ type, data, recordedAt }) => [type, data, recordedAt]);
}

async function emergency(): Promise<{ readonly id: string; readonly due: number }> {
  const { id } = await world.emergency(familyId);
  await world.leapToEnd(id);
  return { id, due: (await world.rotation(id)).emergency?.approvalDueAt ?? 0 };
}

it('is recorded once when its date has passed, not a millisecond before, whoever looks how often', async () => {
  const { id, due } = await emergency();
  clock.advance(due - 1 - clock.now());
  expect(await sweep()).toBe(0);
  clock.advance(1);
  const one = watch();
  expect(await sweep(one)).toBe(1);
  expect(await sweep(one)).toBe(0);
  clock.advance(5 * HOUR);
  expect(await sweep()).toBe(0);
  expect(await recordOf('emergency-approval', id)).toEqual([
    [
      'ObligationMissed',
      expect.objectContaining({
        kind: 'emergency-approval',
        rotation: id,
        family: familyId,
        due: formatInstant(due),
      }),
      due,
    ],
  ]);
});

it('looked at by two at once it is recorded once', async () => {
  const { id, due } = await emergency();
  clock.advance(due - clock.now());
  await world.readModel.caughtUp();
  await Promise.all([watch().sweep(), watch().sweep(), watch().sweep()]);
  expect(await recordOf('emergency-approval', id)).toHaveLength(1);
});

it.each([
  ['approved late', 'approve', 'met', 'RotationApproved'],
  ['refused late', 'reject', 'refused', 'RotationRejected'],
] as const)('%s, it is settled by that fact, with when and by whom', async (_, type, how, fact) => {
  const { id, due } = await emergency();
  clock.advance(due - clock.now());
  const one = watch();
  await sweep(one);
  clock.advance(7 * HOUR);
  await world.ask(id, type === 'approve' ? { type } : { type, reason: 'a test key' }, world.approver);
  expect(await sweep(one)).toBe(1);
  expect(await sweep()).toBe(0);
  expect((await recordOf('emergency-approval', id)).map(([name, data]) => [name, data])).toEqual([
    ['ObligationMissed', expect.anything()],
    [
      'ObligationSettled',
      {
        how,
        fact: { id: expect.any(String), type: fact },
        settledAt: formatInstant(due + 7 * HOUR),
        by: world.approver,
      },
    ],
  ]);
});

it('settled while nobody watched, it is found by whoever starts next', async () => {
  const { id, due } = await emergency();
  clock.advance(due - clock.now());
  await sweep();
  for (const each of watches) each.stop();
  await world.approve(id);
  expect(await sweep()).toBe(1);
});

it('missed and met between two looks, both are recorded; met in time, nothing is', async () => {
  const late = await emergency();
  const one = watch();
  clock.advance(late.due + HOUR - clock.now());
  await world.approve(late.id);
  expect(await sweep(one)).toBe(2);
  const again = await emergency();
  clock.advance(again.due - 1 - clock.now());
  await world.approve(again.id);
  clock.advance(HOUR);
  await sweep(one);
  expect(await recordOf('emergency-approval', again.id)).toEqual([]);
});

it('while the clock is doubted nothing is called missed; once it is confirmed, it is', async () => {
  const { id } = await emergency();
  const clockWatch = new ClockWatch({ ledger: world.ledger, onError: () => undefined });
  await clockWatch.check();
  const before = clock.now();
  clock.leap(400 * DAY);
  await clockWatch.check();
  expect(await sweep()).toBe(0);
  clock.leap(before - clock.now());
  await clockWatch.check();
  expect(await sweep()).toBe(0);
  expect(await recordOf('emergency-approval', id)).toEqual([]);
  clock.advance(2 * DAY);
  expect(await sweep()).toBeGreaterThan(0);
});

it('a review whose date was moved is told from one that was held', async () => {
  const page = async (nextReview: string): Promise<void> => {
    const { runbook } = await world.family(familyId);
    await world.reviseFamily(familyId, { type: 'ReviseRunbook', runbook: { ...runbook, nextReview } });
  };
  const ended = async (date: string): Promise<unknown> =>
    (await recordOf('runbook-review', `${familyId} ${date}`)).map(([type, data]) =>
      type === 'ObligationSettled' ? (data as { how: string }).how : type,
    );
  const one = watch();
  await page('2026-04-01');
  clock.advance(Date.parse('2026-04-02T00:00:00Z') - clock.now());
  await sweep(one);
  await page('2026-05-01');
  await sweep(one);
  expect(await ended('2026-04-01')).toEqual(['ObligationMissed', 'moved']);
  clock.advance(31 * DAY);
  await world.reviseFamily(familyId, {
    type: 'CompleteReview',
    summary: 'looked at',
    nextReview: '2026-09-01',
  });
  await sweep(one);
  expect(await ended('2026-05-01')).toEqual(['ObligationMissed', 'met']);
  expect(await ended('2026-09-01')).toEqual([]);
});

it('a review names no next one in the past, and leaves the log as it was', async () => {
  const review = (nextReview: string) =>
    world.reviseFamily(familyId, { type: 'CompleteReview', summary: 'looked at', nextReview });
  const before = (await world.facts(`family-${familyId}`)).length;
  await expect(review('2020-01-01')).rejects.toMatchObject({
    code: 'review.next-in-past',
    details: { field: 'nextReview' },
  });
  expect(await world.facts(`family-${familyId}`)).toHaveLength(before);
  await review(formatInstant(clock.now()).slice(0, 10));
  expect(await world.facts(`family-${familyId}`)).toHaveLength(before + 1);
});

it('a runbook reviewed again is another fact, also where the date of the next stands', async () => {
  const reviewed = () =>
    world.reviseFamily(familyId, { type: 'CompleteReview', summary: 'looked at', nextReview: '2026-09-01' });
  await reviewed();
  await reviewed();
  const facts = await world.facts(`family-${familyId}`);
  expect(facts.filter(({ type }) => type === 'ReviewCompleted')).toHaveLength(2);
});

/** A second decision is refused, naming the first. */
function onlyOnce(error: unknown): void {
  if (!(error instanceof DomainError) || !/\.already-(?:approved|reviewed)$/.test(error.code)) throw error;
}

it('whatever is done, looked at and restarted in whatever order: missed once and settled once, exactly where it was late', async () => {
  const seen = new Set<number>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom('look', 'restart', 'approve', 'review')),
        {
          minLength: 3,
          maxLength: 12,
        },
      ),
      async (steps) => {
        // Each run is an emergency of its own.
        const run = await emergency();
        const reviewAt = (await world.rotation(run.id)).emergency?.reviewDueAt ?? 0;
        let one = watch();
        for (const step of steps) {
          if (typeof step === 'number') clock.advance(step * HOUR);
          else if (step === 'look') await sweep(one);
          else if (step === 'restart') {
            one.stop();
            one = watch();
          } else if (step === 'approve') await world.approve(run.id).catch(onlyOnce);
          else await world.ask(run.id, { type: 'review', summary: 'held' }).catch(onlyOnce);
        }
        await sweep(one);
        const { approvals, reviewedAt } = await world.rotation(run.id);
        for (const [kind, dueAt, settledAt] of [
          ['emergency-approval', run.due, approvals[0]?.at],
          ['post-incident-review', reviewAt, reviewedAt],
        ] as const) {
          const record = await recordOf(kind, run.id);
          const late = (settledAt ?? clock.now()) >= dueAt;
          const expected = late
            ? ['ObligationMissed', ...(settledAt === undefined ? [] : ['ObligationSettled'])]
            : [];
          const types = record.map(([type]) => type);
          expect(types).toEqual(expected);
          seen.add(types.length);
          for (const [, , recordedAt] of record) expect(recordedAt).toBeGreaterThanOrEqual(dueAt);
        }
      },
    ),
    {
      numRuns: 15,
      examples: [
        [[20, 20, 'restart', 'approve', 'restart']],
        [[20, 20, 'look', 'look']],
        [['approve', 'review', 20, 20, 20]],
      ],
    },
  );
  // In time, missed, and missed and settled: each was among them.
  expect([...seen].sort((left, right) => left - right)).toEqual([0, 1, 2]);
});
