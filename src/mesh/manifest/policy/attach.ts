// What policies say of listeners and of services. GEP-713: of two that say the same thing differently the more specific
// one counts, then the older; the other has a status.
import type { Manifest } from '../../../config/manifest.ts';
import { type Registry, serviceKey } from '../../registry/model.ts';
import { certificateDetails } from '../../snapshot.ts';
import type { Cluster, Listener, ListenerLimits } from '../../snapshot.ts';
import { compareAge, type FirstSeen } from '../age.ts';
import type { Typed } from '../read.ts';
import { bad, good, type StatusBook } from '../status.ts';
import type { BackendPolicySpec, ListenerPolicySpec } from './schema.ts';

/** A listener that a policy can name. */
export interface Target {
  readonly manifest: Manifest;
  readonly part: string;
}

export type ListenerSettings = Pick<Listener, 'proxyFrom' | 'maxTunnelMs' | 'limits' | 'forwardCertificate'>;

/** Gives what policies say of a socket, by the listeners that share it: what is said of one binds all of them. */
export type SettingsOf = (here: readonly Target[]) => ListenerSettings;

interface Attached {
  readonly policy: Typed<ListenerPolicySpec>;
  readonly ref: ListenerPolicySpec['targetRefs'][number];
}

/** Attaches ListenerPolicies to those listeners; statuses go into the book. */
export function listenerSettings(
  policies: readonly Typed<ListenerPolicySpec>[],
  all: readonly Target[],
  book: StatusBook,
  firstSeen?: FirstSeen,
): SettingsOf {
  const attached = policies
    .flatMap((policy) => policy.spec.targetRefs.map((ref): Attached => ({ policy, ref })))
    .filter((each) => accept(each, all, book))
    .toSorted(
      (a, b) =>
        Number(b.ref.sectionName !== undefined) - Number(a.ref.sectionName !== undefined) ||
        compareAge(a.policy.manifest, b.policy.manifest, firstSeen),
    );
  return (here) => {
    const settings = new Map<string, unknown>();
    const limits = new Map<string, unknown>();
    for (const each of attached.filter((a) => here.some((target) => names(a, target)))) {
      const { manifest, spec } = each.policy;
      const own = settle(settings, {
        proxyFrom: spec.proxyProtocol?.trustedSources,
        maxTunnelMs: spec.timeout.maxTunnelDuration,
        forwardCertificate: certificateOf(spec),
      });
      if (settle(limits, limitsOf(spec)) && own) continue;
      const message = 'another ListenerPolicy, more specific or older, says otherwise of the same socket';
      book.set(manifest, { type: 'Conflicted', status: 'True', reason: 'Conflicted', message }, partOf(each));
    }
    if (limits.size > 0) settings.set('limits', Object.fromEntries(limits));
    return Object.fromEntries(settings);
  };
}

function certificateOf({ headers }: ListenerPolicySpec): Listener['forwardCertificate'] {
  const { mode, certDetailsToAdd = certificateDetails } = headers?.xForwardedClientCert ?? {};
  return mode === undefined ? undefined : mode === 'Sanitize' ? 'none' : certDetailsToAdd;
}

function limitsOf({ connection, requestHead }: ListenerPolicySpec): Record<keyof ListenerLimits, number | undefined> {
  return {
    connections: connection?.connectionLimit.value,
    connectionsPerClient: connection?.connectionLimit.valuePerClient,
    requestsPerConnection: connection?.connectionLimit.maxRequestsPerConnection,
    headFields: requestHead?.maxFields,
    headBytes: requestHead?.maxBytes,
    targetBytes: requestHead?.maxTargetBytes,
  };
}

/** Adds what is not said yet. False: of something else was said. */
function settle(said: Map<string, unknown>, more: Readonly<Record<string, unknown>>): boolean {
  const fresh = Object.entries(more).filter(([, value]) => value !== undefined);
  const agrees = !fresh.some(([name, value]) => differs(said.get(name), value));
  for (const [name, value] of fresh) if (!said.has(name)) said.set(name, value);
  return agrees;
}

function differs(before: unknown, now: unknown): boolean {
  return before !== undefined && now !== undefined && JSON.stringify(before) !== JSON.stringify(now);
}

function partOf({ policy, ref }: Attached): string {
  return `Gateway ${policy.namespace}/${ref.name}${ref.sectionName === undefined ? '' : `/${ref.sectionName}`}`;
}

function names({ policy, ref }: Attached, { manifest, part }: Target): boolean {
  return (
    manifest.apiVersion.startsWith(`${ref.group}/`) &&
    manifest.metadata.namespace === policy.namespace &&
    manifest.metadata.name === ref.name &&
    (ref.sectionName === undefined || ref.sectionName === part)
  );
}

function accept(each: Attached, all: readonly Target[], book: StatusBook): boolean {
  const found = all.some((target) => names(each, target));
  const none = bad('Accepted', 'TargetNotFound', 'there is no such listener to serve');
  book.set(each.policy.manifest, found ? good('Accepted') : none, partOf(each));
  return found;
}

/** What BackendPolicies say of services, by "namespace/name"; statuses go into the book. */
export function proxyVersions(
  policies: readonly Typed<BackendPolicySpec>[],
  registry: Registry,
  book: StatusBook,
  firstSeen?: FirstSeen,
): ReadonlyMap<string, NonNullable<Cluster['proxyProtocol']>> {
  const versions = new Map<string, 1 | 2>();
  const sorted = policies.toSorted((a, b) => compareAge(a.manifest, b.manifest, firstSeen));
  for (const { manifest, namespace, spec } of sorted) {
    for (const { name } of spec.targetRefs) {
      const key = serviceKey(namespace, name);
      const none = bad('Accepted', 'TargetNotFound', `there is no service ${key}`);
      book.set(manifest, registry.has(key) ? good('Accepted') : none, `Service ${key}`);
      const version = spec.proxyProtocol === undefined ? undefined : spec.proxyProtocol.version === 'V1' ? 1 : 2;
      if (differs(versions.get(key), version)) {
        const message = `an older BackendPolicy says otherwise of ${key}`;
        book.set(manifest, { type: 'Conflicted', status: 'True', reason: 'Conflicted', message }, `Service ${key}`);
      } else if (version !== undefined) versions.set(key, version);
    }
  }
  return versions;
}
