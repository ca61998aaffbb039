// What the switch is measured against, made of the kernel's own parts: a bridge, a router, and the wires to them.
import { run } from '../../src/lab/process.ts';
import { kernel } from '../lab/rig.ts';

/** Veth pairs from one namespace to another, all ends up; the far ends are "<port>-far". */
export interface Wires extends Disposable {
  readonly netns: string;
  readonly farNetns: string;
}

export function openWires(name: string, ports: readonly string[]): Wires {
  using stack = new DisposableStack();
  const [netns, farNetns] = [name, `${name}-far`];
  for (const each of [netns, farNetns]) {
    kernel.netns.add(each);
    stack.defer(() => kernel.netns.remove(each));
    // Nobody speaks here by itself.
    kernel.sysctl.write('net/ipv6/conf/default/disable_ipv6', '1', each);
  }
  const nl = kernel.netlink(netns);
  const far = kernel.netlink(farNetns);
  nl.apply(ports.map((port) => ({ op: 'link-add-veth', name: port, peer: `${port}-far`, peerNetns: farNetns })));
  nl.apply(ports.map((port) => ({ op: 'link-set', name: port, up: true })));
  far.apply(ports.map((port) => ({ op: 'link-set', name: `${port}-far`, up: true })));
  nl.close();
  far.close();
  const kept = stack.move();
  return { netns, farNetns, [Symbol.dispose]: () => kept.dispose() };
}

/** A new namespace has bridge-nf-call-* on, which sends every frame through netfilter. */
export async function makeBridge(netns: string, ports: readonly string[]): Promise<void> {
  for (const family of ['iptables', 'ip6tables', 'arptables']) {
    kernel.sysctl.write(`net/bridge/bridge-nf-call-${family}`, '0', netns);
  }
  await must(netns, ['ip', 'link', 'add', 'br0', 'up', 'type', 'bridge', 'mcast_snooping', '0']);
  for (const port of ports) await must(netns, ['ip', 'link', 'set', port, 'master', 'br0', 'up']);
}

/** Forwards IPv4 between ports with these addresses, and looks at nothing that it need not. */
export async function makeRouter(netns: string, addresses: Readonly<Record<string, string>>): Promise<void> {
  kernel.sysctl.write('net/ipv4/ip_forward', '1', netns);
  kernel.sysctl.write('net/ipv4/ip_early_demux', '0', netns);
  for (const [port, address] of Object.entries(addresses)) {
    for (const name of ['all', port]) kernel.sysctl.write(`net/ipv4/conf/${name}/rp_filter`, '0', netns);
    await must(netns, ['ip', 'address', 'add', address, 'dev', port]);
  }
}

export interface RouteSet {
  /** All of this is taken away first. */
  readonly flush: string;
  readonly prefixes: readonly string[];
  readonly via: string;
}

/** Exactly these routes of the family below `flush`. */
export async function setRoutes(netns: string, family: 4 | 6, set: RouteSet): Promise<void> {
  await run(netns, ['ip', `-${family}`, 'route', 'flush', 'root', set.flush]);
  const lines = set.prefixes.map((prefix) => `route add ${prefix} via ${set.via}\n`);
  await must(netns, ['ip', `-${family}`, '-batch', '-'], lines.join(''));
}

export async function must(netns: string, command: readonly string[], input?: string): Promise<void> {
  const { code, stderr } = await run(netns, command, input === undefined ? {} : { input });
  if (code !== 0) throw new Error(`${command.join(' ')}: ${stderr.slice(0, 500)}`);
}
