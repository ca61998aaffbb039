// The model's routing table: longest prefix, one next hop, and what only a whole IP stack may judge.
import { ipFromBytes, type Ip, isLinkLocal, isLoopback, isMulticast, parseIp, printIp } from '../../src/lib/ip.ts';
import { contains, parsePrefix, type Prefix } from '../../src/lib/prefix.ts';
import type { Setup, World } from './model.ts';
import { type Packet, parsePacket, type Parsed } from './parsed.ts';

/** The device and next hop's address that it leaves by, 'up' for the stack, or a drop reason. */
export type Router = (
  parsed: Parsed,
  frame: Uint8Array,
) => 'up' | (string & {}) | { readonly dev: string; readonly dst: string };

interface Route {
  readonly prefix: Prefix;
  readonly dev?: string;
  readonly via?: string;
}

const mtu = 1500;

export function openRouter(setup: Setup, world: World): Router {
  const connected = [
    ...Object.entries(setup.vlans).flatMap(([id, { address }]) => address.map((cidr) => on(cidr, `vlan${id}`))),
    ...Object.entries(setup.ports).flatMap(([port, { address = [] }]) => address.map((cidr) => on(cidr, port))),
  ];
  const own = new Set(connected.map(({ prefix }) => printIp(prefix.ip)));
  const down = new Set(Object.entries(setup.ports).flatMap(([name, { shut }]) => (shut === true ? [name] : [])));
  const alive = connected.filter(({ dev = '' }) => !down.has(dev));
  const statics = Object.entries(setup.routes ?? {}).map(([text, route]): Route => {
    const prefix = parsePrefix(text)!;
    if ('blackhole' in route) return { prefix };
    const [via = ''] = route.via;
    const dev = alive.find((subnet) => contains(subnet.prefix, parseIp(via)!))?.dev ?? 'none';
    return { prefix, via, dev };
  });
  const routes = [...alive, ...statics]
    .filter(({ dev }) => dev !== 'none')
    .toSorted((a, b) => b.prefix.length - a.prefix.length);
  const macs = new Map(world.neighbors.map(({ dev, address, mac }) => [`${dev} ${address}`, mac]));
  return (parsed, frame) => {
    if (parsed.type === 0x0806) return 'up';
    if (parsed.type !== 0x0800 && parsed.type !== 0x86dd) return 'not-ip';
    const packet = parsePacket(parsed, frame);
    if ('problem' in packet) return packet.problem;
    const dst = ipFromBytes(packet.dst);
    if (own.has(printIp(dst)) || packet.options || packet.ttl <= 1 || special(packet)) return 'up';
    const route = routes.find(({ prefix }) => contains(prefix, dst));
    if (route === undefined) return 'up';
    if (route.dev === undefined) return 'blackhole';
    const mac = macs.get(`${route.dev} ${route.via ?? printIp(dst)}`);
    return mac === undefined || packet.total > mtu ? 'up' : { dev: route.dev, dst: mac };
  };
}

const on = (cidr: string, dev: string): Route => ({ prefix: parsePrefix(cidr)!, dev });

/** Addresses that no router forwards (RFC 1812 5.3.7, RFC 4291 2.5): the stack knows what to do with them. */
function special({ family, src, dst }: Packet): boolean {
  const odd = (ip: Ip): boolean =>
    isMulticast(ip) ||
    isLoopback(ip) ||
    (family === 4 ? ip.bytes[0] === 0 || (ip.bytes[0] ?? 0) >= 240 : ip.bytes[0] === 0 && ip.bytes[1] === 0) ||
    (family === 6 && (isLinkLocal(ip) || ip.bytes[0] === 0xfe));
  return odd(ipFromBytes(src)) || odd(ipFromBytes(dst));
}
