import { SYSTEM_ACTOR, WrongExpectedRevisionError } from '#eventlog';
import type { Cause } from '#eventlog/kit';
import { holdsDecider, wentFurtherBack, type HoldsCommand } from '../domain/holds.decider.js';
import { CLOCK_TOLERANCE_MS } from '../domain/holds.state.js';
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

/** Appends `ClockHeld` unless one is open that says as much: an open hold keeps what it was found by. */
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
  #wall: number;
  #monotonic: number;
  /** Of the open hold. `found`: by this process, whose baseline can end it; `unknown`: the log was not asked yet. */
  #hold: 'unknown' | 'none' | 'found' | 'inherited' = 'unknown';
  /** What was read at the last look at an open hold. */
  #seen: { readonly wall: number; readonly monotonic: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #checking: Promise<void> = Promise.resolve();

  constructor(options: ClockWatchOptions) {
    this.#options = options;
    const { clock } = options.ledger.store;
    this.#wall = clock.now();
    this.#monotonic = clock.monotonic();
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
    if (this.#hold === 'none' && Math.abs(this.#drift()) <= CLOCK_TOLERANCE_MS) {
      this.#follow();
      return Promise.resolve();
    }
    const checked = this.#checking.catch(() => undefined).then(() => this.#settle());
    this.#checking = checked;
    return checked;
  }

  #expected(): number {
    const { clock } = this.#options.ledger.store;
    return Math.round(this.#wall + (clock.monotonic() - this.#monotonic));
  }

  /**
   * What an open hold's clock should at least say: by the baseline it was found by, and by what it said at the last look (a machine
   * that slept is far ahead of that baseline and right). An earlier process's baseline is gone with it.
   */
  #expectedWhileHeld(hold: { readonly expected: number }): number {
    const { clock } = this.#options.ledger.store;
    const baseline = this.#hold === 'found' ? this.#expected() : hold.expected;
    return this.#seen === undefined
      ? baseline
      : Math.max(baseline, Math.round(this.#seen.wall + (clock.monotonic() - this.#seen.monotonic)));
  }

  #drift(): number {
    return this.#options.ledger.store.clock.now() - this.#expected();
  }

  /** A slewed clock parts from the monotonic one by and by; leaps below the limit still add up. */
  #follow(): void {
    const { clock } = this.#options.ledger.store;
    const most = (clock.monotonic() - this.#monotonic) * SLEW_PER_MS;
    const drift = this.#drift();
    this.#wall = this.#expected() + Math.max(-most, Math.min(most, drift));
    this.#monotonic = clock.monotonic();
  }

  #trustOwnClock(): void {
    const { clock } = this.#options.ledger.store;
    this.#wall = clock.now();
    this.#monotonic = clock.monotonic();
    this.#hold = 'none';
    this.#seen = undefined;
  }

  async #settle(): Promise<void> {
    const { ledger } = this.#options;
    if (this.#hold === 'unknown') {
      this.#hold = (await ledger.holds()).state.clock === undefined ? 'none' : 'inherited';
    }
    if (this.#hold === 'none') {
      const expected = this.#expected();
      const wall = ledger.store.clock.now();
      if (Math.abs(wall - expected) <= CLOCK_TOLERANCE_MS) return;
      await holdClock(ledger, { type: 'HoldClock', found: 'monotonic', wall, expected });
      this.#hold = 'found';
      this.#seen = { wall, monotonic: ledger.store.clock.monotonic() };
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
      const wall = ledger.store.clock.now();
      const expected = this.#expectedWhileHeld(state.clock);
      this.#seen = { wall, monotonic: ledger.store.clock.monotonic() };
      // It went back while it was held: what is recorded now happened later than it says, and must count from the confirmation.
      if (wentFurtherBack(state.clock, { wall, expected })) {
        await holdClock(ledger, { type: 'HoldClock', found: 'monotonic', wall, expected });
      }
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

  async #confirmedBy(): Promise<'monotonic' | 'back-end-clock' | undefined> {
    // An earlier process's baseline is gone: our own proves nothing about its hold.
    if (this.#hold === 'found' && Math.abs(this.#drift()) <= CLOCK_TOLERANCE_MS) return 'monotonic';
    const theirs = await this.#options.backEndClock?.();
    if (theirs === undefined) return undefined;
    return Math.abs(theirs - this.#options.ledger.store.clock.now()) <= CLOCK_TOLERANCE_MS
      ? 'back-end-clock'
      : undefined;
  }
}
