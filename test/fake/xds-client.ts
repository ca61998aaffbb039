// A small xDS client for the protocol tests: sends what it is told to and keeps what comes.
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from '../../src/mesh/xds/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { ClusterSchema } from '../../src/mesh/xds/gen/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../../src/mesh/xds/gen/envoy/config/endpoint/v3/endpoint_pb.ts';
import { ListenerSchema } from '../../src/mesh/xds/gen/envoy/config/listener/v3/listener_pb.ts';
import { RouteConfigurationSchema } from '../../src/mesh/xds/gen/envoy/config/route/v3/route_pb.ts';
import type { Any } from '@bufbuild/protobuf/wkt';
import { type Type, types, typeUrls } from '../../src/mesh/xds/encode/resources.ts';
import { adsDefinition } from '../../src/mesh/xds/server.ts';

export interface Got {
  readonly type: Type;
  readonly names: readonly string[];
  readonly removed: readonly string[];
  readonly version: string;
  readonly nonce: string;
  /** delta: version of each resource. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Turns of the loop, each of a few milliseconds: of time alone a busy machine takes what it likes. */
const quietTurns = 10;

/** What both clients can do. */
export interface TestClient extends Disposable {
  next(): Promise<Got>;
  /** Fails where anything comes within a moment. */
  quiet(): Promise<void>;
  /** The error that ended the stream. */
  failure(): Promise<ServiceError>;
}

type SotwInit = Omit<MessageInitShape<typeof DiscoveryRequestSchema>, 'typeUrl' | '$typeName'>;
type DeltaInit = Omit<MessageInitShape<typeof DeltaDiscoveryRequestSchema>, 'typeUrl' | '$typeName'>;

export interface SotwClient extends TestClient {
  send(type: Type, request: SotwInit): void;
  ack(got: Got, names?: readonly string[]): void;
  nack(got: Got, why: string, names?: readonly string[]): void;
}

export interface DeltaClient extends TestClient {
  send(type: Type, request: DeltaInit): void;
  ack(got: Got): void;
  nack(got: Got, why: string): void;
}

/** The node that a proxy of the role sends first. */
export function nodeOf(role: string, id = 'p1') {
  return { id, metadata: { MIDPLANE_ROLE: role } };
}

/** A state-of-the-world client on the unix socket. */
export function sotwClient(path: string): SotwClient {
  const { call, common } = open(path, 'streamAggregatedResources');
  const accepted = new Map<Type, string>();
  const send = (type: Type, request: SotwInit): void => {
    call.write(create(DiscoveryRequestSchema, { ...request, typeUrl: typeUrls[type] }));
  };
  return {
    ...common,
    send,
    ack(got, names = []) {
      accepted.set(got.type, got.version);
      send(got.type, { responseNonce: got.nonce, versionInfo: got.version, resourceNames: [...names] });
    },
    nack(got, message, names = []) {
      const versionInfo = accepted.get(got.type) ?? '';
      send(got.type, { responseNonce: got.nonce, versionInfo, resourceNames: [...names], errorDetail: { message } });
    },
  };
}

/** A delta client on the unix socket. */
export function deltaClient(path: string): DeltaClient {
  const { call, common } = open(path, 'deltaAggregatedResources');
  const send = (type: Type, request: DeltaInit): void => {
    call.write(create(DeltaDiscoveryRequestSchema, { ...request, typeUrl: typeUrls[type] }));
  };
  return {
    ...common,
    send,
    ack: (got) => send(got.type, { responseNonce: got.nonce }),
    nack: (got, message) => send(got.type, { responseNonce: got.nonce, errorDetail: { message } }),
  };
}

function open(path: string, method: keyof typeof adsDefinition) {
  const client = new Client(`unix:${path}`, credentials.createInsecure());
  const { path: name, requestSerialize, responseDeserialize } = adsDefinition[method];
  const call = client.makeBidiStreamRequest(
    name,
    requestSerialize as (message: unknown) => Buffer,
    responseDeserialize as (bytes: Buffer) => DiscoveryResponse | DeltaDiscoveryResponse,
    new Metadata(),
  );
  const got: Got[] = [];
  let error: ServiceError | undefined;
  call.on('data', (message: DiscoveryResponse | DeltaDiscoveryResponse) => got.push(gotOf(message)));
  call.on('error', (e: ServiceError) => (error = e));
  const wait = async (ready: () => boolean): Promise<void> => {
    for (let i = 0; i < 2500 && !ready(); i++) await sleep(4);
  };
  const common = {
    async next(): Promise<Got> {
      await wait(() => got.length > 0);
      const first = got.shift();
      if (first === undefined) throw new Error('nothing came in 10 s');
      return first;
    },
    async quiet(): Promise<void> {
      for (let i = 0; i < quietTurns; i++) await sleep(4);
      if (got.length > 0) throw new Error(`unexpected: ${JSON.stringify(got)}`);
    },
    async failure(): Promise<ServiceError> {
      await wait(() => error !== undefined);
      if (error === undefined) throw new Error('no error in 10 s');
      return error;
    },
    [Symbol.dispose](): void {
      call.cancel();
      client.close();
    },
  };
  return { call, common };
}

function gotOf(message: DiscoveryResponse | DeltaDiscoveryResponse): Got {
  const type = types.find((t) => typeUrls[t] === message.typeUrl);
  if (type === undefined) throw new Error(message.typeUrl);
  const { nonce } = message;
  if (message.$typeName === 'envoy.service.discovery.v3.DiscoveryResponse') {
    const names = message.resources.map((any) => nameOf(any));
    return { type, names, removed: [], version: message.versionInfo, nonce, versions: {} };
  }
  const { resources, removedResources: removed, systemVersionInfo: version } = message;
  const versions = Object.fromEntries(resources.map((r) => [r.name, r.version]));
  return { type, names: resources.map((r) => r.name), removed, version, nonce, versions };
}

function nameOf(any: Any): string {
  const assignment = anyUnpack(any, ClusterLoadAssignmentSchema);
  if (assignment !== undefined) return assignment.clusterName;
  const named = [ClusterSchema, ListenerSchema, RouteConfigurationSchema].map((schema) => anyUnpack(any, schema));
  return named.find((message) => message !== undefined)?.name ?? '';
}
