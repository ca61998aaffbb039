// One GRPCRoute -> routes: gRPC is HTTP, its methods are paths.
import type { ClusterKey, PathMatch, Route, WeightedCluster } from '../../snapshot.ts';
import type { Backends } from '../backends.ts';
import type { Typed } from '../read.ts';
import { type Condition, good } from '../status.ts';
import { clusterOf } from './backend.ts';
import type { Grants } from './grant.ts';
import { type CompiledRoute, editsOf, valuesOf } from './httproute.ts';
import { grpcRank, type RankedRoute } from './rank.ts';
import type { GrpcRouteMatch, GrpcRouteSpec } from './schema.ts';

/** A GRPCRoute whose backends have been looked up: they speak HTTP/2, whatever their Service says. */
export interface CompiledGrpcRoute extends CompiledRoute {
  readonly kind: 'GRPCRoute';
  readonly clusters: readonly ClusterKey[];
}

/** Looks up the backends of a GRPCRoute. */
export function compileGrpcRoute(source: Typed<GrpcRouteSpec>, backends: Backends, grants: Grants): CompiledGrpcRoute {
  const troubles: Condition[] = [];
  const from = { kind: 'GRPCRoute', namespace: source.namespace };
  const ranked = source.spec.rules.flatMap((rule, r): RankedRoute[] => {
    const clusters = rule.backendRefs.map((ref): WeightedCluster => {
      const { request, response } = editsOf(ref.filters);
      const cluster = clusterOf(ref, from, { backends, grants }, troubles);
      return { cluster, weight: ref.weight, request, response };
    });
    return rule.matches.map((match, m) => {
      const { type = 'Exact', service = '', method = '' } = match.method ?? {};
      const name = `grpcroute/${source.key}/${r}/${m}`;
      const route = routeOf(name, match, clusters, editsOf(rule.filters));
      return { route, manifest: source.manifest, rule: r, match: m, rank: grpcRank(type, service, method) };
    });
  });
  const all = ranked.flatMap(({ route: { action } }) => (action.kind === 'forward' ? action.clusters : []));
  return {
    kind: 'GRPCRoute',
    source,
    resolvedRefs: troubles[0] ?? good('ResolvedRefs'),
    clusters: all.map(({ cluster }) => cluster),
    routes: () => ranked,
  };
}

function routeOf(
  name: string,
  match: GrpcRouteMatch,
  clusters: readonly WeightedCluster[],
  { request, response, host }: ReturnType<typeof editsOf>,
): Route {
  const none = clusters.every((cluster) => cluster.weight === 0);
  return {
    name,
    match: { path: pathOf(match.method), headers: valuesOf(match.headers), query: [] },
    request,
    response,
    action: none
      ? { kind: 'reply', status: 500, body: '' }
      : { kind: 'forward', clusters, ...(host !== undefined && { host }), timeoutMs: 0 },
  };
}

/** "/package.Service/Method". */
function pathOf(match: GrpcRouteMatch['method']): PathMatch {
  const { type = 'Exact', service, method } = match ?? {};
  const any = '[^/]+';
  if (service === undefined && method === undefined) return { kind: 'prefix', value: '' };
  if (type === 'RegularExpression') return { kind: 'regex', value: `/(?:${service ?? any})/(?:${method ?? any})` };
  if (service === undefined) return { kind: 'regex', value: `/${any}/${method}` };
  return method === undefined
    ? { kind: 'prefix', value: `/${service}` }
    : { kind: 'exact', value: `/${service}/${method}` };
}
