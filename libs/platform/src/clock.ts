/** An instant: milliseconds since 1970-01-01T00:00:00Z, a whole number. On paper and on the wire it is RFC 3339 UTC. */
export type Instant = number;

/** Time is injected: the composition root passes `systemClock`, tests pass their own. */
export interface Clock {
  /** Wall time. May leap; see `monotonic`. */
  now(): Instant;
  /** Milliseconds that never run backwards; only differences mean anything. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};
