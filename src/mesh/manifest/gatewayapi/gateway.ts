// Gateways and what is attached to their listeners.
import { parseIp, printIp } from '../../../lib/ip.ts';
import type { Manifest } from '../../../config/manifest.ts';
import { covers, intersect } from '../hostname.ts';
import type { Typed } from '../read.ts';
import { bad, type Condition, good, type StatusBook } from '../status.ts';
import type { Protocol } from '../../snapshot.ts';
import type { Secrets } from '../../secret/secrets.ts';
import type { Grants } from './grant.ts';
import type { CompiledRoute } from './httproute.ts';
import { type BoundTls, listenerTls } from './tls.ts';
import type { GatewayClassSpec, GatewayListener, GatewaySpec, ParentRef } from './schema.ts';
import type { CompiledStream } from './stream.ts';

/** GatewayClass that needs no manifest. */
export const builtInClass = 'midplane';
/** What a GatewayClass manifest names this implementation by. */
export const controllerName = 'midplane.dev/gateway-controller';

/** A route on a listener, and the hosts that it serves there. */
interface Attached<R> {
  readonly route: R;
  readonly hosts: readonly string[];
}

/** One listener of a Gateway, ready to serve. */
export interface GatewayBinding {
  readonly manifest: Manifest;
  /** "namespace/gateway/listener" */
  readonly key: string;
  readonly part: string;
  readonly protocol: Protocol;
  /** Where this switch listens for it; empty where it has no address. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** "*" where the listener names none. */
  readonly hostname: string;
  readonly attached: readonly Attached<CompiledRoute>[];
  readonly streams: readonly Attached<CompiledStream>[];
  /** With HTTPS and TCPS. */
  readonly tls?: BoundTls;
}

interface Open {
  readonly gateway: Typed<GatewaySpec>;
  readonly listener: GatewayListener;
  readonly binding: GatewayBinding & { attached: Attached<CompiledRoute>[]; streams: Attached<CompiledStream>[] };
}

type AnyRoute = CompiledRoute | CompiledStream;

/** The kinds of routes for each protocol that can be served. */
const kindsOf: Readonly<Record<Protocol, readonly AnyRoute['kind'][]>> = {
  HTTP: ['HTTPRoute', 'GRPCRoute'],
  HTTPS: ['HTTPRoute', 'GRPCRoute'],
  TCP: ['TCPRoute'],
  TCPS: ['TCPRoute', 'TLSRoute'],
  TLS: ['TLSRoute'],
};

export interface GatewayInput {
  readonly classes: readonly Typed<GatewayClassSpec>[];
  readonly gateways: readonly Typed<GatewaySpec>[];
  readonly routes: readonly AnyRoute[];
  /** For Gateways that name no address. */
  readonly gatewayAddress: string | undefined;
  readonly secrets: Secrets;
  readonly grants: Grants;
  readonly book: StatusBook;
}

/** The listeners of all Gateways of our class, with the routes that are attached to them, route by route; statuses go
 * into the book. */
export function* bindGateways(input: GatewayInput): Generator<undefined, readonly GatewayBinding[], undefined> {
  const { classes, gateways, routes, book } = input;
  const ours = new Set([builtInClass]);
  for (const { manifest, spec } of classes) {
    const own = spec.controllerName === controllerName;
    if (own) ours.add(manifest.metadata.name);
    book.set(
      manifest,
      own
        ? good('Accepted')
        : { type: 'Accepted', status: 'Unknown', reason: 'Pending', message: `left to ${spec.controllerName}` },
    );
  }
  const open = gateways.flatMap((gateway) => openGateway(gateway, ours, input));
  const known = new Set(gateways.map((gateway) => gateway.key));
  for (const route of routes) {
    for (const ref of route.source.spec.parentRefs.filter(isGatewayRef)) attach(route, ref, open, known, book);
    yield;
  }
  return open.map((each) => each.binding);
}

function isGatewayRef(ref: ParentRef): boolean {
  return ref.group === 'gateway.networking.k8s.io' && ref.kind === 'Gateway';
}

function openGateway(gateway: Typed<GatewaySpec>, ours: ReadonlySet<string>, input: GatewayInput): Open[] {
  const { book } = input;
  const { manifest, spec } = gateway;
  if (!ours.has(spec.gatewayClassName)) {
    const message = `GatewayClass ${spec.gatewayClassName} is not of this switch`;
    book.set(manifest, { type: 'Accepted', status: 'Unknown', reason: 'Pending', message });
    return [];
  }
  const addresses = addressesOf(gateway, input);
  if (!Array.isArray(addresses)) {
    book.set(manifest, addresses);
    book.set(manifest, bad('Programmed', 'Invalid', addresses.message));
    return [];
  }
  for (const address of addresses) book.address(manifest, address);
  const noAddress = bad('Programmed', 'AddressNotAssigned', 'neither the Gateway nor gateway.address names one');
  const open = spec.listeners.flatMap((listener): Open[] => {
    const refused = refusalOf(listener, spec.listeners);
    const ends = protocolOf(listener) === 'HTTPS' || protocolOf(listener) === 'TCPS';
    const secured = ends ? listenerTls(gateway, listener, input.secrets, input.grants) : undefined;
    book.set(manifest, refsOf(listener), listener.name);
    for (const trouble of secured?.troubles ?? []) book.set(manifest, trouble, listener.name);
    book.set(manifest, refused ?? good('Accepted'), listener.name);
    if (refused?.type === 'Conflicted')
      book.set(manifest, bad('Accepted', 'Conflicted', refused.message), listener.name);
    const why = refused?.message ?? (secured !== undefined && !secured.tls ? secured.troubles[0]?.message : undefined);
    if (why !== undefined) {
      book.set(manifest, bad('Programmed', 'Invalid', why), listener.name);
      return [];
    }
    book.set(manifest, addresses.length === 0 ? noAddress : good('Programmed'), listener.name);
    const { name: part, port, hostname = '*' } = listener;
    const protocol = protocolOf(listener)!;
    const key = `${gateway.key}/${part}`;
    const binding = {
      manifest,
      key,
      part,
      protocol,
      addresses,
      port,
      hostname,
      attached: [],
      streams: [],
      ...(secured?.tls && { tls: secured.tls }),
    };
    return [{ gateway, listener, binding }];
  });
  const invalid = {
    ...good('Accepted'),
    reason: 'ListenersNotValid',
    message: 'not all of its listeners can be served',
  };
  book.set(manifest, open.length === spec.listeners.length ? good('Accepted') : invalid);
  if (open.length === 0) book.set(manifest, bad('Programmed', 'Invalid', 'none of its listeners can be served'));
  else book.set(manifest, addresses.length === 0 ? noAddress : good('Programmed'));
  return open;
}

function addressesOf(gateway: Typed<GatewaySpec>, input: GatewayInput): string[] | Condition {
  const wanted = gateway.spec.addresses;
  if (wanted.length === 0) return input.gatewayAddress === undefined ? [] : [input.gatewayAddress];
  const ips = wanted.map(({ type, value }) => (type === 'IPAddress' ? parseIp(value) : undefined));
  const wrong = ips.indexOf(undefined);
  if (wrong < 0) return [...new Set(ips.flatMap((ip) => (ip === undefined ? [] : [printIp(ip)])))];
  const { type, value } = wanted[wrong] ?? { type: '', value: '' };
  return bad('Accepted', 'UnsupportedAddress', `an address is an IPAddress here, not ${type} "${value}"`);
}

/** Why a listener can't be served; undefined where it can. */
function refusalOf(listener: GatewayListener, all: readonly GatewayListener[]): Condition | undefined {
  const { name, port, protocol, hostname } = listener;
  if (protocolOf(listener) === undefined) {
    const message = `protocol ${protocol} is not supported: HTTP, HTTPS, TCP and TLS are`;
    return bad('Accepted', 'UnsupportedProtocol', message);
  }
  const same = all.find(
    (o) => o.name !== name && o.port === port && o.hostname === hostname && o.protocol === protocol,
  );
  if (same !== undefined) {
    const message = `listener ${same.name} has the same port and host name`;
    return { type: 'Conflicted', status: 'True', reason: 'HostnameConflict', message };
  }
  const other = all.find((o) => o.port === port && protocolOf(o) !== protocolOf(listener));
  if (other === undefined) return undefined;
  const mode = other.protocol === protocol ? `, and its tls.mode is ${other.tls?.mode ?? 'Terminate'},` : '';
  const message = `listener ${other.name} speaks ${other.protocol}${mode} on the same port`;
  return { type: 'Conflicted', status: 'True', reason: 'ProtocolConflict', message };
}

/** What is served by the listener; undefined where it can't be. */
function protocolOf({ protocol, tls }: GatewayListener): Protocol | undefined {
  if (protocol === 'HTTP' || protocol === 'HTTPS' || protocol === 'TCP') return protocol;
  if (protocol !== 'TLS') return undefined;
  return tls?.mode === 'Passthrough' ? 'TLS' : 'TCPS';
}

function refsOf(listener: GatewayListener): Condition {
  const served = kindsOf[protocolOf(listener) ?? 'HTTP'];
  const strange = listener.allowedRoutes.kinds.find((kind) => !served.some((each) => isKind(each, kind)));
  if (strange === undefined) return good('ResolvedRefs');
  return bad('ResolvedRefs', 'InvalidRouteKinds', `routes of kind ${strange.kind} can't be served`);
}

function isKind(wanted: AnyRoute['kind'], { group, kind }: { readonly group: string; readonly kind: string }): boolean {
  return group === 'gateway.networking.k8s.io' && kind === wanted;
}

function attach(
  route: AnyRoute,
  ref: ParentRef,
  open: readonly Open[],
  known: ReadonlySet<string>,
  book: StatusBook,
): void {
  const { source } = route;
  const key = `${ref.namespace ?? source.namespace}/${ref.name}`;
  const section = ref.sectionName === undefined ? '' : `/${ref.sectionName}`;
  const part = `Gateway ${key}${section}${ref.port === undefined ? '' : `:${ref.port}`}`;
  const refuse = (reason: string, message: string): void =>
    book.set(source.manifest, bad('Accepted', reason, message), part);
  book.set(source.manifest, route.resolvedRefs, part);
  const named = open.filter(
    ({ gateway, listener }) =>
      gateway.key === key &&
      (ref.sectionName === undefined || listener.name === ref.sectionName) &&
      (ref.port === undefined || listener.port === ref.port),
  );
  if (named.length === 0) {
    const gone = known.has(key) ? `Gateway ${key} has no such listener to serve` : `there is no Gateway ${key}`;
    return refuse('NoMatchingParent', gone);
  }
  const allowed = named.filter((each) => allows(each, route.kind, source.namespace));
  if (allowed.length === 0) {
    const spoken = named.some((each) => kindsOf[each.binding.protocol].includes(route.kind));
    const why = spoken ? 'allowedRoutes of the listeners leave it out' : `the listeners take no ${route.kind}`;
    return refuse('NotAllowedByListeners', why);
  }
  const matched = allowed.filter((each) => {
    const hosts = hostsOf(source.spec.hostnames ?? [], each.binding.hostname);
    if (hosts.length === 0) return false;
    const { attached, streams } = each.binding;
    // By another parentRef it may be there already: routes come one after the other, so it is the last one then.
    if (!('routes' in route)) {
      if (streams.at(-1)?.route !== route) streams.push({ route, hosts });
    } else if (attached.at(-1)?.route !== route) attached.push({ route, hosts });
    book.attach(each.gateway.manifest, each.listener.name, source.key);
    return true;
  });
  if (matched.length === 0) {
    return refuse('NoMatchingListenerHostname', 'none of its hostnames is one of the listeners');
  }
  book.set(source.manifest, good('Accepted'), part);
}

function allows({ gateway, listener, binding }: Open, kind: AnyRoute['kind'], namespace: string): boolean {
  const { namespaces, kinds } = listener.allowedRoutes;
  if (!kindsOf[binding.protocol].includes(kind)) return false;
  if (kinds.length > 0 && !kinds.some((each) => isKind(kind, each))) return false;
  if (namespaces.from === 'All') return true;
  if (namespaces.from === 'Same') return gateway.namespace === namespace;
  if (namespaces.from === 'None' || namespaces.selector === undefined) return false;
  // Namespaces are no objects here; the label that Kubernetes gives each is what they can be chosen by.
  const labels: Readonly<Record<string, string>> = { 'kubernetes.io/metadata.name': namespace };
  const { matchLabels, matchExpressions } = namespaces.selector;
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values }) => {
      const value = labels[key];
      if (operator === 'Exists') return value !== undefined;
      if (operator === 'DoesNotExist') return value === undefined;
      const among = value !== undefined && values.includes(value);
      return operator === 'In' ? among : !among;
    })
  );
}

/** The hosts that a route serves on a listener; empty where it serves none there. */
function hostsOf(hostnames: readonly string[], listener: string): readonly string[] {
  if (hostnames.length === 0) return [listener];
  const both = hostnames.flatMap((host) => intersect(listener, host) ?? []);
  return [...new Set(both)].filter((host) => covers(listener, host));
}
