// From what a manifest names (a service, a port, a subset) to a cluster, its policy and its endpoints.
import type { Cluster, ClusterKey, ClusterTls, Endpoint, Endpoints } from '../snapshot.ts';
import { type Health, type Registry, type Service, type ServiceEndpoint, serviceKey } from '../registry/model.ts';
import { same } from '../../lib/compare/same.ts';
import { versionOf } from '../version.ts';

/** What a DestinationRule says of a service. */
export interface TrafficRules {
  readonly policy?: Cluster['policy'];
  /** Text: why nobody may be spoken to. */
  readonly tls?: ClusterTls | string;
  readonly subsets: ReadonlyMap<
    string,
    {
      readonly labels: Readonly<Record<string, string>>;
      readonly policy?: Cluster['policy'];
      readonly tls?: ClusterTls | string;
    }
  >;
}

export interface Target {
  readonly namespace: string;
  readonly name: string;
  /** Absent: the service's only port. */
  readonly port?: number;
  readonly subset?: string;
}

/** A cluster, or why there is none (`key` is then one that no snapshot has, so requests to it get 500). */
export interface Found {
  readonly key: ClusterKey;
  readonly missing?: string;
}

export interface Backends {
  readonly registry: Registry;
  find(target: Target): Found;
  /** Why the endpoints of such a key can't be asked over HTTP; undefined where they can. */
  notHttp(key: ClusterKey): string | undefined;
  /** Of a key that `find` found. */
  cluster(key: ClusterKey, grpc?: boolean): Cluster;
  places(key: ClusterKey): Places;
}

/** Where the endpoints of a cluster are, apart from who is healthy. Plain data. */
export interface Places {
  readonly cluster: ClusterKey;
  readonly list: readonly (Omit<Endpoint, 'healthy'> & Pick<ServiceEndpoint, 'guest'>)[];
}

/** The endpoints at those places, given the health of guests. `before`: of the same cluster; they are given where
 * nothing has changed. */
export function endpointsAt({ cluster, list }: Places, health: Health, before?: Endpoints): Endpoints {
  const endpoints = list.map(({ guest, ...place }) => ({ ...place, healthy: guest === undefined || health(guest) }));
  if (before !== undefined && same(before.list, endpoints)) return before;
  return { cluster, version: versionOf(endpoints), list: endpoints };
}

const connectTimeoutMs = 5000;

/** Backends of the registry, with the traffic rules and the PROXY protocol of services by "namespace/name". */
export function backendsOf(
  registry: Registry,
  rules: ReadonlyMap<string, TrafficRules>,
  proxyVersions: ReadonlyMap<string, NonNullable<Cluster['proxyProtocol']>> = new Map(),
): Backends {
  const partsOf = (key: ClusterKey) => {
    const [namespace = '', name = '', port = '', subset] = key.split('/');
    const service = serviceKey(namespace, name);
    const rule = rules.get(service);
    return {
      service: registry.get(service),
      port: Number(port),
      rule,
      proxyProtocol: proxyVersions.get(service),
      subset: subset === undefined ? undefined : rule?.subsets.get(subset),
    };
  };
  const known = new Map<ClusterKey, ReturnType<typeof partsOf>>();
  const parts = (key: ClusterKey): ReturnType<typeof partsOf> => {
    const there = known.get(key) ?? partsOf(key);
    known.set(key, there);
    return there;
  };
  return {
    registry,
    find: (target) => find(registry, rules, target),
    notHttp(key) {
      const { service, port, rule, subset } = parts(key);
      const declared = service?.ports.find((p) => p.port === port);
      if (declared?.tls !== true || (subset?.tls ?? rule?.tls) !== undefined) return undefined;
      return `service ${key} speaks TLS, and no BackendTLSPolicy or DestinationRule says how to trust it`;
    },
    cluster(key, grpc = false) {
      const { service, port, rule, subset, proxyProtocol } = parts(key);
      const declared = service?.ports.find((p) => p.port === port);
      const http2 = grpc || declared?.http2 === true;
      const policy = subset?.policy ?? rule?.policy ?? 'round-robin';
      const tls = subset?.tls ?? rule?.tls;
      return {
        key,
        protocol: http2 ? 'HTTP/2' : 'HTTP/1.1',
        ...(declared?.grpcWeb && { grpcWeb: true }),
        connectTimeoutMs,
        policy,
        ...(typeof tls === 'object' && { tls }),
        ...(proxyProtocol && { proxyProtocol }),
      };
    },
    places(key) {
      const { service, subset } = parts(key);
      return { cluster: key, list: placesOf(service, subset?.labels ?? {}) };
    },
  };
}

function find(registry: Registry, rules: ReadonlyMap<string, TrafficRules>, target: Target): Found {
  const { namespace, name, subset } = target;
  const key = serviceKey(namespace, name);
  const service = registry.get(key);
  const port = target.port ?? (service?.ports.length === 1 ? service.ports[0]?.port : undefined);
  const wanted = `${key}/${port ?? 0}${subset === undefined ? '' : `/${subset}`}`;
  const missing = (why: string): Found => ({ key: `none/${wanted}`, missing: why });
  if (service === undefined) return missing(`there is no service ${key}`);
  if (port === undefined) return missing(`service ${key} has ${service.ports.length} ports, and none is named`);
  if (!service.ports.some((p) => p.port === port)) return missing(`service ${key} has no port ${port}`);
  if (subset !== undefined && !rules.get(key)?.subsets.has(subset)) {
    return missing(`no DestinationRule gives service ${key} a subset "${subset}"`);
  }
  const rule = rules.get(key);
  const tls = (subset === undefined ? undefined : rule?.subsets.get(subset)?.tls) ?? rule?.tls;
  if (typeof tls === 'string') return missing(`TLS of service ${key}: ${tls}`);
  return { key: wanted };
}

function placesOf(service: Service | undefined, labels: Readonly<Record<string, string>>): Places['list'] {
  const wanted = Object.entries(labels);
  return (service?.endpoints ?? [])
    .filter((endpoint) => wanted.every(([key, value]) => endpoint.labels[key] === value))
    .map(({ address, port, weight, name, guest }) => {
      return { address, port, weight, name, ...(guest !== undefined && { guest }) };
    });
}
