// `tcp` and `tls` of a VirtualService: connections that go on as they come.
import type { StreamCluster, StreamRoute } from '../../snapshot.ts';
import type { Backends } from '../backends.ts';
import { covers, intersect } from '../hostname.ts';
import type { Typed } from '../read.ts';
import { bad, type Condition } from '../status.ts';
import { serviceOfHost } from './host.ts';
import type { StreamDestination, StreamMatch, VirtualServiceSpec } from './schema.ts';

/** What a VirtualService does with the connections of one gateway and port, in its order. */
export interface IstioStreams {
  readonly tcp: readonly StreamRoute[];
  readonly tls: readonly StreamRoute[];
}

export type StreamsOn = (gateway: string, port: number) => IstioStreams;

/** Looks up the destinations; `absolute` gives the full name of a gateway. */
export function compileStreams(
  { key, namespace, spec }: Typed<VirtualServiceSpec>,
  backends: Backends,
  absolute: (gateway: string) => string,
  troubles: Condition[],
): StreamsOn {
  const clusters = (route: readonly StreamDestination[]) =>
    route.map((each): StreamCluster => weighted(each, route.length, namespace, backends, troubles));
  const tcp = spec.tcp.map(({ route }) => clusters(route));
  const tls = spec.tls.map(({ route }) => clusters(route));
  return (gateway, port) => {
    const fits = (match: StreamMatch): boolean =>
      (match.port === undefined || match.port === port) &&
      (match.gateways === undefined || match.gateways.map(absolute).includes(gateway));
    return {
      tcp: spec.tcp.flatMap(({ match }, i): StreamRoute[] =>
        match.length === 0 || match.some(fits)
          ? [{ name: `virtualservice/${key}/tcp/${i}`, clusters: tcp[i] ?? [] }]
          : [],
      ),
      tls: spec.tls.flatMap(({ match }, i): StreamRoute[] => {
        const sni = [...new Set(match.filter(fits).flatMap((each) => each.sniHosts))];
        return sni.length === 0 ? [] : [{ name: `virtualservice/${key}/tls/${i}`, sni, clusters: tls[i] ?? [] }];
      }),
    };
  };
}

function weighted(
  { destination, weight }: StreamDestination,
  count: number,
  namespace: string,
  backends: Backends,
  troubles: Condition[],
): StreamCluster {
  const found = backends.find({
    ...(serviceOfHost(destination.host, namespace) ?? { namespace, name: destination.host }),
    ...(destination.port && { port: destination.port.number }),
    ...(destination.subset !== undefined && { subset: destination.subset }),
  });
  if (found.missing !== undefined) troubles.push(bad('ResolvedRefs', 'BackendNotFound', found.missing));
  return { cluster: found.key, weight: count === 1 ? 1 : (weight ?? 0) };
}

/** The streams with their names as far as `hosts` has them. */
export function within(streams: readonly StreamRoute[], hosts: readonly string[]): readonly StreamRoute[] {
  return streams.flatMap((stream) => {
    const both = (stream.sni ?? []).flatMap((name) => hosts.flatMap((host) => intersect(host, name) ?? []));
    const sni = [...new Set(both)].filter((name) => hosts.some((host) => covers(host, name)));
    return sni.length === 0 ? [] : [{ ...stream, sni }];
  });
}
