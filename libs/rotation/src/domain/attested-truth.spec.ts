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
import type { RotationView } from './saga/view.js';
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

  it('is compared once the back end can be seen, and then nobody waits any more', () => {
    const { world, id, incoming } = overBlindly();
    expect(world.waits.get(id)).toContain('the back end to show what was attested');
    shows(world, incoming, false);
    world.awayUntil = 0;
    world.elapse(10 * MINUTE);
    expect(compared(world, id)).toEqual([{ steps: [...STEPS_DONE], agrees: true, differences: [] }]);
    expect(world.rotation(id)).toMatchObject({ phase: 'completed', unreconciled: [] });
    expect(world.waits.get(id)).toBe('');
  });

  it('is contradicted once, with what is still accepted; nothing is performed; it is settled when it is so', () => {
    const { world, id, incoming } = overBlindly();
    shows(world, incoming, true);
    world.awayUntil = 0;
    world.elapse(24 * HOUR);
    const contradiction = {
      steps: ['revoke'],
      agrees: false,
      differences: ['The back end does not show what was attested of revoke: it still accepts old.'],
    };
    expect(compared(world, id)).toEqual([contradiction]);
    const { phase, revoked, unreconciled, contradicted } = world.rotation(id);
    expect([phase, revoked?.versions, unreconciled]).toEqual(['completed', ['old'], ['revoke']]);
    expect(contradicted?.differences).toEqual(contradiction.differences);
    expect(world.backEnd.accepted()).toEqual(['old', incoming]);
    shows(world, incoming, false);
    world.elapse(10 * MINUTE);
    expect(compared(world, id)).toEqual([
      contradiction,
      { steps: ['revoke'], agrees: true, differences: [] },
    ]);
    expect(world.rotation(id).contradicted).toBeUndefined();
    expect(world.waits.get(id)).toBe('');
  });

  it.each([
    ['nothing was done', 'ours', ['generate', 'accept', 'emit', 'revoke']],
    ['nothing was done, and another rotation was opened since', 'another', ['revoke']],
  ] as const)('%s: of the rotation of %s, it contradicts %j', (_what, whose, steps) => {
    const { world, id } = overBlindly();
    world.awayUntil = 0;
    const view = world.view(id);
    const { slot } = view.family;
    if (slot === undefined) throw new Error('it has no slot');
    const decision = nextStep(
      whose === 'ours'
        ? view
        : { ...view, family: { ...view.family, slot: { ...slot, rotation: 'another' } } },
      world.now,
    );
    const events = decision.kind === 'record' ? decision.events : [];
    expect(events.map(({ data }) => data)).toMatchObject([{ steps: [...steps], agrees: false }]);
  });

  it('a version denied on suspicion meanwhile contradicts nobody', () => {
    const { world, id, incoming } = overBlindly();
    shows(world, incoming, false);
    world.backEnd.versions = world.backEnd.versions.map((version) => ({
      ...version,
      accepted: false,
      emittingShare: 0,
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
    const agrees = (contained: RotationView['contained']): unknown => {
      const decision = nextStep({ ...view, contained }, world.now);
      return decision.kind === 'record'
        ? decision.events.map(({ data }) => 'agrees' in data && data.agrees)
        : decision;
    };
    expect(agrees([containment])).toEqual([true]);
    // The control: nobody denied it, and it is not accepted.
    expect(agrees([])).toEqual([false]);
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
