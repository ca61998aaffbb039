// Listener -> envoy.config.listener.v3.Listener with an HTTP connection manager, or with streams (stream.ts).
//
// Set so that Envoy treats a request as the switch's own router does: the path made normal in the same way, Host with
// its port, no x-request-id, no x-envoy-* headers, Server of the upstream; the client's address
// goes to the end of x-forwarded-for. No time limit on a whole request but the route's.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { defaultPaths } from '../../snapshot.ts';
import type { Listener as SnapshotListener, RouteTable } from '../../snapshot.ts';
import { ApiVersion, type ConfigSource, ConfigSourceSchema } from '../gen/envoy/config/core/v3/config_source_pb.ts';
import type { FilterSchema } from '../gen/envoy/config/listener/v3/listener_components_pb.ts';
import { type Listener, ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.ts';
import { RouterSchema } from '../gen/envoy/extensions/filters/http/router/v3/router_pb.ts';
import {
  HttpConnectionManager_CodecType as CodecType,
  HttpConnectionManager_PathWithEscapedSlashesAction as EscapedSlashes,
  HttpConnectionManager_ServerHeaderTransformation as ServerHeader,
  HttpConnectionManagerSchema,
} from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { seconds } from './duration.ts';
import { connectionLimit } from './limit.ts';
import { inspectors, streamChains } from './stream.ts';

/** "By the stream that this came on." */
export function overAds(): ConfigSource {
  return create(ConfigSourceSchema, {
    configSourceSpecifier: { case: 'ads', value: {} },
    resourceApiVersion: ApiVersion.V3,
  });
}

/** The listener as Envoy takes it by LDS. Routes of HTTP come by RDS, so that a changed route never drains it; streams
 * of its table are in it. */
export function listenerOf(listener: SnapshotListener, table: RouteTable): Listener {
  const http = listener.protocol === 'HTTP';
  return create(ListenerSchema, {
    name: listener.name,
    address: {
      address: {
        case: 'socketAddress',
        value: { address: listener.address, portSpecifier: { case: 'portValue', value: listener.port } },
      },
    },
    listenerFilters: inspectors(listener),
    filterChains: http
      ? [{ filters: [...connectionLimit(listener), httpFilter(listener)] }]
      : streamChains(listener, table),
  });
}

function httpFilter(listener: SnapshotListener): MessageInitShape<typeof FilterSchema> {
  const paths = listener.paths ?? defaultPaths;
  const { headFields, headBytes, requestsPerConnection } = listener.limits ?? {};
  const decode = paths === 'decode-and-merge-slashes';
  const manager = create(HttpConnectionManagerSchema, {
    statPrefix: listener.name,
    codecType: CodecType.AUTO,
    routeSpecifier: { case: 'rds', value: { configSource: overAds(), routeConfigName: listener.routes } },
    httpFilters: [
      {
        name: 'envoy.filters.http.router',
        configType: {
          case: 'typedConfig',
          value: anyPack(RouterSchema, create(RouterSchema, { suppressEnvoyHeaders: true })),
        },
      },
    ],
    useRemoteAddress: true,
    generateRequestId: false,
    normalizePath: paths !== 'none',
    mergeSlashes: decode || paths === 'merge-slashes',
    pathWithEscapedSlashesAction: decode ? EscapedSlashes.UNESCAPE_AND_FORWARD : EscapedSlashes.KEEP_UNCHANGED,
    serverHeaderTransformation: ServerHeader.PASS_THROUGH,
    commonHttpProtocolOptions: {
      idleTimeout: seconds(60),
      ...(headFields !== undefined && { maxHeadersCount: headFields }),
      ...(requestsPerConnection !== undefined && { maxRequestsPerConnection: requestsPerConnection }),
    },
    ...(headBytes !== undefined && { maxRequestHeadersKb: Math.ceil(headBytes / 1024) }),
    requestHeadersTimeout: seconds(10),
    requestTimeout: seconds(0),
    streamIdleTimeout: seconds(300),
  });
  const value = anyPack(HttpConnectionManagerSchema, manager);
  return { name: 'envoy.filters.network.http_connection_manager', configType: { case: 'typedConfig', value } };
}
