// All that is bound to one socket -> the virtual hosts and streams of its route table.
import type { Manifest } from '../../config/manifest.ts';
import type { Listener, Route, RouteTable, StreamRoute, VirtualHost } from '../snapshot.ts';
import { compareAge, compareText, type FirstSeen } from './age.ts';
import type { GatewayBinding } from './gatewayapi/gateway.ts';
import { compareRank, type RankedRoute } from './gatewayapi/rank.ts';
import type { CompiledStream } from './gatewayapi/stream.ts';
import { compareHosts, coveringNames, covers } from './hostname.ts';
import type { StatusBook } from './status.ts';

/** Where connections come in, and its tables. */
export type Socket = readonly [Listener, ...RouteTable[]];

export function socketName(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Routes of an Istio VirtualService for one host, in the order of trying. */
export interface OrderedRoutes {
  readonly host: string;
  readonly manifest: Manifest;
  readonly routes: readonly Route[];
}

/** The virtual hosts of a socket: for each host the Gateway API routes by rank, then the ordered ones. A host that only
 * a listener names has no routes: its requests must not fall to a wider listener (HTTPListenerIsolation). Host by
 * host: there may be thousands. */
export function* virtualHosts(
  bindings: readonly GatewayBinding[],
  ordered: readonly OrderedRoutes[],
  book: StatusBook,
  firstSeen?: FirstSeen,
): Generator<undefined, readonly VirtualHost[], undefined> {
  const domains = new Set([
    ...bindings.flatMap((b) => [b.hostname, ...b.attached.flatMap((a) => a.hosts)]),
    ...ordered.map((o) => o.host),
  ]);
  const attached = yield* attachedOf(bindings);
  const byHost = Map.groupBy(ordered, (o) => o.host);
  const hosts: VirtualHost[] = [];
  for (const domain of [...domains].toSorted((a, b) => compareHosts(a, b) || compareText(a, b))) {
    const ranked = rankedFor(domain, attached, firstSeen);
    const own = byHost.get(domain) ?? [];
    if (ranked.length > 0) for (const { manifest } of own) book.set(manifest, behind(domain));
    hosts.push({ name: domain, domains: [domain], routes: unique([...ranked, ...own.flatMap((o) => o.routes)]) });
    yield;
  }
  return hosts;
}

interface Attached {
  readonly binding: GatewayBinding;
  readonly one: GatewayBinding['attached'][number];
}

/** What is attached to listeners, by the listener's host and then by its own: there may be thousands of both. */
function* attachedOf(
  bindings: readonly GatewayBinding[],
): Generator<undefined, ReadonlyMap<string, ReadonlyMap<string, Attached[]>>, undefined> {
  const all = new Map<string, Map<string, Attached[]>>();
  for (const binding of bindings) {
    const own = all.get(binding.hostname) ?? new Map<string, Attached[]>();
    all.set(binding.hostname, own);
    for (const one of binding.attached) {
      for (const host of one.hosts) {
        const list = own.get(host) ?? [];
        own.set(host, list);
        list.push({ binding, one });
      }
      yield;
    }
  }
  return all;
}

/** The routes of the listener that owns the domain (the most specific one that covers it). A route of a wider host
 * comes after those of narrower ones (HTTPRouteSpec.hostnames). */
function rankedFor(
  domain: string,
  attached: ReadonlyMap<string, ReadonlyMap<string, Attached[]>>,
  firstSeen?: FirstSeen,
): readonly Route[] {
  const names = coveringNames(domain);
  const owner = names.find((name) => attached.has(name));
  const taken = new Set<Attached['one']>();
  const candidates = names.flatMap((host) =>
    (attached.get(owner ?? '')?.get(host) ?? []).flatMap(({ binding, one }) => {
      if (taken.has(one)) return [];
      taken.add(one);
      return one.route.routes(binding.port).map((ranked) => ({ host, ranked }));
    }),
  );
  const compare = (a: { host: string; ranked: RankedRoute }, b: { host: string; ranked: RankedRoute }): number =>
    compareHosts(a.host, b.host) || compareRank(a.ranked, b.ranked, firstSeen);
  return candidates.toSorted(compare).map((c) => c.ranked.route);
}

/** A route attached twice counts once. */
function unique(routes: readonly Route[]): readonly Route[] {
  const seen = new Set<string>();
  return routes.filter(({ name }) => {
    if (seen.has(name)) return false;
    seen.add(name);
    return true;
  });
}

function behind(domain: string) {
  return {
    type: 'Conflicted' as const,
    status: 'True' as const,
    reason: 'GatewayAPIFirst',
    message: `Gateway API routes serve ${domain} too, and are tried first`,
  };
}

type Older = (a: CompiledStream, b: CompiledStream) => number;

const olderBy =
  (firstSeen?: FirstSeen): Older =>
  (a, b) =>
    compareAge(a.source.manifest, b.source.manifest, firstSeen);

/** The streams of listeners of one socket that speak TCP or TLS. */
export function streamsOf(
  bindings: readonly GatewayBinding[],
  book: StatusBook,
  firstSeen?: FirstSeen,
): readonly StreamRoute[] {
  const older = olderBy(firstSeen);
  const plain = bindings.flatMap((b) => (b.protocol === 'TCP' ? b.streams.map((s) => s.route) : [])).toSorted(older);
  for (const { source } of plain.slice(1)) book.set(source.manifest, younger(plain[0]!));
  return [...plain.slice(0, 1).map((s) => s.route), ...byName(bindings, older)];
}

function younger({ kind, source }: CompiledStream) {
  const message = `${kind} ${source.key} is older and has the listener`;
  return { type: 'Conflicted' as const, status: 'True' as const, reason: 'RouteConflict', message };
}

/** The stream of a name, where TLS ends at listeners that have one host; undefined: none of theirs. A TCPRoute takes
 * what that host covers. */
export function streamWithin(
  name: string,
  bindings: readonly GatewayBinding[],
  book: StatusBook,
  firstSeen?: FirstSeen,
): StreamRoute | undefined {
  const found = streamAt(name, bindings, olderBy(firstSeen));
  for (const { route, hosts } of bindings.flatMap((b) => b.streams)) {
    if (found === undefined || route === found || route.kind !== 'TCPRoute' || !hosts.includes(name)) continue;
    book.set(route.source.manifest, younger(found));
  }
  return found?.route;
}

/** Of the routes that cover a name the one with the more specific host, then the older. */
function streamAt(name: string, bindings: readonly GatewayBinding[], older: Older): CompiledStream | undefined {
  return bindings
    .flatMap((b) => b.streams.flatMap(({ route, hosts }) => hosts.map((host) => ({ route, host }))))
    .filter(({ host }) => covers(host, name))
    .toSorted((a, b) => compareHosts(a.host, b.host) || older(a.route, b.route))[0]?.route;
}

/** For each name the route of the listener that owns it (the most specific one that covers it). A name that only a
 * listener has is closed: it must not fall to a wider listener. */
function byName(bindings: readonly GatewayBinding[], older: Older): readonly StreamRoute[] {
  const tls = bindings.filter((b) => b.protocol === 'TLS');
  const names = [...new Set(tls.flatMap((b) => [b.hostname, ...b.streams.flatMap((s) => s.hosts)]))];
  const routes = new Map<string, StreamRoute & { readonly sni: string[] }>();
  for (const name of names.toSorted(compareHosts)) {
    const owner = tls
      .filter((b) => covers(b.hostname, name))
      .toSorted((a, b) => compareHosts(a.hostname, b.hostname))[0];
    const own = tls.filter((b) => b.hostname === owner?.hostname);
    const stream = streamAt(name, own, older)?.route ?? { name: `listener/${owner?.key ?? ''}`, clusters: [] };
    const entry = routes.get(stream.name) ?? { ...stream, sni: [] };
    entry.sni.push(name);
    routes.set(stream.name, entry);
  }
  return [...routes.values()];
}
