// How long what a route takes may be without a byte: what RoutePolicies say, put into compiled routes.
import type { Manifest } from '../../../config/manifest.ts';
import type { Route, StreamRoute } from '../../snapshot.ts';
import { compareAge, type FirstSeen } from '../age.ts';
import type { CompiledRoute } from '../gatewayapi/httproute.ts';
import type { CompiledStream } from '../gatewayapi/stream.ts';
import type { CompiledService } from '../istio/virtualservice.ts';
import type { Typed } from '../read.ts';
import { bad, good, type StatusBook } from '../status.ts';
import type { RoutePolicySpec } from './schema.ts';

/** Each gives the route with the time that a policy has for it. */
export interface IdleTimes {
  http(route: CompiledRoute): CompiledRoute;
  stream(route: CompiledStream): CompiledStream;
  service(service: CompiledService): CompiledService;
}

/** Attaches RoutePolicies; statuses go into the book. Of two for one route the older counts. */
export function idleTimes(
  policies: readonly Typed<RoutePolicySpec>[],
  manifests: readonly Manifest[],
  book: StatusBook,
  firstSeen?: FirstSeen,
): IdleTimes {
  const times = new Map<string, number>();
  const there = policies.length === 0 ? new Set<string>() : new Set(manifests.map(targetOf));
  for (const { manifest, namespace, spec } of policies.toSorted((a, b) =>
    compareAge(a.manifest, b.manifest, firstSeen),
  )) {
    for (const ref of spec.targetRefs) {
      const key = keyOf(ref.kind, `${namespace}/${ref.name}`);
      const part = `${ref.kind} ${namespace}/${ref.name}`;
      const none = bad('Accepted', 'TargetNotFound', `there is no ${part}`);
      book.set(manifest, there.has(`${ref.group}/${key}`) ? good('Accepted') : none, part);
      if ((times.get(key) ?? spec.timeout.idle) !== spec.timeout.idle) {
        const message = `an older RoutePolicy says otherwise of ${part}`;
        book.set(manifest, { type: 'Conflicted', status: 'True', reason: 'Conflicted', message }, part);
      } else times.set(key, spec.timeout.idle);
    }
  }
  return {
    http(route) {
      const idleMs = times.get(keyOf(route.kind, route.source.key));
      if (idleMs === undefined) return route;
      const routes: CompiledRoute['routes'] = (port) =>
        route.routes(port).map((ranked) => ({ ...ranked, route: withTime(ranked.route, idleMs) }));
      return { ...route, routes };
    },
    stream(route) {
      const idleMs = times.get(keyOf(route.kind, route.source.key));
      return idleMs === undefined ? route : { ...route, route: { ...route.route, idleMs } };
    },
    service(service) {
      const idleMs = times.get(keyOf('VirtualService', service.source.key));
      if (idleMs === undefined) return service;
      const withIdle = (list: readonly StreamRoute[]) => list.map((stream) => ({ ...stream, idleMs }));
      return {
        ...service,
        routes: (gateway, port) => service.routes(gateway, port).map((route) => withTime(route, idleMs)),
        streams(gateway, port) {
          const { tcp, tls } = service.streams(gateway, port);
          return { tcp: withIdle(tcp), tls: withIdle(tls) };
        },
      };
    },
  };
}

/** Of what a policy may name: there may be thousands of both. */
function targetOf({ apiVersion, kind, metadata }: Manifest): string {
  const group = apiVersion.slice(0, Math.max(0, apiVersion.lastIndexOf('/')));
  return `${group}/${keyOf(kind, `${metadata.namespace}/${metadata.name}`)}`;
}

function keyOf(kind: string, name: string): string {
  return `${kind} ${name}`;
}

/** Routes as they were given a time: a route never changes. */
const timed = new WeakMap<Route, Route>();

function withTime(route: Route, idleMs: number): Route {
  const { action } = route;
  if (action.kind !== 'forward') return route;
  const before = timed.get(route);
  if (before?.action.kind === 'forward' && before.action.idleMs === idleMs) return before;
  const now: Route = { ...route, action: { ...action, idleMs } };
  timed.set(route, now);
  return now;
}
