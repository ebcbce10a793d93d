import { formatInstant } from '#eventlog';
import { frozenFold, recorded } from '#eventlog/testing';
import { holdsDecider, type HoldsCommand } from './holds.decider.js';
import type { NewHoldEvent } from './holds.events.js';
import {
  aheadSince,
  freezesOn,
  furthestBack,
  noHolds,
  type ClockLeap,
  type HoldsState,
} from './holds.state.js';

const NOW = Date.parse('2026-03-02T09:00:00.000Z');
const HOUR = 3_600_000;
const FREEZE = '11111111-1111-4111-8111-111111111111';
const FAMILY = '22222222-2222-4222-8222-222222222222';

/** Events as the log gives them back, folded; `at` is when each was recorded. */
function given(events: readonly NewHoldEvent[], at = NOW): HoldsState {
  return frozenFold(
    holdsDecider,
    events.map((event, revision) => recorded(event, { revision, recordedAt: at, actor: 'somebody' })),
  );
}

function declare(change: Partial<HoldsCommand & { readonly type: 'DeclareFreeze' }> = {}): HoldsCommand {
  return {
    type: 'DeclareFreeze',
    freeze: FREEZE,
    name: 'season',
    reason: 'no changes',
    scope: {},
    now: NOW,
    ...change,
  };
}

const reading = { wall: NOW, newestRecordedAt: NOW };

describe('a freeze', () => {
  it('begins now where nobody says otherwise, and lasts until it is lifted', () => {
    expect(holdsDecider.decide(declare(), noHolds)).toEqual([
      {
        type: 'FreezeDeclared',
        data: { freeze: FREEZE, name: 'season', reason: 'no changes', from: formatInstant(NOW), scope: {} },
      },
    ]);
  });

  it.each([
    ['2026-03-02T10:00:00.000Z', '2026-03-02T10:00:00.000Z', 'freeze.ends-before-it-begins'],
    ['2026-03-03T00:00:00.000Z', '2026-03-02T10:00:00.000Z', 'freeze.ends-before-it-begins'],
    ['2026-03-01T00:00:00.000Z', '2026-03-02T09:00:00.000Z', 'freeze.over'],
    ['2026-03-01T00:00:00.000Z', '2026-03-02T08:00:00.000Z', 'freeze.over'],
  ])('from %s until %s is refused: %s', (from, until, code) => {
    expect(() => holdsDecider.decide(declare({ from, until }), noHolds)).toThrow(
      expect.objectContaining({ code, details: { field: 'until' } }),
    );
  });

  it('that began in the past may be declared, as long as it is not over', () => {
    const [event] = holdsDecider.decide(
      declare({ from: '2026-03-01T00:00:00.000Z', until: '2026-03-02T09:00:00.001Z' }),
      noHolds,
    );
    expect(event?.type).toBe('FreezeDeclared');
  });

  it('holds what every named part covers, in its time, until it is lifted', () => {
    const family = { environment: 'production', team: 'payments', kind: 'asymmetric-key' } as const;
    const scope = { environments: ['production'], teams: ['payments'] };
    const declared = holdsDecider.decide(
      declare({ scope, from: formatInstant(NOW + HOUR), until: formatInstant(NOW + 2 * HOUR) }),
      noHolds,
    );
    const state = given(declared);
    const names = (at: number, which = family as typeof family | { team: string }): number =>
      freezesOn(state, FAMILY, { ...family, ...which }, at).length;
    expect([NOW + HOUR - 1, NOW + HOUR, NOW + 2 * HOUR - 1, NOW + 2 * HOUR].map((at) => names(at))).toEqual([
      0, 1, 1, 0,
    ]);
    expect(names(NOW + HOUR, { team: 'search' })).toBe(0);
    const lifted = given([
      ...declared,
      ...holdsDecider.decide({ type: 'LiftFreeze', freeze: FREEZE, reason: 'over' }, state),
    ]);
    expect(freezesOn(lifted, FAMILY, family, NOW + HOUR)).toEqual([]);
  });

  it('is declared once, lifted once, and only where it is known', () => {
    const declared = given(holdsDecider.decide(declare(), noHolds));
    expect(holdsDecider.decide(declare(), declared)).toEqual([]);
    const lift = { type: 'LiftFreeze', freeze: FREEZE, reason: 'over' } as const;
    const lifting = holdsDecider.decide(lift, declared);
    expect(lifting).toHaveLength(1);
    const lifted = given([...holdsDecider.decide(declare(), noHolds), ...lifting]);
    expect(holdsDecider.decide(lift, lifted)).toEqual([]);
    expect(() => holdsDecider.decide({ ...lift, freeze: FAMILY }, declared)).toThrow(
      expect.objectContaining({ code: 'freeze.not-found' }),
    );
  });
});

describe('a hold a person confirms', () => {
  const held: Readonly<Record<'clock' | 'integrity' | 'restore', NewHoldEvent>> = {
    clock: {
      type: 'ClockHeld',
      data: {
        found: 'monotonic',
        wall: formatInstant(NOW - HOUR),
        expected: formatInstant(NOW),
        reason: 'it leapt',
      },
    },
    integrity: { type: 'IntegrityHeld', data: { what: 'a leaf differs' } },
    restore: { type: 'RestoreHeld', data: { found: 'restore', reason: 'put back' } },
  };

  it.each(['clock', 'integrity', 'restore'] as const)('%s', (hold) => {
    const command = { type: 'ConfirmHold', hold, reason: 'looked', reading } as const;
    expect(() => holdsDecider.decide(command, noHolds)).toThrow(
      expect.objectContaining({ code: 'hold.not-open' }),
    );
    const others = (['clock', 'integrity', 'restore'] as const).filter((each) => each !== hold);
    const all = given(Object.values(held));
    const after = given([...Object.values(held), ...holdsDecider.decide(command, all)]);
    expect(after[hold]).toBeUndefined();
    for (const other of others) expect(after[other]).toBeDefined();
  });

  it('remembers the span in which the clock was behind, and none where it was ahead', () => {
    const confirm = { type: 'ConfirmHold', hold: 'clock', reason: 'looked', reading } as const;
    const back = given([held.clock, ...holdsDecider.decide(confirm, given([held.clock]))]);
    expect(back.behind).toEqual([{ from: NOW - HOUR, until: NOW }]);
    const ahead: NewHoldEvent = {
      type: 'ClockHeld',
      data: {
        found: 'start',
        wall: formatInstant(NOW + HOUR),
        expected: formatInstant(NOW),
        reason: 'is it right?',
      },
    };
    const forward = given([ahead, ...holdsDecider.decide(confirm, given([ahead]))]);
    expect(forward.behind).toBeUndefined();
    expect(forward.recordsAheadUntil).toBe(NOW);
  });
});

describe('the clock', () => {
  const hold = { type: 'HoldClock', found: 'monotonic', wall: NOW + HOUR, expected: NOW } as const;

  it('is held once, with what was found in words, and released once', () => {
    const events = holdsDecider.decide(hold, noHolds);
    expect(events).toEqual([
      {
        type: 'ClockHeld',
        data: {
          found: 'monotonic',
          wall: '2026-03-02T10:00:00.000Z',
          expected: '2026-03-02T09:00:00.000Z',
          reason: 'it leapt PT1H forward, to 2026-03-02T10:00:00.000Z',
        },
      },
    ]);
    const state = given(events);
    expect(holdsDecider.decide({ ...hold, wall: NOW + 30_000 }, state)).toEqual([]);
    expect(holdsDecider.decide({ ...hold, wall: NOW + 30_001 }, state)).toHaveLength(1);
    expect(holdsDecider.decide({ ...hold, wall: NOW - 30_001 }, state)).toHaveLength(1);
    const release = { type: 'ReleaseClock', by: 'monotonic', reading } as const;
    expect(holdsDecider.decide(release, state)).toHaveLength(1);
    expect(holdsDecider.decide(release, noHolds)).toEqual([]);
  });

  it('keeps every leap of an open hold, and what it was found by', () => {
    const first = holdsDecider.decide(hold, noHolds);
    const further = holdsDecider.decide(
      { ...hold, wall: NOW - HOUR, expected: NOW + 2 * HOUR },
      given(first),
    );
    const { clock } = given([...first, ...further]);
    expect(clock).toMatchObject({ reason: 'it leapt PT1H forward, to 2026-03-02T10:00:00.000Z' });
    expect(clock?.leaps).toEqual([
      { wall: NOW + HOUR, expected: NOW },
      { wall: NOW - HOUR, expected: NOW + 2 * HOUR },
    ]);
  });

  const held = (...leaps: readonly [ClockLeap, ...ClockLeap[]]) => ({
    reason: '',
    at: NOW,
    eventId: '',
    leaps,
  });
  const AHEAD = { wall: NOW + HOUR, expected: NOW };

  it('was back where any leap went back: as far as it is known to have been', () => {
    expect(furthestBack(held(AHEAD))).toBeUndefined();
    expect(furthestBack(held(AHEAD, { wall: NOW + 5 * HOUR, expected: NOW + 2 * HOUR }))).toBeUndefined();
    expect(furthestBack(held({ wall: NOW - HOUR, expected: NOW }))).toBe(NOW - HOUR);
    expect(furthestBack(held(AHEAD, { wall: NOW - HOUR, expected: NOW + 2 * HOUR }))).toBe(NOW - HOUR);
    expect(furthestBack(held({ wall: NOW - HOUR, expected: NOW }, AHEAD))).toBe(NOW - HOUR);
    expect(furthestBack(held(AHEAD, { wall: NOW + HOUR, expected: NOW + 2 * HOUR }))).toBe(NOW + HOUR);
  });

  it('ran ahead by every leap forward since what is asked about', () => {
    const twice = held(AHEAD, { wall: NOW + 5 * HOUR, expected: NOW + 2 * HOUR });
    const since = (from: number): number => aheadSince(twice, from) / HOUR;
    expect([-1, 0, 1, 2, 2.1, 5].map((hours) => since(NOW + hours * HOUR))).toEqual([4, 4, 3, 3, 0, 0]);
  });

  it('counts a leap forward for what was said before the clock went back in between: too late, never too early', () => {
    const toAndFro = held(
      AHEAD,
      { wall: NOW, expected: NOW + 2 * HOUR },
      { wall: NOW + 4 * HOUR, expected: NOW + HOUR },
    );
    expect(aheadSince(toAndFro, NOW + 1.5 * HOUR)).toBe(3 * HOUR);
    expect(aheadSince(toAndFro, NOW + 2.1 * HOUR)).toBe(0);
  });
});
