// The aggregated discovery service over gRPC, on a unix socket and, where it is said, on TCP.
import { chmodSync, lstatSync, renameSync, rmSync } from 'node:fs';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import {
  type handleBidiStreamingCall,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { FaultError } from '../../engine/faults.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Consumer } from '../snapshot.ts';
import type { Node } from './gen/envoy/config/core/v3/base_pb.ts';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from './gen/envoy/service/discovery/v3/discovery_pb.ts';
import { type Type, types, typeUrls } from './encode/resources.ts';
import { openScopes, type ProxyScope, type Scopes } from './scopes.ts';
import { openStream, type Send, type TypeState, type XdsStream } from './stream.ts';
import type { Request, Response, Variant } from './subscription.ts';

export interface XdsOptions {
  /** Unix socket; a stale one is replaced. Its folder decides who may connect. */
  readonly socketPath: string;
  readonly log: Logger;
  readonly clock: Clock;
}

/** A connected proxy, as `show proxies` has it. */
export interface Proxy {
  readonly id: string;
  readonly role: ProxyScope;
  readonly variant: Variant;
  readonly peer: string;
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly types: readonly TypeState[];
}

export interface Xds extends AsyncDisposable {
  /** Takes the snapshots of a scope. A proxy's NACK never fails an offer. */
  consumer(scope: ProxyScope): Consumer;
  proxies(): readonly Proxy[];
  /** Listens on "ip:port" in plain text, which anyone who reaches it can read and use. Resolves with the port that was
   * given for port 0. Disposing stops listening and cuts nobody. FaultError 'in-use' where it can't. */
  listen(address: string): Promise<AsyncDisposable & { readonly port: number }>;
}

/** More streams than this are refused. */
const mostStreams = 4096;
/** A request is a list of names; larger ones are refused. */
const requestBytes = 4 << 20;

/** Starts the server. Throws FaultError 'in-use' where a socket can't be had. */
export async function openXds(options: XdsOptions): Promise<Xds> {
  const scopes = openScopes();
  const clients = new Set<Client>();
  const server = new Server({
    'grpc.max_receive_message_length': requestBytes,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
  });
  const serve = (variant: Variant) => (call: Call) => serveStream(variant, call, scopes, clients, options);
  server.addService(adsDefinition, {
    streamAggregatedResources: serve('sotw') as handleBidiStreamingCall<unknown, unknown>,
    deltaAggregatedResources: serve('delta') as handleBidiStreamingCall<unknown, unknown>,
  } satisfies UntypedServiceImplementation);
  let remove = (): void => undefined;
  try {
    const inode = await bindSocket(server, options.socketPath);
    remove = () => removeSocket(options.socketPath, inode);
  } catch (error) {
    server.forceShutdown();
    remove();
    throw error;
  }
  return {
    consumer: (scope) => scopes.consumer(scope),
    proxies: () => [...clients].map((client) => client.proxy()),
    async listen(address) {
      const port = await bind(server, address, address);
      const bound = `${address.slice(0, address.lastIndexOf(':'))}:${port}`;
      return { port, [Symbol.asyncDispose]: () => Promise.resolve(server.unbind(bound)) };
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.end();
      server.forceShutdown();
      remove();
    },
  };
}

function bind(server: Server, address: string, what: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(new FaultError('in-use', what, error.message, true));
    });
  });
}

/** Binds beside the path and renames: a socket that another daemon left, or still has, is replaced in one step, nobody
 * meets it before its mode is set, and the other daemon's end does not take ours away. Returns its inode. */
async function bindSocket(server: Server, path: string): Promise<number> {
  const fresh = `${path}~`;
  rmSync(fresh, { force: true });
  await bind(server, `unix:${fresh}`, path);
  chmodSync(fresh, 0o600);
  renameSync(fresh, path);
  return lstatSync(path).ino;
}

function removeSocket(path: string, inode: number): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.ino === inode) rmSync(path, { force: true });
}

interface Client {
  proxy(): Proxy;
  end(): void;
}

type Call = ServerDuplexStream<DiscoveryRequest | DeltaDiscoveryRequest, DiscoveryResponse | DeltaDiscoveryResponse>;

function serveStream(variant: Variant, call: Call, scopes: Scopes, clients: Set<Client>, options: XdsOptions): void {
  const { log, clock } = options;
  const fail = (code: status, details: string): void => {
    log.warn({ peer: call.getPeer(), why: details }, 'proxy refused');
    call.emit('error', { code, details });
  };
  if (clients.size >= mostStreams) return fail(status.RESOURCE_EXHAUSTED, `more than ${mostStreams} streams`);
  let stream: XdsStream | undefined;
  let client: Client | undefined;
  let watch: Disposable | undefined;
  const open = (node: Node | undefined): string | undefined => {
    const role = roleOf(node);
    const id = node?.id ?? '';
    if (role === undefined) return 'node.metadata.MIDPLANE_ROLE must be "gateway" or "sidecar"';
    if (id === '' || id.length > 256) return 'node.id must be 1 to 256 characters';
    const opened = openStream(variant, scopes.current(role), senderOf(variant, call), clock);
    stream = opened;
    watch = scopes.watch(role, (set) => opened.update(set));
    const since = clock.now();
    const peer = call.getPeer();
    client = {
      proxy: () => ({ id, role, variant, peer, since, types: opened.state() }),
      end: () => call.end(),
    };
    clients.add(client);
    log.info({ proxy: id, role, variant, peer }, 'proxy connected');
    return undefined;
  };
  const close = (): void => {
    watch?.[Symbol.dispose]();
    stream?.close();
    if (client !== undefined && clients.delete(client)) log.info({ proxy: client.proxy().id }, 'proxy disconnected');
  };
  call.on('data', (message: DiscoveryRequest | DeltaDiscoveryRequest) => {
    // The node is sure to come in a stream's first request only.
    const wrong = stream === undefined ? open(message.node) : undefined;
    const request = wrong === undefined ? requestOf(message) : undefined;
    if (request?.error !== undefined) {
      log.warn({ proxy: client?.proxy().id, type: request.type, why: request.error }, 'proxy refused an update');
    }
    const end = wrong ?? (request && stream?.request(request));
    if (end === undefined) return;
    fail(status.INVALID_ARGUMENT, end);
    close();
  });
  call.on('end', () => {
    close();
    call.end();
  });
  call.on('cancelled', close);
  call.on('error', close);
  call.on('close', close);
}

function roleOf(node: Node | undefined): ProxyScope | undefined {
  const role = node?.metadata?.['MIDPLANE_ROLE'];
  return role === 'gateway' || role === 'sidecar' ? role : undefined;
}

const typeOfUrl: ReadonlyMap<string, Type> = new Map(types.map((type) => [typeUrls[type], type]));

/** A request of either variant; undefined for a type that there is nothing of. */
function requestOf(message: DiscoveryRequest | DeltaDiscoveryRequest): Request | undefined {
  const type = typeOfUrl.get(message.typeUrl);
  if (type === undefined) return undefined;
  const shared = { type, nonce: message.responseNonce, error: message.errorDetail?.message.slice(0, 4096) };
  if (message.$typeName === 'envoy.service.discovery.v3.DiscoveryRequest') {
    return { ...shared, names: message.resourceNames, unsubscribed: [], version: message.versionInfo, initial: {} };
  }
  return {
    ...shared,
    names: message.resourceNamesSubscribe,
    unsubscribed: message.resourceNamesUnsubscribe,
    version: '',
    initial: message.initialResourceVersions,
  };
}

const controlPlane = { identifier: 'midplane' };

function senderOf(variant: Variant, call: Call): Send {
  if (variant === 'sotw') {
    return (type, { version, resources }, nonce) =>
      void call.write(
        create(DiscoveryResponseSchema, {
          versionInfo: version,
          resources: resources.map((r) => r.body),
          typeUrl: typeUrls[type],
          nonce,
          controlPlane,
        }),
      );
  }
  return (type, { version, resources, removed }: Response, nonce) =>
    void call.write(
      create(DeltaDiscoveryResponseSchema, {
        systemVersionInfo: version,
        resources: resources.map((r) => ({ name: r.name, version: r.version, resource: create(AnySchema, r.body) })),
        removedResources: [...removed],
        typeUrl: typeUrls[type],
        nonce,
        controlPlane,
      }),
    );
}

/** envoy.service.discovery.v3.AggregatedDiscoveryService, as grpc-js takes a service. */
export const adsDefinition = {
  streamAggregatedResources: {
    path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
    requestStream: true,
    responseStream: true,
    requestSerialize: (message: DiscoveryRequest) => Buffer.from(toBinary(DiscoveryRequestSchema, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(DiscoveryRequestSchema, bytes),
    responseSerialize: (message: DiscoveryResponse) => Buffer.from(toBinary(DiscoveryResponseSchema, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(DiscoveryResponseSchema, bytes),
  },
  deltaAggregatedResources: {
    path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
    requestStream: true,
    responseStream: true,
    requestSerialize: (message: DeltaDiscoveryRequest) => Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(DeltaDiscoveryRequestSchema, bytes),
    responseSerialize: (message: DeltaDiscoveryResponse) =>
      Buffer.from(toBinary(DeltaDiscoveryResponseSchema, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(DeltaDiscoveryResponseSchema, bytes),
  },
} satisfies ServiceDefinition;
