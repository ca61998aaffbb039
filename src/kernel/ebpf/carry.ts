// Rows of a table whose layout has changed: what the earlier one held is put into its successor before any program
// reads it, so that the change of one table costs no frame.
import { addon } from '../addon.ts';
import { readU32 } from '../../lib/bytes.ts';
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
  // An array's empty rows are empty in the new one too; of a hash each row is one.
  const rows = addon().mapDump(oldFd, from.keySize, from.valueSize, from.maxEntries, to.type === ARRAY ? 1 : 0);
  const keys = new Uint8Array(rows.count * to.keySize);
  const values = new Uint8Array(rows.count * to.valueSize);
  let count = 0;
  for (let i = 0; i < rows.count; i += 1) {
    const key = keyOf(rows.keys.subarray(i * from.keySize, (i + 1) * from.keySize));
    // Of an array that has become shorter.
    if (to.type === ARRAY && readU32(key) >= to.maxEntries) continue;
    keys.set(key, count * to.keySize);
    values.set(valueOf(rows.values.subarray(i * from.valueSize, (i + 1) * from.valueSize)), count * to.valueSize);
    count += 1;
  }
  const used = { keys: keys.subarray(0, count * to.keySize), values: values.subarray(0, count * to.valueSize) };
  if (count > 0) addon().mapUpdateBatch(newFd, used.keys, used.values, count, 0);
}
