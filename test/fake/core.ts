// The forwarding core on the fake kernel: its tables in the sizes of the real one, programs that do nothing.
import { join } from 'node:path';
import {
  bdSize,
  devSize,
  fdbKeySize,
  fdbSize,
  floodSize,
  localKeySize,
  localSize,
  portCountersSize,
  portSize,
  portStateSize,
  portVlanSize,
  traceSize,
} from '../../src/kernel/abi.ts';
import type { BpfMapCreate, BpfProgram, TestRun } from '../../src/kernel/bpf.ts';
import type { FakeBpf } from './bpf.ts';

const hash = 1;
const array = 2;
const perCpuArray = 6;
const devmap = 14;

const tables: readonly (readonly [name: string, type: number, key: number, value: number, entries: number])[] = [
  ['port', array, 4, portSize, 1024],
  ['port_vlan', array, 4, portVlanSize, 1024],
  ['dev', hash, 4, devSize, 2048],
  ['dev_near', array, 4, devSize, 16_384],
  ['flood', array, 4, floodSize, 4096],
  ['bd', array, 4, bdSize, 4096],
  ['xdp_port', devmap, 4, 4, 1024],
  ['port_state', array, 4, portStateSize, 1024],
  ['local', hash, localKeySize, localSize, 8192],
  ['fdb', hash, fdbKeySize, fdbSize, 65_536],
  ['fdb_epoch', array, 4, 4, 1],
  ['fdb_count', array, 4, 4, 1024],
  ['counters', perCpuArray, 4, portCountersSize, 1024],
  ['trace', perCpuArray, 4, traceSize, 1024],
];

/** Finds nothing to take away. */
const fdb_age = (input: Parameters<BpfProgram['testRun']>[0]): TestRun => {
  return { retval: 0, data: new Uint8Array(0), ctx: input.ctx ?? new Uint8Array(0), durationNs: 0 };
};

/** Says what `openDatapath` finds in the folder. */
export function defineCore(bpf: FakeBpf, objects: string): void {
  const maps = tables.map(([name, type, keySize, valueSize, maxEntries]): BpfMapCreate => ({
    name,
    type,
    keySize,
    valueSize,
    maxEntries,
  }));
  const rodata = { trace_on: 1 };
  const tcx = { switch_ingress: undefined, switch_egress: undefined, fdb_age };
  bpf.defineObject(join(objects, 'switch.tcx.bpf.o'), { maps, programs: tcx, rodata });
  bpf.defineObject(join(objects, 'switch.xdp.bpf.o'), { maps, programs: { switch_xdp: undefined }, rodata });
}
