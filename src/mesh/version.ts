import { createHash } from 'node:crypto';
import type { ClusterKey, RouteTable, Snapshot, VirtualHost } from './snapshot.ts';

/** A short hash of plain data: the same content in the same order has the same version. */
export function versionOf(content: unknown): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16);
}

/** What is said of a host as a whole. */
export interface HostFacts {
  readonly version: string;
  /** What its routes forward to. */
  readonly clusters: readonly ClusterKey[];
}

const facts = new WeakMap<VirtualHost, HostFacts>();

/** Of a host, which never changes: looked at once. */
export function factsOf(host: VirtualHost): HostFacts {
  const known = facts.get(host);
  if (known !== undefined) return known;
  const forwards = host.routes.flatMap(({ action }) => (action.kind === 'forward' ? action.clusters : []));
  const fresh = { version: versionOf(host), clusters: [...new Set(forwards.map(({ cluster }) => cluster))] };
  facts.set(host, fresh);
  return fresh;
}

/** As `versionOf`, of a snapshot. */
export function snapshotVersion(content: Omit<Snapshot, 'scope' | 'version'>): string {
  const hostVersions = ({ hosts }: RouteTable): readonly string[] => hosts.map((host) => factsOf(host).version);
  const routes = content.routes.map((table) => ({ ...table, hosts: hostVersions(table) }));
  return versionOf({ ...content, routes });
}
