// A snapshot and its endpoints as named, versioned bytes. Equal content gives equal bytes, so that nothing is sent
// twice: fields go out in the order of the descriptors, lists in the snapshot's, and the one map field has one
// entry.
import { createHash } from 'node:crypto';
import { create, type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { type Any, anyPack, AnySchema } from '@bufbuild/protobuf/wkt';
import { atOnce } from '../../../lib/work/turns.ts';
import type { Cluster, Endpoints, Snapshot } from '../../snapshot.ts';
import { ClusterSchema } from '../gen/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../gen/envoy/config/endpoint/v3/endpoint_pb.ts';
import { ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.ts';
import { clusterOf, loadAssignment } from './cluster.ts';
import { listenerOf } from './listener.ts';
import { encodeTable } from './route.ts';

/** The discovery services, in the order in which a change is told (make before break). */
export const types = ['cds', 'eds', 'lds', 'rds'] as const;
export type Type = (typeof types)[number];

export const typeUrls: Readonly<Record<Type, string>> = {
  cds: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  eds: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  lds: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  rds: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
};

/** One resource. `version` is a hash of its bytes. */
export interface XdsResource {
  readonly name: string;
  readonly version: string;
  readonly body: Any;
}

export type Resources = ReadonlyMap<string, XdsResource>;

/** Everything of one scope, by type and name. */
export type ResourceSet = Readonly<Record<Type, Resources>>;

export const emptySet: ResourceSet = { cds: new Map(), eds: new Map(), lds: new Map(), rds: new Map() };

/** Encodes all of a snapshot but its endpoints. Steered listeners, those whose TLS ends here and what has to do with
 * the PROXY protocol are the switch's own router's business: an Envoy serves none of them, rather than in another
 * way. */
export function encodeSnapshot(snapshot: Snapshot): Omit<ResourceSet, 'eds'> {
  return atOnce(encodingSnapshot(snapshot));
}

/** The same, route by route. */
export function* encodingSnapshot(snapshot: Snapshot): Generator<undefined, Omit<ResourceSet, 'eds'>, undefined> {
  const served = snapshot.listeners.filter(
    ({ steered, tls, proxyFrom }) => steered !== true && tls === undefined && proxyFrom === undefined,
  );
  const tableOf = new Map(snapshot.routes.map((table) => [table.name, table]));
  // A port of TLS without a name that goes anywhere has no chain, which Envoy does not take.
  const listeners = served.filter((l) => l.protocol !== 'TLS' || tableOf.get(l.routes)?.streams?.length);
  // One that is to be spoken to over TLS, or of its clients, must not be spoken to without.
  const clusters = snapshot.clusters.filter((c) => c.tls === undefined && c.proxyProtocol === undefined);
  const named = new Set(listeners.filter((l) => l.protocol === 'HTTP').map((listener) => listener.routes));
  const others = snapshot.listeners.flatMap((l) => [l.routes, ...(l.tls ?? []).map((host) => host.routes)]);
  const foreign = new Set(others.filter((name) => !named.has(name)));
  const tables = snapshot.routes.filter(({ name }) => !foreign.has(name));
  const rds = new Map<string, XdsResource>();
  for (const table of tables) {
    const value = yield* encodeTable(table);
    const typeUrl = typeUrls.rds;
    rds.set(table.name, { name: table.name, ...bodyOf(create(AnySchema, { typeUrl, value })) });
  }
  const cds = new Map<string, XdsResource>();
  for (const cluster of clusters) {
    const known = encodedClusters.get(cluster) ?? encode(ClusterSchema, cluster.key, clusterOf(cluster));
    encodedClusters.set(cluster, known);
    cds.set(cluster.key, known);
    yield;
  }
  return {
    cds,
    lds: new Map(listeners.map((l) => [l.name, encode(ListenerSchema, l.name, listenerOf(l, tableOf.get(l.routes)!))])),
    rds,
  };
}

/** A cluster never changes. */
const encodedClusters = new WeakMap<Cluster, XdsResource>();

/** Encodes the endpoints of one cluster. */
export function encodeEndpoints(endpoints: Endpoints): XdsResource {
  return encode(ClusterLoadAssignmentSchema, endpoints.cluster, loadAssignment(endpoints));
}

function encode<D extends DescMessage>(schema: D, name: string, message: MessageShape<D>): XdsResource {
  return { name, ...bodyOf(anyPack(schema, message)) };
}

function bodyOf(body: Any): Omit<XdsResource, 'name'> {
  const version = createHash('sha256').update(toBinary(AnySchema, body)).digest('hex').slice(0, 16);
  return { version, body };
}
