// The PROXY protocol, versions 1 and 2 (its text is doc/proxy-protocol.txt of HAProxy): who connected, as the proxy in
// front says it by the first bytes of a connection. Like http1.ts: (arena, offset, end) into module values that stand
// until the next call; no object or string per connection.

/** Longest header of version 1, its CRLF included. */
const MAX_V1 = 107;
/** Longest header of version 2 that is taken, its TLVs included: what nginx takes. */
export const MAX_PROXY = 4096;

// ProxyInfo.family.
/** Not said: version 1 "UNKNOWN", version 2 LOCAL or AF_UNSPEC. The connection's own addresses count. */
export const UNSPEC = 0;
export const INET = 1;
export const INET6 = 2;
export const UNIX = 3;

// ProxyInfo.transport.
export const STREAM = 1;
export const DGRAM = 2;

export interface ProxyInfo {
  family: number;
  transport: number;
  /** 4, 16 or (a unix path, filled up with zeros) 108 bytes count. */
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  fromPort: number;
  toPort: number;
}

/** A header to fill in. */
export function proxyInfo(): ProxyInfo {
  const [from, to] = [new Uint8Array(108), new Uint8Array(108)];
  return { family: UNSPEC, transport: STREAM, from, to, fromPort: 0, toPort: 0 };
}

/** The header that was parsed last. */
export const proxy = { ...proxyInfo(), version: 0, local: false, tlvOff: 0, tlvLen: 0, why: '' };
/** What findTlv found. */
export const tlv = { off: 0, len: 0 };

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const prefix = Buffer.from('PROXY ');
const unknown = Buffer.from('UNKNOWN');
const tcp4 = Buffer.from('TCP4 ');
const tcp6 = Buffer.from('TCP6 ');
/** Bytes of both addresses and ports in version 2, by family. */
const addressBytes = [0, 12, 36, 216];
const CRC32C = 3;

function bad(why: string): number {
  proxy.why = why;
  return -1;
}

/** How far the bytes agree: 1 wholly, 0 as far as there are any, -1 not. */
function begins(a: Uint8Array, off: number, end: number, bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i += 1) {
    if (off + i >= end) return 0;
    if (a[off + i] !== bytes[i]) return -1;
  }
  return 1;
}

/** Parses a header at [off, end). Gives its length, 0 where more bytes are needed, or -1 where it is none (proxy.why
 * says why). */
export function parseProxy(a: Uint8Array, off: number, end: number): number {
  proxy.family = UNSPEC;
  proxy.transport = STREAM;
  proxy.local = false;
  proxy.fromPort = proxy.toPort = 0;
  proxy.tlvOff = proxy.tlvLen = 0;
  if (off >= end) return 0;
  return a[off] === prefix[0] ? version1(a, off, end) : version2(a, off, end);
}

function version1(a: Uint8Array, off: number, end: number): number {
  proxy.version = 1;
  const stop = Math.min(end, off + MAX_V1);
  const seen = begins(a, off, end, prefix);
  if (seen < 0) return bad('no PROXY header');
  let p = off + prefix.length;
  while (p < stop && a[p] !== 13) p += 1;
  if (p >= stop || p + 1 >= stop) return stop - off === MAX_V1 ? bad('a PROXY line without end') : 0;
  if (a[p + 1] !== 10) return bad('a PROXY line that ends in CR alone');
  return line(a, off + prefix.length, p) ? p + 2 - off : bad('a bad PROXY line');
}

/** Behind "PROXY ", before CRLF. */
function line(a: Uint8Array, off: number, end: number): boolean {
  if (begins(a, off, end, unknown) === 1) return off + unknown.length === end || a[off + unknown.length] === 32;
  const six = begins(a, off, end, tcp6) === 1;
  if (!six && begins(a, off, end, tcp4) !== 1) return false;
  proxy.family = six ? INET6 : INET;
  at = off + tcp4.length;
  if (six) return inet6(a, end, proxy.from) && inet6(a, end, proxy.to) && ports(a, end);
  return inet4(a, end, proxy.from) && inet4(a, end, proxy.to) && ports(a, end);
}

/** Where line() reads. */
let at = 0;

function ports(a: Uint8Array, end: number): boolean {
  proxy.fromPort = decimal(a, end, 65_535);
  if (proxy.fromPort < 0 || a[at++] !== 32) return false;
  proxy.toPort = decimal(a, end, 65_535);
  return proxy.toPort >= 0 && at === end;
}

/** A number without leading zeros, -1 where there is none. */
function decimal(a: Uint8Array, end: number, most: number): number {
  const start = at;
  let value = 0;
  for (; at < end && a[at]! >= 48 && a[at]! <= 57; at += 1) {
    value = value * 10 + a[at]! - 48;
    if (value > most) return -1;
  }
  return at === start || (a[start] === 48 && at - start > 1) ? -1 : value;
}

/** "1.2.3.4 " */
function inet4(a: Uint8Array, end: number, to: Uint8Array): boolean {
  for (let i = 0; i < 4; i += 1) {
    const value = decimal(a, end, 255);
    if (value < 0 || at >= end || a[at++] !== (i < 3 ? 46 : 32)) return false;
    to[i] = value;
  }
  return true;
}

function hexDigit(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  const low = c | 32;
  return low >= 97 && low <= 102 ? low - 87 : -1;
}

/** A group of one to four digits, -1 where there is none. */
function group(a: Uint8Array, end: number): number {
  let value = 0;
  const start = at;
  for (; at < end && at - start < 5; at += 1) {
    const digit = hexDigit(a[at]!);
    if (digit < 0) break;
    value = value * 16 + digit;
  }
  return at === start || at - start > 4 ? -1 : value;
}

/** "fd00::1 ": eight groups, "::" once in the place of zeros. No dotted tail: the protocol has none. */
function inet6(a: Uint8Array, end: number, to: Uint8Array): boolean {
  let count = 0;
  let gap = -1;
  if (at + 1 < end && a[at] === 58 && a[at + 1] === 58) {
    gap = 0;
    at += 2;
  }
  while (at < end && a[at] !== 32) {
    const value = count < 8 ? group(a, end) : -1;
    if (value < 0 || at >= end) return false;
    to[2 * count] = value >> 8;
    to[2 * count + 1] = value & 255;
    count += 1;
    if (a[at] === 32) break;
    if (a[at++] !== 58) return false;
    if (at < end && a[at] === 58) {
      if (gap >= 0) return false;
      gap = count;
      at += 1;
    } else if (at < end && a[at] === 32) return false;
  }
  if (at >= end || a[at++] !== 32) return false;
  return gap < 0 ? count === 8 : spread(to, count, gap);
}

/** Moves the groups behind the gap to the end. */
function spread(to: Uint8Array, count: number, gap: number): boolean {
  if (count > 7) return false;
  const tail = 2 * (count - gap);
  to.copyWithin(16 - tail, 2 * gap, 2 * count);
  to.fill(0, 2 * gap, 16 - tail);
  return true;
}

function version2(a: Uint8Array, off: number, end: number): number {
  proxy.version = 2;
  if (begins(a, off, end, signature) < 0) return bad('no PROXY header');
  if (end - off < 16) return 0;
  const command = a[off + 12]! - 0x20;
  if (command !== 0 && command !== 1) return bad('a PROXY version or command that nobody knows');
  const family = a[off + 13]! >> 4;
  const transport = a[off + 13]! & 15;
  const length = 16 + a[off + 14]! * 256 + a[off + 15]!;
  if (length > MAX_PROXY) return bad(`a PROXY header longer than ${MAX_PROXY} bytes`);
  proxy.local = command === 0;
  const known = family <= UNIX && transport <= DGRAM && (family === UNSPEC) === (transport === 0);
  if (!proxy.local && !known) return bad('a PROXY family or transport that nobody knows');
  const said = !proxy.local && family !== UNSPEC;
  if (said && length < 16 + addressBytes[family]!) return bad('a PROXY header shorter than its addresses');
  if (end - off < length) return 0;
  // What comes along with nothing said means nothing.
  if (!said) return length;
  addresses(a, off + 16, family, transport);
  proxy.tlvOff = off + 16 + addressBytes[family]!;
  proxy.tlvLen = off + length - proxy.tlvOff;
  if (!wellFormed(a)) return bad('a TLV that leaves the PROXY header');
  return checked(a, off, length) ? length : bad('a PROXY header with a wrong checksum');
}

function addresses(a: Uint8Array, off: number, family: number, transport: number): void {
  const size = family === INET ? 4 : family === INET6 ? 16 : 108;
  proxy.family = family;
  proxy.transport = transport;
  for (let i = 0; i < size; i += 1) {
    proxy.from[i] = a[off + i]!;
    proxy.to[i] = a[off + size + i]!;
  }
  if (family === UNIX) return;
  const p = off + 2 * size;
  proxy.fromPort = a[p]! * 256 + a[p + 1]!;
  proxy.toPort = a[p + 2]! * 256 + a[p + 3]!;
}

function wellFormed(a: Uint8Array): boolean {
  const end = proxy.tlvOff + proxy.tlvLen;
  let p = proxy.tlvOff;
  while (p + 3 <= end) p += 3 + a[p + 1]! * 256 + a[p + 2]!;
  return p === end;
}

/** Finds a TLV of the header that was parsed last, in the same arena: where its value lies is in `tlv`. */
export function findTlv(a: Uint8Array, type: number): boolean {
  const end = proxy.tlvOff + proxy.tlvLen;
  let p = proxy.tlvOff;
  while (p < end) {
    const len = a[p + 1]! * 256 + a[p + 2]!;
    if (a[p] === type) {
      tlv.off = p + 3;
      tlv.len = len;
      return true;
    }
    p += 3 + len;
  }
  return false;
}

const crcTable = new Int32Array(256);
for (let i = 0; i < 256; i += 1) {
  let c = i;
  for (let bit = 0; bit < 8; bit += 1) c = (c & 1) === 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  crcTable[i] = c;
}

/** CRC32c of [off, off + len), four bytes at `hole` taken for zeros. */
function crc32c(a: Uint8Array, off: number, len: number, hole: number): number {
  let c = -1;
  for (let p = off; p < off + len; p += 1) {
    const byte = p >= hole && p < hole + 4 ? 0 : a[p]!;
    c = (c >>> 8) ^ crcTable[(c ^ byte) & 255]!;
  }
  return ~c >>> 0;
}

/** The checksum is right, where the header has one. */
function checked(a: Uint8Array, off: number, len: number): boolean {
  if (!findTlv(a, CRC32C)) return true;
  if (tlv.len !== 4) return false;
  const p = tlv.off;
  const said = ((a[p]! << 24) | (a[p + 1]! << 16) | (a[p + 2]! << 8) | a[p + 3]!) >>> 0;
  return said === crc32c(a, off, len, p);
}

/** Writes version 1 at `off`; what it can't say (unix, datagrams) is UNKNOWN. Gives the place behind, at most 107 bytes
 * on. */
export function writeProxy1(a: Buffer, off: number, p: ProxyInfo): number {
  const plain = (p.family === INET || p.family === INET6) && p.transport === STREAM;
  if (!plain) return off + a.write('PROXY UNKNOWN\r\n', off, 'latin1');
  const text = `${textOf(p.family, p.from)} ${textOf(p.family, p.to)} ${p.fromPort} ${p.toPort}`;
  return off + a.write(`PROXY TCP${p.family === INET ? 4 : 6} ${text}\r\n`, off, 'latin1');
}

function textOf(family: number, bytes: Uint8Array): string {
  if (family === INET) return bytes.subarray(0, 4).join('.');
  return Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! * 256 + bytes[2 * i + 1]!).toString(16)).join(':');
}

/** Writes version 2 at `off`, without TLVs; nothing said is LOCAL. Gives the place behind, at most 232 bytes on. */
export function writeProxy2(a: Buffer, off: number, p: ProxyInfo): number {
  a.set(signature, off);
  const size = addressBytes[p.family]!;
  a[off + 12] = p.family === UNSPEC ? 0x20 : 0x21;
  a[off + 13] = p.family === UNSPEC ? 0 : (p.family << 4) | p.transport;
  a.writeUInt16BE(size, off + 14);
  if (p.family === UNSPEC) return off + 16;
  const each = p.family === UNIX ? size / 2 : (size - 4) / 2;
  a.set(p.from.subarray(0, each), off + 16);
  a.set(p.to.subarray(0, each), off + 16 + each);
  if (p.family !== UNIX) {
    a.writeUInt16BE(p.fromPort, off + 16 + 2 * each);
    a.writeUInt16BE(p.toPort, off + 18 + 2 * each);
  }
  return off + 16 + size;
}
