// TLS of Istio: certificates of a Gateway's server by credentialName, and what a DestinationRule says of upstreams.
import type { ClusterTls } from '../../snapshot.ts';
import type { Secrets } from '../../secret/secrets.ts';
import type { BoundTls } from '../gatewayapi/tls.ts';
import type { DestinationRuleSpec, IstioServer } from './schema.ts';

const minimum: Readonly<Record<string, BoundTls['minimum']>> = { TLSV1_3: 'TLSv1.3' };

/** What a server terminates TLS with, or why it can't. Credentials are Secrets of the Gateway's namespace; authorities
 * for MUTUAL stand in the same Secret or in NAME-cacert. */
export function serverTls(server: IstioServer, namespace: string, secrets: Secrets): BoundTls | string {
  const { mode, credentialName, credentialNames = [], minProtocolVersion } = server.tls ?? {};
  const wanted = credentialName === undefined ? credentialNames : [credentialName];
  const found = wanted.map((name) => secrets.find('Secret', namespace, name));
  const lack = found.findIndex((secret) => secret?.chain === undefined || secret.key === undefined);
  if (wanted.length === 0) return 'credentialName is missing';
  if (lack >= 0) return `there is no Secret ${namespace}/${wanted[lack]} with a certificate and its key`;
  const certificates = found.flatMap((secret) => secret?.name ?? []);
  const bound = { certificates, minimum: minimum[minProtocolVersion ?? ''] ?? ('TLSv1.2' as const) };
  if (mode === 'SIMPLE') return bound;
  const trust = trustOf(wanted[0] ?? '', namespace, secrets);
  if (trust === undefined) return `no ca.crt in Secret ${namespace}/${wanted[0]}, nor in ${wanted[0]}-cacert`;
  return { ...bound, client: { required: mode === 'MUTUAL', trust } };
}

function trustOf(name: string, namespace: string, secrets: Secrets): string | undefined {
  const all = [`${name}-cacert`, name].map((each) => secrets.find('Secret', namespace, each));
  return all.find((secret) => secret?.ca !== undefined)?.name;
}

export type UpstreamTls = NonNullable<NonNullable<DestinationRuleSpec['trafficPolicy']>['tls']>;

/** How a DestinationRule has its host spoken to: in the clear, over TLS, or why not at all. */
export function upstreamTls(
  tls: UpstreamTls | undefined,
  host: string,
  namespace: string,
  secrets: Secrets,
): ClusterTls | string | undefined {
  if (tls === undefined || tls.mode === 'DISABLE') return undefined;
  const { credentialName: name, sni, subjectAltNames } = tls;
  const serverName = sni ?? host;
  const names = subjectAltNames.length > 0 ? subjectAltNames : [serverName];
  const secret = name === undefined ? undefined : secrets.find('Secret', namespace, name);
  if (name !== undefined && secret === undefined) return `there is no Secret ${namespace}/${name}`;
  const trust = name === undefined ? undefined : trustOf(name, namespace, secrets);
  const common = { serverName, names, ...(trust !== undefined && { trust }) };
  if (tls.mode === 'SIMPLE') return common;
  if (secret?.chain === undefined || secret.key === undefined) {
    return `MUTUAL needs a Secret with a certificate and its key: credentialName ${name ?? 'is missing'}`;
  }
  return { ...common, certificate: secret.name };
}
