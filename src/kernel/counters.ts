// Sums of the fast path's counters: the kernel keeps one row a CPU.
import { decodePortCounters, type PortCounters, portCountersSize } from './abi.ts';
import type { BpfMap } from './bpf.ts';
import { u32 } from '../lib/bytes.ts';

export type { PortCounters } from './abi.ts';

/** Sum over CPUs of one value: `rows` holds them one after the other, each of u64 words alone. */
export function sumCpus(rows: Uint8Array, size: number): Uint8Array {
  const words = size / 8;
  const all = new BigUint64Array(rows.buffer.slice(rows.byteOffset, rows.byteOffset + rows.byteLength));
  const sum = all.slice(0, words);
  for (let i = words; i < all.length; i += 1) {
    const at = i % words;
    sum[at] = (sum[at] ?? 0n) + (all[i] ?? 0n);
  }
  return new Uint8Array(sum.buffer);
}

/** Counters of one port id. */
export function readCounters(map: BpfMap, id: number): PortCounters {
  const rows = map.lookup(u32(id));
  if (rows === undefined) throw new RangeError(`no counters for port id ${id}`);
  return decodePortCounters(sumCpus(rows, portCountersSize));
}
