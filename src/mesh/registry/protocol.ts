// What a port of a service speaks, by what is declared of it: appProtocol, else the prefix of its name, as Istio and
// Kubernetes (GEP-1911) have it. What declares nothing that is known is found out by its first bytes.
import type { ServicePort } from './model.ts';

export type PortProtocol = Omit<ServicePort, 'port'>;

const http: PortProtocol = { protocol: 'HTTP' };
const http2: PortProtocol = { protocol: 'HTTP', http2: true };
const grpcWeb: PortProtocol = { protocol: 'HTTP', http2: true, grpcWeb: true };
const tcp: PortProtocol = { protocol: 'TCP' };
const tls: PortProtocol = { protocol: 'TCP', tls: true };

/** Istio's table. Protocols of databases are TCP there too, unless their filters are asked for. */
const prefixes: Readonly<Record<string, PortProtocol>> = {
  http,
  http2,
  grpc: http2,
  https: tls,
  tls,
  tcp,
  mongo: tcp,
  mysql: tcp,
  redis: tcp,
};

/** Names that only appProtocol has. */
const named: Readonly<Record<string, PortProtocol>> = {
  'kubernetes.io/h2c': http2,
  'kubernetes.io/ws': http,
  'kubernetes.io/wss': tls,
};

/** Ports whose servers speak first, so that a wait for the client's bytes would cost each connection time. */
const serverFirst: ReadonlySet<number> = new Set([25, 53, 3306, 27017]);

export interface Declared {
  readonly appProtocol?: string | undefined;
  /** "grpc-web", "http-admin". */
  readonly portName?: string | undefined;
}

/** What the port speaks. appProtocol goes before the name. */
export function declaredProtocol(port: number, { appProtocol, portName }: Declared): PortProtocol {
  const special = appProtocol === undefined ? undefined : named[appProtocol.toLowerCase()];
  const text = (appProtocol ?? portName ?? '').toLowerCase();
  if (text === 'grpc-web' || text.startsWith('grpc-web-')) return grpcWeb;
  const [prefix = ''] = text.split('-');
  const found = special ?? (Object.hasOwn(prefixes, prefix) ? prefixes[prefix] : undefined);
  return found ?? (serverFirst.has(port) ? tcp : { protocol: 'auto' });
}
