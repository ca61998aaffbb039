// What one packet costs, by PROG_TEST_RUN: the programs as in service, on tables as the engine fills them, of few and
// of many rows. The frame is one frame, so its rows are in the cache; flatness says what the size of a table costs, not
// what a cache miss does.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeFdb, encodeFdb, encodeFdbKey, fdbFlags, fdbKeySize, fdbSize } from '../../src/kernel/abi.ts';
import type { BpfProgram } from '../../src/kernel/bpf.ts';
import { inNetns } from '../../src/kernel/netns.ts';
import { u32 } from '../../src/lib/bytes.ts';
import { frame, ipv4, ipv6 } from '../packets/frame.ts';
import { objects } from '../lab/rig.ts';
import { type Hook, openRig, pairOfEach, type Rig } from '../packets/rig.ts';
import { setRoutes } from './foil.ts';
import { alone, type Bench, compared, type Group, interleave, median, pairs, type Row } from './row.ts';

const floodPorts = (vlan: string, copies: number): string[] =>
  Array.from({ length: copies + 1 }, (_, i) => `${vlan}${i + 1}`);
const four = floodPorts('four', 4);
const thirtyTwo = floodPorts('wide', 32);
const document = `
ports:
${pairOfEach}  b1: { vlan: { access: 20 }, datapath: xdp }
  r1: { address: [192.0.2.0/31, "fd00:9::1/64"], datapath: xdp }
${four.map((port) => `  ${port}: { vlan: { access: 40 } }`).join('\n')}
${thirtyTwo.map((port) => `  ${port}: { vlan: { access: 50 } }`).join('\n')}
vlans:
  20: { address: [10.0.20.254/24, "fd00:20::fe/64"] }
`;
const ports = ['a1', 'a2', 'x1', 'x2', 'b1', 'r1', ...four, ...thirtyTwo];
const [A, B, X, Y] = ['02:00:00:00:00:0a', '02:00:00:00:00:0b', '02:00:00:00:00:0c', '02:00:00:00:00:0d'] as const;
// Above these the tables hold the config rows of the document besides.
const fdbSizes = [10, 1_000, 65_000] as const;
const routeCounts = [10, 10_000] as const;
const repeat = 10_000;
const runs = 100;
// A frame that was routed comes round again, one hop older.
const hops = 250;

export const packet: Group = { name: 'packet', what: 'ns a packet and sizes of the programs', run: runPacket };

async function runPacket(bench: Bench): Promise<readonly Row[]> {
  await using rig = await openRig(document, ports, { trace: false });
  const rows = [...(await bridged(bench, rig)), ...(await flooded(bench, rig)), ...(await routedRows(bench, rig))];
  return withBaseline(bench, [...rows, ...sizes(rig)]);
}

interface Case {
  readonly hook: Hook;
  readonly port: string;
  readonly frame: Uint8Array;
  /** Frames of one run, and runs of a sample. */
  readonly repeat: number;
  readonly runs: number;
  /** The port that has to have sent them; a case that measures something else is an error. */
  readonly out: string;
  readonly copies?: number;
}

/** Least ns a frame over the case's runs, which are shorter than a time slice: what else runs here only adds. */
function measure(rig: Rig, c: Case): number {
  const program: BpfProgram = rig.datapath.programOf(c.hook === 'tcx' ? 'tcx-ingress' : 'xdp');
  const ctx = contextOf(rig, c);
  const sent = rig.counters(c.out).tx;
  const times = inNetns(rig.netns, () =>
    Array.from({ length: c.runs }, () => program.testRun({ data: c.frame, ctx, repeat: c.repeat }).durationNs),
  );
  const moved = Number(rig.counters(c.out).tx - sent);
  const expected = c.runs * c.repeat;
  if (moved !== expected) throw new Error(`${c.hook} ${c.port}: ${moved} of ${expected} frames left by ${c.out}`);
  return Math.min(...times);
}

/** struct __sk_buff: ingress_ifindex at 36, ifindex at 40. struct xdp_md: data_end at 4, ingress_ifindex at 12. */
function contextOf(rig: Rig, { hook, port, frame: bytes }: Case): Uint8Array {
  const ifindex = rig.kernel.netlink().link(port)?.index ?? 0;
  const ctx = new Uint8Array(hook === 'tcx' ? 192 : 24);
  const view = new DataView(ctx.buffer);
  if (hook === 'tcx') for (const at of [36, 40]) view.setUint32(at, ifindex, true);
  else view.setUint32(4, bytes.length, true);
  if (hook === 'xdp') view.setUint32(12, ifindex, true);
  return ctx;
}

async function bridged(bench: Bench, rig: Rig): Promise<readonly Row[]> {
  const ip = ipv4({ src: '10.0.10.1', dst: '10.0.10.2' });
  const l2: Record<Hook, Case> = {
    tcx: { hook: 'tcx', port: 'a1', frame: frame({ dst: B, src: A }, ip), repeat, runs, out: 'a2' },
    xdp: { hook: 'xdp', port: 'x1', frame: frame({ dst: Y, src: X }, ip), repeat, runs, out: 'x2' },
  };
  const rows: Row[] = [];
  for (const hook of ['tcx', 'xdp'] as const) {
    const sides = Object.fromEntries(
      fdbSizes.map((size) => [
        `${size} rows`,
        () => {
          fillFdb(rig, size);
          return measure(rig, l2[hook]);
        },
      ]),
    );
    const samples = await interleave(bench, `${hook} L2 known unicast, ns`, sides);
    rows.push(...flat(`${hook} L2 known unicast`, 'fdb rows', fdbSizes, samples));
  }
  rows.push(await bare(bench, rig, l2.tcx));
  fillFdb(rig, 0);
  return rows;
}

/** What this machine makes of a program that only looks up where to and redirects there. */
async function bare(bench: Bench, rig: Rig, c: Case): Promise<Row> {
  using object = rig.kernel.bpf.load({ file: join(objects, 'bench.bpf.o') });
  const program = object.programs.get('bare_peer');
  const indexOf = (port: string): number => rig.kernel.netlink().link(port)?.index ?? 0;
  object.maps.get('way')?.update(u32(indexOf(c.port)), u32(indexOf(c.out)));
  const run = { data: c.frame, ctx: contextOf(rig, c), repeat: c.repeat };
  const samples = await interleave(bench, 'tcx L2 and a bare redirect_peer, ns', {
    ours: () => measure(rig, c),
    bare: () => {
      const one = (): number => program?.testRun(run).durationNs ?? Number.NaN;
      return inNetns(rig.netns, () => Math.min(...Array.from({ length: runs }, one)));
    },
  });
  return compared('tcx L2 known unicast, against a bare redirect_peer', 'ns', samples.ours, samples.bare);
}

/** The fdb with that many learned rows, the four hosts of the cases among them. */
function fillFdb(rig: Rig, size: number): void {
  const map = rig.datapath.map('fdb');
  const { count, keys, values } = map.dump();
  for (let i = 0; i < count; i += 1) {
    const { flags } = decodeFdb(values, i * fdbSize);
    if ((flags & fdbFlags.static) === 0) map.delete(keys.subarray(i * fdbKeySize, (i + 1) * fdbKeySize));
  }
  if (size === 0) return;
  const hosts = [A, B, X, Y];
  for (const [mac, port] of [
    [A, 'a1'],
    [B, 'a2'],
    [X, 'x1'],
    [Y, 'x2'],
  ] as const) {
    rig.learn(10, mac, port);
  }
  const more = size - hosts.length;
  const row = encodeFdb({ port: rig.portId('a2'), flags: 0, seen: Number(process.hrtime.bigint() >> 30n) });
  const allKeys = new Uint8Array(more * fdbKeySize);
  const allValues = new Uint8Array(more * fdbSize);
  for (let i = 0; i < more; i += 1) {
    const mac = Uint8Array.of(2, 1, 0, i >> 16, i >> 8, i);
    allKeys.set(encodeFdbKey({ bd: 10, mac }), i * fdbKeySize);
    allValues.set(row, i * fdbSize);
  }
  map.updateBatch({ count: more, keys: allKeys, values: allValues });
}

async function flooded(bench: Bench, rig: Rig): Promise<readonly Row[]> {
  const ip = ipv4({ src: '10.0.40.1', dst: '10.0.40.2' });
  // Copies wait in the receiving core's backlog of 1,000 until a run ends; one more is lost, and cheaper.
  const flood = (names: readonly string[], copies: number): Case => ({
    hook: 'tcx',
    port: names[0] ?? '',
    frame: frame({ dst: '02:00:00:00:00:99', src: '02:00:00:00:00:98' }, ip),
    repeat: Math.floor(900 / copies),
    runs: 200,
    out: names[1] ?? '',
  });
  const samples = await interleave(bench, 'tcx flood, ns', {
    four: () => measure(rig, flood(four, 4)),
    thirtyTwo: () => measure(rig, flood(thirtyTwo, 32)),
  });
  const copy = (values: readonly number[], copies: number): readonly number[] => values.map((ns) => ns / copies);
  return [
    alone('tcx L2 flood to 4 ports', 'ns', samples.four),
    alone('tcx L2 flood to 32 ports', 'ns', samples.thirtyTwo),
    alone('tcx L2 flood, a copy of 4', 'ns', copy(samples.four, 4)),
    alone('tcx L2 flood, a copy of 32', 'ns', copy(samples.thirtyTwo, 32)),
  ];
}

/** From a routed port into a VLAN. The next hop has the routed port's own MAC, so that a frame that was routed can be
 * routed again: else all but the first of a run would be something else. */
async function routedRows(bench: Bench, rig: Rig): Promise<readonly Row[]> {
  const nl = rig.kernel.netlink();
  const mac = nl.link('r1')?.mac ?? '';
  for (const address of ['10.0.20.3', 'fd00:20::3']) nl.apply([{ op: 'neighbor-put', dev: 'vlan20', address, mac }]);
  rig.learn(20, mac, 'b1');
  const src = '02:00:00:00:00:ee';
  const frames = {
    IPv4: frame({ dst: mac, src }, ipv4({ src: '192.0.2.1', dst: '10.77.0.9', ttl: 255 })),
    IPv6: frame({ dst: mac, src }, ipv6({ src: 'fd00:9::2', dst: 'fd00:77::9', hopLimit: 255 })),
  };
  const rows: Row[] = [];
  const samples: Record<string, number[]> = {};
  const cases = (['tcx', 'xdp'] as const).flatMap((hook) =>
    (['IPv4', 'IPv6'] as const).map((family) => ({ hook, family, name: `${hook} routed ${family}` })),
  );
  // Routes are costly to change: the counts take turns, the cases of one count follow each other.
  for (let round = 0; round < pairs; round += 1) {
    for (const count of routeCounts) {
      bench.signal.throwIfAborted();
      await setAllRoutes(rig.netns, count);
      for (const { hook, family, name } of cases) {
        const c: Case = { hook, port: 'r1', frame: frames[family], repeat: hops, runs: 1000, out: 'b1' };
        (samples[`${name} ${count}`] ??= []).push(measure(rig, c));
      }
    }
    bench.say(`routed, ns, round ${round + 1}: ${cases.map((c) => `${c.name} ${last(samples, c.name)}`).join(', ')}`);
  }
  for (const { name } of cases) {
    const bySize = Object.fromEntries(routeCounts.map((n) => [`${n} rows`, samples[`${name} ${n}`] ?? []]));
    rows.push(...flat(name, 'routes', routeCounts, bySize));
  }
  return rows;
}

function last(samples: Readonly<Record<string, readonly number[]>>, name: string): string {
  return routeCounts.map((count) => samples[`${name} ${count}`]?.at(-1) ?? 0).join(' / ');
}

/** That many routes of each family by the one next hop, those of the cases among them. */
async function setAllRoutes(netns: string, count: number): Promise<void> {
  const some = (special: string, prefix: (i: number) => string): string[] => {
    const others = Array.from({ length: count - 1 }, (_, i) => prefix(i));
    return [special, ...others.filter((each) => each !== special)];
  };
  const four = some('10.77.0.0/24', (i) => `10.${64 + (i >> 8)}.${i & 255}.0/24`);
  const six = some('fd00:77::/48', (i) => `fd00:77:${(i + 1).toString(16)}::/48`);
  await setRoutes(netns, 4, { flush: '10.64.0.0/10', prefixes: four, via: '10.0.20.3' });
  await setRoutes(netns, 6, { flush: 'fd00:77::/32', prefixes: six, via: 'fd00:20::3' });
}

/** A row for each size; those of the larger ones have the smallest as foil. */
function flat(
  name: string,
  unit: string,
  counts: readonly number[],
  samples: Readonly<Record<string, readonly number[]>>,
): Row[] {
  const [least = 0] = counts;
  const base = samples[`${least} rows`] ?? [];
  return counts.map((count) => {
    const values = samples[`${count} rows`] ?? [];
    const figure = `${name}, ${count} ${unit}`;
    if (count === least) return alone(figure, 'ns', values);
    const ratios = values.map((value, i) => value / (base[i] ?? Number.NaN));
    return {
      figure: `${figure}, against ${least}`,
      ours: median(values),
      foil: median(base),
      ratio: median(ratios),
      min: Math.min(...ratios),
      max: Math.max(...ratios),
      unit: 'ns',
    };
  });
}

function sizes(rig: Rig): Row[] {
  const { datapath } = rig;
  const programs = [
    datapath.programOf('tcx-ingress'),
    datapath.programOf('tcx-egress'),
    datapath.programOf('xdp'),
    datapath.age,
  ];
  return programs.map((program) => alone(`verified: ${program.name}`, 'instructions', [program.verifiedInsns]));
}

const baselineFile = join(import.meta.dirname, 'baseline.json');

type Baseline = Readonly<Record<string, number>>;

/** Says what changed against the baseline; it fails nothing, since it was measured on another day. */
function withBaseline(bench: Bench, rows: readonly Row[]): readonly Row[] {
  if (bench.save) {
    const figures = Object.fromEntries(rows.map((row) => [row.figure, row.ours]));
    writeFileSync(baselineFile, `${JSON.stringify(figures, undefined, 2)}\n`);
  }
  const baseline = JSON.parse(readFileSync(baselineFile, 'utf8')) as Baseline;
  return rows.map((row) => {
    const before = baseline[row.figure];
    const percent = before === undefined ? undefined : Math.round((row.ours / before - 1) * 100);
    const note =
      percent === undefined ? 'not in the baseline' : `baseline ${before}: ${percent >= 0 ? '+' : ''}${percent} %`;
    return { ...row, note };
  });
}
