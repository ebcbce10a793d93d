import { Readable } from 'node:stream';

/** How a stream of server-sent events behaves; a spec shortens it. */
export interface StreamTimes {
  /** A sign of life this often: shorter than what proxies and our own idle limit allow. */
  readonly heartbeatMs: number;
  /** A reader that takes nothing for so long is dropped: it comes back where it was by its Last-Event-ID. */
  readonly stallMs: number;
  /** What a reader that was cut off waits before it comes back. */
  readonly retryMs: number;
}

export const STREAM_TIMES: StreamTimes = { heartbeatMs: 15_000, stallMs: 30_000, retryMs: 2_000 };

/** One event: where the stream stands after it, and its data. */
export interface StreamedItem {
  readonly id: number;
  readonly data: unknown;
}

/** What is new after `cursor`, and how far was looked. */
export interface StreamedBatch {
  readonly items: readonly StreamedItem[];
  readonly upTo: number;
  /** There is more at once; else it waits for the next wake. */
  readonly more: boolean;
}

/** Why a stream ends: its reader is told, and whether to come back. */
export interface StreamEnd {
  readonly code: string;
  readonly detail: string;
}

export interface StreamSource {
  /** Everything after this was not sent yet. */
  readonly after: number;
  next(cursor: number): Promise<StreamedBatch>;
  /** Asked before each batch and at each sign of life. */
  ended(): StreamEnd | undefined;
  /** What a reader is told where reading fails for good; `undefined`: it is cut off. */
  failure(error: unknown): StreamEnd | undefined;
  /** Calls back whenever there may be something new; the answer stops that. */
  onWake(wake: () => void): () => void;
}

/**
 * A body of server-sent events. It is pulled: what was not taken is not made, so a slow reader costs what one batch costs,
 * and a place in the log is all that is remembered of it. Each event's id is that place; a sign of life carries it, too,
 * so that a reader that saw nothing for a day does not look through that day again.
 */
export function eventStream(source: StreamSource, times: StreamTimes = STREAM_TIMES): Readable {
  const closed = new AbortController();
  const frames = framesOf(source, times, closed.signal);
  let stalled: NodeJS.Timeout | undefined;
  return new Readable({
    // Bytes are counted: what waits to be sent stays small however long the events are.
    highWaterMark: 16 * 1024,
    read() {
      clearTimeout(stalled);
      frames.next().then(
        ({ done, value }) => {
          if (closed.signal.aborted) return;
          if (done === true) {
            this.push(null);
            return;
          }
          stalled = setTimeout(() => {
            this.destroy();
          }, times.stallMs);
          stalled.unref();
          this.push(value);
        },
        (error: unknown) => {
          this.destroy(error instanceof Error ? error : new Error(String(error)));
        },
      );
    },
    // Whoever waits for something new would otherwise be waited for.
    destroy(error, callback) {
      clearTimeout(stalled);
      closed.abort();
      frames.return(undefined).catch(() => undefined);
      callback(error);
    },
  });
}

async function* framesOf(
  source: StreamSource,
  { heartbeatMs, retryMs }: StreamTimes,
  closed: AbortSignal,
): AsyncGenerator<string> {
  const waking = new Waking(source, closed);
  let cursor = source.after;
  try {
    // Whoever is cut off before anything happened comes back to here.
    yield `retry: ${retryMs}\nid: ${cursor}\n\n`;
    for (;;) {
      waking.heard();
      const end = source.ended();
      if (end !== undefined) {
        yield endFrame(end);
        return;
      }
      let batch: StreamedBatch;
      try {
        batch = await source.next(cursor);
      } catch (error) {
        const failure = source.failure(error);
        if (failure === undefined) throw error;
        yield endFrame(failure);
        return;
      }
      for (const { id, data } of batch.items) {
        yield `id: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
        if (closed.aborted) return;
      }
      cursor = Math.max(cursor, batch.upTo);
      if (!batch.more && (await waking.wait(heartbeatMs)) === 'silence') yield `: alive\nid: ${cursor}\n\n`;
      if (closed.aborted) return;
    }
  } finally {
    waking.stop();
  }
}

function endFrame(end: StreamEnd): string {
  return `event: end\ndata: ${JSON.stringify(end)}\n\n`;
}

/** Remembers that it was woken while nobody waited: a wake between a look and the wait is not lost. */
class Waking {
  #woken = false;
  #resolve: (() => void) | undefined;
  readonly #unlisten: () => void;

  constructor(
    source: Pick<StreamSource, 'onWake'>,
    private readonly closed: AbortSignal,
  ) {
    this.#unlisten = source.onWake(this.#wake);
    closed.addEventListener('abort', this.#wake);
  }

  readonly #wake = (): void => {
    this.#woken = true;
    this.#resolve?.();
  };

  /** From now on is looked: what woke before is seen by it. */
  heard(): void {
    this.#woken = false;
  }

  async wait(milliseconds: number): Promise<'woken' | 'silence'> {
    if (this.#woken || this.closed.aborted) return 'woken';
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#resolve = resolve;
      timer = setTimeout(resolve, milliseconds);
      timer.unref();
    });
    clearTimeout(timer);
    this.#resolve = undefined;
    return this.#woken ? 'woken' : 'silence';
  }

  stop(): void {
    this.#unlisten();
    this.closed.removeEventListener('abort', this.#wake);
  }
}
