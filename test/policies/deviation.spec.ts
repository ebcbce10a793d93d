import { ManualClock } from '#platform/testing';
import type { PolicyTerms } from '#rotation';
import {
  AskDeviation,
  AskDeviationHandler,
  ChangePolicy,
  ChangePolicyHandler,
  type DeviationAsk,
} from '#rotation/application';
import { obligationRows, overdueRows, scheduleRows, type ScheduleInput } from '#schedule';
import { World } from '../support/world.js';

/** A family departs from its policy only by a deviation that another approved; past its end the policy binds again. */

const DAY = 86_400_000;

let clock: ManualClock;
let world: World;
let familyId: string;
let policyId: string;

beforeEach(async () => {
  clock = new ManualClock('2026-03-02T09:00:00.000Z');
  world = await World.open({ clock });
  ({ id: policyId } = await world.policy({
    approvals: 1,
    watch: 'PT1H',
    stopEmitting: 'P90D',
    stopAccepting: 'P120D',
  }));
  familyId = (await world.registerFamily({ name: 'jwt', algorithm: 'ES256', artefactLife: 'PT1H' })).id;
  await world.registerConsumer(familyId, { name: 'api', roles: ['emitter', 'verifier'], cacheTtl: 'PT5M' });
});

afterEach(() => world.close());

function ask(
  what: DeviationAsk,
  by = world.requester,
): Promise<{ readonly id: string; readonly changed: boolean }> {
  const policies = {
    policyIds: async () =>
      world.readModel.db
        .prepare('SELECT id FROM policies')
        .all()
        .map((row) => String(row.id)),
  };
  return new AskDeviationHandler(world.ledger, policies).execute(
    new AskDeviation(world.context(by), familyId, what),
  );
}

const request = (
  days = 30,
  departs: object = { watch: 'PT3H', stopEmitting: 'P100D' },
): Promise<{ readonly id: string }> =>
  ask({
    type: 'request',
    departs,
    reason: 'RA-12',
    until: new Date(clock.now() + days * DAY).toISOString(),
  });

const approve = (deviation: string, by = world.approver): Promise<{ readonly changed: boolean }> =>
  ask({ type: 'approve', deviation }, by);

async function amend(terms: Partial<PolicyTerms>): Promise<void> {
  const { details } = (await world.ledger.policy(policyId)).state;
  if (details === undefined) throw new Error('no policy');
  const { selector: _, ...rest } = details;
  const changed = { ...rest, terms: { ...rest.terms, ...terms } };
  const handler = new ChangePolicyHandler(world.ledger);
  const { revision } = await handler.execute(
    new ChangePolicy(world.context(), policyId, { type: 'amend', details: changed }),
  );
  await handler.execute(
    new ChangePolicy(world.context(world.approver), policyId, { type: 'approve', revision }),
  );
}

async function input(): Promise<ScheduleInput> {
  await world.readModel.caughtUp();
  const policies = world.readModel.db.prepare('SELECT id FROM policies').all();
  return {
    families: [await world.family(familyId)],
    rotations: [],
    policies: await Promise.all(
      policies.map(async ({ id }) => (await world.ledger.policy(String(id))).state),
    ),
    now: clock.now(),
  };
}

const watchOfNext = async (): Promise<string | undefined> => {
  const { id } = await world.request(familyId);
  const { plan } = await world.rotation(id);
  await world.ask(id, { type: 'abandon', reason: 'only asked for its plan' });
  await world.leapToEnd(id);
  return plan?.terms.watch;
};

it('changes nothing until another approved it, then binds until its end, then the policy binds again', async () => {
  const { id } = await request();
  expect(await watchOfNext()).toBe('PT1H');
  await approve(id);
  expect(await watchOfNext()).toBe('PT3H');
  clock.advance(30 * DAY);
  expect(await watchOfNext()).toBe('PT1H');
});

it('is said on the rotation it changed', async () => {
  const deviation = await request();
  await approve(deviation.id);
  const { id } = await world.request(familyId);
  const recorded = (await world.facts(id)).filter(({ type }) => type === 'DeviationRecorded');
  expect(recorded.map(({ data }) => data)).toEqual([
    {
      what: 'the family departs from its policy: stopEmitting P100D, watch PT3H',
      reason: 'RA-12',
      until: '2026-04-01T09:00:00.000Z',
      family: { deviation: deviation.id, approvedBy: world.approver },
    },
  ]);
});

it('is owed a look at its end, and that stays owed until somebody closes it', async () => {
  const { id } = await request(30);
  const owed = async (): Promise<readonly string[]> =>
    obligationRows(await input())
      .filter(({ kind }) => kind === 'deviation-end')
      .map(({ status, what }) => `${status}: ${what}`);
  expect(await owed()).toEqual([]);
  await approve(id);
  expect(await owed()).toEqual(['ok: a deviation from the policy ends: stopEmitting P100D, watch PT3H']);
  clock.advance(30 * DAY);
  expect(await owed()).toEqual([
    'overdue: a deviation from the policy ended, the policy binds again: stopEmitting P100D, watch PT3H',
  ]);
  expect(overdueRows(await input()).some(({ kind }) => kind === 'deviation-end')).toBe(true);
  await ask({ type: 'close', deviation: id, reason: 'looked at' });
  expect(await owed()).toEqual([]);
});

it('moves the date a rotation is due while it is in force, and says so', async () => {
  const { id: rotation } = await world.request(familyId);
  await world.approve(rotation);
  await world.leapToEnd(rotation);
  const row = async (): Promise<unknown> =>
    scheduleRows(await input()).flatMap((each) =>
      each.kind === 'rotation' ? [[each.status, each.departures]] : [],
    );
  clock.advance(80 * DAY);
  await approve((await request(15)).id);
  clock.advance(11 * DAY);
  expect(await row()).toEqual([
    ['due-soon', [expect.stringMatching(/^stopEmitting P100D, watch PT3H, until 2026-/)]],
  ]);
  clock.advance(5 * DAY);
  expect(await row()).toEqual([['overdue', []]]);
});

it.each<[string, () => Promise<unknown>, string]>([
  ['past its end', () => request(-1), 'deviation.expired'],
  ['for two years', () => request(730), 'deviation.too-long'],
  ['that contradicts the rest', () => request(30, { stopEmitting: 'P121D' }), 'policy.periods-contradict'],
  [
    'approved by who asked',
    async () => approve((await request()).id, world.requester),
    'deviation.own-approval',
  ],
  ['nobody asked for', () => approve('5b0d7d9e-6f6e-4a57-8a70-0b3f0f6f2c31'), 'deviation.not-found'],
  [
    'approved after its end',
    async () => {
      const { id } = await request(1);
      clock.advance(DAY);
      return approve(id);
    },
    'deviation.expired',
  ],
  [
    'beside one that waits for its approval',
    async () => {
      await request();
      return request(30, { watch: 'PT9H' });
    },
    'deviation.standing',
  ],
  [
    'that the policy no longer bears when it is approved',
    async () => {
      const { id } = await request(30, { stopEmitting: 'P119D' });
      await amend({ stopAccepting: 'P100D' });
      return approve(id);
    },
    'policy.periods-contradict',
  ],
  [
    'closed before it was approved',
    async () => {
      const { id } = await request();
      await ask({ type: 'close', deviation: id, reason: 'withdrawn' });
      return approve(id);
    },
    'deviation.closed',
  ],
])('one %s is refused', async (_, work, code) => {
  await expect(work()).rejects.toMatchObject({ code });
  expect(
    (await world.family(familyId)).deviations?.some(({ approvedAt }) => approvedAt !== undefined) ?? false,
  ).toBe(false);
});

it('stands alone: a second is refused while one is in force, and welcome after its end', async () => {
  await approve((await request(30)).id);
  await expect(request(60, { watch: 'PT9H' })).rejects.toMatchObject({ code: 'deviation.standing' });
  clock.advance(30 * DAY);
  await approve((await request(60, { watch: 'PT9H' })).id);
  expect(await watchOfNext()).toBe('PT9H');
});

it('closed early, the policy binds again at once', async () => {
  const { id } = await request(30);
  await approve(id);
  await ask({ type: 'close', deviation: id, reason: 'the partner has an endpoint' });
  expect(await watchOfNext()).toBe('PT1H');
});

it('of a family no policy selects has nothing to depart from', async () => {
  const other = await world.registerFamily({ name: 'other', algorithm: 'ES256' });
  const lonely = new AskDeviationHandler(world.ledger, { policyIds: () => Promise.resolve([]) });
  const asked = lonely.execute(
    new AskDeviation(world.context(), other.id, {
      type: 'request',
      departs: { watch: 'PT3H' },
      reason: 'r',
      until: '2026-04-01T00:00:00.000Z',
    }),
  );
  await expect(asked).rejects.toMatchObject({ code: 'deviation.no-policy' });
});
