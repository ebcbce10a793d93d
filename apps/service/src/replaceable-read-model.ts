import { rmSync } from 'node:fs';
import type { RecordedEvent } from '#eventlog';
import {
  openReadModel,
  type EventStore,
  type Projection,
  type ReadModel,
  type RebuildProgress,
} from '#eventlog/kit';
import type { SqlDatabase } from '#eventlog/sqlite';
import { generations, pathOf, readModelPath } from './places.js';

/** Removes the files of older generations; only at start, when nobody holds them. */
export function removeOldGenerations(directory: string): void {
  for (const generation of generations(directory).slice(0, -1)) {
    for (const suffix of ['', '-wal', '-shm'])
      rmSync(pathOf(directory, generation) + suffix, { force: true });
  }
}

export interface ReplaceableOptions {
  readonly store: EventStore;
  readonly directory: string;
  readonly projections: readonly Projection[];
}

/** A read model whose tables can be folded anew while it serves. */
export class ReplaceableReadModel implements ReadModel {
  readonly db: SqlDatabase;
  readonly failed: Promise<Error>;
  readonly #options: ReplaceableOptions;
  readonly #listeners = new Set<(events: readonly RecordedEvent[]) => void>();
  #current: ReadModel;
  #rebuilding: Promise<void> | undefined;
  #fail: (error: Error) => void = () => undefined;

  private constructor(options: ReplaceableOptions, first: ReadModel) {
    this.#options = options;
    this.#current = first;
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
    // What is asked always goes to the tables that serve now.
    const current = (): SqlDatabase => this.#current.db;
    this.db = {
      get path() {
        return current().path;
      },
      exec: (sql) => {
        current().exec(sql);
      },
      prepare: (sql) => current().prepare(sql),
      prepareRows: (sql) => current().prepareRows(sql),
      transaction: (work) => current().transaction(work),
      inTransaction: () => current().inTransaction(),
      close: () => {
        throw new Error('the read model is closed by its owner');
      },
    };
    this.#adopt(first);
  }

  static async open(options: ReplaceableOptions): Promise<ReplaceableReadModel> {
    const { store, directory, projections } = options;
    removeOldGenerations(directory);
    const first = await openReadModel({ store, path: readModelPath(directory), projections });
    return new ReplaceableReadModel(options, first);
  }

  #adopt(model: ReadModel): void {
    model.onApplied((events) => {
      if (model !== this.#current) return;
      this.#tell(events);
    });
    void model.failed.then((error) => {
      if (model === this.#current) this.#fail(error);
    });
  }

  /**
   * Folds the log anew beside the tables that serve, then serves the new ones, once they are no step back. Listeners are told of
   * every event, and at the change at least once: whoever reads the tables looks again. One at a time.
   */
  rebuild(onProgress: (progress: RebuildProgress) => void): Promise<void> {
    this.#rebuilding ??= this.#rebuild(onProgress).finally(() => {
      this.#rebuilding = undefined;
    });
    return this.#rebuilding;
  }

  async #rebuild(onProgress: (progress: RebuildProgress) => void): Promise<void> {
    const { store, directory, projections } = this.#options;
    const next = (generations(directory).at(-1) ?? 1) + 1;
    const total = await store.log.treeSize();
    onProgress({ done: 0, total });
    const model = await openReadModel({ store, path: pathOf(directory, next), projections });
    this.#adopt(model);
    // Folded by the new tables and not yet by those that serve: nobody was told of it.
    let untold: readonly RecordedEvent[] = [];
    const old = this.#current;
    const stopTelling = model.onApplied((events) => {
      const told = old.treeSize();
      untold = [...untold, ...events].filter(({ treeSize }) => treeSize > told);
      onProgress({ done: Math.min(model.treeSize(), total), total });
    });
    const swap = (): void => {
      // Never back: what was served once (a token revoked) is served from then on. In one turn with telling of what was missed.
      const told = old.treeSize();
      if (this.#current !== old || model.treeSize() < told) return;
      this.#current = model;
      this.#tell(untold.filter(({ treeSize }) => treeSize > told));
    };
    const advanced = new Set<() => void>();
    try {
      while (this.#current === old) {
        const outcome = await Promise.race([model.caughtUp().then(() => undefined), model.failed]);
        if (outcome !== undefined) throw outcome;
        // From here on each batch is a chance: under load the old tables may be ahead whenever we look.
        if (advanced.size === 0) advanced.add(model.onApplied(swap));
        swap();
      }
    } catch (error) {
      await model.close();
      throw error;
    } finally {
      stopTelling();
      for (const stop of advanced) stop();
    }
    await model.caughtUp();
    await old.close();
  }

  /** A listener that throws keeps nobody else from being told. */
  #tell(events: readonly RecordedEvent[]): void {
    for (const listener of this.#listeners) {
      try {
        listener(events);
      } catch {
        // As with every batch: a throw never stops the feed.
      }
    }
  }

  trouble(): string | undefined {
    return this.#current.trouble();
  }

  treeSize(): number {
    return this.#current.treeSize();
  }

  annotate<T>(work: (db: SqlDatabase) => T): T {
    return this.#current.annotate(work);
  }

  waitFor(stream: string, revision: number, timeoutMs: number): Promise<void> {
    return this.#current.waitFor(stream, revision, timeoutMs);
  }

  caughtUp(): Promise<void> {
    return this.#current.caughtUp();
  }

  onApplied(listener: (events: readonly RecordedEvent[]) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  async close(): Promise<void> {
    await this.#rebuilding?.catch(() => undefined);
    await this.#current.close();
  }
}
