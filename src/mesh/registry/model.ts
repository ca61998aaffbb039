// The canonical model: what every source of services is turned into, and all that the rest of the mesh knows of them.

/** One port that a service offers. */
export interface ServicePort {
  readonly port: number;
  /** `auto`: not declared, the first bytes say it. */
  readonly protocol: 'HTTP' | 'TCP' | 'auto';
  /** Its endpoints speak HTTP/2 by prior knowledge: that of gRPC is nothing else. */
  readonly http2?: true;
  /** They speak gRPC, and calls of gRPC-web are made gRPC for them. */
  readonly grpcWeb?: true;
  /** They speak TLS, with TCP: what is spoken in it is between them and their clients. */
  readonly tls?: true;
}

/** One place that answers for a service. */
export interface ServiceEndpoint {
  /** Unique in the service: the guest's or the entry's name. */
  readonly name: string;
  /** IPv4 or IPv6 address. */
  readonly address: string;
  /** The port it listens on, for every port of the service. */
  readonly port: number;
  readonly weight: number;
  readonly labels: Readonly<Record<string, string>>;
  /** The guest whose health decides. Absent: a static entry, always healthy. */
  readonly guest?: string;
}

export interface Service {
  readonly namespace: string;
  readonly name: string;
  /** The address that clients connect to, where the service has one of its own. */
  readonly address?: string;
  readonly ports: readonly ServicePort[];
  /** Sorted by name. */
  readonly endpoints: readonly ServiceEndpoint[];
}

/** Services by "namespace/name", sorted. */
export type Registry = ReadonlyMap<string, Service>;

/** Live state of a guest: whether it may have traffic. */
export type Health = (guest: string) => boolean;

/** Key of a service in the registry. */
export function serviceKey(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

/** The names that a service answers to (Kubernetes DNS); the short one only in the namespace `default`. */
export function serviceHosts(service: Service): readonly string[] {
  const { name, namespace } = service;
  const long = [`${name}.${namespace}`, `${name}.${namespace}.svc`, `${name}.${namespace}.svc.cluster.local`];
  return namespace === 'default' ? [name, ...long] : long;
}
