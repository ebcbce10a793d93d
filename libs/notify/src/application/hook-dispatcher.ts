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
/** A place that could not be reached or did not answer is left alone for a while by all deliveries: nothing is written meanwhile. */
const QUIET_MS = [1_000, 5_000, 30_000, 60_000, 300_000] as const;
/** How often what only time brings is looked for. */
const SWEEP_MS = 60_000;
/** What comes suddenly is asked for again between two sends, at most this often, and whenever an event says so. */
const ASK_AGAIN_MS = 1_000;
/** So many alarms are looked at without a break. */
const MOST_WITHOUT_BREAK = 500;
/** What only time brings: it gives way to everything else. */
const PATIENT = "('rotation.overdue', 'obligation.overdue')";

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
  /** An event said that something came suddenly; nobody has asked for it yet. */
  #moved = false;
  /** On the monotonic clock: when what comes suddenly was last asked for. */
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /** Where it leads, for people. */
  get target(): string {
    return this.#options.channel.target;
  }

  start(): void {
    this.#unlisten = this.#options.readModel.onApplied((events) => {
      if (!events.some(({ type }) => this.#options.sudden.includes(type))) return;
      this.#moved = true;
      this.nudge();
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

  /**
   * One look: what came suddenly, then what only time brings, new before tried. Between two sends what came suddenly meanwhile goes
   * first: however long the list and however slow its receiver, it waits for one send.
   */
  async sweep(): Promise<void> {
    const { store, alarms } = this.#options;
    const began = store.clock.monotonic();
    const all = began - this.#lookedAt >= SWEEP_MS;
    const again = this.#first;
    this.#first = false;
    const open = this.#open(again, 'NOT IN');
    const patient = this.#open(again, 'IN');
    if (!(await this.#sudden(true))) return;
    for (const id of open) {
      if (!(await this.#sudden())) return;
      await this.deliver(id);
    }
    if (all) {
      this.#lookedAt = began;
      let looked = 0;
      for (const fresh of alarms('all')) {
        looked += 1;
        if (looked % MOST_WITHOUT_BREAK === 0) await turn();
        if (this.#isKnown(fresh)) continue;
        if (!(await this.#sudden())) return;
        // What was alarming a minute ago may be over: looked for anew.
        if (store.clock.monotonic() - began >= SWEEP_MS) {
          this.nudge();
          return;
        }
        await this.#raise(fresh);
      }
    }
    for (const id of patient) {
      if (!(await this.#sudden())) return;
      await this.deliver(id);
    }
  }

  /** Deliveries whose time to be tried has come, the oldest first; `again`: also those whose time has not. */
  #open(again: boolean, patient: 'IN' | 'NOT IN'): readonly string[] {
    const { store, readModel } = this.#options;
    return readModel.db
      .prepare(
        `SELECT id FROM deliveries WHERE state = 'open' AND (? OR next_at <= ?) AND type ${patient} ${PATIENT}
         ORDER BY raised_at LIMIT 1000`,
      )
      .all(again ? 1 : 0, store.clock.now())
      .map((row) => String(row['id']));
  }

  /** Sends what came suddenly. `false`: nothing more is to be sent now. */
  async #sudden(now = false): Promise<boolean> {
    const { store, alarms } = this.#options;
    if (now || this.#moved || store.clock.monotonic() - this.#askedAt >= ASK_AGAIN_MS) {
      this.#moved = false;
      this.#askedAt = store.clock.monotonic();
      for (const fresh of alarms('sudden')) {
        if (this.#rests()) return false;
        if (!this.#isKnown(fresh)) await this.#raise(fresh);
      }
    }
    return !this.#rests();
  }

  #isKnown({ alarm }: CausedAlarm): boolean {
    const { store, readModel } = this.#options;
    const known = readModel.db.prepare('SELECT 1 FROM deliveries WHERE id = ?');
    return known.get(deliveryId(store.logId, HOOK, alarm)) !== undefined;
  }

  #raise(fresh: CausedAlarm): Promise<DeliveryState> {
    return this.deliver(deliveryId(this.#options.store.logId, HOOK, fresh.alarm), fresh);
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
    // An answer that never came took as long as is waited: as good a reason to leave the place alone as none there.
    this.#reached(outcome.kind === 'delivered' || outcome.kind === 'refused');
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

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
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
