/** How much one run measures. */
export interface Scale {
  readonly name: 'smoke' | 'quick' | 'full' | 'ten-million';
  readonly rounds: number;
  readonly appends: number;
  /** Commands over HTTP, a round. */
  readonly requests: number;
  /** Log sizes at which start-up, timeline and overdue are measured; the last is rebuilt. */
  readonly sizes: readonly number[];
  /** Open rotations among which the waker looks for the due ones. */
  readonly open: readonly number[];
  /** Families of a Vault that are due at once. */
  readonly due: number;
}

export const SCALES: Readonly<Record<Scale['name'], Scale>> = {
  /** Only that it runs. */
  smoke: {
    name: 'smoke',
    rounds: 1,
    appends: 64,
    requests: 64,
    sizes: [500, 1_000],
    open: [50, 200],
    due: 3,
  },
  quick: {
    name: 'quick',
    rounds: 3,
    appends: 1_000,
    requests: 4_000,
    sizes: [1_000, 10_000, 100_000],
    open: [1_000, 10_000],
    due: 200,
  },
  full: {
    name: 'full',
    rounds: 5,
    appends: 4_000,
    requests: 20_000,
    sizes: [10_000, 100_000, 1_000_000],
    open: [1_000, 10_000, 100_000],
    due: 1_000,
  },
  'ten-million': {
    name: 'ten-million',
    rounds: 3,
    appends: 0,
    requests: 0,
    sizes: [10_000_000],
    open: [],
    due: 0,
  },
};
