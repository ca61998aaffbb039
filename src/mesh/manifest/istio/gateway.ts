// Istio Gateways and the VirtualServices that are bound to their servers, or to the mesh.
import type { Protocol, Route, StreamRoute } from '../../snapshot.ts';
import { noEdits } from '../../snapshot.ts';
import { type Registry, type Service, serviceKey } from '../../registry/model.ts';
import { compareAge, type FirstSeen } from '../age.ts';
import { intersect } from '../hostname.ts';
import type { OrderedRoutes } from '../hosts.ts';
import type { MeshRoutes } from '../mesh.ts';
import type { Manifest } from '../../../config/manifest.ts';
import type { Typed } from '../read.ts';
import { bad, good, type StatusBook } from '../status.ts';
import type { Secrets } from '../../secret/secrets.ts';
import type { BoundTls } from '../gatewayapi/tls.ts';
import { serverTls } from './tls.ts';
import { serviceOfHost } from './host.ts';
import type { IstioGatewaySpec, IstioServer } from './schema.ts';
import { within } from './stream.ts';
import { type CompiledService, isCatchAll } from './virtualservice.ts';

/** What a server of an Istio Gateway binds, with the routes of its VirtualServices by host. */
export interface IstioBinding {
  readonly manifest: Manifest;
  readonly part: string;
  readonly protocol: Protocol;
  readonly addresses: readonly string[];
  readonly port: number;
  readonly ordered: readonly OrderedRoutes[];
  readonly streams: readonly StreamRoute[];
  /** Of its server, without namespaces. */
  readonly hosts: readonly string[];
  /** With HTTPS and TCPS. */
  readonly tls?: BoundTls;
}

export interface IstioInput {
  readonly gateways: readonly Typed<IstioGatewaySpec>[];
  readonly services: readonly CompiledService[];
  readonly gatewayAddress: string | undefined;
  readonly secrets: Secrets;
  readonly book: StatusBook;
  readonly firstSeen: FirstSeen | undefined;
}

type Steps<T> = Generator<undefined, T, undefined>;

/** The servers of all Istio Gateways, VirtualService by VirtualService: there may be thousands. A selector matches
 * whatever it says: this switch is the only gateway. */
export function* bindIstio(input: IstioInput): Steps<readonly IstioBinding[]> {
  const { gateways, book } = input;
  const services = input.services.toSorted((a, b) => compareAge(a.source.manifest, b.source.manifest, input.firstSeen));
  const known = new Set(gateways.map((gateway) => gateway.key));
  for (const { source, gateways: names, resolvedRefs } of services) {
    book.set(source.manifest, resolvedRefs);
    for (const name of names.filter((each) => each !== 'mesh' && !known.has(each))) {
      const reason = bad('Accepted', 'NoMatchingParent', `there is no Istio Gateway ${name}`);
      book.set(source.manifest, reason, `Gateway ${name}`);
    }
    yield;
  }
  const bindings: IstioBinding[] = [];
  for (const gateway of gateways) bindings.push(...(yield* bindGateway(gateway, services, input)));
  return bindings;
}

const noAddress = bad('Programmed', 'AddressNotAssigned', 'neither bind nor gateway.address names one');

function* bindGateway(
  gateway: Typed<IstioGatewaySpec>,
  services: readonly CompiledService[],
  input: IstioInput,
): Steps<readonly IstioBinding[]> {
  const { book } = input;
  const { manifest, spec } = gateway;
  const used = new Set<CompiledService>();
  const mine = services.filter((s) => s.gateways.includes(gateway.key));
  const bindings: IstioBinding[] = [];
  for (const [i, server] of spec.servers.entries()) {
    const binding = yield* bindServer(gateway, server, i, mine, used, input);
    if (binding !== undefined) bindings.push(binding);
  }
  const all = bindings.length === spec.servers.length;
  book.set(manifest, all ? good('Accepted') : { ...good('Accepted'), reason: 'ListenersNotValid' });
  if (bindings.length === 0) book.set(manifest, bad('Programmed', 'Invalid', 'none of its servers can be served'));
  else book.set(manifest, bindings.some((b) => b.addresses.length === 0) ? noAddress : good('Programmed'));
  for (const service of mine) {
    const none = bad('Accepted', 'NoMatchingListenerHostname', 'none of its hosts is one of the servers');
    book.set(service.source.manifest, used.has(service) ? good('Accepted') : none, `Gateway ${gateway.key}`);
    yield;
  }
  return bindings;
}

/** Undefined where it can't be served. Adds those that it binds to `used`. */
function* bindServer(
  gateway: Typed<IstioGatewaySpec>,
  server: IstioServer,
  i: number,
  services: readonly CompiledService[],
  used: Set<CompiledService>,
  { book, gatewayAddress, secrets }: IstioInput,
): Steps<IstioBinding | undefined> {
  const { manifest } = gateway;
  const part = server.name ?? server.port.name ?? `server ${i}`;
  const protocol = protocolOf(server);
  if (protocol === undefined) {
    const bare = /^(https|tls)$/i.test(server.port.protocol) && server.tls?.mode === undefined;
    const message = bare
      ? 'tls.mode is missing: SIMPLE, MUTUAL, OPTIONAL_MUTUAL or PASSTHROUGH'
      : `protocol ${server.port.protocol} is not supported: HTTP, HTTP2, GRPC, HTTPS, TCP, MONGO and TLS are`;
    book.set(manifest, bad('Accepted', 'UnsupportedProtocol', message), part);
    book.set(manifest, bad('Programmed', 'Invalid', message), part);
    return undefined;
  }
  const secured =
    protocol === 'HTTPS' || protocol === 'TCPS' ? serverTls(server, gateway.namespace, secrets) : undefined;
  if (typeof secured === 'string') {
    book.set(manifest, bad('ResolvedRefs', 'InvalidCertificateRef', secured), part);
    book.set(manifest, bad('Programmed', 'Invalid', secured), part);
    return undefined;
  }
  const address = server.bind ?? gatewayAddress;
  if (address !== undefined) book.address(manifest, address);
  book.set(manifest, good('Accepted'), part);
  book.set(manifest, address === undefined ? noAddress : good('Programmed'), part);
  const bound: CompiledService[] = [];
  for (const service of services) {
    yield;
    if (hostsOn(server, gateway, service).length === 0) continue;
    bound.push(service);
    used.add(service);
    book.attach(manifest, part, service.source.key);
  }
  const here = { manifest, part, protocol, port: server.port.number };
  const addresses = address === undefined ? [] : [address];
  const ordered = server.tls?.httpsRedirect === true ? toHttps(server, gateway) : yield* merge(server, gateway, bound);
  const streams = bound.flatMap((service) => streamsOn(protocol, server, gateway, service));
  const http = protocol === 'HTTP' || protocol === 'HTTPS';
  const hosts = [...new Set(server.hosts.map((text) => text.slice(text.indexOf('/') + 1).toLowerCase()))];
  return { ...here, addresses, ordered: http ? ordered : [], streams, hosts, ...(secured && { tls: secured }) };
}

/** What a server speaks; undefined where it can't be served. */
function protocolOf({ port, tls }: IstioServer): Protocol | undefined {
  const protocol = port.protocol.toUpperCase();
  if (tls?.mode === 'PASSTHROUGH') return protocol === 'TLS' || protocol === 'HTTPS' ? 'TLS' : undefined;
  if (tls?.mode !== undefined) return protocol === 'HTTPS' ? 'HTTPS' : protocol === 'TLS' ? 'TCPS' : undefined;
  return inTheClear[protocol];
}

/** Of HTTP a listener finds out the version. */
const inTheClear: Readonly<Record<string, Protocol>> = {
  HTTP: 'HTTP',
  HTTP2: 'HTTP',
  GRPC: 'HTTP',
  'GRPC-WEB': 'HTTP',
  TCP: 'TCP',
  MONGO: 'TCP',
};

function streamsOn(
  protocol: Protocol,
  server: IstioServer,
  gateway: Typed<IstioGatewaySpec>,
  service: CompiledService,
): readonly StreamRoute[] {
  const { tcp, tls } = service.streams(gateway.key, server.port.number);
  if (protocol === 'TCP' || protocol === 'TCPS') return tcp;
  return protocol === 'TLS' ? within(tls, hostsOn(server, gateway, service)) : [];
}

/** The hosts that a VirtualService serves on a server. "ns/host" takes VirtualServices of one namespace only. */
function hostsOn(
  server: IstioServer,
  gateway: Typed<IstioGatewaySpec>,
  { source }: CompiledService,
): readonly string[] {
  const own = server.hosts.flatMap((text) => {
    const [namespace = '*', host = '*'] = text.includes('/') ? text.split('/') : ['*', text];
    const wanted = namespace === '.' ? gateway.namespace : namespace;
    return wanted === '*' || wanted === source.namespace ? [host.toLowerCase()] : [];
  });
  return [...new Set(source.spec.hosts.flatMap((host) => own.flatMap((o) => intersect(o, host) ?? [])))];
}

/** VirtualServices of one host merge: the older one first, what takes every request last. */
function* merge(
  server: IstioServer,
  gateway: Typed<IstioGatewaySpec>,
  services: readonly CompiledService[],
): Steps<readonly OrderedRoutes[]> {
  const parts: OrderedRoutes[] = [];
  for (const service of services) {
    const routes = service.routes(gateway.key, server.port.number);
    const { manifest } = service.source;
    for (const host of hostsOn(server, gateway, service)) parts.push({ host, manifest, routes });
    yield;
  }
  const only = (keep: (route: Route) => boolean) =>
    parts.map((part) => ({ ...part, routes: part.routes.filter(keep) })).filter((part) => part.routes.length > 0);
  return [...only((route) => !isCatchAll(route)), ...only(isCatchAll)];
}

function toHttps(server: IstioServer, gateway: Typed<IstioGatewaySpec>): readonly OrderedRoutes[] {
  const route: Route = {
    name: `gateway/${gateway.key}/https`,
    match: { headers: [], query: [] },
    request: noEdits,
    response: noEdits,
    action: { kind: 'redirect', status: 301, scheme: 'https' },
  };
  return server.hosts.map((text) => {
    const host = text.slice(text.indexOf('/') + 1).toLowerCase();
    return { host, manifest: gateway.manifest, routes: [route] };
  });
}

/** Routes of VirtualServices for the mesh, by service. They don't merge: of several for one host the oldest counts. */
export function meshServices(
  input: IstioInput,
  registry: Registry,
): (service: Service, port: number) => MeshRoutes | undefined {
  const owners = new Map<string, CompiledService>();
  const sorted = input.services.toSorted((a, b) => compareAge(a.source.manifest, b.source.manifest, input.firstSeen));
  for (const service of sorted.filter((s) => s.gateways.includes('mesh'))) {
    const { manifest, spec, namespace } = service.source;
    for (const host of spec.hosts) {
      const part = `mesh ${host}`;
      const target = serviceOfHost(host, namespace);
      const key = target === undefined ? host : serviceKey(target.namespace, target.name);
      const owner = owners.get(key);
      if (!registry.has(key)) {
        input.book.set(manifest, bad('Accepted', 'NoMatchingParent', `there is no service ${key}`), part);
      } else if (owner === undefined) {
        owners.set(key, service);
        input.book.set(manifest, good('Accepted'), part);
      } else if (owner !== service) {
        const message = `VirtualService ${owner.source.key} has ${key} already`;
        input.book.set(manifest, { type: 'Conflicted', status: 'True', reason: 'HostConflict', message }, part);
      }
    }
  }
  return ({ namespace, name }, port) => {
    const owner = owners.get(serviceKey(namespace, name));
    const routes = owner?.routes('mesh', port) ?? [];
    const streams = owner?.streams('mesh', port).tcp ?? [];
    const none = owner === undefined || routes.length + streams.length === 0;
    return none ? undefined : { manifest: owner.source.manifest, routes, streams };
  };
}
