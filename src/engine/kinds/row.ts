// Rows of the fast path's tables. A spec names devices, ports and MACs by words; numbers are put in when it is written
// and compared when it is read, so that a device that comes back under another index is an update.
import { age } from '../../kernel/ebpf/ageing.ts';
import { type BpfMap } from '../../kernel/bpf.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { FaultError } from '../faults.ts';
import type { Ids } from '../ids.ts';
import { type Driver, nameOf, type Ref } from '../resource.ts';
import { linkBook } from './links.ts';
import { asFault } from './mark.ts';

/** What a table may ask in order to turn words into numbers and back. Functions that take a ref throw a Fault for it.
 * */
export interface RowWorld {
  ifindex(ref: Ref, device: string): number;
  /** Whether bpf_redirect_peer reaches the far end: a veth whose peer lives in another namespace. */
  peerElsewhere(device: string): boolean;
  mac(ref: Ref, device: string): string;
  deviceName(ifindex: number): string | undefined;
  /** Gives the port an id where it has none. */
  portId(name: string): number;
  knownPortId(name: string): number | undefined;
  /** Runs a call that may give many ports their ids. */
  together<T>(call: () => T): T;
  portName(id: number): string | undefined;
  /** Takes an address that the fast path has learned out of the fdb, and off its port's count. */
  unlearn(bd: number, mac: Uint8Array): void;
}

/** How one map's rows are named and encoded. */
export interface Table<S = unknown> {
  /** Name of the map, and first part of the ref's name: "row/port/swp1". */
  readonly map: string;
  key(row: string, ref: Ref, world: RowWorld): Uint8Array;
  /** The row's name, or undefined where the row is not the engine's (unused, or learned). */
  name(key: Uint8Array, value: Uint8Array, world: RowWorld): string | undefined;
  value(spec: S, ref: Ref, world: RowWorld): Uint8Array;
  /** Where the fast path writes rows of its own beside the engine's; absent: a plain update. */
  write?(map: BpfMap, key: Uint8Array, value: Uint8Array, world: RowWorld): void;
  /** An array has no empty rows: a dropped one is written as zeros. */
  readonly array: boolean;
}

export type AnyTable = Table<any>; // oxlint-disable-line typescript/no-explicit-any

/** Resource ref of a row. */
export function rowRef(map: string, row: string): Ref {
  return `row/${map}/${row}`;
}

export function rowWorld(kernel: Kernel, ids: Ids, maxPorts: number): RowWorld {
  const book = linkBook(kernel.netlink());
  const linkOf = (ref: Ref, device: string) => {
    const link = book.byName(device);
    if (link === undefined) throw new FaultError('no-device', ref, `no device ${device}`, true);
    return link;
  };
  return {
    ifindex: (ref, device) => linkOf(ref, device).index,
    mac: (ref, device) => linkOf(ref, device).mac,
    peerElsewhere: (device) => book.byName(device)?.peerElsewhere ?? false,
    deviceName: (ifindex) => book.byIndex(ifindex)?.name,
    portId: (name) => ids.id('port', name, maxPorts),
    together: (call) => ids.together(call),
    knownPortId: (name) => ids.find('port', name),
    portName: (id) => ids.name('port', id),
    unlearn(bd, mac) {
      if (kernel.datapath !== undefined) age(kernel.datapath, { mode: 'row', bd, mac });
    },
  };
}

interface Parts {
  readonly table: AnyTable;
  readonly map: BpfMap;
  readonly row: string;
}

/** A row as it stands in the map. */
export interface RowActual {
  readonly ref: Ref;
  readonly value: Uint8Array;
}

export function rowDriver(
  tables: readonly AnyTable[],
  maps: ReadonlyMap<string, BpfMap>,
  world: RowWorld,
): Driver<unknown, RowActual> {
  const looking = withoutNewIds(world);
  const byName = new Map(tables.map((table) => [table.map, table]));
  const partsOf = (ref: Ref): Parts => {
    const [mapName = '', ...row] = nameOf(ref).split('/');
    const table = byName.get(mapName);
    const map = maps.get(mapName);
    if (table === undefined || map === undefined) throw new Error(`no table for ${ref}`);
    return { table, map, row: row.join('/') };
  };
  return {
    kind: 'row',
    read: (refs) => Promise.resolve(refs === 'all' ? readAll(tables, maps, world) : readSome(refs, partsOf, looking)),
    diff(spec, actual) {
      try {
        const wanted = partsOf(actual.ref).table.value(spec, actual.ref, looking);
        return Buffer.from(wanted).equals(actual.value) ? 'same' : 'update';
      } catch (error) {
        // What it names is gone: the put will say so.
        if (error instanceof FaultError) return 'update';
        throw error;
      }
    },
    put: (batch) => {
      const rows = world.together(() =>
        batch.map(([ref, spec]) => {
          const { table, map, row } = partsOf(ref);
          return asFault(ref, () => {
            const [key, value] = [table.key(row, ref, world), table.value(spec, ref, world)];
            return [
              ref,
              () => (table.write === undefined ? map.update(key, value) : table.write(map, key, value, world)),
            ] as const;
          });
        }),
      );
      for (const [ref, write] of rows) asFault(ref, write);
      return Promise.resolve();
    },
    drop: (refs) => {
      for (const ref of refs) {
        const { table, map, row } = partsOf(ref);
        const key = keyOrGone(table, row, ref, looking);
        if (key === undefined) continue;
        asFault(ref, () => (table.array ? map.update(key, new Uint8Array(map.valueSize)) : map.delete(key)));
      }
      return Promise.resolve();
    },
  };
}

/** To look at the world makes nothing in it: a port that has no id has no row. */
function withoutNewIds(world: RowWorld): RowWorld {
  const portId = (name: string): number => {
    const id = world.knownPortId(name);
    if (id === undefined) throw new FaultError('not-found', name, 'the port has no id yet');
    return id;
  };
  return { ...world, portId };
}

/** Names of the ports whose rows or hooks these are. */
export function portsIn(refs: Iterable<Ref>): Set<string> {
  const names = [...refs].flatMap((ref) => /^(?:row\/port\/|link\/)([^@]+)/.exec(ref)?.[1] ?? []);
  return new Set(names);
}

function keyOrGone(table: AnyTable, row: string, ref: Ref, world: RowWorld): Uint8Array | undefined {
  const stale = /^#(\d+)$/.exec(row)?.[1];
  if (stale !== undefined) {
    const key = new Uint8Array(4);
    new DataView(key.buffer).setUint32(0, Number(stale), true);
    return key;
  }
  try {
    return table.key(row, ref, world);
  } catch (error) {
    if (error instanceof FaultError) return undefined;
    throw error;
  }
}

let zeros = Buffer.alloc(0);

/** An empty row of an array. */
function isZero(value: Uint8Array): boolean {
  if (zeros.length < value.length) zeros = Buffer.alloc(value.length);
  return zeros.compare(value, 0, value.length, 0, value.length) === 0;
}

function readAll(tables: readonly AnyTable[], maps: ReadonlyMap<string, BpfMap>, world: RowWorld): Map<Ref, RowActual> {
  const out = new Map<Ref, RowActual>();
  for (const table of tables) {
    const map = maps.get(table.map);
    if (map === undefined) throw new Error(`no map ${table.map}`);
    const { count, keys, values } = map.dump(table.array ? 'used' : 'all');
    for (let i = 0; i < count; i += 1) {
      const value = values.subarray(i * map.valueSize, (i + 1) * map.valueSize);
      const name = table.name(keys.subarray(i * map.keySize, (i + 1) * map.keySize), value, world);
      if (name !== undefined) {
        const ref = rowRef(table.map, name);
        out.set(ref, { ref, value });
      }
    }
  }
  return out;
}

function readSome(refs: readonly Ref[], partsOf: (ref: Ref) => Parts, world: RowWorld): Map<Ref, RowActual> {
  const out = new Map<Ref, RowActual>();
  // Whether the row is the engine's is asked, and not its name, which is known.
  const nameless = { ...world, deviceName: () => undefined };
  for (const ref of refs) {
    const { table, map, row } = partsOf(ref);
    const key = keyOrGone(table, row, ref, world);
    const value = key === undefined ? undefined : map.lookup(key);
    if (key === undefined || value === undefined) continue;
    if (table.array && isZero(value)) continue;
    if (table.name(key, value, nameless) !== undefined) out.set(ref, { ref, value });
  }
  return out;
}
