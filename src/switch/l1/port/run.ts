// Follows the devices: what the kernel does not check on a frame's way out (link, admin state, MTU) is kept in
// port_state.
import { decodeDev, devKinds, encodePortState, portStateFlags } from '../../../kernel/abi.ts';
import { type PortCounters, readCounters } from '../../../kernel/counters.ts';
import type { Link, Netlink } from '../../../kernel/netlink.ts';
import { rowRef } from '../../../engine/kinds/row.ts';
import type { Host } from '../../../engine/slice.ts';
import { u32 } from '../../../lib/bytes.ts';
import { autoXdp, refusedXdp } from './auto.ts';
import { deviceOf, type PortsLive, type PortStatus, portsSchema } from './schema.ts';

const retryMs = 5000;

/** Starts following. */
export function runPorts(host: Host): AsyncDisposable & { live: PortsLive } {
  const idOf = (port: string): number | undefined => host.ids.find('port', port);
  const nl = host.kernel.netlink();
  const statuses = new Map<string, PortStatus>();
  const listeners = new Set<() => void>();
  const written = new Map<number, Uint8Array>();
  const refused = new Set<string>();
  const devices = followLinks(nl, () => refresh());
  const refresh = (): void => {
    const links = devices.byName();
    const now = readStatuses(host, links);
    const changed = JSON.stringify([...now]) !== JSON.stringify([...statuses]);
    statuses.clear();
    for (const [name, status] of now) statuses.set(name, status);
    writeStates(host, [...statesOf(statuses, idOf), ...beingMade(host, links)], written);
    for (const port of refusedXdp(host.read.failures().map((failure) => failure.ref))) refused.add(port);
    host.publish('ports', autoXdp(host.read.running(portsSchema), links, refused));
    if (changed) for (const listener of listeners) listener();
  };
  const revision = host.onRevision(refresh);
  refresh();
  // A refusal is known only after it was tried; that somebody else wrote into a table, only after a look.
  const again = setInterval(() => {
    auditStates(host, written);
    refresh();
  }, retryMs);
  again.unref();
  return {
    live: {
      statuses: () => statuses,
      counters: (port) => countersOf(host, idOf(port)),
      onChange(listener) {
        listeners.add(listener);
        return { [Symbol.dispose]: () => void listeners.delete(listener) };
      },
    },
    [Symbol.asyncDispose]() {
      clearInterval(again);
      devices[Symbol.dispose]();
      revision[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}

interface Devices extends Disposable {
  byName(): ReadonlyMap<string, Link>;
}

/** The devices as events tell of them: read whole once, and where the kernel dropped events. `changed` comes once for
 * all events of a turn. */
function followLinks(nl: Netlink, changed: () => void): Devices {
  const byIndex = new Map<number, Link>();
  let told = false;
  let closed = false;
  const readAll = (): void => {
    byIndex.clear();
    for (const link of nl.links()) byIndex.set(link.index, link);
  };
  const soon = (): void => {
    if (told) return;
    told = true;
    setImmediate(() => {
      told = false;
      if (!closed) changed();
    });
  };
  const watch = nl.watch(['link'], (event) => {
    if (event.type === 'overrun') readAll();
    else if (event.type !== 'link') return;
    else if (event.gone) byIndex.delete(event.link.index);
    else byIndex.set(event.link.index, event.link);
    soon();
  });
  readAll();
  return {
    byName: () => new Map([...byIndex.values()].map((link) => [link.name, link])),
    [Symbol.dispose]() {
      closed = true;
      watch[Symbol.dispose]();
    },
  };
}

function readStatuses(host: Host, links: ReadonlyMap<string, Link>): Map<string, PortStatus> {
  return new Map(
    Object.entries(host.read.running(portsSchema)).map(([name, port]): [string, PortStatus] => {
      const link = links.get(deviceOf(name, port));
      if (link === undefined) return [name, { state: 'down', why: 'no device', mtu: 0, mac: '' }];
      const seen = { mtu: link.mtu, mac: link.mac };
      if (port.shut) return [name, { state: 'shut', why: 'configured', ...seen }];
      if (!link.up) return [name, { state: 'down', why: 'device is down', ...seen }];
      return [name, link.carrier ? { state: 'up', why: '', ...seen } : { state: 'down', why: 'no link', ...seen }];
    }),
  );
}

/** Of a port by id, as the fast path knows it. */
interface State {
  readonly id: number;
  readonly up: boolean;
  readonly mtu: number;
}

function statesOf(statuses: ReadonlyMap<string, PortStatus>, idOf: (port: string) => number | undefined): State[] {
  return [...statuses].flatMap(([name, { state, mtu }]) => {
    const id = idOf(name);
    return id === undefined ? [] : [{ id, up: state === 'up', mtu }];
  });
}

/** Ports of a revision that is not running yet: its guests start, and use their ports, before it is recorded. */
function beingMade(host: Host, links: ReadonlyMap<string, Link>): State[] {
  const map = host.kernel.datapath?.map('dev');
  const running = host.read.running(portsSchema);
  const known = new Set(Object.entries(running).map(([name, port]) => deviceOf(name, port)));
  return [...links.values()].flatMap(({ name, index, up, carrier, mtu }) => {
    const row = known.has(name) ? undefined : map?.lookup(u32(index));
    if (row === undefined) return [];
    const { kind, id } = decodeDev(row);
    return kind === devKinds.port ? [{ id, up: up && carrier, mtu }] : [];
  });
}

function writeStates(host: Host, states: readonly State[], written: Map<number, Uint8Array>): void {
  const map = host.kernel.datapath?.map('port_state');
  if (map === undefined) return;
  const gone = new Set(written.keys());
  const write = (id: number, flags: number, mtu: number): void => {
    const row = encodePortState({ flags, mtu });
    const before = written.get(id);
    if (before !== undefined && sameBytes(before, row)) return;
    map.update(u32(id), row);
    written.set(id, row);
  };
  for (const { id, up, mtu } of states) {
    gone.delete(id);
    write(id, up ? portStateFlags.up : 0, mtu);
  }
  for (const id of gone) write(id, 0, 0);
}

/** Rows that are not as they were written are written again, and told. */
function auditStates(host: Host, written: ReadonlyMap<number, Uint8Array>): void {
  const map = host.kernel.datapath?.map('port_state');
  if (map === undefined) return;
  for (const [id, row] of written) {
    const there = map.lookup(u32(id));
    if (there !== undefined && sameBytes(there, row)) continue;
    map.update(u32(id), row);
    const ref = rowRef('port_state', host.ids.name('port', id) ?? `#${id}`);
    host.log.info({ ref, action: `put ${ref} (update)` }, 'repaired');
  }
}

const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

function countersOf(host: Host, id: number | undefined): PortCounters | undefined {
  const map = host.kernel.datapath?.map('counters');
  return map === undefined || id === undefined ? undefined : readCounters(map, id);
}
