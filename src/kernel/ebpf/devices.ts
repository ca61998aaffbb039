// Devices by ifindex: all are in a hash, and those with a low one in an array too, which the fast path reads without a
// call. Ifindexes are not used again, so that a switch whose guests come and go grows out of the array.
import { readU32 } from '../../lib/bytes.ts';
import { concatBytes } from '../../wire/netlink/message.ts';
import type { BpfMap } from '../bpf.ts';
import { writing } from './writing.ts';

/** `all` as a map whose rows are in `near` too, now and whenever one changes. */
export function devices(all: BpfMap, near: BpfMap): BpfMap {
  const none = new Uint8Array(near.valueSize);
  const copy = (key: Uint8Array, value: Uint8Array): void => {
    if (readU32(key) < near.maxEntries) near.update(key, value);
  };
  for (const [key] of rowsOf(near, 'used')) if (all.lookup(key) === undefined) near.update(key, none);
  for (const [key, value] of rowsOf(all)) copy(key, value);
  // What is read is what the fast path goes by.
  const lookup = (key: Uint8Array): Uint8Array | undefined => {
    const value = all.lookup(key);
    if (readU32(key) >= near.maxEntries) return value;
    const there = near.lookup(key);
    const used = there?.some((byte) => byte !== 0) ?? false;
    return used || value !== undefined ? there : undefined;
  };
  return writing(all, {
    lookup,
    dump() {
      const keys = [...rowsOf(all)].map(([key]) => key);
      const known = new Set(keys.map(readU32));
      for (const [key] of rowsOf(near, 'used')) if (!known.has(readU32(key))) keys.push(key);
      const values = keys.map((key) => lookup(key) ?? none);
      return { count: keys.length, keys: concatBytes(keys), values: concatBytes(values) };
    },
    update(key, value, flags) {
      all.update(key, value, flags);
      copy(key, value);
    },
    delete(key) {
      copy(key, none);
      return all.delete(key);
    },
    updateBatch(rows) {
      all.updateBatch(rows);
      for (const [key, value] of rowsOf(all)) copy(key, value);
    },
  });
}

function* rowsOf(map: BpfMap, which?: 'used'): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
  const { keySize, valueSize } = map;
  const { count, keys, values } = map.dump(which);
  for (let i = 0; i < count; i += 1) {
    yield [keys.subarray(i * keySize, (i + 1) * keySize), values.subarray(i * valueSize, (i + 1) * valueSize)];
  }
}
