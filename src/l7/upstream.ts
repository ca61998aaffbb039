// Clusters and their endpoints as a worker knows them. They live longer than any snapshot: an endpoint that stays keeps
// its connections.
import type { Cluster, ClusterKey, Endpoint, Endpoints } from '../mesh/snapshot.ts';
import { choiceOf, pick } from './pick.ts';
import type { Backend, Choice } from './pick.ts';
import type { Engine } from './transport.ts';

export interface ClusterState {
  readonly key: ClusterKey;
  policy: Cluster['policy'];
  connectTimeoutMs: number;
  readonly backends: Map<string, Backend>;
  choice: Choice;
  list: readonly Endpoint[];
}

export interface Upstreams {
  /** The cluster of that key, made if it is new: endpoints may come before or after their cluster. */
  cluster(key: ClusterKey): ClusterState;
  /** Puts the clusters of a snapshot in force; connections to one that it no longer names are given up. */
  apply(clusters: readonly Cluster[]): void;
  endpoints(e: Endpoints): void;
  pick(cluster: ClusterState): Backend | undefined;
}

const DEFAULT_CONNECT_MS = 5_000;

export function createUpstreams(engine: Engine, random: () => number): Upstreams {
  const clusters = new Map<ClusterKey, ClusterState>();
  let declared = new Set<ClusterKey>();

  function cluster(key: ClusterKey): ClusterState {
    const found = clusters.get(key);
    if (found !== undefined) return found;
    const made: ClusterState = {
      key,
      policy: 'round-robin',
      connectTimeoutMs: DEFAULT_CONNECT_MS,
      backends: new Map(),
      choice: choiceOf([], 0),
      list: [],
    };
    clusters.set(key, made);
    return made;
  }

  function update(state: ClusterState, list: readonly Endpoint[]): void {
    state.list = list;
    const seen = new Set<string>();
    for (const endpoint of list) {
      const at = `${endpoint.address} ${endpoint.port}`;
      seen.add(at);
      const backend = state.backends.get(at);
      if (backend === undefined) {
        const id = engine.endpoint(endpoint.address, endpoint.port, state.connectTimeoutMs);
        state.backends.set(at, { ...endpoint, id, active: 0, owed: 0 });
      } else {
        backend.weight = endpoint.weight;
        backend.healthy = endpoint.healthy;
        backend.name = endpoint.name;
        backend.owed = 0;
      }
    }
    for (const [at, backend] of state.backends) {
      if (seen.has(at)) continue;
      state.backends.delete(at);
      engine.dropEndpoint(backend.id);
    }
    state.choice = choiceOf(state.backends.values(), random() % Math.max(1, state.backends.size));
  }

  return {
    cluster,
    apply(list) {
      for (const c of list) {
        const state = cluster(c.key);
        state.policy = c.policy;
        if (state.connectTimeoutMs === c.connectTimeoutMs) continue;
        state.connectTimeoutMs = c.connectTimeoutMs;
        const { list: endpoints } = state;
        update(state, []);
        update(state, endpoints);
      }
      const now = new Set(list.map((c) => c.key));
      for (const key of declared) {
        const state = clusters.get(key);
        if (now.has(key) || state === undefined) continue;
        // Its list is kept: a later snapshot may name it again.
        const { list: endpoints } = state;
        update(state, []);
        if (endpoints.length === 0) clusters.delete(key);
        else state.list = endpoints;
      }
      for (const key of now) {
        const state = cluster(key);
        if (!declared.has(key) && state.list.length > 0) update(state, state.list);
      }
      declared = now;
    },
    endpoints: (e) => update(cluster(e.cluster), e.list),
    pick: (state) => pick(state.choice, state.policy, random),
  };
}
