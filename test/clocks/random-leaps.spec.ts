import { jest } from '@jest/globals';
import * as fc from 'fast-check';
import { ManualClock } from '#platform/testing';
import type { Wake } from '#rotation';
import { confirmHold, DAY, HOUR, MINUTE, openWatched, rotating, SECOND, type Watched } from './support.js';

/**
 * Any sequence of leaps, sleeps, repairs and confirmations: measured by a time that no clock of Keyturn shows, no window is
 * ever shorter than required, no step is taken twice, and in the end, with the clock repaired, the rotation completes.
 */

const RUNS = 25;
jest.setTimeout(300_000);
/** What the contracts let a clock be wrong by without a hold (contracts, Clocks). */
const CLOCK_TOLERANCE_MS = 30_000;
const ACCEPT = 11 * MINUTE;
const DRAIN = 71 * MINUTE;
const WATCH = 30 * MINUTE;

type Move =
  | { readonly kind: 'pass'; readonly by: number }
  /** The machine slept: its wall clock is right, its monotonic one stood still. */
  | { readonly kind: 'sleep'; readonly by: number }
  /** Somebody, or a time service, set the wall clock wrong. */
  | { readonly kind: 'wrong'; readonly by: number }
  | { readonly kind: 'repair' }
  /** A person looks, repairs what is wrong, and confirms. */
  | { readonly kind: 'confirm' }
  | { readonly kind: 'consumers' };

const span = fc.oneof(
  fc.integer({ min: SECOND, max: 40 * MINUTE }),
  fc.integer({ min: HOUR, max: 12 * HOUR }),
  fc.constantFrom(DAY, 3 * DAY),
);
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 5, arbitrary: span.map((by): Move => ({ kind: 'pass', by: Math.min(by, 50 * MINUTE) })) },
  { weight: 1, arbitrary: span.map((by): Move => ({ kind: 'sleep', by })) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(span, fc.boolean())
      .map(([by, back]): Move => ({ kind: 'wrong', by: back ? -by : by })),
  },
  { weight: 2, arbitrary: fc.constant<Move>({ kind: 'repair' }) },
  { weight: 1, arbitrary: fc.constant<Move>({ kind: 'confirm' }) },
  { weight: 3, arbitrary: fc.constant<Move>({ kind: 'consumers' }) },
);

/** The wall clock is wrong by what the machine slept, so that it agrees with the monotonic one: its hold ends by itself. */
const SET_BACK_AFTER_A_SLEEP: readonly Move[] = [
  { kind: 'sleep', by: DAY },
  { kind: 'consumers' },
  { kind: 'pass', by: 50 * MINUTE },
  { kind: 'consumers' },
  { kind: 'wrong', by: -DAY },
];

/** A hold found by a leap forward, during which the clock goes back: what is recorded then happened later than it says. */
const BACK_WHILE_HELD: readonly Move[] = [
  { kind: 'consumers' },
  { kind: 'pass', by: 11 * MINUTE },
  { kind: 'wrong', by: 30_001 },
  { kind: 'wrong', by: -HOUR },
  { kind: 'pass', by: 50 * MINUTE },
  { kind: 'sleep', by: SECOND },
  { kind: 'consumers' },
];

/** The same after a sleep: the clock is still ahead of the monotonic one, and an hour behind what it said before. */
const BACK_AFTER_A_SLEEP: readonly Move[] = [
  { kind: 'consumers' },
  { kind: 'pass', by: 50 * MINUTE },
  { kind: 'sleep', by: DAY },
  { kind: 'wrong', by: -HOUR },
  { kind: 'consumers' },
];

/** Ahead, and further ahead while that is held: the watch after the revocation has not passed. */
const AHEAD_TWICE: readonly Move[] = [
  { kind: 'consumers' },
  { kind: 'pass', by: 50 * MINUTE },
  { kind: 'consumers' },
  { kind: 'pass', by: 50 * MINUTE },
  { kind: 'pass', by: 50 * MINUTE },
  { kind: 'wrong', by: DAY },
  { kind: 'wrong', by: DAY },
];

/**
 * Without the moves after which nothing on this machine could tell that its clock is wrong: by less than the contracts ask about, or
 * by just what the machine slept since a person last looked, so that it agrees with the monotonic clock, which slept too.
 */
function tellable(moves: readonly Move[]): readonly Move[] {
  let off = 0;
  let slept = 0;
  return moves.filter((next) => {
    const after = {
      off: next.kind === 'wrong' ? off + next.by : ['repair', 'confirm'].includes(next.kind) ? 0 : off,
      slept: next.kind === 'sleep' ? slept + next.by : next.kind === 'confirm' ? 0 : slept,
    };
    const told =
      after.off === 0 ||
      (Math.abs(after.off) > CLOCK_TOLERANCE_MS && Math.abs(after.off + after.slept) > CLOCK_TOLERANCE_MS);
    if (told) ({ off, slept } = after);
    return told;
  });
}

/** What really happened when: by the true time, read at the look that recorded it. */
type Seen = Readonly<Record<string, number>>;

class Run {
  /** Wall clock minus true time. */
  #off = 0;
  readonly #begun: number;
  readonly seen: Record<string, number[]> = {};
  #known = 0;

  constructor(
    private readonly watched: Watched,
    private readonly rotationId: string,
    private readonly looksAtClock: boolean,
  ) {
    this.#begun = watched.clock.now();
  }

  get #trueNow(): number {
    return this.watched.clock.now() - this.#off - this.#begun;
  }

  async make(next: Move): Promise<Wake> {
    const { clock, watch, world } = this.watched;
    switch (next.kind) {
      case 'pass':
        // Ten seconds at most pass unwatched, and a wake-up looks too.
        clock.advance(next.by);
        break;
      case 'sleep':
        clock.leap(next.by);
        break;
      case 'wrong':
        clock.leap(next.by);
        this.#off += next.by;
        break;
      case 'repair':
        clock.leap(-this.#off);
        this.#off = 0;
        break;
      case 'confirm': {
        clock.leap(-this.#off);
        this.#off = 0;
        // The repair may be a leap of its own: after a sleep, a clock set back had agreed with the monotonic one.
        if (this.looksAtClock) await watch.check();
        const { state } = await world.ledger.holds();
        if (state.clock !== undefined) await confirmHold(world);
        break;
      }
      case 'consumers':
        await world.confirmAsked(this.rotationId);
        break;
    }
    return this.look();
  }

  async look(): Promise<Wake> {
    const { watched } = this;
    const wake = this.looksAtClock
      ? await watched.look(this.rotationId)
      : await watched.world.advance(this.rotationId);
    const facts = await watched.world.facts(this.rotationId);
    for (const { type } of facts.slice(this.#known)) (this.seen[type] ??= []).push(this.#trueNow);
    this.#known = facts.length;
    return wake;
  }

  async toEnd(): Promise<void> {
    await this.make({ kind: 'confirm' });
    for (let turn = 0; turn < 60; turn += 1) {
      const wake = await this.make({ kind: 'consumers' });
      if (wake.finished) return;
      const wait = wake.until === undefined ? MINUTE : wake.until - this.watched.clock.now();
      await this.make({ kind: 'pass', by: Math.max(SECOND, wait) });
    }
    throw new Error('it does not end');
  }

  /** What was broken, in words. */
  violations(): readonly string[] {
    const first = (type: string): number => this.seen[type]?.[0] ?? NaN;
    const windows: Seen = {
      accept: first('EmitterSwitched') - first('DualAcceptDeployed') - ACCEPT,
      drain: first('OldKeyRevoked') - first('EmissionConfirmed') - DRAIN,
      watch: first('RotationCompleted') - first('OldKeyRevoked') - WATCH,
    };
    const short = Object.entries(windows)
      .filter(([, more]) => more < 0)
      .map(([name, more]) => `the ${name} window was ${-more} ms too short`);
    const twice = [
      'KeyGenerated',
      'DualAcceptDeployed',
      'EmitterSwitched',
      'OldKeyRevoked',
      'RotationCompleted',
    ]
      .filter((type) => (this.seen[type]?.length ?? 0) > 1)
      .map((type) => `${type} came twice`);
    return [...short, ...twice];
  }
}

async function violationsOf(moves: readonly Move[], looksAtClock: boolean): Promise<readonly string[]> {
  const watched = await openWatched(new ManualClock('2026-03-02T09:00:00.000Z'));
  try {
    const { rotationId } = await rotating(watched.world);
    await watched.watch.check();
    const run = new Run(watched, rotationId, looksAtClock);
    await run.look();
    for (const next of moves) await run.make(next);
    await run.toEnd();
    return run.violations();
  } finally {
    await watched.close();
  }
}

it.each([
  ['set back by what the machine slept', SET_BACK_AFTER_A_SLEEP],
  ['back while a leap forward is held', BACK_WHILE_HELD],
  ['back while a sleep is held', BACK_AFTER_A_SLEEP],
  ['ahead twice', AHEAD_TWICE],
])('a history that was found once: %s', async (_name, moves) => {
  expect(await violationsOf(moves, true)).toEqual([]);
});

it(`${RUNS} random histories of a clock: no window is short, nothing comes twice, all end`, async () => {
  let kept = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(move, { minLength: 4, maxLength: 30 }), async (moves) => {
      expect(await violationsOf(tellable(moves), true)).toEqual([]);
      kept += 1;
    }),
    { numRuns: RUNS },
  );
  console.log(`clocks, random leaps: ${kept} of ${RUNS}`);
  expect(kept).toBe(RUNS);
});

it('control: the same harness finds what is broken where nobody watches the clock', async () => {
  const leap: readonly Move[] = [{ kind: 'wrong', by: HOUR }, { kind: 'consumers' }, { kind: 'consumers' }];
  expect((await violationsOf(leap, false)).join()).toContain('too short');
  expect(await violationsOf(leap, true)).toEqual([]);
});
