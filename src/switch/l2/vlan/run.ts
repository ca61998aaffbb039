// An SVI is up while its VLAN has a port up, and the fast path knows the switch's own addresses.
import { encodeLocal, encodeLocalKey } from '../../../kernel/abi.ts';
import type { Host } from '../../../engine/slice.ts';
import type { Resource } from '../../../engine/resource.ts';
import { parsePrefix } from '../../../lib/prefix.ts';
import { membershipOf, type PortsLive, portsSchema } from '../../l1/port/schema.ts';
import { idOfEntry, sviPortName, vlansSchema } from './schema.ts';

export function runVlans(host: Host): AsyncDisposable {
  const ports = host.read.live<PortsLive>('ports');
  const publish = (): void => host.publish('vlans', sviStates(host, ports));
  const addresses = followAddresses(host);
  const watches = [host.onRevision(publish), ports?.onChange(publish)];
  publish();
  return {
    [Symbol.asyncDispose]() {
      for (const watch of watches) watch?.[Symbol.dispose]();
      addresses[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}

/** The far end of each SVI: up where a port of its VLAN is, so that the kernel sees the carrier go and come. */
function sviStates(host: Host, ports: PortsLive | undefined): readonly Resource[] {
  const vlans = host.read.running(vlansSchema);
  const up = new Set<number>();
  for (const [name, port] of Object.entries(host.read.running(portsSchema))) {
    if (ports?.statuses().get(name)?.state !== 'up') continue;
    for (const id of membershipOf(vlans, port).vlans) up.add(id);
  }
  return Object.entries(vlans).flatMap(([name, vlan]) => {
    const id = idOfEntry(name, vlan);
    if (id === undefined || vlan.address.length === 0) return [];
    const far = sviPortName(id);
    return [
      { ref: `admin/${far}` as const, owner: 'vlans', spec: { up: up.has(id) }, needs: [`link/${far}@tcx-ingress`] },
    ];
  });
}

/** Keeps map `local` at the addresses that the kernel has, whoever gave them. */
function followAddresses(host: Host): Disposable {
  const map = host.kernel.datapath?.map('local');
  const nl = host.kernel.netlink();
  if (map === undefined) return { [Symbol.dispose]: () => undefined };
  const refresh = (): void => {
    const wanted = new Map<string, Uint8Array>();
    for (const { cidr } of nl.addresses()) {
      const key = localKey(cidr);
      if (key !== undefined) wanted.set(Buffer.from(key).toString('hex'), key);
    }
    const { count, keys } = map.dump();
    const there = new Set<string>();
    for (let i = 0; i < count; i += 1) there.add(Buffer.from(keys.subarray(i * 16, i * 16 + 16)).toString('hex'));
    for (const [hex, key] of wanted) if (!there.has(hex)) map.update(key, encodeLocal({ count: 1 }));
    for (const hex of there) if (!wanted.has(hex)) map.delete(Buffer.from(hex, 'hex'));
  };
  refresh();
  return nl.watch(['address'], refresh);
}

/** IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2). */
function localKey(cidr: string): Uint8Array | undefined {
  const ip = parsePrefix(cidr)?.ip;
  if (ip === undefined) return undefined;
  const bytes = new Uint8Array(16);
  if (ip.family === 4) bytes.set([0xff, 0xff, ...ip.bytes], 10);
  else bytes.set(ip.bytes);
  return encodeLocalKey({ addr: bytes });
}
