// The mesh in the engine: one snapshot a scope, each a resource (put = offer, read = the version that is in force), and
// endpoints beside them, which follow the guests' health without a commit.
import type { Driver, Ref, Resource } from '../engine/resource.ts';
import { FaultError } from '../engine/faults.ts';
import { listenFault } from '../engine/kinds/listener.ts';
import type { AnySlice, Host, Look, Read, Slice } from '../engine/slice.ts';
import { atOnce } from '../lib/work/turns.ts';
import { endpointsAt, type Places } from '../mesh/manifest/backends.ts';
import { type Built, building } from '../mesh/manifest/build.ts';
import { gatewaySectionSchema } from '../mesh/manifest/slice.ts';
import { kindNames } from '../mesh/manifest/kinds.ts';
import { registryOf } from '../mesh/registry/compile.ts';
import type { Health } from '../mesh/registry/model.ts';
import { servicesSchema } from '../mesh/registry/schema.ts';
import type { Consumer, Endpoints, Scope, Snapshot } from '../mesh/snapshot.ts';
import { type Crew, crewDriver, crewResource } from '../mesh/workers.ts';
import type { Router } from '../l7/router.ts';
import { portsSchema } from '../switch/l1/port/schema.ts';
import { vlansSchema } from '../switch/l2/vlan/schema.ts';
import type { PredecessorLive } from '../guests/live.ts';
import { addressRefs } from './addresses.ts';
import { compileSteer } from '../switch/l4/steer/compile.ts';

/** The router is told the names of ports too, for its log, and what it is. */
export type Consumers = Readonly<Record<Exclude<Scope, 'router'>, Consumer>> & {
  readonly router: Consumer & Pick<Router, 'ports'> & Crew;
};

const owner = 'snapshots';

/** What looks came to. A revision is built when it is compiled, and asked for again when it runs. */
const builds = new WeakMap<Look, Omit<Built, 'endpoints'>>();

/** Snapshots and places of endpoints as the look has them; nothing in it hangs on health. `before`: what was built
 * before it. */
function* build(look: Look, before?: readonly Snapshot[]): Generator<unknown, Omit<Built, 'endpoints'>, undefined> {
  const known = builds.get(look);
  if (known !== undefined) return known;
  const gateway = look(gatewaySectionSchema);
  const built = yield* building({
    manifests: kindNames.flatMap((name) => look.manifests(name)),
    services: registryOf(look(servicesSchema)),
    gatewayAddress: gateway.address,
    paths: gateway['path-normalization'],
    health: () => false,
    before,
  });
  builds.set(look, built);
  return built;
}

/** A slice without a section: what services, gateway and manifests mean together. `before`: guests that had traffic
 * from the daemon whose place this one takes. */
export function meshSlice(consumers: Consumers, before: ReadonlySet<string>): AnySlice {
  // Guests are looked after later than snapshots are first offered.
  let health: Health = (guest) => before.has(guest);
  let last: readonly Snapshot[] | undefined;
  const slice: Slice = {
    name: owner,
    *compile(_, look) {
      const built = yield* build(look, last);
      last = built.snapshots;
      return compileSnapshots(look, built);
    },
    drivers: () => [snapshotDriver(consumers, (guest) => health(guest)), crewDriver(consumers.router)],
    start(host) {
      health = guestHealth(host.read);
      return Promise.resolve(followHealth(host, consumers, health));
    },
  };
  return slice;
}

function compileSnapshots(look: Look, { snapshots, places }: Pick<Built, 'snapshots' | 'places'>): readonly Resource[] {
  const router = snapshots.find((snapshot) => snapshot.scope === 'router');
  const steer = compileSteer(router?.listeners ?? [], look(vlansSchema));
  const own = addressRefs(look);
  const needs = (router?.listeners ?? []).flatMap((listener) => own.get(listener.address) ?? []);
  return [
    ...steer.resources,
    crewResource(owner, look),
    ...snapshots.map((snapshot): Resource<Offered> => {
      const named = new Set(snapshot.clusters.map((cluster) => cluster.key));
      return {
        ref: `snapshot/${snapshot.scope}`,
        owner,
        spec: { snapshot, places: places.filter((place) => named.has(place.cluster)) },
        needs: snapshot.scope === 'router' ? [...new Set([...needs, ...steer.needs])] : [],
      };
    }),
  ];
}

interface Offered {
  readonly snapshot: Snapshot;
  /** Of its clusters. */
  readonly places: readonly Places[];
}

function snapshotDriver(consumers: Consumers, health: Health): Driver<Offered, Pick<Snapshot, 'version'>> {
  const inForce = new Map<Ref, Snapshot>();
  return {
    kind: 'snapshot',
    read: (refs) => {
      const list = refs === 'all' ? [...inForce.keys()] : refs;
      const rows = list.flatMap((ref) => {
        const snapshot = inForce.get(ref);
        return snapshot === undefined ? [] : [[ref, { version: snapshot.version }] as const];
      });
      return Promise.resolve(new Map(rows));
    },
    diff: ({ snapshot }, actual) => (snapshot.version === actual.version ? 'same' : 'update'),
    async put(batch) {
      for (const [ref, { snapshot, places }] of batch) {
        const consumer = consumers[snapshot.scope];
        // A route must not come before the endpoints of a cluster that is new with it.
        const known = new Set(inForce.get(ref)?.clusters.map((cluster) => cluster.key));
        for (const place of places) if (!known.has(place.cluster)) consumer.endpoints(endpointsAt(place, health));
        const answer = await consumer.offer(snapshot);
        if (!answer.ok) throw refusal(ref, answer.why);
        inForce.set(ref, snapshot);
      }
    },
    drop: (refs) => {
      // Every document has all three scopes, so one is dropped only when the instance is taken down.
      for (const ref of refs) inForce.delete(ref);
      return Promise.resolve();
    },
  };
}

/** A consumer that can't listen says where, and the errno's name. */
function refusal(ref: Ref, why: string): FaultError {
  const [, where = '', errno = ''] = /^(listener \S+: ).*\b(E[A-Z]+)\b/.exec(why) ?? [];
  return listenFault(ref, errno, where) ?? new FaultError('refused', ref, why);
}

/** What guest slices offer (guests/live.ts), as far as health goes. */
interface HealthLive {
  guests(): ReadonlyMap<string, { readonly healthy: boolean }>;
  onChange(listener: () => void): Disposable;
}

const guestSlices = ['containers', 'vms', 'functions'] as const;

/** Whether a guest may have traffic. Before this daemon's first look at it: whether it had. */
export function guestHealth(read: Read): Health {
  return (guest) => {
    const seen = guestSlices.flatMap((slice) => read.live<HealthLive>(slice)?.guests().get(guest) ?? []);
    if (seen.length > 0) return seen.some(({ healthy }) => healthy);
    return read.live<PredecessorLive>('predecessor')?.healthy.has(guest) === true;
  };
}

/** The guests that may have traffic. */
export function healthyGuests(read: Read): readonly string[] {
  return guestSlices.flatMap((slice) =>
    [...(read.live<HealthLive>(slice)?.guests() ?? [])].flatMap(([name, { healthy }]) => (healthy ? [name] : [])),
  );
}

/** Statuses and endpoints of the running revision; endpoints are told again when a guest's health changes. */
function followHealth(host: Host, consumers: Consumers, health: Health): AsyncDisposable & { readonly live: MeshLive } {
  let built = atOnce(build(host.read.look()));
  /** By scope, and in it by cluster. */
  const told = new Map<Scope, ReadonlyMap<string, Endpoints>>();
  let last: ReadonlyMap<string, Endpoints> = new Map();
  const tell = (): void => {
    const all = new Map(
      built.places.map((place) => [place.cluster, endpointsAt(place, health, last.get(place.cluster))]),
    );
    last = all;
    for (const { scope, clusters } of built.snapshots) {
      const before = told.get(scope);
      const now = new Map<string, Endpoints>();
      for (const { key } of clusters) {
        const endpoints = all.get(key)!;
        now.set(key, endpoints);
        if (before?.get(key) !== endpoints) consumers[scope].endpoints(endpoints);
      }
      told.set(scope, now);
    }
  };
  const again = (): void => {
    consumers.router.ports(portNames(host));
    built = atOnce(build(host.read.look()));
    tell();
  };
  const watches = [
    host.onRevision(again),
    ...guestSlices.flatMap((slice) => host.read.live<HealthLive>(slice)?.onChange(tell) ?? []),
  ];
  consumers.router.ports(portNames(host));
  tell();
  return {
    live: { status: () => built.status },
    [Symbol.asyncDispose]() {
      for (const watch of watches) watch[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}

function portNames({ ids, read }: Host): ReadonlyMap<number, string> {
  const names = Object.keys(read.look()(portsSchema));
  return new Map(
    names.flatMap((name) => {
      const id = ids.find('port', name);
      return id === undefined ? [] : [[id, name] as const];
    }),
  );
}

export interface MeshLive {
  status(): Built['status'];
}
