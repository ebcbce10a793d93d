import { formatInstant } from '#eventlog';
import {
  ENDED,
  evolveRotation,
  initialRotation,
  versionsAfter,
  type RotationState,
} from '../domain/rotation.state.js';
import { mergeVersions } from '../domain/versions.js';
import { HOUR, MINUTE, someConsumer, someDetails } from './fixtures.js';
import { comeToRest, help, newest } from './histories.js';
import { brokenAtTheEnd, watchLaws } from './laws.js';
import { SimulatedWorld, type Injection, type Moment, type WorldOptions } from './simulation.js';

/**
 * Interference: somebody asks for something between an intent and its outcome. Whoever comes, and wherever, the fold is
 * total, the laws hold, and in the end the log believes what the back end shows.
 */

/** One way a rotation can go, without anybody in between. */
export interface Way {
  readonly name: string;
  readonly options?: WorldOptions;
  readonly start: (world: SimulatedWorld) => void;
  /** What people do when the record has come to a point. */
  readonly turn?: (world: SimulatedWorld, id: string, state: RotationState) => void;
}

const ALL_DAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'] as const;
const WITHOUT_OVERLAP: WorldOptions = {
  details: someDetails({ overlap: 'none' }),
  schedule: { changeWindows: [{ weekdays: [...ALL_DAYS], from: '10:00', to: '23:00', timeZone: 'UTC' }] },
};
const STAGING: WorldOptions = { details: someDetails({ environment: 'staging' }) };
const COHORTS = [25, 50, 75, 100].map((share) => ({ share, hold: share === 100 ? 'PT0S' : 'PT30M' }));
const ROLLING = { strategy: 'rolling', cohorts: COHORTS } as const;
const SHORT = { accept: 'PT1M', drain: 'PT2M' };

function request(wish: Parameters<SimulatedWorld['request']>[0]): Way['start'] {
  return (world) => {
    const { refused } = world.request(wish);
    if (refused !== undefined) throw new Error(`it was refused: ${refused}`);
  };
}

function rollBackOnce(reached: (state: RotationState) => boolean): NonNullable<Way['turn']> {
  return (world, id, state) => {
    if (reached(state) && state.rollback === undefined) world.rollBack(id);
  };
}

export const WAYS: readonly Way[] = [
  { name: 'graceful', start: request({}) },
  { name: 'rolling', start: request(ROLLING) },
  { name: 'rehearsal', options: STAGING, start: request({ strategy: 'rehearsal', windows: SHORT }) },
  {
    name: 'rehearsal of rolling',
    options: STAGING,
    start: request({ ...ROLLING, strategy: 'rehearsal', rehearses: 'rolling', windows: SHORT }),
  },
  { name: 'cutover', options: WITHOUT_OVERLAP, start: request({ strategy: 'cutover' }) },
  {
    name: 'cutover, cut back',
    options: WITHOUT_OVERLAP,
    start: request({ strategy: 'cutover' }),
    turn: rollBackOnce(({ switched }) => switched !== undefined),
  },
  {
    name: 'rolled back before the switch',
    start: request(ROLLING),
    turn: rollBackOnce(({ accepted }) => accepted !== undefined),
  },
  {
    name: 'rolled back between cohorts',
    start: request(ROLLING),
    turn: rollBackOnce(({ switched }) => switched?.share === 50),
  },
  {
    name: 'rolled back after the revocation',
    start: request({}),
    turn: rollBackOnce(({ revoked }) => revoked !== undefined),
  },
  {
    name: 'abandoned',
    start: request({}),
    turn: (world, id, { accepted, abandon }) => {
      if (accepted !== undefined && abandon === undefined) {
        world.ask(id, { type: 'AbandonRotation', reason: 'not needed' });
      }
    },
  },
  {
    name: 'emergency',
    start: (world) => {
      world.emergency(['old']);
    },
  },
  {
    name: 'emergency without overlap',
    options: WITHOUT_OVERLAP,
    start: (world) => {
      world.emergency(['old']);
    },
  },
  {
    name: 'emergency over a rolling one',
    start: request(ROLLING),
    turn: (world, _id, { switched, emergency }) => {
      if (switched?.share === 50 && emergency === undefined) world.emergency(['old']);
    },
  },
];

/** What somebody may ask for in between; gives back why it was refused, or nothing. */
export const REQUESTS = {
  rollback: (world, id) => world.rollBack(id),
  pause: (world, id) => world.ask(id, { type: 'PauseRotation', reason: 'wait' }),
  abandon: (world, id) => world.ask(id, { type: 'AbandonRotation', reason: 'not needed' }),
  'emergency, contained': (world) => world.emergency(['old']).refused,
  'emergency, not contained': (world) => world.emergency(['old'], { contain: false }).refused,
  'emergency, both leaked': (world, id) => world.emergency(['old', world.incomingOf(id)]).refused,
  'a verifier joins': (world) =>
    world.decideFamily({
      type: 'RegisterConsumer',
      consumer: someConsumer(7, { name: 'late', roles: ['verifier'], cacheTtl: 'PT50M' }),
    }),
  'an emitter joins': (world) =>
    world.decideFamily({
      type: 'RegisterConsumer',
      consumer: someConsumer(8, { name: 'second issuer', roles: ['emitter'], instances: 2 }),
    }),
  'a cache grows': (world) => {
    const [, known] = world.family.state.consumers;
    if (known === undefined) return 'nobody is registered';
    return world.decideFamily({ type: 'ReviseConsumer', consumer: { ...known, cacheTtl: 'PT55M' } });
  },
  'a consumer leaves': (world) => {
    const [known] = world.family.state.consumers;
    return world.decideFamily({
      type: 'RemoveConsumer',
      consumerId: known?.consumerId ?? '',
      reason: 'it is retired',
    });
  },
  'the schedule changes': (world) => {
    const blackout = {
      from: formatInstant(world.now),
      to: formatInstant(world.now + HOUR),
      reason: 'a release',
    };
    world.appendFamily([{ type: 'ScheduleSet', data: { blackouts: [blackout] } }], 'subject-planner');
    return undefined;
  },
  'a freeze': (world) => {
    const until = world.now + 2 * HOUR;
    const named = { name: 'a release', reason: 'it must stand still', declaredBy: 'subject-lead' };
    const freeze = { freeze: 'freeze-1', ...named, from: world.now, until, scope: {} };
    world.holds = { ...world.holds, freezes: [...world.holds.freezes, freeze] };
    return undefined;
  },
  'a confirmation is withdrawn': (world, id) => {
    const [known] = world.rotation(id).acceptance;
    return world.ask(id, {
      type: 'WithdrawConfirmation',
      kind: 'acceptance',
      consumerId: known?.consumerId ?? '',
      instances: known?.instances ?? ['none'],
      reason: 'it did not load the key',
    });
  },
  'a neighbour takes the emitter': (world) => {
    const [known] = world.family.state.consumers;
    if (known !== undefined) world.claims.set(known.consumerId, 'rotation-of-a-neighbour');
    return undefined;
  },
} as const satisfies Record<string, (world: SimulatedWorld, id: string) => string | undefined>;
export type RequestKind = keyof typeof REQUESTS;
export const REQUEST_KINDS = Object.keys(REQUESTS) as readonly RequestKind[];

/** Somebody asks at the n-th moment between an intent and its outcome, counted from 0. */
export interface Interference {
  readonly at: number;
  readonly request: RequestKind;
}

export interface Interfered {
  readonly world: SimulatedWorld;
  /** Every moment there was, with what was asked there. */
  readonly moments: readonly Moment[];
  /** Requests that were taken, and those the rules refused, with the reason. */
  readonly taken: readonly RequestKind[];
  readonly refused: readonly string[];
  /** Why a person was asked. */
  readonly suspensions: readonly string[];
  /** What is wrong; nothing where all is as it must be. */
  readonly broken: readonly string[];
}

const MOST_ROUNDS = 300;

/** Plays a way to its end while somebody comes in between. */
export function interfere(
  way: Way,
  interferences: readonly Interference[],
  injections: readonly Injection[] = [],
  saga?: WorldOptions['saga'],
): Interfered {
  const world = new SimulatedWorld({ ...way.options, ...(saga === undefined ? {} : { saga }) });
  watchLaws(world);
  const moments: Moment[] = [];
  const taken: RequestKind[] = [];
  const refused: string[] = [];
  world.between = (moment) => {
    const here = interferences.filter(({ at }) => at === moments.length);
    moments.push(moment);
    for (const { request: kind } of here) {
      const why = REQUESTS[kind](world, newest(world));
      if (why === undefined) taken.push(kind);
      else refused.push(`${kind}: ${why}`);
    }
  };
  way.start(world);
  world.injections = [...injections];
  const turn = (): void => {
    const id = newest(world);
    const state = world.rotation(id);
    if (!ENDED.includes(state.phase)) way.turn?.(world, id, state);
  };
  for (let round = 0; round < MOST_ROUNDS && !atRest(world); round += 1) {
    world.run();
    turn();
    for (const [id, { state }] of world.rotations) if (!ENDED.includes(state.phase)) help(world, id);
    turn();
    if (round % 20 === 19) releaseNeighbours(world);
    world.wakeNext(world.now + 20 * MINUTE);
  }
  const suspensions: string[] = [];
  // A suspended rotation may not know what happened; the person it asked looks, and has it tried again.
  for (let turns = 0; turns < 5; turns += 1) {
    comeToRest(world);
    const open = [...world.rotations].filter(([, { state }]) => !ENDED.includes(state.phase));
    if (open.length === 0) break;
    for (const [id, { state }] of open) {
      if (state.suspended === undefined) continue;
      suspensions.push(state.suspended.code);
      world.ask(id, { type: 'RetryRotation', reason: 'the cause is mended' });
    }
  }
  const broken = [...brokenAtTheEnd(world), ...notAsBelieved(world)];
  return { world, moments, taken, refused, suspensions, broken };
}

function atRest(world: SimulatedWorld): boolean {
  const states = [...world.rotations.values()].map(({ state }) => state);
  const opening = world.family.state.slot?.open === true;
  return states.every((state) => ENDED.includes(state.phase)) && !opening;
}

function releaseNeighbours(world: SimulatedWorld): void {
  for (const [consumerId, holder] of world.claims) {
    if (holder === 'rotation-of-a-neighbour') world.claims.delete(consumerId);
  }
}

/** Every prefix of every stream folds, and what the record says of the versions is what the back end shows. */
function notAsBelieved(world: SimulatedWorld): readonly string[] {
  const { state: family } = world.family;
  const broken: string[] = [];
  let believed = family.versions;
  for (const [id, { events, state }] of world.rotations) {
    try {
      let prefix = initialRotation;
      for (const event of events) {
        prefix = evolveRotation(prefix, event);
        if (prefix.plan !== undefined) versionsAfter(prefix, family.compromised);
      }
    } catch (error) {
      broken.push(`${id}: a prefix does not fold: ${String(error)}`);
    }
    if (!ENDED.includes(state.phase) && state.plan !== undefined) {
      believed = mergeVersions(believed, versionsAfter(state, family.compromised));
    }
  }
  for (const { versionId, accepted, emittingShare } of world.backEnd.versions) {
    const denied = world.backEnd.denied.includes(versionId);
    const known = believed.find((version) => version.versionId === versionId);
    const real = `accepted ${accepted && !denied}, emitting ${denied ? 0 : emittingShare} %`;
    const said = `accepted ${known?.accepted === true && !denied}, emitting ${denied ? 0 : (known?.emittingShare ?? 0)} %`;
    if (real !== said) broken.push(`${versionId}: on record ${said}, in the back end ${real}`);
  }
  return broken;
}
