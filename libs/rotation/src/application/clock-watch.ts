import { SYSTEM_ACTOR, WrongExpectedRevisionError } from '#eventlog';
import type { Cause } from '#eventlog/kit';
import type { Clock } from '#platform';
import { holdsDecider, type HoldsCommand } from '../domain/holds.decider.js';
import { CLOCK_TOLERANCE_MS, furthestBack, type ClockHold } from '../domain/holds.state.js';
import type { Ledger } from './ledger.js';

/** How often wall and monotonic clock are compared (contracts, Clocks); each wake-up compares them too. */
export const CLOCK_CHECK_MS = 10_000;

/** At start, an own clock this far past the newest record holds and asks (contracts, Clocks). */
export const LONGEST_QUIET_MS = 30 * 86_400_000;

/** A clock that is disciplined by a time service is slewed by at most this part of the time that passes (500 ppm, doubled). */
const SLEW_PER_MS = 0.001;

/**
 * Looks at the own clock before anything of this start is appended: far past the newest record it may be wrong by years,
 * or the log may be an old copy. `true`: emit, revoke and destroy wait until a person confirms the clock.
 */
export async function holdClockAtStart(ledger: Ledger): Promise<boolean> {
  const wall = ledger.store.clock.now();
  const expected = await ledger.store.newestRecordedAt();
  if (wall - expected <= LONGEST_QUIET_MS) return false;
  return holdClock(ledger, { type: 'HoldClock', found: 'start', wall, expected });
}

/** Appends `ClockHeld` unless one is open and this is no further leap. */
async function holdClock(
  ledger: Ledger,
  command: HoldsCommand & { readonly type: 'HoldClock' },
): Promise<boolean> {
  const { store } = ledger;
  for (;;) {
    const { history, state } = await ledger.holds();
    const events = holdsDecider.decide(command, state);
    if (events.length === 0) return false;
    // No command and no event led to it: it is its own cause, as the log's opening is.
    const id = store.ids.random();
    const cause: Cause = {
      actor: SYSTEM_ACTOR,
      correlationId: id,
      causationId: id,
      origin: { via: 'kit' },
    };
    try {
      await store.append(history, events, cause, { eventIds: [id] });
      return true;
    } catch (error) {
      if (!(error instanceof WrongExpectedRevisionError)) throw error;
    }
  }
}

/** What the wall clock should say now: what it said once, and what the monotonic one counted since. */
class Baseline {
  #wall: number;
  #monotonic: number;

  constructor(private readonly clock: Clock) {
    this.#wall = clock.now();
    this.#monotonic = clock.monotonic();
  }

  expected(): number {
    return Math.round(this.#wall + (this.clock.monotonic() - this.#monotonic));
  }

  drift(): number {
    return this.clock.now() - this.expected();
  }

  leapt(): boolean {
    return Math.abs(this.drift()) > CLOCK_TOLERANCE_MS;
  }

  /** A slewed clock parts from the monotonic one by and by; leaps below the limit still add up. */
  follow(): void {
    const most = (this.clock.monotonic() - this.#monotonic) * SLEW_PER_MS;
    this.#wall = this.expected() + Math.max(-most, Math.min(most, this.drift()));
    this.#monotonic = this.clock.monotonic();
  }
}

export interface ClockWatchOptions {
  readonly ledger: Ledger;
  /**
   * The clock of a back end that has one of its own, milliseconds; asked only while a hold is open. A back end on this
   * machine shares our clock and proves nothing: it MUST NOT be asked.
   */
  readonly backEndClock?: () => Promise<number | undefined>;
  /** Told of a comparison that could not be recorded; it is made again. */
  readonly onError: (error: unknown) => void;
}

/**
 * Compares wall time with the monotonic clock. A leap of more than 30 s, forward or back, a machine's sleep too, holds emit,
 * revoke and destroy until the back end's clock agrees, the clock is back where the monotonic one says, or a person confirms.
 * The hold stands in the log, so a restart does not forget it; only the baseline is lost with the process.
 */
export class ClockWatch {
  readonly #options: ClockWatchOptions;
  /** What this process trusts. An open hold does not move it. */
  #trusted: Baseline;
  /** Of the open hold. `found`: by this process, whose baseline can end it; `unknown`: the log was not asked yet. */
  #hold: 'unknown' | 'none' | 'found' | 'inherited' = 'unknown';
  /** Since the last leap of an open hold: what a further one is seen by. */
  #meanwhile: Baseline | undefined;
  #timer: NodeJS.Timeout | undefined;
  #checking: Promise<void> = Promise.resolve();

  constructor(options: ClockWatchOptions) {
    this.#options = options;
    this.#trusted = new Baseline(options.ledger.store.clock);
  }

  /** Compares every ten seconds from now on. */
  start(): void {
    const { onError } = this.#options;
    this.#timer = setInterval(() => {
      this.check().catch(onError);
    }, CLOCK_CHECK_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#checking.catch(() => undefined);
  }

  /**
   * Compares now. Fails where a leap was found and could not be recorded: whoever was about to act on the time must not.
   */
  check(): Promise<void> {
    if (this.#hold === 'none' && !this.#trusted.leapt()) {
      this.#trusted.follow();
      return Promise.resolve();
    }
    const checked = this.#checking.catch(() => undefined).then(() => this.#settle());
    this.#checking = checked;
    return checked;
  }

  #trustOwnClock(): void {
    this.#trusted = new Baseline(this.#options.ledger.store.clock);
    this.#hold = 'none';
    this.#meanwhile = undefined;
  }

  async #settle(): Promise<void> {
    const { ledger } = this.#options;
    if (this.#hold === 'unknown') {
      this.#hold = (await ledger.holds()).state.clock === undefined ? 'none' : 'inherited';
    }
    if (this.#hold === 'none') {
      if (!this.#trusted.leapt()) return;
      await this.#recordLeap(this.#trusted.expected());
      this.#hold = 'found';
      return;
    }
    const { state } = await ledger.holds();
    // A person said that the clock is right: time runs on from what it says.
    if (state.clock === undefined) {
      this.#trustOwnClock();
      return;
    }
    const by = await this.#confirmedBy();
    if (by === undefined) {
      await this.#lookWhileHeld(state.clock);
      return;
    }
    const cause = state.clock;
    const reading = {
      wall: ledger.store.clock.now(),
      newestRecordedAt: await ledger.store.newestRecordedAt(),
    };
    await ledger.decideAndAppend(
      () => ledger.holds(),
      (holds) => holdsDecider.decide({ type: 'ReleaseClock', by, reading }, holds),
      () => ({
        actor: SYSTEM_ACTOR,
        correlationId: cause.eventId,
        causationId: cause.eventId,
        origin: { via: 'kit' },
      }),
    );
    this.#trustOwnClock();
  }

  /** What is recorded while the clock is held must count from when it really happened: each further leap is on record. */
  async #lookWhileHeld(hold: ClockHold): Promise<void> {
    if (this.#meanwhile === undefined) {
      // An earlier process's baseline is gone with it. The clock has been back there at least, or should say more than the log does.
      const least = furthestBack(hold) ?? (await this.#options.ledger.store.newestRecordedAt());
      if (this.#options.ledger.store.clock.now() < least - CLOCK_TOLERANCE_MS) await this.#recordLeap(least);
      else this.#meanwhile = new Baseline(this.#options.ledger.store.clock);
    } else if (this.#meanwhile.leapt()) {
      await this.#recordLeap(this.#meanwhile.expected());
    } else {
      this.#meanwhile.follow();
    }
  }

  async #recordLeap(expected: number): Promise<void> {
    const { ledger } = this.#options;
    const from = new Baseline(ledger.store.clock);
    await holdClock(ledger, { type: 'HoldClock', found: 'monotonic', wall: from.expected(), expected });
    this.#meanwhile = from;
  }

  async #confirmedBy(): Promise<'monotonic' | 'back-end-clock' | undefined> {
    // An earlier process's baseline is gone: our own proves nothing about its hold.
    if (this.#hold === 'found' && !this.#trusted.leapt()) return 'monotonic';
    const theirs = await this.#options.backEndClock?.();
    if (theirs === undefined) return undefined;
    return Math.abs(theirs - this.#options.ledger.store.clock.now()) <= CLOCK_TOLERANCE_MS
      ? 'back-end-clock'
      : undefined;
  }
}
