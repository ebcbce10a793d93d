/** One line of the table. */
export interface Row {
  readonly name: string;
  /** `null`: not measured here; `note` says why. */
  readonly ours: number | null;
  readonly baseline: number | null;
  readonly unit: string;
  /** ours / baseline, the median of the rounds' own ratios: both were measured in the same seconds. */
  readonly ratio: number | null;
  readonly better: 'more' | 'less';
  /** What the ratio should be; where there is no baseline, what `ours` should be. */
  readonly goal: number | null;
  readonly note?: string;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[middle - 1] ?? Number.NaN, sorted[middle] ?? Number.NaN];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** A measurement: what one round gives, in the row's unit. */
export type Measure = () => Promise<number>;

/** Ours and the baseline in turn, the first one changing: what the machine does meanwhile happens to both. */
export async function paired(
  rounds: number,
  ours: Measure,
  baseline: Measure,
): Promise<{ readonly ours: number; readonly baseline: number; readonly ratio: number }> {
  const pairs: { readonly ours: number; readonly baseline: number }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    if (round % 2 === 0) {
      const first = await ours();
      pairs.push({ ours: first, baseline: await baseline() });
    } else {
      const first = await baseline();
      pairs.push({ ours: await ours(), baseline: first });
    }
  }
  return {
    ours: median(pairs.map((pair) => pair.ours)),
    baseline: median(pairs.map((pair) => pair.baseline)),
    ratio: median(pairs.map((pair) => pair.ours / pair.baseline)),
  };
}

/** How many of `count` a second, when `work` did them. */
export async function perSecond(count: number, work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return count / ((performance.now() - start) / 1_000);
}
