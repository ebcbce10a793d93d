import type { Attempt, KeyBackend } from '#custody';
import { ManualClock } from '#platform/testing';
import { stepTable, type RotationRunner, type Wake } from '#rotation';
import { difference } from '../support/comparable.js';
import { playScript, type Script } from '../support/scripts.js';
import {
  disagreements,
  ground,
  localCustody,
  tellAccount,
  type Account,
  type Custody,
  type Ground,
} from '../support/script-stage.js';
import { World } from '../support/world.js';
import { Barrier, workerOf, type Door, type Place } from '../support/barrier.js';

/** When the frozen worker goes on: while the other one is in the middle of the same step, after it settled it, or after all. */
export const THAWS = ['in-the-middle', 'settled', 'at-the-end'] as const;
export type Thaw = (typeof THAWS)[number];

/**
 * Broken on purpose. `unfenced`: the frozen attempt carries neither its own fence nor its key. `lease-ignored`: that, and
 * the second worker believes the first one dead.
 */
export type Sabotage = 'none' | 'unfenced' | 'lease-ignored';

export interface Case {
  readonly script: Script;
  /** Which attempt of the uninterrupted run, counted from 1. */
  readonly attempt: number;
  readonly what: string;
  readonly place: Exclude<Place, 'observed'>;
  readonly thaw: Thaw;
}

export interface Undisturbed {
  readonly account: Account;
  /** Every step of it, in order: the cases are made from it. */
  readonly steps: readonly string[];
}

export async function openArena(): Promise<Arena> {
  const clock = new ManualClock('2026-03-02T09:00:00.000Z');
  return new Arena(await World.open({ clock }), clock);
}

/** One world for many cases, each with a family of its own. */
export class Arena {
  constructor(
    readonly world: World,
    readonly clock: ManualClock,
    readonly custody: Custody = localCustody(world),
    /** The back end as the second worker has it: its own connection, where it is a server. */
    readonly othersBackEnd: KeyBackend = custody.backEnd,
    /** Where the first worker is held, of a case at the door. */
    readonly door?: Door,
    /** What else must be so after a case. */
    readonly holds: (
      base: Ground,
      rotations: readonly string[],
    ) => Promise<readonly string[]> = async () => [],
  ) {}

  close(): Promise<void> {
    return this.world.close();
  }

  async undisturbed(script: Script): Promise<Undisturbed> {
    const base = await ground(this.world, this.clock, script.overlap, this.custody);
    const watch = new Barrier('after-intent', () => false);
    const runner = workerOf(this.world, 'alone#1', watch, false, this.custody.backEnd);
    const { rotations, phase } = await playScript(
      {
        ...base,
        advance: (id) => runner.advance(id, base.familyId, 1),
        advanceContainment: (id) => runner.advanceContainment(id, base.familyId),
      },
      script,
    );
    if (phase !== script.ends) throw new Error(`${script.name} ended ${phase}, not ${script.ends}`);
    const wrong = await disagreements(this.world, this.custody.backEnd, base);
    if (wrong.length > 0) throw new Error(`${script.name}: ${wrong.join('; ')}`);
    return {
      account: await tellAccount(this.world, base, rotations),
      steps: watch.intents.map(({ step, share }) => (share === undefined ? step : `${step} ${share} %`)),
    };
  }

  /** Plays one case; what was wrong with it, or nothing. */
  async prove(
    one: Case,
    { account: wanted }: Undisturbed,
    sabotage: Sabotage = 'none',
  ): Promise<string | undefined> {
    const { world, clock, custody } = this;
    const base = await ground(world, clock, one.script.overlap, custody);
    const barrier = new Barrier(
      one.place,
      (_intent, number) => number === one.attempt,
      sabotage === 'none'
        ? undefined
        : async (attempt) => unfenced(attempt, await custody.fence(base.object)),
      this.door,
    );
    const frozen = workerOf(world, 'a#1', barrier, false, custody.backEnd);
    const middle = new Barrier(
      'observed',
      ({ stream, step, share }) =>
        one.thaw === 'in-the-middle' &&
        stream === barrier.caught?.stream &&
        step === barrier.caught.step &&
        share === barrier.caught.share,
    );
    const other = workerOf(world, 'b#1', middle, sabotage === 'lease-ignored', this.othersBackEnd);
    let pending: Promise<Wake> | undefined;
    const settleFrozen = async (): Promise<void> => {
      barrier.thaw();
      const waiting = pending;
      pending = undefined;
      await waiting;
    };
    const advance = async (run: (runner: RotationRunner) => Promise<Wake>): Promise<Wake> => {
      if (!barrier.met) {
        const wake = run(frozen);
        const first = await Promise.race([wake, barrier.frozen]);
        if (first !== undefined) return first;
        pending = wake;
      }
      const wake = run(other);
      if (middle.met || pending === undefined) return wake;
      const first = await Promise.race([wake, middle.frozen]);
      if (first === undefined) {
        // Both are in the same step now: the frozen one goes on first.
        await settleFrozen();
        middle.thaw();
        return wake;
      }
      if (one.thaw === 'settled' && (await this.#settled(barrier))) await settleFrozen();
      return first;
    };
    try {
      const { rotations } = await playScript(
        {
          ...base,
          advance: (id) => advance((runner) => runner.advance(id, base.familyId, 1)),
          advanceContainment: (id) => advance((runner) => runner.advanceContainment(id, base.familyId)),
        },
        one.script,
      );
      if (!barrier.met) return 'the first worker was never frozen there';
      if (one.thaw === 'in-the-middle' && !middle.met) return 'the second worker was never met in the middle';
      await settleFrozen();
      const before = await world.store.log.treeSize();
      for (const id of rotations) {
        await frozen.advance(id, base.familyId);
        await other.advance(id, base.familyId);
      }
      if ((await world.store.log.treeSize()) !== before) return 'after the end somebody still acted';
      return (
        difference(wanted, await tellAccount(world, base, rotations)) ??
        tooEarly(custody.backEnd, barrier, middle) ??
        (await disagreements(world, custody.backEnd, base))[0] ??
        (await this.holds(base, rotations))[0]
      );
    } finally {
      barrier.thaw();
      middle.thaw();
      await pending?.catch(() => undefined);
    }
  }

  /** Whether what the frozen worker was about has its outcome on record. */
  async #settled({ caught }: Barrier): Promise<boolean> {
    if (caught === undefined) return false;
    const events = await this.world.facts(caught.stream);
    const after = events.slice(events.findIndex((event) => event.id === caught.id) + 1);
    return after.some((event) => event.type === stepTable[caught.step].outcome);
  }
}

/** As if there were no fences and no keys: always the newest, never a repeat. */
function unfenced(attempt: Attempt, newest: Pick<Attempt, 'fence' | 'attemptId'>): Attempt {
  return { ...attempt, ...newest, key: `${attempt.key}#${attempt.attemptId}` };
}

/** A live worker's lease is obeyed in full: takeover comes after it and the longest its request may take. */
function tooEarly(
  { declaration }: KeyBackend,
  { caught }: Barrier,
  { intents }: Barrier,
): string | undefined {
  const takeover = intents.find(({ stream, step }) => stream === caught?.stream && step === caught.step);
  if (caught === undefined || takeover === undefined) return 'nobody took over';
  const { effect } = stepTable[caught.step];
  const longest = effect === 'probe' ? 0 : declaration.effects[effect].longestRequestMs;
  return takeover.startedAt < caught.leaseUntil + longest ? 'the second worker did not wait' : undefined;
}
