// Registry + manifests -> what this switch's router and the proxies are told. Pure: the same input gives the same
// value.
//  1. manifests -> typed specs (kinds.ts); one that can't be read is left out with a status
//  2. backends: services, subsets and policies (backends.ts)
//  3. Gateways and the routes attached to them (gatewayapi/, istio/) -> bindings
//  4. bindings on one socket -> a listener and its hosts (hosts.ts); policy before services (mesh.ts)
//  5. per scope: listeners, tables, the clusters that they name; endpoints beside them
import { same } from '../../lib/compare/same.ts';
import { atOnce } from '../../lib/work/turns.ts';
import type { Problem } from '../../config/problem.ts';
import type { Manifest } from '../../config/manifest.ts';
import type { Health, Registry } from '../registry/model.ts';
import type {
  Cluster,
  ClusterKey,
  Endpoints,
  Listener,
  PathNormalization,
  Protocol,
  RouteTable,
  Scope,
  Snapshot,
  VirtualHost,
} from '../snapshot.ts';
import { type Secrets, secretsOf } from '../secret/secrets.ts';
import { terminate } from '../secret/terminate.ts';
import { factsOf, snapshotVersion } from '../version.ts';
import { compareText, type FirstSeen } from './age.ts';
import { type Backends, backendsOf, endpointsAt, type Places } from './backends.ts';
import { withBackendTls } from './gatewayapi/backendtls.ts';
import { bindGateways, type GatewayBinding } from './gatewayapi/gateway.ts';
import { type Grants, grantsOf } from './gatewayapi/grant.ts';
import { compileGrpcRoute } from './gatewayapi/grpcroute.ts';
import { compileHttpRoute } from './gatewayapi/httproute.ts';
import { type CompiledStream, compileStreamRoute } from './gatewayapi/stream.ts';
import { type OrderedRoutes, type Socket, socketName, streamsOf, virtualHosts } from './hosts.ts';
import { bindIstio, type IstioBinding, meshServices } from './istio/gateway.ts';
import { trafficRules } from './istio/destinationrule.ts';
import { compileVirtualService } from './istio/virtualservice.ts';
import { type ByKind, eachOfKind, kindName, kinds, ofKind } from './kinds.ts';
import { outbound, policyOf, steered } from './mesh.ts';
import { listenerSettings, proxyVersions, type SettingsOf } from './policy/attach.ts';
import { idleTimes } from './policy/idle.ts';
import { bad, type ManifestStatus, type StatusBook, statusBook } from './status.ts';

export interface BuildInput {
  readonly manifests: readonly Manifest[];
  readonly services: Registry;
  /** Address of Gateways that name none. */
  readonly gatewayAddress?: string | undefined;
  /** Of every listener. */
  readonly paths?: PathNormalization | undefined;
  readonly health: Health;
  readonly firstSeen?: FirstSeen;
  /** What was built before: hosts whose routes are the same are the same objects here. */
  readonly before?: readonly Snapshot[] | undefined;
}

export interface Built {
  /** One a scope: router, gateway, sidecar. */
  readonly snapshots: readonly Snapshot[];
  /** Of every cluster in any of the snapshots, sorted. */
  readonly endpoints: readonly Endpoints[];
  /** The same, apart from who is healthy. */
  readonly places: readonly Places[];
  /** One a manifest, in their order. */
  readonly status: readonly ManifestStatus[];
  /** The endpoints again, when only health has changed. */
  endpointsFor(health: Health): readonly Endpoints[];
}

/** Builds the snapshots of all scopes. */
export function buildSnapshots(input: BuildInput): Built {
  return atOnce(building(input));
}

/** The same, route by route and host by host. */
export function* building(input: BuildInput): Generator<undefined, Built, undefined> {
  const { services, firstSeen, before = [] } = input;
  const byKind = Map.groupBy(input.manifests, kindName);
  const book = statusBook(input.manifests);
  const refused = (manifest: Manifest, problems: readonly Problem[]): void =>
    book.set(manifest, bad('Accepted', 'Invalid', problems[0]?.message ?? ''));
  yield;

  const secrets = secretsOf(ofKind(kinds.secret, byKind, refused), ofKind(kinds.configMap, byKind, refused));
  const backends = backendsFor(input, byKind, secrets, book, refused);
  const grants = grantsOf(ofKind(kinds.referenceGrant, byKind, refused));
  const idle = idleTimes(ofKind(kinds.routePolicy, byKind, refused), input.manifests, book, firstSeen);
  const calls = yield* inSteps(eachOfKind(kinds.grpcRoute, byKind, refused), (route) =>
    compileGrpcRoute(route, backends, grants),
  );
  const web = yield* inSteps(eachOfKind(kinds.httpRoute, byKind, refused), (route) =>
    idle.http(compileHttpRoute(route, backends, grants)),
  );
  const routes = [
    ...calls.map((r) => idle.http(r)),
    ...web,
    ...streamRoutes(byKind, refused, backends, grants).map((r) => idle.stream(r)),
  ];
  const bindings = yield* bindGateways({
    classes: ofKind(kinds.gatewayClass, byKind, refused),
    gateways: ofKind(kinds.gateway, byKind, refused),
    routes,
    gatewayAddress: input.gatewayAddress,
    secrets,
    grants,
    book,
  });
  const istio = {
    gateways: ofKind(kinds.istioGateway, byKind, refused),
    services: yield* inSteps(eachOfKind(kinds.virtualService, byKind, refused), (service) =>
      idle.service(compileVirtualService(service, backends)),
    ),
    gatewayAddress: input.gatewayAddress,
    secrets,
    book,
    firstSeen,
  };
  const servers = yield* bindIstio(istio);
  const policies = ofKind(kinds.listenerPolicy, byKind, refused);
  const settings = listenerSettings(policies, [...bindings, ...servers], book, firstSeen);
  const sockets: Sockets = { bindings, istio: servers, settings, hosts: [], book, firstSeen };
  yield;
  const policy = yield* policyOf(routes, meshServices(istio, services), services, book, firstSeen);

  const parts = { backends, secrets, paths: input.paths, grpc: new Set(calls.flatMap((route) => route.clusters)) };
  const shared = { host: sharedHosts(before), cluster: sharedClusters(before) };
  const scope = (name: Scope, all: readonly Socket[]) => snapshotOf(name, all, { ...parts, shared });
  const own = yield* socketsOf(sockets, (b) => b.addresses);
  return builtOf(input, book, backends, [
    yield* scope('router', [...own, ...(yield* steered(services, policy))]),
    yield* scope('gateway', yield* socketsOf(sockets, () => ['0.0.0.0'])),
    yield* scope('sidecar', yield* outbound(services, policy)),
  ]);
}

/** What is made of each, one a step. */
function* inSteps<T, U>(items: Iterable<T>, made: (item: T) => U): Generator<undefined, readonly U[], undefined> {
  const all: U[] = [];
  for (const item of items) {
    all.push(made(item));
    yield;
  }
  return all;
}

function builtOf({ health }: BuildInput, book: StatusBook, backends: Backends, snapshots: readonly Snapshot[]): Built {
  const keys = [...new Set(snapshots.flatMap((s) => s.clusters.map((c) => c.key)))].toSorted(compareText);
  const places = keys.map((key) => backends.places(key));
  const endpointsFor = (now: Health): readonly Endpoints[] => places.map((place) => endpointsAt(place, now));
  let status: Built['status'] | undefined;
  return {
    snapshots,
    endpoints: endpointsFor(health),
    places,
    // Asked for now and then only.
    get status() {
      return (status ??= book.list());
    },
    endpointsFor,
  };
}

type Refused = (manifest: Manifest, problems: readonly Problem[]) => void;

function backendsFor(
  { services, firstSeen }: BuildInput,
  manifests: ByKind,
  secrets: Secrets,
  book: StatusBook,
  refused: Refused,
): Backends {
  const rules = ofKind(kinds.destinationRule, manifests, refused);
  const traffic = trafficRules(rules, services, secrets, book, firstSeen);
  const secured = ofKind(kinds.backendTlsPolicy, manifests, refused);
  const policies = ofKind(kinds.backendPolicy, manifests, refused);
  return backendsOf(
    services,
    withBackendTls(traffic, secured, secrets, book, firstSeen),
    proxyVersions(policies, services, book, firstSeen),
  );
}

function streamRoutes(
  manifests: ByKind,
  refused: Refused,
  backends: Backends,
  grants: Grants,
): readonly CompiledStream[] {
  const compiled = (kind: CompiledStream['kind'], known: typeof kinds.tcpRoute | typeof kinds.tlsRoute) =>
    ofKind(known, manifests, refused).map((route) => compileStreamRoute(kind, route, backends, grants));
  return [...compiled('TCPRoute', kinds.tcpRoute), ...compiled('TLSRoute', kinds.tlsRoute)];
}

interface Sockets {
  readonly bindings: readonly GatewayBinding[];
  readonly istio: readonly IstioBinding[];
  readonly settings: SettingsOf;
  /** Found so far. */
  readonly hosts: {
    readonly bindings: readonly GatewayBinding[];
    readonly ordered: readonly OrderedRoutes[];
    readonly list: readonly VirtualHost[];
  }[];
  readonly book: StatusBook;
  readonly firstSeen: FirstSeen | undefined;
}

/** Scopes have sockets in common but for their addresses: the hosts of the same bindings are found once. */
function* hostsOnce(
  { hosts, book, firstSeen }: Sockets,
  bindings: readonly GatewayBinding[],
  ordered: readonly OrderedRoutes[],
): ReturnType<typeof virtualHosts> {
  const there = hosts.find((each) => sameItems(each.bindings, bindings) && sameItems(each.ordered, ordered));
  if (there !== undefined) return there.list;
  const list = yield* virtualHosts(bindings, ordered, book, firstSeen);
  hosts.push({ bindings, ordered, list });
  return list;
}

interface Bound {
  readonly addresses: readonly string[];
  readonly port: number;
}

function* socketsOf(
  input: Sockets,
  addressesOf: (binding: Bound) => readonly string[],
): Generator<undefined, readonly Socket[], undefined> {
  const { bindings, istio, settings, book, firstSeen } = input;
  const found = [...bindings, ...istio].flatMap((b) => addressesOf(b).map((address) => [address, b.port] as const));
  const unique = new Map(found.map(([address, port]) => [socketName(address, port), { address, port }]));
  const sockets: Socket[] = [];
  for (const [name, { address, port }] of unique) {
    const here = (b: Bound): boolean => b.port === port && addressesOf(b).includes(address);
    const protocol = onePerSocket([...bindings, ...istio].filter(here), name, book);
    const own = (b: GatewayBinding | IstioBinding): boolean => here(b) && b.protocol === protocol;
    const others = istio.filter(own);
    const bound = settings([...bindings, ...istio].filter(own));
    if (protocol === 'HTTPS' || protocol === 'TCPS') {
      const secured = yield* terminate({
        socket: name,
        protocol,
        gateways: bindings.filter(own),
        istio: others,
        book,
        firstSeen,
      });
      const tls = secured.map(([host]) => host);
      const listener = { name, address, port, protocol, routes: name, tls, ...bound };
      sockets.push([listener, { name, hosts: [] }, ...secured.map(([, t]) => t)]);
      continue;
    }
    const ordered = others.flatMap((b) => b.ordered);
    const hosts = yield* hostsOnce(input, bindings.filter(own), ordered);
    const streams = [...streamsOf(bindings.filter(own), book, firstSeen), ...others.flatMap((b) => b.streams)];
    sockets.push([
      { name, address, port, protocol, routes: name, ...bound },
      protocol === 'HTTP' ? { name, hosts } : { name, hosts: [], streams },
    ]);
  }
  return sockets;
}

/** One protocol a socket: that of the first. */
function onePerSocket(here: readonly (GatewayBinding | IstioBinding)[], name: string, book: StatusBook): Protocol {
  const protocol = here[0]?.protocol ?? 'HTTP';
  for (const other of here.filter((b) => b.protocol !== protocol)) {
    const message = `another Gateway speaks ${protocol} on ${name}`;
    book.set(other.manifest, { type: 'Conflicted', status: 'True', reason: 'ProtocolConflict', message }, other.part);
    book.set(other.manifest, bad('Programmed', 'Invalid', message), other.part);
  }
  return protocol;
}

interface Parts {
  readonly backends: Backends;
  readonly secrets: Secrets;
  readonly paths: PathNormalization | undefined;
  /** Clusters that get calls of gRPC. */
  readonly grpc: ReadonlySet<ClusterKey>;
  readonly shared: {
    readonly host: ReturnType<typeof sharedHosts>;
    readonly cluster: ReturnType<typeof sharedClusters>;
  };
}

function* snapshotOf(
  scope: Scope,
  sockets: readonly Socket[],
  parts: Parts,
): Generator<undefined, Snapshot, undefined> {
  const { backends, secrets, paths, grpc, shared } = parts;
  const sorted = sockets.toSorted(([a], [b]) => compareText(a.name, b.name));
  const routes: RouteTable[] = [];
  for (const table of sorted.flatMap(([, ...tables]) => tables)) {
    const hosts: VirtualHost[] = [];
    for (const host of table.hosts) {
      const one = deepFreeze(shared.host(host));
      factsOf(one);
      hosts.push(one);
      yield;
    }
    routes.push({ ...table, hosts });
  }
  const listeners = sorted.map(([listener]) => (paths === undefined ? listener : { ...listener, paths }));
  const clusters = clusterKeys(routes).map((key) => shared.cluster(backends.cluster(key, grpc.has(key))));
  // Keys go to who terminates TLS, and to nobody else.
  const named = scope === 'router' ? secrets.named(secretNames(listeners, clusters)) : [];
  const content = { listeners, routes, clusters, secrets: named };
  yield;
  return deepFreeze({ scope, version: snapshotVersion(content), ...content });
}

/** Gives, in place of a host, the one with the same routes that is known: one of those before, or that came here. */
function sharedHosts(before: readonly Snapshot[]): (host: VirtualHost) => VirtualHost {
  const all = before.flatMap(({ routes }) => routes.flatMap(({ hosts }) => hosts));
  // Tables of thousands of services have a host of one name each.
  const nameOf = ({ name, routes }: VirtualHost): string => `${name} ${routes[0]?.name}`;
  const known = Map.groupBy(new Set(all), nameOf);
  return (host) => {
    const name = nameOf(host);
    const list = known.get(name) ?? [];
    const alike = list.find((other) => same(other, host));
    if (alike === undefined) known.set(name, [...list, host]);
    return alike ?? host;
  };
}

/** The same for clusters. */
function sharedClusters(before: readonly Snapshot[]): (cluster: Cluster) => Cluster {
  const known = new Map(before.flatMap(({ clusters }) => clusters.map((cluster) => [cluster.key, cluster])));
  return (cluster) => {
    const there = known.get(cluster.key);
    if (there !== undefined && same(there, cluster)) return there;
    known.set(cluster.key, cluster);
    return cluster;
  };
}

function sameItems<T>(a: readonly T[], b: readonly T[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return false;
  return true;
}

function secretNames(listeners: readonly Listener[], clusters: readonly Cluster[]): ReadonlySet<string> {
  return new Set([
    ...listeners.flatMap(({ tls = [] }) =>
      tls.flatMap((h) => [...h.certificates, ...(h.client ? [h.client.trust] : [])]),
    ),
    ...clusters.flatMap(({ tls }) => [tls?.trust, tls?.certificate].filter((name) => name !== undefined)),
  ]);
}

/** The clusters that exist and that some route forwards to, sorted. */
function clusterKeys(tables: readonly RouteTable[]): readonly ClusterKey[] {
  const keys = new Set<ClusterKey>();
  for (const { hosts, streams = [] } of tables) {
    for (const host of hosts) for (const cluster of factsOf(host).clusters) keys.add(cluster);
    for (const { clusters } of streams) for (const { cluster } of clusters) keys.add(cluster);
  }
  return [...keys].filter((key) => !key.startsWith('none/')).toSorted(compareText);
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
