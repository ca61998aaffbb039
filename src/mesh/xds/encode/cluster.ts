// Cluster -> envoy.config.cluster.v3.Cluster, Endpoints -> ClusterLoadAssignment.
import { create } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import type { Cluster as SnapshotCluster, Endpoints } from '../../snapshot.ts';
import {
  type Cluster,
  Cluster_DiscoveryType as DiscoveryType,
  Cluster_LbPolicy as LbPolicy,
  ClusterSchema,
} from '../gen/envoy/config/cluster/v3/cluster_pb.ts';
import { HealthStatus } from '../gen/envoy/config/core/v3/health_check_pb.ts';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '../gen/envoy/config/endpoint/v3/endpoint_pb.ts';
import { HttpProtocolOptionsSchema } from '../gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts';
import { milliseconds, seconds } from './duration.ts';
import { overAds } from './listener.ts';

const policies = {
  'round-robin': LbPolicy.ROUND_ROBIN,
  random: LbPolicy.RANDOM,
  'least-request': LbPolicy.LEAST_REQUEST,
} as const;

/** The cluster as Envoy takes it by CDS; its endpoints come by EDS. Idle upstream connections are closed before common
 * servers close theirs (5 s in Node), so that no request meets a closing one. Unhealthy endpoints never get
 * requests. */
export function clusterOf(cluster: SnapshotCluster): Cluster {
  const http = create(HttpProtocolOptionsSchema, {
    commonHttpProtocolOptions: { idleTimeout: seconds(4) },
    upstreamProtocolOptions: {
      case: 'explicitHttpConfig',
      value: {
        protocolConfig: {
          case: cluster.protocol === 'HTTP/2' ? 'http2ProtocolOptions' : 'httpProtocolOptions',
          value: {},
        },
      },
    },
  });
  return create(ClusterSchema, {
    name: cluster.key,
    clusterDiscoveryType: { case: 'type', value: DiscoveryType.EDS },
    edsClusterConfig: { edsConfig: overAds() },
    connectTimeout: milliseconds(cluster.connectTimeoutMs),
    lbPolicy: policies[cluster.policy],
    commonLbConfig: { healthyPanicThreshold: { value: 0 } },
    typedExtensionProtocolOptions: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': anyPack(HttpProtocolOptionsSchema, http),
    },
  });
}

/** The endpoints as Envoy takes them by EDS. */
export function loadAssignment({ cluster, list }: Endpoints): ClusterLoadAssignment {
  const lbEndpoints = list.map(({ address, port, weight, healthy }) => ({
    hostIdentifier: {
      case: 'endpoint' as const,
      value: {
        address: {
          address: {
            case: 'socketAddress' as const,
            value: { address, portSpecifier: { case: 'portValue' as const, value: port } },
          },
        },
      },
    },
    healthStatus: healthy ? HealthStatus.HEALTHY : HealthStatus.UNHEALTHY,
    loadBalancingWeight: weight,
  }));
  return create(ClusterLoadAssignmentSchema, {
    clusterName: cluster,
    endpoints: lbEndpoints.length === 0 ? [] : [{ lbEndpoints, loadBalancingWeight: 1 }],
  });
}
