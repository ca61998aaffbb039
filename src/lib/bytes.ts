// Numbers of fixed width in bytes: values are checked before they are written, since a DataView would cut them
// silently. The `field` of each names what was wrong in its RangeError: "fdb.port".

/** A whole number of the range. */
export function whole(value: number | undefined, min: number, max: number, field: string): number {
  if (value !== undefined && Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(`${field} is ${value}, not ${min}..${max}`);
}

/** A bigint of the range. */
export function wide(value: bigint | undefined, min: bigint, max: bigint, field: string): bigint {
  if (value !== undefined && value >= min && value <= max) return value;
  throw new RangeError(`${field} is ${value}, not ${min}..${max}`);
}

/** Something of exactly that many entries. */
export function sized<T extends { readonly length: number }>(value: T, length: number, field: string): T {
  if (value.length === length) return value;
  throw new RangeError(`${field} has ${value.length} entries, not ${length}`);
}

/** A view on `size` bytes from `offset` on. */
export function viewAt(bytes: Uint8Array, offset: number, size: number): DataView {
  if (offset >= 0 && offset + size <= bytes.length) return new DataView(bytes.buffer, bytes.byteOffset + offset, size);
  throw new RangeError(`${bytes.length} bytes hold no ${size} at ${offset}`);
}

/** As many items, made by their number. */
export function list<T>(length: number, item: (i: number) => T): T[] {
  return Array.from({ length }, (_, i) => item(i));
}

/** A u32 in the machine's order, as keys of array maps are. */
export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

/** The u32 at the start of some bytes. */
export function readU32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true);
}

/** A set of numbers as words of 64 bits, a bit for each. */
export function bits64(numbers: Iterable<number>, words: number): bigint[] {
  const set = list(words, () => 0n);
  for (const n of numbers) set[n >> 6] = (set[n >> 6] ?? 0n) | (1n << BigInt(n & 63));
  return set;
}
