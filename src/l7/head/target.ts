// The path of a request as it goes on: as it came, or rewritten.
import type { PathMatch, PathRewrite } from '../../mesh/snapshot.ts';
import { head } from './fields.ts';
import type { Emitter } from './emit.ts';

const SLASH = 47;

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
