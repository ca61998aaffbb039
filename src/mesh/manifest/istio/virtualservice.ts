// One VirtualService -> routes in its own order. What it is bound to is gateway.ts's and build.ts's business.
import { madeOf } from '../../../lib/compare/made.ts';
import type {
  HeaderEdits,
  HeaderMatch,
  PathMatch,
  PathRewrite,
  Route,
  RouteAction,
  RouteMatch,
  StringMatch,
  WeightedCluster,
} from '../../snapshot.ts';
import { noEdits } from '../../snapshot.ts';
import type { Backends } from '../backends.ts';
import type { Typed } from '../read.ts';
import { bad, type Condition, good } from '../status.ts';
import { serviceOfHost } from './host.ts';
import { isHost } from './rules.ts';
import { compileStreams, type StreamsOn } from './stream.ts';
import type { HttpMatch, HttpRoute, IstioHeaders, IstioStringMatch, VirtualServiceSpec } from './schema.ts';

/** A VirtualService whose destinations have been looked up. */
export interface CompiledService {
  readonly source: Typed<VirtualServiceSpec>;
  readonly resolvedRefs: Condition;
  /** The gateways it names, as "namespace/name" or "mesh". */
  readonly gateways: readonly string[];
  /** Its routes for a gateway ("mesh" or "namespace/name") on a port. */
  routes(gateway: string, port: number): readonly Route[];
  /** What it does with connections there that are no HTTP. */
  readonly streams: StreamsOn;
}

/** Looks up the destinations of a VirtualService. */
export function compileVirtualService(source: Typed<VirtualServiceSpec>, backends: Backends): CompiledService {
  const troubles: Condition[] = [];
  const { spec, namespace } = source;
  const clusters = spec.http.map((http) =>
    http.route.map((route) => weighted(route, http.route.length, namespace, backends, troubles)),
  );
  const absolute = (gateway: string): string =>
    gateway === 'mesh' || gateway.includes('/') ? gateway.replace(/^\.\//, `${namespace}/`) : `${namespace}/${gateway}`;
  const made = routesOf(spec, [source.key, clusters]);
  const routes = (gateway: string, port: number): readonly Route[] => {
    const place = `${gateway}:${port}`;
    const list = made.get(place) ?? routesAt(gateway, port);
    made.set(place, list);
    return list;
  };
  const routesAt = (gateway: string, port: number): Route[] =>
    spec.http.flatMap((http, h) => {
      const matches: readonly (HttpMatch | undefined)[] = http.match.length > 0 ? http.match : [undefined];
      return matches.flatMap((match, m): Route[] => {
        if (match?.port !== undefined && match.port !== port) return [];
        if (match?.gateways !== undefined && !match.gateways.map(absolute).includes(gateway)) return [];
        return [routeOf(`virtualservice/${source.key}/${h}/${m}`, http, match, clusters[h] ?? [], port)];
      });
    });
  const gateways = [...new Set(spec.gateways.map(absolute))];
  const streams = compileStreams(source, backends, absolute, troubles);
  return { source, resolvedRefs: troubles[0] ?? good('ResolvedRefs'), gateways, routes, streams };
}

/** Routes of a spec by gateway and port, with its name and what its destinations came to. */
const routesOf = madeOf<readonly Route[]>();

/** Whether a route takes every request. */
export function isCatchAll({ match }: Route): boolean {
  const everyPath = match.path === undefined || (match.path.kind === 'string-prefix' && match.path.value === '/');
  return everyPath && match.method === undefined && match.headers.length === 0 && match.query.length === 0;
}

function weighted(
  { destination, weight, headers }: HttpRoute['route'][number],
  count: number,
  namespace: string,
  backends: Backends,
  troubles: Condition[],
): WeightedCluster {
  const found = backends.find({
    ...(serviceOfHost(destination.host, namespace) ?? { namespace, name: destination.host }),
    ...(destination.port && { port: destination.port.number }),
    ...(destination.subset !== undefined && { subset: destination.subset }),
  });
  if (found.missing !== undefined) troubles.push(bad('ResolvedRefs', 'BackendNotFound', found.missing));
  const strange = backends.notHttp(found.key);
  if (strange !== undefined) troubles.push(bad('ResolvedRefs', 'UnsupportedProtocol', strange));
  const share = count === 1 ? 1 : (weight ?? 0);
  return { cluster: strange === undefined ? found.key : `none/${found.key}`, weight: share, ...editsOf(headers) };
}

function routeOf(
  name: string,
  http: HttpRoute,
  match: HttpMatch | undefined,
  clusters: readonly WeightedCluster[],
  port: number,
): Route {
  const rewritten = http.rewrite?.uri !== undefined;
  const conditions = matchOf(match, rewritten);
  return { name, match: conditions, ...editsOf(http.headers), action: actionOf(http, conditions.path, clusters, port) };
}

function matchOf(match: HttpMatch | undefined, rewritten: boolean): RouteMatch {
  const path = pathOf(match?.uri) ?? (rewritten ? { kind: 'string-prefix' as const, value: '/' } : undefined);
  const pseudo: HeaderMatch[] = [];
  if (match?.authority !== undefined) pseudo.push({ name: ':authority', match: stringOf(match.authority) });
  const { method } = match ?? {};
  if (method !== undefined && method.exact === undefined) pseudo.push({ name: ':method', match: stringOf(method) });
  const named = (matches: Readonly<Record<string, IstioStringMatch>> | undefined) =>
    Object.entries(matches ?? {}).map(([name, value]) => ({ name, match: stringOf(value) }));
  return {
    ...(path && { path }),
    ...(method?.exact !== undefined && { method: method.exact }),
    headers: [
      ...pseudo,
      ...named(match?.headers),
      ...named(match?.withoutHeaders).map((header) => ({ ...header, invert: true })),
    ],
    query: named(match?.queryParams),
  };
}

function stringOf({ exact, prefix, regex }: IstioStringMatch): StringMatch {
  if (exact !== undefined) return { kind: 'exact', value: exact };
  if (prefix !== undefined) return { kind: 'prefix', value: prefix };
  return regex === undefined ? { kind: 'present', value: '' } : { kind: 'regex', value: regex };
}

function pathOf(uri: IstioStringMatch | undefined): PathMatch | undefined {
  if (uri?.exact !== undefined) return { kind: 'exact', value: uri.exact };
  if (uri?.prefix !== undefined) return { kind: 'string-prefix', value: uri.prefix };
  return uri?.regex === undefined ? undefined : { kind: 'regex', value: uri.regex };
}

function actionOf(
  http: HttpRoute,
  path: PathMatch | undefined,
  clusters: readonly WeightedCluster[],
  port: number,
): RouteAction {
  const { redirect, directResponse, rewrite, timeout = 0 } = http;
  if (redirect !== undefined) {
    const { scheme, authority, uri } = redirect;
    const implied = scheme === 'https' ? 443 : 80;
    const derived = { FROM_PROTOCOL_DEFAULT: implied, FROM_REQUEST_PORT: port };
    const to = redirect.port ?? (redirect.derivePort && derived[redirect.derivePort]);
    return {
      kind: 'redirect',
      status: redirect.redirectCode,
      ...(scheme !== undefined && { scheme }),
      ...(authority !== undefined && { host: authority }),
      ...(to !== undefined && { port: to }),
      ...(uri !== undefined && { path: { kind: 'full' as const, value: uri } }),
    };
  }
  if (directResponse !== undefined) {
    const { string, bytes = '' } = directResponse.body ?? {};
    return { kind: 'reply', status: directResponse.status, body: string ?? Buffer.from(bytes, 'base64').toString() };
  }
  const set = Object.entries(http.headers?.request?.set ?? {}).find(([name]) => isHost(name));
  const host = rewrite?.authority ?? set?.[1];
  return {
    kind: 'forward',
    clusters,
    ...(rewrite?.uri !== undefined && { path: rewriteOf(rewrite.uri, path) }),
    ...(host !== undefined && { host }),
    timeoutMs: timeout,
  };
}

/** "If the original URI was matched based on prefix, the value will replace the matched prefix" (HTTPRewrite.uri). */
function rewriteOf(value: string, path: PathMatch | undefined): PathRewrite {
  return { kind: path?.kind === 'string-prefix' ? 'prefix' : 'full', value };
}

function editsOf(headers: IstioHeaders | undefined): { readonly request: HeaderEdits; readonly response: HeaderEdits } {
  const edits = (from: IstioHeaders['request']): HeaderEdits => {
    if (from === undefined) return noEdits;
    const pairs = (map: Readonly<Record<string, string>>) => Object.entries(map).filter(([name]) => !isHost(name));
    return { remove: from.remove, set: pairs(from.set), add: pairs(from.add) };
  };
  return { request: edits(headers?.request), response: edits(headers?.response) };
}
