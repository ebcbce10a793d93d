import type { Clock } from '#platform';
import { AT_LEAST_EVERY_MS } from '../domain/inventory.js';
import type { InventoryReconciler } from './reconcile-inventory.js';

/** How often the objects of rotations that wait are looked at (design: every few minutes while a rotation waits, and daily). */
const LOOK_MS = 300_000;

/** Whom to look at; says nothing about what is there. */
export interface InventoryDirectory {
  /** Back ends that families have an object in, each with those families. */
  byBackEnd(): ReadonlyMap<string, readonly string[]>;
  /** Families of which something is under way, and those whose drift is open. */
  underWay(): readonly string[];
}

export interface InventoryWatchOptions {
  readonly reconciler: Pick<InventoryReconciler, 'reconcile' | 'look' | 'lastAt'>;
  readonly directory: InventoryDirectory;
  readonly clock: Clock;
  /** Told of a look that failed by itself; it is made again. */
  readonly onError: (error: unknown) => void;
}

/** Looks at back ends every few minutes where something is under way, and everywhere once a day. */
export class InventoryWatch {
  readonly #options: InventoryWatchOptions;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();

  constructor(options: InventoryWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const { onError } = this.#options;
    this.#timer = setInterval(() => {
      this.#looking = this.#looking.then(() => this.round()).catch(onError);
    }, LOOK_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
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
      const lastAt = await reconciler.lastAt(instance);
      if (lastAt !== undefined && clock.now() - lastAt < AT_LEAST_EVERY_MS) continue;
      await reconciler.reconcile(instance, families, signal);
      for (const family of families) looked.add(family);
    }
    for (const family of directory.underWay()) {
      if (signal.aborted) return;
      if (!looked.has(family)) await reconciler.look(family);
    }
  }
}
