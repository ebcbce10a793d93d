import type { StepName } from '../domain/step.events.js';
import { APPROVER, HOUR } from './fixtures.js';
import type { Injection, SimulatedWorld } from './simulation.js';

/** Ways into every phase of a planned rotation, and into every step in flight. */

function must(holds: boolean, otherwise: string): void {
  if (!holds) throw new Error(otherwise);
}

export type Setup = (world: SimulatedWorld, id: string) => void;

export function until(world: SimulatedWorld, reached: () => boolean, what: string): void {
  const limit = world.now + 12 * HOUR;
  for (let turn = 0; turn < 1_000 && world.now < limit; turn += 1) {
    if (reached()) return;
    world.wakeNext(limit);
    world.run();
  }
  throw new Error(`${what} was never reached`);
}

export const approve: Setup = (world, id) => {
  world.ask(id, { type: 'ApproveRotation', subject: APPROVER, now: world.now }, APPROVER);
};
export const accepting: Setup = (world, id) => {
  approve(world, id);
  world.run();
};
export const emitting: Setup = (world, id) => {
  accepting(world, id);
  world.confirmAll(id, 'verifier');
  until(world, () => world.rotation(id).switched !== undefined, 'the switch');
};
export const draining: Setup = (world, id) => {
  emitting(world, id);
  world.confirmAll(id, 'emitter');
  world.run();
};
const rollingBack: Setup = (world, id) => {
  emitting(world, id);
  must(world.rollBack(id) === undefined, 'it was refused to roll back');
};

export const phases: Readonly<Record<string, { readonly setup: Setup; readonly phase: string }>> = {
  requested: { setup: () => undefined, phase: 'requested' },
  approved: { setup: approve, phase: 'approved' },
  generated: {
    setup: (world, id) => {
      world.injectAt.set('accept', ['transient']);
      accepting(world, id);
    },
    phase: 'generated',
  },
  accepting: { setup: accepting, phase: 'accepting' },
  emitting: { setup: emitting, phase: 'emitting' },
  draining: { setup: draining, phase: 'draining' },
  revoked: {
    setup: (world, id) => {
      world.injectAt.set(
        'verify',
        Array.from({ length: 7 }, (): Injection => 'transient'),
      );
      draining(world, id);
      until(world, () => world.rotation(id).revoked !== undefined, 'the revocation');
    },
    phase: 'revoked',
  },
  watching: {
    setup: (world, id) => {
      draining(world, id);
      until(world, () => world.rotation(id).verified !== undefined, 'the verification');
    },
    phase: 'watching',
  },
  'rolling back, before the return': { setup: rollingBack, phase: 'rolling-back' },
  'rolling back, after the return': {
    setup: (world, id) => {
      rollingBack(world, id);
      world.run();
      must(world.rotation(id).returned !== undefined, 'emission did not return');
    },
    phase: 'rolling-back',
  },
  paused: {
    setup: (world, id) => {
      accepting(world, id);
      world.ask(id, { type: 'PauseRotation', reason: 'a release is under way' });
      world.run();
      must(world.rotation(id).paused, 'it is not paused');
    },
    phase: 'accepting',
  },
  suspended: {
    setup: (world, id) => {
      world.injectAt.set('accept', ['config']);
      accepting(world, id);
      must(world.rotation(id).suspended?.code === 'step.accept.config', 'it is not suspended');
    },
    phase: 'generated',
  },
};

export const IN_FLIGHT: readonly StepName[] = [
  'generate',
  'accept',
  'emit',
  'revoke',
  'verify',
  'return',
  'withdraw',
];
export const FATES: readonly Injection[] = ['crash-before-effect', 'crash-after-effect', 'crash-late'];

/** The worker died with this step in flight. */
export function inFlight(step: StepName, fate: Injection): Setup {
  return (world, id) => {
    world.injectAt.set(step, [fate]);
    const open = (): boolean => world.rotation(id).steps.open?.step === step;
    approve(world, id);
    world.run();
    if (!open()) world.confirmAll(id, 'verifier');
    if (step === 'return' || step === 'withdraw') {
      until(world, () => world.rotation(id).switched !== undefined, 'the switch');
      world.rollBack(id);
      world.run();
      if (step === 'withdraw') world.confirmAll(id, 'emitter');
    } else if (step === 'revoke' || step === 'verify') {
      until(world, () => world.rotation(id).switched !== undefined, 'the switch');
      world.confirmAll(id, 'emitter');
    }
    until(world, open, `an open ${step}`);
  };
}
