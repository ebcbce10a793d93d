import type { ReadModel } from '#eventlog/kit';
import type { Clock } from '#platform';
import type { Wake } from './process-runner.js';
import type { RotationRunner } from './rotation-runner.js';

/** Longest sleep: a timer of the platform overflows past 24.8 days, and a changed clock is noticed soon. */
const LONGEST_SLEEP_MS = 10_000;
/**
 * Processes looked at at one time: each look reads streams. Who is left out is taken as soon as one of them is done. Emergencies and
 * containments have as many places of their own: they wait for nobody else's look.
 */
const MOST_LOOKS = 100;
/** What cannot wait first. */
const URGENCIES = [1, 0] as const;
/** After a look that failed (the log unavailable, a bug) the next one waits this long. */
const AFTER_FAILURE_MS = 5_000;
/** Longer than any look, unless it died. */
const LOOK_AGAIN_MS = 60_000;

/** Who holds the emitter switch a rotation waits for, where that is what it waits for: freed, it is looked at again. */
const HOLDER = /\bswitch(?:ing|ed)\b.* for (rotation-[0-9a-f-]{36})/;

function holderIn(waitsFor: string): string | null {
  return HOLDER.exec(waitsFor)?.[1] ?? null;
}

export interface WakerOptions {
  readonly runner: Pick<RotationRunner, 'advance' | 'advanceContainment' | 'advanceDestruction' | 'stop'>;
  readonly readModel: ReadModel;
  readonly clock: Clock;
  /** Runs before each look: what must be known before anything acts on the time. Where it fails, nothing is looked at. */
  readonly beforeLook?: () => Promise<void>;
  /** Told of a look that failed; the rotation is looked at again. */
  readonly onError: (id: string, error: unknown) => void;
}

/**
 * Wakes rotations when something of theirs moved and when their time comes. Wake-ups survive a restart because they are a
 * read model; a lost hint costs latency, never correctness.
 */
export class Waker {
  readonly #options: WakerOptions;
  /** By urgency. */
  readonly #looks: Readonly<Record<(typeof URGENCIES)[number], Map<string, Promise<void>>>> = {
    0: new Map(),
    1: new Map(),
  };
  #timer: NodeJS.Timeout | undefined;
  #unlisten: (() => void) | undefined;
  #stopped = false;
  #again = false;

  constructor(options: WakerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#unlisten = this.#options.readModel.onApplied(() => {
      this.#hint();
    });
    this.#hint();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#unlisten?.();
    await this.#options.runner.stop();
    await Promise.allSettled([...this.#looks[1].values(), ...this.#looks[0].values()]);
  }

  #hint(): void {
    if (this.#stopped) return;
    if (this.#again) return;
    this.#again = true;
    setImmediate(() => {
      this.#again = false;
      this.#sweep();
    });
  }

  #sweep(): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    let delay = AFTER_FAILURE_MS;
    try {
      delay = this.#wakeDue();
    } catch (error) {
      // The read model cannot be read or written just now: looked at again, whatever it was.
      this.#options.onError('sweep', error);
    }
    this.#timer = setTimeout(() => {
      this.#sweep();
    }, delay);
    this.#timer.unref();
  }

  /** Begins a look at whoever is due; gives back how long to sleep. */
  #wakeDue(): number {
    const { readModel, clock } = this.#options;
    const now = clock.now();
    const due = readModel.db.prepare(
      'SELECT id, kind, family_id FROM wakeups WHERE urgent = ? AND wake_at <= ? ORDER BY wake_at LIMIT ?',
    );
    const later = readModel.db.prepare(
      'SELECT min(wake_at) AS at FROM wakeups WHERE urgent = ? AND wake_at > ?',
    );
    let next = now + LONGEST_SLEEP_MS;
    for (const urgent of URGENCIES) {
      const looks = this.#looks[urgent];
      for (const row of due.all(urgent, now, MOST_LOOKS)) {
        const id = String(row['id']);
        if (looks.size >= MOST_LOOKS) break;
        // Moved while it is looked at: the end of that look sweeps again.
        if (this.#looks[0].has(id) || this.#looks[1].has(id)) continue;
        const look = this.#look(id, String(row['kind']), String(row['family_id']))
          .catch((error: unknown) => {
            this.#options.onError(id, error);
          })
          .finally(() => looks.delete(id));
        looks.set(id, look);
      }
      const at = later.get(urgent, now)?.['at'];
      if (typeof at === 'number') next = Math.min(next, at);
    }
    return Math.max(1, next - now);
  }

  async #look(id: string, kind: string, familyId: string): Promise<void> {
    const { runner, readModel, clock, onError, beforeLook } = this.#options;
    // What arrives while we look makes the row due again; so it is marked as looked at before, not after. The mark is itself a time:
    // a look that dies, or cannot write down how it ended, is made again.
    const mark = clock.now() + LOOK_AGAIN_MS;
    readModel.annotate((db) => db.prepare('UPDATE wakeups SET wake_at = ? WHERE id = ?').run(mark, id));
    let wake: Wake;
    try {
      await beforeLook?.();
      wake =
        kind === 'containment'
          ? await runner.advanceContainment(id, familyId)
          : kind === 'destruction'
            ? await runner.advanceDestruction(id)
            : await runner.advance(id, familyId);
    } catch (error) {
      onError(id, error);
      wake = { finished: false, until: clock.now() + AFTER_FAILURE_MS, waitsFor: 'another try' };
    }
    if (this.#stopped) return;
    if (wake.finished) {
      readModel.annotate((db) =>
        db
          .prepare(
            'UPDATE wakeups SET waits_for = NULL, waits_on = NULL, wake_at = nullif(wake_at, ?) WHERE id = ?',
          )
          .run(mark, id),
      );
      // A rotation's row goes when its slot and its claims are free; a process that is over waits for nothing.
      readModel.annotate((db) =>
        db.prepare("DELETE FROM wakeups WHERE id = ? AND kind <> 'rotation' AND wake_at IS NULL").run(id),
      );
    } else {
      const { waitsFor, until } = wake;
      readModel.annotate((db) =>
        db
          .prepare(
            `UPDATE wakeups SET waits_for = ?, waits_on = ?, wake_at = CASE WHEN wake_at = ? THEN ?
             ELSE min(wake_at, coalesce(?, wake_at)) END WHERE id = ?`,
          )
          .run(waitsFor, holderIn(waitsFor), mark, until ?? null, until ?? null, id),
      );
    }
    this.#hint();
  }
}
