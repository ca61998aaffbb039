// Map `local`: the addresses that the kernel has in the switch's namespace, whoever gave them. It is as large as it is:
// addresses beyond that are said in the log, and the fast path does not know them for the switch's own.
import { type Fault, faultOf } from '../../../engine/faults.ts';
import { asFault } from '../../../engine/kinds/mark.ts';
import { rowRef } from '../../../engine/kinds/row.ts';
import type { Host } from '../../../engine/slice.ts';
import { encodeLocal, encodeLocalKey, localKeySize } from '../../../kernel/abi.ts';
import type { BpfMap } from '../../../kernel/bpf.ts';
import { every } from '../../../lib/clock.ts';
import { parsePrefix } from '../../../lib/prefix.ts';

/** No event tells that somebody else wrote into the map. */
const auditMs = 30_000;

/** Keeps the map at what the kernel has until it is disposed. */
export function followAddresses({ kernel, log, clock }: Pick<Host, 'kernel' | 'log' | 'clock'>): Disposable {
  const map = kernel.datapath?.map('local');
  if (map === undefined) return { [Symbol.dispose]: () => undefined };
  const nl = kernel.netlink();
  let state: 'followed' | 'due' | 'ended' = 'followed';
  let said: string | undefined;
  const follow = (): number => {
    const { fault, written } = fill(map, wantedOf(nl.addresses().map(({ cidr }) => cidr)));
    if (fault !== undefined && fault.why !== said) log.error({ fault }, 'failed');
    if (fault === undefined && said !== undefined) log.info({ table: map.name }, 'recovered');
    said = fault?.why;
    return written;
  };
  // A reader of events calls many times in a turn.
  const soon = (): void => {
    if (state !== 'followed') return;
    state = 'due';
    queueMicrotask(() => {
      if (state === 'ended') return;
      state = 'followed';
      follow();
    });
  };
  follow();
  const watch = nl.watch(['address'], soon);
  const audits = every(clock, auditMs, () => {
    // What an event has told of and is not done yet is no repair.
    const rows = state === 'followed' ? follow() : 0;
    if (rows > 0) log.info({ ref: rowRef(map.name, '*'), rows }, 'repaired');
  });
  return {
    [Symbol.dispose]() {
      state = 'ended';
      audits[Symbol.dispose]();
      watch[Symbol.dispose]();
    },
  };
}

/** Keys by their text. */
function wantedOf(cidrs: readonly string[]): ReadonlyMap<string, Uint8Array> {
  const keys = cidrs.map(localKey).filter((key) => key !== undefined);
  return new Map(keys.map((key) => [Buffer.from(key).toString('hex'), key]));
}

interface Filled {
  readonly fault?: Fault;
  /** Rows that were put or taken away. */
  readonly written: number;
}

/** Makes the map hold these, as far as it has room; what goes makes room for what comes. */
function fill(map: BpfMap, wanted: ReadonlyMap<string, Uint8Array>): Filled {
  const { count, keys } = map.dump();
  const there = new Set<string>();
  let written = 0;
  for (let i = 0; i < count; i += 1) {
    const key = keys.subarray(i * localKeySize, (i + 1) * localKeySize);
    const hex = Buffer.from(key).toString('hex');
    if (wanted.has(hex)) there.add(hex);
    else {
      map.delete(key);
      written += 1;
    }
  }
  for (const [hex, key] of wanted) {
    if (there.has(hex)) continue;
    try {
      asFault(rowRef(map.name, hex), () => map.update(key, encodeLocal({ count: 1 })));
      there.add(hex);
      written += 1;
    } catch (error) {
      const fault = faultOf(error);
      if (fault.code !== 'table-full') return { fault, written };
      const why = `${wanted.size - there.size} of the switch's addresses have no room in its ${map.maxEntries} rows`;
      return { fault: { ...fault, what: `table ${map.name}`, why, retry: true }, written };
    }
  }
  return { written };
}

/** IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2). */
function localKey(cidr: string): Uint8Array | undefined {
  const ip = parsePrefix(cidr)?.ip;
  if (ip === undefined) return undefined;
  const bytes = new Uint8Array(localKeySize);
  if (ip.family === 4) bytes.set([0xff, 0xff, ...ip.bytes], 10);
  else bytes.set(ip.bytes);
  return encodeLocalKey({ addr: bytes });
}
