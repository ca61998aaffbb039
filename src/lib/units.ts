// Quantities as people write them: `256M` of bytes, `10s`, `1Gbps`. The unit is always written; only 0 may stand alone.

interface Unit {
  readonly name: string;
  readonly factor: number;
}

// Largest first, as printing wants them. Memory counts by 1024 as `free` and container engines do, rates by 1000.
const byteUnits: readonly Unit[] = [
  { name: 'T', factor: 2 ** 40 },
  { name: 'G', factor: 2 ** 30 },
  { name: 'M', factor: 2 ** 20 },
  { name: 'K', factor: 2 ** 10 },
  { name: 'B', factor: 1 },
];
const durationUnits: readonly Unit[] = [
  { name: 'd', factor: 86_400_000 },
  { name: 'h', factor: 3_600_000 },
  { name: 'm', factor: 60_000 },
  { name: 's', factor: 1000 },
  { name: 'ms', factor: 1 },
];
const rateUnits: readonly Unit[] = [
  { name: 'Tbps', factor: 1e12 },
  { name: 'Gbps', factor: 1e9 },
  { name: 'Mbps', factor: 1e6 },
  { name: 'kbps', factor: 1e3 },
  { name: 'bps', factor: 1 },
];

/** Bytes in `256M`, `1G`, `64KiB`, `512B` (1K = 1024 bytes), or undefined. */
export function parseBytes(text: string): number | undefined {
  return parse(text.replace(/(?<=[KMGT])(iB|i)$/, '').replace(/^([0-9.]+)k$/, '$1K'), byteUnits);
}

/** Bytes with the largest unit that gives a whole number: 268435456 -> "256M". */
export function printBytes(bytes: number): string {
  return print(bytes, byteUnits);
}

/** Milliseconds in `10s`, `500ms`, `5m`, `1h`, `2d` or a row of them, largest first (`1h30m`), or undefined. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (text.length > 64 || !/^([0-9]+(\.[0-9]+)?(ms|[dhms]))+$/.test(text)) return undefined;
  let sum = 0;
  let before = Infinity;
  for (const { 0: part, 1: name } of text.matchAll(/[0-9.]+(ms|[dhms])/g)) {
    const value = parse(part, durationUnits);
    const factor = durationUnits.find((unit) => unit.name === name)?.factor ?? 0;
    if (value === undefined || factor >= before) return undefined;
    before = factor;
    sum += value;
  }
  return Number.isSafeInteger(sum) ? sum : undefined;
}

/** Milliseconds with the largest unit that gives a whole number: 90000 -> "90s". */
export function printDuration(ms: number): string {
  return print(ms, durationUnits);
}

/** Bits a second in `1Gbps`, `100Mbps`, `64kbps`, or undefined. */
export function parseBitRate(text: string): number | undefined {
  return parse(text.replace(/(?<=[0-9.])K(?=bps$)/, 'k'), rateUnits);
}

/** Bits a second with the largest unit that gives a whole number: 1e9 -> "1Gbps". */
export function printBitRate(bitsPerSecond: number): string {
  return print(bitsPerSecond, rateUnits);
}

/** A number with its unit, as a whole number of the smallest one. Nothing is rounded: what is no whole number is
 * refused. */
function parse(text: string, units: readonly Unit[]): number | undefined {
  if (text === '0') return 0;
  const [, digits, fraction = '', name] = /^([0-9]{1,16})(?:\.([0-9]{1,9}))?([A-Za-z]+)$/.exec(text) ?? [];
  const unit = units.find((each) => each.name === name);
  if (digits === undefined || !unit) return undefined;
  // Decimal places are exact in integers and not in floating point: 1.1s is 1100 ms.
  const scaled = BigInt(digits + fraction) * BigInt(unit.factor);
  const scale = 10n ** BigInt(fraction.length);
  if (scaled % scale !== 0n) return undefined;
  const value = Number(scaled / scale);
  return Number.isSafeInteger(value) ? value : undefined;
}

function print(value: number, units: readonly Unit[]): string {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no whole number of units`);
  if (value === 0) return '0';
  const unit = units.find((each) => value % each.factor === 0);
  return `${value / (unit?.factor ?? 1)}${unit?.name ?? ''}`;
}
