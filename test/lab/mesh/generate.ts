// Requests made from what manifests say: those that satisfy a rule, near misses of one, and strangers. The same seed
// gives the same requests.
import { parseAllDocuments } from 'yaml';
import type { Header, Request } from './talk.ts';

/** What one match of a rule asks for, as far as a request can be made to satisfy it. */
interface Wish {
  readonly port: number;
  readonly hosts: readonly string[];
  readonly path: { readonly kind: string; readonly value: string };
  readonly method: string | undefined;
  readonly headers: readonly Header[];
  readonly query: readonly Header[];
}

export interface Generated {
  readonly port: number;
  readonly request: Request;
}

type Random = <T>(list: readonly T[]) => T;
type Draft = { host: string; path: string; method: string; headers: Header[]; query: Header[] };

interface Strings {
  readonly exact?: string;
  readonly prefix?: string;
  readonly regex?: string;
}
interface GatewayMatch {
  readonly path?: { readonly type?: string; readonly value: string };
  readonly method?: string;
  readonly headers?: readonly { readonly name: string; readonly value: string }[];
  readonly queryParams?: readonly { readonly name: string; readonly value: string }[];
}
interface IstioMatch {
  readonly uri?: Strings;
  readonly method?: Strings;
  readonly headers?: Readonly<Record<string, Strings>>;
  readonly withoutHeaders?: Readonly<Record<string, Strings>>;
  readonly queryParams?: Readonly<Record<string, Strings>>;
}
interface Rule<M> {
  readonly matches?: readonly M[];
  readonly match?: readonly M[];
}
interface Document {
  readonly kind: string;
  readonly spec: {
    readonly hostnames?: readonly string[];
    readonly hosts?: readonly string[];
    readonly rules?: readonly Rule<GatewayMatch>[];
    readonly http?: readonly Rule<IstioMatch>[];
  };
}

/** Texts that the patterns in the manifests match. A pattern that is not here fails the test. */
const samples: Readonly<Record<string, readonly string[]>> = {
  '/item/[0-9]+(/[a-z]+)?': ['/item/7', '/item/123/red'],
  '/r/[a-z]{2,4}': ['/r/ab', '/r/abcd'],
  'on|yes[0-9]?': ['on', 'yes', 'yes3'],
  'P(OST|UT)': ['POST', 'PUT'],
};

function sampleOf(pattern: string, pick: Random): string {
  const texts = samples[pattern];
  if (texts === undefined) throw new Error(`no sample for the pattern ${pattern}`);
  return pick(texts);
}

function text(match: Strings | undefined, pick: Random): string | undefined {
  if (match?.regex !== undefined) return sampleOf(match.regex, pick);
  return match?.exact ?? match?.prefix;
}

/** All that the HTTPRoutes (on `gatewayPort`) and VirtualServices (on `istioPort`) match by. */
function wishesOf(manifests: readonly string[], ports: Ports, pick: Random): readonly Wish[] {
  const documents = manifests.flatMap((one) => parseAllDocuments(one).map((d) => d.toJS() as Document));
  return documents.flatMap(({ kind, spec }): Wish[] => {
    if (kind === 'HTTPRoute') {
      const matches = (spec.rules ?? []).flatMap((rule) => rule.matches ?? []);
      return matches.map((match) => gatewayWish(match, spec.hostnames ?? ['any.test'], ports.gateway));
    }
    if (kind !== 'VirtualService') return [];
    const matches = (spec.http ?? []).flatMap((rule) => rule.match ?? []);
    return matches.map((match) => istioWish(match, spec.hosts ?? [], ports.istio, pick));
  });
}

function gatewayWish(match: GatewayMatch, hosts: readonly string[], port: number): Wish {
  const pairs = (list: GatewayMatch['headers']): Header[] => (list ?? []).map(({ name, value }) => [name, value]);
  const { type = 'PathPrefix', value = '/' } = match.path ?? {};
  const path = { kind: type, value };
  return { port, hosts, path, method: match.method, headers: pairs(match.headers), query: pairs(match.queryParams) };
}

function istioWish(match: IstioMatch, hosts: readonly string[], port: number, pick: Random): Wish {
  const pairs = (map: IstioMatch['headers']): Header[] =>
    Object.entries(map ?? {}).map(([name, value]) => [name, text(value, pick) ?? 'any']);
  const path = { kind: Object.keys(match.uri ?? {})[0] ?? 'prefix', value: Object.values(match.uri ?? {})[0] ?? '/' };
  const without = pairs(match.withoutHeaders).map(([name, value]): Header => [name, `${value}2`]);
  const headers = [...pairs(match.headers), ...without];
  return { port, hosts, path, method: text(match.method, pick), headers, query: pairs(match.queryParams) };
}

/** A request that the wish's route takes, unless one before it does. */
function draftOf({ hosts, path, method, headers, query }: Wish, pick: Random): Draft {
  const host = pick(hosts).replace(/^\*/, () => pick(['one', 'one.two', 'a-b']));
  const regex = path.kind === 'RegularExpression' || path.kind === 'regex';
  const tail =
    path.kind === 'PathPrefix' || path.kind === 'prefix' ? pick(['', '/', '/x', '/x/y.z', '//x', '/%41']) : '';
  return {
    host,
    path: regex ? sampleOf(path.value, pick) : `${path.value}${tail}`,
    method: method ?? pick(['GET', 'GET', 'GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD']),
    headers: [...headers],
    query: [...query],
  };
}

const changed = (value: string): string => (value === value.toUpperCase() ? value.toLowerCase() : value.toUpperCase());

/** Changes that miss, each of one part of the request. */
const misses: readonly ((draft: Draft, pick: Random) => void)[] = [
  (d, pick) => (d.path = `${d.path.replace(/\/$/, '')}${pick(['x', '-', '.html', ';v=1', '%2Fx'])}`),
  (d) => (d.path = d.path.replace(/\/?[^/]\/?$/, '') || '/'),
  (d) => (d.path = changed(d.path)),
  (d, pick) => (d.path = `${pick(['/', '/v1', '/.', '/x/..', '/%2F'])}${d.path}`),
  (d) => (d.path = d.path.replace(/^\/(.)/, (_, c: string) => `/%${c.charCodeAt(0).toString(16)}`)),
  (d, pick) => (d.host = pick([`x${d.host}`, `${d.host}.org`, `sub.${d.host}`, d.host.slice(1), `${d.host}.`])),
  (d, pick) => (d.method = pick(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'].filter((m) => m !== d.method))),
  (d) => d.headers.splice(0, 1),
  (d) => (d.headers = d.headers.map(([name, value]) => [name, changed(value)])),
  (d, pick) => (d.headers = d.headers.map(([name, value]) => [name, pick([`${value}x`, `x${value}`, ''])])),
  (d) => (d.headers = d.headers.map(([name, value]) => [`${name}x`, value])),
  (d) => d.query.splice(0, 1),
  (d) => (d.query = d.query.map(([name, value]) => [changed(name), value])),
  (d, pick) => (d.query = d.query.map(([name, value]) => [name, pick([changed(value), `${value}%20`, ''])])),
  (d) => d.query.unshift(...d.query.map(([name]): Header => [name, 'other'])),
];

/** Changes that no match should mind, and what edits of headers work on. */
const noise: readonly ((draft: Draft, pick: Random) => void)[] = [
  () => undefined,
  (d) => (d.host = d.host.toUpperCase()),
  (d, pick) => (d.host = `${d.host}:${pick(['80', '8080', '1'])}`),
  (d) => (d.headers = d.headers.map(([name, value]) => [changed(name), value])),
  (d) => d.headers.push(...d.headers.map(([name, value]): Header => [name, `${value}, more`])),
  (d) =>
    d.headers.push(['x-tier', 'silver'], ['X-Secret', 's'], ['x-drop', '1'], ['X-Drop', '2'], ['x-seen', 'before']),
  (d) => d.headers.push(['X-Forwarded-For', '192.0.2.7'], ['x-forwarded-proto', 'https'], ['x-hop', 'client']),
  (d) => d.query.push(['z', '1'], ['q', '%2F?'], ['flag', '']),
  (d) => d.headers.push(['X-Odd', ' "a,b";c=\u00e9 '], ['x-empty', '']),
];

const strangers: readonly ((draft: Draft, pick: Random) => void)[] = [
  (d, pick) => (d.host = pick(['stranger.test', 'test', 'shop.tset', 'localhost', '10.10.0.1'])),
  (d, pick) => (d.path = pick(['/', '/favicon.ico', '/wp-admin.php', '/shopping', '/.well-known/x', '//'])),
];

export interface Ports {
  readonly gateway: number;
  readonly istio: number;
}

/** `count` requests: a third satisfies a rule, a third nearly, a third is strange. */
export function generate(manifests: readonly string[], ports: Ports, count: number, seed: number): Generated[] {
  const pick = randomOf(seed);
  const wishes = wishesOf(manifests, ports, pick);
  return Array.from({ length: count }, (_, i) => {
    const wish = pick(wishes);
    const draft = draftOf(wish, pick);
    if (i % 3 === 2) pick(strangers)(draft, pick);
    else if (i % 3 === 1) pick(misses)(draft, pick);
    pick(noise)(draft, pick);
    const query = draft.query.map(([name, value]) => `${name}=${value}`).join('&');
    const path = query === '' ? draft.path : `${draft.path}?${query}`;
    return {
      port: wish.port,
      request: { method: draft.method, path, headers: [['Host', draft.host], ...draft.headers] },
    };
  });
}

/** mulberry32 */
function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return (list) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    const at = ((t ^ (t >>> 14)) >>> 0) % list.length;
    const found = list[at];
    if (found === undefined) throw new Error('nothing to choose from');
    return found;
  };
}
