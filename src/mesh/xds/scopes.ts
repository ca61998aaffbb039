// What there is to be told, scope by scope, and who is to be told of a change.
import { type Run, serial } from '../../lib/work/queue.ts';
import { inTurns } from '../../lib/work/turns.ts';
import type { Ack, Cluster, Consumer, Endpoints, Scope, Snapshot } from '../snapshot.ts';
import { emptySet, encodeEndpoints, encodingSnapshot, type ResourceSet, type XdsResource } from './encode/resources.ts';

/** Scopes that proxies can have: the switch's own router is none of them. */
export type ProxyScope = Exclude<Scope, 'router'>;

export interface Scopes {
  /** The consumer for one scope. It always acknowledges: what a remote proxy refuses is shown, and fails nothing. */
  consumer(scope: ProxyScope): Consumer;
  /** Undefined before the first offer. */
  current(scope: ProxyScope): ResourceSet | undefined;
  /** Calls with the new state after each change, at the end of the turn, so that changes made together are told
   * together. */
  watch(scope: ProxyScope, told: (set: ResourceSet) => void): Disposable;
}

/** Of work on a snapshot between two turns of the thread, in milliseconds. */
const turnMs = 5;

interface State {
  /** One snapshot after the other. */
  readonly inOrder: Run;
  snapshot: string | undefined;
  /** What the snapshot names; some of it is not for proxies. */
  clusters: readonly Cluster[];
  encoded: Omit<ResourceSet, 'eds'>;
  readonly endpoints: Map<string, { readonly version: string; readonly resource: XdsResource }>;
  set: ResourceSet;
  dirty: boolean;
  readonly watchers: Set<(set: ResourceSet) => void>;
}

/** Empty scopes. */
export function openScopes(): Scopes {
  const fresh = (): State => ({
    inOrder: serial(),
    snapshot: undefined,
    clusters: [],
    encoded: emptySet,
    endpoints: new Map(),
    set: emptySet,
    dirty: false,
    watchers: new Set(),
  });
  const states: Readonly<Record<ProxyScope, State>> = { gateway: fresh(), sidecar: fresh() };
  return {
    consumer: (scope) => consumerOf(scope, states[scope]),
    current: (scope) => (states[scope].snapshot === undefined ? undefined : settled(states[scope])),
    watch(scope, told) {
      states[scope].watchers.add(told);
      return { [Symbol.dispose]: () => void states[scope].watchers.delete(told) };
    },
  };
}

function consumerOf(scope: ProxyScope, state: State): Consumer {
  return {
    async offer(snapshot: Snapshot): Promise<Ack> {
      if (snapshot.scope !== scope) throw new Error(`a snapshot of scope ${snapshot.scope} was offered to ${scope}`);
      await state.inOrder(() => take(state, snapshot));
      return { ok: true, version: snapshot.version };
    },
    endpoints(endpoints: Endpoints): void {
      const { cluster, version } = endpoints;
      if (state.endpoints.get(cluster)?.version === version) return;
      state.endpoints.set(cluster, { version, resource: encodeEndpoints(endpoints) });
      change(state);
    },
  };
}

async function take(state: State, snapshot: Snapshot): Promise<void> {
  if (snapshot.version === state.snapshot) return;
  state.encoded = await inTurns(encodingSnapshot(snapshot), turnMs);
  state.snapshot = snapshot.version;
  const kept = new Set(snapshot.clusters.map(({ key }) => key));
  for (const { key } of state.clusters) if (!kept.has(key)) state.endpoints.delete(key);
  state.clusters = snapshot.clusters;
  change(state);
}

function change(state: State): void {
  // Endpoints that come before the first snapshot are told with it.
  if (state.dirty || state.snapshot === undefined) return;
  state.dirty = true;
  queueMicrotask(() => {
    const set = settled(state);
    for (const told of state.watchers) told(set);
  });
}

/** The state with all changes so far in it. */
function settled(state: State): ResourceSet {
  if (!state.dirty) return state.set;
  state.dirty = false;
  const eds = new Map<string, XdsResource>();
  for (const name of state.encoded.cds.keys()) {
    const known = state.endpoints.get(name);
    if (known !== undefined) eds.set(name, known.resource);
  }
  state.set = { ...state.encoded, eds };
  return state.set;
}
