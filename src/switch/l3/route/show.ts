// show routes: what the kernel's table has, whoever put it there, and static routes that are inactive
import { z } from 'zod';
import { type AnyCommand, command, type Read } from '../../../engine/slice.ts';
import { metricOf } from '../../../engine/kinds/route.ts';
import { protocolNumber } from '../../../engine/kinds/mark.ts';
import { table } from '../../../lib/table.ts';
import { hopsOf } from './compile.ts';
import { routesSchema } from './schema.ts';

const routeData = z.object({
  prefix: z.string(),
  type: z.string(),
  protocol: z.string(),
  metric: z.number(),
  nextHops: z.array(z.object({ via: z.string(), device: z.string(), weight: z.number() })),
  inactive: z.string().meta({ description: 'why it is not in force; empty where it is' }),
});

// Names of RTPROT_* as `ip route` prints them, ours apart.
const protocols: Readonly<Record<number, string>> = {
  2: 'connected',
  3: 'boot',
  4: 'manual',
  [protocolNumber]: 'static',
  186: 'bgp',
  187: 'isis',
  188: 'ospf',
  196: 'static (FRR)',
};

function routeRows(read: Read): z.infer<typeof routeData>[] {
  const nl = read.kernel.netlink();
  const names = new Map(nl.links().map((link) => [link.index, link.name]));
  const rows = nl.routes({ table: 254 }).map((route) => ({
    prefix: route.prefix,
    type: route.type,
    protocol: protocols[route.protocol] ?? `protocol ${route.protocol}`,
    metric: route.metric,
    nextHops: route.nextHops.map((hop) => ({
      via: hop.via ?? '',
      device: hop.dev === undefined ? '' : (names.get(hop.dev) ?? `#${hop.dev}`),
      weight: hop.weight ?? 1,
    })),
    inactive: '',
  }));
  const shown = rows.filter((row) => row.protocol !== 'connected' || !row.prefix.startsWith('fe80'));
  return [...shown, ...inactiveRows(read)];
}

/** Next hops of static routes that a shut port keeps from being used. */
function inactiveRows(read: Read): z.infer<typeof routeData>[] {
  const look = read.look();
  return Object.entries(look(routesSchema)).flatMap(([prefix, route]) =>
    hopsOf(route, look).flatMap(({ hop, device = '', shut }) => {
      if (shut === undefined) return [];
      const nextHops = [{ via: hop.via ?? '', device, weight: hop.weight ?? 1 }];
      const metric = metricOf(prefix, route.metric);
      return [{ prefix, type: 'unicast', protocol: 'static', metric, nextHops, inactive: `${shut} is shut` }];
    }),
  );
}

const fromOf = ({ protocol, inactive }: z.infer<typeof routeData>): string =>
  inactive === '' ? protocol : `${protocol}, inactive: ${inactive}`;

const showRoutes = command({
  path: 'show routes',
  help: 'routes in force, as the kernel has them, and static ones that are inactive',
  role: 'viewer',
  args: z.object({}),
  data: z.array(routeData),
  run: (_args, read) => Promise.resolve(routeRows(read)),
  render: (rows, columns) =>
    table(
      [{ title: 'Prefix' }, { title: 'Next hop', flex: true }, { title: 'Device' }, { title: 'From' }],
      rows.flatMap((row) =>
        row.nextHops.length === 0
          ? [[row.prefix, row.type, '-', fromOf(row)]]
          : row.nextHops.map((hop, i) => [
              i === 0 ? row.prefix : '',
              hop.via === '' ? 'direct' : hop.via,
              hop.device,
              i === 0 ? fromOf(row) : '',
            ]),
      ),
      columns,
    ),
});

export const routeCommands: readonly AnyCommand[] = [showRoutes];
