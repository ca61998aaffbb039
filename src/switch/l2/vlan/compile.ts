// A VLAN with addresses has an SVI: a veth pair, vlan10 with the addresses, which Linux sees, and vlan10-bd, by which
// the stack's frames come into the bridge domain. All SVIs have the switch's own MAC address.
import { addressRef } from '../../../engine/kinds/address.ts';
import { linkRef } from '../../../engine/kinds/link.ts';
import { rowRef } from '../../../engine/kinds/row.ts';
import type { Ref, Resource } from '../../../engine/resource.ts';
import type { Look } from '../../../engine/slice.ts';
import { idOfEntry, sviName, sviPortName, type Vlans } from './schema.ts';

const owner = 'vlans';

export function compileVlans(vlans: Vlans, look: Look): readonly Resource[] {
  const svis = Object.entries(vlans).flatMap(([name, vlan]) => {
    const id = idOfEntry(name, vlan);
    return id === undefined || vlan.address.length === 0 ? [] : compileSvi(id, vlan, look.baseMac);
  });
  return svis.length === 0 ? [] : [...svis];
}

function compileSvi(id: number, vlan: Vlans[string], mac: string): readonly Resource[] {
  const svi = sviName(id);
  const far = sviPortName(id);
  const netdev: Ref = `netdev/${svi}`;
  const settings = sysctls(svi, far, netdev);
  const rows = rowsOf(id, mac, netdev);
  const hook = { port: far, device: far, hook: 'tcx-ingress' } as const;
  const link: Resource = { ref: linkRef(hook), owner, spec: hook, needs: [netdev, ...rows.map((row) => row.ref)] };
  const device = { type: 'veth', peer: far, mac, mtu: vlan.mtu };
  const ready = [netdev, link.ref, ...settings.map((setting) => setting.ref)];
  return [
    { ref: netdev, owner, spec: device, needs: [] },
    ...settings,
    ...rows,
    link,
    ...vlan.address.map((cidr): Resource => {
      const spec = { dev: svi, cidr };
      return { ref: addressRef(spec), owner, spec, needs: [netdev, ...settings.map((setting) => setting.ref)] };
    }),
    { ref: `admin/${svi}`, owner, spec: { up: true }, needs: ready },
    // Last: a frame handed up to a device that is down would be lost without a word.
    { ref: rowRef('bd', String(id)), owner, spec: { svi, port: far, mac }, needs: [`admin/${svi}`] },
  ];
}

function sysctls(svi: string, far: string, netdev: Ref): readonly Resource[] {
  const conf: readonly (readonly [string, string])[] = [
    // Answers ARP only for addresses of this very VLAN.
    [`net/ipv4/conf/${svi}/arp_ignore`, '1'],
    [`net/ipv4/conf/${svi}/arp_announce`, '2'],
    [`net/ipv4/conf/${svi}/rp_filter`, '0'],
    [`net/ipv4/conf/${svi}/send_redirects`, '0'],
    [`net/ipv6/conf/${svi}/accept_ra`, '0'],
    // Duplicate address detection would keep neighbour discovery, and so forwarding, waiting for two seconds.
    [`net/ipv6/conf/${svi}/accept_dad`, '0'],
    [`net/ipv6/conf/${far}/disable_ipv6`, '1'],
    [`net/ipv4/conf/${far}/arp_ignore`, '8'],
  ];
  return conf.map(([key, value]) => ({ ref: `sysctl/${key}`, owner, spec: { value }, needs: [netdev] }));
}

function rowsOf(id: number, mac: string, netdev: Ref): readonly Resource[] {
  const svi = sviName(id);
  const far = sviPortName(id);
  const port = {
    device: far,
    mode: 'svi',
    shut: false,
    access: false,
    bridged: true,
    native: 0,
    bd: id,
    macLimit: 0,
    upLimit: 0,
  };
  return [
    { ref: rowRef('port', far), owner, spec: port, needs: [netdev] },
    { ref: rowRef('dev', far), owner, spec: { kind: 'port', port: far }, needs: [netdev] },
    { ref: rowRef('dev', svi), owner, spec: { kind: 'svi', bd: id }, needs: [netdev] },
    { ref: rowRef('fdb', `${id}/${mac}`), owner, spec: { port: far, self: true }, needs: [netdev] },
  ];
}
