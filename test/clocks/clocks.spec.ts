import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { ManualClock } from '#platform/testing';
import { causeOf, holdClockAtStart, LONGEST_QUIET_MS } from '#rotation';
import {
  confirmHold,
  count,
  DAY,
  freeze,
  holdFacts,
  HOUR,
  MINUTE,
  openWatched,
  passedBy,
  rotating,
  SECOND,
  TEN_YEARS,
  wakerOf,
  type Watched,
} from './support.js';

/**
 * Clocks that lie (contracts, Clocks; faults, 6): no timer fires twice or early, an overdue one fires once at start, emit and
 * revoke hold and go on when the rules are met, also over a restart; an emergency and a way back are never held.
 */

const cases: string[] = [];
let passed = 0;

function proof(name: string, work: () => Promise<void>): void {
  cases.push(name);
  it(name, async () => {
    const before = passed;
    await work();
    passed += 1;
    expect(passed).toBe(before + 1);
  });
}

afterAll(() => {
  console.log(`clocks: ${passed} of ${cases.length}`);
  expect(passed).toBe(cases.length);
});

let watched: Watched;
let clock: ManualClock;

beforeEach(async () => {
  clock = new ManualClock('2026-03-02T09:00:00.000Z');
  watched = await openWatched(clock);
});

afterEach(() => watched.close());

const types = async (): Promise<readonly string[]> =>
  (await holdFacts(watched.world)).map(({ type }) => type);
const of = (rotationId: string, type: string): Promise<number> => count(watched.world, rotationId, type);

/** Moves on until the rotation waits for its emit: accepted and confirmed, the accept window running. */
async function acceptWindowRuns(rotationId: string): Promise<void> {
  await watched.look(rotationId);
  await watched.world.confirmAsked(rotationId);
  const wake = await watched.look(rotationId);
  expect(wake).toMatchObject({ waitsFor: expect.stringContaining('the accept window') });
}

async function drainRuns(rotationId: string): Promise<void> {
  await acceptWindowRuns(rotationId);
  clock.advance(11 * MINUTE);
  await watched.look(rotationId);
  await watched.world.confirmAsked(rotationId);
  const wake = await watched.look(rotationId);
  expect(wake).toMatchObject({ waitsFor: expect.stringContaining('the drain window') });
}

async function watchRuns(rotationId: string): Promise<void> {
  await drainRuns(rotationId);
  clock.advance(71 * MINUTE);
  const wake = await watched.look(rotationId);
  expect(wake).toMatchObject({ waitsFor: 'the watch after the last step' });
}

describe('a leap is found and held', () => {
  proof(
    'back an hour: emit holds, and goes on when the clock is back where the monotonic one says',
    async () => {
      const { rotationId } = await rotating(watched.world);
      await acceptWindowRuns(rotationId);
      clock.leap(-HOUR);
      await watched.look(rotationId);
      expect(await types()).toEqual(['ClockHeld']);
      clock.advance(HOUR + 30 * MINUTE);
      expect(await watched.look(rotationId)).toMatchObject({
        waitsFor: expect.stringContaining('held: the clock'),
      });
      expect(await of(rotationId, 'EmitterSwitched')).toBe(0);
      clock.leap(HOUR);
      await watched.look(rotationId);
      expect((await holdFacts(watched.world)).at(-1)).toMatchObject({
        type: 'ClockConfirmed',
        data: { by: 'monotonic' },
      });
      // The window may have begun while the clock was wrong: it counts from the confirmation.
      expect(await of(rotationId, 'EmitterSwitched')).toBe(0);
      clock.advance(11 * MINUTE);
      await watched.look(rotationId);
      expect(await of(rotationId, 'EmitterSwitched')).toBe(1);
    },
  );

  proof(
    'forward ten years in a drain: revoke holds, and goes on at its time once the clock is back',
    async () => {
      const { rotationId } = await rotating(watched.world);
      await drainRuns(rotationId);
      clock.advance(30 * MINUTE);
      clock.leap(TEN_YEARS);
      await watched.look(rotationId);
      clock.advance(MINUTE);
      await watched.look(rotationId);
      expect(await of(rotationId, 'OldKeyRevoked')).toBe(0);
      clock.leap(-TEN_YEARS);
      await watched.look(rotationId);
      expect(await types()).toEqual(['ClockHeld', 'ClockConfirmed']);
      // Records of the leap lie ten years ahead for ever: they hold nothing any more, and nothing fires early.
      clock.advance(39 * MINUTE);
      await watched.look(rotationId);
      expect(await of(rotationId, 'OldKeyRevoked')).toBe(0);
      clock.advance(MINUTE);
      await watched.look(rotationId);
      expect(await of(rotationId, 'OldKeyRevoked')).toBe(1);
    },
  );

  proof('forward ten years in the watch: it is not over before its time, and ends once', async () => {
    const { rotationId } = await rotating(watched.world);
    await watchRuns(rotationId);
    clock.advance(10 * MINUTE);
    clock.leap(TEN_YEARS);
    await watched.look(rotationId);
    clock.advance(5 * MINUTE);
    await watched.look(rotationId);
    expect(await of(rotationId, 'RotationCompleted')).toBe(0);
    clock.advance(15 * MINUTE);
    await watched.look(rotationId);
    expect(await of(rotationId, 'RotationCompleted')).toBe(1);
    await watched.look(rotationId);
    expect(await of(rotationId, 'RotationCompleted')).toBe(1);
  });

  proof('control: without the watch the same leap ends the watch after the last step early', async () => {
    const { rotationId } = await rotating(watched.world);
    await watchRuns(rotationId);
    clock.advance(10 * MINUTE);
    clock.leap(TEN_YEARS);
    await watched.world.advance(rotationId);
    expect(await of(rotationId, 'RotationCompleted')).toBe(1);
  });

  proof('a leap of 30 s is none, one of more is; two of 20 s add up', async () => {
    await watched.watch.check();
    clock.leap(30 * SECOND);
    await watched.watch.check();
    expect(await types()).toEqual([]);
    clock.leap(SECOND);
    await watched.watch.check();
    expect(await types()).toEqual(['ClockHeld']);
    const other = await openWatched(new ManualClock('2026-03-02T09:00:00.000Z'));
    await other.watch.check();
    for (const turn of [1, 2]) {
      other.clock.advance(10 * SECOND);
      other.clock.leap(-20 * SECOND);
      await other.watch.check();
      expect((await holdFacts(other.world)).length).toBe(turn - 1);
    }
    await other.close();
  });

  proof('a clock that is slewed by 100 ppm for thirty days holds nothing', async () => {
    for (let turn = 0; turn < 30 * 24 * 60; turn += 1) {
      clock.advance(MINUTE);
      clock.leap(6);
      await watched.watch.check();
    }
    expect(await types()).toEqual([]);
  });

  proof(
    'a check never moves the baseline of an open hold; each further leap is put on record once',
    async () => {
      clock.leap(HOUR);
      for (let turn = 0; turn < 20; turn += 1) {
        await watched.watch.check();
        clock.advance(10 * MINUTE);
      }
      // Against what it said at the last look: on record, since what is recorded now happened at another time than it says.
      clock.leap(2 * HOUR);
      await watched.watch.check();
      expect(await types()).toEqual(['ClockHeld', 'ClockHeld']);
      clock.leap(-2 * HOUR);
      await watched.watch.check();
      expect(await types()).toEqual(['ClockHeld', 'ClockHeld', 'ClockHeld']);
      await watched.watch.check();
      clock.leap(-HOUR);
      await watched.watch.check();
      expect(await types()).toEqual(['ClockHeld', 'ClockHeld', 'ClockHeld', 'ClockConfirmed']);
    },
  );

  proof('a machine’s sleep: a person confirms, and what became due meanwhile fires once', async () => {
    const { rotationId } = await rotating(watched.world);
    await drainRuns(rotationId);
    clock.leap(9 * HOUR);
    await watched.look(rotationId);
    expect(await of(rotationId, 'OldKeyRevoked')).toBe(0);
    await confirmHold(watched.world);
    await watched.look(rotationId);
    await watched.look(rotationId);
    expect(await of(rotationId, 'OldKeyRevoked')).toBe(1);
    clock.advance(HOUR);
    await watched.look(rotationId);
    // Confirmed by a person: that is where time runs on from, and nothing is held anew.
    expect(await types()).toEqual(['ClockHeld', 'ClockConfirmed']);
  });

  proof(
    'a leap between an intent and its effect: the attempt is given up unperformed, nothing is emitted',
    async () => {
      const { rotationId } = await rotating(watched.world);
      await acceptWindowRuns(rotationId);
      clock.advance(11 * MINUTE);
      const { store } = watched.world;
      const append = store.append.bind(store);
      let leapt = false;
      store.append = async (at, events, cause, options) => {
        const appended = await append(at, events, cause, options);
        if (!leapt && events.some(({ type }) => type === 'StepStarted')) {
          leapt = true;
          clock.leap(TEN_YEARS);
          await watched.watch.check();
        }
        return appended;
      };
      await watched.look(rotationId);
      store.append = append;
      expect(leapt).toBe(true);
      const failed = (await watched.world.facts(rotationId)).filter(({ type }) => type === 'StepFailed');
      expect(failed.map(({ data }) => data)).toEqual([
        expect.objectContaining({ step: 'emit', performed: 'no', errorClass: 'view-moved' }),
      ]);
      expect(await of(rotationId, 'EmitterSwitched')).toBe(0);
    },
  );
});

describe('the newest record and the back end', () => {
  proof('more than 30 s behind the newest record holds emit; 30 s do not', async () => {
    const { rotationId } = await rotating(watched.world);
    await acceptWindowRuns(rotationId);
    clock.advance(12 * MINUTE);
    // Somebody's record of now; then a clock that starts 31 s behind it.
    await watched.world.ask(rotationId, { type: 'note', note: 'looked at' });
    clock.leap(-31 * SECOND);
    const wake = await watched.world.advance(rotationId);
    expect(wake).toMatchObject({
      waitsFor: expect.stringContaining('behind the newest record'),
      until: clock.now() + SECOND,
    });
    clock.advance(SECOND);
    await watched.world.advance(rotationId);
    expect(await of(rotationId, 'EmitterSwitched')).toBe(1);
  });

  proof(
    'a back end’s own clock ends a hold that an earlier process left; one that differs does not',
    async () => {
      clock.leap(HOUR);
      await watched.watch.check();
      let theirs: number | undefined = clock.now() - HOUR;
      await watched.close();
      // In memory nothing is left, so the hold is made again by a process that then forgets its baseline.
      const directory = mkdtempSync(join(tmpdir(), 'keyturn-clocks-'));
      const before = await openWatched(clock, { directory });
      clock.leap(HOUR);
      await before.watch.check();
      await before.close();
      watched = await openWatched(clock, { directory, backEndClock: () => Promise.resolve(theirs) });
      await watched.watch.check();
      expect(await types()).toEqual(['ClockHeld']);
      theirs = undefined;
      await watched.watch.check();
      expect(await types()).toEqual(['ClockHeld']);
      theirs = clock.now() + 20 * SECOND;
      await watched.watch.check();
      expect((await holdFacts(watched.world)).at(-1)).toMatchObject({
        type: 'ClockConfirmed',
        data: { by: 'back-end-clock' },
      });
      await watched.close();
      rmSync(directory, { recursive: true });
      watched = await openWatched(clock);
    },
  );
});

describe('over a restart', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'keyturn-clocks-'));
  });

  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  async function restart(): Promise<boolean> {
    await watched.close();
    watched = await openWatched(clock, { directory });
    return holdClockAtStart(watched.world.ledger);
  }

  proof('a hold stays: the new process has no baseline to end it, a person does', async () => {
    await restart();
    const { rotationId } = await rotating(watched.world);
    await drainRuns(rotationId);
    clock.advance(SECOND);
    clock.leap(TEN_YEARS);
    await watched.look(rotationId);
    await restart();
    clock.leap(-TEN_YEARS);
    await watched.look(rotationId);
    clock.advance(2 * HOUR);
    const wake = await watched.look(rotationId);
    expect(wake.finished).toBe(false);
    // Far ahead, then far behind what the log says: both are known.
    expect(await types()).toEqual(['ClockHeld', 'ClockHeld']);
    expect(await of(rotationId, 'OldKeyRevoked')).toBe(0);
    await confirmHold(watched.world);
    await watched.look(rotationId);
    expect(await of(rotationId, 'OldKeyRevoked')).toBe(1);
  });

  proof('a start far past the newest record holds and asks; thirty days do not', async () => {
    await restart();
    const { rotationId } = await rotating(watched.world);
    await drainRuns(rotationId);
    const quiet = (await watched.world.store.newestRecordedAt()) + LONGEST_QUIET_MS - clock.now();
    clock.advance(quiet);
    expect(await restart()).toBe(false);
    clock.advance(SECOND);
    expect(await restart()).toBe(true);
    expect(await restart()).toBe(false);
    await watched.look(rotationId);
    expect(await of(rotationId, 'OldKeyRevoked')).toBe(0);
    await confirmHold(watched.world);
    await watched.look(rotationId);
    expect(await of(rotationId, 'OldKeyRevoked')).toBe(1);
  });

  proof('an overdue timer fires once at start', async () => {
    await restart();
    const { rotationId } = await rotating(watched.world);
    await drainRuns(rotationId);
    clock.advance(20 * DAY);
    await restart();
    const errors: unknown[] = [];
    const waker = wakerOf(watched, (error) => errors.push(error));
    await watched.world.readModel.caughtUp();
    waker.start();
    await until(async () => (await of(rotationId, 'OldKeyRejectionVerified')) === 1);
    await waker.stop();
    expect(errors).toEqual([]);
    expect(await of(rotationId, 'OldKeyRevoked')).toBe(1);
    await restart();
    await watched.look(rotationId);
    expect(await of(rotationId, 'OldKeyRevoked')).toBe(1);
  });
});

describe('long waits on the platform’s timer', () => {
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: FAKED_NOT });
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  /** Lets days pass ten minutes at a time, the timer with them; gives back every sleep that was asked for. */
  async function pass(days: number): Promise<void> {
    for (let step = 0; step < days * 144; step += 1) {
      clock.advance(10 * MINUTE);
      jest.advanceTimersByTime(10 * SECOND);
      await settled();
    }
  }

  proof('a drain of seven quiet days ends once, on its day and not before', async () => {
    await quietDrain('P7D', 7);
  });

  proof(
    'a drain of forty days is past what a timer can hold (24.8 days), and ends once on its day',
    async () => {
      await quietDrain('P40D', 40);
    },
  );

  async function quietDrain(artefactLife: string, days: number): Promise<void> {
    const { rotationId } = await rotating(watched.world, { artefactLife });
    await drainRuns(rotationId);
    const timers = jest.spyOn(globalThis, 'setTimeout');
    const errors: unknown[] = [];
    const waker = wakerOf(watched, (error) => errors.push(error));
    await watched.world.readModel.caughtUp();
    waker.start();
    await settled();
    await pass(days);
    expect(await of(rotationId, 'OldKeyRevoked')).toBe(0);
    clock.advance(11 * MINUTE);
    jest.advanceTimersByTime(10 * SECOND);
    await until(async () => (await of(rotationId, 'OldKeyRejectionVerified')) === 1);
    await waker.stop();
    expect(errors).toEqual([]);
    expect(await of(rotationId, 'OldKeyRevoked')).toBe(1);
    expect(await types()).toEqual([]);
    const sleeps = timers.mock.calls.map(([, delay]) => delay ?? 0);
    expect(sleeps.length).toBeGreaterThan(days);
    // Far from the 2^31 ms past which a timer of the platform fires at once.
    expect(Math.max(...sleeps)).toBeLessThanOrEqual(MINUTE);
  }
});

describe('the calendar', () => {
  const inVienna = { timeZone: 'Europe/Vienna', weekdays: ['sunday' as const] };

  proof(
    'the night the clocks go forward skips the window: it opens at the first minute after the gap',
    async () => {
      await calendar('2026-03-28T12:00:00.000Z', { ...inVienna, from: '02:30', to: '03:30' }, [
        // 02:30 to 03:00 do not exist on 2026-03-29; 03:00 CEST is 01:00Z.
        ['2026-03-29T00:59:00.000Z', 0],
        ['2026-03-29T01:00:00.000Z', 1],
      ]);
    },
  );

  proof(
    'the night the clocks go back has the window’s hour twice: the switch happens once, in the first',
    async () => {
      await calendar('2026-10-24T12:00:00.000Z', { ...inVienna, from: '02:00', to: '03:00' }, [
        ['2026-10-24T23:59:00.000Z', 0],
        ['2026-10-25T00:00:00.000Z', 1],
        ['2026-10-25T01:30:00.000Z', 1],
      ]);
    },
  );

  proof('a window on a leap day', async () => {
    const tuesday = { timeZone: 'UTC', weekdays: ['tuesday' as const], from: '09:00', to: '10:00' };
    await calendar('2028-02-28T12:00:00.000Z', tuesday, [
      ['2028-02-29T08:59:00.000Z', 0],
      ['2028-02-29T09:00:00.000Z', 1],
    ]);
  });

  /** Switched how often at these instants, in a rotation that waits for nothing but the window. */
  async function calendar(
    begins: string,
    window: { timeZone: string; weekdays: 'sunday'[] | 'tuesday'[]; from: string; to: string },
    looks: readonly (readonly [string, number])[],
  ): Promise<void> {
    await watched.close();
    clock = new ManualClock(Date.parse(begins) - 2 * DAY);
    watched = await openWatched(clock);
    const { familyId, rotationId } = await rotating(watched.world);
    await watched.world.ask(rotationId, { type: 'abandon', reason: 'asked again with a window' });
    await watched.world.leapToEnd(rotationId);
    await watched.world.policy(
      { margins: { clockSkew: 'PT0S', safety: 'PT0S' }, changeWindows: [window] },
      { name: 'windows', selector: { environment: 'production' } },
    );
    const { id } = await watched.world.request(familyId);
    await watched.world.approve(id);
    await watched.look(id);
    await watched.world.confirmAsked(id);
    for (const [at, switched] of looks) {
      clock.advance(Date.parse(at) - clock.now());
      const wake = await watched.look(id);
      expect([at, await of(id, 'EmitterSwitched')]).toEqual([at, switched]);
      if (switched === 0) {
        const next = looks.find(([, times]) => times > 0)?.[0] ?? '';
        expect(wake).toMatchObject({ until: Date.parse(next) });
      }
    }
  }
});

describe('never held', () => {
  for (const [held, hold] of [
    ['a freeze', () => freeze(watched.world)],
    [
      'a clock hold',
      async () => {
        clock.leap(TEN_YEARS);
        await watched.watch.check();
      },
    ],
  ] as const) {
    const words = held === 'a freeze' ? 'the freeze season' : 'the clock';

    proof(`${held}: a planned emit waits`, async () => {
      const { rotationId } = await rotating(watched.world);
      await acceptWindowRuns(rotationId);
      clock.advance(11 * MINUTE);
      await hold();
      const wake = await watched.look(rotationId);
      expect(wake).toMatchObject({ waitsFor: expect.stringContaining(words) });
      expect(await of(rotationId, 'EmitterSwitched')).toBe(0);
    });

    proof(`${held}: a rollback returns emission, and says what it passed`, async () => {
      const { rotationId } = await rotating(watched.world);
      await drainRuns(rotationId);
      await hold();
      await watched.world.rollback(rotationId);
      await watched.look(rotationId);
      expect(await of(rotationId, 'EmissionReturned')).toBe(1);
      expect((await passedBy(watched.world, rotationId, 'return')).join()).toContain(words);
    });

    proof(`${held}: a rollback after the revocation re-accepts and returns`, async () => {
      const { rotationId } = await rotating(watched.world);
      await watchRuns(rotationId);
      await hold();
      // As it is asked where the back end says that it can take its revocation back.
      const { history } = await watched.world.ledger.rotation(rotationId);
      await watched.world.store.append(
        history,
        [{ type: 'RollbackRequested', data: { reason: 'a test' } }],
        causeOf(watched.world.context()),
      );
      await watched.look(rotationId);
      expect(await of(rotationId, 'KeyReaccepted')).toBe(1);
      clock.advance(11 * MINUTE);
      await watched.look(rotationId);
      expect(await of(rotationId, 'EmissionReturned')).toBe(1);
      expect((await passedBy(watched.world, rotationId, 'reaccept')).join()).toContain(words);
    });

    proof(`${held}: an emergency goes through to its end, and says what it passed`, async () => {
      const { familyId, rotationId } = await rotating(watched.world);
      await drainRuns(rotationId);
      await hold();
      const { id } = await watched.world.emergency(familyId);
      for (let turn = 0; turn < 20; turn += 1) {
        const wake = await watched.look(id);
        if (wake.finished || (await of(id, 'RotationCompleted')) === 1) break;
        if ('until' in wake && wake.until !== undefined) {
          clock.advance(Math.min(HOUR, Math.max(SECOND, wake.until - clock.now())));
        }
      }
      expect(await of(id, 'OldKeyRevoked')).toBe(1);
      expect(await of(id, 'RotationCompleted')).toBe(1);
      expect((await passedBy(watched.world, id, 'revoke')).join()).toContain(words);
    });
  }

  proof('a rollback’s own withdrawal keeps the clock rules', async () => {
    const { rotationId } = await rotating(watched.world);
    await acceptWindowRuns(rotationId);
    clock.leap(TEN_YEARS);
    await watched.world.rollback(rotationId);
    const wake = await watched.look(rotationId);
    expect(wake).toMatchObject({ waitsFor: expect.stringContaining('held: the clock') });
    expect(await of(rotationId, 'NewKeyWithdrawn')).toBe(0);
    await confirmHold(watched.world);
    await watched.look(rotationId);
    expect(await of(rotationId, 'NewKeyWithdrawn')).toBe(1);
  });

  proof('a freeze in the middle of an open window ends by itself, and the step follows', async () => {
    const { rotationId } = await rotating(watched.world);
    await acceptWindowRuns(rotationId);
    clock.advance(11 * MINUTE);
    await freeze(watched.world, new Date(clock.now() + HOUR).toISOString());
    expect(await watched.look(rotationId)).toMatchObject({ until: clock.now() + HOUR });
    clock.advance(HOUR - 1);
    await watched.look(rotationId);
    expect(await of(rotationId, 'EmitterSwitched')).toBe(0);
    clock.advance(1);
    await watched.look(rotationId);
    expect(await of(rotationId, 'EmitterSwitched')).toBe(1);
  });
});

const FAKED_NOT: (
  'Date' | 'hrtime' | 'nextTick' | 'performance' | 'queueMicrotask' | 'setImmediate' | 'clearImmediate'
)[] = ['Date', 'hrtime', 'nextTick', 'performance', 'queueMicrotask', 'setImmediate', 'clearImmediate'];

/** Lets what the waker began run; it takes only turns of the loop. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function until(so: () => Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 20_000; turn += 1) {
    if (await so()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error('what was waited for did not come');
}
