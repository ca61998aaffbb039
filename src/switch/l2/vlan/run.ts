// An SVI is up while its VLAN has a port up, and the fast path knows the switch's own addresses.
import type { Host } from '../../../engine/slice.ts';
import type { Resource } from '../../../engine/resource.ts';
import { membershipOf, type PortsLive, portsSchema } from '../../l1/port/schema.ts';
import { followAddresses } from './local.ts';
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
