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
      for (const listener of this.#listeners) listener(events);
    });
    void model.failed.then((error) => {
      if (model === this.#current) this.#fail(error);
    });
  }

  /** Folds the log anew beside the tables that serve, then serves the new ones. One at a time. */
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
    const stopTelling = model.onApplied(() => {
      onProgress({ done: Math.min(model.treeSize(), total), total });
    });
    try {
      const outcome = await Promise.race([model.caughtUp().then(() => undefined), model.failed]);
      if (outcome !== undefined) throw outcome;
    } catch (error) {
      await model.close();
      throw error;
    } finally {
      stopTelling();
    }
    const old = this.#current;
    this.#adopt(model);
    this.#current = model;
    await model.caughtUp();
    await old.close();
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
