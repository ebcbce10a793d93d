import { describe, expect, it } from '@jest/globals';
import {
  accepting,
  approve,
  brokenAtTheEnd,
  DAY,
  draining,
  emitting,
  help,
  HOUR,
  INJECTIONS,
  MINUTE,
  SECOND,
  SimulatedWorld,
  someConsumer,
  someConsumers,
  someDetails,
  until,
  watchLaws,
  windowsByDesign,
  type Injection,
  type WorldOptions,
} from '../testing/index.js';
import { WEEKDAYS } from './calendar.js';
import type { FamilySchedule } from './family.events.js';
import { backOff, MOST_PASSING_FAULTS } from './saga/attempts.js';
import { CLOCK_TOLERANCE_MS } from './holds.state.js';
import { nextStep } from './rotation.saga.js';
import { STEPS, type StepName } from './step.events.js';
import { SEAMS, STEP_BOUNDARIES, stepTable } from './step-table.js';
import { stepOfOutcome } from './steps.state.js';

/** What an attempt may meet, alone, and after an attempt that nobody knows the outcome of. */
const UNKNOWNS: readonly Injection[] = [
  'unknown-done',
  'unknown-not-done',
  'crash-after-effect',
  'crash-late',
];
const SECONDS: readonly Injection[] = [
  'unobservable',
  'observing-refused',
  'view-moved',
  'crash-before-effect',
];
const sequences: readonly (readonly Injection[])[] = [
  ...INJECTIONS.map((injection) => [injection]),
  ...UNKNOWNS.flatMap((first) => SECONDS.map((second) => [first, second])),
];
/** What time does not heal: a person is asked, with this code. */
const PERSON: Readonly<Partial<Record<Injection, string>>> = {
  auth: 'auth',
  config: 'config',
  quota: 'quota',
  'observing-refused': 'auth',
};

/** Open all the time: what a cutover asks for, and never waits for. */
const ANY_TIME: FamilySchedule = {
  changeWindows: [{ weekdays: [...WEEKDAYS], from: '00:00', to: '00:00', timeZone: 'UTC' }],
};

/** A family without overlap, for the steps only it has. */
function worldFor(step: StepName): WorldOptions {
  return step === 'cutover' || step === 'cutback'
    ? { details: someDetails({ overlap: 'none' }), schedule: ANY_TIME }
    : {};
}

/** Lifting and destroying are processes of their own: process.saga.spec.ts. */
type RotationStep = Exclude<StepName, 'lift' | 'destroy'>;
const ROTATION_STEPS = STEPS.filter((step): step is RotationStep => step !== 'lift' && step !== 'destroy');

function start(step: RotationStep, world: SimulatedWorld): string {
  const cuts = step === 'cutover' || step === 'cutback';
  const { id } = world.request(cuts ? { strategy: 'cutover' } : {});
  const way: Readonly<Record<RotationStep, () => void>> = {
    generate: () => {
      accepting(world, id);
    },
    accept: () => {
      accepting(world, id);
    },
    emit: () => {
      accepting(world, id);
    },
    revoke: () => {
      draining(world, id);
    },
    verify: () => {
      draining(world, id);
    },
    return: () => {
      emitting(world, id);
      world.rollBack(id);
    },
    cutover: () => {
      approve(world, id);
      world.run();
    },
    cutback: () => {
      approve(world, id);
      world.run();
      world.rollBack(id);
    },
    reaccept: () => {
      draining(world, id);
      until(world, () => world.rotation(id).revoked !== undefined, 'the revocation');
      world.rollBack(id);
    },
    withdraw: () => {
      emitting(world, id);
      world.rollBack(id);
    },
    contain: () => {
      world.emergency(['old']);
    },
  };
  way[step]();
  return id;
}

describe('nextStep × every outcome', () => {
  let proved = 0;
  const worlds = [
    { othersAreDead: true, outlivesProcess: false },
    { othersAreDead: true, outlivesProcess: true },
    { othersAreDead: false, outlivesProcess: true },
  ];

  describe.each(ROTATION_STEPS)('%s', (step) => {
    it.each(sequences.map((sequence) => [sequence.join(', then '), sequence] as const))(
      '%s',
      (_n, sequence) => {
        for (const options of worlds) {
          const world = new SimulatedWorld({ ...options, ...worldFor(step) });
          watchLaws(world);
          world.injectAt.set(step, sequence);
          const id = start(step, world);
          const codes: string[] = [];
          for (let hour = 0; hour < 10; hour += 1) {
            help(world, id);
            world.elapse(HOUR);
            const { suspended } = world.rotation(id);
            if (suspended !== undefined) {
              codes.push(suspended.code);
              expect(suspended.person).toBe('Platform on call');
              world.ask(id, { type: 'RetryRotation' });
            }
          }
          expect(world.injectAt.get(step)).toEqual([]);
          const last = sequence.at(-1) ?? 'ok';
          const code = PERSON[last];
          // A probe is not observed but made again; a containment asks in a stream of its own.
          const asks = code !== undefined && step !== 'contain';
          expect(codes).toEqual(asks ? [`step.${step}.${code}`] : []);
          const back = stepTable[step].direction === 'back';
          expect(world.rotation(id).phase).toBe(
            step === 'contain' ? 'superseded' : back ? 'rolled-back' : 'completed',
          );
          expect(brokenAtTheEnd(world)).toEqual([]);
          proved += 1;
        }
      },
    );
  });

  it('the whole table was proved', () => {
    const all = ROTATION_STEPS.length * (15 + 4 * 4) * 3;
    expect(proved).toBe(all);
    console.info(`step × outcome × kind of takeover: ${proved} of ${all}`);
  });
});

describe('the step table', () => {
  it('has a row for each step, and each outcome belongs to its step', () => {
    expect(Object.keys(stepTable).sort()).toEqual([...STEPS].sort());
    for (const step of STEPS) expect(stepOfOutcome(stepTable[step].outcome)).toBe(step);
    expect(new Set(SEAMS).size).toBe(SEAMS.length);
    expect(STEP_BOUNDARIES).toHaveLength(4);
  });

  it('emit, revoke and a rollback’s own withdrawal wait for the clocks; its return does not', () => {
    expect(STEPS.filter((step) => stepTable[step].clockBound)).toEqual([
      'emit',
      'revoke',
      'withdraw',
      'cutover',
      'destroy',
    ]);
    expect(STEPS.filter((step) => stepTable[step].direction === 'back')).toEqual([
      'return',
      'withdraw',
      'reaccept',
      'cutback',
    ]);
  });
});

describe('retries are bounded', () => {
  it('1 s, 2 s, 4 s … at most 5 min', () => {
    expect([1, 2, 3, 9, 10, 60].map(backOff)).toEqual([1_000, 2_000, 4_000, 256_000, 300_000, 300_000]);
  });

  it('Vault PR 28989: after eight passing faults a person is asked, and a retry starts a new count', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    world.injectAt.set(
      'generate',
      Array.from({ length: MOST_PASSING_FAULTS + 3 }, (): Injection => 'transient'),
    );
    accepting(world, id);
    world.elapse(HOUR);
    expect(world.rotation(id).suspended?.code).toBe('step.generate.keeps-failing');
    expect(world.rotation(id).steps.attempts.generate).toBe(MOST_PASSING_FAULTS);
    world.ask(id, { type: 'RetryRotation' });
    world.elapse(HOUR);
    expect(world.rotation(id).suspended).toBeUndefined();
    expect(world.rotation(id).phase).toBe('accepting');
  });

  it('what an emergency waits for is looked at within 15 s, however often that failed before', () => {
    const world = new SimulatedWorld();
    watchLaws(world);
    const { id } = world.request();
    const failures = Array.from({ length: 6 }, (): Injection => 'unobservable');
    world.injectAt.set('emit', ['unknown-done', ...failures]);
    accepting(world, id);
    world.confirmAll(id, 'verifier');
    until(world, () => world.rotation(id).steps.failure?.passing === 7, 'the seventh failure');
    expect(backOff(7)).toBe(64 * SECOND);
    const emergency = world.emergency(['old']);
    world.elapse(15 * SECOND);
    expect(world.rotation(id).phase).toBe('superseded');
    expect(world.rotation(id).switched).toBeDefined();
    world.elapse(2 * HOUR);
    expect(world.rotation(emergency.id).phase).toBe('completed');
    expect(brokenAtTheEnd(world)).toEqual([]);
  });

  it('a retry is followed by back-off even while the clock stands still', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    world.injectAt.set('generate', ['config', ...Array.from({ length: 5 }, (): Injection => 'transient')]);
    accepting(world, id);
    world.ask(id, { type: 'RetryRotation' });
    world.run();
    expect(world.rotation(id).steps.attempts.generate).toBe(2);
  });
});

describe('a planned rotation', () => {
  const windows = windowsByDesign(someConsumers(), someDetails().artefactLife);

  it('Vault #9201: the new key is published long before anything is signed with it', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    accepting(world, id);
    world.confirmAll(id, 'verifier');
    world.elapse(windows.accept - 1);
    expect(world.backEnd.accepted()).toEqual(['old', world.incomingOf(id)]);
    expect(world.backEnd.emitting()).toEqual(['old']);
    world.elapse(1);
    expect(world.backEnd.emitting()).toEqual([world.incomingOf(id)]);
  });

  it('kamaji #1325: widen, switch, and drop only after the drain, from the last confirmed emitter', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    emitting(world, id);
    world.elapse(HOUR);
    world.confirmAll(id, 'emitter');
    world.elapse(windows.drain - 1);
    expect(world.backEnd.accepted()).toContain('old');
    world.elapse(1);
    expect(world.backEnd.accepted()).toEqual([world.incomingOf(id)]);
  });

  it('windows run on in a pause, and the pause itself shortens none', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    accepting(world, id);
    world.confirmAll(id, 'verifier');
    world.ask(id, { type: 'PauseRotation', reason: 'a release' });
    world.elapse(windows.accept + HOUR);
    expect(world.backEnd.emitting()).toEqual(['old']);
    world.ask(id, { type: 'ResumeRotation' });
    world.run();
    expect(world.backEnd.emitting()).toEqual([world.incomingOf(id)]);
  });

  it('an overridden emitter counts from the switch plus its own propagation', () => {
    const lone = someConsumer(1, { instances: 2, cacheTtl: 'PT2H', deployPropagation: 'PT30M' });
    const world = new SimulatedWorld({ consumers: [lone] });
    watchLaws(world);
    const { id } = world.request();
    emitting(world, id);
    world.ask(id, {
      type: 'OverrideConfirmation',
      gate: 'emission-confirmations',
      consumerId: lone.consumerId,
      reason: 'half of it is retired',
    });
    const { drain } = windowsByDesign([lone], 'PT1H');
    const switchedAt = world.rotation(id).switched?.at ?? 0;
    until(world, () => world.rotation(id).revoked !== undefined, 'the revocation');
    expect(world.rotation(id).revoked?.at).toBe(switchedAt + 2 * HOUR + 30 * MINUTE + drain);
    expect(world.violations).toEqual([]);
  });

  it('one consumer switches one emitter at a time: who waits says for whom, and gives the switch back', () => {
    const world = new SimulatedWorld();
    const [api] = someConsumers();
    const { id } = world.request();
    accepting(world, id);
    world.confirmAll(id, 'verifier');
    world.claims.set(api?.consumerId ?? '', 'rotation-of-a-neighbour');
    world.elapse(2 * HOUR);
    expect(world.backEnd.emitting()).toEqual(['old']);
    expect(world.waits.get(id)).toContain('rotation-of-a-neighbour');
    world.claims.delete(api?.consumerId ?? '');
    world.elapse(10 * SECOND);
    expect(world.backEnd.emitting()).toEqual([world.incomingOf(id)]);
    world.confirmAll(id, 'emitter');
    world.elapse(HOUR - 1);
    expect(world.claims.get(api?.consumerId ?? '')).toBe(`rotation-${id}`);
    world.elapse(1);
    expect(world.claims.size).toBe(0);
  });

  it.each([
    [
      'is removed',
      (world: SimulatedWorld, consumerId: string): void => {
        world.decideFamily({ type: 'RemoveConsumer', consumerId, reason: 'it is switched off' });
      },
    ],
    [
      'only verifies from then on',
      (world: SimulatedWorld, consumerId: string): void => {
        const before = world.family.state.consumers.find((each) => each.consumerId === consumerId);
        if (before === undefined) throw new Error('it is not known');
        world.decideFamily({ type: 'ReviseConsumer', consumer: { ...before, roles: ['verifier'] } });
      },
    ],
  ] as const)('an emitter that %s in mid-rotation gives its switch back with the others', (_what, leaves) => {
    const world = new SimulatedWorld();
    watchLaws(world);
    const worker = someConsumer(3).consumerId;
    const { id } = world.request();
    emitting(world, id);
    expect(world.claims.get(worker)).toBe(`rotation-${id}`);
    leaves(world, worker);
    world.run();
    expect(world.rotation(id).plan?.consumers.find((each) => each.consumerId === worker)?.roles).not.toEqual(
      expect.arrayContaining(['emitter']),
    );
    world.confirmAll(id, 'verifier');
    world.confirmAll(id, 'emitter');
    world.elapse(DAY);
    expect(world.rotation(id).phase).toBe('completed');
    expect([...world.claims]).toEqual([]);
    expect(world.violations).toEqual([]);
  });

  it('what is overridden for one emitter takes over no other’s switch', () => {
    const world = new SimulatedWorld();
    const [api, , worker] = someConsumers();
    const { id } = world.request();
    accepting(world, id);
    world.confirmAll(id, 'verifier');
    world.ask(id, {
      type: 'OverrideConfirmation',
      gate: 'emitter-switch',
      consumerId: api?.consumerId ?? '',
      reason: 'its other rotation is settled',
    });
    world.now += windows.accept;
    // Both are free when it looks, and taken before it claims.
    const decision = nextStep(world.view(id), world.now);
    expect(decision).toMatchObject({
      kind: 'claim-switch',
      consumers: [api?.consumerId, worker?.consumerId],
      takeOver: [api?.consumerId],
    });
    world.claims.set(worker?.consumerId ?? '', 'rotation-of-a-neighbour');
    world.claims.set(api?.consumerId ?? '', 'rotation-of-a-neighbour');
    world.elapse(HOUR);
    expect(world.backEnd.emitting()).toEqual(['old']);
    expect(world.claims.get(worker?.consumerId ?? '')).toBe('rotation-of-a-neighbour');
  });

  it.each([
    ['behind the newest record', 2 * CLOCK_TOLERANCE_MS, 0],
    ['before the back end’s', 0, CLOCK_TOLERANCE_MS + 1],
    ['after the back end’s', 0, -CLOCK_TOLERANCE_MS - 1],
  ])('with the clock %s it holds before emit, and goes on when they agree', (_what, behind, ahead) => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    accepting(world, id);
    world.confirmAll(id, 'verifier');
    world.behindMs = behind;
    world.backEndAheadMs = ahead;
    world.elapse(windows.accept + MINUTE);
    expect(world.backEnd.emitting()).toEqual(['old']);
    world.behindMs = 0;
    world.backEndAheadMs = 0;
    world.elapse(MINUTE);
    expect(world.backEnd.emitting()).toEqual([world.incomingOf(id)]);
  });

  it('with the clocks apart an emit in flight is found out about, not repeated', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    accepting(world, id);
    world.confirmAll(id, 'verifier');
    world.injectAt.set('emit', ['unknown-not-done']);
    until(world, () => world.rotation(id).steps.failure !== undefined, 'the unknown emit');
    world.backEndAheadMs = HOUR;
    world.elapse(10 * MINUTE);
    expect(world.rotation(id).steps.failure?.errorClass).toBe('not-done');
    expect(world.backEnd.emitting()).toEqual(['old']);
  });

  it('an emit in flight whose switch a neighbour’s emergency took over is found out about, not repeated', () => {
    const world = new SimulatedWorld();
    watchLaws(world);
    const [api] = someConsumers();
    const { id } = world.request();
    accepting(world, id);
    world.confirmAll(id, 'verifier');
    world.injectAt.set('emit', ['unknown-not-done']);
    until(world, () => world.rotation(id).steps.failure !== undefined, 'the unknown emit');
    world.claims.set(api?.consumerId ?? '', 'rotation-of-a-neighbour');
    world.elapse(10 * MINUTE);
    expect(world.rotation(id).steps.failure?.errorClass).toBe('not-done');
    expect(world.backEnd.emitting()).toEqual(['old']);
    expect(world.waits.get(id)).toContain('rotation-of-a-neighbour');
    expect(world.violations).toEqual([]);
  });

  it('the first rotation of a family has nothing to revoke and completes', () => {
    const world = new SimulatedWorld({ versions: [] });
    watchLaws(world);
    const { id } = world.request();
    draining(world, id);
    world.elapse(2 * HOUR);
    expect(world.rotation(id).phase).toBe('completed');
    expect(world.plan(id).steps).toEqual(['generate', 'accept', 'emit']);
    expect(brokenAtTheEnd(world)).toEqual([]);
  });

  it('what the back end finds still accepted after the revocation is never called verified', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    draining(world, id);
    world.injectAt.set('verify', ['transient']);
    until(world, () => world.rotation(id).revoked !== undefined, 'the revocation');
    world.backEnd.versions = world.backEnd.versions.map((version) => ({ ...version, accepted: true }));
    world.elapse(HOUR);
    expect(world.rotation(id).suspended?.code).toBe('step.verify.refuted');
    expect(world.rotation(id).verified).toBeUndefined();
  });
});

describe('a rollback', () => {
  const windows = windowsByDesign(someConsumers(), someDetails().artefactLife);

  it('Teleport #4513: keeps trusting the new key until what it emitted has drained', () => {
    const world = new SimulatedWorld();
    watchLaws(world);
    const { id } = world.request();
    emitting(world, id);
    world.rollBack(id);
    world.run();
    expect(world.backEnd.emitting()).toEqual(['old']);
    world.elapse(3 * HOUR);
    // Nobody confirmed the way back: nothing is withdrawn.
    expect(world.backEnd.accepted()).toContain(world.incomingOf(id));
    world.confirmAll(id, 'emitter');
    world.elapse(windows.drain - 1);
    expect(world.backEnd.accepted()).toContain(world.incomingOf(id));
    world.elapse(1);
    expect(world.backEnd.accepted()).toEqual(['old']);
    expect(world.rotation(id).phase).toBe('rolled-back');
    expect(brokenAtTheEnd(world)).toEqual([]);
  });

  it('before any emission the new version goes at once', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    accepting(world, id);
    world.rollBack(id);
    world.run();
    expect(world.rotation(id).phase).toBe('rolled-back');
    expect(world.backEnd.accepted()).toEqual(['old']);
  });

  it('its way back to the old version waits for no clock; its withdrawal does', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    emitting(world, id);
    world.backEndAheadMs = HOUR;
    world.rollBack(id);
    world.run();
    expect(world.backEnd.emitting()).toEqual(['old']);
    world.confirmAll(id, 'emitter');
    world.elapse(windows.drain + HOUR);
    expect(world.backEnd.accepted()).toContain(world.incomingOf(id));
    world.backEndAheadMs = 0;
    world.elapse(MINUTE);
    expect(world.rotation(id).phase).toBe('rolled-back');
  });

  it('Phase console, Infisical PR 7483: a withdrawal that failed is tried again, never forgotten', () => {
    const world = new SimulatedWorld();
    const { id } = world.request();
    accepting(world, id);
    world.injectAt.set('withdraw', ['transient', 'quota']);
    world.rollBack(id);
    world.elapse(HOUR);
    expect(world.rotation(id).suspended?.code).toBe('step.withdraw.quota');
    world.ask(id, { type: 'RetryRotation' });
    world.run();
    expect(world.rotation(id).phase).toBe('rolled-back');
    expect(world.backEnd.accepted()).toEqual(['old']);
  });
});
