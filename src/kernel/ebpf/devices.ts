// Devices by ifindex: all are in a hash, and those with a low one in an array too, which the fast path reads without a
// call. Ifindexes are not used again, so that a switch whose guests come and go grows out of the array.
import { readU32 } from '../../lib/bytes.ts';
import type { BpfMap } from '../bpf.ts';

/** `all` as a map whose rows are in `near` too, now and whenever one changes. */
export function devices(all: BpfMap, near: BpfMap): BpfMap {
  const isNear = (key: Uint8Array): boolean => readU32(key) < near.maxEntries;
  const none = new Uint8Array(near.valueSize);
  const forget = (key: Uint8Array): void => {
    if (isNear(key)) near.update(key, none);
  };
  const copy = (key: Uint8Array, value: Uint8Array): void => {
    if (isNear(key)) near.update(key, value);
  };
  for (const [key] of rowsOf(near, 'used')) if (all.lookup(key) === undefined) forget(key);
  for (const [key, value] of rowsOf(all)) copy(key, value);
  return {
    name: all.name,
    id: all.id,
    type: all.type,
    keySize: all.keySize,
    valueSize: all.valueSize,
    maxEntries: all.maxEntries,
    perCpu: all.perCpu,
    lookup: (key) => all.lookup(key),
    update(key, value, flags) {
      all.update(key, value, flags);
      copy(key, value);
    },
    delete(key) {
      forget(key);
      return all.delete(key);
    },
    dump: (which) => all.dump(which),
    updateBatch(rows) {
      all.updateBatch(rows);
      for (const [key, value] of rowsOf(all)) copy(key, value);
    },
    updateInner: (key, inner) => all.updateInner(key, inner),
    pin: (path) => all.pin(path),
    close: () => all.close(),
    [Symbol.dispose]: () => all.close(),
  };
}

function* rowsOf(map: BpfMap, which?: 'used'): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
  const { keySize, valueSize } = map;
  const { count, keys, values } = map.dump(which);
  for (let i = 0; i < count; i += 1) {
    yield [keys.subarray(i * keySize, (i + 1) * keySize), values.subarray(i * valueSize, (i + 1) * valueSize)];
  }
}
