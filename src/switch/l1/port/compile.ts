// A port is: its device, marked; settings that keep the stack off it; its rows; the program on its hook; and last, up.
import { addressRef } from '../../../engine/kinds/address.ts';
import { linkRef } from '../../../engine/kinds/link.ts';
import { rowRef } from '../../../engine/kinds/row.ts';
import type { Ref, Resource } from '../../../engine/resource.ts';
import type { Look } from '../../../engine/slice.ts';
import { vlansSchema } from '../../l2/vlan/schema.ts';
import { deviceOf, type Membership, membershipOf, type Port, type Ports } from './schema.ts';
import type { DevRow, FloodRow, PortRow, PortVlanRow } from './tables.ts';

const owner = 'ports';

/** All resources of the section. */
export function compilePorts(ports: Ports, look: Look): readonly Resource[] {
  const vlans = look(vlansSchema);
  const members = new Map(Object.entries(ports).map(([name, port]) => [name, membershipOf(vlans, port)]));
  const own = Object.entries(ports).flatMap(([name, port]) =>
    compilePort(name, port, members.get(name) ?? { vlans: [], untagged: undefined, access: false }),
  );
  return [...own, ...compileFlood(members)];
}

function compilePort(name: string, port: Port, member: Membership): readonly Resource[] {
  const device = deviceOf(name, port);
  const netdev: Ref = `netdev/${device}`;
  const routed = port.address !== undefined;
  const egress = linkRef({ port: name, hook: 'tcx-egress' });
  const settings = sysctls(device, routed ? [netdev, egress] : [netdev], routed);
  const rows = rowsOf(name, device, port, member, netdev);
  const ready = [...settings, ...rows].map((resource) => resource.ref);
  const hooks: Resource[] = hooksOf(port, routed).map((hook) => ({
    ref: linkRef({ port: name, hook }),
    owner,
    spec: { port: name, device, hook },
    needs: [netdev, ...rows.map((row) => row.ref)],
  }));
  const admin: Resource = {
    ref: `admin/${device}`,
    owner,
    spec: { up: !port.shut },
    needs: [netdev, ...ready, ...hooks.map((hook) => hook.ref)],
  };
  const addresses: Resource[] = (port.address ?? []).map((cidr) => ({
    ref: addressRef({ dev: device, cidr }),
    owner,
    spec: { dev: device, cidr },
    needs: [netdev, ...settings.map((setting) => setting.ref)],
  }));
  return [...netdevOf(device, port), ...settings, ...rows, ...hooks, ...addresses, admin];
}

/** A guest's device is made by the guest's own section. */
function netdevOf(device: string, port: Port): readonly Resource[] {
  if (port.guest !== undefined) return [];
  const spec = { type: 'external', ...(port.mtu === undefined ? {} : { mtu: port.mtu }) };
  return [{ ref: `netdev/${device}`, owner, spec, needs: [] }];
}

/** The stack never speaks on an L2 port: no IPv6, no ARP answer, whatever addresses the switch has elsewhere. On a
 * routed one it may, once the program is there that counts what it says. */
function sysctls(device: string, needs: readonly Ref[], routed: boolean): readonly Resource[] {
  const conf: readonly (readonly [string, string])[] = routed
    ? [
        [`net/ipv6/conf/${device}/disable_ipv6`, '0'],
        [`net/ipv6/conf/${device}/accept_ra`, '0'],
        [`net/ipv6/conf/${device}/accept_dad`, '0'],
        [`net/ipv4/conf/${device}/arp_ignore`, '1'],
        [`net/ipv4/conf/${device}/rp_filter`, '0'],
      ]
    : [
        [`net/ipv6/conf/${device}/disable_ipv6`, '1'],
        [`net/ipv4/conf/${device}/arp_ignore`, '8'],
      ];
  return conf.map(([key, value]) => ({ ref: `sysctl/${key}`, owner, spec: { value }, needs }));
}

function hooksOf(port: Port, routed: boolean): readonly ('tcx-ingress' | 'tcx-egress' | 'xdp')[] {
  const xdp = port.datapath === 'xdp' ? (['xdp'] as const) : [];
  return ['tcx-ingress', ...(routed ? (['tcx-egress'] as const) : []), ...xdp];
}

function rowsOf(name: string, device: string, port: Port, member: Membership, netdev: Ref): readonly Resource[] {
  const routed = port.address !== undefined;
  const row: PortRow = {
    device,
    mode: routed ? 'routed' : 'bridged',
    shut: port.shut,
    access: member.access,
    bridged: port.bridged,
    native: member.untagged ?? 0,
    bd: 0,
    macLimit: port['mac-limit'],
    upLimit: port['up-limit'],
  };
  const dev: DevRow = { kind: 'port', port: name };
  const vlan: PortVlanRow = { vlans: member.vlans, untagged: member.untagged ?? 0 };
  const resources: Resource[] = [
    { ref: rowRef('port', name), owner, spec: row, needs: [netdev] },
    { ref: rowRef('dev', device), owner, spec: dev, needs: [netdev] },
  ];
  if (!routed && member.vlans.length > 0) {
    resources.push({ ref: rowRef('port_vlan', name), owner, spec: vlan, needs: [netdev] });
  }
  if (port.datapath === 'xdp') {
    const spec = { device };
    resources.push({ ref: rowRef('xdp_port', name), owner, spec, needs: [netdev] });
  }
  return resources;
}

/** Who gets a copy, for each VLAN that has a member. */
function compileFlood(members: ReadonlyMap<string, Membership>): readonly Resource[] {
  const lists = new Map<number, { tagged: string[]; untagged: string[] }>();
  for (const [name, member] of members) {
    for (const id of member.vlans) {
      const list = lists.get(id) ?? { tagged: [], untagged: [] };
      (member.untagged === id ? list.untagged : list.tagged).push(name);
      lists.set(id, list);
    }
  }
  return [...lists].map(([id, spec]): Resource<FloodRow> => ({
    ref: rowRef('flood', String(id)),
    owner,
    spec,
    needs: [],
  }));
}
