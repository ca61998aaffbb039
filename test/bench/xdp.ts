// From NIC to NIC, frames that never were skbs: bridged against a program that does nothing but redirect and against a
// Linux bridge, routed against the kernel's own forwarding. The generator and the veth that it sends by are in every
// side's time; what is left without them is a row of its own.
import { encodeFdb, encodeFdbKey } from '../../src/kernel/abi.ts';
import { parseMac } from '../../src/lib/mac.ts';
import { kernel } from '../lab/rig.ts';
import { openRig, type Rig } from '../packets/rig.ts';
import { makeBridge, makeRouter, must, openWires, setRoutes, type Wires } from './foil.ts';
import { type Live, openLive } from './live.ts';
import { alone, type Bench, compared, type Group, interleave, median, type Row } from './row.ts';

const document = `
ports:
  t1: { vlan: { trunk: [10] }, datapath: xdp }
  a1: { vlan: { access: 10 }, datapath: xdp }
  n1: { vlan: { access: 20 } }
  n2: { vlan: { access: 20 } }
  g1: { vlan: { access: 30 } }
  r1: { address: [192.0.2.0/31], datapath: xdp }
  r2: { address: [198.51.100.0/31], datapath: xdp }
`;
const ports = ['t1', 'a1', 'n1', 'n2', 'g1', 'r1', 'r2'];
const addressCounts = [1, 10_000] as const;
const routeCounts = [10, 10_000] as const;
const rounds = 7;
const shared = 'generator and first veth in both';

export const xdp: Group = { name: 'xdp', what: 'live frames between XDP ports, on one core', run: runXdp };

async function runXdp(bench: Bench): Promise<readonly Row[]> {
  await using rig = await openRig(document, ports, { trace: false });
  using stack = new DisposableStack();
  const live = stack.use(openLive());
  // g1 only receives: what the generator and a veth cost by themselves.
  live.sink({ dev: 'g1', netns: rig.netns });
  for (const dev of ['a1-far', 'n2-far', 'r2-far']) live.sink({ dev, netns: rig.farNetns });
  const bridge = stack.use(openWires(`${bench.prefix}-lb`, ['p1', 'p2']));
  const router = stack.use(openWires(`${bench.prefix}-kr`, ['p1', 'p2']));
  // Of the ways into the kernel's stack and out of it these are the fastest: no GRO, and no backlog at the far end.
  for (const { netns, farNetns } of [bridge, router]) {
    live.pass({ dev: 'p1', netns });
    live.sink({ dev: 'p2-far', netns: farNetns });
  }
  return [...(await bridged(bench, { rig, live, bridge })), ...(await routed(bench, { rig, live, router }))];
}

async function bridged(bench: Bench, o: { rig: Rig; live: Live; bridge: Wires }): Promise<Row[]> {
  const { rig, live, bridge } = o;
  live.bare({ dev: 'n1', netns: rig.netns }, { dev: 'n2', netns: rig.netns });
  await makeBridge(bridge.netns, ['p1', 'p2']);
  learn(rig);
  const rows = destinations().map((mac) => `fdb add ${mac} dev p2 master dynamic\n`);
  await must(bridge.netns, ['bridge', '-batch', '-'], rows.join(''));
  const out: Row[] = [];
  for (const count of addressCounts) {
    const into = (dev: string, netns: string) =>
      live.source({ dev, netns }, { program: 'generate', destinations: count });
    const samples = await interleave(
      bench,
      `bridged live frames, ${count} addresses, ns`,
      {
        ours: into('t1-far', rig.farNetns),
        redirect_map: into('n1-far', rig.farNetns),
        bridge: into('p1-far', bridge.farNetns),
        generator: into('g1-far', rig.farNetns),
      },
      rounds,
    );
    out.push(...bridgedRows(`${count} address${count === 1 ? '' : 'es'}`, samples));
  }
  return out;
}

type Samples<K extends string> = Readonly<Record<K, readonly number[]>>;

function bridgedRows(name: string, samples: Samples<'ours' | 'redirect_map' | 'bridge' | 'generator'>): Row[] {
  // Their median, not each round's own: a difference of two noisy figures can come out as nothing.
  const generator = median(samples.generator);
  const without = (values: readonly number[]): number[] => values.map((ns) => ns - generator);
  const { ours, redirect_map: bare, bridge } = samples;
  const what = `bridged, tag taken off, ${name}`;
  return [
    { ...compared(`${what}, against a bare redirect_map`, 'Mpps', mpps(ours), mpps(bare)), note: shared },
    { ...compared(`${what}, against a Linux bridge`, 'Mpps', mpps(ours), mpps(bridge)), note: shared },
    compared(
      `less generator and first veth, ${name}, against a bare redirect_map`,
      'ns a frame',
      without(ours),
      without(bare),
    ),
    alone(`generator, veth and sink, ${name}`, 'ns a frame', samples.generator),
  ];
}

const mpps = (values: readonly number[]): number[] => values.map((ns) => 1000 / ns);

/** What `generate` sends to. */
function destinations(): string[] {
  const hex = (n: number): string => n.toString(16).padStart(2, '0');
  return Array.from({ length: Math.max(...addressCounts) }, (_, i) => `02:00:00:01:${hex(i >> 8)}:${hex(i & 255)}`);
}

/** The generator's sender at t1 and all its destinations at a1. */
function learn(rig: Rig): void {
  rig.learn(10, '02:00:00:00:00:01', 't1');
  const seen = Number(process.hrtime.bigint() >> 30n);
  const fdb = rig.datapath.map('fdb');
  const row = encodeFdb({ port: rig.portId('a1'), flags: 0, seen });
  for (const mac of destinations()) {
    fdb.update(encodeFdbKey({ bd: 10, mac: parseMac(mac) ?? new Uint8Array(6) }), row);
  }
}

/** A route for each destination, all by one next hop; the counts take turns, since routes are costly to change. */
async function routed(bench: Bench, o: { rig: Rig; live: Live; router: Wires }): Promise<Row[]> {
  const { rig, live, router } = o;
  await makeRouter(router.netns, { p1: '192.0.2.0/31', p2: '198.51.100.0/31' });
  const sides = [
    { name: 'ours', netns: rig.netns, farNetns: rig.farNetns, in: 'r1', out: 'r2' },
    { name: 'kernel', netns: router.netns, farNetns: router.farNetns, in: 'p1', out: 'p2' },
  ] as const;
  const macs = sides.map((side) => gateway(side.netns, side.in, side.out));
  const samples: Record<string, number[]> = {};
  const sources = routeCounts.map((count) =>
    sides.map((side, i) => ({
      key: `${side.name} ${count}`,
      measure: live.source(
        { dev: `${side.in}-far`, netns: side.farNetns },
        { program: 'generate_ipv4', destinations: count, ...(macs[i] === undefined ? {} : { routerMac: macs[i] }) },
      ),
    })),
  );
  for (let round = 0; round < rounds; round += 1) {
    for (const [i, count] of routeCounts.entries()) {
      bench.signal.throwIfAborted();
      for (const side of sides) await route(side.netns, count);
      const turn = round % 2 === 0 ? (sources[i] ?? []) : (sources[i] ?? []).toReversed();
      for (const { key, measure } of turn) (samples[key] ??= []).push(measure());
    }
    const last = Object.entries(samples).map(([key, values]) => `${key} ${values.at(-1)?.toFixed(0)}`);
    bench.say(`routed live frames, ns, round ${round + 1}: ${last.join(', ')}`);
  }
  const of = (side: string, count: number): number[] => mpps(samples[`${side} ${count}`] ?? []);
  const [few, many] = routeCounts;
  return [
    ...routeCounts.map((count) => ({
      ...compared(`routed, ${count} routes, against kernel forwarding`, 'Mpps', of('ours', count), of('kernel', count)),
      note: shared,
    })),
    { ...compared(`routed, ${many} routes, against ${few}`, 'Mpps', of('ours', many), of('ours', few)), note: shared },
  ];
}

/** The next hop that all routes go by, known for good; the MAC that packets for the router have. */
function gateway(netns: string, into: string, out: string): Uint8Array {
  const nl = kernel.netlink(netns);
  try {
    nl.apply([{ op: 'neighbor-put', dev: out, address: '198.51.100.1', mac: '02:00:00:00:00:77' }]);
    return parseMac(nl.link(into)?.mac ?? '') ?? new Uint8Array(6);
  } finally {
    nl.close();
  }
}

function route(netns: string, count: number): Promise<void> {
  const prefixes = Array.from({ length: count }, (_, i) => `10.${64 + (i >> 8)}.${i & 255}.0/24`);
  return setRoutes(netns, 4, { flush: '10.64.0.0/10', prefixes, via: '198.51.100.1' });
}
