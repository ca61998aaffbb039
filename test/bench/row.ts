// What a benchmark gives: rows, and how they are made of samples.

/** A figure with its foil, both measured in the same run: `ours` and `foil` are medians, `ratio` is the median of the
 * pairs' ours / foil, `min` and `max` are the extremes of those. Without a foil they are the extremes of `ours`. */
export interface Row {
  readonly figure: string;
  readonly ours: number;
  readonly foil?: number;
  readonly ratio?: number;
  readonly min: number;
  readonly max: number;
  readonly unit: string;
  readonly note?: string;
}

export interface Bench {
  /** Progress, for the person who waits. */
  say(line: string): void;
  /** Aborted when the run has to end: what is open is closed then. */
  readonly signal: AbortSignal;
  /** Instances and folders of this run begin with it. */
  readonly prefix: string;
  /** The figures become the baseline that later runs are compared with. */
  readonly save: boolean;
  /** How many times each side is measured, in place of what a group finds right: for a look. */
  readonly rounds?: number;
}

export interface Group {
  readonly name: string;
  readonly what: string;
  run(bench: Bench): Promise<readonly Row[]>;
}

/** Pairs behind each ratio, at least. */
export const pairs = 5;

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  const [low = Number.NaN, high = Number.NaN] = [sorted[half - 1], sorted[half]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

/** Measures every side once a round, each round beginning with another side. Throws when the run has to end. */
export async function interleave<K extends string>(
  bench: Bench,
  what: string,
  sides: Readonly<Record<K, () => Promise<number> | number>>,
  rounds = pairs,
): Promise<Record<K, number[]>> {
  const names = Object.keys(sides) as K[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<K, number[]>;
  for (let round = 0; round < (bench.rounds ?? rounds); round += 1) {
    for (let i = 0; i < names.length; i += 1) {
      const name = names[(round + i) % names.length] as K;
      bench.signal.throwIfAborted();
      samples[name].push(await sides[name]());
    }
    bench.say(`${what}, round ${round + 1}: ${names.map((n) => `${n} ${short(samples[n][round] ?? 0)}`).join(', ')}`);
  }
  return samples;
}

/** A row of two sides' samples, taken in pairs. */
export function compared(figure: string, unit: string, ours: readonly number[], foil: readonly number[]): Row {
  const ratios = ours.map((value, i) => value / (foil[i] ?? Number.NaN));
  return {
    figure,
    ours: median(ours),
    foil: median(foil),
    ratio: median(ratios),
    min: Math.min(...ratios),
    max: Math.max(...ratios),
    unit,
  };
}

/** A row of one side's samples. */
export function alone(figure: string, unit: string, ours: readonly number[]): Row {
  return { figure, ours: median(ours), min: Math.min(...ours), max: Math.max(...ours), unit };
}

/** Four digits or so. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const digits = Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 100 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return value.toFixed(digits);
}
