// What must always add up (contract E): per ingress port rx + own = handed + up + punt + drops; and per egress port the
// skbs that we say we sent are those that the host's device says it got.
import assert from 'node:assert/strict';
import { decodePort, portModes } from '../../src/kernel/abi.ts';
import { u32 } from '../../src/lib/bytes.ts';
import { mapVersions } from '../../src/kernel/datapath.ts';
import { type PortCounters, readCounters } from '../../src/kernel/counters.ts';
import { kernel, type TestSwitch } from './rig.ts';

/** Counters of a port id, from the pinned map, whether the daemon lives or not. */
export function countersOf(instance: string, id: number): PortCounters {
  using map = kernel.bpf.openMap(`/sys/fs/bpf/midplane/${instance}/maps/counters@v${mapVersions.counters}`);
  assert.ok(map, 'the counters are pinned');
  return readCounters(map, id);
}

/** Fails where a term does not add up. Frames may be in flight: looks again for a short while. */
export async function checkInvariant(sw: TestSwitch): Promise<void> {
  let wrong: readonly string[] = [];
  for (let i = 0; i < 40; i += 1) {
    wrong = [...unbalanced(sw), ...unequal(sw), ...(await unseen(sw))];
    if (wrong.length === 0) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  assert.fail(`counters do not add up:\n${wrong.join('\n')}`);
}

function unbalanced(sw: TestSwitch): readonly string[] {
  return Object.entries(sw.portIds()).flatMap(([name, id]) => {
    const c = countersOf(sw.instance, id);
    const dropped = c.drop.reduce((sum, n) => sum + n, 0n);
    const [came, went] = [c.rx + c.own, c.handed + c.up + c.punt + dropped];
    return came === went
      ? []
      : [`${name}: rx ${c.rx} + own ${c.own} != handed ${c.handed} + up ${c.up} + drops ${dropped}`];
  });
}

function unequal(sw: TestSwitch): readonly string[] {
  const ids = sw.portIds();
  return sw.hosts.flatMap((host) => {
    const port = sw.portOf(host);
    const id = ids[port];
    if (id === undefined) return [];
    const nl = kernel.netlink(sw.lab.netnsOf(host));
    try {
      const got = nl.link('eth0')?.stats.rxPackets ?? -1;
      const sent = Number(countersOf(sw.instance, id).txSkbs);
      return got === sent ? [] : [`${host}: eth0 got ${got} frames, port ${port} sent ${sent}`];
    } finally {
      nl.close();
    }
  });
}

/** What went up to SVIs is what the stack says it got: IPv4, IPv6 and ARP. Routed ports hand up by themselves, so a
 * switch that has one is not compared. */
async function unseen(sw: TestSwitch): Promise<readonly string[]> {
  const ids = sw.portIds();
  let up = 0n;
  for (const [name, id] of Object.entries(ids)) {
    if (name.endsWith('-bd')) continue;
    const c = countersOf(sw.instance, id);
    if (isRouted(sw.instance, id)) return [];
    up += c.upSkbs + c.copiesUpSkbs;
  }
  const { stdout } = await sw.on('switch', 'cat', '/proc/net/snmp', '/proc/net/snmp6', '/proc/net/dev');
  const [head = '', row = ''] = stdout.split('\n').filter((line) => line.startsWith('Ip:'));
  const ip4 = Number(row.split(' ')[head.split(' ').indexOf('InReceives')]);
  const ip6 = Number(/^Ip6InReceives\s+(\d+)/m.exec(stdout)?.[1]);
  const loopback = Number(/^\s*lo:\s*\d+\s+(\d+)/m.exec(stdout)?.[1]);
  const arp = await sw.arpSeen();
  if (arp === undefined) return [];
  const got = ip4 + ip6 + arp - loopback;
  return Number(up) === got ? [] : [`${up} frames went up, the stack got ${ip4} + ${ip6} + ${arp} ARP - ${loopback}`];
}

function isRouted(instance: string, id: number): boolean {
  using map = kernel.bpf.openMap(`/sys/fs/bpf/midplane/${instance}/maps/port@v${mapVersions.port}`);
  const row = map?.lookup(u32(id));
  return row !== undefined && decodePort(row).mode === portModes.routed;
}
