import { describe, expect, it } from '@jest/globals';
import {
  accepting,
  approve,
  draining,
  emitting,
  HOUR,
  MINUTE,
  SimulatedWorld,
  someConsumer,
  someDetails,
  until,
} from '../testing/index.js';
import { WEEKDAYS } from './calendar.js';
import { initialContainment } from './containment.state.js';
import { nextStep } from './rotation.saga.js';
import { COMPARE_MS } from './saga/attested-truth.js';
import type { Decision, RotationView } from './saga/view.js';
import type { StepName } from './step.events.js';

/** What people say is believed until it can be seen, and never against what is seen. */

function take(world: SimulatedWorld, id: string, step: StepName): void {
  until(
    world,
    () =>
      world.ask(id, { type: 'SwitchToAttested', step, reason: 'it is sealed', now: world.now }) === undefined,
    `${step} in people’s hands`,
  );
}

function attest(world: SimulatedWorld, id: string, step: StepName, versionId?: string): string | undefined {
  const refused = world.ask(id, {
    type: 'AttestStep',
    step,
    attestation: { evidence: { link: 'https://changes.example/1', note: 'done by hand' } },
    now: world.now,
    ...(versionId === undefined ? {} : { generated: { versionId } }),
  });
  world.run();
  return refused;
}

describe('an emergency over a step people took', () => {
  it('waits for no attestation: it is recorded that nobody could settle it, and the emergency goes on', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    world.injectAt.set('emit', ['unknown-not-done']);
    accepting(world, id);
    until(
      world,
      () => {
        const unknown = world.rotation(id).steps.failure?.performed === 'unknown';
        if (unknown) world.awayUntil = Infinity;
        else for (const role of ['verifier', 'emitter'] as const) world.confirmAll(id, role);
        return unknown;
      },
      'an unknown switch',
    );
    take(world, id, 'emit');
    const emergency = world.emergency(['old'], { contain: false }).id;
    world.elapse(10 * MINUTE);
    expect(world.rotation(id).phase).toBe('superseded');
    expect(world.rotationEvents(id).some((event) => event.type === 'NoteAdded')).toBe(true);
    expect(world.rotation(emergency).plan).toBeDefined();
  });
});

describe('what the back end contradicts', () => {
  it('a cutover or cutback that is not so no longer counts', () => {
    const world = new SimulatedWorld({
      details: someDetails({ overlap: 'none' }),
      schedule: {
        changeWindows: [{ weekdays: [...WEEKDAYS], from: '00:00', to: '00:00', timeZone: 'UTC' }],
      },
    });
    const { id } = world.request({ strategy: 'cutover' });
    approve(world, id);
    world.run();
    expect(world.rotation(id).switched).toBeDefined();
    world.awayUntil = Infinity;
    world.rollBack(id);
    world.run();
    take(world, id, 'cutback');
    expect(attest(world, id, 'cutback')).toBeUndefined();
    world.awayUntil = 0;
    world.run();
    expect(world.rotation(id).phase).toBe('rolling-back');
    for (let hour = 0; hour < 6; hour += 1) {
      world.confirmAll(id, 'emitter');
      world.elapse(HOUR);
    }
    expect(world.rotation(id).phase).toBe('rolled-back');
    expect(world.backEnd.emitting()).toEqual(['old']);
    expect(world.backEnd.accepted()).toEqual(['old']);
  });

  it('a cohort that is not so leaves the cohorts before it', () => {
    const world = new SimulatedWorld();
    const cohorts = [25, 60, 100].map((share) => ({ share, hold: 'PT1H' }));
    const { id } = world.request({ strategy: 'rolling', cohorts });
    emitting(world, id);
    world.confirmAll(id, 'emitter');
    world.awayUntil = Infinity;
    take(world, id, 'emit');
    expect(attest(world, id, 'emit')).toBeUndefined();
    expect(world.rotation(id).switched?.share).toBe(60);
    world.awayUntil = 0;
    world.run();
    const { switched, emission } = world.rotation(id);
    expect([25, 60]).toContain(switched?.share);
    const shares = world
      .rotationEvents(id)
      .flatMap((event) => (event.type === 'EmitterSwitched' ? [event.data.share] : []));
    // Never the first cohort once more.
    expect(shares.filter((share) => share === 25)).toHaveLength(1);
    expect(switched?.share === 25 ? emission.length : 1).toBeGreaterThan(0);
  });
});

describe('what people attested of a rotation that is over', () => {
  const STEPS_DONE = ['generate', 'accept', 'emit', 'revoke', 'verify'] as const;
  const SHOWN = ['generate', 'accept', 'emit', 'revoke'] as const;

  /** An emergency people carried out from its declaration to its end, while nobody could see the back end. */
  function overBlindly(): { readonly world: SimulatedWorld; readonly id: string; readonly incoming: string } {
    const world = new SimulatedWorld();
    world.awayUntil = Infinity;
    const { id } = world.emergency(['old'], { contain: false });
    world.run();
    world.elapse(3 * MINUTE);
    for (const step of STEPS_DONE) {
      take(world, id, step);
      world.run();
      expect(attest(world, id, step)).toBeUndefined();
    }
    world.elapse(24 * HOUR);
    expect(world.rotation(id).phase).toBe('completed');
    expect(world.rotation(id).unreconciled).toEqual([...STEPS_DONE]);
    return { world, id, incoming: world.incomingOf(id) };
  }

  /** What people did, as the back end shows it once it is back. */
  function shows(world: SimulatedWorld, incoming: string, oldAccepted: boolean): void {
    const [old] = world.backEnd.versions;
    if (old === undefined) throw new Error('the world has no version');
    world.backEnd.versions = [
      { ...old, accepted: oldAccepted, emittingShare: 0 },
      { ...old, versionId: incoming, accepted: true, emittingShare: 100 },
    ];
  }

  const compared = (world: SimulatedWorld, id: string) =>
    world.rotationEvents(id).flatMap((event) => (event.type === 'AttestationReconciled' ? [event.data] : []));
  const onRecord = (world: SimulatedWorld) =>
    world.family.state.versions.map(({ versionId, accepted, emittingShare }) => ({
      versionId,
      accepted,
      emittingShare,
    }));

  it('is compared once the back end can be seen, and then nobody waits any more', () => {
    const { world, id, incoming } = overBlindly();
    expect(world.waits.get(id)).toContain('the back end to show what was attested');
    shows(world, incoming, false);
    world.awayUntil = 0;
    world.elapse(10 * MINUTE);
    expect(compared(world, id)).toEqual([
      { steps: [...SHOWN], agrees: true, differences: [], notCompared: ['verify'] },
    ]);
    expect(world.rotation(id)).toMatchObject({ phase: 'completed', unreconciled: [] });
    expect(world.waits.get(id)).toBe('');
  });

  it('is contradicted once, with what is still accepted; nothing is performed, and the record is put right', () => {
    const { world, id, incoming } = overBlindly();
    shows(world, incoming, true);
    world.awayUntil = 0;
    world.elapse(24 * HOUR);
    const differences = ['The back end does not show what was attested of revoke: it still accepts old.'];
    expect(compared(world, id)).toEqual([
      { steps: ['revoke'], agrees: false, differences, notCompared: ['verify'] },
    ]);
    const { phase, unreconciled, contradicted } = world.rotation(id);
    expect([phase, unreconciled, contradicted?.steps]).toEqual(['completed', [], ['revoke']]);
    expect(world.backEnd.accepted()).toEqual(['old', incoming]);
    expect(onRecord(world)).toEqual([
      { versionId: 'old', accepted: true, emittingShare: 0 },
      { versionId: incoming, accepted: true, emittingShare: 100 },
    ]);
    expect(world.family.state.versions[0]?.compromised).toBe(true);
    expect(world.waits.get(id)).toBe('');
  });

  it('where nothing was done, the next rotation starts from what is there, and takes the compromised version out', () => {
    const { world, id, incoming } = overBlindly();
    world.awayUntil = 0;
    world.elapse(10 * MINUTE);
    expect(compared(world, id)).toMatchObject([{ steps: [...SHOWN], agrees: false }]);
    expect(onRecord(world)).toEqual([
      { versionId: 'old', accepted: true, emittingShare: 100 },
      { versionId: incoming, accepted: false, emittingShare: 0 },
    ]);
    const next = world.emergency(['old'], { contain: false }).id;
    world.run();
    expect(world.plan(next)).toMatchObject({ emittingBefore: 'old', outgoing: ['old'] });
    world.elapse(24 * HOUR);
    expect(world.rotation(next).phase).toBe('completed');
    expect(world.backEnd.accepted()).toEqual([world.incomingOf(next)]);
  });

  describe('and another rotation was opened since', () => {
    /** The decision with a later rotation in the slot, and the family's record as it left it. */
    function decided(
      { world, id }: ReturnType<typeof overBlindly>,
      change: { readonly open: boolean; readonly versions?: RotationView['family']['versions'] },
    ): Decision {
      world.awayUntil = 0;
      const view = world.view(id);
      const { slot, versions } = view.family;
      if (slot === undefined) throw new Error('it has no slot');
      const family = {
        ...view.family,
        slot: { ...slot, rotation: 'another', open: change.open },
        versions: change.versions ?? versions,
      };
      return nextStep({ ...view, family }, world.now);
    }
    const datas = (decision: Decision): unknown =>
      decision.kind === 'record' ? decision.events.map(({ data }) => data) : decision;

    it('what it may move waits for its end; that a compromised version is accepted does not', () => {
      const over = overBlindly();
      shows(over.world, over.incoming, false);
      expect(decided(over, { open: true })).toMatchObject({
        kind: 'wait',
        until: over.world.now + COMPARE_MS,
      });
      shows(over.world, over.incoming, true);
      const right = decided(over, { open: true });
      expect(right).toMatchObject({ kind: 'put-right', versions: [{ versionId: 'old', accepted: true }] });
      const versions = right.kind === 'put-right' ? right.versions : [];
      expect(datas(decided(over, { open: true, versions }))).toMatchObject([
        { steps: ['revoke'], agrees: false, notCompared: expect.arrayContaining(['emit']) },
      ]);
    });

    it('one that ended and moved nothing changes nothing', () => {
      const over = overBlindly();
      expect(decided(over, { open: false })).toMatchObject({
        kind: 'put-right',
        versions: [
          { versionId: over.incoming, accepted: false, emittingShare: 0 },
          { versionId: 'old', accepted: true, emittingShare: 100 },
        ],
      });
    });

    it('what it moved on is not compared, and never said to be shown', () => {
      const over = overBlindly();
      const [old] = over.world.backEnd.versions;
      if (old === undefined) throw new Error('the world has no version');
      const moved = [
        { ...old, accepted: false, emittingShare: 0 },
        { ...old, versionId: over.incoming, accepted: false, emittingShare: 0 },
        { ...old, versionId: 'newest', accepted: true, emittingShare: 100 },
      ];
      over.world.backEnd.versions = moved;
      const versions = over.world.backEnd.snapshots();
      expect(datas(decided(over, { open: false, versions }))).toEqual([
        {
          steps: ['generate', 'revoke'],
          agrees: true,
          differences: [],
          notCompared: ['accept', 'emit', 'verify'],
        },
      ]);
    });
  });

  it('a withdrawal that was not made is found, after an abandonment as after a rollback', () => {
    for (const way of ['abandon', 'roll back'] as const) {
      const world = new SimulatedWorld();
      const { id } = world.request();
      accepting(world, id);
      world.awayUntil = Infinity;
      if (way === 'abandon') world.ask(id, { type: 'AbandonRotation', reason: 'not now' });
      else world.rollBack(id);
      world.run();
      take(world, id, 'withdraw');
      expect(attest(world, id, 'withdraw')).toBeUndefined();
      expect(world.rotation(id).phase).toBe(way === 'abandon' ? 'abandoned' : 'rolled-back');
      world.awayUntil = 0;
      world.elapse(HOUR);
      const incoming = world.incomingOf(id);
      expect(compared(world, id)).toEqual([
        {
          steps: ['withdraw'],
          agrees: false,
          differences: [
            `The back end does not show what was attested of withdraw: it still accepts ${incoming}.`,
          ],
        },
      ]);
      expect(onRecord(world).find(({ versionId }) => versionId === incoming)?.accepted).toBe(true);
    }
  });

  it('an emission that was not moved is not believed because its version is denied on suspicion', () => {
    const { world, id, incoming } = overBlindly();
    shows(world, incoming, false);
    world.backEnd.versions = world.backEnd.versions.map((version) => ({
      ...version,
      accepted: false,
      emittingShare: version.versionId === 'old' ? 100 : 0,
    }));
    world.awayUntil = 0;
    const view = world.view(id);
    const containment = {
      ...initialContainment,
      exists: true,
      status: 'applied' as const,
      versions: [incoming],
      applied: { at: world.now, attested: false },
    };
    const decision = nextStep({ ...view, contained: [containment] }, world.now);
    const versions = decision.kind === 'put-right' ? decision.versions : [];
    expect(versions.map(({ versionId }) => versionId)).toEqual([incoming, 'old']);
    // The control: moved, and only denied, it waits until the denial is over.
    world.backEnd.versions = world.backEnd.versions.map((version) => ({
      ...version,
      emittingShare: version.versionId === incoming ? 100 : 0,
    }));
    expect(nextStep({ ...world.view(id), contained: [containment] }, world.now)).toMatchObject({
      kind: 'wait',
      waitsFor: expect.stringContaining('accept: attested'),
    });
  });
});

describe('a plan amended in its instances', () => {
  it.each([
    [3, 5, false],
    [3, 2, true],
  ])('binds what was confirmed before: %i instances, then %i', (before, after, complete) => {
    const consumers = [someConsumer(1, { instances: before })];
    const world = new SimulatedWorld({ consumers });
    const { id } = world.request();
    draining(world, id);
    // Grown from complete; shrunk onto the two that confirmed.
    if (complete) {
      world.ask(id, {
        type: 'WithdrawConfirmation',
        kind: 'emission',
        consumerId: consumers[0]?.consumerId ?? '',
        instances: ['pod-2'],
        reason: 'it was another',
      });
    }
    expect(world.rotation(id).emission[0]?.completeAt === undefined).toBe(complete);
    world.decideFamily({ type: 'ReviseConsumer', consumer: someConsumer(1, { instances: after }) });
    world.run();
    expect(world.rotation(id).emission[0]?.completeAt !== undefined).toBe(complete);
    expect(world.rotation(id).phase).toBe(complete ? 'draining' : 'emitting');
  });
});

describe('a rollback', () => {
  it('is still on its way back when a late revocation or verification comes in', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    draining(world, id);
    world.injectAt.set('revoke', ['unknown-done']);
    until(world, () => world.rotation(id).steps.failure?.step === 'revoke', 'an unknown revocation');
    expect(world.rollBack(id)).toBeUndefined();
    until(world, () => world.rotation(id).revoked !== undefined, 'the revocation found done');
    expect(world.rotation(id).phase).toBe('rolling-back');
  });
});

it('a version the family had before is never attested as the new one', () => {
  const world = new SimulatedWorld({ details: someDetails({ mode: 'attested' }) });
  const { id } = world.emergency(['old'], { contain: false });
  world.run();
  expect(attest(world, id, 'generate', 'old')).toBe('version.known');
  expect(attest(world, id, 'generate', 'v7')).toBeUndefined();
});
