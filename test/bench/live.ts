// Frames that never were skbs: made by a program in a live PROG_TEST_RUN, sent into a port, counted and dropped behind
// another. All of it runs on one core, so time a frame is one over the rate; the generator and the veth that it sends
// by are in every side's time.
import { join } from 'node:path';
import type { BpfObject, BpfProgram } from '../../src/kernel/bpf.ts';
import { setOffloads } from '../../src/kernel/ethtool.ts';
import { inNetns } from '../../src/kernel/netns.ts';
import { u32 } from '../../src/lib/bytes.ts';
import { kernel, objects } from '../lab/rig.ts';

// A call costs 20 ms whatever it does.
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
  const before = sunk(shared);
  const begun = process.hrtime.bigint();
  inNetns(netns, () => generate.testRun({ data: new Uint8Array(64), repeat: frames, flags: liveFrames }));
  const took = Number(process.hrtime.bigint() - begun);
  const came = sunk(shared) - before;
  if (came < frames * 0.99) throw new Error(`${came} of ${frames} frames came through`);
  return took / came;
}

function sunk(object: BpfObject): number {
  const value = object.maps.get('sunk')?.lookup(u32(0)) ?? new Uint8Array();
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  const cpus = Array.from({ length: value.length / 8 }, (_, cpu) => Number(view.getBigUint64(cpu * 8, true)));
  return cpus.reduce((sum, n) => sum + n, 0);
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
