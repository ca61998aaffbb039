// How a guest is plugged in: its namespace, a veth whose far end is eth0 inside, addresses and routes there, and the
// entries that it makes in `ports` and `services`. Pure.
import { createHash } from 'node:crypto';
import type { Problem } from '../config/problem.ts';
import type { Ref, Resource } from '../engine/resource.ts';
import type { Derived, Look } from '../engine/slice.ts';
import { parseIp, printIp } from '../lib/ip.ts';
import { printMac } from '../lib/mac.ts';
import { contains, parsePrefix } from '../lib/prefix.ts';
import { checkMembership, type GuestPort, portOfGuest } from '../switch/l1/port/schema.ts';
import { idOfEntry, resolveVlan, type VlanRef, vlansSchema } from '../switch/l2/vlan/schema.ts';
import { guestnetRef } from './guestnet.ts';
import { guestNetns, netnsRef } from './netns.ts';
import type { Guest } from './schema.ts';

/** The MAC address of a guest's eth0: the same for as long as the switch's own is, unlike that of any other guest. */
export function macOfGuest(baseMac: string, guest: string): string {
  const bytes = createHash('sha256').update(`${baseMac} ${guest}`).digest().subarray(0, 6);
  // Locally administered, one station (IEEE 802-2014 section 8.4).
  bytes[0] = 0x02;
  return printMac(bytes);
}

/** The VLAN in which the guest's untagged frames are: that of an access port, or the native one of a trunk. */
function untagged(port: GuestPort): VlanRef | undefined {
  const { vlan } = port;
  if (typeof vlan !== 'object') return vlan;
  return 'access' in vlan ? vlan.access : vlan.native;
}

/** Next hops of the guest's default routes: its own, else the SVI's addresses in the same subnets, one a family. */
export function gatewaysOf(guest: Pick<Guest, 'port' | 'address' | 'gateway'>, look: Look): readonly string[] {
  if (guest.gateway !== undefined) return guest.gateway;
  const vlans = look(vlansSchema);
  const ref = untagged(guest.port);
  const id = ref === undefined ? undefined : resolveVlan(vlans, ref);
  if (id === undefined) return [];
  const svi = Object.entries(vlans).flatMap(([name, vlan]) => (idOfEntry(name, vlan) === id ? vlan.address : []));
  const ips = svi.flatMap((cidr) => parsePrefix(cidr)?.ip ?? []);
  const subnets = guest.address.flatMap((cidr) => parsePrefix(cidr) ?? []);
  const near = ips.filter((ip) => subnets.some((subnet) => contains(subnet, ip)));
  return ([4, 6] as const).flatMap((family) => {
    const first = near.find((ip) => ip.family === family);
    return first === undefined ? [] : [printIp(first)];
  });
}

/** Address of the guest that others reach it by: its first IPv4 one, else its first. */
export function mainAddress(guest: Pick<Guest, 'address'>): string | undefined {
  const list = guest.address.map((cidr) => cidr.split('/')[0] ?? '');
  return list.find((ip) => !ip.includes(':')) ?? list[0];
}

/** Where a guest's process is put, and what must be there before it starts. */
export interface Attachment {
  readonly netns: string;
  readonly gateways: readonly string[];
  readonly dns: readonly string[];
  readonly resources: readonly Resource[];
  /** Needs of the resource that runs. */
  readonly needs: readonly Ref[];
}

/** The resources of a guest that runs on the switch's own kernel. `owner` is its slice. */
export function attachGuest(owner: string, name: string, guest: Guest, look: Look): Attachment {
  const netns = netnsRef(look.instance, name);
  const netdev: Ref = `netdev/${name}`;
  const gateways = gatewaysOf(guest, look);
  const { mtu } = guest.port;
  const veth = {
    type: 'veth',
    peer: 'eth0',
    peerNetns: guestNetns(look.instance, name),
    peerMac: macOfGuest(look.baseMac, name),
    ...(mtu === undefined ? {} : { mtu }),
  };
  const net = { address: guest.address, gateway: gateways };
  return {
    netns: guestNetns(look.instance, name),
    gateways,
    dns: guest.dns ?? gateways,
    resources: [
      { ref: netns, owner, spec: {}, needs: [] },
      { ref: netdev, owner, spec: veth, needs: [netns] },
      { ref: guestnetRef(name), owner, spec: net, needs: [netns, netdev] },
    ],
    // The port is up last, with all its policy: no guest starts before that.
    needs: [netns, guestnetRef(name), `admin/${name}`],
  };
}

/** Entries of all guests of a slice in `ports` and `services`. `bridged`: frames are not given to the far end's
 * namespace directly (a tap, or a guest that forwards for others). */
export function deriveGuests(guests: Readonly<Record<string, Guest>>, bridged: boolean): Derived {
  const ports: Record<string, unknown> = {};
  const endpoints = new Map<string, Record<string, unknown>>();
  for (const [name, guest] of Object.entries(guests)) {
    ports[name] = portOfGuest(name, guest.port, bridged);
    const address = mainAddress(guest);
    if (guest.service === undefined || address === undefined) continue;
    const { name: service, port, labels } = guest.service;
    const own = endpoints.get(service) ?? {};
    endpoints.set(service, { ...own, [name]: { address, port, labels, guest: name } });
  }
  if (endpoints.size === 0) return { ports };
  return { ports, services: Object.fromEntries([...endpoints].map(([name, own]) => [name, { endpoints: own }])) };
}

/** Rules that hold for every guest. `owner` is the section's key. */
export function checkGuest(owner: string, name: string, guest: Guest, look: Look): readonly Problem[] {
  const at = (...path: (string | number)[]) => [owner, name, ...path];
  const problems: Problem[] = [...checkMembership(look, guest.port.vlan, at('port', 'vlan'))];
  const subnets = guest.address.flatMap((cidr) => parsePrefix(cidr) ?? []);
  for (const [i, text] of (guest.gateway ?? []).entries()) {
    const ip = parseIp(text);
    if (ip === undefined) continue;
    const near = subnets.some((subnet) => contains(subnet, ip));
    if (!near) problems.push(look.problem(at('gateway', i), `${text} is on no subnet of the guest`));
    const twice = guest.gateway?.slice(0, i).some((other) => parseIp(other)?.family === ip.family);
    if (twice) problems.push(look.problem(at('gateway', i), 'a second default route of the same family'));
  }
  if (guest.address.length > 0) return problems;
  if (guest.service !== undefined) {
    problems.push(look.problem(at('service'), 'a guest without an address answers for no service'));
  }
  if (guest.health !== undefined) {
    problems.push(look.problem(at('health'), 'a guest without an address cannot be checked'));
  }
  return problems;
}
