// Where frames can get lost on a machine, by name: read while a load runs, so that each missing number can be laid at
// somebody's door.
import { readFileSync } from 'node:fs';
import { dropReasons } from '../../../src/kernel/abi.ts';
import { readCounters } from '../../../src/kernel/counters.ts';
import { inNetns } from '../../../src/kernel/netns.ts';
import { kernel, type TestSwitch } from '../rig.ts';

/** How many were dropped under this name between two looks; times are CLOCK_MONOTONIC, ns. */
export interface Drop {
  readonly name: string;
  readonly count: number;
  readonly fromNs: number;
  readonly toNs: number;
}

/** A run of missing numbers, and when its neighbours were sent. `afterNs` 0: the flow began with it. */
export interface Gap {
  readonly flow: string;
  readonly from: number;
  readonly to: number;
  readonly count: number;
  readonly afterNs: number;
  readonly beforeNs: number;
}

/** A frame may be dropped some time after it was sent, and is seen to be at the next look. */
const slackNs = 300e6;

/** A line for each gap: the drops of its time that it matches, most telling first, each counted once. */
export function explain(gaps: readonly Gap[], drops: readonly Drop[]): string[] {
  const left = drops.map((drop) => ({ ...drop }));
  return gaps.map((gap) => {
    const names = new Map<string, number>();
    let open = gap.count;
    for (const drop of left) {
      if (open === 0) break;
      if (drop.toNs < gap.afterNs || drop.fromNs > gap.beforeNs + slackNs) continue;
      const taken = Math.min(open, drop.count);
      drop.count -= taken;
      open -= taken;
      if (taken > 0) names.set(drop.name, (names.get(drop.name) ?? 0) + taken);
    }
    if (open > 0) names.set('unexplained', open);
    const why = [...names].map(([name, count]) => `${count} ${name}`).join(', ');
    return `${gap.flow}: ${gap.count} missing (${gap.from} to ${gap.to}): ${why}`;
  });
}

export interface DropRecord {
  /** What moved, the switch's own counters first. */
  end(): readonly Drop[];
}

const lookMs = 250;

/** Looks at all counters now and then until it is ended. */
export function recordDrops(sw: TestSwitch): DropRecord {
  const found: Drop[] = [];
  let before = readDrops(sw);
  let fromNs = now();
  const look = (): void => {
    const after = readDrops(sw);
    const toNs = now();
    for (const [name, value] of after) {
      const was = before.get(name) ?? 0;
      // A table that was changed begins anew.
      const count = value >= was ? value - was : value;
      if (count > 0) found.push({ name, count, fromNs, toNs });
    }
    before = after;
    fromNs = toNs;
  };
  const timer = setInterval(look, lookMs);
  return {
    end() {
      clearInterval(timer);
      look();
      const rank = new Map([...before.keys()].map((name, i) => [name, i]));
      return found.toSorted((a, b) => (rank.get(a.name) ?? 0) - (rank.get(b.name) ?? 0));
    },
  };
}

const now = (): number => Number(process.hrtime.bigint());

/** Whether a drop is that of a queue of this machine, and says nothing of the switch. */
export const isOfTheMachine = ({ name }: Drop): boolean => name.startsWith('backlog ') || name.includes(' socket ');

function readDrops(sw: TestSwitch): ReadonlyMap<string, number> {
  const namespaces = [['switch', sw.lab.switchNetns], ...sw.hosts.map((host) => [host, sw.lab.netnsOf(host)])] as const;
  return new Map([
    ...ofPorts(sw),
    ...namespaces.flatMap(([name = '', netns = '']) => ofStack(name, netns)),
    ...ofBacklog(),
    ...namespaces.flatMap(([name = '', netns = '']) => ofDevices(name, netns)),
  ]);
}

function ofPorts(sw: TestSwitch): [string, number][] {
  const folder = `/sys/fs/bpf/midplane/${sw.instance}/maps`;
  const pin = kernel.bpf.pins(folder).find((name) => name.startsWith('counters@'));
  using map = pin === undefined ? undefined : kernel.bpf.openMap(`${folder}/${pin}`);
  if (map === undefined) return [];
  return Object.entries({ none: 0, ...sw.portIds() }).flatMap(([port, id]): [string, number][] => {
    const { drop } = readCounters(map, id);
    return Object.entries(dropReasons).map(([reason, i]) => [`${port} ${reason}`, Number(drop[i] ?? 0n)]);
  });
}

const stackCounters: Readonly<Record<string, readonly string[]>> = {
  Ip: ['InHdrErrors', 'InAddrErrors', 'InDiscards', 'OutDiscards', 'OutNoRoutes'],
  Udp: ['NoPorts', 'InErrors', 'RcvbufErrors', 'SndbufErrors', 'InCsumErrors'],
};

/** /proc/net/snmp: a line of names, a line of values. */
function ofStack(name: string, netns: string): [string, number][] {
  const lines = inNetns(netns, () => readFileSync('/proc/thread-self/net/snmp', 'utf8')).split('\n');
  return Object.entries(stackCounters).flatMap(([group, wanted]) => {
    const [names = [], values = []] = lines
      .filter((line) => line.startsWith(`${group}: `))
      .map((line) => line.split(' '));
    return wanted.map((key): [string, number] => {
      const what = group === 'Udp' && key === 'RcvbufErrors' ? 'socket RcvbufErrors' : `${group}${key}`;
      return [`${name} ${what}`, Number(values[names.indexOf(key)] ?? 0)];
    });
  });
}

/** /proc/net/softnet_stat, of the whole machine: the second column of each CPU. */
function ofBacklog(): [string, number][] {
  const lines = readFileSync('/proc/net/softnet_stat', 'utf8').trim().split('\n');
  return lines.map((line, cpu) => [`backlog of CPU ${cpu}`, Number.parseInt(line.split(/\s+/)[1] ?? '0', 16)]);
}

function ofDevices(name: string, netns: string): [string, number][] {
  const nl = kernel.netlink(netns);
  try {
    return nl.links().flatMap((link): [string, number][] => [
      [`${name} ${link.name} rx_dropped`, link.stats.rxDropped],
      [`${name} ${link.name} tx_dropped`, link.stats.txDropped],
    ]);
  } finally {
    nl.close();
  }
}
