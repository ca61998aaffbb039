// Which resource brings an address: what listens there waits for it.
import type { Ref, Resource } from '../engine/resource.ts';
import type { AnySlice, Look } from '../engine/slice.ts';
import { workOn } from '../lib/work/turns.ts';
import { portsSchema } from '../switch/l1/port/schema.ts';
import { vlansSchema } from '../switch/l2/vlan/schema.ts';

/** The switch's own addresses, as the look has them, with their resources. */
export function addressRefs(look: Look): ReadonlyMap<string, Ref> {
  const vlans = Object.entries(look(vlansSchema)).flatMap(([name, vlan]) =>
    vlan.address.map((cidr) => [cidr, `address/vlan${vlan.id ?? name}/${cidr}`] as const),
  );
  const ports = Object.entries(look(portsSchema)).flatMap(([name, port]) =>
    (port.address ?? []).map((cidr) => [cidr, `address/${port.device ?? name}/${cidr}`] as const),
  );
  return new Map([...vlans, ...ports].map(([cidr, ref]) => [cidr.split('/')[0] ?? '', ref as Ref]));
}

/** The slice, its listeners waiting for the addresses that they bind. */
export function waitingForAddresses(slice: AnySlice): AnySlice {
  const compile = function* (section: unknown, look: Look): Generator<unknown, readonly Resource[], undefined> {
    const own = addressRefs(look);
    const made: readonly Resource[] = yield* workOn(slice.compile?.(section, look) ?? []);
    return made.map((resource) => {
      const address = own.get((resource.spec as { address?: string }).address ?? '');
      return address === undefined ? resource : { ...resource, needs: [...resource.needs, address] };
    });
  };
  return { ...slice, compile };
}
