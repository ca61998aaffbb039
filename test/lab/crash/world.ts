// What a switch has in the world, as others see it: by ip(8), bpffs, cgroups and the processes of the machine, without
// what differs from one life to the next (indexes, ids, pids).
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestSwitch } from '../rig.ts';

/** The same for the same revision, however it came about. */
export async function worldOf(sw: TestSwitch): Promise<Readonly<Record<string, unknown>>> {
  const [links, addresses, routes, rules] = await Promise.all([
    ip(sw, 'link'),
    ip(sw, 'addr'),
    ip(sw, 'route', 'show', 'table', 'all'),
    ip(sw, 'rule'),
  ]);
  return {
    links: links.map(({ ifname, mtu, flags, address, ifalias }) => [
      ifname,
      mtu,
      (flags as string[]).filter((flag) => flag === 'UP').length,
      // Others get one by chance.
      /^vlan\d+$/.test(text(ifname)) ? address : '',
      text(ifalias).replace(/#.*/, ''),
    ]),
    addresses: addresses.flatMap(({ ifname, addr_info }) =>
      (addr_info as Row[]).flatMap(({ local, prefixlen, scope }) =>
        scope === 'link' ? [] : [`${ifname as string} ${local as string}/${prefixlen as number}`],
      ),
    ),
    routes: routes.flatMap(({ dst, type = 'unicast', dev, gateway, protocol, table = 'main' }) =>
      protocol === 'kernel' || protocol === 'ra' ? [] : [[dst, type, dev, gateway, protocol, table].join(' ')],
    ),
    rules: rules.map(({ priority, fwmark, table }) => [priority, fwmark, table].join(' ')),
    settings: await settings(sw, links),
    namespaces: entries('/run/netns').filter((name) => name.startsWith(`mp-${sw.instance}-`)),
    pinned: entries(`/sys/fs/bpf/midplane/${sw.instance}/links`).length,
    processes: processes(sw),
    cgroups: ['memory', 'unified', ''].flatMap((tree) =>
      entries(join('/sys/fs/cgroup', tree, 'midplane', sw.instance)).filter((name) => !name.includes('.')),
    ),
  };
}

type Row = Readonly<Record<string, unknown>>;

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

async function ip(sw: TestSwitch, ...what: readonly string[]): Promise<readonly Row[]> {
  const both = await Promise.all([sw.on('switch', 'ip', '-d', '-j', ...what), six(sw, what)]);
  return both.flatMap(({ stdout }) => (stdout.trim() === '' ? [] : (JSON.parse(stdout) as Row[]))).toSorted(byText);
}

/** Links and addresses are the same for both families. */
const six = (sw: TestSwitch, what: readonly string[]) =>
  what[0] === 'link' || what[0] === 'addr' ? { stdout: '' } : sw.on('switch', 'ip', '-6', '-d', '-j', ...what);

const keyOf = (row: Row): string => JSON.stringify([row['ifname'], row['dst'], row['priority'], row['table'], row]);
const byText = (a: Row, b: Row): number => (keyOf(a) < keyOf(b) ? -1 : 1);

/** What the switch sets of each device, read as its namespace has it. */
async function settings(sw: TestSwitch, links: readonly Row[]): Promise<string> {
  const keys = links.flatMap(({ ifname }) => [
    `net.ipv6.conf.${ifname as string}.disable_ipv6`,
    `net.ipv4.conf.${ifname as string}.arp_ignore`,
    `net.ipv4.conf.${ifname as string}.forwarding`,
  ]);
  return (await sw.on('switch', 'sysctl', '-e', ...keys)).stdout;
}

/** How many there are of each program that works for the instance, apart from the daemon and the podman service, which
 * stays once it is needed. */
function processes(sw: TestSwitch): Readonly<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const pid of entries('/proc').filter((name) => /^\d+$/.test(name))) {
    if (Number(pid) === sw.pid() || Number(pid) === process.pid) continue;
    const command = read(`/proc/${pid}/cmdline`);
    const belongs = `${command}${read(`/proc/${pid}/cgroup`)}`.includes(sw.instance);
    if (!belongs || command === '' || /^(nsenter|tcpdump|ip|strace|podman)\0/.test(command)) continue;
    const name = read(`/proc/${pid}/comm`).trim();
    found[name] = (found[name] ?? 0) + 1;
  }
  return Object.fromEntries(Object.entries(found).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder).toSorted();
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
