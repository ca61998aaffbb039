// show ports, show ports NAME, monitor ports
import { z } from 'zod';
import type { Ref } from '../../../engine/resource.ts';
import { type AnyCommand, command, type Read } from '../../../engine/slice.ts';
import { dropReasons } from '../../../kernel/abi.ts';
import type { PortCounters } from '../../../kernel/counters.ts';
import { bytes, keyValues, rate, table } from '../../../lib/table.ts';
import { vlansSchema } from '../../l2/vlan/schema.ts';
import { membershipOf, type Port, type PortsLive, portsSchema } from './schema.ts';

const portData = z.object({
  name: z.string(),
  state: z.enum(['up', 'down', 'shut']),
  why: z.string(),
  mode: z.enum(['access', 'trunk', 'routed', 'none']),
  vlan: z.string(),
  mtu: z.number(),
  mac: z.string(),
  device: z.string(),
  datapath: z.enum(['xdp', 'tcx']),
  guest: z.string(),
  description: z.string(),
  rxPackets: z.number(),
  rxBytes: z.number(),
  txPackets: z.number(),
  txBytes: z.number(),
  drops: z.number(),
});

type PortData = z.infer<typeof portData>;

function modeOf(port: Port): PortData['mode'] {
  if (port.address !== undefined) return 'routed';
  if (port.vlan === undefined) return 'none';
  return 'access' in port.vlan ? 'access' : 'trunk';
}

/** "10", "10,20-29 native 1", or the addresses of a routed port. */
function vlanText(read: Read, port: Port): string {
  if (port.address !== undefined) return port.address.join(' ');
  const member = membershipOf(read.running(vlansSchema), port);
  const list = ranges(member.vlans.filter((id) => id !== member.untagged || member.access));
  return member.access || member.untagged === undefined ? list : `${list} native ${member.untagged}`;
}

function ranges(ids: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < ids.length;) {
    let end = i;
    while (ids[end + 1] === (ids[end] ?? 0) + 1) end += 1;
    parts.push(end > i ? `${ids[i]}-${ids[end]}` : String(ids[i]));
    i = end + 1;
  }
  return parts.join(',');
}

export function dropsOf(counters: PortCounters | undefined): number {
  return Number((counters?.drop ?? []).reduce((sum, n) => sum + n, 0n));
}

function portRow(read: Read, name: string, port: Port, xdp: boolean): PortData {
  const live = read.live<PortsLive>('ports');
  const status = live?.statuses().get(name) ?? { state: 'down', why: 'not known yet', mtu: 0, mac: '' };
  const counters = live?.counters(name);
  return {
    name,
    state: status.state,
    why: status.why,
    datapath: xdp ? 'xdp' : 'tcx',
    mode: modeOf(port),
    vlan: vlanText(read, port),
    mtu: status.mtu,
    mac: status.mac,
    device: port.device ?? name,
    guest: port.guest ?? '',
    description: port.description ?? '',
    rxPackets: Number(counters?.rx ?? 0n),
    rxBytes: Number(counters?.rxBytes ?? 0n),
    txPackets: Number(counters?.tx ?? 0n),
    txBytes: Number(counters?.txBytes ?? 0n),
    drops: dropsOf(counters),
  };
}

function portRows(read: Read, name: string | undefined): PortData[] {
  const desired = read.desired();
  const failed = new Set(read.failures().map((failure) => failure.ref));
  const hasXdp = (hook: Ref): boolean => desired.has(hook) && !failed.has(hook);
  return Object.entries(read.running(portsSchema))
    .filter(([key]) => name === undefined || key === name)
    .map(([key, port]) => portRow(read, key, port, hasXdp(`link/${key}@xdp`)));
}

const stateText = (row: PortData): string =>
  row.why === '' || row.state === 'shut' ? row.state : `${row.state}: ${row.why}`;

function renderTable(rows: readonly PortData[], columns: number): string {
  return table(
    [
      { title: 'Port' },
      { title: 'State', flex: true },
      { title: 'Mode' },
      { title: 'VLAN', flex: true },
      { title: 'MTU', align: 'right' },
      { title: 'RX', align: 'right' },
      { title: 'TX', align: 'right' },
      { title: 'Drops', align: 'right' },
    ],
    rows.map((row) => [
      row.name,
      stateText(row),
      row.mode,
      row.vlan,
      String(row.mtu),
      bytes(row.rxBytes),
      bytes(row.txBytes),
      String(row.drops),
    ]),
    columns,
  );
}

function renderOne(row: PortData): string {
  return keyValues([
    ['Port', row.name],
    ['State', stateText(row)],
    ['Mode', row.mode],
    ['VLAN', row.vlan],
    ['MTU', String(row.mtu)],
    ['MAC address', row.mac],
    ['Device', row.device],
    ['Datapath', row.datapath],
    ['Guest', row.guest],
    ['Description', row.description],
    ['Received', `${row.rxPackets} packets, ${bytes(row.rxBytes)}`],
    ['Sent', `${row.txPackets} packets, ${bytes(row.txBytes)}`],
    ['Dropped', `${row.drops} packets`],
  ]);
}

const names = (read: Read): string[] => Object.keys(read.running(portsSchema));
const name = z.string().optional().meta({ description: 'name of a port' });

const showPorts = command({
  path: 'show ports',
  help: 'ports, their state, VLANs and traffic',
  example: 'show ports swp1',
  role: 'viewer',
  args: z.object({ name }),
  data: z.array(portData),
  run: (args, read) => Promise.resolve(portRows(read, args.name)),
  render: (rows, columns) =>
    rows.length === 1 && rows[0] !== undefined ? renderOne(rows[0]) : renderTable(rows, columns),
  complete: (_arg, read) => names(read),
});

const counterData = z.array(
  z.object({
    port: z.string(),
    counters: z.record(z.string(), z.number()),
    drops: z.record(z.string(), z.number()),
  }),
);

function countersOf(read: Read, port: string): z.infer<typeof counterData>[number] {
  const all = read.live<PortsLive>('ports')?.counters(port);
  const counters: Record<string, number> = {};
  for (const [key, value] of Object.entries(all ?? {})) if (typeof value === 'bigint') counters[key] = Number(value);
  const drops = Object.entries(dropReasons).map(([reason, i]) => [reason, Number(all?.drop[i] ?? 0n)] as const);
  return { port, counters, drops: Object.fromEntries(drops.filter(([, n]) => n > 0)) };
}

const showCounters = command({
  path: 'show counters',
  help: 'every counter of a port',
  example: 'show counters swp1',
  role: 'viewer',
  args: z.object({ name }),
  data: counterData,
  run: (args, read) =>
    Promise.resolve(
      names(read)
        .filter((port) => args.name === undefined || port === args.name)
        .map((port) => countersOf(read, port)),
    ),
  render: (rows, columns) =>
    table(
      [{ title: 'Port' }, { title: 'Counter' }, { title: 'Value', align: 'right' }],
      rows.flatMap((row) =>
        [...Object.entries(row.counters), ...Object.entries(row.drops).map(([k, v]) => [`drop ${k}`, v] as const)]
          .filter(([, value]) => value > 0)
          .map(([key, value]) => [row.port, key, String(value)]),
      ),
      columns,
    ),
  complete: (_arg, read) => names(read),
});

const rateData = z.array(
  z.object({ port: z.string(), rxPps: z.number(), rxBps: z.number(), txPps: z.number(), txBps: z.number() }),
);

async function* watchRates(read: Read, signal: AbortSignal): AsyncIterable<z.infer<typeof rateData>> {
  let before = new Map<string, PortData>();
  while (!signal.aborted) {
    const now = portRows(read, undefined);
    const last = before;
    yield now.map((row) => {
      const old = last.get(row.name) ?? row;
      return {
        port: row.name,
        rxPps: row.rxPackets - old.rxPackets,
        rxBps: (row.rxBytes - old.rxBytes) * 8,
        txPps: row.txPackets - old.txPackets,
        txBps: (row.txBytes - old.txBytes) * 8,
      };
    });
    before = new Map(now.map((row) => [row.name, row]));
    await new Promise<void>((done) => {
      const timer = setTimeout(done, 1000);
      signal.addEventListener('abort', () => (clearTimeout(timer), done()), { once: true });
    });
  }
}

const monitorPorts = command({
  path: 'monitor ports',
  help: 'live rates of all ports, until a key is pressed',
  role: 'viewer',
  args: z.object({}),
  data: rateData,
  run: (_args, read, signal) => watchRates(read, signal),
  render: (rows, columns) =>
    table(
      [
        { title: 'Port' },
        { title: 'RX packets/s', align: 'right' },
        { title: 'RX', align: 'right' },
        { title: 'TX packets/s', align: 'right' },
        { title: 'TX', align: 'right' },
      ],
      rows.map((row) => [row.port, String(row.rxPps), rate(row.rxBps), String(row.txPps), rate(row.txBps)]),
      columns,
    ),
});

export const portCommands: readonly AnyCommand[] = [showPorts, showCounters, monitorPorts];
