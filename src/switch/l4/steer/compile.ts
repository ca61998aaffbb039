// A service address that the L7 router answers for: it becomes the switch's own, so that frames for it go up, and the
// accepted connection carries the port that it came in by in its mark.
import { addressRef } from '../../../engine/kinds/address.ts';
import type { Ref, Resource } from '../../../engine/resource.ts';
import { contains, parsePrefix } from '../../../lib/prefix.ts';
import { parseIp } from '../../../lib/ip.ts';
import type { Listener } from '../../../mesh/snapshot.ts';
import { idOfEntry, sviName, type Vlans } from '../../l2/vlan/schema.ts';

const owner = 'steer';

/** The device that a service address belongs on: the SVI whose subnet it is in (ARP answers there), else lo. */
function deviceOf(address: string, vlans: Vlans): string {
  const ip = parseIp(address);
  for (const [name, vlan] of Object.entries(vlans)) {
    const id = idOfEntry(name, vlan);
    const inside = vlan.address.some((text) => {
      const subnet = parsePrefix(text);
      return subnet !== undefined && ip !== undefined && subnet.ip.family === ip.family && contains(subnet, ip);
    });
    if (id !== undefined && inside) return sviName(id);
  }
  return 'lo';
}

/** What the router's listeners need in the kernel: accepted connections that carry their port, connections that move to
 * another listener of the address when theirs is closed before it has accepted them, service addresses. */
export function compileSteer(
  listeners: readonly Listener[],
  vlans: Vlans,
): { readonly resources: readonly Resource[]; readonly needs: readonly Ref[] } {
  if (listeners.length === 0) return { resources: [], needs: [] };
  const addresses = new Set(listeners.filter((l) => l.steered === true).map((l) => l.address));
  const settings = ['tcp_fwmark_accept', 'tcp_migrate_req'].map((name): Resource => ({
    ref: `sysctl/net/ipv4/${name}`,
    owner,
    spec: { value: '1' },
    needs: [],
  }));
  const own = [...addresses].map((address): Resource => {
    const dev = deviceOf(address, vlans);
    const spec = { dev, cidr: `${address}/${address.includes(':') ? 128 : 32}` };
    return { ref: addressRef(spec), owner, spec, needs: dev === 'lo' ? [] : [`netdev/${dev}`] };
  });
  return { resources: [...settings, ...own], needs: [...settings, ...own].map((resource) => resource.ref) };
}
