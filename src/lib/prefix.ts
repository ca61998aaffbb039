// An address with a length: a subnet ("10.0.0.0/8"), or a host in its subnet ("10.1.2.3/24").
import { bitsOf, compareIp, type Ip, parseIp, printIp } from './ip.ts';

/** An address and how many of its leading bits name the network. Host bits may be set. */
export interface Prefix {
  readonly ip: Ip;
  readonly length: number;
}

/** The prefix in "address/length", or undefined. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const ip = parseIp(text.slice(0, slash));
  const length = text.slice(slash + 1);
  if (!ip || !/^(0|[1-9][0-9]{0,2})$/.test(length) || Number(length) > bitsOf(ip.family)) return undefined;
  return { ip, length: Number(length) };
}

/** "address/length" with the address in canonical form; host bits stay. */
export function printPrefix(prefix: Prefix): string {
  return `${printIp(prefix.ip)}/${prefix.length}`;
}

/** The prefix that is this one address: /32 or /128. */
export function hostPrefix(ip: Ip): Prefix {
  return { ip, length: bitsOf(ip.family) };
}

/** The address with all host bits zero. */
export function networkOf(prefix: Prefix): Ip {
  return { family: prefix.ip.family, bytes: prefix.ip.bytes.map((byte, i) => byte & maskByte(prefix.length, i)) };
}

/** The address with all network bits zero. */
export function hostPartOf(prefix: Prefix): Ip {
  return { family: prefix.ip.family, bytes: prefix.ip.bytes.map((byte, i) => byte & ~maskByte(prefix.length, i)) };
}

/** The highest address of the prefix; in an IPv4 subnet of more than two addresses that is its broadcast address. */
export function lastOf(prefix: Prefix): Ip {
  return {
    family: prefix.ip.family,
    bytes: prefix.ip.bytes.map((byte, i) => byte | (~maskByte(prefix.length, i) & 0xff)),
  };
}

/** The subnet itself: the prefix with its host bits zero. */
export function subnetOf(prefix: Prefix): Prefix {
  return { ip: networkOf(prefix), length: prefix.length };
}

/** Whether the prefix has no host bits set. */
export function isSubnet(prefix: Prefix): boolean {
  return compareIp(prefix.ip, networkOf(prefix)) === 0;
}

/** Whether the address lies in the prefix. Never, where the families differ. */
export function contains(prefix: Prefix, ip: Ip): boolean {
  if (prefix.ip.family !== ip.family) return false;
  return ip.bytes.every((byte, i) => ((byte ^ (prefix.ip.bytes[i] ?? 0)) & maskByte(prefix.length, i)) === 0);
}

/** Whether some address lies in both. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  return a.length <= b.length ? contains(a, b.ip) : contains(b, a.ip);
}

/** Whether all of `inner` lies in `outer`. */
export function covers(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && contains(outer, inner.ip);
}

/** The mask of the i-th byte for a prefix length in bits. */
function maskByte(length: number, i: number): number {
  const bits = Math.min(8, Math.max(0, length - 8 * i));
  return (0xff00 >> bits) & 0xff;
}
