export { byDepth, DEPTH, inSlice, SEED, sliceText, someOf, type Depth } from './depth.js';
export { footingOn, haveRealPart, NOTES, POSTGRES, sharedFolder, type Footing } from './real-parts.js';
import type { Clock, Instant } from '../clock.js';

/** A clock that stands still until a test moves it; wall and monotonic time move together unless `leap` is used. */
export class ManualClock implements Clock {
  #now: Instant;
  #monotonic = 0;

  constructor(start: Instant | string) {
    this.#now = typeof start === 'string' ? Date.parse(start) : start;
  }

  now(): Instant {
    return this.#now;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  advance(milliseconds: number): void {
    this.#now += milliseconds;
    this.#monotonic += milliseconds;
  }

  /** Moves wall time only, as a changed clock or a sleeping machine does. */
  leap(milliseconds: number): void {
    this.#now += milliseconds;
  }
}
