// The fields of a head (RFC 9112 section 5) as words of one table, and what they say about framing and the connection.
// Field names are lowered in place. One parser a thread: the result stands until the next call.
import { plainEnd, unnoted } from './controls.ts';
import type { Controls } from './controls.ts';

/** As many as Envoy takes where nothing else is said, and as many as can be. */
export const FIELDS = 100;
export const MAX_FIELDS = 256;

/** Words of a field in `fields`: offsets are into the arena, F_END is the place after its CRLF. */
export const FIELD_WORDS = 7;
export const F_NAME = 0;
export const F_NAME_LEN = 1;
export const F_VALUE = 2;
export const F_VALUE_LEN = 3;
export const F_END = 4;
export const F_ID = 5;
/** nameHash() of the lowered name. */
export const F_HASH = 6;

export const fields = new Int32Array(MAX_FIELDS * FIELD_WORDS);

// Fields that mean something to a router. 0 is any other.
export const HOST = 1;
export const CONTENT_LENGTH = 2;
export const TRANSFER_ENCODING = 3;
export const CONNECTION = 4;
export const UPGRADE = 5;
export const EXPECT = 6;
export const KEEP_ALIVE = 7;
export const PROXY_CONNECTION = 8;
export const TE = 9;
export const TRAILER = 10;
export const X_FORWARDED_FOR = 11;
// 12: x-forwarded-proto, 13: http2-settings, 14: x-forwarded-client-cert, which only who checked one may say
const known = ['host', 'content-length', 'transfer-encoding', 'connection', 'upgrade', 'expect', 'keep-alive'].concat([
  'proxy-connection',
  'te',
  'trailer',
  'x-forwarded-for',
  'x-forwarded-proto',
  'http2-settings',
  'x-forwarded-client-cert',
]);

// head.connection, bits.
export const C_CLOSE = 1;
export const C_KEEP_ALIVE = 2;
export const C_UPGRADE = 4;
/** Names other fields, which must not be passed on. */
export const C_NAMED = 8;

/** The head that was parsed last. */
export const head = {
  /** Why the last call refused. */
  why: '',
  length: 0,
  /** Response: where it begins. */
  start: 0,
  /** Place after the request or status line's CRLF. */
  line: 0,
  /** The x in HTTP/1.x. */
  minor: 1,
  count: 0,
  method: 0,
  methodOff: 0,
  methodLen: 0,
  /** The path with its query, and its two parts; the query without '?', queryOff -1 where none. */
  targetOff: 0,
  targetLen: 0,
  pathOff: 0,
  pathLen: 0,
  queryOff: -1,
  queryLen: 0,
  /** Bits of `classes` of all bytes of the target as it came. */
  targetBits: 0,
  /** The target does not stand in the arena as it is to go on: it was absolute ("http://host/path") or made normal. */
  absolute: false,
  /** Host with its port, and without. */
  authorityOff: 0,
  authorityLen: 0,
  hostOff: 0,
  hostLen: 0,
  status: 0,
  /** -1: none. */
  contentLength: -1,
  chunked: false,
  connection: 0,
  /** Place of the Host field in `fields`, -1: none. */
  host: -1,
  /** Index of the Upgrade field, -1: none. */
  upgrade: -1,
  /** Place of the Keep-Alive field in `fields`, -1: none. */
  keepAlive: -1,
  expect: false,
};

// Bits of `classes`.
export const TOKEN = 1;
export const VALUE = 2;
export const TARGET = 4;
export const HOSTNAME = 8;
// Of TARGET:
/** JSON would escape it. */
export const QUOTED = 16;
/** The question mark. */
export const QUERY = 32;
export const DOT = 64;
/** A path with it may have to change, whatever stands beside it. */
export const ODD = 128;
/** What a byte may be part of. */
export const classes = new Uint8Array(256);
/** Lower case of a byte. */
export const lower = new Uint8Array(256);
/** Lower case of a byte of a name; 0 for what no name has. */
const names = new Uint8Array(256);
for (let c = 0; c < 256; c += 1) {
  const s = String.fromCharCode(c);
  lower[c] = c >= 65 && c <= 90 ? c + 32 : c;
  if (/[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(s)) {
    classes[c] = classes[c]! | TOKEN;
    names[c] = lower[c]!;
  }
  if (c === 9 || (c >= 32 && c !== 127)) classes[c] = classes[c]! | VALUE;
  if (c > 32 && c < 127 && s !== '#') classes[c] = classes[c]! | TARGET;
  if ('"\\'.includes(s)) classes[c] = classes[c]! | QUOTED;
  if ('"<>^`{|}%\\'.includes(s)) classes[c] = classes[c]! | ODD;
  if (s === '?') classes[c] = classes[c]! | QUERY;
  if (s === '.') classes[c] = classes[c]! | DOT;
  if (/[A-Za-z0-9\-._~!$&'()*+,;=%]/.test(s)) classes[c] = classes[c]! | HOSTNAME;
}

/** Hash of a name in lower case, as F_HASH has it: of its length and three of its bytes. Who compares hashes compares
 * bytes too. */
export function hashAt(a: Uint8Array, off: number, len: number): number {
  if (len === 0) return 0;
  const h = Math.imul((len << 24) ^ (a[off]! << 16) ^ (a[off + (len >> 1)]! << 8) ^ a[off + len - 1]!, 0x9e3779b1);
  return h ^ (h >>> 16);
}

export function nameHash(name: string): number {
  return hashAt(Buffer.from(name, 'latin1'), 0, name.length);
}

const PROBES = 256;
const knownHash = new Int32Array(PROBES);
const knownId = new Uint8Array(PROBES);
const knownBytes = ['', ...known].map((name) => Buffer.from(name, 'latin1'));
known.forEach((name, i) => {
  const hash = nameHash(name);
  let at = hash & (PROBES - 1);
  while (knownId[at] !== 0) at = (at + 1) & (PROBES - 1);
  knownHash[at] = hash;
  knownId[at] = i + 1;
});

/** Which of the fields above it is, or 0. */
export function identify(a: Uint8Array, off: number, len: number, hash: number): number {
  let at = hash & (PROBES - 1);
  while (knownId[at] !== 0) {
    const id = knownId[at]!;
    if (knownHash[at] === hash && bytesAre(a, off, len, knownBytes[id]!)) return id;
    at = (at + 1) & (PROBES - 1);
  }
  return 0;
}

/** The piece of the arena is exactly these bytes. */
export function bytesAre(a: Uint8Array, off: number, len: number, bytes: Uint8Array): boolean {
  if (len !== bytes.length) return false;
  for (let i = 0; i < len; i += 1) if (a[off + i] !== bytes[i]) return false;
  return true;
}

/** Like bytesAre, where `lowered` is lower case and the arena may not be. */
export function bytesAreFolded(a: Uint8Array, off: number, len: number, lowered: Uint8Array): boolean {
  if (len !== lowered.length) return false;
  for (let i = 0; i < len; i += 1) if (lower[a[off + i]!] !== lowered[i]) return false;
  return true;
}

/** Minus the status; head.why says why. */
export function refuse(status: number, why: string): number {
  head.why = why;
  return -status;
}

/** Gives the place after the empty line, 0 incomplete, negative refused. Fills `fields` and head.count. */
export function parseFields(a: Uint8Array, start: number, end: number, most = FIELDS, controls = unnoted): number {
  let p = start;
  let n = 0;
  for (;;) {
    if (p >= end) return 0;
    if (a[p] === 13) {
      if (p + 1 >= end) return 0;
      if (a[p + 1] !== 10) return refuse(400, 'bare CR');
      head.count = n;
      return p + 2;
    }
    if (n === most) return refuse(431, `more than ${most} fields`);
    const nameOff = p;
    for (; p < end; p += 1) {
      const b = a[p]!;
      const c = names[b]!;
      if (c === 0) break;
      if (c !== b) a[p] = c;
    }
    if (p >= end) return 0;
    if (a[p] !== 58 || p === nameOff) return refuse(400, 'bad field name');
    const at = n * FIELD_WORDS;
    const hash = hashAt(a, nameOff, p - nameOff);
    fields[at + F_NAME] = nameOff;
    fields[at + F_NAME_LEN] = p - nameOff;
    fields[at + F_HASH] = hash;
    fields[at + F_ID] = identify(a, nameOff, p - nameOff, hash);
    p = fieldValue(a, p + 1, end, at, controls);
    if (p <= 0) return p;
    n += 1;
  }
}

function fieldValue(a: Uint8Array, start: number, end: number, at: number, controls: Controls): number {
  let p = start;
  while (p < end && (a[p] === 32 || a[p] === 9)) p += 1;
  const off = p;
  p = plainEnd(a, p, end, controls);
  let last = p;
  while (last > off && (a[last - 1] === 32 || a[last - 1] === 9)) last -= 1;
  if (p >= end) return 0;
  if (a[p] !== 13) return refuse(400, a[p] === 10 ? 'bare LF' : 'control byte in a field');
  if (p + 1 >= end) return 0;
  if (a[p + 1] !== 10) return refuse(400, 'bare CR');
  fields[at + F_VALUE] = off;
  fields[at + F_VALUE_LEN] = last - off;
  fields[at + F_END] = p + 2;
  return p + 2;
}

const chunkedBytes = Buffer.from('chunked');
const closeBytes = Buffer.from('close');
const keepAliveBytes = Buffer.from('keep-alive');
const upgradeBytes = Buffer.from('upgrade');
const continueBytes = Buffer.from('100-continue');

/** The number that a Content-Length says, -1: it is none (RFC 9110 8.6), or more than this router goes by. */
export function contentLength(a: Uint8Array, off: number, len: number): number {
  if (len === 0 || len > 15) return -1;
  let value = 0;
  for (let i = 0; i < len; i += 1) {
    const c = a[off + i]!;
    if (c < 48 || c > 57) return -1;
    value = value * 10 + (c - 48);
  }
  return value;
}

/** Reads the tokens of a Connection value into head.connection; false where it is no list of tokens. */
function connectionTokens(a: Uint8Array, off: number, len: number): boolean {
  const end = off + len;
  let p = off;
  while (p < end) {
    while (p < end && (a[p] === 32 || a[p] === 9 || a[p] === 44)) p += 1;
    const start = p;
    while (p < end && (classes[a[p]!]! & TOKEN) !== 0) p += 1;
    const size = p - start;
    if (size === 0) return p >= end;
    if (bytesAreFolded(a, start, size, closeBytes)) head.connection |= C_CLOSE;
    else if (bytesAreFolded(a, start, size, keepAliveBytes)) head.connection |= C_KEEP_ALIVE;
    else if (bytesAreFolded(a, start, size, upgradeBytes)) head.connection |= C_UPGRADE;
    else head.connection |= C_NAMED;
    while (p < end && (a[p] === 32 || a[p] === 9)) p += 1;
    if (p < end && a[p] !== 44) return false;
  }
  return true;
}

let codings = 0;

/** What requests and responses have in common: framing and connection fields. 0 or a refusal. */
export function meaning(a: Uint8Array): number {
  head.contentLength = -1;
  head.chunked = false;
  head.connection = 0;
  head.upgrade = -1;
  head.expect = false;
  head.host = -1;
  head.keepAlive = -1;
  codings = 0;
  for (let i = 0, at = 0; i < head.count; i += 1, at += FIELD_WORDS) {
    const id = fields[at + F_ID]!;
    if (id === 0 || id > KEEP_ALIVE) continue;
    const off = fields[at + F_VALUE]!;
    const len = fields[at + F_VALUE_LEN]!;
    if (id === HOST) {
      if (head.host >= 0) return refuse(400, 'more than one Host');
      head.host = at;
    } else if (id === CONTENT_LENGTH) {
      if (head.contentLength >= 0) return refuse(400, 'more than one Content-Length');
      head.contentLength = contentLength(a, off, len);
      if (head.contentLength < 0) return refuse(400, 'bad Content-Length');
    } else if (id === TRANSFER_ENCODING) {
      codings += 1;
      if (codings > 1) return refuse(400, 'more than one Transfer-Encoding');
      head.chunked = bytesAreFolded(a, off, len, chunkedBytes);
      if (!head.chunked) return refuse(unknownCoding(a, off, len), 'Transfer-Encoding other than chunked');
    } else if (id === CONNECTION) {
      if (!connectionTokens(a, off, len)) return refuse(400, 'bad Connection');
    } else if (id === UPGRADE) head.upgrade = i;
    else if (id === KEEP_ALIVE) head.keepAlive = at;
    else if (bytesAreFolded(a, off, len, continueBytes)) head.expect = true;
    else return refuse(417, 'unknown expectation');
  }
  if (head.chunked && head.contentLength >= 0) return refuse(400, 'Transfer-Encoding with Content-Length');
  if (head.chunked && head.minor === 0) return refuse(400, 'Transfer-Encoding in HTTP/1.0');
  return 0;
}

/** RFC 9112 6.1: codings that end in chunked but that we lack are 501, all others leave the length open: 400. */
function unknownCoding(a: Uint8Array, off: number, len: number): number {
  const size = chunkedBytes.length;
  if (len <= size || !bytesAreFolded(a, off + len - size, size, chunkedBytes)) return 400;
  let p = off + len - size - 1;
  while (p > off && a[p] === 32) p -= 1;
  if (a[p] !== 44) return 400;
  for (let i = off; i < p; i += 1) if ((classes[a[i]!]! & TOKEN) === 0) return 400;
  return p > off ? 501 : 400;
}
