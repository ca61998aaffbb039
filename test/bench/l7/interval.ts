// Bootstrap of a median: how far it could lie elsewhere, had the pairs come out a little different.
import { createRandom } from '../../../src/l7/upstream/pick.ts';
import { median } from '../row.ts';

const RESAMPLES = 2000;

/** The middle 95% of the medians of samples drawn from `values` with putting back. */
export function interval(values: readonly number[]): { low: number; high: number } {
  const random = createRandom(20_241);
  const medians = Array.from({ length: RESAMPLES }, () =>
    median(values.map(() => values[random() % values.length] ?? Number.NaN)),
  ).toSorted((a, b) => a - b);
  const at = (q: number): number => medians[Math.floor(q * (RESAMPLES - 1))] ?? Number.NaN;
  return { low: at(0.025), high: at(0.975) };
}
