// Static routes in the kernel's own table, marked by their protocol number.
import type { Kernel } from '../../kernel/kernel.ts';
import type { Netlink, NextHop, Route } from '../../kernel/netlink.ts';
import { FaultError } from '../faults.ts';
import { type Driver, type Ref } from '../resource.ts';
import { kernelFault, protocolNumber } from './mark.ts';

export interface RouteSpec {
  readonly prefix: string;
  readonly table: number;
  readonly metric: number;
  readonly type: 'unicast' | 'local' | 'blackhole' | 'unreachable' | 'prohibit';
  /** Devices by name. */
  readonly nextHops: readonly { readonly via?: string; readonly dev?: string; readonly weight?: number }[];
}

/** The kernel's own metric of an IPv6 route that names none (IP6_RT_PRIO_USER). */
const ipv6Metric = 1024;

/** "route/main/10.0.0.0/8@0" */
export function routeRef(spec: Pick<RouteSpec, 'prefix' | 'table' | 'metric'>): Ref {
  return `route/${spec.table === 254 ? 'main' : spec.table}/${spec.prefix}@${spec.metric}`;
}

/** Metric 0 of an IPv6 route stands as 1024 in the kernel. */
export function metricOf(prefix: string, metric: number): number {
  return metric === 0 && prefix.includes(':') ? ipv6Metric : metric;
}

function parseRef(ref: Ref): Pick<Route, 'prefix' | 'table' | 'metric' | 'protocol'> {
  const [, table, rest = ''] = /^route\/([^/]+)\/(.*)$/.exec(ref) ?? [];
  const at = rest.lastIndexOf('@');
  const metric = Number(rest.slice(at + 1));
  return { prefix: rest.slice(0, at), table: table === 'main' ? 254 : Number(table), metric, protocol: protocolNumber };
}

export function routeDriver(kernel: Kernel): Driver<RouteSpec, RouteSpec> {
  const nl = kernel.netlink();
  const made = new Set<Ref>();
  const ours = (): Map<Ref, RouteSpec> => {
    const names = new Map(nl.links().map((link) => [link.index, link.name]));
    const specs = nl.routes({ protocol: protocolNumber }).map((route) => readRoute(route, names));
    const all = new Map(specs.map((spec) => [routeRef(spec), spec]));
    for (const ref of all.keys()) made.add(ref);
    return all;
  };
  return {
    kind: 'route',
    read: (refs) => {
      const all = ours();
      if (refs === 'all') return Promise.resolve(all);
      const wanted = new Set(refs);
      return Promise.resolve(new Map([...all].filter(([ref]) => wanted.has(ref))));
    },
    diff: (spec, actual) => (sameRoute(spec, actual) ? 'same' : 'update'),
    put: (batch) => {
      refuseForeign(nl, ours(), batch);
      const ops = batch.map(([ref, spec]) => ({ op: 'route-put' as const, route: toKernel(kernel, ref, spec) }));
      for (const [i, code] of nl.apply(ops).entries()) {
        const [ref] = batch[i] ?? [];
        if (code !== undefined && ref !== undefined) throw kernelFault(ref, code, whyRoute(code));
        if (ref !== undefined) made.add(ref);
      }
      return Promise.resolve();
    },
    drop: (refs) => {
      const results = nl.apply(refs.map((ref) => ({ op: 'route-del', route: parseRef(ref) })));
      for (const [i, code] of results.entries()) {
        const ref = refs[i];
        if (code !== undefined && code !== 'ESRCH' && ref !== undefined) throw kernelFault(ref, code);
        if (ref !== undefined) made.delete(ref);
      }
      return Promise.resolve();
    },
    watch: (dirty) =>
      nl.watch(['route', 'link'], (event) => {
        if (event.type === 'overrun') dirty('all');
        if (event.type === 'route' && event.route.protocol === protocolNumber) dirty(routeRef(event.route));
        // Linux says nothing of IPv4 routes that go with their device, or because it is put down.
        if (event.type === 'link' && (event.gone || !event.link.up)) for (const ref of made) dirty(ref);
      }),
  };
}

/** The kernel would put ours in the place of a route that another program made. */
function refuseForeign(
  nl: Netlink,
  ours: ReadonlyMap<Ref, RouteSpec>,
  batch: readonly (readonly [Ref, RouteSpec])[],
): void {
  const fresh = new Map(batch.filter(([ref]) => !ours.has(ref)));
  for (const table of new Set([...fresh.values()].map((spec) => spec.table))) {
    for (const route of nl.routes({ table })) {
      const ref = routeRef(route);
      if (route.table !== table || route.protocol === protocolNumber || !fresh.has(ref)) continue;
      throw new FaultError('already-exists', ref, `a route that is not ours is there (protocol ${route.protocol})`);
    }
  }
}

function whyRoute(code: string): string {
  return code === 'ENETUNREACH' || code === 'EHOSTUNREACH' || code === 'EINVAL'
    ? 'the next hop is on no network of the switch'
    : '';
}

function toKernel(kernel: Kernel, ref: Ref, spec: RouteSpec): Route {
  const nextHops = spec.nextHops.map(({ dev, ...hop }): NextHop => {
    if (dev === undefined) return hop;
    const link = kernel.netlink().link(dev);
    if (link === undefined) throw new FaultError('no-device', ref, `no device ${dev}`, true);
    return { ...hop, dev: link.index };
  });
  return { ...spec, nextHops, protocol: protocolNumber };
}

function readRoute(route: Route, names: ReadonlyMap<number, string>): RouteSpec {
  const type = route.type === 'other' ? 'unicast' : route.type;
  const nextHops = route.nextHops.map((hop) => ({
    ...(hop.via === undefined ? {} : { via: hop.via }),
    ...(hop.dev === undefined ? {} : { dev: names.get(hop.dev) ?? `#${hop.dev}` }),
    ...(hop.weight === undefined ? {} : { weight: hop.weight }),
  }));
  return { prefix: route.prefix, table: route.table, metric: route.metric, type, nextHops };
}

/** A next hop without a device matches any that the kernel chose. */
function sameRoute(spec: RouteSpec, actual: RouteSpec): boolean {
  if (spec.type !== actual.type) return false;
  if (spec.type !== 'unicast' && spec.type !== 'local') return true;
  if (spec.nextHops.length !== actual.nextHops.length) return false;
  return spec.nextHops.every((hop) =>
    actual.nextHops.some(
      (other) =>
        hop.via === other.via && (hop.dev ?? other.dev) === other.dev && (hop.weight ?? 1) === (other.weight ?? 1),
    ),
  );
}
