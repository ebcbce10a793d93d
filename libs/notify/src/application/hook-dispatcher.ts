import { SYSTEM_ACTOR, WrongExpectedRevisionError } from '#eventlog';
import type { EventStore, History, ReadModel } from '#eventlog/kit';
import { derivedId, failpoint } from '#platform';
import type { Channel } from '../channels/channel.js';
import type { Alarm, DeliveryEvent } from '../domain/delivery.events.js';
import {
  afterAttempt,
  evolveDelivery,
  nextAttempt,
  noDelivery,
  type DeliveryState,
} from '../domain/delivery.js';

/** The one subscriber there is. */
export const HOOK = 'hook';

/** How long an attempt may still be answered after its limit. */
const LEASE_MARGIN_MS = 5_000;
/** A place that could not be reached is left alone for a while by all deliveries: nothing is written meanwhile. */
const QUIET_MS = [1_000, 5_000, 30_000, 60_000, 300_000] as const;
/** How often what only time brings is looked for. */
const SWEEP_MS = 60_000;

export interface DispatcherOptions {
  readonly store: EventStore;
  readonly readModel: Pick<ReadModel, 'db' | 'onApplied' | 'caughtUp'>;
  readonly channel: Channel;
  /**
   * What is alarming now, the most urgent first; `sudden`: without what only time brings, which is looked for once a
   * minute. An alarm that is over before it was raised is not sent.
   */
  readonly alarms: (which: 'sudden' | 'all') => readonly CausedAlarm[];
  /** Events after which it is worth a look. */
  readonly sudden: readonly string[];
  readonly worker: string;
  readonly isDead: (worker: string) => boolean;
  readonly onError: (error: unknown) => void;
}

/** An alarm, and the event that made it so, where it was one. */
export interface CausedAlarm {
  readonly alarm: Alarm;
  readonly cause?: { readonly eventId: string; readonly correlationId: string };
}

/** The delivery of an alarm to a subscriber: one, for ever. */
export function deliveryId(logId: string, subscriber: string, alarm: Pick<Alarm, 'type' | 'key'>): string {
  return derivedId(logId, 'delivery', subscriber, alarm.type, alarm.key);
}

export const deliveryStream = (id: string): string => `delivery-${id}`;

/**
 * Sends alarms one after another, beside everything else: whatever it does, nothing waits for it. Each attempt is on record
 * before it is made (claimed at the stream's exact revision) and its outcome after; what a crash left open is sent again
 * under the same id, and the record says that it may have arrived before.
 */
export class HookDispatcher {
  readonly #options: DispatcherOptions;
  #timer: NodeJS.Timeout | undefined;
  #unlisten: (() => void) | undefined;
  #work: Promise<void> = Promise.resolve();
  #waiting = false;
  #stopped = false;
  #unreachable = 0;
  #quietUntil = 0;
  /** On the monotonic clock: when everything was last looked for. */
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** What an earlier process left open need not wait for its lease. */
  #first = true;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /** Where it leads, for people. */
  get target(): string {
    return this.#options.channel.target;
  }

  start(): void {
    this.#unlisten = this.#options.readModel.onApplied((events) => {
      if (events.some(({ type }) => this.#options.sudden.includes(type))) this.nudge();
    });
    this.nudge();
  }

  /** Looks soon. Losing a nudge costs a minute, nothing else. */
  nudge(): void {
    if (this.#waiting || this.#stopped) return;
    this.#waiting = true;
    this.#work = this.#work.then(() => {
      this.#waiting = false;
      return this.sweep()
        .catch(this.#options.onError)
        .then(() => this.#sleep());
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#unlisten?.();
    await this.#work;
  }

  /** One look: what is open and due, then what is new. */
  async sweep(): Promise<void> {
    const { store, readModel, alarms } = this.#options;
    const rows = readModel.db
      .prepare(
        "SELECT id FROM deliveries WHERE state = 'open' AND (? OR next_at <= ?) ORDER BY raised_at LIMIT 1000",
      )
      .all(this.#first ? 1 : 0, store.clock.now());
    this.#first = false;
    const monotonic = store.clock.monotonic();
    const which = monotonic - this.#lookedAt >= SWEEP_MS ? 'all' : 'sudden';
    if (which === 'all') this.#lookedAt = monotonic;
    const known = readModel.db.prepare('SELECT 1 FROM deliveries WHERE id = ?');
    for (const { alarm, cause } of alarms(which)) {
      if (this.#rests()) return;
      const id = deliveryId(store.logId, HOOK, alarm);
      if (known.get(id) === undefined)
        await this.deliver(id, { alarm, ...(cause === undefined ? {} : { cause }) });
    }
    for (const row of rows) {
      if (this.#rests()) return;
      await this.deliver(String(row['id']));
    }
  }

  #rests(): boolean {
    return this.#stopped || this.#options.store.clock.now() < this.#quietUntil;
  }

  /** One attempt, where one is due. Answers where the delivery stands. */
  async deliver(id: string, fresh?: CausedAlarm): Promise<DeliveryState> {
    const { store, channel, worker, isDead } = this.#options;
    const history = await store.read(deliveryStream(id));
    const state = fold(history, noDelivery);
    const events = nextAttempt(
      state,
      fresh === undefined ? undefined : { alarm: fresh.alarm, subscriber: HOOK },
      { now: store.clock.now(), worker, leaseMs: channel.limitMs + LEASE_MARGIN_MS, isDead },
    );
    if (events.length === 0) return state;
    const correlationId = history.events[0]?.correlationId ?? fresh?.cause?.correlationId ?? id;
    const because = { actor: SYSTEM_ACTOR, correlationId, origin: { via: 'saga' as const } };
    let started: History;
    try {
      started = await store.append(history, events, {
        ...because,
        causationId: state.lastEvent ?? fresh?.cause?.eventId ?? id,
      });
    } catch (error) {
      // Somebody else was faster: theirs to send.
      if (error instanceof WrongExpectedRevisionError) return state;
      throw error;
    }
    const begun = fold(started, state);
    const { alarm, open } = begun;
    if (alarm === undefined || open === undefined) return begun;
    failpoint('hook:before-effect');
    const at = store.clock.now();
    const outcome = await channel.send({ id, at, body: bodyOf(alarm) });
    failpoint('hook:after-effect');
    this.#reached(outcome.kind !== 'unreachable');
    const ended = await store.append(started, afterAttempt(open.attempt, outcome, store.clock.now()), {
      ...because,
      causationId: begun.lastEvent ?? id,
    });
    failpoint('hook:after-outcome');
    return fold(ended, begun);
  }

  #reached(reached: boolean): void {
    this.#unreachable = reached ? 0 : this.#unreachable + 1;
    const quiet = QUIET_MS[Math.min(this.#unreachable, QUIET_MS.length) - 1] ?? 0;
    this.#quietUntil = reached ? 0 : this.#options.store.clock.now() + quiet;
  }

  #sleep(): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    const { readModel, store } = this.#options;
    const next = readModel.db
      .prepare("SELECT min(next_at) AS at FROM deliveries WHERE state = 'open'")
      .get()?.['at'];
    const now = store.clock.now();
    const due = Math.max(typeof next === 'number' ? next : now + SWEEP_MS, this.#quietUntil);
    this.#timer = setTimeout(
      () => {
        this.nudge();
      },
      Math.min(SWEEP_MS, Math.max(250, due - now)),
    );
    this.#timer.unref();
  }
}

function fold(history: History, state: DeliveryState): DeliveryState {
  // The category of a stream decides its event types.
  return (history.events as readonly DeliveryEvent[]).reduce(evolveDelivery, state);
}

/** What is sent: made from what is on record, so that every attempt has the same bytes. */
function bodyOf(alarm: Alarm): string {
  // The key made the id; to a receiver it says nothing more.
  const { type, at, key: _, ...data } = alarm;
  return JSON.stringify({ type: `keyturn.${type}`, timestamp: at, data });
}
