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
  return [...settings, ...Object.entries(routes).map(([prefix, route]) => compileRoute(prefix, route, look))];
}

function compileRoute(prefix: string, route: Routes[string], look: Look): Resource<RouteSpec> {
  const needs = new Set<Ref>();
  const nextHops: RouteSpec['nextHops'][number][] = (route.via ?? []).map((via) => {
    const subnet = subnetOf(look, via);
    if (subnet !== undefined) {
      needs.add(`address/${subnet.device}/${subnet.cidr}`);
      needs.add(`admin/${subnet.device}`);
    }
    return { via, ...(route.device === undefined ? {} : { dev: route.device }) };
  });
  if (nextHops.length === 0 && route.device !== undefined) nextHops.push({ dev: route.device });
  const spec: RouteSpec = {
    prefix,
    table: 254,
    metric: metricOf(prefix, route.metric),
    type: route.blackhole ? 'blackhole' : 'unicast',
    nextHops,
  };
  return { ref: routeRef(spec), owner, spec, needs: [...needs] };
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
