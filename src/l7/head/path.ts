// The path of a request made normal before anything is decided by it, as MeshConfig.pathNormalization of Istio names
// the ways: what routes, log and upstream see is one path. The outcome is made normal already: doing it twice changes
// nothing more.
import type { PathNormalization } from '../../mesh/snapshot.ts';
import { CONNECT, OPTIONS } from '../http1.ts';
import { DOT, ODD, classes, head, refuse } from './fields.ts';
import type { Emitter } from './emit.ts';

const SLASH = 47;
const ASTERISK = 42;
const PERIOD = 46;
const SEMICOLON = 59;
const BACKSLASH = 92;
const PERCENT = 37;
/** Bytes by which a path may grow: what has to be escaped ought to be rare, and scratch is finite. */
const MAX_GROWTH = 512;

// Bits of `kinds`.
/** Written as an escape where it comes as it is. */
const ESCAPED = 1;
/** Written as it is where it comes as an escape (RFC 3986 2.3). */
const PLAIN = 2;
const kinds = new Uint8Array(128);
for (let c = 0; c < 128; c += 1) {
  const s = String.fromCharCode(c);
  if ('"<>^`{|}'.includes(s)) kinds[c] = ESCAPED;
  else if (/[A-Za-z0-9\-._~]/.test(s)) kinds[c] = PLAIN;
}

const hexDigits = Buffer.from('0123456789ABCDEF');

/** Value of a hexadecimal digit, -1 where it is none. */
function hex(c: number | undefined): number {
  if (c === undefined) return -1;
  if (c >= 48 && c <= 57) return c - 48;
  const low = c | 32;
  return low >= 97 && low <= 102 ? low - 87 : -1;
}

function needsChange(a: Uint8Array, merge: boolean): boolean {
  // Most have nothing of the kind.
  if ((head.targetBits & (ODD | DOT)) === 0 && !merge) return false;
  const end = head.pathOff + head.pathLen;
  let before = 0;
  for (let p = head.pathOff; p < end; p += 1) {
    const c = a[p]!;
    if ((classes[c]! & ODD) !== 0) return true;
    if (before === SLASH && ((classes[c]! & DOT) !== 0 || (merge && c === SLASH))) return true;
    before = c;
  }
  return false;
}

// The path that is being written: [from, to) of the arena, its last element begins at `element`.
let from = 0;
let to = 0;
let element = 0;
/** Place of a "%" that begins no escape, where two bytes behind it could make it one; -1: none. */
let stray = -1;

/** Puts one byte of the path. Where it would complete an escape that nobody wrote, the "%" becomes one itself. */
function put(a: Uint8Array, c: number): void {
  if (stray >= 0 && to - stray === 2 && hex(a[to - 1]) >= 0 && hex(c) >= 0) {
    a[to + 1] = a[to - 1]!;
    a[stray + 1] = 50;
    a[stray + 2] = 53;
    to += 2;
    stray = -1;
  }
  a[to++] = c;
}

/** The last element is whole: "." and ".." do what they say, also with parameters (";") behind them, which some servers
 * leave out. */
function endElement(a: Uint8Array): boolean {
  let dots = 0;
  while (element + dots < to && a[element + dots] === PERIOD) dots += 1;
  const alone = element + dots === to || a[element + dots] === SEMICOLON;
  if (!alone || dots === 0 || dots > 2) return false;
  to = element;
  if (dots === 2 && to - 1 > from) {
    to -= 1;
    while (a[to - 1] !== SLASH) to -= 1;
  }
  element = to;
  return true;
}

function slash(a: Uint8Array): void {
  if (!endElement(a)) a[to++] = SLASH;
  element = to;
  stray = -1;
}

/** Takes the byte or escape at p. Gives the place behind it, or -1 where a path must not have it. */
function take(a: Uint8Array, p: number, end: number, decode: boolean): number {
  const c = a[p]!;
  if (c === SLASH || c === BACKSLASH) {
    slash(a);
    return p + 1;
  }
  if (c !== PERCENT) {
    if ((kinds[c]! & ESCAPED) === 0) put(a, c);
    else escape(a, c);
    return p + 1;
  }
  const high = p + 2 < end ? hex(a[p + 1]) : -1;
  const low = p + 2 < end ? hex(a[p + 2]) : -1;
  if (high < 0 || low < 0) {
    stray = to;
    a[to++] = c;
    return p + 1;
  }
  const value = high * 16 + low;
  if (value === 0) return -1;
  if (decode && (value === SLASH || value === BACKSLASH)) slash(a);
  else if (value < 128 && (kinds[value]! & PLAIN) !== 0) put(a, value);
  else {
    a[to++] = c;
    a[to++] = a[p + 1]!;
    a[to++] = a[p + 2]!;
  }
  return p + 3;
}

function escape(a: Uint8Array, c: number): void {
  a[to++] = PERCENT;
  a[to++] = hexDigits[c >> 4]!;
  a[to++] = hexDigits[c & 15]!;
}

/** Neighbouring slashes become one. */
function mergeSlashes(a: Uint8Array): void {
  let last = from + 1;
  for (let p = from + 1; p < to; p += 1) {
    if (a[p] === SLASH && a[last - 1] === SLASH) continue;
    a[last++] = a[p]!;
  }
  to = last;
}

/** Makes the path of the parsed head normal, in scratch, and points `head` there; the query stays as it came. 0, or
 * minus the status to refuse with. */
export function normalisePath(e: Emitter, mode: PathNormalization): number {
  const a = e.arena;
  if (head.pathLen === 0) return noPath(e);
  if (mode === 'none' || a[head.pathOff] !== SLASH) return 0;
  const merge = mode !== 'base';
  if (!needsChange(a, merge)) return 0;
  const end = head.pathOff + head.pathLen;
  from = to = e.at;
  const most = from + head.pathLen + MAX_GROWTH;
  if (most + head.queryLen + 8 > a.length) throw new RangeError('scratch is full');
  a[to++] = SLASH;
  element = to;
  stray = -1;
  for (let p = head.pathOff + 1; p < end;) {
    p = take(a, p, end, mode === 'decode-and-merge-slashes');
    if (p < 0) return refuse(400, 'NUL in the path');
    if (to > most) return refuse(400, 'too many bytes in the path that ought to be escaped');
  }
  endElement(a);
  if (merge) mergeSlashes(a);
  point(e);
  return 0;
}

/** An absolute target without a path is "/", but for OPTIONS "*" (RFC 9112 3.2.1, 3.2.4); CONNECT has none at all. */
function noPath(e: Emitter): number {
  if (head.method === CONNECT) return 0;
  from = e.at;
  to = from + 1;
  e.arena[from] = head.method === OPTIONS ? ASTERISK : SLASH;
  point(e);
  return 0;
}

/** The target is the path that was written, with the query behind it. */
function point(e: Emitter): void {
  const a = e.arena;
  const { queryOff, queryLen } = head;
  head.pathOff = from;
  head.pathLen = to - from;
  head.targetOff = from;
  if (queryOff >= 0) {
    a[to++] = 63;
    a.copyWithin(to, queryOff, queryOff + queryLen);
    head.queryOff = to;
    to += queryLen;
  }
  head.targetLen = to - from;
  head.absolute = true;
  e.at = to;
}
