import { formatIp, parseIp } from './ip.ts';

/** An address and how many of its leading bits name the network. */
export interface Prefix {
  readonly address: Uint8Array;
  readonly length: number;
}

/** "10.0.0.1/24" or "fd00::/8", host bits kept; undefined where it is no prefix. A bare address is not one. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  if (slash < 0 || !/^(?:0|[1-9]\d{0,2})$/.test(text.slice(slash + 1))) return undefined;
  const address = parseIp(text.slice(0, slash));
  const length = Number(text.slice(slash + 1));
  if (address === undefined || length > address.length * 8) return undefined;
  return { address, length };
}

/** Canonical text with its length: "10.0.0.1/24". */
export function formatPrefix(prefix: Prefix): string {
  return `${formatIp(prefix.address)}/${prefix.length}`;
}

/** The network of a prefix: host bits cleared. */
export function networkOf(prefix: Prefix): Prefix {
  const address = prefix.address.map((byte, i) => {
    const bits = Math.min(8, Math.max(0, prefix.length - 8 * i));
    return byte & (0xff00 >> bits) & 0xff;
  });
  return { address, length: prefix.length };
}

/** Whether an address of the same family lies in the network. */
export function contains(prefix: Prefix, address: Uint8Array): boolean {
  if (address.length !== prefix.address.length) return false;
  const network = networkOf(prefix).address;
  return networkOf({ address, length: prefix.length }).address.every((byte, i) => byte === network[i]);
}
