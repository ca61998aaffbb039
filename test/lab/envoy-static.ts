// A snapshot as the static configuration of an Envoy: what its manager would tell it, without a manager.
import { readFileSync } from 'node:fs';
import { createFileRegistry, fromBinary, toJson } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { clusterOf, loadAssignment } from '../../src/mesh/xds/encode/cluster.ts';
import { listenerOf } from '../../src/mesh/xds/encode/listener.ts';
import { routeConfiguration } from '../../src/mesh/xds/encode/route.ts';
import { ClusterSchema } from '../../src/mesh/xds/gen/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../../src/mesh/xds/gen/envoy/config/endpoint/v3/endpoint_pb.ts';
import { ListenerSchema } from '../../src/mesh/xds/gen/envoy/config/listener/v3/listener_pb.ts';
import { RouteConfigurationSchema } from '../../src/mesh/xds/gen/envoy/config/route/v3/route_pb.ts';
import type { Listener, Snapshot } from '../../src/mesh/snapshot.ts';
import { endpoint } from '../fake/l7.ts';

const described = new URL('../../src/mesh/xds/gen/envoy.binpb', import.meta.url);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(described)));

function listenerJson(s: Snapshot, spec: Listener): object {
  const table = s.routes.find((one) => one.name === spec.routes)!;
  const listener = toJson(ListenerSchema, listenerOf(spec, table), { registry }) as {
    filterChains: { filters: { typedConfig: Record<string, unknown> }[] }[];
  };
  const manager = listener.filterChains[0]!.filters[0]!.typedConfig;
  delete manager['rds'];
  // Inline tables are checked against the clusters, those of RDS are not.
  const routes = toJson(RouteConfigurationSchema, routeConfiguration(table)) as object;
  manager['routeConfig'] = { ...routes, validateClusters: false };
  return listener;
}

/** The text for Envoy's -c. `endpoints`: ports on loopback by cluster. */
export function bootstrapOf(s: Snapshot, endpoints: Readonly<Record<string, readonly number[]>>): string {
  const clusters = s.clusters.map((c) => {
    const cluster = toJson(ClusterSchema, clusterOf(c), { registry }) as Record<string, unknown>;
    delete cluster['edsClusterConfig'];
    const list = (endpoints[c.key] ?? []).map((port) => endpoint(port));
    const assignment = loadAssignment({ cluster: c.key, version: '1', list });
    return { ...cluster, type: 'STATIC', loadAssignment: toJson(ClusterLoadAssignmentSchema, assignment) };
  });
  return JSON.stringify({
    staticResources: { listeners: s.listeners.map((spec) => listenerJson(s, spec)), clusters },
  });
}
