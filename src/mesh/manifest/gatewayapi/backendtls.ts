// BackendTLSPolicy: how the router speaks to a Service over TLS, and whom it takes for it.
import { serviceKey } from '../../registry/model.ts';
import type { Secrets } from '../../secret/secrets.ts';
import type { ClusterTls } from '../../snapshot.ts';
import { compareAge, type FirstSeen } from '../age.ts';
import type { TrafficRules } from '../backends.ts';
import type { Rules, Typed } from '../read.ts';
import { bad, good, type StatusBook } from '../status.ts';
import type { BackendTlsPolicySpec } from './schema.ts';

/** Rules of a BackendTLSPolicy. */
export const backendTlsPolicyRules: Rules<BackendTlsPolicySpec> = ({ validation }, complain) => {
  const system = validation.wellKnownCACertificates !== undefined;
  if (system === validation.caCertificateRefs.length > 0) {
    complain(['validation'], 'has one of caCertificateRefs and wellKnownCACertificates');
  }
  for (const [i, { type, hostname, uri }] of validation.subjectAltNames.entries()) {
    const missing = type === 'URI' ? uri === undefined : hostname === undefined;
    if (missing) complain(['validation', 'subjectAltNames', i], `${type === 'URI' ? 'uri' : 'hostname'} is missing`);
  }
};

/** The traffic rules with what policies say of TLS; a policy goes before a DestinationRule, the older before others. */
export function withBackendTls(
  rules: ReadonlyMap<string, TrafficRules>,
  policies: readonly Typed<BackendTlsPolicySpec>[],
  secrets: Secrets,
  book: StatusBook,
  firstSeen?: FirstSeen,
): ReadonlyMap<string, TrafficRules> {
  const all = new Map(rules);
  const owners = new Map<string, string>();
  for (const policy of policies.toSorted((a, b) => compareAge(a.manifest, b.manifest, firstSeen))) {
    const tls = tlsOf(policy, secrets);
    const trouble =
      typeof tls === 'string' ? bad('ResolvedRefs', 'InvalidCACertificateRef', tls) : good('ResolvedRefs');
    book.set(policy.manifest, good('Accepted'));
    book.set(policy.manifest, trouble);
    for (const { name } of policy.spec.targetRefs) {
      const key = serviceKey(policy.namespace, name);
      const owner = owners.get(key);
      if (owner !== undefined) {
        const message = `BackendTLSPolicy ${owner} is older and has Service ${key}`;
        book.set(policy.manifest, { type: 'Conflicted', status: 'True', reason: 'TargetConflict', message });
        continue;
      }
      owners.set(key, policy.key);
      const { policy: balance, subsets = new Map() } = all.get(key) ?? {};
      const plain = [...subsets].map(([subset, { tls: _, ...rest }]) => [subset, rest] as const);
      all.set(key, { tls, subsets: new Map(plain), ...(balance !== undefined && { policy: balance }) });
    }
  }
  return all;
}

/** Text: what is missing. Then nobody is spoken to. */
function tlsOf({ namespace, spec }: Typed<BackendTlsPolicySpec>, secrets: Secrets): ClusterTls | string {
  const { hostname, subjectAltNames, caCertificateRefs } = spec.validation;
  const names = subjectAltNames.flatMap(({ type, hostname: host, uri }) => (type === 'URI' ? uri : host) ?? []);
  const common = { serverName: hostname, names: names.length > 0 ? names : [hostname] };
  if (caCertificateRefs.length === 0) return common;
  const found = caCertificateRefs.map(({ group, kind, name }) =>
    group === '' && (kind === 'ConfigMap' || kind === 'Secret') ? secrets.find(kind, namespace, name) : undefined,
  );
  const lack = found.findIndex((secret) => secret?.ca === undefined);
  const { kind = '', name = '' } = caCertificateRefs[lack] ?? {};
  if (lack >= 0) return `there is no ${kind} ${namespace}/${name} with ca.crt`;
  return { ...common, trust: secrets.together(found.flatMap((secret) => secret ?? [])).name };
}
