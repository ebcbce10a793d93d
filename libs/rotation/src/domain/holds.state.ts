import { parseInstant } from '#eventlog';
import type { FamilyDetails } from './family.events.js';
import type { FreezeScope, HoldEvent } from './holds.events.js';

/** An own clock this far behind the newest record, or a leap of more than this, holds emit and revoke (contracts, Clocks). */
export const CLOCK_TOLERANCE_MS = 30_000;

export interface Freeze {
  readonly freeze: string;
  readonly name: string;
  readonly reason: string;
  readonly from: number;
  readonly until?: number;
  readonly scope: FreezeScope;
  readonly declaredBy: string;
  readonly liftedAt?: number;
}

/** A hold of its own kind that is open, with the words for whoever waits. */
export interface OpenHold {
  readonly reason: string;
  readonly at: number;
  readonly eventId: string;
}

/** What a clock said, and what it should have said by what was known of it just before. Milliseconds. */
export interface ClockLeap {
  readonly wall: number;
  readonly expected: number;
}

export interface ClockHold extends OpenHold {
  /** The one that held it, and every further one while it is held. */
  readonly leaps: readonly [ClockLeap, ...ClockLeap[]];
}

export interface HoldsState {
  readonly freezes: readonly Freeze[];
  readonly clock?: ClockHold;
  readonly integrity?: OpenHold;
  readonly restore?: OpenHold;
  /** Records up to this instant may be ahead of a clock that was confirmed since: they no longer hold anything. */
  readonly recordsAheadUntil?: number;
  /** Spans of the clock's own time in which it was, or may have been, behind: what is recorded in one happened later than it says. */
  readonly behind?: readonly { readonly from: number; readonly until: number }[];
}

export const noHolds: HoldsState = { freezes: [] };

export function evolveHolds(state: HoldsState, event: HoldEvent): HoldsState {
  const at = { at: event.recordedAt, eventId: event.id };
  switch (event.type) {
    case 'FreezeDeclared': {
      const { from, until, ...rest } = event.data;
      const ends = until === undefined ? undefined : parseInstant(until);
      const freeze: Freeze = {
        freeze: rest.freeze,
        name: rest.name,
        reason: rest.reason,
        scope: rest.scope,
        from: parseInstant(from) ?? event.recordedAt,
        ...(ends === undefined ? {} : { until: ends }),
        declaredBy: event.actor,
      };
      return { ...state, freezes: [...state.freezes, freeze] };
    }
    case 'FreezeLifted':
      return {
        ...state,
        freezes: state.freezes.map((freeze) =>
          freeze.freeze === event.data.freeze && freeze.liftedAt === undefined
            ? { ...freeze, liftedAt: event.recordedAt }
            : freeze,
        ),
      };
    case 'ClockHeld': {
      const leap = {
        wall: parseInstant(event.data.wall) ?? event.recordedAt,
        expected: parseInstant(event.data.expected) ?? event.recordedAt,
      };
      // An open hold keeps what it was found by; what the clock did since is kept beside it.
      const clock: ClockHold =
        state.clock === undefined
          ? { ...at, reason: event.data.reason, leaps: [leap] }
          : { ...state.clock, leaps: [...state.clock.leaps, leap] };
      return { ...state, clock };
    }
    case 'ClockConfirmed': {
      const { clock, ...rest } = state;
      const newest = parseInstant(event.data.newestRecordedAt ?? '');
      const until = parseInstant(event.data.wall ?? '') ?? event.recordedAt;
      const from = clock === undefined ? undefined : furthestBack(clock);
      return {
        ...rest,
        ...(newest === undefined ? {} : { recordsAheadUntil: newest }),
        ...(from !== undefined && from < until ? { behind: [...(state.behind ?? []), { from, until }] } : {}),
      };
    }
    case 'IntegrityHeld':
      return { ...state, integrity: state.integrity ?? { ...at, reason: event.data.what } };
    case 'IntegrityConfirmed': {
      const { integrity: _integrity, ...rest } = state;
      return rest;
    }
    case 'RestoreHeld':
      return { ...state, restore: state.restore ?? { ...at, reason: event.data.reason } };
    case 'RestoreConfirmed': {
      const { restore: _restore, ...rest } = state;
      return rest;
    }
  }
}

/** How far back an open hold's clock is known to have been; `undefined`: it only ever was ahead. */
export function furthestBack({ leaps }: ClockHold): number | undefined {
  const back = leaps.flatMap(({ wall, expected }) => (wall < expected ? [wall] : []));
  return back.length === 0 ? undefined : Math.min(...back);
}

/**
 * By how much an open hold's clock may have run ahead since it said `from`: every leap forward counts that came when it had not yet
 * said anything later. Where it went to and fro more than once that may be too much, never too little.
 */
export function aheadSince({ leaps }: ClockHold, from: number): number {
  let latest = -Infinity;
  let ahead = 0;
  for (const { wall, expected } of leaps) {
    latest = Math.max(latest, expected);
    if (wall > expected && from <= latest) ahead += wall - expected;
    latest = Math.max(latest, wall);
  }
  return ahead;
}

function covers(
  scope: FreezeScope,
  familyId: string,
  family: Pick<FamilyDetails, 'environment' | 'team' | 'kind'>,
): boolean {
  return (
    (scope.environments?.includes(family.environment) ?? true) &&
    (scope.teams?.includes(family.team) ?? true) &&
    (scope.kinds?.includes(family.kind) ?? true) &&
    (scope.families?.includes(familyId) ?? true)
  );
}

/** Whether a freeze holds what it covers at this instant. */
export function inForce(freeze: Freeze, now: number): boolean {
  return (
    freeze.liftedAt === undefined && freeze.from <= now && (freeze.until === undefined || now < freeze.until)
  );
}

/** The freezes that hold this family now, those that end last first. */
export function freezesOn(
  state: HoldsState,
  familyId: string,
  family: Pick<FamilyDetails, 'environment' | 'team' | 'kind'>,
  now: number,
): readonly Freeze[] {
  return state.freezes
    .filter((freeze) => inForce(freeze, now) && covers(freeze.scope, familyId, family))
    .sort((left, right) => (right.until ?? Infinity) - (left.until ?? Infinity));
}
