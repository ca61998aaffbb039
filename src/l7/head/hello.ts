// What a TLS ClientHello (RFC 8446 4.1.2) says about where a connection is to go, read without answering it. Like
// http1.ts: (arena, offset, end) into module values that stand until the next call. It may come in any number
// of records and segments: its bytes are put together in helloBytes, which offsets are into.

/** Largest ClientHello that is read, and behind how many bytes no further record of it may begin. */
export const MAX_HELLO = 16 * 1024;
const MAX_RECORDS = 32 * 1024;

// Bits of hello.versions.
export const TLS10 = 1;
export const TLS11 = 2;
export const TLS12 = 4;
export const TLS13 = 8;

/** The ClientHello that was parsed last, its 4 bytes of handshake header included. */
export const helloBytes = Buffer.alloc(MAX_HELLO);
export const hello = {
  why: '',
  /** Name of the server, in lower case; length 0 where none is said. */
  sniOff: 0,
  sniLen: 0,
  /** The list of protocols, each behind a byte with its length; length 0 where none is offered. */
  alpnOff: 0,
  alpnLen: 0,
  /** What the client may speak, of what we know. */
  versions: 0,
};

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const MAX_FRAGMENT = 1 << 14;
const SERVER_NAME = 0;
const ALPN = 16;
const SUPPORTED_VERSIONS = 43;

function bad(why: string): number {
  hello.why = why;
  return -1;
}

function wrong(why: string): false {
  hello.why = why;
  return false;
}

/** Parses a ClientHello at [off, end). Gives the length of its records, 0 where more bytes are needed, -1 where it is
 * none: hello.why says why. */
export function parseHello(a: Uint8Array, off: number, end: number): number {
  hello.sniOff = hello.sniLen = hello.alpnOff = hello.alpnLen = hello.versions = 0;
  const length = records(a, off, end);
  if (length <= 0) return length;
  gather(a, off, off + length);
  return body() ? length : -1;
}

/** Walks the records. Gives their length when the ClientHello in them is whole. */
function records(a: Uint8Array, off: number, end: number): number {
  let have = 0;
  let size = MAX_HELLO;
  for (let p = off; ;) {
    if (p - off > MAX_RECORDS) return bad('a ClientHello in too many records');
    if (p < end && a[p] !== HANDSHAKE) return bad('no TLS handshake');
    if (p + 1 < end && a[p + 1] !== 3) return bad('no version of TLS');
    if (p + 5 > end) return 0;
    const fragment = a[p + 3]! * 256 + a[p + 4]!;
    if (fragment === 0 || fragment > MAX_FRAGMENT) return bad('a TLS record of a length that none has');
    p += 5;
    const stop = Math.min(p + fragment, end);
    for (let i = p; i < stop && have + i - p < 4; i += 1) helloBytes[have + i - p] = a[i]!;
    have += stop - p;
    if (have > 0 && helloBytes[0] !== CLIENT_HELLO) return bad('a handshake that begins with no ClientHello');
    if (have >= 4) size = 4 + helloBytes.readUIntBE(1, 3);
    if (size > MAX_HELLO) return bad(`a ClientHello larger than ${MAX_HELLO} bytes`);
    if (have + p + fragment - stop > size) return bad('something behind a ClientHello');
    if (stop < p + fragment) return 0;
    p = stop;
    if (have === size) return p - off;
  }
}

/** Puts the fragments of whole records together. */
function gather(a: Uint8Array, off: number, end: number): void {
  let to = 0;
  for (let p = off; p < end;) {
    const fragment = a[p + 3]! * 256 + a[p + 4]!;
    helloBytes.set(a.subarray(p + 5, p + 5 + fragment), to);
    to += fragment;
    p += 5 + fragment;
  }
  limit = to;
}

// Where body() reads, and where the bytes end.
let at = 0;
let limit = 0;

/** The place behind a vector with so many bytes of length, whose content begins at `at`; -1 where it does not fit. */
function vector(bytes: number, least: number, most: number, end: number): number {
  if (at + bytes > end) return -1;
  const size = helloBytes.readUIntBE(at, bytes);
  at += bytes;
  return size < least || size > most || at + size > end ? -1 : at + size;
}

function body(): boolean {
  at = 4;
  if (at + 34 > limit) return wrong('a short ClientHello');
  const legacy = helloBytes.readUInt16BE(at);
  at += 34;
  if (!skip(vector(1, 0, 32, limit))) return wrong('a bad session id in a ClientHello');
  const ciphers = vector(2, 2, 0xfffe, limit);
  if ((ciphers - at) % 2 !== 0 || !skip(ciphers)) return wrong('bad cipher suites in a ClientHello');
  if (!skip(vector(1, 1, 255, limit))) return wrong('bad compression methods in a ClientHello');
  if (legacy < 0x0300 || legacy > 0x03ff) return wrong('a ClientHello of another protocol');
  hello.versions = upTo(legacy);
  if (at === limit) return true;
  const end = vector(2, 0, 0xffff, limit);
  if (end !== limit) return wrong('a bad length of extensions in a ClientHello');
  return extensions(end);
}

function skip(to: number): boolean {
  if (to < 0) return false;
  at = to;
  return true;
}

/** A client without a list of versions may speak that one and any before. */
function upTo(legacy: number): number {
  return ((1 << Math.min(Math.max(legacy - 0x0300, 0), 3)) - 1) & (TLS10 | TLS11 | TLS12);
}

function extensions(end: number): boolean {
  let seen = 0;
  while (at < end) {
    if (at + 4 > end) return wrong('a short extension in a ClientHello');
    const type = helloBytes.readUInt16BE(at);
    at += 2;
    const stop = vector(2, 0, 0xffff, end);
    if (stop < 0) return wrong('an extension that leaves its ClientHello');
    const bit = type === SERVER_NAME ? 1 : type === ALPN ? 2 : type === SUPPORTED_VERSIONS ? 4 : 0;
    if ((seen & bit) !== 0) return wrong('an extension that comes twice');
    seen |= bit;
    if (bit === 1 && !serverName(stop)) return wrong('a bad server name in a ClientHello');
    if (bit === 2 && !protocols(stop)) return wrong('a bad list of protocols in a ClientHello');
    if (bit === 4 && !versions(stop)) return wrong('a bad list of versions in a ClientHello');
    at = stop;
  }
  return true;
}

/** RFC 6066 3: a list with one name of a host in it, which has no dot at its end. */
function serverName(stop: number): boolean {
  if (vector(2, 4, 0xffff, stop) !== stop || helloBytes[at++] !== 0 || vector(2, 1, 255, stop) !== stop) return false;
  for (let p = at; p < stop; p += 1) {
    const c = helloBytes[p]!;
    const low = c >= 65 && c <= 90 ? c + 32 : c;
    const letter = (low >= 97 && low <= 122) || (c >= 48 && c <= 57) || c === 45 || c === 95 || c === 46;
    // An empty label is none.
    if (!letter || (c === 46 && (p === at || p + 1 === stop || helloBytes[p + 1] === 46))) return false;
    helloBytes[p] = low;
  }
  hello.sniOff = at;
  hello.sniLen = stop - at;
  return true;
}

/** RFC 7301 3.1 */
function protocols(stop: number): boolean {
  if (vector(2, 2, 0xffff, stop) !== stop) return false;
  const from = at;
  while (at < stop) if (!skip(vector(1, 1, 255, stop))) return false;
  hello.alpnOff = from;
  hello.alpnLen = stop - from;
  return true;
}

/** RFC 8446 4.2.1: the version of the ClientHello itself no longer counts. Unknown numbers are passed over. */
function versions(stop: number): boolean {
  if (vector(1, 2, 254, stop) !== stop || (stop - at) % 2 !== 0) return false;
  hello.versions = 0;
  for (; at < stop; at += 2) {
    const version = helloBytes.readUInt16BE(at) - 0x0301;
    if (version >= 0 && version <= 3) hello.versions |= 1 << version;
  }
  return true;
}

/** The client offers this protocol ("h2"). */
export function offers(protocol: Uint8Array): boolean {
  const end = hello.alpnOff + hello.alpnLen;
  for (let p = hello.alpnOff; p < end; p += 1 + helloBytes[p]!) {
    if (helloBytes[p] !== protocol.length) continue;
    let i = 0;
    while (i < protocol.length && helloBytes[p + 1 + i] === protocol[i]) i += 1;
    if (i === protocol.length) return true;
  }
  return false;
}

/** All of them as text, in the client's order: for what is shown. */
export function offered(): string[] {
  const names: string[] = [];
  const end = hello.alpnOff + hello.alpnLen;
  for (let p = hello.alpnOff; p < end; p += 1 + helloBytes[p]!) {
    names.push(helloBytes.toString('latin1', p + 1, p + 1 + helloBytes[p]!));
  }
  return names;
}
