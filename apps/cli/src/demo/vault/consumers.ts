/** What was shown to somebody who decides, and what they said. */
export interface Shown {
  readonly version: string;
  readonly accepted: boolean;
}

/** Of what failed before any version was used. */
export const NONE = '';

/** Applications as they would use one engine, all the time the demo runs. */
export interface Consumers {
  start(): Promise<void>;
  stop(): void;
  /** Whether this one could use, or would accept, this version by what it holds now. */
  knows(consumer: string, version: string): boolean;
  /** Everything that was shown since the last time this was asked. */
  taken(): readonly Shown[];
  /** Shows once more what the old version made, to the one who decides in the end. */
  negative(): Promise<Negative>;
}

export interface Negative {
  readonly refused: boolean;
  /** What was asked, and what was said to it. */
  readonly how: string;
}

/** Does one thing again and again, never twice at once. */
export class Beat {
  #timer: NodeJS.Timeout | undefined;
  #busy = false;

  constructor(
    private readonly everyMs: number,
    private readonly act: () => Promise<void>,
    /** An application that could not go on was refused something. */
    private readonly failed: () => void,
  ) {}

  start(): void {
    this.#timer = setInterval(() => {
      if (this.#busy) return;
      this.#busy = true;
      void this.act()
        .catch(this.failed)
        .finally(() => {
          this.#busy = false;
        });
    }, this.everyMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
