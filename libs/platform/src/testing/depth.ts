/**
 * How much of a proof one run takes: `npm run check` a first pass over every rule, `.ci/run` a seeded slice of the rest beside it,
 * `npm run test:full` everything. Set by the jest configurations.
 */
export type Depth = 'check' | 'slice' | 'full';

declare global {
  // oxlint-disable-next-line no-var -- a global needs it
  var KEYTURN_DEPTH: Depth | undefined;
  // oxlint-disable-next-line no-var -- a global needs it
  var KEYTURN_SEED: number | undefined;
}

export const DEPTH: Depth = globalThis.KEYTURN_DEPTH ?? 'check';

/** Which slice: printed with every proof that takes one, and set again by KEYTURN_SEED. */
export const SEED: number = globalThis.KEYTURN_SEED ?? 20_261_121;

/** What this run takes. */
export function byDepth<T>(sizes: Readonly<Record<Depth, T>>): T {
  return sizes[DEPTH];
}

/** Whether the seeded slice of one in `count` takes this number. */
export function inSlice(number: number, count: number): boolean {
  return (number + SEED) % count === 0;
}

/** Of a table of like cases the check takes one in `count`, by the seed; a slice and the whole product take all. */
export function someOf<T>(all: readonly T[], count: number): T[] {
  return DEPTH === 'check' ? all.filter((_, index) => inSlice(index, count)) : [...all];
}

/** For the line a proof prints: what of the whole it took. */
export function sliceText(what: string): string {
  return DEPTH === 'full' ? '' : ` (${what}, seed ${SEED})`;
}
