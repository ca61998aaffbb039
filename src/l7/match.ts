// The compiled route table: never changed, swapped whole; the next one shares with it what is the same. It decides on
// the bytes of the head that http1.ts parsed last. Host first (exact, then the longest "*.suffix", then "*"), then
// routes in order.
import { kept } from '../lib/compare/kept.ts';
import type { HeaderMatch, PathMatch, Route, StringMatch } from '../mesh/snapshot.ts';
import {
  F_HASH,
  F_NAME,
  F_NAME_LEN,
  F_VALUE,
  F_VALUE_LEN,
  FIELD_WORDS,
  bytesAre,
  fields,
  head,
  nameHash,
} from './head/fields.ts';
import { CONNECT } from './http1.ts';

const MAX_REGEX = 1024;

interface StringTest {
  readonly kind: StringMatch['kind'];
  readonly bytes: Uint8Array;
  readonly regex: RegExp | undefined;
}

interface FieldTest {
  readonly hash: number;
  readonly name: Uint8Array;
  readonly test: StringTest;
  readonly invert: boolean;
}

/** A route as find() looks at it. */
export interface CompiledRoute<T> {
  readonly path: PathMatch['kind'] | 'any';
  readonly bytes: Uint8Array;
  readonly regex: RegExp | undefined;
  readonly method: Uint8Array | undefined;
  readonly headers: readonly FieldTest[];
  readonly query: readonly FieldTest[];
  readonly value: T;
}

/** A virtual host: what tables of different snapshots have in common. */
export interface CompiledHost<T> {
  readonly routes: readonly CompiledRoute<T>[];
  readonly domains: readonly Domain<T>[];
}

interface Domain<T> {
  readonly kind: 'exact' | 'suffix' | 'any';
  /** Of "*.suffix" ".suffix". */
  readonly bytes: Uint8Array;
  readonly hash: number;
  readonly routes: readonly CompiledRoute<T>[];
}

export interface Table<T> {
  readonly name: string;
  readonly exact: DomainIndex<T>;
  readonly suffix: DomainIndex<T>;
  readonly any: Domain<T> | undefined;
}

/** By a hash that begins with a domain's last byte, so that one pass over a host meets every suffix. The next free row
 * takes what has the same place; hash 0 is a free row. */
interface DomainIndex<T> {
  readonly mask: number;
  readonly hashes: Int32Array;
  readonly rows: readonly (Domain<T> | undefined)[];
}

/** Compiles a host of these routes. */
export function compileHost<T>(domains: readonly string[], routes: readonly CompiledRoute<T>[]): CompiledHost<T> {
  return {
    routes,
    domains: domains.map((domain) => {
      const kind = domain === '*' ? 'any' : domain.startsWith('*.') ? 'suffix' : 'exact';
      const bytes = Buffer.from(kind === 'suffix' ? domain.slice(1) : domain, 'latin1');
      return { kind, bytes, hash: hashOf(bytes), routes };
    }),
  };
}

/** Makes a table of hosts, in small parts. Where two have the same domain, the first counts. */
export function* compileTable<T>(
  name: string,
  hosts: Iterable<CompiledHost<T>>,
): Generator<undefined, Table<T>, undefined> {
  const exact: Domain<T>[] = [];
  const suffix: Domain<T>[] = [];
  let any: Domain<T> | undefined;
  for (const host of hosts) {
    for (const domain of host.domains) {
      if (domain.kind === 'any') any ??= domain;
      else (domain.kind === 'exact' ? exact : suffix).push(domain);
    }
    yield;
  }
  return { name, exact: yield* index(exact), suffix: yield* index(suffix), any };
}

function* index<T>(domains: readonly Domain<T>[]): Generator<undefined, DomainIndex<T>, undefined> {
  let size = 8;
  while (size < domains.length * 3) size *= 2;
  const mask = size - 1;
  const hashes = new Int32Array(size);
  const rows: (Domain<T> | undefined)[] = Array.from({ length: size });
  for (const domain of domains) {
    let row = domain.hash & mask;
    while (hashes[row] !== 0) row = (row + 1) & mask;
    hashes[row] = domain.hash;
    rows[row] = domain;
    yield;
  }
  return { mask, hashes, rows };
}

function step(hash: number, c: number): number {
  return (Math.imul(hash, 31) + c) | 0;
}

function hashOf(domain: Uint8Array): number {
  let hash = 0;
  for (let i = domain.length - 1; i >= 0; i -= 1) hash = step(hash, domain[i]!);
  return hash || 1;
}

const none: readonly FieldTest[] = [];

/** Many hosts have the same paths: bytes that are there once are near when another host has been looked at. */
const pathBytes = kept(4096, (path) => Buffer.from(path, 'latin1'));

/** Compiles a route; `value` is what find() gives. Throws an Error that names the route where a pattern is no regular
 * expression or too long. */
export function compileRoute<T>(route: Route, value: T): CompiledRoute<T> {
  const { path, method, headers, query } = route.match;
  try {
    return {
      path: path === undefined ? 'any' : path.kind,
      bytes: pathBytes(path?.value ?? ''),
      regex: path?.kind === 'regex' ? regexOf(path.value) : undefined,
      method: method === undefined ? undefined : Buffer.from(method, 'latin1'),
      headers: headers.length === 0 ? none : headers.map(compileField),
      query: query.length === 0 ? none : query.map(compileField),
      value,
    };
  } catch (error) {
    throw new Error(`route ${route.name}: ${(error as Error).message}`, { cause: error });
  }
}

function compileField(match: HeaderMatch): FieldTest {
  const { kind, value } = match.match;
  return {
    hash: nameHash(match.name),
    name: Buffer.from(match.name, 'latin1'),
    test: { kind, bytes: Buffer.from(value, 'latin1'), regex: kind === 'regex' ? regexOf(value) : undefined },
    invert: match.invert === true,
  };
}

/** A RE2 pattern as a JavaScript one that matches the whole string: "(?P<x>", "\A", "\z" and leading flags differ. */
export function regexOf(pattern: string): RegExp {
  if (pattern.length > MAX_REGEX) throw new Error(`pattern longer than ${MAX_REGEX} characters`);
  let flags = 's';
  const leading = /^\(\?([imsU]+)\)/.exec(pattern);
  let body = pattern;
  if (leading !== null) {
    if (leading[1]!.includes('U')) throw new Error('flag U is not supported');
    flags = [...new Set(`s${leading[1]!}`)].join('');
    body = pattern.slice(leading[0].length);
  }
  body = body.replaceAll('(?P<', '(?<').replaceAll('\\A', '^').replaceAll('\\z', '$');
  return new RegExp(`^(?:${body})$`, flags);
}

function lookup<T>(at: DomainIndex<T>, a: Uint8Array, off: number, len: number, hash: number): Domain<T> | undefined {
  const { hashes, mask } = at;
  const wanted = hash || 1;
  for (let row = wanted & mask; hashes[row] !== 0; row = (row + 1) & mask) {
    if (hashes[row] === wanted && sameHost(a, off, len, at.rows[row]!.bytes)) return at.rows[row];
  }
  return undefined;
}

function sameHost(a: Uint8Array, off: number, len: number, domain: Uint8Array): boolean {
  if (len !== domain.length) return false;
  for (let i = 0; i < len; i += 1) {
    const c = a[off + i]!;
    if ((c >= 65 && c <= 90 ? c + 32 : c) !== domain[i]) return false;
  }
  return true;
}

function findHost<T>(table: Table<T>, a: Uint8Array): Domain<T> | undefined {
  const off = head.hostOff;
  const end = off + head.hostLen;
  let hash = 0;
  let best: Domain<T> | undefined;
  for (let p = end - 1; p >= off; p -= 1) {
    const c = a[p]!;
    hash = step(hash, c >= 65 && c <= 90 ? c + 32 : c);
    // "*.suffix" needs one label or more before its dot.
    if (c === 46 && p > off) best = lookup(table.suffix, a, p, end - p, hash) ?? best;
  }
  return lookup(table.exact, a, off, end - off, hash) ?? best ?? table.any;
}

/** The value of the route for the parsed head; undefined where no host or no route matches. */
export function find<T>(table: Table<T>, a: Uint8Array): T | undefined {
  const host = findHost(table, a);
  if (host === undefined) return undefined;
  const { routes } = host;
  for (let i = 0; i < routes.length; i += 1) {
    const route = routes[i]!;
    if (matchesPath(route, a) && matchesRest(route, a)) return route.value;
  }
  return undefined;
}

function matchesPath(route: CompiledRoute<unknown>, a: Uint8Array): boolean {
  const { bytes } = route;
  const len = bytes.length;
  if (route.path === 'any') return true;
  if (route.path === 'regex') return route.regex!.test(latin1(a, head.pathOff, head.pathLen));
  if (len > head.pathLen) return false;
  for (let i = len - 1; i >= 0; i -= 1) if (a[head.pathOff + i] !== bytes[i]) return false;
  if (route.path === 'exact') return len === head.pathLen;
  if (route.path === 'string-prefix') return true;
  return len === head.pathLen || len === 0 || a[head.pathOff + len] === 47;
}

/** CONNECT needs a route that names it: "any request" is not meant to be a way into the network. */
function matchesRest(route: CompiledRoute<unknown>, a: Uint8Array): boolean {
  if (route.method === undefined && head.method === CONNECT) return false;
  if (route.method !== undefined && !bytesAre(a, head.methodOff, head.methodLen, route.method)) return false;
  for (let i = 0; i < route.headers.length; i += 1) if (!matchesHeader(route.headers[i]!, a)) return false;
  for (let i = 0; i < route.query.length; i += 1) if (!matchesQuery(route.query[i]!, a)) return false;
  return true;
}

/** Of a field that comes more than once any value will do, as in Envoy (tried with 1.40). */
function matchesHeader(field: FieldTest, a: Uint8Array): boolean {
  if (field.name[0] === 58) return matchesPseudo(field, a);
  for (let i = 0, at = 0; i < head.count; i += 1, at += FIELD_WORDS) {
    if (fields[at + F_HASH] !== field.hash) continue;
    if (!bytesAre(a, fields[at + F_NAME]!, fields[at + F_NAME_LEN]!, field.name)) continue;
    if (tests(field.test, a, fields[at + F_VALUE]!, fields[at + F_VALUE_LEN]!)) return !field.invert;
  }
  return field.invert;
}

/** ":authority" is the Host field as it came, ":method" the method; no other name begins with a colon. */
function matchesPseudo(field: FieldTest, a: Uint8Array): boolean {
  if (field.hash === methodHash) return tests(field.test, a, head.methodOff, head.methodLen) !== field.invert;
  if (field.hash === authorityHash) return tests(field.test, a, head.authorityOff, head.authorityLen) !== field.invert;
  return field.invert;
}

const methodHash = nameHash(':method');
const authorityHash = nameHash(':authority');

/** The first parameter of that name counts; names and values are compared as they are written, undecoded. */
function matchesQuery(field: FieldTest, a: Uint8Array): boolean {
  if (head.queryOff < 0) return field.invert;
  const end = head.queryOff + head.queryLen;
  let p = head.queryOff;
  while (p <= end) {
    let stop = p;
    while (stop < end && a[stop] !== 38) stop += 1;
    let equals = p;
    while (equals < stop && a[equals] !== 61) equals += 1;
    if (equals > p && bytesAre(a, p, equals - p, field.name)) {
      const value = Math.min(equals + 1, stop);
      return tests(field.test, a, value, stop - value) !== field.invert;
    }
    p = stop + 1;
  }
  return field.invert;
}

function tests(test: StringTest, a: Uint8Array, off: number, len: number): boolean {
  if (test.kind === 'present') return true;
  if (test.kind === 'regex') return test.regex!.test(latin1(a, off, len));
  if (test.kind === 'exact') return bytesAre(a, off, len, test.bytes);
  return len >= test.bytes.length && bytesAre(a, off, test.bytes.length, test.bytes);
}

/** A piece of the arena as text, one character a byte. */
export function latin1(a: Uint8Array, off: number, len: number): string {
  return Buffer.from(a.buffer, a.byteOffset + off, len).toString('latin1');
}
