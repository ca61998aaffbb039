// `datapath: auto`: a network card gets XDP beside tcx, a virtual port does not, since XDP on veth costs TCP most of
// its speed. Whether a device is a card is seen when it is there, so these are live resources. One that refuses the
// program stays at tcx.
import { linkRef } from '../../../engine/kinds/link.ts';
import { rowRef } from '../../../engine/kinds/row.ts';
import type { Ref, Resource } from '../../../engine/resource.ts';
import type { Link } from '../../../kernel/netlink.ts';
import { deviceOf, type Ports } from './schema.ts';

const owner = 'ports';

/** The port of an XDP link's ref. */
function portOf(ref: Ref): string | undefined {
  return /^link\/(.+)@xdp$/.exec(ref)?.[1];
}

/** Ports whose card refused the program, out of what failed. */
export function refusedXdp(failed: Iterable<Ref>): ReadonlySet<string> {
  return new Set([...failed].flatMap((ref) => portOf(ref) ?? []));
}

/** What `auto` adds: the program on the XDP hook of each card, and its row among the ports that XDP reaches. */
export function autoXdp(
  ports: Ports,
  links: ReadonlyMap<string, Link>,
  refused: ReadonlySet<string>,
): readonly Resource[] {
  return Object.entries(ports).flatMap(([name, port]): Resource[] => {
    const device = deviceOf(name, port);
    const link = links.get(device);
    const card = link !== undefined && link.kind === undefined && link.name !== 'lo';
    if (port.datapath !== 'auto' || !card || refused.has(name)) return [];
    const hook = { port: name, device, hook: 'xdp' } as const;
    const row = { ref: rowRef('xdp_port', name), owner, spec: { device }, needs: [`netdev/${device}` as Ref] };
    return [row, { ref: linkRef(hook), owner, spec: hook, needs: [row.ref, `link/${name}@tcx-ingress`] }];
  });
}
