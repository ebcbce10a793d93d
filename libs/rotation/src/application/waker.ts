import type { ReadModel } from '#eventlog/kit';
import type { Clock } from '#platform';
import type { RotationRunner, Wake } from './rotation-runner.js';

/** Longest sleep: a timer of the platform overflows past 24.8 days, and a changed clock is noticed soon. */
const LONGEST_SLEEP_MS = 10_000;
/** Rows looked at in one sweep; the rest are looked at in the next, at once. */
const BATCH = 100;
/** After a look that failed (the log unavailable, a bug) the next one waits this long. */
const AFTER_FAILURE_MS = 5_000;

export interface WakerOptions {
  readonly runner: RotationRunner;
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
  readonly #busy = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #unlisten: (() => void) | undefined;
  #stopped = false;
  #sweeping: Promise<void> = Promise.resolve();
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
    await this.#sweeping;
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
    const { readModel, clock } = this.#options;
    const now = clock.now();
    const rows = readModel.db
      .prepare(
        'SELECT id, kind, family_id FROM wakeups WHERE wake_at IS NOT NULL AND wake_at <= ? ORDER BY wake_at LIMIT ?',
      )
      .all(now, BATCH);
    const fresh = rows.filter((row) => !this.#busy.has(String(row.id)));
    for (const row of fresh) {
      const looked = this.#look(String(row.id), String(row.kind), String(row.family_id));
      this.#sweeping = Promise.allSettled([this.#sweeping, looked]).then(() => undefined);
    }
    const next = readModel.db
      .prepare('SELECT min(wake_at) AS at FROM wakeups WHERE wake_at > ?')
      .get(now)?.at;
    const delay =
      typeof next === 'number' ? Math.min(LONGEST_SLEEP_MS, Math.max(1, next - now)) : LONGEST_SLEEP_MS;
    this.#timer = setTimeout(() => {
      this.#sweep();
    }, delay);
    this.#timer.unref();
  }

  async #look(id: string, kind: string, familyId: string): Promise<void> {
    const { runner, readModel, clock, onError, beforeLook } = this.#options;
    this.#busy.add(id);
    // What arrives while we look makes the row due again; so it is marked as looked at before, not after.
    readModel.annotate((db) => db.prepare('UPDATE wakeups SET wake_at = NULL WHERE id = ?').run(id));
    let wake: Wake;
    try {
      await beforeLook?.();
      wake =
        kind === 'containment'
          ? await runner.advanceContainment(id, familyId)
          : await runner.advance(id, familyId);
    } catch (error) {
      onError(id, error);
      wake = { finished: false, until: clock.now() + AFTER_FAILURE_MS, waitsFor: 'another try' };
    } finally {
      this.#busy.delete(id);
    }
    if (this.#stopped) return;
    if (wake.finished) {
      readModel.annotate((db) => db.prepare('UPDATE wakeups SET waits_for = NULL WHERE id = ?').run(id));
    } else {
      const { waitsFor, until } = wake;
      readModel.annotate((db) =>
        db
          .prepare(
            `UPDATE wakeups SET waits_for = ?, wake_at = CASE WHEN wake_at IS NULL THEN ?
             ELSE min(wake_at, coalesce(?, wake_at)) END WHERE id = ?`,
          )
          .run(waitsFor, until ?? null, until ?? null, id),
      );
    }
    this.#hint();
  }
}
