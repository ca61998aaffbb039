// The path of a request: made normal before it is matched, rewritten before it goes on.
import type { PathMatch, PathRewrite } from '../../mesh/snapshot.ts';
import { head } from './fields.ts';
import type { Emitter } from './emit.ts';

const SLASH = 47;
const DOT = 46;
const BACKSLASH = 92;
const PERCENT = 37;

/** Length of a dot at p: 1 as ".", 3 as "%2e", 0 where there is none. */
function dot(a: Uint8Array, p: number, end: number): number {
  if (p >= end) return 0;
  if (a[p] === DOT) return 1;
  return a[p] === PERCENT && p + 2 < end && a[p + 1] === 50 && (a[p + 2]! | 32) === 101 ? 3 : 0;
}

function slash(c: number | undefined): boolean {
  return c === SLASH || c === BACKSLASH;
}

/** A path with "." or ".." elements or a backslash: two readers could take it for different things. */
function needsNormal(a: Uint8Array): boolean {
  const end = head.pathOff + head.pathLen;
  for (let p = head.pathOff; p < end; p += 1) {
    const c = a[p]!;
    if (c === BACKSLASH) return true;
    if (c === SLASH && dot(a, p + 1, end) > 0) return true;
  }
  return false;
}

/** Resolves dot elements and backslashes of the parsed target (RFC 3986 5.2.4, 6.2.2.3) into scratch and points `head`
 * there, so that matching and the upstream see one path. */
export function normalisePath(e: Emitter): void {
  const a = e.arena;
  if (a[head.pathOff] !== SLASH || !needsNormal(a)) return;
  const end = head.pathOff + head.pathLen;
  const from = e.at;
  let to = from;
  let p = head.pathOff;
  while (p < end) {
    // p stands on a slash; the element is what follows it.
    let stop = p + 1;
    while (stop < end && !slash(a[stop])) stop += 1;
    const one = dot(a, p + 1, stop);
    const two = one === 0 ? 0 : dot(a, p + 1 + one, stop);
    if (one > 0 && p + 1 + one === stop) {
      if (stop >= end) a[to++] = SLASH;
    } else if (two > 0 && p + 1 + one + two === stop) {
      while (to > from && a[to - 1] !== SLASH) to -= 1;
      if (to > from) to -= 1;
      if (stop >= end) a[to++] = SLASH;
    } else {
      a[to++] = SLASH;
      a.copyWithin(to, p + 1, stop);
      to += stop - p - 1;
    }
    p = stop;
  }
  if (to === from) a[to++] = SLASH;
  const queryLen = head.queryLen;
  head.pathOff = from;
  head.pathLen = to - from;
  head.targetOff = from;
  if (head.queryOff >= 0) {
    a[to++] = 63;
    a.copyWithin(to, head.queryOff, head.queryOff + queryLen);
    head.queryOff = to;
    to += queryLen;
  }
  head.targetLen = to - from;
  head.absolute = true;
  e.at = to;
}

/** Adds the rewritten path (no query) to the head: Gateway API's ReplaceFullPath and ReplacePrefixMatch. */
export function emitPath(e: Emitter, match: PathMatch | undefined, rewrite: PathRewrite | undefined): void {
  const end = head.pathOff + head.pathLen;
  if (rewrite === undefined) return e.keep(head.pathOff, end);
  const value = rewrite.value;
  if (rewrite.kind === 'full' || match === undefined || match.kind === 'exact' || match.kind === 'regex') {
    return e.text(value.startsWith('/') ? value : `/${value}`);
  }
  const rest = head.pathOff + match.value.length;
  if (match.kind === 'string-prefix') {
    const joined = value === '' && e.arena[rest] === SLASH ? '' : value.startsWith('/') ? value : `/${value}`;
    e.text(joined);
  } else if (rest === end) e.text(value === '' ? '/' : value);
  else e.text(value.endsWith('/') ? value.slice(0, -1) : value);
  if (rest < end) e.keep(rest, end);
}

/** Adds "?query" where there is one. */
export function emitQuery(e: Emitter): void {
  if (head.queryOff < 0) return;
  e.keep(head.queryOff - 1, head.queryOff + head.queryLen);
}
