// What people see of the router: data and its rendering for the commands "show http routes" and "show http workers".
import { z } from 'zod';
import { type Column, table } from '../../lib/table.ts';
import type { HeaderMatch, Route, RouteMatch, Snapshot, StreamCluster, StringMatch } from '../../mesh/snapshot.ts';
import type { ListenerStats, RouteRow, WorkerStats } from './stats.ts';

export const httpRoutesData = z.array(
  z.object({
    route: z.string().meta({ description: 'name of the route, "-" for requests that no route took' }),
    listeners: z.array(z.string()),
    hosts: z.array(z.string()),
    match: z.string(),
    action: z.string(),
    requests: z.number(),
    ok: z.number().meta({ description: 'answers 2xx' }),
    redirected: z.number().meta({ description: 'answers 3xx' }),
    refused: z.number().meta({ description: 'answers 4xx' }),
    failed: z.number().meta({ description: 'answers 5xx' }),
    aborted: z.number().meta({ description: 'ended without a whole answer' }),
    p50Ms: z.number(),
    p99Ms: z.number(),
  }),
);

export type HttpRoutesData = z.infer<typeof httpRoutesData>;

/** Joins what is in force with what was counted, in the order in which routes are tried. */
export function httpRoutes(snapshot: Snapshot | undefined, stats: readonly RouteRow[]): HttpRoutesData {
  const counted = new Map(stats.map((row) => [`${row.table} ${row.route}`, row]));
  const list: HttpRoutesData = [];
  for (const table of snapshot?.routes ?? []) {
    const listeners = snapshot!.listeners
      .filter((l) => l.routes === table.name || l.tls?.some((host) => host.routes === table.name) === true)
      .map((l) => l.name);
    const rows = new Map<string, { route: Route; hosts: string[] }>();
    for (const host of table.hosts) {
      for (const route of host.routes) {
        const row = rows.get(route.name) ?? { route, hosts: [] };
        row.hosts.push(...host.domains.filter((domain) => !row.hosts.includes(domain)));
        rows.set(route.name, row);
      }
    }
    for (const { name, sni = [], clusters } of table.streams ?? []) {
      const row = counted.get(`${table.name} ${name}`);
      const action = clusters.length === 0 ? 'close' : clustersText(clusters);
      list.push({ ...counts(row), route: name, listeners, hosts: [...sni], match: 'connection', action });
    }
    for (const { route, hosts } of rows.values()) {
      const row = counted.get(`${table.name} ${route.name}`);
      list.push({
        ...counts(row),
        route: route.name,
        listeners,
        hosts,
        match: matchText(route.match),
        action: actionText(route),
      });
    }
  }
  const rest = counted.get(' ');
  if (rest !== undefined)
    list.push({ ...counts(rest), route: '-', listeners: [], hosts: [], match: '', action: '404' });
  return list;
}

function counts(row: RouteRow | undefined) {
  const [, ok = 0, redirected = 0, refused = 0, failed = 0] = row?.classes ?? [];
  const { requests = 0, aborted = 0, p50Ms = 0, p99Ms = 0 } = row ?? {};
  return { requests, ok, redirected, refused, failed, aborted, p50Ms, p99Ms };
}

/** "GET prefix /a, x-user = jason, ?q present" as one reads it in the manifest. */
export function matchText(match: RouteMatch): string {
  const parts: string[] = [];
  const { path } = match;
  const where = path === undefined || (path.kind === 'prefix' && path.value === '') ? '' : `${path.kind} ${path.value}`;
  parts.push([match.method ?? '', where].filter((p) => p !== '').join(' '));
  for (const h of match.headers) parts.push(fieldText(h.name, h));
  for (const q of match.query) parts.push(fieldText(`?${q.name}`, q));
  return parts.filter((p) => p !== '').join(', ') || 'any';
}

const signs: Readonly<Record<StringMatch['kind'], string>> = {
  exact: '=',
  prefix: '^=',
  regex: '~',
  present: 'present',
};

function fieldText(name: string, { match, invert }: HeaderMatch): string {
  const text = match.kind === 'present' ? `${name} present` : `${name} ${signs[match.kind]} ${match.value}`;
  return invert === true ? `not ${text}` : text;
}

function actionText({ action }: Route): string {
  if (action.kind === 'redirect') return `redirect ${action.status}`;
  if (action.kind === 'reply') return `reply ${action.status}`;
  return clustersText(action.clusters);
}

function clustersText(clusters: readonly StreamCluster[]): string {
  if (clusters.length === 1) return clusters[0]!.cluster;
  return clusters.map((c) => `${c.cluster} ${c.weight}`).join(', ');
}

/** A table of what an operator looks at first; data has the rest. Hosts stand before the match: "web.example prefix
 * /a". */
export function renderHttpRoutes(data: HttpRoutesData, columns: number): string {
  if (data.length === 0) return 'no routes\n';
  const right = (title: string): Column => ({ title, align: 'right' });
  const heads: Column[] = [
    { title: 'Route', flex: true },
    { title: 'Match', flex: true },
    { title: 'To', flex: true },
    ...['Requests', '2xx', '4xx', '5xx', 'p99 ms'].map(right),
  ];
  const lines = data.map((r) => [
    r.route,
    [r.hosts.join(',').replace(/^\*$/, ''), r.match].filter((part) => part !== '').join(' '),
    r.action,
    ...[r.requests, r.ok, r.refused, r.failed].map(String),
    milliseconds(r.p99Ms),
  ]);
  return table(heads, lines, columns);
}

function milliseconds(ms: number): string {
  return ms === 0 ? '-' : ms < 10 ? ms.toFixed(2) : ms.toFixed(0);
}

export const httpWorkersData = z.array(
  z.object({
    worker: z.number(),
    connections: z.number(),
    accepted: z.number(),
    refused: z.number(),
    upstreams: z.number(),
    upstreamsIdle: z.number(),
    upstreamConnects: z.number(),
    upstreamsResumed: z.number().meta({ description: 'of these over TLS that went on with an earlier session' }),
    heldBytes: z.number().meta({ description: 'waiting for a client or a server to read them' }),
    handshakes: z.number().meta({ description: 'of TLS with clients' }),
    resumed: z.number(),
    handshakesFailed: z.object({
      unshared: z.number().meta({ description: 'no version, cipher or protocol in common' }),
      certificate: z.number().meta({ description: 'of the client: none, or not to be trusted' }),
      alert: z.number().meta({ description: 'the client gave up: it may not trust our certificate' }),
      cut: z.number().meta({ description: 'the client went away or was too slow' }),
      other: z.number(),
    }),
    starved: z.number().meta({ description: 'connections that ended for want of memory' }),
    logDropped: z.number(),
    faults: z.number(),
  }),
);

export type HttpWorkersData = z.infer<typeof httpWorkersData>;

export function httpWorkers(stats: readonly WorkerStats[]): HttpWorkersData {
  return stats.map((w) => ({
    worker: w.worker,
    connections: w.connections,
    accepted: w.accepted,
    refused: w.refused,
    upstreams: w.upstreams,
    upstreamsIdle: w.upstreamsIdle,
    upstreamConnects: w.upstreamConnects,
    upstreamsResumed: w.upstreamsResumed,
    heldBytes: w.heldBytes,
    handshakes: w.tlsHandshakes,
    resumed: w.tlsResumed,
    handshakesFailed: {
      unshared: w.tlsUnshared,
      certificate: w.tlsCertificate,
      alert: w.tlsAlert,
      cut: w.tlsCut,
      other: w.tlsOther,
    },
    starved: w.starved,
    logDropped: w.logDropped,
    faults: w.faults + w.refusedRows,
  }));
}

export function renderHttpWorkers(data: HttpWorkersData): string {
  const titles = [
    'Worker',
    'Clients',
    'Accepted',
    'Refused',
    'Upstreams',
    'Idle',
    'Connects',
    'Held',
    'TLS',
    'Unshared',
    'Untrusted',
    'Alerts',
    'Cut',
    'Other',
    'Starved',
    'Lost',
    'Faults',
  ];
  const heads = titles.map((title): Column => ({ title, align: 'right' }));
  const rows = data.map((w) =>
    [w.worker, w.connections, w.accepted, w.refused, w.upstreams, w.upstreamsIdle, w.upstreamConnects, w.heldBytes]
      .concat(w.handshakes, Object.values(w.handshakesFailed), w.starved, w.logDropped, w.faults)
      .map(String),
  );
  return table(heads, rows, 0);
}

export const httpListenersData = z.array(
  z.object({
    listener: z.string(),
    protocol: z.string(),
    connections: z.number().meta({ description: 'there now' }),
    limit: z.number().optional().meta({ description: 'of connections at once' }),
    limitPerClient: z.number().optional(),
    refused: z.number().meta({ description: 'turned away because so many were there' }),
    refusedPerClient: z.number().meta({ description: 'turned away because so many of their client were there' }),
  }),
);

export type HttpListenersData = z.infer<typeof httpListenersData>;

export function httpListeners(snapshot: Snapshot | undefined, stats: readonly ListenerStats[]): HttpListenersData {
  const listeners = new Map(snapshot?.listeners.map((listener) => [listener.name, listener]));
  return stats.map(({ listener, connections, over, overClient }) => {
    const { protocol = 'HTTP', limits = {} } = listeners.get(listener) ?? {};
    return {
      listener,
      protocol,
      connections,
      ...(limits.connections !== undefined && { limit: limits.connections }),
      ...(limits.connectionsPerClient !== undefined && { limitPerClient: limits.connectionsPerClient }),
      refused: over,
      refusedPerClient: overClient,
    };
  });
}

export function renderHttpListeners(data: HttpListenersData): string {
  if (data.length === 0) return 'no listeners\n';
  const heads: Column[] = [
    { title: 'Listener' },
    { title: 'Protocol' },
    ...['Clients', 'Limit', 'Refused', 'Per client', 'Refused'].map((title): Column => ({ title, align: 'right' })),
  ];
  const bound = (n: number | undefined): string => (n === undefined ? '-' : String(n));
  const rows = data.map((l) => [
    l.listener,
    l.protocol,
    String(l.connections),
    bound(l.limit),
    String(l.refused),
    bound(l.limitPerClient),
    String(l.refusedPerClient),
  ]);
  return table(heads, rows, 0);
}
