// Static routes go into the kernel's own table; the fast path asks the kernel, so they are in force at once.
import type { Problem } from '../../../config/problem.ts';
import { metricOf, routeRef, type RouteSpec } from '../../../engine/kinds/route.ts';
import type { Ref, Resource } from '../../../engine/resource.ts';
import type { Look } from '../../../engine/slice.ts';
import { contains, parsePrefix } from '../../../lib/prefix.ts';
import { parseIp } from '../../../lib/ip.ts';
import { deviceOf, portsSchema } from '../../l1/port/schema.ts';
import { idOfEntry, sviName, vlansSchema } from '../../l2/vlan/schema.ts';
import type { Routes } from './schema.ts';

const owner = 'routes';

/** The device that each subnet of the switch is on. */
function subnets(look: Look): readonly { readonly cidr: string; readonly device: string }[] {
  const svis = Object.entries(look(vlansSchema)).flatMap(([name, vlan]) => {
    const id = idOfEntry(name, vlan);
    return id === undefined ? [] : vlan.address.map((cidr) => ({ cidr, device: sviName(id) }));
  });
  const routed = Object.entries(look(portsSchema)).flatMap(([name, port]) =>
    (port.address ?? []).map((cidr) => ({ cidr, device: deviceOf(name, port) })),
  );
  return [...svis, ...routed];
}

function subnetOf(look: Look, via: string): { readonly cidr: string; readonly device: string } | undefined {
  const ip = parseIp(via);
  if (ip === undefined) return undefined;
  return subnets(look).find(({ cidr }) => {
    const subnet = parsePrefix(cidr);
    return subnet !== undefined && contains(subnet, ip);
  });
}

export function compileRoutes(routes: Routes, look: Look): readonly Resource[] {
  const forwarding = {
    'net/ipv4/ip_forward': '1',
    'net/ipv6/conf/all/forwarding': '1',
    'net/ipv4/fwmark_reflect': '0',
  };
  const settings = Object.entries(forwarding).map(([key, value]): Resource => ({
    ref: `sysctl/${key}`,
    owner,
    spec: { value },
    needs: [],
  }));
  return [...settings, ...Object.entries(routes).flatMap(([prefix, route]) => compileRoute(prefix, route, look))];
}

type NextHop = RouteSpec['nextHops'][number];

/** A next hop as the document has it. */
export interface StaticHop {
  readonly hop: NextHop;
  /** Device that it is reached by, where that is known. */
  readonly device?: string;
  readonly needs: readonly Ref[];
  /** The port of that device, where it is shut: the next hop is inactive. */
  readonly shut?: string;
}

/** The next hops of a route, those that are inactive too. */
export function hopsOf(route: Routes[string], look: Look): readonly StaticHop[] {
  const dev = route.device === undefined ? {} : { dev: route.device };
  const hops: readonly NextHop[] = route.via?.map((via) => ({ via, ...dev })) ?? (dev.dev === undefined ? [] : [dev]);
  return hops.map((hop) => {
    const subnet = hop.via === undefined ? undefined : subnetOf(look, hop.via);
    const device = hop.dev ?? subnet?.device;
    const shut = device === undefined ? undefined : shutPort(device, look);
    return {
      hop,
      needs: subnet === undefined ? [] : [`address/${subnet.device}/${subnet.cidr}`, `admin/${subnet.device}`],
      ...(device === undefined ? {} : { device }),
      ...(shut === undefined ? {} : { shut }),
    };
  });
}

function shutPort(device: string, look: Look): string | undefined {
  return Object.entries(look(portsSchema)).find(([name, port]) => port.shut && deviceOf(name, port) === device)?.[0];
}

/** The kernel takes no route over a device that is down, and drops those that it has: a next hop over a shut port is no
 * part of it, and a route without another next hop is inactive. */
function compileRoute(prefix: string, route: Routes[string], look: Look): readonly Resource<RouteSpec>[] {
  const hops = hopsOf(route, look).filter(({ shut }) => shut === undefined);
  if (hops.length === 0 && !route.blackhole) return [];
  const spec: RouteSpec = {
    prefix,
    table: 254,
    metric: metricOf(prefix, route.metric),
    type: route.blackhole ? 'blackhole' : 'unicast',
    nextHops: hops.map(({ hop }) => hop),
  };
  const needs = new Set(hops.flatMap((each) => each.needs));
  return [{ ref: routeRef(spec), owner, spec, needs: [...needs] }];
}

/** A next hop must be on a subnet of the switch, and of the route's family. */
export function checkRoutes(routes: Routes, look: Look): readonly Problem[] {
  return Object.entries(routes).flatMap(([prefix, route]) =>
    (route.via ?? []).flatMap((via, i) => {
      const path = ['routes', prefix, 'via', i];
      if (prefix.includes(':') !== via.includes(':')) return [look.problem(path, `${via} is of the other family`)];
      if (route.device !== undefined || via.startsWith('fe80:')) return [];
      if (subnetOf(look, via) !== undefined) return [];
      return [look.problem(path, `${via} is on no network of the switch`)];
    }),
  );
}
