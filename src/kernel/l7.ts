// The byte engine of the L7 router (native/addon/l7), one a thread. What its calls mean stands at Engine in
// l7/transport.ts; numbers that name nothing are ignored there too.
import { parseIp } from '../lib/ip.ts';
import { addon } from './addon.ts';
import type { Native, NativeCrowd, NativeEngine, NativePeer, NativeTaken, NativeTunnel } from './addon.ts';
import { KernelError } from './errno.ts';

export interface NativeEngineOptions {
  readonly onBatch: (n: number) => void;
  /** Milliseconds: head, idle, body, stall, idle upstream, linger. */
  readonly times: readonly [number, number, number, number, number, number];
  readonly tickMs: number;
  readonly maxConnections: number;
  readonly maxPerEndpoint: number;
  readonly maxStreams: number;
  readonly maxHeldBytes: number;
  /** Engines of the same one hand connections on, also when a thread ends; 0: none does. */
  readonly home: number;
}

/** What l7Stats writes, in this order. */
export const engineCounts = [
  'accepted',
  'refused',
  'connections',
  'upstreams',
  'upstreamsIdle',
  'upstreamConnects',
  'batches',
  'rows',
  'refusedRows',
  'heldBytes',
  'streams',
  'starved',
  'tlsHandshakes',
  'tlsResumed',
  'tlsUnshared',
  'tlsCertificate',
  'tlsAlert',
  'tlsCut',
  'tlsOther',
  'upstreamsResumed',
] as const;

/** Opens an engine on the calling thread's event loop. KernelError ENOMEM; RangeError for a number out of range. */
export function openNativeEngine(o: NativeEngineOptions): NativeEngine {
  const times = new Uint8Array(Uint32Array.from(o.times).buffer);
  const { onBatch, tickMs, maxConnections, maxPerEndpoint, maxHeldBytes, maxStreams, home } = o;
  return addon().l7Open(onBatch, times, tickMs, maxConnections, maxPerEndpoint, maxHeldBytes, maxStreams, home);
}

/** When a listener asks what a connection is. */
export const helloModes = { never: 0, bytes: 1, 'at-once': 2 } as const;

export function engineListener(engine: Native, hello: keyof typeof helloModes, tag: number): number {
  return addon().l7Listener(engine, helloModes[hello], tag);
}

/** KernelError where the socket can't listen. The descriptor stays the caller's. */
export function engineAccept(engine: Native, listener: number, fd: number): void {
  addon().l7Accept(engine, listener, fd);
}

export function engineDecline(engine: Native, listener: number, fd: number): void {
  addon().l7Decline(engine, listener, fd);
}

export function engineUnlisten(engine: Native, listener: number): void {
  addon().l7Unlisten(engine, listener);
}

/** Bounds of a listener's connections, 0: none. */
export function engineLimit(engine: Native, listener: number, most: number, perClient: number, later: boolean): void {
  addon().l7Limit(engine, listener, most, perClient, later);
}

/** Whether one more of that client may be; KernelError EINVAL for text that is no address. */
export function engineAdmits(engine: Native, conn: number, address: string): boolean {
  const bytes = parseIp(address)?.bytes;
  if (bytes === undefined) throw new KernelError('EINVAL', `client ${address}`, 'no IP address');
  return addon().l7Admits(engine, conn, bytes) ?? true;
}

/** The listeners of that home's engines, on any thread. */
export function listenerCrowds(home: number): readonly NativeCrowd[] {
  return addon().l7Crowds(home);
}

export function engineStall(engine: Native, conn: number, ms: number): void {
  addon().l7Stall(engine, conn, ms);
}

/** At most 64 KB. */
export function engineLabel(engine: Native, conn: number, label: Uint8Array): void {
  addon().l7Label(engine, conn, label);
}

/** Gives how many. */
export function enginePark(engine: Native, tunnels: boolean, most: number): number {
  return addon().l7Park(engine, tunnels, most) ?? 0;
}

export function engineTake(engine: Native, parcel: number): NativeTaken | undefined {
  return addon().l7Take(engine, parcel);
}

/** Numbers of the connections that are parked by engines of that home, on any thread. */
export function parkedConnections(home: number): readonly number[] {
  return addon().l7Parked(home);
}

/** A parked tunnel as descriptors, which are the caller's. Undefined: there is no such parcel. KernelError EINVAL for a
 * connection that is bound to this process; it stays parked. */
export function packTunnel(parcel: number): NativeTunnel | undefined {
  return addon().l7Pack(parcel);
}

/** Parks a tunnel of another process. False: these are nothing of the kind. The memory stays the caller's, and then the
 * sockets too. */
export function unpackTunnel(home: number, tag: number, t: Omit<NativeTunnel, 'label'>): boolean {
  return addon().l7Unpack(home, tag, t.memory, t.client, t.up);
}

/** Ends those connections. */
export function discardParked(home: number): void {
  addon().l7Discard(home);
}

/** KernelError EINVAL for text that is no address, ENOSPC beyond a million endpoints. */
export function engineEndpoint(engine: Native, address: string, port: number, connectTimeoutMs: number): number {
  const bytes = parseIp(address)?.bytes;
  if (bytes === undefined) throw new KernelError('EINVAL', `endpoint ${address}`, 'no IP address');
  return addon().l7Endpoint(engine, bytes, port, connectTimeoutMs);
}

export function engineDropEndpoint(engine: Native, endpoint: number): void {
  addon().l7DropEndpoint(engine, endpoint);
}

export function engineEndpointIdle(engine: Native, endpoint: number, ms: number): void {
  addon().l7EndpointIdle(engine, endpoint, ms);
}

export function engineTemplate(engine: Native, id: number, bytes: Uint8Array): void {
  addon().l7Template(engine, id, bytes);
}

/** Undefined for a connection that is gone and has no row left. */
export function enginePeer(engine: Native, conn: number): NativePeer | undefined {
  return addon().l7Peer(engine, conn);
}

export function engineResume(engine: Native, conn: number): void {
  addon().l7Resume(engine, conn);
}

/** -1: no slot, or the parent is not in bytes mode. */
export function engineStream(engine: Native, parent: number): number {
  return addon().l7Stream(engine, parent);
}

export function engineScript(engine: Native, endpoint: number): void {
  addon().l7Script(engine, endpoint);
}

/** -1: no slot, or the address can't be tried. */
export function engineDial(engine: Native, endpoint: number): number {
  return addon().l7Dial(engine, endpoint);
}

/** Bytes that wait after it. */
export function engineSendUp(engine: Native, conn: number, off: number, len: number): number {
  return addon().l7SendUp(engine, conn, off, len) ?? 0;
}

export function engineResumeUp(engine: Native, conn: number): void {
  addon().l7ResumeUp(engine, conn);
}

const ways = { end: 0, reset: 1, refused: 2, untrusted: 3 } as const;

export function engineCloseUp(engine: Native, conn: number, how: keyof typeof ways): void {
  addon().l7CloseUp(engine, conn, ways[how]);
}

/** Bytes that wait after it. */
export function engineSend(engine: Native, conn: number, off: number, len: number): number {
  return addon().l7Send(engine, conn, off, len) ?? 0;
}

export function engineClose(engine: Native, conn: number, reset: boolean): void {
  addon().l7Close(engine, conn, reset);
}

export function engineEnd(engine: Native, all: boolean): void {
  addon().l7End(engine, all);
}

/** Counters in the order of engineCounts. */
export function engineStats(engine: Native): Uint32Array {
  const words = new Uint32Array(engineCounts.length);
  addon().l7Stats(engine, new Uint8Array(words.buffer));
  return words;
}

/** Ends everything at once. Twice is no error. */
export function engineShut(engine: Native): void {
  addon().l7Shut(engine);
}

export interface NativeTls {
  readonly server: boolean;
  readonly certificates: readonly { readonly chain: string; readonly key: string }[];
  readonly ca: string | undefined;
  readonly crl: string | undefined;
  readonly verify: 'never' | 'given' | 'always';
  readonly only13: boolean;
  readonly alpn: readonly string[];
  /** At most 32 bytes. */
  readonly policy: Uint8Array;
}

/** KernelError EINVAL with OpenSSL's reason. */
export function engineTlsContext(engine: Native, o: NativeTls): number {
  const alpn = Buffer.concat(o.alpn.map((name) => Buffer.from([name.length, ...Buffer.from(name, 'latin1')])));
  const verify = ({ never: 0, given: 1, always: 2 } as const)[o.verify];
  const [ca, crl] = [o.ca, o.crl].map((text) => (text === undefined ? undefined : Buffer.from(text)));
  const context = addon().l7TlsContext(engine, o.server, verify, o.only13, alpn, o.policy, ca, crl);
  try {
    for (const { chain, key } of o.certificates) {
      addon().l7TlsCertificate(engine, context, Buffer.from(chain), Buffer.from(key));
    }
    return context;
  } catch (error) {
    addon().l7DropTlsContext(engine, context);
    throw error;
  }
}

export function engineDropTlsContext(engine: Native, context: number): void {
  addon().l7DropTlsContext(engine, context);
}

/** The key that makes tickets, and the one before. RangeError for another length. */
export function engineTicketKeys(engine: Native, current: Uint8Array, previous: Uint8Array): void {
  addon().l7TicketKeys(engine, Buffer.concat([current, previous]));
}

/** RangeError for a context or endpoint that is none. */
export function engineEndpointTls(
  engine: Native,
  endpoint: number,
  o: { readonly context: number; readonly serverName: string; readonly names: readonly string[] },
): void {
  addon().l7EndpointTls(engine, o.context, endpoint, o.serverName, o.names.join('\n'));
}
