// Policy inside the mesh: what is attached to a service itself, not to a Gateway.
import type { Manifest } from '../../config/manifest.ts';
import { type Registry, type Service, serviceHosts, serviceKey } from '../registry/model.ts';
import type { Route, StreamRoute, VirtualHost } from '../snapshot.ts';
import { noEdits } from '../snapshot.ts';
import { compareAge, type FirstSeen } from './age.ts';
import type { CompiledRoute } from './gatewayapi/httproute.ts';
import { compareRank } from './gatewayapi/rank.ts';
import type { ParentRef } from './gatewayapi/schema.ts';
import type { CompiledStream } from './gatewayapi/stream.ts';
import { type Socket, socketName } from './hosts.ts';
import { bad, good, type StatusBook } from './status.ts';

/** Ordered routes of an Istio VirtualService for a service's port. */
export interface MeshRoutes {
  readonly manifest: Manifest;
  readonly routes: readonly Route[];
  readonly streams: readonly StreamRoute[];
}

/** What policy puts before a service's port; nothing of both: the service has no policy there. */
export interface ServicePolicy {
  readonly routes: readonly Route[];
  readonly streams: readonly StreamRoute[];
}

export type Policy = (service: Service, port: number) => ServicePolicy;

/** The policy of HTTPRoutes, GRPCRoutes and TCPRoutes with a Service parent, and after them of `ordered` (Istio), route
 * by route; statuses go into the book. */
export function* policyOf(
  routes: readonly (CompiledRoute | CompiledStream)[],
  ordered: (service: Service, port: number) => MeshRoutes | undefined,
  registry: Registry,
  book: StatusBook,
  firstSeen?: FirstSeen,
): Generator<undefined, Policy, undefined> {
  const attached = new Map<string, { route: CompiledRoute | CompiledStream; ref: ParentRef }[]>();
  for (const route of routes) {
    for (const ref of route.source.spec.parentRefs) {
      const isGateway = ref.kind === 'Gateway' && ref.group === 'gateway.networking.k8s.io';
      if (isGateway || !accept(route, ref, registry, book)) continue;
      const key = serviceKey(ref.namespace ?? route.source.namespace, ref.name);
      const list = attached.get(key) ?? [];
      attached.set(key, list);
      list.push({ route, ref });
    }
    yield;
  }
  return (service, port) => {
    const key = serviceKey(service.namespace, service.name);
    const own = (attached.get(key) ?? []).filter(({ ref }) => ref.port === undefined || ref.port === port);
    const all = [...new Set(own.map((a) => a.route))];
    const ranked = all
      .flatMap((route) => ('routes' in route ? route.routes(port) : []))
      .toSorted((a, b) => compareRank(a, b, firstSeen))
      .map((each) => each.route);
    const streams = all
      .flatMap((route) => (route.kind === 'TCPRoute' ? [route] : []))
      .toSorted((a, b) => compareAge(a.source.manifest, b.source.manifest, firstSeen))
      .map(({ route }) => route);
    const istio = ordered(service, port);
    if (service.ports.find((p) => p.port === port)?.protocol === 'TCP') {
      for (const { source } of all.filter((route) => route.kind === 'HTTPRoute')) {
        const message = `service ${key} speaks no HTTP on port ${port}`;
        book.set(source.manifest, bad('Accepted', 'UnsupportedProtocol', message), `Service ${key}`);
      }
      return { routes: [], streams: [...streams, ...(istio?.streams ?? [])].slice(0, 1) };
    }
    if (istio !== undefined && ranked.length > 0) {
      const message = `Gateway API routes are attached to service ${key} too, and are tried first`;
      book.set(istio.manifest, { type: 'Conflicted', status: 'True', reason: 'GatewayAPIFirst', message });
    }
    return {
      routes: [...ranked, ...(istio?.routes ?? [])],
      streams: [...streams, ...(istio?.streams ?? [])].slice(0, 1),
    };
  };
}

/** GEP-1426: a Service as parent. A route of another namespace than the service's would be for clients there only. */
function accept(route: CompiledRoute | CompiledStream, ref: ParentRef, registry: Registry, book: StatusBook): boolean {
  const { source } = route;
  const namespace = ref.namespace ?? source.namespace;
  const key = serviceKey(namespace, ref.name);
  const part = `${ref.kind} ${key}${ref.port === undefined ? '' : `:${ref.port}`}`;
  const refuse = (reason: string, message: string): false => {
    book.set(source.manifest, bad('Accepted', reason, message), part);
    return false;
  };
  book.set(source.manifest, route.resolvedRefs, part);
  if ((ref.group !== '' && ref.group !== 'core') || ref.kind !== 'Service') {
    return refuse('NoMatchingParent', `a parent of kind ${ref.kind} is not known`);
  }
  if (route.kind === 'TLSRoute') return refuse('NotAllowedByListeners', 'a Service takes no TLSRoute');
  const service = registry.get(key);
  if (service === undefined) return refuse('NoMatchingParent', `there is no service ${key}`);
  if (ref.port !== undefined && !service.ports.some((p) => p.port === ref.port)) {
    return refuse('NoMatchingParent', `service ${key} has no port ${ref.port}`);
  }
  if (namespace !== source.namespace) {
    return refuse('NotAllowedByListeners', 'routes for the clients of one namespace only are not supported');
  }
  book.set(source.manifest, good('Accepted'), part);
  return true;
}

/** Addresses of services with policy: the fast path steers their connections here. */
export function* steered(services: Registry, policy: Policy): Generator<undefined, Socket[], undefined> {
  const sockets: Socket[] = [];
  for (const service of services.values()) {
    for (const { port, protocol: declared } of service.ports) {
      const { routes, streams } = policy(service, port);
      if (service.address === undefined || routes.length + streams.length === 0) continue;
      const name = `steer:${socketName(service.address, port)}`;
      const http = declared === 'auto' ? ('auto' as const) : ('HTTP' as const);
      const protocol = routes.length > 0 ? http : ('TCP' as const);
      const listener = { name, address: service.address, port, protocol, routes: name, steered: true };
      const hosts = [{ name: '*', domains: ['*'], routes }];
      const table = protocol === 'HTTP' ? { name, hosts } : { name, hosts: protocol === 'auto' ? hosts : [], streams };
      sockets.push([listener, table]);
    }
    yield;
  }
  return sockets;
}

/** What a sidecar's workload connects to: one listener a port, on loopback, the services apart by Host. */
export function* outbound(services: Registry, policy: Policy): Generator<undefined, Socket[], undefined> {
  const byPort = new Map<number, Service[]>();
  for (const service of services.values()) {
    for (const { port, protocol } of service.ports) {
      if (protocol !== 'HTTP') continue;
      const list = byPort.get(port) ?? [];
      byPort.set(port, list);
      list.push(service);
    }
  }
  const sockets: Socket[] = [];
  for (const [port, list] of byPort) {
    const name = `outbound:${port}`;
    const hosts: VirtualHost[] = [];
    for (const service of list) {
      const { routes } = policy(service, port);
      hosts.push({
        name: `${service.namespace}/${service.name}`,
        domains: serviceHosts(service),
        routes: routes.length > 0 ? routes : [plainRoute(service, port)],
      });
      yield;
    }
    sockets.push([
      { name, address: '127.0.0.1', port, protocol: 'HTTP', routes: name },
      { name, hosts },
    ]);
  }
  return sockets;
}

/** The route of a service without policy: everything to its endpoints. */
function plainRoute(service: Service, port: number): Route {
  const cluster = `${service.namespace}/${service.name}/${port}`;
  return {
    name: `service/${cluster}`,
    match: { path: { kind: 'prefix', value: '' }, headers: [], query: [] },
    request: noEdits,
    response: noEdits,
    action: {
      kind: 'forward',
      clusters: [{ cluster, weight: 1, request: noEdits, response: noEdits }],
      timeoutMs: 0,
    },
  };
}
