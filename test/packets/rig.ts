// The forwarding core on the bench: a document is compiled and put into real tables in a namespace, frames go in by
// PROG_TEST_RUN at either hook, and what emit() did comes back by its trace.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { kernelDrivers } from '../../src/daemon/drivers.ts';
import { openIds } from '../../src/engine/ids.ts';
import { type OpenEngine, openEngine } from '../../src/engine/open.ts';
import { decodeTrace, dropReasons, encodeFdb, encodeFdbKey, traceActions, traceSize } from '../../src/kernel/abi.ts';
import { age } from '../../src/kernel/ebpf/ageing.ts';
import type { BpfMap } from '../../src/kernel/bpf.ts';
import { type PortCounters, readCounters } from '../../src/kernel/counters.ts';
import { type Datapath, openDatapath, removePins } from '../../src/kernel/datapath.ts';
import type { Kernel } from '../../src/kernel/kernel.ts';
import type { Netlink } from '../../src/kernel/netlink.ts';
import { inNetns } from '../../src/kernel/netns.ts';
import { openKernel } from '../../src/kernel/open.ts';
import { u32 } from '../../src/lib/bytes.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { parseMac } from '../../src/lib/mac.ts';
import { slices } from '../../src/slices.ts';
import type { PortsLive } from '../../src/switch/l1/port/schema.ts';
import { objects } from '../lab/switch.ts';

export type Hook = 'tcx' | 'xdp';

/** Lines of a document: two ports at tcx and two at XDP, in one VLAN. */
export const pairOfEach = `  a1: { vlan: { access: 10 } }
  a2: { vlan: { access: 10 } }
  x1: { vlan: { access: 10 }, datapath: xdp }
  x2: { vlan: { access: 10 }, datapath: xdp }
`;

/** What became of a frame. `out`: port and the tag that it left with (0: none). */
export interface Outcome {
  readonly verdict: 'none' | 'drop' | 'port' | 'flood' | 'up' | 'pass';
  readonly reason: string;
  readonly out: readonly (readonly [port: string, vid: number])[];
  /** The frame as the program left it; a tag beside the frame does not show. */
  readonly data: Uint8Array;
  readonly durationNs: number;
}

export interface Rig extends AsyncDisposable {
  readonly kernel: Kernel;
  readonly datapath: Datapath;
  readonly engine: OpenEngine;
  /** Sends a frame in by a port. */
  send(port: string, frame: Uint8Array, hook?: Hook, repeat?: number): Outcome;
  /** Makes another document the running one; resolves when its ports are up. */
  commit(document: string): Promise<void>;
  /** Forgets what was learned. */
  forget(): void;
  /** An address as if it had been seen. */
  learn(vlan: number, mac: string, port: string): void;
  counters(port: string): PortCounters;
  portId(port: string): number;
  /** Whether every term adds up on every port. */
  balanced(): boolean;
  readonly baseMac: string;
  /** The switch's namespace, and that of the far ends, whose devices are "<port>-far". */
  readonly netns: string;
  readonly farNetns: string;
}

/** The kernel as seen from a namespace: this process stays where it is. */
export function kernelIn(netns: string): Kernel {
  const base = openKernel();
  const nl = base.netlink(netns);
  return {
    netlink: (name) => (name === undefined ? nl : base.netlink(name)),
    netns: base.netns,
    sysctl: {
      read: (key, name) => base.sysctl.read(key, name ?? netns),
      write: (key, value, name) => base.sysctl.write(key, value, name ?? netns),
    },
    bpf: { ...base.bpf, attach: (program, ifindex, hook) => base.bpf.attach(program, ifindex, hook, netns) },
  };
}

function mapIn(netns: string, map: BpfMap): BpfMap {
  const update: BpfMap['update'] = (key, value, flags) => inNetns(netns, () => map.update(key, value, flags));
  const inside = Object.create(map, { update: { value: update } }) as BpfMap;
  for (const name of ['lookup', 'delete', 'dump'] as const) {
    Object.defineProperty(inside, name, { value: map[name].bind(map) });
  }
  for (const name of ['keySize', 'valueSize', 'maxEntries', 'name'] as const) {
    Object.defineProperty(inside, name, { value: map[name] });
  }
  return inside;
}

let count = 0;

/** `ports` are made as veth pairs, both ends up, the far ends in a second namespace. Without `trace` the programs are
 * as in service, and `send` learns nothing of what became of a frame. */
export async function openRig(document: string, ports: readonly string[], o: { trace?: boolean } = {}): Promise<Rig> {
  await using stack = new AsyncDisposableStack();
  const instance = `mpt-rig-${process.pid}-${(count += 1)}`;
  const folder = mkdtempSync(join(tmpdir(), `${instance}-`));
  stack.defer(() => rmSync(folder, { recursive: true }));
  const base = openKernel();
  for (const name of [instance, `${instance}-far`]) {
    base.netns.add(name);
    stack.defer(() => base.netns.remove(name));
  }
  const bare = kernelIn(instance);
  stack.defer(() => bare.netlink().close());
  // The far ends say nothing by themselves.
  base.sysctl.write('net/ipv6/conf/default/disable_ipv6', '1', `${instance}-far`);
  plug(bare.netlink(), base.netlink(`${instance}-far`), ports, `${instance}-far`);
  const datapath = stack.use(openDatapath({ bpf: bare.bpf, objects, instance, trace: o.trace ?? true }));
  stack.defer(() => removePins(datapath.pins));
  // A DEVMAP takes an ifindex for that of the caller's namespace.
  const maps = new Map(datapath.maps);
  const xdpPort = datapath.map('xdp_port');
  maps.set('xdp_port', mapIn(instance, xdpPort));
  const kernel: Kernel = { ...bare, datapath: { ...datapath, maps } };
  const ids = openIds(join(folder, 'ids.json'));
  writeFileSync(join(folder, 'midplane.yaml'), document);
  const live = new Map<string, unknown>();
  const names = { state: folder, instance };
  const engine = stack.use(
    await openEngine({
      ...names,
      slices,
      kernel,
      ids,
      live,
      clock: systemClock,
      log: pino({ level: 'silent' }),
      file: join(folder, 'midplane.yaml'),
      drivers: kernelDrivers({ kernel, slices, ids, clock: systemClock, ...names }),
      commands: [],
    }),
  );
  for (const slice of slices.filter((s) => ['ports', 'vlans'].includes(s.name))) {
    const started = await slice.start?.(engine.host, new AbortController().signal);
    if (started === undefined) continue;
    live.set(slice.name, started.live);
    stack.use(started);
  }
  await engine.settled();
  const carried = (): Promise<void> => carriers(live.get('ports') as PortsLive);
  await carried();
  const kept = stack.move();
  return { ...rigOf(kernel, datapath, engine, instance, carried), [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** The kernel brings a carrier up a little after the device. */
async function carriers(ports: PortsLive): Promise<void> {
  const down = (): boolean => [...ports.statuses().values()].some((status) => status.state === 'down');
  for (let i = 0; i < 100 && down(); i += 1) await new Promise((done) => setTimeout(done, 20));
}

function plug(nl: Netlink, far: Netlink, ports: readonly string[], farNetns: string): void {
  nl.apply(ports.map((name) => ({ op: 'link-add-veth', name, peer: `${name}-far`, peerNetns: farNetns })));
  far.apply(ports.map((name) => ({ op: 'link-set', name: `${name}-far`, up: true })));
  far.close();
}

function rigOf(
  kernel: Kernel,
  datapath: Datapath,
  engine: OpenEngine,
  netns: string,
  carried: () => Promise<void>,
): Omit<Rig, keyof AsyncDisposable> {
  const { ids } = engine.host;
  const indexes = new Map<string, number>();
  const indexOf = (device: string): number => {
    const index = indexes.get(device) ?? kernel.netlink().link(device)?.index ?? 0;
    indexes.set(device, index);
    return index;
  };
  const idOf = (port: string): number => ids.find('port', port) ?? 0;
  const counters = (port: string): PortCounters => readCounters(datapath.map('counters'), idOf(port));
  return {
    kernel,
    datapath,
    engine,
    netns,
    farNetns: `${netns}-far`,
    baseMac: engine.read.look().baseMac,
    portId: idOf,
    counters,
    async commit(document) {
      const answer = await engine.commit({ document }, { by: 'test' });
      if (!answer.ok) throw new Error(JSON.stringify([answer.problems, answer.faults]));
      indexes.clear();
      await engine.settled();
      await carried();
    },
    forget() {
      const all = Number(process.hrtime.bigint() >> 30n) + 1000;
      // The first walk gives those that were hit its time.
      for (let walk = 0; walk < 2; walk += 1) age(datapath, { mode: 'old', olderThan: all });
    },
    learn(vlan, mac, port) {
      const key = encodeFdbKey({ bd: vlan, mac: parseMac(mac) ?? new Uint8Array(6) });
      const seen = Number(process.hrtime.bigint() >> 30n);
      datapath.map('fdb').update(key, encodeFdb({ port: idOf(port), flags: 0, seen }));
    },
    send(port, frame, hook = 'tcx', repeat = 1) {
      const program = datapath.programOf(hook === 'tcx' ? 'tcx-ingress' : 'xdp');
      const ifindex = indexOf(port);
      const trace = hook === 'tcx' ? datapath.trace.tcx : datapath.trace.xdp;
      trace.update(u32(idOf(port)), new Uint8Array(traceSize * kernel.bpf.possibleCpus));
      const ctx = hook === 'tcx' ? skbContext(ifindex) : xdpContext(ifindex, frame.length);
      const ran = inNetns(netns, () => program.testRun({ data: frame, ctx, repeat }));
      return { ...readTrace(trace.lookup(u32(idOf(port))), (id) => ids.name('port', id) ?? `#${id}`), ...ran };
    },
    balanced: () =>
      [...datapathPorts(ids, datapath)].every((id) => {
        const c = readCounters(datapath.map('counters'), id);
        return c.rx + c.own === c.handed + c.up + c.punt + c.drop.reduce((sum, n) => sum + n, 0n);
      }),
  };
}

function* datapathPorts(ids: OpenEngine['host']['ids'], datapath: Datapath): Iterable<number> {
  yield 0;
  for (let id = 1; id < datapath.map('port').maxEntries; id += 1) if (ids.name('port', id) !== undefined) yield id;
}

/** struct __sk_buff (include/uapi/linux/bpf.h): ingress_ifindex at 36, ifindex at 40. */
function skbContext(ifindex: number): Uint8Array {
  const bytes = new Uint8Array(192);
  const view = new DataView(bytes.buffer);
  view.setUint32(36, ifindex, true);
  view.setUint32(40, ifindex, true);
  return bytes;
}

/** struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex. */
function xdpContext(ifindex: number, length: number): Uint8Array {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setUint32(4, length, true);
  view.setUint32(12, ifindex, true);
  return bytes;
}

function readTrace(
  rows: Uint8Array | undefined,
  nameOf: (id: number) => string,
): Pick<Outcome, 'verdict' | 'reason' | 'out'> {
  const cpus = Array.from({ length: (rows?.length ?? 0) / traceSize }, (_, i) =>
    decodeTrace(rows ?? new Uint8Array(), i * traceSize),
  );
  const trace = cpus.find((row) => row.action !== traceActions.none);
  if (trace === undefined) return { verdict: 'none', reason: '', out: [] };
  const word = Object.entries(traceActions).find(([, value]) => value === trace.action)?.[0] ?? 'none';
  const reason = Object.entries(dropReasons).find(([, value]) => value === trace.reason)?.[0] ?? '';
  const verdict = word as Outcome['verdict'];
  const out = trace.port.slice(0, trace.copies).map((id, i) => [nameOf(id), trace.vid[i] ?? 0] as const);
  return { verdict, reason: verdict === 'drop' ? reason : '', out };
}

/** The stack announces its IPv6 addresses when it likes: from here on nothing of it leaves an SVI, so that counters
 * stand still between frames. */
export async function muteStack(rig: Rig): Promise<Disposable> {
  using stack = new DisposableStack();
  const program = stack.use(rig.kernel.bpf.load({ file: join(objects, 'lab.bpf.o') })).programs.get('mute');
  if (program === undefined) throw new Error('lab.bpf.o has no program mute');
  for (const { name, index } of rig.kernel.netlink().links()) {
    if (/^vlan\d+$/.test(name)) stack.use(rig.kernel.bpf.attach(program, index, 'tcx-egress'));
  }
  await new Promise((done) => setTimeout(done, 20)); // what is on its way arrives
  return stack.move();
}
