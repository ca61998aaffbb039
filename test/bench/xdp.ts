// Frames that never were skbs, from one NIC to another: made by a program in a live PROG_TEST_RUN, sent into a port,
// counted and dropped behind the other. All of it runs on one core, so time a frame is one over the rate, and what the
// generator and its veth cost can be taken off.
import { join } from 'node:path';
import { encodeFdb, encodeFdbKey } from '../../src/kernel/abi.ts';
import type { BpfObject, BpfProgram } from '../../src/kernel/bpf.ts';
import { inNetns } from '../../src/kernel/netns.ts';
import { u32 } from '../../src/lib/bytes.ts';
import { kernel, objects } from '../lab/rig.ts';
import { openRig, type Rig } from '../packets/rig.ts';
import { alone, type Bench, compared, type Group, interleave, median, type Row } from './row.ts';

const document = `
ports:
  t1: { vlan: { trunk: [10] }, datapath: xdp }
  a1: { vlan: { access: 10 }, datapath: xdp }
  n1: { vlan: { access: 20 } }
  n2: { vlan: { access: 20 } }
  g1: { vlan: { access: 30 } }
`;
const ports = ['t1', 'a1', 'n1', 'n2', 'g1'];
// A call costs 20 ms whatever it does.
const repeat = 2 ** 19;
const macs = [1, 10_000] as const;
const liveFrames = 2;

export const xdp: Group = { name: 'xdp', what: 'live frames between XDP ports, on one core', run: runXdp };

async function runXdp(bench: Bench): Promise<readonly Row[]> {
  await using rig = await openRig(document, ports, { trace: false });
  using stack = new DisposableStack();
  learn(rig);
  const sink = stack.use(kernel.bpf.load({ file: join(objects, 'bench.bpf.o') }));
  // n1 to n2 by the bare program; g1 only receives; behind a1 and n2 the frames are counted.
  const bare = program(sink, 'bare_xdp');
  const count = program(sink, 'sink');
  const attach = (what: BpfProgram, dev: string, netns: string): void => {
    stack.use(kernel.bpf.attach(what, indexIn(dev, netns), 'xdp', netns));
  };
  const [from, to] = [u32(indexIn('n1', rig.netns)), u32(indexIn('n2', rig.netns))];
  inNetns(rig.netns, () => sink.maps.get('xdp_way')?.update(from, to));
  attach(bare, 'n1', rig.netns);
  attach(count, 'g1', rig.netns);
  for (const dev of ['a1-far', 'n2-far']) attach(count, dev, rig.farNetns);
  const rows: Row[] = [];
  for (const n of macs) {
    const into = (port: string): (() => number) => {
      const out = u32(indexIn(`${port}-far`, rig.farNetns));
      const rodata = { macs: u32(n), out_ifindex: out };
      const object = stack.use(kernel.bpf.load({ file: join(objects, 'bench.bpf.o'), rodata }));
      return () => nsPerFrame(rig, program(object, 'generate'), sink);
    };
    const name = `${n} destination${n === 1 ? '' : 's'}`;
    const samples = await interleave(
      bench,
      `live frames, ${name}, ns`,
      {
        ours: into('t1'),
        redirect_map: into('n1'),
        generator: into('g1'),
      },
      7,
    );
    rows.push(...rowsOf(name, samples));
  }
  return rows;
}

function rowsOf(name: string, samples: Readonly<Record<'ours' | 'redirect_map' | 'generator', number[]>>): Row[] {
  const mpps = (values: readonly number[]): number[] => values.map((ns) => 1000 / ns);
  // Their median, not each round's own: a difference of two noisy figures can come out as nothing.
  const generator = median(samples.generator);
  const without = (values: readonly number[]): number[] => values.map((ns) => ns - generator);
  const [ours, bare] = [samples.ours, samples.redirect_map];
  return [
    compared(`tag taken off, ${name}, against a bare redirect_map`, 'Mpps', mpps(ours), mpps(bare)),
    compared(`less generator and first veth, ${name}`, 'ns a frame', without(ours), without(bare)),
    alone(`generator, veth and sink, ${name}`, 'ns a frame', samples.generator),
  ];
}

function program(object: BpfObject, name: string): BpfProgram {
  const found = object.programs.get(name);
  if (found === undefined) throw new Error(`bench.bpf.o has no program ${name}`);
  return found;
}

function indexIn(dev: string, netns: string): number {
  const nl = kernel.netlink(netns);
  try {
    return nl.link(dev)?.index ?? 0;
  } finally {
    nl.close();
  }
}

/** The generator's sender at t1 and all its destinations at a1. */
function learn(rig: Rig): void {
  const seen = Number(process.hrtime.bigint() >> 30n);
  const fdb = rig.datapath.map('fdb');
  const put = (mac: readonly number[], port: string): void =>
    fdb.update(
      encodeFdbKey({ bd: 10, mac: Uint8Array.from(mac) }),
      encodeFdb({ port: rig.portId(port), flags: 0, seen }),
    );
  put([2, 0, 0, 0, 0, 1], 't1');
  for (let i = 0; i < Math.max(...macs); i += 1) put([2, 0, 0, 1, i >> 8, i & 255], 'a1');
}

/** Nanoseconds from frame to frame; only what came to the sink counts. */
function nsPerFrame(rig: Rig, generate: BpfProgram, sink: BpfObject): number {
  const before = sunk(sink);
  const begun = process.hrtime.bigint();
  inNetns(rig.farNetns, () => generate.testRun({ data: new Uint8Array(64), repeat, flags: liveFrames }));
  const took = Number(process.hrtime.bigint() - begun);
  const came = sunk(sink) - before;
  if (came < repeat * 0.99) throw new Error(`${came} of ${repeat} frames came through`);
  return took / came;
}

function sunk(object: BpfObject): number {
  const value = object.maps.get('sunk')?.lookup(u32(0)) ?? new Uint8Array();
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  return Array.from({ length: value.length / 8 }, (_, cpu) => Number(view.getBigUint64(cpu * 8, true))).reduce(
    (sum, n) => sum + n,
    0,
  );
}
