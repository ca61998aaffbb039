// One HTTPRoute -> routes. What a route is attached to is gateway.ts's and mesh.ts's business.
import { madeOf } from '../../../lib/compare/made.ts';
import type {
  ClusterKey,
  HeaderEdits,
  HeaderMatch,
  PathMatch,
  PathRewrite,
  Route,
  RouteAction,
  RouteMatch,
  WeightedCluster,
} from '../../snapshot.ts';
import { noEdits } from '../../snapshot.ts';
import type { Backends } from '../backends.ts';
import type { Typed } from '../read.ts';
import { type Condition, good } from '../status.ts';
import { clusterOf } from './backend.ts';
import type { Grants } from './grant.ts';
import type { RankedRoute } from './rank.ts';
import type { GrpcRouteSpec, HttpRouteFilter, HttpRouteMatch, HttpRouteRule, HttpRouteSpec } from './schema.ts';

/** An HTTPRoute or GRPCRoute whose backends have been looked up. */
export interface CompiledRoute {
  readonly kind: 'HTTPRoute' | 'GRPCRoute';
  readonly source: Typed<HttpRouteSpec | GrpcRouteSpec>;
  readonly resolvedRefs: Condition;
  /** Its routes on a listener of the port (a redirect without a port names the listener's). */
  routes(port: number): readonly RankedRoute[];
}

/** Looks up the backends of an HTTPRoute. */
export function compileHttpRoute(source: Typed<HttpRouteSpec>, backends: Backends, grants: Grants): CompiledRoute {
  const { manifest, namespace, key, spec } = source;
  const troubles: Condition[] = [];
  const from = { kind: 'HTTPRoute', namespace };
  const clusters = spec.rules.map((rule) =>
    rule.backendRefs.map((ref) => clusterOf(ref, from, { backends, grants }, troubles)),
  );
  const made = routesOf(spec, [key, clusters]);
  const routes = (port: number): RankedRoute[] => {
    const list = made.get(String(port)) ?? routesAt(port, key, spec, clusters);
    made.set(String(port), list);
    return list.map(({ route, rule, match }) => ({ route, manifest, rule, match }));
  };
  return { kind: 'HTTPRoute', source, resolvedRefs: troubles[0] ?? good('ResolvedRefs'), routes };
}

type Clusters = readonly (readonly ClusterKey[])[];

/** Routes of a spec by port, with its name and the clusters that its backends came to. */
const routesOf = madeOf<readonly Omit<RankedRoute, 'manifest'>[]>();

function routesAt(
  port: number,
  key: string,
  { rules }: HttpRouteSpec,
  clusters: Clusters,
): readonly Omit<RankedRoute, 'manifest'>[] {
  return rules.flatMap((rule, r) => {
    const forward = rule.backendRefs.map((ref, i): WeightedCluster => {
      const { request, response } = editsOf(ref.filters);
      return { cluster: clusters[r]?.[i] ?? '', weight: ref.weight, request, response };
    });
    return rule.matches.map((match, m) => ({
      route: routeOf(`httproute/${key}/${r}/${m}`, rule, match, forward, port),
      rule: r,
      match: m,
    }));
  });
}

function routeOf(
  name: string,
  rule: HttpRouteRule,
  match: HttpRouteMatch,
  clusters: readonly WeightedCluster[],
  port: number,
): Route {
  const { request, response, host } = editsOf(rule.filters);
  return { name, match: matchOf(match), request, response, action: actionOf(rule, clusters, port, host) };
}

function matchOf(match: HttpRouteMatch): RouteMatch {
  return {
    path: pathOf(match.path),
    ...(match.method !== undefined && { method: match.method }),
    headers: valuesOf(match.headers),
    query: valuesOf(match.queryParams),
  };
}

/** "Only the first entry with an equivalent name is considered" (HTTPHeaderMatch.name, HTTPQueryParamMatch.name). */
export function valuesOf(list: HttpRouteMatch['headers'] | HttpRouteMatch['queryParams']): readonly HeaderMatch[] {
  const first = list.filter((each, i) => list.findIndex((other) => other.name === each.name) === i);
  return first.map(({ name, type, value }) => ({ name, match: { kind: type === 'Exact' ? 'exact' : 'regex', value } }));
}

function pathOf({ type, value }: HttpRouteMatch['path']): PathMatch {
  if (type === 'Exact') return { kind: 'exact', value };
  if (type === 'RegularExpression') return { kind: 'regex', value };
  return { kind: 'prefix', value: withoutSlash(value) };
}

function withoutSlash(path: string): string {
  return path.replace(/\/+$/, '');
}

function actionOf(
  rule: HttpRouteRule,
  clusters: readonly WeightedCluster[],
  port: number,
  headerHost: string | undefined,
): RouteAction {
  const redirect = rule.filters.find((f) => f.type === 'RequestRedirect')?.requestRedirect;
  if (redirect !== undefined) {
    const schemePort = redirect.scheme === undefined ? port : redirect.scheme === 'https' ? 443 : 80;
    return {
      kind: 'redirect',
      status: redirect.statusCode,
      ...(redirect.scheme !== undefined && { scheme: redirect.scheme }),
      ...(redirect.hostname !== undefined && { host: redirect.hostname }),
      port: redirect.port ?? schemePort,
      ...(redirect.path && { path: rewriteOf(redirect.path) }),
    };
  }
  if (clusters.every((cluster) => cluster.weight === 0)) return { kind: 'reply', status: 500, body: '' };
  const rewrite = rule.filters.find((f) => f.type === 'URLRewrite')?.urlRewrite;
  const host = rewrite?.hostname ?? headerHost;
  return {
    kind: 'forward',
    clusters,
    ...(rewrite?.path && { path: rewriteOf(rewrite.path) }),
    ...(host !== undefined && { host }),
    timeoutMs: timeoutOf(rule.timeouts),
  };
}

function rewriteOf(
  path: NonNullable<Extract<HttpRouteFilter, { type: 'URLRewrite' }>['urlRewrite']['path']>,
): PathRewrite {
  if (path.type === 'ReplaceFullPath') return { kind: 'full', value: path.replaceFullPath };
  return { kind: 'prefix', value: withoutSlash(path.replacePrefixMatch) };
}

/** Without retries the one request to a backend is the whole, so the shorter of both counts; 0 is none. */
function timeoutOf({ request = 0, backendRequest = 0 }: HttpRouteRule['timeouts']): number {
  return request > 0 && backendRequest > 0 ? Math.min(request, backendRequest) : Math.max(request, backendRequest);
}

export interface Edits {
  readonly request: HeaderEdits;
  readonly response: HeaderEdits;
  /** What "host" was set to. */
  readonly host?: string;
}

export function editsOf(filters: readonly HttpRouteFilter[]): Edits {
  const pairs = (list: readonly { readonly name: string; readonly value: string }[]) =>
    list.filter((h) => h.name !== 'host').map((h) => [h.name, h.value] as const);
  const request = filters.find((f) => f.type === 'RequestHeaderModifier')?.requestHeaderModifier;
  const response = filters.find((f) => f.type === 'ResponseHeaderModifier')?.responseHeaderModifier;
  const host = request?.set.find((h) => h.name === 'host')?.value;
  const edits = (from: typeof request): HeaderEdits =>
    from === undefined ? noEdits : { remove: from.remove, set: pairs(from.set), add: pairs(from.add) };
  return { request: edits(request), response: edits(response), ...(host !== undefined && { host }) };
}
