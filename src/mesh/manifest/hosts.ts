// All that is bound to one socket -> the virtual hosts of its route table.
import type { Manifest } from '../../config/manifest.ts';
import type { Route, VirtualHost } from '../snapshot.ts';
import type { FirstSeen } from './age.ts';
import { compareText } from './age.ts';
import type { GatewayBinding } from './gatewayapi/gateway.ts';
import { compareRank, type RankedRoute } from './gatewayapi/rank.ts';
import { compareHosts, covers } from './hostname.ts';
import type { StatusBook } from './status.ts';

/** Routes of an Istio VirtualService for one host, in the order of trying. */
export interface OrderedRoutes {
  readonly host: string;
  readonly manifest: Manifest;
  readonly routes: readonly Route[];
}

/** The virtual hosts of a socket: for each host the Gateway API routes by rank, then the ordered ones. A host that only
 * a listener names has no routes: its requests must not fall to a wider listener (HTTPListenerIsolation). */
export function virtualHosts(
  bindings: readonly GatewayBinding[],
  ordered: readonly OrderedRoutes[],
  book: StatusBook,
  firstSeen?: FirstSeen,
): readonly VirtualHost[] {
  const domains = new Set([
    ...bindings.flatMap((b) => [b.hostname, ...b.attached.flatMap((a) => a.hosts)]),
    ...ordered.map((o) => o.host),
  ]);
  return [...domains]
    .toSorted((a, b) => compareHosts(a, b) || compareText(a, b))
    .map((domain) => {
      const ranked = rankedFor(domain, bindings, firstSeen);
      const own = ordered.filter((o) => o.host === domain);
      if (ranked.length > 0) for (const { manifest } of own) book.set(manifest, behind(domain));
      return { name: domain, domains: [domain], routes: unique([...ranked, ...own.flatMap((o) => o.routes)]) };
    });
}

/** The routes of the listener that owns the domain (the most specific one that covers it). A route of a wider host
 * comes after those of narrower ones (HTTPRouteSpec.hostnames). */
function rankedFor(domain: string, bindings: readonly GatewayBinding[], firstSeen?: FirstSeen): readonly Route[] {
  const owner = bindings
    .map((b) => b.hostname)
    .filter((hostname) => covers(hostname, domain))
    .toSorted(compareHosts)[0];
  const candidates = bindings
    .filter((binding) => binding.hostname === owner)
    .flatMap((binding) =>
      binding.attached.flatMap(({ route, hosts }) => {
        const host = hosts.filter((h) => covers(h, domain)).toSorted(compareHosts)[0];
        return host === undefined ? [] : route.routes(binding.port).map((ranked) => ({ host, ranked }));
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
