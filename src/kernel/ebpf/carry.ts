// Rows of a table whose layout has changed: what the earlier one held is put into its successor before any program
// reads it, so that the change of one table costs no frame.
import { addon } from '../addon.ts';
import type { Btf, MapTypes } from '../../wire/btf.ts';
import { parseBtf } from '../../wire/btf.ts';
import { relayout } from '../../wire/relayout.ts';

const HASH = 1;
const ARRAY = 2;

/** Copies the rows of one map into another, field by field. Only plain arrays and hashes: per-CPU counters begin anew,
 * since a copy of what is being counted would not add up. */
export function carryRows(oldFd: number, newFd: number, btf: Btf, types: MapTypes | undefined): void {
  const [from, to] = [addon().mapInfo(oldFd), addon().mapInfo(newFd)];
  const plain = from.type === to.type && [HASH, ARRAY].includes(to.type);
  if (!plain || from.btfId === 0 || types?.key === undefined || types.value === undefined) return;
  const there = parseBtf(addon().btfBytes(from.btfId));
  const keyOf = relayout(there, from.btfKeyType, btf, types.key);
  const valueOf = relayout(there, from.btfValueType, btf, types.value);
  const rows = addon().mapDump(oldFd, from.keySize, from.valueSize, from.maxEntries);
  const count = to.type === ARRAY ? Math.min(rows.count, to.maxEntries) : rows.count;
  const keys = new Uint8Array(count * to.keySize);
  const values = new Uint8Array(count * to.valueSize);
  for (let i = 0; i < count; i += 1) {
    keys.set(keyOf(rows.keys.subarray(i * from.keySize, (i + 1) * from.keySize)), i * to.keySize);
    values.set(valueOf(rows.values.subarray(i * from.valueSize, (i + 1) * from.valueSize)), i * to.valueSize);
  }
  if (count > 0) addon().mapUpdateBatch(newFd, keys, values, count, 0);
}
