// A frame taken apart and put together again, for the model: the wire's form alone, every tag in band.
import { parseMac, printMac } from '../../src/lib/mac.ts';

export interface Parsed {
  readonly dst: string;
  readonly src: string;
  /** -1: no tag; 0: a priority tag. */
  readonly vid: number;
  /** What follows the first tag: a second one, perhaps. */
  readonly type: number;
  /** Where it begins. */
  readonly l3: number;
  readonly length: number;
  /** Without its first tag, which no MTU counts. */
  readonly untaggedLength: number;
}

export const isTag = (type: number): boolean => type === 0x8100 || type === 0x88a8;
const be16 = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);

export function parseFrame(frame: Uint8Array): Parsed | { readonly problem: string } {
  const length = frame.length;
  if (length < 14) return { problem: 'bad-frame' };
  const [dst, src] = [printMac(frame.subarray(0, 6)), printMac(frame.subarray(6, 12))];
  const type = be16(frame, 12);
  if (type === 0x88a8) return { problem: 'vlan-protocol' };
  if (type !== 0x8100) return { dst, src, vid: -1, type, l3: 14, length, untaggedLength: length };
  if (length < 18) return { problem: 'bad-frame' };
  const second = be16(frame, 16);
  if (isTag(second) && length < 22) return { problem: 'bad-frame' };
  return { dst, src, vid: be16(frame, 14) & 0xfff, type: second, l3: 18, length, untaggedLength: length - 4 };
}

/** The frame with this tag (0: none) in place of its own; its priority stays. */
export function withTag(frame: Uint8Array, vid: number): Uint8Array {
  const tagged = be16(frame, 12) === 0x8100;
  if (!tagged && vid === 0) return frame;
  const rest = frame.subarray(tagged ? 16 : 12);
  const priority = tagged ? be16(frame, 14) & 0xf000 : 0;
  const tci = priority | vid;
  const tag = vid === 0 ? [] : [0x81, 0, tci >> 8, tci & 255];
  return Uint8Array.from([...frame.subarray(0, 12), ...tag, ...rest]);
}

/** One hop further: the next hop's addresses, one less to live, the checksum after RFC 1624 equation 3. */
export function rewriteHop(frame: Uint8Array, hop: { readonly dst: string; readonly src: string }): Uint8Array {
  const parsed = parseFrame(frame);
  if ('problem' in parsed) throw new RangeError(parsed.problem);
  const out = Uint8Array.from(frame);
  out.set(parseMac(hop.dst) ?? [], 0);
  out.set(parseMac(hop.src) ?? [], 6);
  const at = parsed.l3;
  if (parsed.type === 0x86dd) {
    out[at + 7] = (out[at + 7] ?? 0) - 1;
    return out;
  }
  const before = be16(frame, at + 8);
  const after = before - 0x0100;
  let sum = (~be16(frame, at + 10) & 0xffff) + (~before & 0xffff) + after;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  const check = ~sum & 0xffff;
  out[at + 8] = after >> 8;
  out[at + 10] = check >> 8;
  out[at + 11] = check & 255;
  return out;
}

/** What a packet says of itself, or the reason why it lies. */
export interface Packet {
  readonly family: 4 | 6;
  readonly src: Uint8Array;
  readonly dst: Uint8Array;
  /** Hops left, this one included. */
  readonly ttl: number;
  readonly total: number;
  readonly options: boolean;
}

export function parsePacket({ type, l3, length }: Parsed, frame: Uint8Array): Packet | { readonly problem: string } {
  const bytes = frame.subarray(l3);
  const lies = { problem: 'bad-ip' };
  const version = (bytes[0] ?? 0) >> 4;
  if (type === 0x86dd) {
    const total = 40 + be16(bytes, 4);
    if (bytes.length < 40 || version !== 6 || l3 + total > length) return lies;
    const [src, dst] = [bytes.subarray(8, 24), bytes.subarray(24, 40)];
    return { family: 6, src, dst, ttl: bytes[7] ?? 0, total, options: false };
  }
  const words = (bytes[0] ?? 0) & 15;
  const total = be16(bytes, 2);
  if (bytes.length < 20 || version !== 4 || words < 5 || total < words * 4 || l3 + total > length) return lies;
  const [src, dst] = [bytes.subarray(12, 16), bytes.subarray(16, 20)];
  return { family: 4, src, dst, ttl: bytes[8] ?? 0, total, options: words > 5 };
}
