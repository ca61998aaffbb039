// What routers and proxies are told: one immutable value a scope, made from the registry and the manifests, taken by
// several consumers (the L7 router, xDS streams, later the L4 tables). Plain data, no functions; deterministic order.

/** namespace/name/port, with /subset where one is named: "default/web/80", "default/web/80/v2". A key that is not among
 * the snapshot's clusters ("none/default/gone/80") is a backend that does not exist: its share of requests gets 500. */
export type ClusterKey = string;

/** The in-process router of this switch, or a proxy role that the manager programs. */
export type Scope = 'router' | 'gateway' | 'sidecar';

/** A place that connections come in by. `address` "0.0.0.0" or "::" is any. */
export interface Listener {
  /** Unique in the snapshot: "10.10.0.1:80", or "steer:10.20.0.80:80" for a service address. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** `auto`: not declared. What begins like HTTP within 100 ms is HTTP, all else TCP: who waits for that long gets no
   * further than the streams say. */
  readonly protocol: Protocol | 'auto';
  /** Name of its RouteTable; with HTTPS and TCPS each of `tls` has its own, and this one is empty. */
  readonly routes: string;
  readonly tls?: readonly TlsHost[];
  /** Connections come here by steering (an IP_TRANSPARENT listener), not by their address. */
  readonly steered?: boolean;
  /** Absent: `defaultPaths`. */
  readonly paths?: PathNormalization;
  /** Each connection begins with a header of the PROXY protocol, and comes from one of these prefixes; another is
   * closed. */
  readonly proxyFrom?: readonly string[];
  /** How long a tunnel may be there at most: TCP, TLS passed through, WebSockets. Absent: as long as bytes move. */
  readonly maxTunnelMs?: number;
  readonly limits?: ListenerLimits;
  /** What backends are told, in x-forwarded-client-cert, of a client's certificate that was verified; By and Hash
   * always. `none`: nothing. Absent: `certificateDetails`. */
  readonly forwardCertificate?: readonly CertificateDetail[] | 'none';
}

export type CertificateDetail = 'Subject' | 'URI' | 'DNS';
/** As gateways of Istio do, but for the certificate itself. */
export const certificateDetails: readonly CertificateDetail[] = ['Subject', 'URI', 'DNS'];

/** Bounds of a listener; what is absent is as everywhere. */
export interface ListenerLimits {
  /** Connections at once: who comes beyond is reset. Of a client counts its address, of IPv6 the network of 64 bits. */
  readonly connections?: number;
  readonly connectionsPerClient?: number;
  /** The answer to the last says that the connection ends. */
  readonly requestsPerConnection?: number;
  /** Of a request: fields (at most 256), bytes of its head (at most 32,768) and of its target. */
  readonly headFields?: number;
  readonly headBytes?: number;
  readonly targetBytes?: number;
}

/** What the connections of a listener speak, and so which routes of its table decide: HTTP by `hosts` (HTTPS by those
 * of the table that `tls` chooses), TCP by the stream without `sni` (TCPS, whose TLS ends here, by that of the table
 * that `tls` chooses), TLS by the stream whose `sni` has the name that the ClientHello asks for. */
export type Protocol = 'HTTP' | 'HTTPS' | 'TCP' | 'TCPS' | 'TLS';

/** What a client gets that names this server (SNI) as it connects. The longest name that covers its own counts, by the
 * rule of virtual hosts; a client that no name covers is turned away. What is in the table of another host can't be
 * reached by such a connection, whatever the Host header says: so who need not show a certificate here does not get
 * where one is asked for. */
export interface TlsHost {
  /** "example.com", "*.example.com", "*" (any, and a client that names none). */
  readonly host: string;
  readonly routes: string;
  /** Secrets; several for several kinds of key. */
  readonly certificates: readonly string[];
  /** Certificates of clients: asked for, and with `required` not done without. `trust` is a secret. */
  readonly client?: { readonly required: boolean; readonly trust: string };
  readonly minimum: 'TLSv1.2' | 'TLSv1.3';
}

/** What is done to a path before routes, policies and logs see it and before it goes on; names and meaning are those of
 * MeshConfig.pathNormalization of Istio. `base` resolves dot elements and backslashes and writes escapes in one way,
 * `merge-slashes` besides makes one of several slashes, `decode-and-merge-slashes` first decodes %2f and %5c. */
export const pathNormalizations = ['none', 'base', 'merge-slashes', 'decode-and-merge-slashes'] as const;
export type PathNormalization = (typeof pathNormalizations)[number];

/** Istio's too. With `none` a path that steps around a route ("/open/../closed") is decided by as it stands, and
 * understood by the upstream as something else; the two ways beyond `base` change what some servers give a meaning. */
export const defaultPaths: PathNormalization = 'base';

/** Hosts of one or more listeners. A host is chosen first, by Envoy's rule: exact, then the longest "*.suffix", then
 * "*", letter case and the port in the Host header left out; then the first route of that host that matches, in the
 * order given. No host, no route: 404. No domain stands twice in a table. */
export interface RouteTable {
  readonly name: string;
  readonly hosts: readonly VirtualHost[];
  readonly streams?: readonly StreamRoute[];
}

/** Connections that go on as they come, their bytes unread. */
export interface StreamRoute {
  /** Like a Route's: "tcproute/default/db/0". */
  readonly name: string;
  /** Names of servers, chosen like the hosts of a table ("*" also stands for no name at all). Absent: any connection.
   * Neither the one nor the other: the connection is closed. */
  readonly sni?: readonly string[];
  /** Of a cluster that does not exist the share of connections is closed; so are all where all weights are 0. */
  readonly clusters: readonly StreamCluster[];
  /** Without a byte in either direction. Absent: 5 minutes. */
  readonly idleMs?: number;
}

export interface StreamCluster {
  readonly cluster: ClusterKey;
  /** 0 or more. */
  readonly weight: number;
}

export interface VirtualHost {
  readonly name: string;
  /** Lower case, no port: "example.com", "*.example.com" (one or more labels), "*". */
  readonly domains: readonly string[];
  readonly routes: readonly Route[];
}

export interface StringMatch {
  readonly kind: 'exact' | 'prefix' | 'regex' | 'present';
  /** Empty for 'present'. */
  readonly value: string;
}

/** Matched against the path without the query, as the listener's `paths` made it. `prefix` follows Gateway
 * API's PathPrefix (whole path elements: /foo matches /foo and /foo/bar, not /foobar); its value has no slash at its
 * end, "" matches all. `string-prefix` is Istio's uri.prefix, `regex` matches the whole path (what RE2 and JavaScript
 * share). */
export interface PathMatch {
  readonly kind: 'exact' | 'prefix' | 'string-prefix' | 'regex';
  readonly value: string;
}

/** A header that came more than once matches if any one of its values does, as in Envoy. Of a query parameter that came
 * more than once the first counts, not decoded. `invert`: matches where that does not, so an absent header too. */
export interface HeaderMatch {
  /** Lower case; ":authority" is the Host header as it came, ":method" the method. Of a query parameter: exact case. */
  readonly name: string;
  readonly match: StringMatch;
  readonly invert?: boolean;
}

export interface RouteMatch {
  readonly path?: PathMatch;
  readonly method?: string;
  readonly headers: readonly HeaderMatch[];
  readonly query: readonly HeaderMatch[];
}

/** Applied in this order: remove, set, add; those of the route first, then those of the chosen cluster. Names are lower
 * case, never "host" (that is `host` of the action). */
export interface HeaderEdits {
  readonly remove: readonly string[];
  readonly set: readonly (readonly [string, string])[];
  readonly add: readonly (readonly [string, string])[];
}

export interface WeightedCluster {
  readonly cluster: ClusterKey;
  /** 0 or more; all 0 answers 500. */
  readonly weight: number;
  readonly request: HeaderEdits;
  readonly response: HeaderEdits;
}

/** `full` replaces the whole path, `prefix` what the route's path match matched; the query stays. With PathMatch
 * `prefix` the value has no slash at its end and whole elements are replaced: /foo -> /bar turns /foo/x into /bar/x,
 * /foo -> "" turns /foo into "/" (an empty path is "/"). With `string-prefix` the text is replaced as it stands. */
export interface PathRewrite {
  readonly kind: 'full' | 'prefix';
  readonly value: string;
}

export type RouteAction =
  | {
      readonly kind: 'forward';
      readonly clusters: readonly WeightedCluster[];
      readonly path?: PathRewrite;
      readonly host?: string;
      /** Whole request, first byte to last; 0 = none. A retry is not made. */
      readonly timeoutMs: number;
      /** Without a byte in either direction, also of a WebSocket. Absent: 5 minutes. */
      readonly idleMs?: number;
    }
  | {
      readonly kind: 'redirect';
      readonly status: 301 | 302 | 303 | 307 | 308;
      /** Absent: the connection's own. */
      readonly scheme?: string;
      /** Absent: the request's. */
      readonly host?: string;
      /** Left out of Location where it is the scheme's own (http 80, https 443). Absent: `host` without a port, else
       * the request's Host as it came. */
      readonly port?: number;
      readonly path?: PathRewrite;
    }
  /** A fixed answer: 404 for what has no backend by design, 500 for a backend that does not exist. */
  | { readonly kind: 'reply'; readonly status: number; readonly body: string };

export interface Route {
  /** Stable over versions: "httproute/default/web/0/1" (kind, namespace, name, rule, match). The same rule has the same
   * name in every host of a table. Counters and access logs name it. */
  readonly name: string;
  readonly match: RouteMatch;
  readonly request: HeaderEdits;
  readonly response: HeaderEdits;
  readonly action: RouteAction;
}

export interface Cluster {
  readonly key: ClusterKey;
  /** What its endpoints speak: HTTP/2 by prior knowledge, over TLS by ALPN. */
  readonly protocol: 'HTTP/1.1' | 'HTTP/2';
  /** Its endpoints speak gRPC: calls of gRPC-web to them are made calls of gRPC. With HTTP/2. */
  readonly grpcWeb?: true;
  readonly connectTimeoutMs: number;
  readonly policy: 'round-robin' | 'random' | 'least-request';
  /** Absent: in the clear. */
  readonly tls?: ClusterTls;
  /** Each connection to it begins with a header of the PROXY protocol in that version. */
  readonly proxyProtocol?: 1 | 2;
}

export interface ClusterTls {
  /** Secret with the authorities; absent: those that the system trusts. */
  readonly trust?: string;
  /** Secret that we show. */
  readonly certificate?: string;
  /** SNI; absent: none. */
  readonly serverName?: string;
  /** Hosts, addresses or URIs; one of them has to be in the server's certificate. Empty: any name. */
  readonly names: readonly string[];
}

/** Certificates and keys as PEM. Never shown, never logged. */
export interface Secret {
  /** "namespace/name", of another kind with its kind before: "configmap/namespace/name". */
  readonly name: string;
  readonly chain?: string;
  readonly key?: string;
  readonly ca?: string;
  readonly crl?: string;
}

export interface Snapshot {
  readonly scope: Scope;
  /** Hash of the content: the same content has the same version. */
  readonly version: string;
  readonly listeners: readonly Listener[];
  readonly routes: readonly RouteTable[];
  readonly clusters: readonly Cluster[];
  readonly secrets: readonly Secret[];
}

export interface Endpoint {
  /** IPv4 or IPv6 address. */
  readonly address: string;
  readonly port: number;
  /** 1 or more. */
  readonly weight: number;
  readonly healthy: boolean;
  /** Guest or static entry that it came from: "web-v1". */
  readonly name: string;
}

/** Apart from the snapshot, so that churn rebuilds no route. */
export interface Endpoints {
  readonly cluster: ClusterKey;
  readonly version: string;
  readonly list: readonly Endpoint[];
}

export interface Ack {
  readonly ok: true;
  readonly version: string;
}

export interface Nack {
  readonly ok: false;
  readonly version: string;
  readonly why: string;
}

/** Takes snapshots of its scope. `offer` resolves when the snapshot is in force everywhere (all workers), or is
 * refused. */
export interface Consumer {
  offer(snapshot: Snapshot): Promise<Ack | Nack>;
  /** Of clusters in force, or of those that the next offer brings; of one that is gone they are forgotten. */
  endpoints(endpoints: Endpoints): void;
}

export const noEdits: HeaderEdits = Object.freeze({ remove: [], set: [], add: [] });
