// RTM_*ROUTE (linux/rtnetlink.h).
import { ipFromBytes, parseIp, printIp } from '../../lib/ip.ts';
import { printPrefix, subnetOf, parsePrefix } from '../../lib/prefix.ts';
import type { Prefix } from '../../lib/prefix.ts';
import { familyOf } from './address.ts';
import {
  concatBytes,
  decodeAttributes,
  encodeAttributes,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_REPLACE,
  readU32,
  u32,
  viewOf,
} from './message.ts';
import type { Attribute, Message, Request } from './message.ts';

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTM_F_CLONED = 0x200;
const RTNH_F_ONLINK = 4;
const scopeLink = 253;
const scopeHost = 254;
const scopeNowhere = 255;
const headerSize = 12;
const nextHopSize = 8;

export interface NextHop {
  readonly via?: string;
  readonly dev?: number;
  /** 1..256. */
  readonly weight?: number;
  /** The gateway is on the device's link although no address says so. */
  readonly onlink?: boolean;
}

export interface Route {
  /** "0.0.0.0/0", "10.0.0.0/8", "::/0". */
  readonly prefix: string;
  readonly table: number;
  readonly protocol: number;
  /** For IPv6 the kernel makes 1024 of 0. */
  readonly metric: number;
  readonly type: 'unicast' | 'local' | 'blackhole' | 'unreachable' | 'prohibit' | 'other';
  readonly nextHops: readonly NextHop[];
}

const typeNumbers = { unicast: 1, local: 2, blackhole: 6, unreachable: 7, prohibit: 8 } as const;
const typeNames = new Map<number, Route['type']>(
  Object.entries(typeNumbers).map(([name, number]) => [number, name as Route['type']]),
);

interface Header {
  readonly family: number;
  readonly length: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly flags: number;
}

function header(h: Header): Uint8Array {
  const bytes = new Uint8Array(headerSize);
  bytes[0] = h.family;
  bytes[1] = h.length;
  // A table above 255 is in its attribute only; RT_TABLE_UNSPEC here.
  bytes[4] = h.table > 255 ? 0 : h.table;
  bytes[5] = h.protocol;
  bytes[6] = h.scope;
  bytes[7] = h.type;
  viewOf(bytes).setUint32(8, h.flags, true);
  return bytes;
}

function requirePrefix(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new RangeError(`no prefix: ${text}`);
  return prefix;
}

function gatewayAttributes(hop: NextHop, family: number): Attribute[] {
  if (hop.via === undefined) return [];
  const gateway = parseIp(hop.via)?.bytes;
  if (gateway === undefined) throw new RangeError(`no address: ${hop.via}`);
  if (familyOf(gateway) === family) return [[RTA_GATEWAY, gateway]];
  return [[RTA_VIA, concatBytes([Uint8Array.of(familyOf(gateway), 0), gateway])]];
}

function encodeNextHop(hop: NextHop, family: number): Uint8Array {
  const weight = hop.weight ?? 1;
  if (weight < 1 || weight > 256) throw new RangeError(`weight ${weight}`);
  const attributes = encodeAttributes(gatewayAttributes(hop, family));
  const bytes = new Uint8Array(nextHopSize);
  const view = viewOf(bytes);
  view.setUint16(0, nextHopSize + attributes.length, true);
  bytes[2] = hop.onlink === true ? RTNH_F_ONLINK : 0;
  bytes[3] = weight - 1;
  view.setInt32(4, hop.dev ?? 0, true);
  return concatBytes([bytes, attributes]);
}

function scopeOf(route: Route, family: number): number {
  if (family !== 2) return 0;
  if (route.type === 'local') return scopeHost;
  return route.type === 'unicast' && route.nextHops.every((hop) => hop.via === undefined) ? scopeLink : 0;
}

/** Makes a route, or replaces the one of the same prefix, table and metric (IPv4: whoever made it). Throws RangeError
 * for text that is no prefix or address, and for type "other". */
export function routePutRequest(route: Route): Request {
  if (route.type === 'other') throw new RangeError('a route of type other');
  const prefix = subnetOf(requirePrefix(route.prefix));
  const family = familyOf(prefix.ip.bytes);
  const attributes: Attribute[] = [[RTA_TABLE, u32(route.table)]];
  if (prefix.length > 0) attributes.push([RTA_DST, prefix.ip.bytes]);
  if (route.metric > 0) attributes.push([RTA_PRIORITY, u32(route.metric)]);
  const [first] = route.nextHops;
  const single = route.nextHops.length === 1;
  if (single && first !== undefined) {
    attributes.push(...gatewayAttributes(first, family));
    if (first.dev !== undefined) attributes.push([RTA_OIF, u32(first.dev)]);
  } else if (route.nextHops.length > 1) {
    attributes.push([RTA_MULTIPATH, concatBytes(route.nextHops.map((hop) => encodeNextHop(hop, family)))]);
  }
  return {
    type: RTM_NEWROUTE,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    fixed: header({
      family,
      length: prefix.length,
      table: route.table,
      protocol: route.protocol,
      scope: scopeOf(route, family),
      type: typeNumbers[route.type],
      flags: single && first?.onlink === true ? RTNH_F_ONLINK : 0,
    }),
    attributes,
  };
}

/** Takes away the route of this prefix, table, metric and protocol, whatever its next hops. ESRCH where there is none.
 * */
export function routeDeleteRequest(route: Pick<Route, 'prefix' | 'table' | 'metric' | 'protocol'>): Request {
  const prefix = subnetOf(requirePrefix(route.prefix));
  const attributes: Attribute[] = [[RTA_TABLE, u32(route.table)]];
  if (prefix.length > 0) attributes.push([RTA_DST, prefix.ip.bytes]);
  if (route.metric > 0) attributes.push([RTA_PRIORITY, u32(route.metric)]);
  const family = familyOf(prefix.ip.bytes);
  return {
    type: RTM_DELROUTE,
    flags: 0,
    fixed: header({
      family,
      length: prefix.length,
      table: route.table,
      protocol: route.protocol,
      scope: scopeNowhere,
      type: 0,
      flags: 0,
    }),
    attributes,
  };
}

/** All routes of one family (2 or 10), filtered by the kernel. */
export function routeDumpRequest(family: number, filter: { protocol?: number; table?: number }): Request {
  const attributes: Attribute[] = filter.table === undefined ? [] : [[RTA_TABLE, u32(filter.table)]];
  const fixed = { family, length: 0, table: 0, protocol: filter.protocol ?? 0, scope: 0, type: 0, flags: 0 };
  return { type: RTM_GETROUTE, flags: NLM_F_DUMP, fixed: header(fixed), attributes };
}

/** The route in an RTM_NEWROUTE or RTM_DELROUTE; undefined for other messages, families and cached copies. */
export function decodeRoute(message: Message): Route | undefined {
  const { body } = message;
  if ((message.type !== RTM_NEWROUTE && message.type !== RTM_DELROUTE) || body.length < headerSize) return undefined;
  const view = viewOf(body);
  const family = view.getUint8(0);
  if ((family !== 2 && family !== 10) || (view.getUint32(8, true) & RTM_F_CLONED) !== 0) return undefined;
  const attributes = decodeAttributes(body, headerSize);
  const address = attributes.get(RTA_DST) ?? new Uint8Array(family === 2 ? 4 : 16);
  const multipath = attributes.get(RTA_MULTIPATH);
  const type = typeNames.get(view.getUint8(7)) ?? 'other';
  return {
    prefix: printPrefix({ ip: ipFromBytes(address), length: view.getUint8(1) }),
    table: readU32(attributes.get(RTA_TABLE)) ?? view.getUint8(4),
    protocol: view.getUint8(5),
    metric: readU32(attributes.get(RTA_PRIORITY)) ?? 0,
    type,
    nextHops:
      multipath === undefined ? singleHop(attributes, view.getUint32(8, true), type) : decodeNextHops(multipath),
  };
}

function viaOf(attributes: Map<number, Uint8Array>): string | undefined {
  const gateway = attributes.get(RTA_GATEWAY) ?? attributes.get(RTA_VIA)?.subarray(2);
  return gateway === undefined ? undefined : printIp(ipFromBytes(gateway));
}

function singleHop(attributes: Map<number, Uint8Array>, flags: number, type: Route['type']): NextHop[] {
  // IPv6 shows lo as the device of routes that go nowhere.
  if (type === 'blackhole' || type === 'unreachable' || type === 'prohibit') return [];
  const hop = nextHop(viaOf(attributes), readU32(attributes.get(RTA_OIF)), undefined, (flags & RTNH_F_ONLINK) !== 0);
  return Object.keys(hop).length === 0 ? [] : [hop];
}

function decodeNextHops(bytes: Uint8Array): NextHop[] {
  const view = viewOf(bytes);
  const hops: NextHop[] = [];
  let at = 0;
  while (at + nextHopSize <= bytes.length) {
    const size = view.getUint16(at, true);
    if (size < nextHopSize || at + size > bytes.length) break;
    const attributes = decodeAttributes(bytes.subarray(at, at + size), nextHopSize);
    const onlink = (view.getUint8(at + 2) & RTNH_F_ONLINK) !== 0;
    hops.push(nextHop(viaOf(attributes), view.getInt32(at + 4, true), view.getUint8(at + 3) + 1, onlink));
    at += (size + 3) & ~3;
  }
  return hops;
}

function nextHop(
  via: string | undefined,
  dev: number | undefined,
  weight: number | undefined,
  onlink: boolean,
): NextHop {
  return {
    ...(via === undefined ? {} : { via }),
    ...(dev === undefined ? {} : { dev }),
    ...(weight === undefined ? {} : { weight }),
    ...(onlink ? { onlink } : {}),
  };
}
