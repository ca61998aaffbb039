import type { BpfMap } from '../bpf.ts';

export type Writes = Pick<BpfMap, 'update' | 'delete' | 'updateBatch'> & Partial<Pick<BpfMap, 'lookup' | 'dump'>>;

/** The map, written to in another way, and read so too where that is given. */
export function writing(map: BpfMap, writes: Writes): BpfMap {
  return {
    name: map.name,
    id: map.id,
    type: map.type,
    keySize: map.keySize,
    valueSize: map.valueSize,
    maxEntries: map.maxEntries,
    perCpu: map.perCpu,
    lookup: (key) => map.lookup(key),
    dump: (which) => map.dump(which),
    updateInner: (key, inner) => map.updateInner(key, inner),
    pin: (path) => map.pin(path),
    close: () => map.close(),
    [Symbol.dispose]: () => map.close(),
    ...writes,
  };
}

/** The map, with a call after each write. */
export function telling(map: BpfMap, changed: () => void): BpfMap {
  return writing(map, {
    update(key, value, flags) {
      map.update(key, value, flags);
      changed();
    },
    delete(key) {
      const was = map.delete(key);
      changed();
      return was;
    },
    updateBatch(rows) {
      map.updateBatch(rows);
      changed();
    },
  });
}
