import { z } from 'zod';
import { command } from '../../engine/slice.ts';
import { table } from '../table.ts';
import type { Proxy } from './server.ts';

/** What `run.ts` offers under `xds`. */
export interface XdsLive {
  proxies(): readonly Proxy[];
}

const proxyData = z.object({
  id: z.string(),
  role: z.enum(['gateway', 'sidecar']),
  variant: z.enum(['sotw', 'delta']),
  peer: z.string(),
  since: z.number().meta({ description: 'milliseconds since 1970' }),
  types: z.array(
    z.object({
      type: z.enum(['cds', 'eds', 'lds', 'rds']),
      sent: z.string(),
      acked: z.string(),
      nack: z.string().optional(),
    }),
  ),
});

/** The proxies as data, sorted by id. */
export function proxiesData(proxies: readonly Proxy[]): z.infer<typeof proxyData>[] {
  return proxies
    .map((proxy) => ({ ...proxy, types: [...proxy.types] }))
    .toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : a.since - b.since));
}

/** One line a proxy: of each type whether it has what it was sent; refusals below it. */
export function renderProxies(proxies: readonly z.infer<typeof proxyData>[]): string {
  if (proxies.length === 0) return 'no proxies\n';
  const word = (proxy: (typeof proxies)[number], type: string): string => {
    const state = proxy.types.find((t) => t.type === type);
    if (state === undefined) return '-';
    if (state.nack !== undefined) return 'REFUSED';
    return state.sent === state.acked ? 'ok' : 'pending';
  };
  const rows = proxies.map((p) => [
    p.id,
    p.role,
    p.variant,
    p.peer,
    new Date(p.since).toISOString(),
    ...['cds', 'eds', 'lds', 'rds'].map((type) => word(p, type)),
  ]);
  const refusals = proxies.flatMap((p) =>
    p.types.flatMap((t) => (t.nack === undefined ? [] : [`${p.id} refused ${t.type} ${t.sent}: ${t.nack}\n`])),
  );
  return table(['PROXY', 'ROLE', 'VARIANT', 'PEER', 'SINCE', 'CDS', 'EDS', 'LDS', 'RDS'], rows) + refusals.join('');
}

export const showProxies = command({
  path: 'show proxies',
  help: 'connected Envoy proxies, and what they took or refused',
  example: 'show proxies',
  args: z.object({}),
  data: z.array(proxyData),
  role: 'viewer',
  run: async (_, read) => proxiesData(read.live<XdsLive>('xds')?.proxies() ?? []),
  render: renderProxies,
});
