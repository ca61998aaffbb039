// Frames that never were skbs: made by a program in a live PROG_TEST_RUN, sent into a port, counted and dropped behind
// another. All of it runs on one core, so time a frame is one over the rate; the generator and the veth that it sends
// by are in every side's time. It is taken of stretches shorter than a time slice, the lower quartile of them: those in
// which something else had the core fall out.
import { join } from 'node:path';
import type { BpfObject, BpfProgram } from '../../src/kernel/bpf.ts';
import { KernelError } from '../../src/kernel/errno.ts';
import { setOffloads } from '../../src/kernel/net/ethtool.ts';
import { inNetns } from '../../src/kernel/netns.ts';
import { u32 } from '../../src/lib/bytes.ts';
import { kernel, objects } from '../lab/rig.ts';

const stretch = 512;
const frames = 2 ** 19;
const liveFrames = 2;

/** A device in a namespace. */
export interface Place {
  readonly dev: string;
  readonly netns: string;
}

export interface Generated {
  readonly program: 'generate' | 'generate_ipv4';
  /** How many destinations take turns. */
  readonly destinations: number;
  readonly routerMac?: Uint8Array;
}

export interface Live extends Disposable {
  /** Frames that come in to a device are counted and dropped there. */
  sink(place: Place): void;
  /** Frames that come in to a device go to the stack, one by one. */
  pass(place: Place): void;
  /** What comes in to `from` leaves by `to`, unchanged, by the least that a program can do. */
  bare(from: Place, to: Place): void;
  /** Measures nanoseconds from frame to frame, sent out of a device; only those that come to a sink count. */
  source(place: Place, what: Generated): () => number;
}

export function openLive(): Live {
  const stack = new DisposableStack();
  const file = join(objects, 'bench.bpf.o');
  const shared = stack.use(kernel.bpf.load({ file }));
  const attach = (name: string, place: Place): void => {
    stack.use(kernel.bpf.attach(program(shared, name), indexOf(place), 'xdp', place.netns));
  };
  return {
    sink: (place) => attach('sink', place),
    pass(place) {
      attach('pass', place);
      // The program turned it on; there is nothing to merge.
      setOffloads(place.dev, { gro: false }, place.netns);
    },
    bare(from, to) {
      const [key, value] = [u32(indexOf(from)), u32(indexOf(to))];
      inNetns(from.netns, () => shared.maps.get('xdp_way')?.update(key, value));
      attach('bare_xdp', from);
    },
    source(place, { program: name, destinations, routerMac = new Uint8Array(6) }) {
      const rodata = { destinations: u32(destinations), out_ifindex: u32(indexOf(place)), router_mac: routerMac };
      const generate = program(stack.use(kernel.bpf.load({ file, rodata })), name);
      return () => nsPerFrame(place.netns, generate, shared);
    },
    [Symbol.dispose]: () => stack.dispose(),
  };
}

function nsPerFrame(netns: string, generate: BpfProgram, shared: BpfObject): number {
  let begun = 0n;
  let came = 0;
  // A run ends early when a signal comes, such as a child's end.
  for (let tries = 0; tries < 10 && came === 0; tries += 1) {
    const before = sunk(shared);
    begun = process.hrtime.bigint();
    if (ran(netns, generate)) came = sunk(shared) - before;
  }
  if (came < frames * 0.9) throw new Error(`${came} of ${frames} frames came through`);
  const times = stretches(shared, begun).toSorted((a, b) => a - b);
  return times[times.length >> 2] ?? Number.NaN;
}

function ran(netns: string, generate: BpfProgram): boolean {
  try {
    inNetns(netns, () => generate.testRun({ data: new Uint8Array(64), repeat: frames, flags: liveFrames }));
    return true;
  } catch (error) {
    if (error instanceof KernelError && error.code === 'EINTR') return false;
    throw error;
  }
}

function sunk(object: BpfObject): number {
  return u64s(object.maps.get('sunk')?.lookup(u32(0))).reduce((sum, n) => sum + Number(n), 0);
}

/** Nanoseconds a frame of each stretch since then, of each CPU. */
function stretches(object: BpfObject, since: bigint): number[] {
  const stamps = u64s(object.maps.get('stamps')?.dump().values);
  const cpus = kernel.bpf.possibleCpus;
  return Array.from({ length: cpus }, (_, cpu) => {
    const own = stamps.filter((stamp, i) => i % cpus === cpu && stamp >= since).map((stamp) => Number(stamp - since));
    return own.toSorted((a, b) => a - b).flatMap((at, i, all) => (i === 0 ? [] : [(at - (all[i - 1] ?? 0)) / stretch]));
  }).flat();
}

function u64s(bytes: Uint8Array = new Uint8Array()): bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 8 }, (_, i) => view.getBigUint64(i * 8, true));
}

function program(object: BpfObject, name: string): BpfProgram {
  const found = object.programs.get(name);
  if (found === undefined) throw new Error(`bench.bpf.o has no program ${name}`);
  return found;
}

function indexOf({ dev, netns }: Place): number {
  const nl = kernel.netlink(netns);
  try {
    return nl.link(dev)?.index ?? 0;
  } finally {
    nl.close();
  }
}
