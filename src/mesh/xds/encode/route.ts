// RouteTable -> envoy.config.route.v3.RouteConfiguration. Semantics: the comments of mesh/snapshot.ts.
import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type {
  HeaderEdits,
  HeaderMatch,
  PathMatch,
  PathRewrite,
  Route,
  RouteAction,
  RouteMatch,
  RouteTable,
  StringMatch,
  VirtualHost,
} from '../../snapshot.ts';
import { HeaderValueOption_HeaderAppendAction as AppendAction } from '../gen/envoy/config/core/v3/base_pb.ts';
import type { HeaderValueOptionSchema } from '../gen/envoy/config/core/v3/base_pb.ts';
import { type RouteConfiguration, RouteConfigurationSchema } from '../gen/envoy/config/route/v3/route_pb.ts';
import {
  RedirectAction_RedirectResponseCode as RedirectCode,
  RouteAction_ClusterNotFoundResponseCode as NotFoundCode,
  VirtualHostSchema,
} from '../gen/envoy/config/route/v3/route_components_pb.ts';
import type {
  HeaderMatcherSchema,
  RedirectActionSchema,
  RouteActionSchema,
  RouteMatchSchema,
  RouteSchema,
} from '../gen/envoy/config/route/v3/route_components_pb.ts';
import type { RegexMatchAndSubstituteSchema } from '../gen/envoy/type/matcher/v3/regex_pb.ts';
import type { StringMatcherSchema } from '../gen/envoy/type/matcher/v3/string_pb.ts';

import { milliseconds } from './duration.ts';

type Init<S> = S extends Parameters<typeof create>[0] ? MessageInitShape<S> : never;

/** The table as Envoy takes it by RDS. */
export function routeConfiguration(table: RouteTable): RouteConfiguration {
  return create(RouteConfigurationSchema, { ...configuration(table), virtualHosts: table.hosts.map(hostOf) });
}

/** The bytes of the same, host by host: there may be thousands, of which few are new. */
export function* encodeTable(table: RouteTable): Generator<undefined, Uint8Array<ArrayBuffer>, undefined> {
  const { name, ...rest } = configuration(table);
  // Bytes of messages that are put together are those of one message with the fields of all of them.
  const parts = [toBinary(RouteConfigurationSchema, create(RouteConfigurationSchema, { name }))];
  for (const host of table.hosts) {
    const known = encodedHosts.get(host) ?? (yield* encodeHost(host));
    encodedHosts.set(host, known);
    parts.push(known);
    yield;
  }
  parts.push(toBinary(RouteConfigurationSchema, create(RouteConfigurationSchema, rest)));
  return Buffer.concat(parts);
}

/** Of hosts and routes, which never change: each as the one of what it is in. */
const encodedHosts = new WeakMap<VirtualHost, Uint8Array<ArrayBuffer>>();
const encodedRoutes = new WeakMap<Route, Uint8Array<ArrayBuffer>>();

/** Route by route: a host may have thousands too. */
function* encodeHost({ name, domains, routes }: VirtualHost): Generator<undefined, Uint8Array<ArrayBuffer>, undefined> {
  const init = { name, domains: [...domains] };
  const parts = [toBinary(VirtualHostSchema, create(VirtualHostSchema, init))];
  for (const route of routes) {
    const known = encodedRoutes.get(route) ?? encodeRoute(route);
    encodedRoutes.set(route, known);
    parts.push(known);
    yield;
  }
  const { number } = RouteConfigurationSchema.field.virtualHosts;
  return new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(Buffer.concat(parts)).finish();
}

function encodeRoute(route: Route): Uint8Array<ArrayBuffer> {
  return toBinary(VirtualHostSchema, create(VirtualHostSchema, { routes: [routeOf(route)] }));
}

function hostOf({ name, domains, routes }: VirtualHost): Init<typeof VirtualHostSchema> {
  return { name, domains: [...domains], routes: routes.map(routeOf) };
}

/** All but its hosts. */
function configuration({ name }: RouteTable) {
  return {
    name,
    ignorePortInHostMatching: true,
    // What Envoy adds for itself about the client, and our router does not.
    requestHeadersToRemove: ['x-envoy-external-address', 'x-envoy-internal'],
    maxDirectResponseBodySizeBytes: 1 << 20,
  };
}

function routeOf(route: Route): Init<typeof RouteSchema> {
  const { action } = route;
  // Envoy applies a cluster's edits before its route's: so where a cluster has some, it gets the route's too.
  const byCluster =
    action.kind === 'forward' && action.clusters.some((c) => hasEdits(c.request) || hasEdits(c.response));
  const clusters = byCluster
    ? action.clusters.map((c) => ({
        ...c,
        request: both(route.request, c.request),
        response: both(route.response, c.response),
      }))
    : [];
  return {
    name: route.name,
    match: matchOf(route.match),
    action: actionOf(byCluster ? { ...action, clusters } : action, route.match.path),
    ...(byCluster ? {} : editsOf(route.request, route.response)),
  };
}

function hasEdits(edits: HeaderEdits): boolean {
  return edits.remove.length + edits.set.length + edits.add.length > 0;
}

/** The edits that do what `first` and then `second` would. */
function both(first: HeaderEdits, second: HeaderEdits): HeaderEdits {
  const undone = new Set([...second.remove, ...second.set.map(([name]) => name)]);
  const kept = first.set.filter(([name]) => !undone.has(name));
  const added = first.add.filter(([name]) => !undone.has(name));
  return {
    remove: [...new Set([...first.remove, ...second.remove])],
    set: [...kept, ...second.set],
    add: [...added, ...second.add],
  };
}

function matchOf(match: RouteMatch): Init<typeof RouteMatchSchema> {
  const method: HeaderMatch[] =
    match.method === undefined ? [] : [{ name: ':method', match: { kind: 'exact', value: match.method } }];
  return {
    pathSpecifier: pathOf(match.path),
    headers: [...method, ...match.headers].map(headerOf),
    queryParameters: match.query.map(({ name, match: value }) => ({
      name,
      queryParameterMatchSpecifier:
        value.kind === 'present'
          ? { case: 'presentMatch', value: true }
          : { case: 'stringMatch', value: stringOf(value) },
    })),
  };
}

function pathOf(path: PathMatch | undefined): NonNullable<Init<typeof RouteMatchSchema>['pathSpecifier']> {
  const { kind, value } = path ?? { kind: 'prefix', value: '' };
  if (kind === 'exact') return { case: 'path', value };
  if (kind === 'regex') return { case: 'safeRegex', value: { regex: value } };
  if (kind === 'string-prefix') return { case: 'prefix', value };
  return value === '' ? { case: 'prefix', value: '/' } : { case: 'pathSeparatedPrefix', value };
}

function headerOf({ name, match, invert = false }: HeaderMatch): Init<typeof HeaderMatcherSchema> {
  if (match.kind === 'present') {
    return { name, invertMatch: invert, headerMatchSpecifier: { case: 'presentMatch', value: true } };
  }
  // Without treatMissingHeaderAsEmpty an inverted match of an absent header does not match in Envoy.
  return {
    name,
    invertMatch: invert,
    treatMissingHeaderAsEmpty: invert,
    headerMatchSpecifier: { case: 'stringMatch', value: stringOf(match) },
  };
}

function stringOf({ kind, value }: StringMatch): Init<typeof StringMatcherSchema> {
  if (kind === 'regex') return { matchPattern: { case: 'safeRegex', value: { regex: value } } };
  return { matchPattern: { case: kind === 'prefix' ? 'prefix' : 'exact', value } };
}

function actionOf(action: RouteAction, path: PathMatch | undefined): NonNullable<Init<typeof RouteSchema>['action']> {
  if (action.kind === 'redirect') return { case: 'redirect', value: redirectOf(action, path) };
  if (action.kind === 'forward' && action.clusters.some((c) => c.weight > 0)) {
    return { case: 'route', value: forwardOf(action, path) };
  }
  const { status, body } = action.kind === 'reply' ? action : { status: 500, body: '' };
  const content = body === '' ? {} : { body: { specifier: { case: 'inlineString' as const, value: body } } };
  return { case: 'directResponse', value: { status, ...content } };
}

function forwardOf(
  action: Extract<RouteAction, { kind: 'forward' }>,
  path: PathMatch | undefined,
): Init<typeof RouteActionSchema> {
  return {
    clusterSpecifier: {
      case: 'weightedClusters',
      value: {
        clusters: action.clusters.map(({ cluster, weight, request, response }) => ({
          name: cluster,
          weight,
          ...editsOf(request, response),
        })),
      },
    },
    clusterNotFoundResponseCode: NotFoundCode.INTERNAL_SERVER_ERROR,
    ...rewriteOf(action.path, path),
    ...(action.host !== undefined && { hostRewriteSpecifier: { case: 'hostRewriteLiteral', value: action.host } }),
    timeout: milliseconds(action.timeoutMs),
    ...(action.idleMs !== undefined && { idleTimeout: milliseconds(action.idleMs) }),
  };
}

const redirectCodes = {
  301: RedirectCode.MOVED_PERMANENTLY,
  302: RedirectCode.FOUND,
  303: RedirectCode.SEE_OTHER,
  307: RedirectCode.TEMPORARY_REDIRECT,
  308: RedirectCode.PERMANENT_REDIRECT,
} as const;

function redirectOf(
  action: Extract<RouteAction, { kind: 'redirect' }>,
  path: PathMatch | undefined,
): Init<typeof RedirectActionSchema> {
  const { scheme, host, port, status } = action;
  const implied = (scheme ?? 'http') === 'https' ? 443 : 80;
  const rewrite = rewriteOf(action.path, path);
  return {
    ...(scheme !== undefined && { schemeRewriteSpecifier: { case: 'schemeRedirect', value: scheme } }),
    hostRedirect: host ?? '',
    portRedirect: port === undefined || port === implied ? 0 : port,
    responseCode: redirectCodes[status],
    ...(rewrite.regexRewrite && { pathRewriteSpecifier: { case: 'regexRewrite', value: rewrite.regexRewrite } }),
    ...(rewrite.prefixRewrite && { pathRewriteSpecifier: { case: 'prefixRewrite', value: rewrite.prefixRewrite } }),
  };
}

interface Rewrite {
  readonly prefixRewrite?: string;
  readonly regexRewrite?: Init<typeof RegexMatchAndSubstituteSchema>;
}

/** Envoy replaces the text that matched, so a prefix of whole elements needs care with slashes. */
function rewriteOf(rewrite: PathRewrite | undefined, path: PathMatch | undefined): Rewrite {
  if (rewrite === undefined) return {};
  const regex = (pattern: string, substitution: string): Rewrite => ({
    regexRewrite: { pattern: { regex: pattern }, substitution },
  });
  const { kind, value } = rewrite;
  if (kind === 'full') return regex('^/.*$', value.replaceAll('\\', '\\\\'));
  if (path?.kind === 'string-prefix') return { prefixRewrite: value };
  const prefix = path?.value ?? '';
  if (prefix === '') return value === '' ? {} : { prefixRewrite: `${value}/` };
  if (value !== '') return { prefixRewrite: value };
  return regex(`^${prefix.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)}/?(.*)$`, String.raw`/\1`);
}

function editsOf(request: HeaderEdits, response: HeaderEdits) {
  return {
    requestHeadersToRemove: [...request.remove],
    requestHeadersToAdd: additions(request),
    responseHeadersToRemove: [...response.remove],
    responseHeadersToAdd: additions(response),
  };
}

function additions(edits: HeaderEdits): Init<typeof HeaderValueOptionSchema>[] {
  const option = (appendAction: AppendAction) => (pair: readonly [string, string]) => ({
    // "%" begins a format command.
    header: { key: pair[0], value: pair[1].replaceAll('%', '%%') },
    appendAction,
    keepEmptyValue: true,
  });
  return [
    ...edits.set.map(option(AppendAction.OVERWRITE_IF_EXISTS_OR_ADD)),
    ...edits.add.map(option(AppendAction.APPEND_IF_EXISTS_OR_ADD)),
  ];
}
