import type { Problem } from '../../config/problem.ts';
import type { Look } from '../../engine/slice.ts';
import { type Registry, type Service, type ServicePort, serviceKey } from './model.ts';
import { declaredProtocol } from './protocol.ts';
import type { Services } from './schema.ts';

type Entry = Services[string];

/** The registry that the section says; its services are all in the namespace `default`. */
export function registryOf(services: Services): Registry {
  const sorted = Object.entries(services).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return new Map(sorted.map(([name, entry]) => [serviceKey('default', name), serviceOf(name, entry)]));
}

function serviceOf(name: string, entry: Entry): Service {
  const port = portOf(entry);
  return {
    namespace: 'default',
    name,
    ...(entry.address !== undefined && { address: entry.address }),
    ports: port === undefined ? [] : [portSaid(port, entry)],
    endpoints: Object.entries(entry.endpoints)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([endpoint, { guest, ...rest }]) => ({ name: endpoint, ...rest, ...(guest !== undefined && { guest }) })),
  };
}

/** HTTP2 and GRPC are HTTP whose endpoints want HTTP/2. */
function portSaid(port: number, entry: Entry): ServicePort {
  const { protocol = 'HTTP', 'app-protocol': appProtocol, 'port-name': portName } = entry;
  if (appProtocol !== undefined || portName !== undefined) {
    return { port, ...declaredProtocol(port, { appProtocol, portName }) };
  }
  if (protocol === 'HTTP2' || protocol === 'GRPC') return { port, protocol: 'HTTP', http2: true };
  return { port, protocol };
}

/** The port that clients use, or undefined where neither the entry nor its endpoints say one. */
function portOf(entry: Entry): number | undefined {
  if (entry.port !== undefined) return entry.port;
  const ports = new Set(Object.values(entry.endpoints).map((e) => e.port));
  return ports.size === 1 ? [...ports][0] : undefined;
}

/** Rules across services: each has a port, and no two have the same address and port. */
export function checkServices(services: Services, look: Look): readonly Problem[] {
  const taken = new Map<string, string>();
  return Object.entries(services).flatMap(([name, entry]) => {
    const port = portOf(entry);
    if (port === undefined) {
      const why = Object.keys(entry.endpoints).length === 0 ? 'it has no endpoints' : 'its endpoints have several';
      return [look.problem(['services', name], 'port is missing', `${why}, so the port can't be taken from them`)];
    }
    const twice = (['app-protocol', 'port-name'] as const).find((key) => entry[key] !== undefined);
    if (entry.protocol !== undefined && twice !== undefined) {
      return [
        look.problem(['services', name, 'protocol'], `${twice} says what is spoken too`, 'leave one of them out'),
      ];
    }
    if (entry.address === undefined) return [];
    const socket = `${entry.address} port ${port}`;
    const other = taken.get(socket);
    taken.set(socket, name);
    if (other === undefined) return [];
    return [look.problem(['services', name, 'address'], `${socket} is the address of service "${other}" already`)];
  });
}
