// The PROXY header that a connection to an upstream begins with: it says who the client is.
import { parseIp } from '../../lib/ip.ts';
import type { Emitter } from '../head/emit.ts';
import { INET, INET6, UNSPEC, proxyInfo, writeProxy1, writeProxy2 } from '../head/proxy.ts';
import type { Peer } from '../transport.ts';

/** Bytes of an address, by family. */
export const ipBytes: Readonly<Record<number, number>> = { [INET]: 4, [INET6]: 16 };

const info = proxyInfo();

/** Puts the header before what the row of `e` sends. */
export function emitProxy(e: Emitter, version: 1 | 2, peer: Peer): void {
  const from = parseIp(peer.address);
  const to = parseIp(peer.localAddress);
  info.family = UNSPEC;
  if (from !== undefined && to !== undefined) {
    info.family = from.family === 4 && to.family === 4 ? INET : INET6;
    put(info.from, from.bytes, info.family);
    put(info.to, to.bytes, info.family);
    info.fromPort = peer.port;
    info.toPort = peer.localPort;
  }
  e.write((arena, at) => (version === 1 ? writeProxy1(arena, at, info) : writeProxy2(arena, at, info)));
}

/** An IPv4 address among IPv6 ones is a mapped one (RFC 4291 2.5.5.2). */
function put(into: Uint8Array, bytes: Uint8Array, family: number): void {
  if (bytes.length === ipBytes[family]) return into.set(bytes);
  into.fill(0, 0, 10);
  into.fill(0xff, 10, 12);
  into.set(bytes, 12);
}
