import { randomUUID } from 'node:crypto';
import type { RecordedEvent } from '#eventlog';
import { ManualClock } from '#platform/testing';
import {
  ClockWatch,
  HOLDS_STREAM,
  Waker,
  type ConfirmableHold,
  type PolicyTerms,
  type Wake,
} from '#rotation';
import { ConfirmHold, ConfirmHoldHandler, DeclareFreeze, DeclareFreezeHandler } from '#rotation/application';
import { World, type WorldOptions } from '../support/world.js';

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
export const TEN_YEARS = 3_652 * DAY;

/** A core whose clock is watched as the service watches it: before each look, and when a test says that ten seconds passed. */
export interface Watched {
  readonly world: World;
  readonly clock: ManualClock;
  readonly watch: ClockWatch;
  /** One look at the rotation, as the waker makes it. */
  look(rotationId: string): Promise<Wake>;
  close(): Promise<void>;
}

export async function openWatched(
  clock: ManualClock,
  options: Omit<WorldOptions, 'clock'> & { readonly backEndClock?: () => Promise<number | undefined> } = {},
): Promise<Watched> {
  const { backEndClock, ...rest } = options;
  const world = await World.open({ clock, ...rest });
  const watch = new ClockWatch({
    ledger: world.ledger,
    onError: (error) => {
      throw error;
    },
    ...(backEndClock === undefined ? {} : { backEndClock }),
  });
  return {
    world,
    clock,
    watch,
    look: async (rotationId) => {
      await watch.check();
      return world.advance(rotationId);
    },
    close: async () => {
      await watch.stop();
      await world.close();
    },
  };
}

/** A waker on the platform's timer, looking as the service's does. */
export function wakerOf({ world, clock, watch }: Watched, onError: (error: unknown) => void): Waker {
  return new Waker({
    runner: world.runner,
    readModel: world.readModel,
    clock,
    beforeLook: () => watch.check(),
    onError: (_id, error) => {
      onError(error);
    },
  });
}

export interface Asked {
  readonly familyId: string;
  readonly rotationId: string;
}

/** A family that has a version already, and a graceful rotation of it that was approved. Windows: accept 11 min, drain 1 h 10 min. */
export async function rotating(
  world: World,
  details: { readonly terms?: Partial<PolicyTerms>; readonly artefactLife?: string } = {},
): Promise<Asked> {
  await world.policy({
    margins: { clockSkew: 'PT0S', safety: 'PT0S' },
    watch: 'PT30M',
    settle: 'PT10M',
    ...details.terms,
  });
  const { id: familyId } = await world.registerFamily({
    name: `jwt-${randomUUID().slice(0, 8)}`,
    algorithm: 'ES256',
    artefactLife: details.artefactLife ?? 'PT1H',
  });
  await world.registerConsumer(familyId, {
    name: `api-${randomUUID().slice(0, 8)}`,
    roles: ['emitter', 'verifier'],
    cacheTtl: 'PT10M',
    refreshDelay: 'PT1M',
  });
  const first = await world.request(familyId);
  await world.approve(first.id);
  await world.leapToEnd(first.id);
  if (world.clock instanceof ManualClock) world.clock.advance(DAY);
  const { id: rotationId } = await world.request(familyId);
  await world.approve(rotationId);
  return { familyId, rotationId };
}

export function confirmHold(world: World, hold: ConfirmableHold = 'clock'): Promise<unknown> {
  return new ConfirmHoldHandler(world.ledger).execute(
    new ConfirmHold(world.context(), hold, 'looked at the clock of the machine'),
  );
}

export function freeze(world: World, until?: string): Promise<unknown> {
  return new DeclareFreezeHandler(world.ledger).execute(
    new DeclareFreeze(world.context(), {
      name: 'season',
      reason: 'no changes',
      scope: {},
      ...(until === undefined ? {} : { until }),
    }),
  );
}

export async function count(world: World, rotationId: string, type: string): Promise<number> {
  return (await world.facts(rotationId)).filter((event) => event.type === type).length;
}

export async function holdFacts(world: World): Promise<readonly RecordedEvent[]> {
  return world.facts(HOLDS_STREAM);
}

/** What the intents of a rotation's step say they passed. */
export async function passedBy(world: World, rotationId: string, step: string): Promise<readonly string[]> {
  const facts = await world.facts(rotationId);
  return facts.flatMap(({ type, data }) => {
    if (type !== 'StepStarted') return [];
    const started = data as { readonly step: string; readonly passed?: readonly string[] };
    return started.step === step ? (started.passed ?? []) : [];
  });
}
