// Snapshots as people read them: one line a route. What `show routes` prints and what the golden files hold.
import type {
  Cluster,
  Endpoints,
  HeaderEdits,
  HeaderMatch,
  PathRewrite,
  Route,
  RouteAction,
  RouteTable,
  Snapshot,
  StreamRoute,
  TlsHost,
  VirtualHost,
  WeightedCluster,
} from './snapshot.ts';

/** The snapshot as text: listeners, under them hosts, under them routes in the order of trying; then the clusters. */
export function printSnapshot(snapshot: Snapshot): string {
  const lines = snapshot.listeners.flatMap((listener) => {
    const table = snapshot.routes.find((t) => t.name === listener.routes);
    const hosts = (table?.hosts ?? []).flatMap((host) => printHost(host, '  '));
    const secured = (listener.tls ?? []).flatMap((tls) => [
      `  ${printTls(tls)}`,
      ...printTable(snapshot.routes.find((t) => t.name === tls.routes)),
    ]);
    const streams = (table?.streams ?? []).map((stream) => `  ${printStream(stream)}`);
    const how = `${listener.protocol === 'HTTP' ? '' : ` ${listener.protocol}`}${listener.steered ? ' steered' : ''}`;
    const { proxyFrom, maxTunnelMs, forwardCertificate, limits = {} } = listener;
    const settings = [
      proxyFrom === undefined ? '' : ` proxy-protocol from ${proxyFrom.join(' ')}`,
      maxTunnelMs === undefined ? '' : ` max-tunnel ${maxTunnelMs}ms`,
      forwardCertificate === undefined ? '' : ` certificates forwarded: ${[forwardCertificate].flat().join(' ')}`,
      ...Object.entries(limits).map(([what, most]) => ` ${what} ${most}`),
    ].join('');
    return [`listener ${listener.name}${how}${settings}`, ...hosts, ...secured, ...streams];
  });
  const clusters = snapshot.clusters.map((c) => {
    const speaks = `${c.protocol === 'HTTP/2' ? ' HTTP/2' : ''}${c.grpcWeb ? ' grpc-web' : ''}`;
    const proxy = c.proxyProtocol === undefined ? '' : ` proxy-protocol v${c.proxyProtocol}`;
    return `cluster ${c.key} ${c.policy}${speaks}${printClusterTls(c)}${proxy}`;
  });
  return [...lines, ...clusters].map((line) => `${line}\n`).join('');
}

function printTable(table: RouteTable | undefined): string[] {
  const hosts = (table?.hosts ?? []).flatMap((host) => printHost(host, '    '));
  return [...hosts, ...(table?.streams ?? []).map((stream) => `    ${printStream(stream)}`)];
}

function printHost(host: VirtualHost, indent: string): string[] {
  return [`${indent}host ${host.domains.join(' ')}`, ...host.routes.map((route) => `${indent}  ${printRoute(route)}`)];
}

/** Names of secrets, never what is in them. */
function printTls({ host, certificates, client, minimum }: TlsHost): string {
  const clients = client && `, clients ${client.required ? 'must be' : 'may be'} known to ${client.trust}`;
  return `tls ${host}: ${certificates.join(', ')} from ${minimum}${clients ?? ''}`;
}

function printClusterTls({ tls }: Cluster): string {
  if (tls === undefined) return '';
  const { serverName = 'no name', names, trust = 'the system', certificate } = tls;
  const shown = certificate === undefined ? '' : `, shows ${certificate}`;
  return ` tls ${serverName}: ${names.join(' ')} trusted by ${trust}${shown}`;
}

/** The endpoints as text, one line each. */
export function printEndpoints(endpoints: readonly Endpoints[]): string {
  return endpoints
    .map(({ cluster, list }) => {
      const all = list.map(
        (e) => `  ${e.name} ${e.address} port ${e.port} weight ${e.weight}${e.healthy ? '' : ' unhealthy'}`,
      );
      return [cluster, ...all].map((line) => `${line}\n`).join('');
    })
    .join('');
}

function printStream({ name, sni, clusters, idleMs }: StreamRoute): string {
  const to = clusters.map(({ cluster, weight }) => `${cluster}*${weight}`).join(' + ') || 'close';
  const when = sni === undefined ? 'always' : `sni ${sni.join(' ')}`;
  return `${name}: ${when} -> ${to}${idleMs === undefined ? '' : ` idle ${idleMs}ms`}`;
}

/** One route: "NAME: if CONDITIONS, EDITS -> ACTION". */
export function printRoute(route: Route): string {
  const { path, method, headers, query } = route.match;
  const conditions = [
    ...(path === undefined ? [] : [`path ${path.kind} "${path.value}"`]),
    ...(method === undefined ? [] : [`method ${method}`]),
    ...headers.map((h) => `header ${printMatch(h)}`),
    ...query.map((q) => `query ${printMatch(q)}`),
  ];
  const edits = [...printEdits('request', route.request), ...printEdits('response', route.response)];
  const before = [conditions.join(', ') || 'always', ...edits].join('; ');
  return `${route.name}: ${before} -> ${printAction(route.action)}`;
}

function printMatch({ name, match, invert }: HeaderMatch): string {
  const value = match.kind === 'present' ? 'present' : `${match.kind} "${match.value}"`;
  return `${invert ? 'not ' : ''}${name} ${value}`;
}

function printEdits(what: string, edits: HeaderEdits): string[] {
  return [
    ...edits.remove.map((name) => `${what} remove ${name}`),
    ...edits.set.map(([name, value]) => `${what} set ${name}="${value}"`),
    ...edits.add.map(([name, value]) => `${what} add ${name}="${value}"`),
  ];
}

function printAction(action: RouteAction): string {
  if (action.kind === 'reply') return `reply ${action.status}${action.body === '' ? '' : ` "${action.body}"`}`;
  if (action.kind === 'redirect') {
    const { status, scheme, host, port } = action;
    const to = [scheme && `scheme ${scheme}`, host && `host ${host}`, port && `port ${port}`, printPath(action.path)];
    return ['redirect', status, ...to.filter(Boolean)].join(' ');
  }
  const { host, timeoutMs, idleMs } = action;
  const rest = [
    printPath(action.path),
    host && `host ${host}`,
    timeoutMs > 0 && `timeout ${timeoutMs}ms`,
    idleMs && `idle ${idleMs}ms`,
  ];
  return [action.clusters.map(printCluster).join(' + '), ...rest.filter(Boolean)].join(' ');
}

function printPath(path: PathRewrite | undefined): string | undefined {
  return path && `path ${path.kind} "${path.value}"`;
}

function printCluster({ cluster, weight, request, response }: WeightedCluster): string {
  const edits = [...printEdits('request', request), ...printEdits('response', response)];
  return `${cluster}*${weight}${edits.length > 0 ? ` (${edits.join('; ')})` : ''}`;
}
