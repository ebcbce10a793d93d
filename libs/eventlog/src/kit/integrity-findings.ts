import type { IntegrityFailure } from '../event-log.js';

/** Most places that are kept by name; more are counted. A log with as many has one cause, and the first names it. */
const KEPT = 100;

/**
 * What was found not to be what was written, by whoever read it: at start, on a read, by the scrub. Each place is told
 * once, however often it is read.
 */
export class IntegrityFindings {
  readonly #found = new Map<string, IntegrityFailure>();
  readonly #listeners = new Set<(failure: IntegrityFailure) => void>();
  #more = 0;

  /** Tells those who listen, where this place is new. A throw in a listener stops nobody. */
  report(failure: IntegrityFailure): void {
    const place = `${failure.stream}@${failure.revision}`;
    if (this.#found.has(place)) return;
    if (this.#found.size === KEPT) {
      this.#more += 1;
      return;
    }
    this.#found.set(place, failure);
    for (const listener of this.#listeners) tell(listener, failure);
  }

  /** Calls the listener for every place found so far and for each new one; returns how to stop. */
  onFailure(listener: (failure: IntegrityFailure) => void): () => void {
    this.#listeners.add(listener);
    for (const failure of this.#found.values()) tell(listener, failure);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  all(): readonly IntegrityFailure[] {
    return [...this.#found.values()];
  }

  /** One sentence for whoever asks how it is; `undefined` where nothing was found. */
  summary(): string | undefined {
    const [first] = this.#found.values();
    if (first === undefined) return undefined;
    const others = this.#found.size - 1 + this.#more;
    const more = others === 0 ? '' : `, and ${others} more`;
    return `the log holds what was not written: ${first.stream}@${first.revision}, ${first.what}${more}`;
  }
}

function tell(listener: (failure: IntegrityFailure) => void, failure: IntegrityFailure): void {
  try {
    listener(failure);
  } catch (error) {
    process.emitWarning(`a listener of integrity findings failed: ${String(error)}`);
  }
}
