// Socket options and listening sockets that node's own net module cannot make. Descriptors are plain numbers: the
// caller hands them to node (server.listen({ fd })) or closes them.
import { addon } from './addon.ts';
import { KernelError } from './errno.ts';
import { inNetns } from './netns.ts';
import { parseIp } from '../lib/ip.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 2048;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const SO_PEERCRED = 17;
const SO_MARK = 36;
const SOL_IP = 0;
const IP_TRANSPARENT = 19;
const SOL_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_TRANSPARENT = 75;

/** Who is on the other end of a unix socket. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Reads an int option of a socket, such as level 1 option 36 (SO_MARK). */
export function getSocketOption(fd: number, level: number, option: number): number {
  const bytes = addon().sockoptGet(fd, level, option, 4);
  return new DataView(bytes.buffer).getInt32(0, true);
}

/** Sets an int option of a socket. */
export function setSocketOption(fd: number, level: number, option: number, value: number): void {
  if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0xffff_ffff) throw new RangeError(`option ${value}`);
  addon().sockoptSet(fd, level, option, new Uint8Array(Int32Array.of(value).buffer));
}

/** SO_MARK, as u32: on an accepted socket with tcp_fwmark_accept=1 the mark of the SYN. */
export function socketMark(fd: number): number {
  return getSocketOption(fd, SOL_SOCKET, SO_MARK) >>> 0;
}

export function setSocketMark(fd: number, mark: number): void {
  setSocketOption(fd, SOL_SOCKET, SO_MARK, mark);
}

/** SO_PEERCRED of a connected unix socket. */
export function peerCredentials(fd: number): PeerCredentials {
  const view = new DataView(addon().sockoptGet(fd, SOL_SOCKET, SO_PEERCRED, 12).buffer);
  return { pid: view.getInt32(0, true), uid: view.getUint32(4, true), gid: view.getUint32(8, true) };
}

/** The descriptor of a socket of node:net, for the option calls; undefined once it is closed. */
export function descriptorOf(socket: object): number | undefined {
  const handle = (socket as { _handle?: { fd?: number } | null })._handle;
  return handle?.fd === undefined || handle.fd < 0 ? undefined : handle.fd;
}

export interface TcpBind {
  readonly address: string;
  /** 0 lets the kernel choose. */
  readonly port: number;
  readonly netns?: string;
  /** IP_TRANSPARENT: connections to addresses that are not ours, steered here. */
  readonly transparent?: boolean;
  readonly reusePort?: boolean;
  /** For "::": IPv4 does not come in here too. */
  readonly ipv6Only?: boolean;
  readonly nonBlocking?: boolean;
}

/** A TCP socket made in a namespace and bound, which does not listen yet: no connection can wait in it. For
 * server.listen({ fd }). KernelError EADDRINUSE, EADDRNOTAVAIL, EINVAL for text that is no address, ENOENT for a
 * namespace that is not there. */
export function tcpBind(o: TcpBind): number {
  const address = parseIp(o.address)?.bytes;
  if (address === undefined) throw new KernelError('EINVAL', `listen on ${o.address}`, 'no IP address');
  const ipv6 = address.length === 16;
  const type = SOCK_STREAM | (o.nonBlocking === true ? SOCK_NONBLOCK : 0);
  const fd = inNetns(o.netns, () => addon().socketOpen(ipv6 ? AF_INET6 : AF_INET, type, 0));
  try {
    setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (o.reusePort === true) setSocketOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (ipv6) setSocketOption(fd, SOL_IPV6, IPV6_V6ONLY, o.ipv6Only === true ? 1 : 0);
    if (o.transparent === true) {
      if (ipv6) setSocketOption(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
      if (!ipv6 || o.ipv6Only !== true) setSocketOption(fd, SOL_IP, IP_TRANSPARENT, 1);
    }
    addon().socketBind(fd, address, o.port);
    return fd;
  } catch (error) {
    addon().fdClose(fd);
    throw error;
  }
}

/** Passes descriptors on over a unix socket: at most 64, with at most 16 KB of text, in one message. False: not now. */
export function sendDescriptors(fd: number, text: string, fds: readonly number[]): boolean {
  return addon().descriptorsSend(fd, Buffer.from(text), new Uint8Array(Int32Array.from(fds).buffer));
}

/** One such message; its descriptors are the caller's. Empty text: the end. Undefined: nothing yet. */
export function receiveDescriptors(fd: number): { readonly text: string; readonly fds: readonly number[] } | undefined {
  const got = addon().descriptorsReceive(fd);
  if (got === undefined) return undefined;
  return { text: Buffer.from(got.bytes).toString(), fds: [...new Int32Array(got.fds.buffer)] };
}

/** Another descriptor of the same socket. */
export function duplicate(fd: number): number {
  return addon().fdDup(fd);
}

export interface TcpListen extends TcpBind {
  readonly backlog?: number;
}

/** The same, listening. */
export function tcpListen(o: TcpListen): number {
  const fd = tcpBind(o);
  try {
    addon().socketListen(fd, o.backlog ?? 511);
    return fd;
  } catch (error) {
    addon().fdClose(fd);
    throw error;
  }
}
