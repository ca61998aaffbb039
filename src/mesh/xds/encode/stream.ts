// Streams of a route table -> filter chains of an Envoy: what a connection is given to by the name of its ClientHello,
// or whatever it says. An empty chain closes its connections.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import type { Listener, RouteTable, StreamRoute } from '../../snapshot.ts';
import type {
  FilterChainSchema,
  ListenerFilterSchema,
} from '../gen/envoy/config/listener/v3/listener_components_pb.ts';
import { TlsInspectorSchema } from '../gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts';
import { TcpProxySchema } from '../gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { milliseconds } from './duration.ts';
import { connectionLimit } from './limit.ts';

type Chain = MessageInitShape<typeof FilterChainSchema>;

const IDLE_MS = 300_000;

/** The chains of a listener that speaks TCP or TLS. */
export function streamChains(listener: Listener, { streams = [] }: RouteTable): Chain[] {
  if (listener.protocol === 'TCP') {
    const plain = streams.find((stream) => stream.sni === undefined);
    return [{ name: plain?.name ?? 'close', filters: filtersOf(listener, plain) }];
  }
  // What is no TLS, and a name that nobody has, finds no chain. "*" is also who says no name.
  return streams.flatMap((stream) => {
    const filters = filtersOf(listener, stream);
    const serverNames = (stream.sni ?? []).filter((name) => name !== '*');
    const chain = (name: string, match: Chain['filterChainMatch']): Chain => ({
      name,
      filterChainMatch: match,
      filters,
    });
    return [
      ...(serverNames.length > 0 ? [chain(stream.name, { serverNames, transportProtocol: 'tls' })] : []),
      ...(serverNames.length < (stream.sni ?? []).length
        ? [chain(`${stream.name} any`, { transportProtocol: 'tls' })]
        : []),
    ];
  });
}

/** What looks at the bytes of a connection before its chain is chosen. */
export function inspectors({ protocol }: Listener): MessageInitShape<typeof ListenerFilterSchema>[] {
  if (protocol !== 'TLS') return [];
  const value = anyPack(TlsInspectorSchema, create(TlsInspectorSchema));
  return [{ name: 'envoy.filters.listener.tls_inspector', configType: { case: 'typedConfig', value } }];
}

function filtersOf(listener: Listener, stream: StreamRoute | undefined): NonNullable<Chain['filters']> {
  const { name, maxTunnelMs } = listener;
  const clusters = (stream?.clusters ?? []).filter((each) => each.weight > 0);
  if (clusters.length === 0) return [];
  const proxy = create(TcpProxySchema, {
    statPrefix: name,
    clusterSpecifier: {
      case: 'weightedClusters',
      value: { clusters: clusters.map(({ cluster, weight }) => ({ name: cluster, weight })) },
    },
    idleTimeout: milliseconds(stream?.idleMs ?? IDLE_MS),
    // One more try of another endpoint.
    maxConnectAttempts: 2,
    ...(maxTunnelMs !== undefined && { maxDownstreamConnectionDuration: milliseconds(maxTunnelMs) }),
  });
  const value = anyPack(TcpProxySchema, proxy);
  return [
    ...connectionLimit(listener),
    { name: 'envoy.filters.network.tcp_proxy', configType: { case: 'typedConfig', value } },
  ];
}
