// Strict heads by RFC 9112, over (arena, offset, end) into the integers of `head` and `fields`: no object, string or
// closure per request. What two readers could understand differently is refused, never repaired.
import {
  FIELDS,
  F_VALUE,
  F_VALUE_LEN,
  HOSTNAME,
  QUERY,
  TARGET,
  TOKEN,
  bytesAre,
  bytesAreFolded,
  classes,
  fields,
  head,
  lower,
  meaning,
  parseFields,
  refuse,
} from './head/fields.ts';
import { plainEnd, unnoted } from './head/controls.ts';
import { ROW_BYTES } from './transport.ts';

/** Line and fields of a message, and its target, in bytes: what nginx takes (large_client_header_buffers 4 8k). */
export const MAX_HEAD = 32 * 1024;
export const MAX_TARGET = 8 * 1024;
const MAX_METHOD = 32;

/** What a request's head may be at most: bytes in all, fields, and bytes of its target. */
export interface HeadBounds {
  readonly bytes: number;
  /** At most MAX_FIELDS. */
  readonly fields: number;
  readonly target: number;
}

/** Where nothing else is said. */
export const headBounds: HeadBounds = { bytes: MAX_HEAD, fields: FIELDS, target: MAX_TARGET };

// head.method. All but OTHER and CONNECT may be sent twice (RFC 9110 9.2.2).
export const OTHER = 0;
export const HEAD = 2;
export const CONNECT = 3;
export const OPTIONS = 4;
const methods = ['', 'GET', 'HEAD', 'CONNECT', 'OPTIONS', 'PUT', 'DELETE', 'TRACE'];

function more(size: number, most: number): number {
  return size > most ? refuse(431, `head larger than ${most} bytes`) : 0;
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

/** Of a head that comes in pieces and had `scanned` bytes before: none of its lines has ended since, so that to parse
 * it again would say nothing new. */
export function nothingNew(a: Uint8Array, off: number, scanned: number, len: number, most: number): boolean {
  if (scanned === 0 || len > ROW_BYTES - 1 || len > most) return false;
  for (let p = off + scanned; p < off + len; p += 1) if (a[p] === 10) return false;
  return true;
}

/** Parses a request head at [off, end). Gives its length, 0 where more bytes are needed, or minus the status to refuse
 * with (head.why says why). */
export function parseRequest(a: Uint8Array, off: number, end: number, most = headBounds, controls = unnoted): number {
  let p = off;
  // RFC 9112 2.2: one empty line before the request line is ignored.
  if (p < end && a[p] === 13) {
    if (p + 1 >= end) return 0;
    if (a[p + 1] !== 10) return refuse(400, 'bare CR');
    p += 2;
  }
  p = requestLine(a, p, end, most.target);
  if (p === 0) return more(end - off, most.bytes);
  if (p < 0) return p;
  head.line = p;
  p = parseFields(a, p, end, most.fields, controls);
  if (p === 0) return more(end - off, most.bytes);
  if (p < 0) return p;
  if (p - off > most.bytes) return more(p - off, most.bytes);
  head.length = p - off;
  const bad = meaning(a) || target(a);
  return bad < 0 ? bad : head.length;
}

function requestLine(a: Uint8Array, start: number, end: number, most: number): number {
  let p = start;
  while (p < end && (classes[a[p]!]! & TOKEN) !== 0) p += 1;
  if (p - start > MAX_METHOD) return refuse(501, 'unknown method');
  if (p >= end) return 0;
  if (a[p] !== 32 || p === start) return refuse(400, 'bad method');
  head.methodOff = start;
  head.methodLen = p - start;
  p += 1;
  head.targetOff = p;
  let seen = 0;
  for (; p < end; p += 1) {
    const is = classes[a[p]!]!;
    if ((is & TARGET) === 0) break;
    seen |= is;
  }
  head.targetBits = seen;
  if (p - head.targetOff > most) return refuse(414, `target longer than ${most} bytes`);
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
  if (head.host < 0) return refuse(400, 'no Host');
  head.authorityOff = fields[head.host + F_VALUE]!;
  head.authorityLen = fields[head.host + F_VALUE_LEN]!;
  if (head.method === CONNECT) return authorityForm(a);
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
  if ((head.targetBits & QUERY) === 0) return;
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

/** [off, end) is what Host says, letter case aside. */
function isHost(a: Uint8Array, off: number, end: number): boolean {
  if (end - off !== head.authorityLen) return false;
  for (let i = 0; i < head.authorityLen; i += 1) {
    if (lower[a[off + i]!] !== lower[a[head.authorityOff + i]!]) return false;
  }
  return true;
}

/** "host:port" of CONNECT (RFC 9112 3.2.3): Host must say the same. It has no path, and no body that means anything. */
function authorityForm(a: Uint8Array): number {
  if (!isHost(a, head.targetOff, head.targetOff + head.targetLen)) return refuse(400, 'Host and target differ');
  if (head.chunked || head.contentLength > 0) return refuse(400, 'CONNECT with a body');
  head.pathOff = head.targetOff;
  head.pathLen = head.queryLen = 0;
  head.queryOff = -1;
  return authority(a);
}

/** "http://authority/path" (RFC 9112 3.2.2): the authority counts, and Host must not say another. The path may be
 * missing: normalisePath() says what it is then. */
function absoluteForm(a: Uint8Array): number {
  const end = head.targetOff + head.targetLen;
  for (const scheme of schemes) {
    if (head.targetLen <= scheme.length || !bytesAreFolded(a, head.targetOff, scheme.length, scheme)) continue;
    const from = head.targetOff + scheme.length;
    let p = from;
    while (p < end && a[p] !== 47 && a[p] !== 63) p += 1;
    if (!isHost(a, from, p)) return refuse(400, 'Host and target differ');
    if (p < end && a[p] !== 47) return refuse(400, 'bad target');
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
export function parseResponse(a: Uint8Array, off: number, end: number, controls = unnoted): number {
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
  p = plainEnd(a, p, end, controls);
  if (p + 1 >= end) return end - off > MAX_HEAD ? refuse(502, 'head too large') : 0;
  if (a[p] !== 13 || a[p + 1] !== 10) return refuse(502, 'bad status line');
  head.line = p + 2;
  p = parseFields(a, p + 2, end, FIELDS, controls);
  if (p === 0) return end - off > MAX_HEAD ? refuse(502, 'head too large') : 0;
  if (p < 0 || p - off > MAX_HEAD) return refuse(502, p < 0 ? head.why : 'head too large');
  head.length = p - off;
  return meaning(a) < 0 ? refuse(502, head.why) : head.length;
}
