import * as fc from 'fast-check';
import { ENDED } from '../domain/rotation.state.js';
import { APPROVER, DAY, HOUR, MINUTE, SECOND, someConsumers } from './fixtures.js';
import { INJECTIONS, SimulatedWorld, type Injection, type WorldOptions } from './simulation.js';

/** What people, consumers, time and neighbours may do to a family. */
export type Action =
  | { readonly kind: 'elapse'; readonly ms: number }
  | { readonly kind: 'request'; readonly deviating: boolean; readonly crash: boolean }
  | { readonly kind: 'approve' | 'pause' | 'resume' | 'rollback' | 'abandon' | 'retry' | 'reject' | 'help' }
  | { readonly kind: 'confirm'; readonly consumer: number; readonly role: 'verifier' | 'emitter' }
  | {
      readonly kind: 'override';
      readonly consumer: number;
      readonly gate: 'acceptance-confirmations' | 'emission-confirmations' | 'emitter-switch';
    }
  | { readonly kind: 'away'; readonly ms: number }
  | { readonly kind: 'clocks'; readonly behindMs: number; readonly aheadMs: number }
  | { readonly kind: 'neighbour'; readonly consumer: number; readonly holds: boolean }
  | {
      readonly kind: 'emergency';
      readonly leaked: number;
      readonly contain: boolean;
      readonly crash: boolean;
    };

const consumer = fc.nat({ max: someConsumers().length - 1 });

const plannedAction: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('elapse' as const),
      ms: fc.constantFrom(0, SECOND, 20 * SECOND, 7 * MINUTE, 40 * MINUTE, 2 * HOUR, 6 * HOUR),
    }),
  },
  { weight: 8, arbitrary: fc.constant({ kind: 'help' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('request' as const),
      deviating: fc.boolean(),
      crash: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'approve' as const,
        'pause' as const,
        'resume' as const,
        'rollback' as const,
        'abandon' as const,
        'retry' as const,
        'retry' as const,
      ),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'reject' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('confirm' as const),
      consumer,
      role: fc.constantFrom('verifier' as const, 'emitter' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('override' as const),
      consumer,
      gate: fc.constantFrom(
        'acceptance-confirmations' as const,
        'emission-confirmations' as const,
        'emitter-switch' as const,
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('away' as const),
      ms: fc.constantFrom(5 * SECOND, MINUTE, 5 * MINUTE),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('clocks' as const),
      behindMs: fc.constantFrom(0, 10 * SECOND, HOUR),
      aheadMs: fc.constantFrom(0, -10 * SECOND, 40 * SECOND),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('neighbour' as const), consumer, holds: fc.boolean() }),
  },
);

const emergencyAction: fc.Arbitrary<Action> = fc.record({
  kind: fc.constant('emergency' as const),
  leaked: fc.nat({ max: 7 }),
  contain: fc.boolean(),
  crash: fc.boolean(),
});

export interface History {
  readonly options: WorldOptions;
  readonly injections: readonly Injection[];
  readonly actions: readonly Action[];
}

function histories(action: fc.Arbitrary<Action>): fc.Arbitrary<History> {
  return fc.record({
    options: fc.record({ othersAreDead: fc.boolean(), outlivesProcess: fc.boolean() }),
    injections: fc.array(
      fc.oneof(
        { weight: 2, arbitrary: fc.constant('ok' as const) },
        { weight: 3, arbitrary: fc.constantFrom(...INJECTIONS) },
      ),
      { maxLength: 24 },
    ),
    actions: fc.array(action, { minLength: 4, maxLength: 40 }),
  });
}

export const plannedHistories = histories(plannedAction);
export const allHistories = histories(
  fc.oneof({ weight: 7, arbitrary: plannedAction }, { weight: 1, arbitrary: emergencyAction }),
);

/** The rotation that holds, or last held, the slot. */
export function newest(world: SimulatedWorld): string {
  return world.family.state.slot?.rotation ?? '';
}

/** Does what people would do for a rotation to go on. */
export function help(world: SimulatedWorld, id: string): void {
  world.run();
  world.ask(id, { type: 'ApproveRotation', subject: APPROVER, now: world.now }, APPROVER);
  if (world.rotation(id).pause !== undefined) world.ask(id, { type: 'ResumeRotation' });
  world.run();
  world.confirmAll(id, 'verifier');
  world.confirmAll(id, 'emitter');
}

export function act(world: SimulatedWorld, action: Action): void {
  const id = newest(world);
  const consumers = world.family.state.consumers;
  switch (action.kind) {
    case 'elapse':
      world.elapse(action.ms);
      break;
    case 'request':
      world.request(
        action.deviating
          ? {
              windows: { accept: 'PT1M', drain: 'PT2M' },
              deviation: { reason: 'the audit is tomorrow', until: '2026-12-31T00:00:00.000Z' },
            }
          : {},
        action.crash,
      );
      break;
    case 'help':
      help(world, id);
      break;
    case 'approve':
      world.ask(id, { type: 'ApproveRotation', subject: APPROVER, now: world.now }, APPROVER);
      break;
    case 'reject':
      world.ask(id, { type: 'RejectRotation', subject: APPROVER, reason: 'not now' }, APPROVER);
      break;
    case 'pause':
      world.ask(id, { type: 'PauseRotation', reason: 'wait' });
      break;
    case 'resume':
      world.ask(id, { type: 'ResumeRotation' });
      break;
    case 'rollback':
      world.rollBack(id);
      break;
    case 'abandon':
      world.ask(id, { type: 'AbandonRotation', reason: 'not needed' });
      break;
    case 'retry':
      world.ask(id, { type: 'RetryRotation' });
      break;
    case 'confirm': {
      const consumer = consumers[action.consumer];
      if (consumer !== undefined) world.confirm(id, consumer.consumerId, action.role, consumer.instances);
      break;
    }
    case 'override': {
      const consumer = consumers[action.consumer];
      if (consumer !== undefined) {
        const { consumerId } = consumer;
        world.ask(id, {
          type: 'OverrideConfirmation',
          gate: action.gate,
          consumerId,
          reason: 'it is retired',
        });
      }
      break;
    }
    case 'away':
      world.awayUntil = world.now + action.ms;
      break;
    case 'clocks':
      world.behindMs = action.behindMs;
      world.backEndAheadMs = action.aheadMs;
      break;
    case 'neighbour': {
      const consumer = consumers[action.consumer];
      if (consumer === undefined) break;
      // Another family's emergency takes a claim over; its release gives only its own back.
      if (action.holds) world.claims.set(consumer.consumerId, 'rotation-of-a-neighbour');
      else if (world.claims.get(consumer.consumerId) === 'rotation-of-a-neighbour') {
        world.claims.delete(consumer.consumerId);
      }
      break;
    }
    case 'emergency': {
      const known = world.backEnd.versions.map((version) => version.versionId);
      const picked = known.filter((_, index) => ((action.leaked + 1) >> (index % 3)) % 2 === 1);
      const accepted = known.filter((versionId) => world.backEnd.find(versionId)?.accepted === true);
      const leaked = picked.length === 0 ? accepted : picked;
      if (leaked.length > 0) world.emergency(leaked, action);
      break;
    }
  }
}

/** From now on everything works, time passes, and people do their part, except that nobody retries. */
export function comeToRest(world: SimulatedWorld): void {
  world.injections = [];
  world.awayUntil = 0;
  world.behindMs = 0;
  world.backEndAheadMs = 0;
  for (const [consumerId, holder] of world.claims) {
    if (holder === 'rotation-of-a-neighbour') world.claims.delete(consumerId);
  }
  for (let round = 0; round < 8; round += 1) {
    const open = [...world.rotations].filter(([, { state }]) => !ENDED.includes(state.phase));
    if (open.every(([, { state }]) => state.suspended !== undefined) && round > 0) return;
    for (const [id] of open) help(world, id);
    world.elapse(DAY);
  }
}

/** Plays a history and lets it come to rest. */
export function played(
  history: History,
  watch: (world: SimulatedWorld) => void,
  saga?: WorldOptions['saga'],
): SimulatedWorld {
  const broken = saga === undefined ? {} : { saga, mostWakes: 300 };
  const world = new SimulatedWorld({ ...history.options, ...broken });
  watch(world);
  world.request({}, false);
  world.injections = [...history.injections];
  for (const action of history.actions) {
    act(world, action);
    world.run();
  }
  comeToRest(world);
  return world;
}
