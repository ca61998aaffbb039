// Clusters and their endpoints as a worker knows them. They live longer than any snapshot: an endpoint that stays keeps
// its connections.
import { isDeepStrictEqual } from 'node:util';
import type { Overlay } from '../worker/overlay.ts';
import type { Cluster, ClusterKey, Endpoint, Endpoints } from '../../mesh/snapshot.ts';
import { choiceOf, pick } from './pick.ts';
import type { Backend, Choice } from './pick.ts';
import { UpstreamPiece } from '../record/line.ts';
import { clusterUser } from '../tls/contexts.ts';
import type { Context } from '../tls/contexts.ts';
import type { EndpointTls } from '../tls/spec.ts';
import type { Engine } from '../transport.ts';

export interface ClusterState {
  readonly key: ClusterKey;
  policy: Cluster['policy'];
  connectTimeoutMs: number;
  tls: EndpointTls | undefined;
  proxyProtocol: Cluster['proxyProtocol'];
  protocol: Cluster['protocol'];
  grpcWeb: boolean;
  readonly backends: Map<string, Backend>;
  choice: Choice;
  list: readonly Endpoint[];
  /** A snapshot in force names it. Until then its endpoints are only kept in mind. */
  declared: boolean;
}

const DEFAULT_CONNECT_MS = 5_000;
/** By so much a server's close of an idle connection is shunned. */
const CLOSE_MS = 1_000;

function tlsOf({ key, tls }: Cluster, contexts: Overlay<Context>): EndpointTls | undefined {
  const context = contexts.get(clusterUser(key));
  if (tls === undefined || context === undefined) return undefined;
  const { serverName, names } = tls;
  return { context: context.id, names, ...(serverName !== undefined && { serverName }) };
}

export class Upstreams {
  /** Told of endpoints that are dropped. */
  dropped: ((endpoint: number) => void) | undefined;
  /** Told of new endpoints for which gRPC-web is made gRPC. */
  translated: ((endpoint: number) => void) | undefined;
  private readonly engine: Engine;
  private readonly random: () => number;
  private readonly clusters = new Map<ClusterKey, ClusterState>();
  /** Those that are not declared. */
  private readonly loose = new Set<ClusterState>();

  constructor(engine: Engine, random: () => number) {
    this.engine = engine;
    this.random = random;
  }

  /** The cluster of that key, made if it is new: endpoints may come before or after their cluster. */
  cluster(key: ClusterKey): ClusterState {
    const found = this.clusters.get(key);
    if (found !== undefined) return found;
    const made: ClusterState = {
      key,
      policy: 'round-robin',
      connectTimeoutMs: DEFAULT_CONNECT_MS,
      tls: undefined,
      proxyProtocol: undefined,
      protocol: 'HTTP/1.1',
      grpcWeb: false,
      backends: new Map(),
      choice: choiceOf([], 0),
      list: [],
      declared: false,
    };
    this.clusters.set(key, made);
    this.loose.add(made);
    return made;
  }

  private update(state: ClusterState, list: readonly Endpoint[]): void {
    state.list = list;
    const seen = new Set<string>();
    for (const endpoint of list) {
      const at = `${endpoint.address} ${endpoint.port}`;
      seen.add(at);
      const backend = state.backends.get(at);
      if (backend === undefined) {
        const id = this.engine.endpoint(endpoint.address, endpoint.port, state.connectTimeoutMs, state.tls);
        // A connection that is introduced by the PROXY protocol is one client's.
        if (state.protocol === 'HTTP/2' && state.proxyProtocol === undefined) this.engine.script(id);
        if (state.grpcWeb) this.translated?.(id);
        const { address, port, weight, healthy, name } = endpoint;
        const fresh = { id, address, port, weight, healthy, active: 0, idleMs: undefined, owed: 0 };
        state.backends.set(at, { ...fresh, logged: new UpstreamPiece(name) });
      } else {
        backend.weight = endpoint.weight;
        backend.healthy = endpoint.healthy;
        if (backend.logged.upstream !== endpoint.name) backend.logged = new UpstreamPiece(endpoint.name);
        backend.owed = 0;
      }
    }
    for (const [at, backend] of state.backends) {
      if (seen.has(at)) continue;
      state.backends.delete(at);
      this.engine.dropEndpoint(backend.id);
      this.dropped?.(backend.id);
    }
    state.choice = choiceOf(state.backends.values(), this.random() % Math.max(1, state.backends.size));
  }

  /** Puts the clusters of a snapshot in force; connections to one that it no longer names are given up. */
  apply(changes: Overlay<Cluster>, contexts: Overlay<Context>): void {
    for (const c of changes.put.values()) this.putOne(this.cluster(c.key), c, contexts);
    for (const key of changes.gone) {
      const state = this.clusters.get(key);
      if (state === undefined) continue;
      // Its list is kept: a later snapshot may name it again.
      const { list } = state;
      this.update(state, []);
      Object.assign(state, { tls: undefined, declared: false, list });
      this.loose.add(state);
    }
    for (const state of this.loose) {
      if (state.list.length > 0) continue;
      this.loose.delete(state);
      this.clusters.delete(state.key);
    }
  }

  private putOne(state: ClusterState, c: Cluster, contexts: Overlay<Context>): void {
    const { policy, connectTimeoutMs, proxyProtocol, protocol, grpcWeb = false } = c;
    const tls = tlsOf(c, contexts);
    const stays =
      state.connectTimeoutMs === connectTimeoutMs &&
      state.proxyProtocol === proxyProtocol &&
      state.protocol === protocol &&
      state.grpcWeb === grpcWeb &&
      isDeepStrictEqual(state.tls, tls);
    const known = state.declared;
    Object.assign(state, { policy, connectTimeoutMs, proxyProtocol, protocol, grpcWeb, tls, declared: true });
    this.loose.delete(state);
    if (known && stays) return;
    const { list } = state;
    this.update(state, []);
    this.update(state, list);
  }

  endpoints(e: Endpoints): void {
    const state = this.cluster(e.cluster);
    if (state.declared) this.update(state, e.list);
    else state.list = e.list;
  }

  /** A server says how long it keeps an idle connection. Less than that is safe to use: at its end a request and the
   * close would cross. */
  keeps(backend: Backend, seconds: number): void {
    const idleMs = Math.max(0, seconds * 1000 - CLOSE_MS);
    if (idleMs === backend.idleMs) return;
    backend.idleMs = idleMs;
    this.engine.endpointIdle(backend.id, idleMs);
  }

  pick(state: ClusterState): Backend | undefined {
    return pick(state.choice, state.policy, this.random);
  }
}
