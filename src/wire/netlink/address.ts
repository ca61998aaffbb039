// RTM_*ADDR (linux/if_addr.h).
import { ipFromBytes } from '../../lib/ip.ts';
import { printPrefix } from '../../lib/prefix.ts';
import type { Prefix } from '../../lib/prefix.ts';
import { decodeAttributes, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, readU32, u32, u8, viewOf } from './message.ts';
import type { Attribute, Message, Request } from './message.ts';

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_PROTO = 11;
const IFA_F_NODAD = 0x02;
const IFA_F_NOPREFIXROUTE = 0x200;
const headerSize = 8;

export interface Address {
  readonly index: number;
  /** "10.0.0.1/24", "fd00::1/64". */
  readonly cidr: string;
  /** IFA_PROTO (Linux 5.18), 0 where none. */
  readonly protocol: number;
  readonly scope: number;
}

export interface AddressChange {
  readonly index: number;
  readonly prefix: Prefix;
  readonly protocol?: number;
  readonly noDad?: boolean;
  readonly noPrefixRoute?: boolean;
}

function header(family: number, length: number, index: number): Uint8Array {
  const bytes = new Uint8Array(headerSize);
  bytes[0] = family;
  bytes[1] = length;
  viewOf(bytes).setUint32(4, index, true);
  return bytes;
}

/** AF_INET or AF_INET6 of an address's bytes. */
export function familyOf(address: Uint8Array): number {
  return address.length === 4 ? 2 : 10;
}

function addressAttributes(prefix: Prefix): Attribute[] {
  return [
    [IFA_LOCAL, prefix.ip.bytes],
    [IFA_ADDRESS, prefix.ip.bytes],
  ];
}

/** Adds an address; EEXIST where the device has it. */
export function addressAddRequest(change: AddressChange): Request {
  const attributes = addressAttributes(change.prefix);
  const flags = (change.noDad === true ? IFA_F_NODAD : 0) | (change.noPrefixRoute === true ? IFA_F_NOPREFIXROUTE : 0);
  if (flags !== 0) attributes.push([IFA_FLAGS, u32(flags)]);
  if (change.protocol !== undefined) attributes.push([IFA_PROTO, u8(change.protocol)]);
  return {
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    fixed: header(familyOf(change.prefix.ip.bytes), change.prefix.length, change.index),
    attributes,
  };
}

export function addressDeleteRequest(index: number, prefix: Prefix): Request {
  return {
    type: RTM_DELADDR,
    flags: 0,
    fixed: header(familyOf(prefix.ip.bytes), prefix.length, index),
    attributes: addressAttributes(prefix),
  };
}

export function addressDumpRequest(): Request {
  return { type: RTM_GETADDR, flags: NLM_F_DUMP, fixed: header(0, 0, 0), attributes: [] };
}

/** The address in an RTM_NEWADDR or RTM_DELADDR; undefined for other messages and other families. */
export function decodeAddress(message: Message): Address | undefined {
  if ((message.type !== RTM_NEWADDR && message.type !== RTM_DELADDR) || message.body.length < headerSize)
    return undefined;
  const view = viewOf(message.body);
  const family = view.getUint8(0);
  const attributes = decodeAttributes(message.body, headerSize);
  const address = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  if ((family !== 2 && family !== 10) || address === undefined) return undefined;
  return {
    index: readU32(message.body.subarray(4)) ?? 0,
    cidr: printPrefix({ ip: ipFromBytes(address), length: view.getUint8(1) }),
    protocol: attributes.get(IFA_PROTO)?.[0] ?? 0,
    scope: view.getUint8(3),
  };
}
