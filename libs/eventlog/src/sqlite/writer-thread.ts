import { setImmediate } from 'node:timers';
import { Worker } from 'node:worker_threads';
import { LogUnavailableError } from '../event-log.js';
import { builtFile } from './built-file.js';
import type { SqlDatabase } from './driver.js';
import { packAppends, unpackOutcomes, type PackedOutcomes, type SentAppend } from './writer-messages.js';
import {
  LARGEST_GROUP,
  Writer,
  type AppendOutcome,
  type AppendRequest,
  type ProbeOutcome,
  type RefusedWrite,
  type WriterStatistics,
} from './writer.js';

/** What the log hands its appends to. */
export interface LogWriter {
  /** Settles when the outcome is on disk; never rejects. */
  append(request: AppendRequest): Promise<AppendOutcome>;
  /** Tries whether it can write; settles when it is known, never rejects. */
  probe(): Promise<ProbeOutcome>;
  statistics(): WriterStatistics;
  /** Stores what was handed over, then closes the file. */
  close(): Promise<void>;
}

/** What the worker thread is started with. */
export interface WriterData {
  readonly path: string;
  readonly idleCheckpointMs: number;
}

export type ToWriter =
  | { readonly kind: 'append'; readonly appends: ReturnType<typeof packAppends> }
  | { readonly kind: 'probe' }
  | { readonly kind: 'close' };

export type FromWriter =
  | { readonly kind: 'ready'; readonly statistics: WriterStatistics }
  | {
      readonly kind: 'settled';
      readonly outcomes: PackedOutcomes;
      readonly statistics: WriterStatistics;
    }
  | { readonly kind: 'probed'; readonly outcome: ProbeOutcome };

/** The writer in its worker thread. */
export class ThreadWriter implements LogWriter {
  readonly #worker: Worker;
  readonly #pending = new Map<number, (outcome: AppendOutcome) => void>();
  readonly #probing: ((outcome: ProbeOutcome) => void)[] = [];
  #collected: SentAppend[] = [];
  #lastId = 0;
  #statistics: WriterStatistics = { appends: 0, commits: 0, largestGroup: 0, synchronous: 0 };
  #gone: Extract<RefusedWrite, { kind: 'unavailable' }> | undefined;
  #onReady: (failure?: Error) => void = () => undefined;
  readonly #exited: Promise<void>;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('message', (message: FromWriter) => this.#receive(message));
    worker.on('error', (error: Error) => this.#lose(error.message));
    this.#exited = new Promise((resolve) => {
      worker.on('exit', (code) => {
        this.#lose(`exit code ${code}`);
        resolve();
      });
    });
  }

  static async start(data: WriterData): Promise<ThreadWriter> {
    const file = builtFile(import.meta.url, 'writer.worker.js', ['.', '../event-log.ts']);
    const writer = new ThreadWriter(new Worker(file, { workerData: data, name: 'log-writer' }));
    await new Promise<void>((resolve, reject) => {
      writer.#onReady = (failure) => (failure === undefined ? resolve() : reject(failure));
    });
    return writer;
  }

  append(request: AppendRequest): Promise<AppendOutcome> {
    if (this.#gone !== undefined) return Promise.resolve(this.#gone);
    // An append under way keeps the process alive; an idle log does not.
    if (this.#pending.size === 0) this.#worker.ref();
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve) => {
      this.#pending.set(id, resolve);
      // One message, one transaction and one batch of the feed for what one turn of the event loop hands over.
      if (this.#collected.length === 0) setImmediate(() => this.#sendCollected());
      this.#collected.push({ id, request });
    });
  }

  probe(): Promise<ProbeOutcome> {
    if (this.#gone !== undefined) return Promise.resolve(this.#gone);
    return new Promise((resolve) => {
      this.#probing.push(resolve);
      this.#send({ kind: 'probe' });
    });
  }

  statistics(): WriterStatistics {
    return this.#statistics;
  }

  async close(): Promise<void> {
    this.#sendCollected();
    if (this.#gone === undefined) {
      this.#worker.ref();
      this.#send({ kind: 'close' });
    }
    await this.#exited;
  }

  /** Ends the thread wherever it is: only to show what is left then. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  #sendCollected(): void {
    const appends = this.#collected;
    if (appends.length === 0) return;
    this.#collected = [];
    this.#send({ kind: 'append', appends: packAppends(appends) });
  }

  #send(message: ToWriter): void {
    this.#worker.postMessage(message, []);
  }

  #receive(message: FromWriter): void {
    switch (message.kind) {
      case 'settled':
        this.#statistics = message.statistics;
        for (const { id, outcome } of unpackOutcomes(message.outcomes)) {
          this.#pending.get(id)?.(outcome);
          this.#pending.delete(id);
        }
        if (this.#pending.size === 0) this.#worker.unref();
        return;
      case 'probed':
        this.#probing.shift()?.(message.outcome);
        return;
      case 'ready':
        this.#statistics = message.statistics;
        this.#worker.unref();
        this.#onReady();
        return;
    }
  }

  #lose(why: string): void {
    this.#gone ??= {
      kind: 'unavailable',
      stopped: true,
      message: `the writer thread ended (${why}); what was being written is unknown until Keyturn has been restarted`,
    };
    this.#onReady(new LogUnavailableError(this.#gone.message));
    for (const resolve of this.#pending.values()) resolve(this.#gone);
    this.#pending.clear();
    for (const resolve of this.#probing.splice(0)) resolve(this.#gone);
  }
}

/** The same writer on the calling thread: what one turn of the event loop hands over is one transaction. */
export class InlineWriter implements LogWriter {
  readonly #writer: Writer;
  #waiting: { readonly request: AppendRequest; readonly resolve: (outcome: AppendOutcome) => void }[] = [];
  #last: WriterStatistics;

  constructor(db: SqlDatabase) {
    this.#writer = new Writer(db);
    this.#last = this.#writer.statistics();
  }

  append(request: AppendRequest): Promise<AppendOutcome> {
    return new Promise((resolve) => {
      if (this.#waiting.length === 0) setImmediate(() => this.#flush());
      this.#waiting.push({ request, resolve });
    });
  }

  probe(): Promise<ProbeOutcome> {
    return Promise.resolve(this.#writer.probe());
  }

  statistics(): WriterStatistics {
    return this.#last;
  }

  close(): Promise<void> {
    this.#flush();
    this.#writer.close();
    return Promise.resolve();
  }

  #flush(): void {
    const all = this.#waiting;
    this.#waiting = [];
    for (let from = 0; from < all.length; from += LARGEST_GROUP) {
      const group = all.slice(from, from + LARGEST_GROUP);
      const outcomes = this.#writer.commit(group.map(({ request }) => request));
      this.#last = this.#writer.statistics();
      for (const [index, outcome] of outcomes.entries()) group[index]?.resolve(outcome);
    }
  }
}
