// Listeners of one socket whose TLS ends here -> its hosts by server name, each with a table of its own.
import { isDeepStrictEqual } from 'node:util';
import { compareText, type FirstSeen } from '../manifest/age.ts';
import type { GatewayBinding } from '../manifest/gatewayapi/gateway.ts';
import type { BoundTls } from '../manifest/gatewayapi/tls.ts';
import { compareHosts, covers } from '../manifest/hostname.ts';
import { streamWithin, virtualHosts } from '../manifest/hosts.ts';
import type { IstioBinding } from '../manifest/istio/gateway.ts';
import { bad, type StatusBook } from '../manifest/status.ts';
import type { Route, RouteTable, TlsHost } from '../snapshot.ts';
import { noEdits } from '../snapshot.ts';

type Binding = GatewayBinding | IstioBinding;

/** The answer to a request for a host that another server name stands for: the client has to connect by that name, so
 * that what is asked of it there is asked (RFC 9110 15.5.20). */
const misdirected: Route = {
  name: 'misdirected',
  match: { headers: [], query: [] },
  request: noEdits,
  response: noEdits,
  action: { kind: 'reply', status: 421, body: 'connect by the name of this host' },
};

const hostsOf = (binding: Binding): readonly string[] => ('hostname' in binding ? [binding.hostname] : binding.hosts);

type Secured = readonly [TlsHost, RouteTable];
type Owners = ReadonlyMap<string, { readonly tls: BoundTls; readonly list: readonly Binding[] }>;

export interface TerminateInput {
  readonly socket: string;
  readonly protocol: 'HTTPS' | 'TCPS';
  readonly gateways: readonly GatewayBinding[];
  readonly istio: readonly IstioBinding[];
  readonly book: StatusBook;
  readonly firstSeen?: FirstSeen | undefined;
}

/** The hosts of a socket with their tables. Of two that have one name the first counts, unless they say the same. */
export function* terminate(input: TerminateInput): Generator<undefined, readonly Secured[], undefined> {
  const owners = ownersOf([...input.gateways, ...input.istio], input.book);
  return input.protocol === 'TCPS' ? streamHosts(owners, input) : yield* httpHosts(owners, input);
}

const sorted = (names: Iterable<string>): readonly string[] =>
  [...new Set(names)].toSorted((a, b) => compareHosts(a, b) || compareText(a, b));

function* httpHosts(
  owners: Owners,
  { socket, gateways, istio, book, firstSeen }: TerminateInput,
): Generator<undefined, readonly Secured[], undefined> {
  const names = sorted(owners.keys());
  const ownerOf = (domain: string) => names.find((name) => covers(name, domain));
  const secured: Secured[] = [];
  for (const name of names) {
    const { tls, list } = owners.get(name)!;
    const all = yield* virtualHosts(
      gateways.filter((b) => list.includes(b)),
      istio.filter((b) => list.includes(b)).flatMap((b) => b.ordered.filter((o) => covers(name, o.host))),
      book,
      firstSeen,
    );
    const own = all.filter((host) => ownerOf(host.name) === name);
    const others = names.filter((other) => other !== name);
    const hosts = [...own, ...others.map((other) => ({ name: other, domains: [other], routes: [misdirected] }))];
    const routes = `${socket} ${name}`;
    secured.push([
      { host: name, routes, ...tls },
      { name: routes, hosts },
    ]);
  }
  return secured;
}

/** The names of TLSRoutes are hosts too, with the TLS of the listener that owns them: the most specific one. */
function streamHosts(owners: Owners, { socket, gateways, istio, book, firstSeen }: TerminateInput): readonly Secured[] {
  const listeners = sorted(owners.keys());
  const names = sorted([...listeners, ...gateways.flatMap((b) => b.streams.flatMap(({ hosts }) => hosts))]);
  return names.flatMap((name) => {
    const owner = owners.get(listeners.find((each) => covers(each, name)) ?? '');
    if (owner === undefined) return [];
    const mine = gateways.filter((b) => owner.list.includes(b));
    const stream = streamWithin(name, mine, book, firstSeen);
    const others = istio.filter((b) => owner.list.includes(b)).flatMap((b) => b.streams);
    const routes = `${socket} ${name}`;
    const table = { name: routes, hosts: [], streams: [...(stream === undefined ? [] : [stream]), ...others] };
    return [[{ host: name, routes, ...owner.tls }, table] as const];
  });
}

function ownersOf(bindings: readonly Binding[], book: StatusBook): Owners {
  const owners = new Map<string, { readonly tls: BoundTls; readonly list: Binding[] }>();
  for (const binding of bindings) {
    const { tls, manifest, part } = binding;
    if (tls === undefined) continue;
    for (const host of hostsOf(binding)) {
      const owner = owners.get(host);
      if (owner === undefined) owners.set(host, { tls, list: [binding] });
      else if (isDeepStrictEqual(owner.tls, tls)) owner.list.push(binding);
      else {
        const message = `another listener has other TLS for ${host} on this socket`;
        book.set(manifest, { type: 'Conflicted', status: 'True', reason: 'HostnameConflict', message }, part);
        book.set(manifest, bad('Programmed', 'Invalid', message), part);
      }
    }
  }
  return owners;
}
