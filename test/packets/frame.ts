// Frames built by words: frame({ dst, src }, vlan(10), ipv4({...}, udp({...}))). Lengths and checksums are right unless
// a case says otherwise.
import { parseIp } from '../../src/lib/ip.ts';
import { parseMac } from '../../src/lib/mac.ts';

const bytesOf = (...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => [...part]));
const be16 = (value: number): number[] => [(value >> 8) & 255, value & 255];

/** A layer: what stands in the frame, and the EtherType or protocol number that announces it. */
export interface Layer {
  readonly type: number;
  readonly bytes: Uint8Array;
}

const mac = (text: string): Uint8Array => parseMac(text) ?? assertNever(text);
const ip = (text: string): Uint8Array => parseIp(text)?.bytes ?? assertNever(text);

function assertNever(text: string): never {
  throw new RangeError(`no address: ${text}`);
}

/** An Ethernet frame, padded to 60 bytes. */
export function frame(o: { dst: string; src: string; pad?: number }, inner: Layer): Uint8Array {
  const bytes = bytesOf(mac(o.dst), mac(o.src), be16(inner.type), inner.bytes);
  const least = o.pad ?? 60;
  return bytes.length >= least ? bytes : bytesOf(bytes, new Uint8Array(least - bytes.length));
}

/** An 802.1Q tag in band. */
export function vlan(id: number, inner: Layer, o: { pcp?: number; tpid?: number } = {}): Layer {
  const { pcp = 0, tpid = 0x8100 } = o;
  return { type: tpid, bytes: bytesOf(be16((pcp << 13) | id), be16(inner.type), inner.bytes) };
}

export function raw(type: number, bytes: readonly number[] = [1, 2, 3, 4]): Layer {
  return { type, bytes: Uint8Array.from(bytes) };
}

export function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

export interface Ipv4Options {
  readonly src: string;
  readonly dst: string;
  readonly ttl?: number;
  /** Instead of the true one. */
  readonly totalLength?: number;
  readonly version?: number;
  readonly headerWords?: number;
  readonly flags?: number;
}

export function ipv4(o: Ipv4Options, inner: Layer = udp(1, 2)): Layer {
  const words = o.headerWords ?? 5;
  const length = o.totalLength ?? Math.max(words, 5) * 4 + inner.bytes.length;
  const options = new Uint8Array(Math.max(0, words - 5) * 4).fill(1);
  const head = (sum: number): Uint8Array =>
    bytesOf(
      [((o.version ?? 4) << 4) | words, 0, ...be16(length), 0, 1, ...be16(o.flags ?? 0x4000)],
      [o.ttl ?? 64, inner.type, ...be16(sum)],
      ip(o.src),
      ip(o.dst),
      options,
    );
  return { type: 0x0800, bytes: bytesOf(head(checksum(head(0))), inner.bytes) };
}

export interface Ipv6Options {
  readonly src: string;
  readonly dst: string;
  readonly hopLimit?: number;
  readonly payloadLength?: number;
}

export function ipv6(o: Ipv6Options, inner: Layer = udp(1, 2)): Layer {
  const length = o.payloadLength ?? inner.bytes.length;
  const head = bytesOf([0x60, 0, 0, 0, ...be16(length), inner.type, o.hopLimit ?? 64], ip(o.src), ip(o.dst));
  return { type: 0x86dd, bytes: bytesOf(head, inner.bytes) };
}

/** `lie` is added to the length. */
export function udp(from: number, to: number, payload: Uint8Array | number = 18, lie = 0): Layer {
  const data = typeof payload === 'number' ? new Uint8Array(payload).fill(0x55) : payload;
  return { type: 17, bytes: bytesOf(be16(from), be16(to), be16((8 + data.length + lie) & 0xffff), [0, 0], data) };
}

/** A SYN without options. */
export function tcp(from: number, to: number, payload = 0): Layer {
  const head = [...be16(from), ...be16(to), 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, ...be16(0xffff), 0, 0, 0, 0];
  return { type: 6, bytes: bytesOf(head, new Uint8Array(payload).fill(0x55)) };
}

export function arpRequest(o: { mac: string; ip: string; target: string }): Layer {
  const head = [...be16(1), ...be16(0x0800), 6, 4, ...be16(1)];
  return { type: 0x0806, bytes: bytesOf(head, mac(o.mac), ip(o.ip), new Uint8Array(6), ip(o.target)) };
}
