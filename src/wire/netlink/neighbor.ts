// RTM_*NEIGH (linux/neighbour.h): ARP and ND entries.
import { ipFromBytes, printIp } from '../../lib/ip.ts';
import { printMac } from '../../lib/mac.ts';
import { familyOf } from './address.ts';
import { decodeAttributes, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, viewOf } from './message.ts';
import type { Message, Request } from './message.ts';

export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NUD_PERMANENT = 0x80;
const headerSize = 12;

export interface Neighbor {
  readonly index: number;
  readonly address: string;
  readonly mac: string | undefined;
  /** NUD_* name: "reachable", "stale", "permanent", "failed", ... */
  readonly state: string;
}

const stateNames = new Map([
  [0x00, 'none'],
  [0x01, 'incomplete'],
  [0x02, 'reachable'],
  [0x04, 'stale'],
  [0x08, 'delay'],
  [0x10, 'probe'],
  [0x20, 'failed'],
  [0x40, 'noarp'],
  [0x80, 'permanent'],
]);

function header(family: number, index: number, state: number): Uint8Array {
  const bytes = new Uint8Array(headerSize);
  const view = viewOf(bytes);
  bytes[0] = family;
  view.setInt32(4, index, true);
  view.setUint16(8, state, true);
  return bytes;
}

/** Makes or replaces a permanent entry. */
export function neighborPutRequest(index: number, address: Uint8Array, mac: Uint8Array): Request {
  return {
    type: RTM_NEWNEIGH,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    fixed: header(familyOf(address), index, NUD_PERMANENT),
    attributes: [
      [NDA_DST, address],
      [NDA_LLADDR, mac],
    ],
  };
}

export function neighborDeleteRequest(index: number, address: Uint8Array): Request {
  const fixed = header(familyOf(address), index, 0);
  return { type: RTM_DELNEIGH, flags: 0, fixed, attributes: [[NDA_DST, address]] };
}

/** All entries of one family (2 or 10). */
export function neighborDumpRequest(family: number): Request {
  return { type: RTM_GETNEIGH, flags: NLM_F_DUMP, fixed: header(family, 0, 0), attributes: [] };
}

/** The entry in an RTM_NEWNEIGH or RTM_DELNEIGH; undefined for other messages and for bridge entries. */
export function decodeNeighbor(message: Message): Neighbor | undefined {
  const { body } = message;
  if ((message.type !== RTM_NEWNEIGH && message.type !== RTM_DELNEIGH) || body.length < headerSize) return undefined;
  const view = viewOf(body);
  const family = view.getUint8(0);
  const attributes = decodeAttributes(body, headerSize);
  const address = attributes.get(NDA_DST);
  if ((family !== 2 && family !== 10) || address === undefined) return undefined;
  const mac = attributes.get(NDA_LLADDR);
  return {
    index: view.getInt32(4, true),
    address: printIp(ipFromBytes(address)),
    mac: mac === undefined ? undefined : printMac(mac),
    state: stateNames.get(view.getUint16(8, true)) ?? 'none',
  };
}
