import type { Clock } from '#platform';
import { AT_LEAST_EVERY_MS } from '../domain/inventory.js';
import type { InventoryReconciler } from './reconcile-inventory.js';

/** How often the objects of rotations that wait are looked at (design: every few minutes while a rotation waits, and daily). */
const LOOK_MS = 300_000;
/** How soon what was just declared is looked at: what its object holds already belongs on record before it is rotated. */
const NEW_MS = 10_000;
/** How soon a look that some object could not be read in is made again. */
const UNREADABLE_MS = 3_600_000;

/** Whom to look at; says nothing about what is there. */
export interface InventoryDirectory {
  /** Back ends that families have an object in, each with those families. */
  byBackEnd(): ReadonlyMap<string, readonly string[]>;
  /** Families of which something is under way, and those whose drift is open. */
  underWay(): readonly string[];
  /** Families with an object, of which no version is on record as accepted. */
  unknown(): readonly string[];
  /** Families whose verifiers should be served, and nothing is kept of what: after a backup was restored, or the copies were lost. */
  unserved(): readonly string[];
}

export interface InventoryWatchOptions {
  readonly reconciler: Pick<InventoryReconciler, 'reconcile' | 'look' | 'last'>;
  readonly directory: InventoryDirectory;
  readonly clock: Clock;
  /** Told of a look that failed by itself; it is made again. */
  readonly onError: (error: unknown) => void;
}

/** Looks at back ends every few minutes where something is under way, and everywhere once a day. */
export class InventoryWatch {
  readonly #options: InventoryWatchOptions;
  readonly #stopping = new AbortController();
  #timers: readonly NodeJS.Timeout[] = [];
  /** When a family whose versions are unknown, or a back end that was not read whole, is looked at again; a family that answered, never. */
  readonly #again = new Map<string, number>();
  #looking: Promise<void> = Promise.resolve();

  constructor(options: InventoryWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const { onError } = this.#options;
    const every = (ms: number, act: () => Promise<void>): NodeJS.Timeout =>
      setInterval(() => {
        this.#looking = this.#looking.then(act).catch(onError);
      }, ms).unref();
    this.#timers = [every(LOOK_MS, () => this.round()), every(NEW_MS, () => this.newcomers())];
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#stopping.abort();
    await this.#looking.catch(() => undefined);
  }

  /** One round. A back end that is due is looked at whole, and then not once more for what is under way. */
  async round(): Promise<void> {
    const { reconciler, directory, clock } = this.#options;
    const { signal } = this.#stopping;
    const looked = new Set<string>();
    for (const [instance, families] of directory.byBackEnd()) {
      if (signal.aborted) return;
      const last = await reconciler.last(instance);
      const isDue = last === undefined || clock.now() - last.at >= AT_LEAST_EVERY_MS;
      if (!isDue && !(await this.#isReadable(instance, last.unreadableFamilies))) continue;
      await reconciler.reconcile(instance, families, signal);
      for (const family of families) looked.add(family);
    }
    for (const family of directory.underWay()) {
      if (signal.aborted) return;
      if (!looked.has(family)) await reconciler.look(family);
    }
  }

  /** Whether one of these can be read again; asked once an hour, with no record of it. */
  async #isReadable(instance: string, unread: readonly { readonly family: string }[]): Promise<boolean> {
    const { reconciler, clock } = this.#options;
    const [first] = unread;
    if (first === undefined || clock.now() < (this.#again.get(instance) ?? 0)) return false;
    this.#again.set(instance, clock.now() + UNREADABLE_MS);
    for (const { family } of unread) if ((await reconciler.look(family)) === 'read') return true;
    return false;
  }

  /**
   * What was never on record, once: its object may have been in use long before it was declared. And what verifiers would be served
   * nothing of until the next day.
   */
  async newcomers(): Promise<void> {
    const { reconciler, directory, clock } = this.#options;
    for (const family of [...directory.unknown(), ...directory.unserved()]) {
      if (this.#stopping.signal.aborted) return;
      if (clock.now() < (this.#again.get(family) ?? 0)) continue;
      const looked = await reconciler.look(family);
      this.#again.set(family, looked === 'read' ? Number.POSITIVE_INFINITY : clock.now() + LOOK_MS);
    }
  }
}
