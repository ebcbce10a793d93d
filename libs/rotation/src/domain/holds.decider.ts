import { DomainError, formatInstant, parseInstant, type Decider } from '#eventlog';
import { formatDuration } from './duration.js';
import type { FreezeScope, HoldEvent, NewHoldEvent } from './holds.events.js';
import { CLOCK_TOLERANCE_MS, evolveHolds, noHolds, type HoldsState } from './holds.state.js';

/** Holds a person ends by confirming that what held is right again. */
export const CONFIRMABLE_HOLDS = ['clock', 'integrity', 'restore'] as const;
export type ConfirmableHold = (typeof CONFIRMABLE_HOLDS)[number];

/** What the own clock and the log said when a clock hold ended. */
export interface ClockReading {
  readonly wall: number;
  readonly newestRecordedAt: number;
}

export type HoldsCommand =
  | {
      readonly type: 'DeclareFreeze';
      readonly freeze: string;
      readonly name: string;
      readonly reason: string;
      /** Left out: from now on. */
      readonly from?: string;
      /** Left out: until it is lifted. */
      readonly until?: string;
      readonly scope: FreezeScope;
      readonly now: number;
    }
  | { readonly type: 'LiftFreeze'; readonly freeze: string; readonly reason: string }
  | {
      readonly type: 'ConfirmHold';
      readonly hold: ConfirmableHold;
      readonly reason: string;
      readonly reading: ClockReading;
    }
  | {
      readonly type: 'HoldIntegrity';
      readonly what: string;
      readonly treeSize?: number;
      readonly stream: string;
      readonly revision: number;
    }
  | {
      readonly type: 'HoldClock';
      readonly found: 'monotonic' | 'start';
      /** What the wall clock says, and what it should say. */
      readonly wall: number;
      readonly expected: number;
    }
  | {
      readonly type: 'ReleaseClock';
      readonly by: 'monotonic' | 'back-end-clock';
      readonly reading: ClockReading;
    };

function declareFreeze(
  command: HoldsCommand & { readonly type: 'DeclareFreeze' },
  state: HoldsState,
): readonly NewHoldEvent[] {
  const { freeze, name, reason, until, scope, now } = command;
  if (state.freezes.some((known) => known.freeze === freeze)) return [];
  const from = command.from ?? formatInstant(now);
  const begins = parseInstant(from) ?? now;
  const ends = until === undefined ? undefined : parseInstant(until);
  if (ends !== undefined && ends <= begins) {
    throw new DomainError(
      'freeze.ends-before-it-begins',
      `this freeze would end (${until ?? ''}) before it begins (${from}): until is later than from`,
      { field: 'until' },
    );
  }
  if (ends !== undefined && ends <= now) {
    throw new DomainError(
      'freeze.over',
      `this freeze would be over already: until is later than now (${formatInstant(now)})`,
      { field: 'until' },
    );
  }
  return [
    {
      type: 'FreezeDeclared',
      data: { freeze, name, reason, from, scope, ...(until === undefined ? {} : { until }) },
    },
  ];
}

function clockReason({ found, wall, expected }: HoldsCommand & { readonly type: 'HoldClock' }): string {
  const apart = formatDuration(Math.floor(Math.abs(wall - expected) / 1_000) * 1_000);
  if (found === 'start') {
    return `it says ${formatInstant(wall)}, ${apart} after the newest record: is it right?`;
  }
  return `it leapt ${apart} ${wall > expected ? 'forward' : 'back'}, to ${formatInstant(wall)}`;
}

function decide(command: HoldsCommand, state: HoldsState): readonly NewHoldEvent[] {
  switch (command.type) {
    case 'DeclareFreeze':
      return declareFreeze(command, state);
    case 'LiftFreeze': {
      const known = state.freezes.find((freeze) => freeze.freeze === command.freeze);
      if (known === undefined) throw new DomainError('freeze.not-found', 'there is no such freeze');
      return known.liftedAt === undefined
        ? [{ type: 'FreezeLifted', data: { freeze: command.freeze, reason: command.reason } }]
        : [];
    }
    case 'ConfirmHold': {
      const { hold, reason, reading } = command;
      if (state[hold] === undefined) {
        throw new DomainError('hold.not-open', `there is nothing to confirm: ${NOT_HELD[hold]}`, { hold });
      }
      return [confirmation(hold, reason, reading)];
    }
    case 'HoldIntegrity': {
      const { what, treeSize, stream, revision } = command;
      // One finding holds as much as a hundred; the others are told where they are found.
      if (state.integrity !== undefined) return [];
      return [
        {
          type: 'IntegrityHeld',
          data: { what, stream, revision, ...(treeSize === undefined ? {} : { treeSize }) },
        },
      ];
    }
    case 'HoldClock':
      // One hold is enough, but a further leap while it is open says when what is recorded meanwhile really happened.
      return state.clock !== undefined && Math.abs(command.wall - command.expected) <= CLOCK_TOLERANCE_MS
        ? []
        : [
            {
              type: 'ClockHeld',
              data: {
                found: command.found,
                wall: formatInstant(command.wall),
                expected: formatInstant(command.expected),
                reason: clockReason(command),
              },
            },
          ];
    case 'ReleaseClock':
      return state.clock === undefined
        ? []
        : [{ type: 'ClockConfirmed', data: { by: command.by, ...readOf(command.reading) } }];
  }
}

function confirmation(hold: ConfirmableHold, reason: string, reading: ClockReading): NewHoldEvent {
  switch (hold) {
    case 'clock':
      return { type: 'ClockConfirmed', data: { by: 'person', reason, ...readOf(reading) } };
    case 'integrity':
      return { type: 'IntegrityConfirmed', data: { reason } };
    case 'restore':
      return { type: 'RestoreConfirmed', data: { reason } };
  }
}

const NOT_HELD: Readonly<Record<ConfirmableHold, string>> = {
  clock: 'the clock holds nothing',
  integrity: 'no finding of the log holds anything',
  restore: 'nothing is held because of a restore',
};

function readOf({ wall, newestRecordedAt }: ClockReading): {
  readonly wall: string;
  readonly newestRecordedAt: string;
} {
  return { wall: formatInstant(wall), newestRecordedAt: formatInstant(newestRecordedAt) };
}

export const holdsDecider: Decider<HoldsCommand, HoldsState, NewHoldEvent, HoldEvent> = {
  initialState: noHolds,
  decide,
  evolve: evolveHolds,
};
