import { interceptFailpoint } from '#platform';
import { ManualClock } from '#platform/testing';
import { ChangePolicy, ChangePolicyHandler, type RotationWish } from '#rotation/application';
import { World } from '../support/world.js';

/** A rotation covered by a standing approval begins without anybody awake: its granter is the approver, and never its requester. */

const DAY = 86_400_000;

let clock: ManualClock;
let world: World;
let familyId: string;
let policyId: string;

beforeEach(async () => {
  clock = new ManualClock('2026-03-02T09:00:00.000Z');
  world = await World.open({ clock });
  policyId = (await world.policy({ approvals: 1 })).id;
  familyId = (await world.registerFamily({ name: 'jwt', algorithm: 'ES256', artefactLife: 'PT1H' })).id;
  await world.registerConsumer(familyId, { name: 'api', roles: ['emitter', 'verifier'], cacheTtl: 'PT5M' });
});

afterEach(() => world.close());

/** The author of the policy is the requester too; a third subject grants. */
const change = (what: ChangePolicy['change'], by = world.approver): Promise<unknown> =>
  new ChangePolicyHandler(world.ledger).execute(new ChangePolicy(world.context(by), policyId, what));

const grant = (days = 90, by = world.approver): Promise<unknown> =>
  change(
    {
      type: 'grant',
      until: new Date(clock.now() + days * DAY).toISOString(),
      reason: 'CAB-1182',
      strategies: ['graceful'],
    },
    by,
  );

async function asked(wish: Partial<RotationWish> = {}): Promise<{
  readonly phase: string;
  readonly by: readonly string[];
  readonly approved: readonly unknown[];
}> {
  const { id } = await world.request(familyId, wish);
  const { phase, approvals } = await world.rotation(id);
  const facts = await world.facts(id);
  return {
    phase,
    by: approvals.map(({ subject }) => subject),
    approved: facts.filter(({ type }) => type === 'RotationApproved').map(({ data }) => data),
  };
}

it('counts as one approval, by whoever granted it', async () => {
  await grant();
  const { phase, by, approved } = await asked();
  expect([phase, by]).toEqual(['approved', [world.approver]]);
  expect(approved).toEqual([
    { standing: expect.objectContaining({ policy: policyId, grantedBy: world.approver }) },
  ]);
});

it('a rotation it covers runs to its end with nobody else asked', async () => {
  await grant();
  const { id } = await world.request(familyId);
  expect((await world.leapToEnd(id)).phase).toBe('completed');
});

it('is one of two where a policy asks for two', async () => {
  const { id } = await world.policy(
    { approvals: 2 },
    { name: 'two', selector: { environment: 'production' } },
  );
  policyId = id;
  await grant();
  const { phase, by } = await asked();
  expect([phase, by]).toEqual(['requested', [world.approver]]);
});

it('never approves what its granter asks for', async () => {
  await grant(90, world.approver);
  world = Object.assign(world, { requester: world.approver });
  expect(await asked()).toMatchObject({ phase: 'requested', by: [] });
});

it('approves nothing past its end, after it was revoked, or that departs from the policy', async () => {
  await grant(10);
  clock.advance(10 * DAY);
  expect(await asked()).toMatchObject({ phase: 'requested', approved: [] });
});

it('approves nothing of a later revision of the policy', async () => {
  await grant();
  const { state } = await world.ledger.policy(policyId);
  if (state.details === undefined) throw new Error('the policy has no details');
  const { selector: _selector, ...details } = state.details;
  const now = new Date(clock.now()).toISOString();
  await change(
    {
      type: 'amend',
      details: { ...details, effectiveFrom: now, terms: { ...details.terms, watch: 'PT2H' } },
    },
    world.requester,
  );
  const { state: amended } = await world.ledger.policy(policyId);
  await change({ type: 'approve', revision: amended.revision });
  expect(await asked()).toMatchObject({ phase: 'requested', approved: [] });
});

it('does not approve a deviation', async () => {
  await grant();
  const deviation = { reason: 'in a hurry', until: new Date(clock.now() + DAY).toISOString() };
  expect(await asked({ windows: { accept: 'PT1M' }, deviation })).toMatchObject({
    phase: 'requested',
    approved: [],
  });
});

it('that was in force when it was asked approves after a crash in the opening, though it ended meanwhile', async () => {
  await grant(10);
  const died = new Error('died here');
  const disarm = interceptFailpoint('seam:slot-opened', () => {
    throw died;
  });
  await expect(world.request(familyId)).rejects.toBe(died);
  disarm();
  clock.advance(11 * DAY);
  const slot = (await world.family(familyId)).slot;
  await world.runner.advance(slot?.rotation ?? '', familyId);
  expect((await world.rotation(slot?.rotation ?? '')).approvals.map(({ subject }) => subject)).toEqual([
    world.approver,
  ]);
});
