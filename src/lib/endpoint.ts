// An address with a TCP or UDP port, "10.0.0.1:22", "[2001:db8::1]:22" (RFC 3986 3.2.2 has the brackets).
import { parseIp, printIp } from './ip.ts';

export interface Endpoint {
  /** Canonical text of an IPv4 or IPv6 address, without brackets. */
  readonly address: string;
  readonly port: number;
}

/** Undefined for what is no address with a port from 1 to 65535. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const ip = parseIp(match?.[1] ?? match?.[2] ?? '');
  const port = Number(match?.[3]);
  if (!ip || (ip.family === 6) !== (match?.[1] !== undefined) || port < 1 || port > 65_535) return undefined;
  return { address: printIp(ip), port };
}

export function printEndpoint({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
