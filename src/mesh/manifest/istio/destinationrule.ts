import type { Cluster } from '../../snapshot.ts';
import { type Registry, serviceKey } from '../../registry/model.ts';
import { compareAge, type FirstSeen } from '../age.ts';
import type { TrafficRules } from '../backends.ts';
import type { Typed } from '../read.ts';
import { bad, good, type StatusBook } from '../status.ts';
import type { Secrets } from '../../secret/secrets.ts';
import { upstreamTls } from './tls.ts';
import { serviceOfHost } from './host.ts';
import type { DestinationRuleSpec, TrafficPolicy } from './schema.ts';

const policies: Readonly<Record<string, Cluster['policy']>> = {
  ROUND_ROBIN: 'round-robin',
  LEAST_CONN: 'least-request',
  LEAST_REQUEST: 'least-request',
  RANDOM: 'random',
};

/** Traffic rules by "namespace/name". Several rules of a host merge: subsets add up, of two the older one counts. */
export function trafficRules(
  rules: readonly Typed<DestinationRuleSpec>[],
  registry: Registry,
  secrets: Secrets,
  book: StatusBook,
  firstSeen?: FirstSeen,
): ReadonlyMap<string, TrafficRules> {
  const found = new Map<
    string,
    { policy?: Cluster['policy']; tls?: TrafficRules['tls']; subsets: Map<string, Subset> }
  >();
  for (const { manifest, namespace, spec } of rules.toSorted((a, b) => compareAge(a.manifest, b.manifest, firstSeen))) {
    const target = serviceOfHost(spec.host, namespace);
    const key = target === undefined ? spec.host : serviceKey(target.namespace, target.name);
    book.set(manifest, good('Accepted'));
    const known = registry.has(key);
    book.set(
      manifest,
      known ? good('ResolvedRefs') : bad('ResolvedRefs', 'BackendNotFound', `there is no service ${key}`),
    );
    const entry = found.get(key) ?? { subsets: new Map<string, Subset>() };
    found.set(key, entry);
    const policy = policyOf(spec.trafficPolicy);
    if (policy !== undefined) entry.policy ??= policy;
    const tls = upstreamTls(spec.trafficPolicy?.tls, spec.host, namespace, secrets);
    if (typeof tls === 'string') book.set(manifest, bad('ResolvedRefs', 'InvalidCertificateRef', tls));
    if (tls !== undefined) entry.tls ??= tls;
    for (const { name, labels, trafficPolicy } of spec.subsets) {
      const own = policyOf(trafficPolicy);
      const ownTls = upstreamTls(trafficPolicy?.tls, spec.host, namespace, secrets);
      if (entry.subsets.has(name)) {
        const message = `an older DestinationRule of ${key} has a subset "${name}"`;
        book.set(manifest, { type: 'Conflicted', status: 'True', reason: 'SubsetConflict', message });
      } else
        entry.subsets.set(name, { labels, ...(own && { policy: own }), ...(ownTls !== undefined && { tls: ownTls }) });
    }
  }
  return found;
}

type Subset = TrafficRules['subsets'] extends ReadonlyMap<string, infer S> ? S : never;

function policyOf(policy: TrafficPolicy | undefined): Cluster['policy'] | undefined {
  return policies[policy?.loadBalancer?.simple ?? ''];
}
