// Strict heads by RFC 9112, over (arena, offset, end) into the integers of `head` and `fields`: no object, string or
// closure per request. What two readers could understand differently is refused, never repaired. Field names are
// lowered in place. One parser a thread: the result stands until the next call.

export const MAX_HEAD = 32 * 1024;
export const MAX_TARGET = 8 * 1024;
export const MAX_FIELDS = 100;
const MAX_METHOD = 32;

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
export const X_FORWARDED_PROTO = 12;
export const HTTP2_SETTINGS = 13;
const known = ['host', 'content-length', 'transfer-encoding', 'connection', 'upgrade', 'expect', 'keep-alive'].concat(
  ['proxy-connection', 'te', 'trailer', 'x-forwarded-for', 'x-forwarded-proto', 'http2-settings'],
);

// head.method. All but OTHER and CONNECT may be sent twice (RFC 9110 9.2.2).
export const OTHER = 0;
export const HEAD = 2;
export const CONNECT = 3;
const OPTIONS = 4;
const methods = ['', 'GET', 'HEAD', 'CONNECT', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'];

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
  method: OTHER,
  methodOff: 0,
  methodLen: 0,
  /** The path with its query, and its two parts; the query without '?', queryOff -1 where none. */
  targetOff: 0,
  targetLen: 0,
  pathOff: 0,
  pathLen: 0,
  queryOff: -1,
  queryLen: 0,
  /** The target was absolute ("http://host/path"). */
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
  /** Index of the Upgrade field, -1: none. */
  upgrade: -1,
  expect: false,
};

const TOKEN = 1;
const VALUE = 2;
const TARGET = 4;
const HOSTNAME = 8;
const classes = new Uint8Array(256);
const lower = new Uint8Array(256);
for (let c = 0; c < 256; c += 1) {
  const s = String.fromCharCode(c);
  lower[c] = c >= 65 && c <= 90 ? c + 32 : c;
  if (/[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(s)) classes[c] = classes[c]! | TOKEN;
  if (c === 9 || (c >= 32 && c !== 127)) classes[c] = classes[c]! | VALUE;
  if (c > 32 && c < 127 && s !== '#') classes[c] = classes[c]! | TARGET;
  if (/[A-Za-z0-9\-._~!$&'()*+,;=%]/.test(s)) classes[c] = classes[c]! | HOSTNAME;
}

/** Hash of a lowered name, as F_HASH has it. */
export function nameHash(name: string): number {
  let h = 0;
  for (let i = 0; i < name.length; i += 1) h = (Math.imul(h, 31) + name.charCodeAt(i)) | 0;
  return h;
}

const PROBES = 64;
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

function identify(a: Uint8Array, off: number, len: number, hash: number): number {
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

function refuse(status: number, why: string): number {
  head.why = why;
  return -status;
}

function more(size: number): number {
  return size > MAX_HEAD ? refuse(431, 'head too large') : 0;
}

const v11 = Buffer.from('HTTP/1.1');
const versionPrefix = Buffer.from('HTTP/');

/** Reads "HTTP/1.x" at p; sets head.minor. 0 incomplete, negative refused, else the place behind. */
function version(a: Uint8Array, p: number, end: number): number {
  for (let i = 0; i < 8; i += 1) {
    if (p + i >= end) return 0;
    const c = a[p + i]!;
    if (i < 5 ? c !== versionPrefix[i] : i === 6 ? c !== 46 : c < 48 || c > 57) return refuse(400, 'bad version');
  }
  const minor = a[p + 7]! - 48;
  if (a[p + 5] !== v11[5] || minor > 1) return refuse(505, 'not HTTP/1.0 or HTTP/1.1');
  head.minor = minor;
  return p + 8;
}

/** Gives the place after the empty line, 0 incomplete, negative refused. Fills `fields` and head.count. */
function parseFields(a: Uint8Array, start: number, end: number): number {
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
    if (n === MAX_FIELDS) return refuse(431, 'too many fields');
    const nameOff = p;
    let hash = 0;
    let c = 0;
    for (; p < end; p += 1) {
      c = a[p]!;
      if ((classes[c]! & TOKEN) === 0) break;
      c = lower[c]!;
      a[p] = c;
      hash = (Math.imul(hash, 31) + c) | 0;
    }
    if (p >= end) return 0;
    if (c !== 58 || p === nameOff) return refuse(400, 'bad field name');
    const at = n * FIELD_WORDS;
    fields[at + F_NAME] = nameOff;
    fields[at + F_NAME_LEN] = p - nameOff;
    fields[at + F_HASH] = hash;
    fields[at + F_ID] = identify(a, nameOff, p - nameOff, hash);
    p = fieldValue(a, p + 1, end, at);
    if (p <= 0) return p;
    n += 1;
  }
}

function fieldValue(a: Uint8Array, start: number, end: number, at: number): number {
  let p = start;
  while (p < end && (a[p] === 32 || a[p] === 9)) p += 1;
  const off = p;
  let last = p;
  for (; p < end; p += 1) {
    const c = a[p]!;
    if ((classes[c]! & VALUE) === 0) break;
    if (c !== 32 && c !== 9) last = p + 1;
  }
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

function contentLength(a: Uint8Array, off: number, len: number): number {
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

let hostField = -1;
let codings = 0;

/** What requests and responses have in common: framing and connection fields. 0 or a refusal. */
function meaning(a: Uint8Array): number {
  head.contentLength = -1;
  head.chunked = false;
  head.connection = 0;
  head.upgrade = -1;
  head.expect = false;
  hostField = -1;
  codings = 0;
  for (let i = 0, at = 0; i < head.count; i += 1, at += FIELD_WORDS) {
    const id = fields[at + F_ID]!;
    if (id === 0 || id > EXPECT) continue;
    const off = fields[at + F_VALUE]!;
    const len = fields[at + F_VALUE_LEN]!;
    if (id === HOST) {
      if (hostField >= 0) return refuse(400, 'more than one Host');
      hostField = at;
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

/** Parses a request head at [off, end). Gives its length, 0 where more bytes are needed, or minus the status to refuse
 * with (head.why says why). */
export function parseRequest(a: Uint8Array, off: number, end: number): number {
  let p = off;
  // RFC 9112 2.2: one empty line before the request line is ignored.
  if (p < end && a[p] === 13) {
    if (p + 1 >= end) return 0;
    if (a[p + 1] !== 10) return refuse(400, 'bare CR');
    p += 2;
  }
  p = requestLine(a, p, end);
  if (p === 0) return more(end - off);
  if (p < 0) return p;
  head.line = p;
  p = parseFields(a, p, end);
  if (p === 0) return more(end - off);
  if (p < 0) return p;
  if (p - off > MAX_HEAD) return more(p - off);
  head.length = p - off;
  const bad = meaning(a) || target(a);
  return bad < 0 ? bad : head.length;
}

function requestLine(a: Uint8Array, start: number, end: number): number {
  let p = start;
  while (p < end && (classes[a[p]!]! & TOKEN) !== 0) p += 1;
  if (p - start > MAX_METHOD) return refuse(501, 'unknown method');
  if (p >= end) return 0;
  if (a[p] !== 32 || p === start) return refuse(400, 'bad method');
  head.methodOff = start;
  head.methodLen = p - start;
  p += 1;
  head.targetOff = p;
  while (p < end && (classes[a[p]!]! & TARGET) !== 0) p += 1;
  if (p - head.targetOff > MAX_TARGET) return refuse(414, 'target too long');
  if (p >= end) return 0;
  if (a[p] !== 32 || p === head.targetOff) return refuse(400, 'bad target');
  head.targetLen = p - head.targetOff;
  p = version(a, p + 1, end);
  if (p <= 0) return p;
  if (p + 1 >= end) return p < end && a[p] !== 13 ? refuse(400, 'bad request line') : 0;
  if (a[p] !== 13 || a[p + 1] !== 10) return refuse(400, 'bad request line');
  return p + 2;
}

const methodBytes = methods.map((m) => Buffer.from(m, 'latin1'));

function target(a: Uint8Array): number {
  head.method = OTHER;
  for (let m = 1; m < methodBytes.length; m += 1) {
    if (bytesAre(a, head.methodOff, head.methodLen, methodBytes[m]!)) head.method = m;
  }
  head.absolute = false;
  if (head.method === CONNECT) return refuse(501, 'CONNECT is not served');
  if (hostField < 0) return refuse(400, 'no Host');
  head.authorityOff = fields[hostField + F_VALUE]!;
  head.authorityLen = fields[hostField + F_VALUE_LEN]!;
  const first = a[head.targetOff];
  if (first === 42 && head.targetLen === 1) {
    if (head.method !== OPTIONS) return refuse(400, 'bad target');
  } else if (first !== 47) {
    const bad = absoluteForm(a);
    if (bad < 0) return bad;
  }
  splitQuery(a);
  return authority(a);
}

function splitQuery(a: Uint8Array): void {
  head.pathOff = head.targetOff;
  head.pathLen = head.targetLen;
  head.queryOff = -1;
  head.queryLen = 0;
  const end = head.targetOff + head.targetLen;
  for (let p = head.targetOff; p < end; p += 1) {
    if (a[p] !== 63) continue;
    head.pathLen = p - head.targetOff;
    head.queryOff = p + 1;
    head.queryLen = end - p - 1;
    return;
  }
}

const schemes = [Buffer.from('http://'), Buffer.from('https://')];

/** "http://authority/path" (RFC 9112 3.2.2): the authority counts, and Host must not say another. */
function absoluteForm(a: Uint8Array): number {
  const end = head.targetOff + head.targetLen;
  for (const scheme of schemes) {
    if (head.targetLen <= scheme.length || !bytesAreFolded(a, head.targetOff, scheme.length, scheme)) continue;
    const from = head.targetOff + scheme.length;
    let p = from;
    while (p < end && a[p] !== 47 && a[p] !== 63) p += 1;
    if (p - from !== head.authorityLen) return refuse(400, 'Host and target differ');
    for (let i = 0; i < head.authorityLen; i += 1) {
      if (lower[a[from + i]!] !== lower[a[head.authorityOff + i]!]) return refuse(400, 'Host and target differ');
    }
    if (a[p] !== 47) return refuse(400, 'bad target');
    head.absolute = true;
    head.targetOff = p;
    head.targetLen = end - p;
    return 0;
  }
  return refuse(400, 'bad target');
}

/** Checks Host by RFC 3986 3.2 (no user, no empty name) and splits off its port. */
function authority(a: Uint8Array): number {
  const off = head.authorityOff;
  const end = off + head.authorityLen;
  let p = off;
  if (a[p] === 91 && p < end) {
    p += 1;
    while (p < end && (hexOrColon(a[p]!) || a[p] === 46)) p += 1;
    if (p >= end || a[p] !== 93 || p - off < 3) return refuse(400, 'bad Host');
    p += 1;
  } else while (p < end && (classes[a[p]!]! & HOSTNAME) !== 0) p += 1;
  if (p === off) return refuse(400, 'bad Host');
  head.hostOff = off;
  head.hostLen = p - off;
  if (p === end) return 0;
  if (a[p] !== 58 || end - p > 6) return refuse(400, 'bad Host');
  for (p += 1; p < end; p += 1) if (a[p]! < 48 || a[p]! > 57) return refuse(400, 'bad Host');
  return 0;
}

function hexOrColon(c: number): boolean {
  return (c >= 48 && c <= 58) || (c >= 65 && c <= 70) || (c >= 97 && c <= 102);
}

/** Parses a response head at [off, end): like parseRequest, but every refusal is -502. */
export function parseResponse(a: Uint8Array, off: number, end: number): number {
  let p = version(a, off, end);
  if (p < 0) return refuse(502, head.why);
  if (p === 0 || p + 4 > end) return 0;
  if (a[p] !== 32) return refuse(502, 'bad status line');
  let status = 0;
  for (let i = 1; i <= 3; i += 1) {
    const c = a[p + i];
    if (c === undefined || p + i >= end) return 0;
    if (c < 48 || c > 57) return refuse(502, 'bad status');
    status = status * 10 + (c - 48);
  }
  p += 4;
  if (p >= end) return 0;
  if (status < 100 || status > 599 || (a[p] !== 32 && a[p] !== 13)) return refuse(502, 'bad status');
  head.status = status;
  head.start = off;
  while (p < end && (classes[a[p]!]! & VALUE) !== 0) p += 1;
  if (p + 1 >= end) return end - off > MAX_HEAD ? refuse(502, 'head too large') : 0;
  if (a[p] !== 13 || a[p + 1] !== 10) return refuse(502, 'bad status line');
  head.line = p + 2;
  p = parseFields(a, p + 2, end);
  if (p === 0) return end - off > MAX_HEAD ? refuse(502, 'head too large') : 0;
  if (p < 0 || p - off > MAX_HEAD) return refuse(502, p < 0 ? head.why : 'head too large');
  head.length = p - off;
  return meaning(a) < 0 ? refuse(502, head.why) : head.length;
}
