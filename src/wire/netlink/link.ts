// RTM_*LINK (linux/if_link.h, linux/veth.h).
import { printMac } from '../../lib/mac.ts';
import {
  concatBytes,
  decodeAttributes,
  encodeAttributes,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  readText,
  readU32,
  u32,
  viewOf,
} from './message.ts';
import type { Attribute, Message, Request } from './message.ts';

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_LINK_NETNSID = 37;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_STATS64 = 23;
const IFLA_GROUP = 27;
const IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
const IFLA_XDP = 43;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_XDP_ATTACHED = 2;
const IFLA_XDP_PROG_ID = 4;
const skipStats = 1 << 3;
const IFF_UP = 1;
const IFF_LOWER_UP = 1 << 16;
const headerSize = 16;

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  /** IFF_UP. */
  readonly up: boolean;
  /** IFF_LOWER_UP: the carrier. */
  readonly carrier: boolean;
  readonly alias: string | undefined;
  /** IFLA_INFO_KIND: "veth", "tun", "bridge"; undefined for hardware. */
  readonly kind: string | undefined;
  /** Index of the peer (veth), in its own namespace. */
  readonly peer: number | undefined;
  /** The peer lives in another namespace. */
  readonly peerElsewhere: boolean;
  readonly stats: LinkStats;
}

export interface LinkStats {
  readonly rxPackets: number;
  readonly txPackets: number;
  readonly rxDropped: number;
  readonly txDropped: number;
}

/** What sits on a device's XDP hook. */
export interface LinkXdp {
  readonly programId: number;
  readonly mode: 'native' | 'generic' | 'offload' | 'multi';
}

/** One end of a veth pair to make. `netnsFd` is an open descriptor of the namespace that it is born in. */
export interface VethEnd {
  readonly name: string;
  readonly mac?: Uint8Array;
  readonly mtu?: number;
  readonly netnsFd?: number;
}

/** What to change of a link. A rename needs the index, else the name says which. */
export interface LinkChange {
  readonly index?: number;
  readonly name?: string;
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: Uint8Array;
  /** '' takes it away. */
  readonly alias?: string;
  readonly rename?: string;
  readonly netnsFd?: number;
  /** What linkGroupDeleteRequest names; 0 is the group of devices that have none. */
  readonly group?: number;
}

function header(index: number, flags: number, change: number): Uint8Array {
  const bytes = new Uint8Array(headerSize);
  const view = viewOf(bytes);
  view.setInt32(4, index, true);
  view.setUint32(8, flags, true);
  view.setUint32(12, change, true);
  return bytes;
}

function endAttributes(end: VethEnd): Attribute[] {
  const attributes: Attribute[] = [[IFLA_IFNAME, end.name]];
  if (end.mac !== undefined) attributes.push([IFLA_ADDRESS, end.mac]);
  if (end.mtu !== undefined) attributes.push([IFLA_MTU, end.mtu]);
  if (end.netnsFd !== undefined) attributes.push([IFLA_NET_NS_FD, end.netnsFd]);
  return attributes;
}

/** Makes a veth pair; the second end is born in its namespace and never seen in the first's. */
export function vethRequest(end: VethEnd, peer: VethEnd): Request {
  const peerPart = concatBytes([header(0, 0, 0), encodeAttributes(endAttributes(peer))]);
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    fixed: header(0, 0, 0),
    attributes: [
      ...endAttributes(end),
      [
        IFLA_LINKINFO,
        [
          [IFLA_INFO_KIND, 'veth'],
          [IFLA_INFO_DATA, [[VETH_INFO_PEER, peerPart]]],
        ],
      ],
    ],
  };
}

/** Changes a link, all in one step. */
export function linkChangeRequest(change: LinkChange): Request {
  const attributes: Attribute[] = [];
  const name = change.index === undefined ? change.name : change.rename;
  if (name !== undefined) attributes.push([IFLA_IFNAME, name]);
  if (change.mac !== undefined) attributes.push([IFLA_ADDRESS, change.mac]);
  if (change.mtu !== undefined) attributes.push([IFLA_MTU, change.mtu]);
  if (change.alias !== undefined) attributes.push([IFLA_IFALIAS, new TextEncoder().encode(change.alias)]);
  if (change.netnsFd !== undefined) attributes.push([IFLA_NET_NS_FD, change.netnsFd]);
  if (change.group !== undefined) attributes.push([IFLA_GROUP, change.group]);
  const flags = change.up === true ? IFF_UP : 0;
  return {
    type: RTM_NEWLINK,
    flags: 0,
    fixed: header(change.index ?? 0, flags, change.up === undefined ? 0 : IFF_UP),
    attributes,
  };
}

export function linkDeleteRequest(name: string): Request {
  return { type: RTM_DELLINK, flags: 0, fixed: header(0, 0, 0), attributes: [[IFLA_IFNAME, name]] };
}

/** Takes away all links of a group, which costs as much as one alone. EOPNOTSUPP, and none goes, where one can't. */
export function linkGroupDeleteRequest(group: number): Request {
  return { type: RTM_DELLINK, flags: 0, fixed: header(0, 0, 0), attributes: [[IFLA_GROUP, group]] };
}

/** One link by name or index. `stats` false: cheaper. */
export function linkGetRequest(key: string | number, stats = true): Request {
  const attributes: Attribute[] = [];
  if (typeof key === 'string') attributes.push([IFLA_IFNAME, key]);
  if (!stats) attributes.push([IFLA_EXT_MASK, u32(skipStats)]);
  return { type: RTM_GETLINK, flags: 0, fixed: header(typeof key === 'number' ? key : 0, 0, 0), attributes };
}

export function linkDumpRequest(): Request {
  return { type: RTM_GETLINK, flags: NLM_F_DUMP, fixed: header(0, 0, 0), attributes: [] };
}

/** The link in an RTM_NEWLINK or RTM_DELLINK; undefined for other messages. */
export function decodeLink(message: Message): Link | undefined {
  if ((message.type !== RTM_NEWLINK && message.type !== RTM_DELLINK) || message.body.length < headerSize)
    return undefined;
  const view = viewOf(message.body);
  // AF_BRIDGE messages tell of a bridge's port, not of a link.
  if (view.getUint8(0) !== 0) return undefined;
  const attributes = decodeAttributes(message.body, headerSize);
  const info = attributes.get(IFLA_LINKINFO);
  const kind = info === undefined ? undefined : readText(decodeAttributes(info).get(IFLA_INFO_KIND));
  const flags = view.getUint32(8, true);
  return {
    index: view.getInt32(4, true),
    name: readText(attributes.get(IFLA_IFNAME)) ?? '',
    mac: printMac(attributes.get(IFLA_ADDRESS) ?? new Uint8Array(0)),
    mtu: readU32(attributes.get(IFLA_MTU)) ?? 0,
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    alias: readText(attributes.get(IFLA_IFALIAS)),
    kind,
    peerElsewhere: attributes.has(IFLA_LINK_NETNSID),
    peer: kind === 'veth' ? readU32(attributes.get(IFLA_LINK)) : undefined,
    stats: decodeStats(attributes.get(IFLA_STATS64)),
  };
}

const noStats: LinkStats = { rxPackets: 0, txPackets: 0, rxDropped: 0, txDropped: 0 };

function decodeStats(bytes: Uint8Array | undefined): LinkStats {
  if (bytes === undefined || bytes.length < 64) return noStats;
  const view = viewOf(bytes);
  const at = (offset: number): number => Number(view.getBigUint64(offset, true));
  return { rxPackets: at(0), txPackets: at(8), rxDropped: at(48), txDropped: at(56) };
}

const xdpModes = [undefined, 'native', 'generic', 'offload', 'multi'] as const;

/** The XDP program of the link in the message; undefined where there is none. */
export function decodeLinkXdp(message: Message): LinkXdp | undefined {
  const xdp = decodeAttributes(message.body, headerSize).get(IFLA_XDP);
  if (xdp === undefined) return undefined;
  const attributes = decodeAttributes(xdp);
  const mode = xdpModes[attributes.get(IFLA_XDP_ATTACHED)?.[0] ?? 0];
  const programId = readU32(attributes.get(IFLA_XDP_PROG_ID));
  return mode === undefined || programId === undefined ? undefined : { programId, mode };
}
