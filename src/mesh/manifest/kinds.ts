// The kinds of manifests that are understood. A new kind is a row here and a module that compiles it.
import { atOnce } from '../../lib/work/turns.ts';
import { nearest } from '../../lib/compare/nearest.ts';
import { type Problem, problemAt } from '../../config/problem.ts';
import type { Manifest } from '../../config/manifest.ts';
import { backendTlsPolicyRules } from './gatewayapi/backendtls.ts';
import { gatewayRules, grpcRouteRules, httpRouteRules, streamRouteRules } from './gatewayapi/rules.ts';
import {
  backendTlsPolicySchema,
  gatewayClassSchema,
  gatewaySchema,
  grpcRouteSchema,
  httpRouteSchema,
  referenceGrantSchema,
  tcpRouteSchema,
  tlsRouteSchema,
} from './gatewayapi/schema.ts';
import { destinationRuleRules, virtualServiceRules } from './istio/rules.ts';
import { destinationRuleSchema, istioGatewaySchema, virtualServiceSchema } from './istio/schema.ts';
import { configMapRules, secretRules } from '../secret/rules.ts';
import { configMapSchema, secretSchema } from '../secret/schema.ts';
import { backendPolicySchema, listenerPolicySchema, routePolicySchema } from './policy/schema.ts';
import { type Kind, readManifest, type Typed } from './read.ts';

const gatewayApi = 'gateway.networking.k8s.io';
const own = { group: 'midplane.dev', versions: ['v1alpha1'] } as const;
const istio = { group: 'networking.istio.io', versions: ['v1', 'v1beta1', 'v1alpha3'] } as const;

const core = { group: '', versions: ['v1'], whole: true } as const;

export const kinds = {
  gatewayClass: { group: gatewayApi, kind: 'GatewayClass', versions: ['v1', 'v1beta1'], schema: gatewayClassSchema },
  gateway: {
    group: gatewayApi,
    kind: 'Gateway',
    versions: ['v1', 'v1beta1'],
    schema: gatewaySchema,
    rules: gatewayRules,
  },
  httpRoute: {
    group: gatewayApi,
    kind: 'HTTPRoute',
    versions: ['v1', 'v1beta1'],
    schema: httpRouteSchema,
    rules: httpRouteRules,
  },
  grpcRoute: {
    group: gatewayApi,
    kind: 'GRPCRoute',
    versions: ['v1', 'v1alpha2'],
    schema: grpcRouteSchema,
    rules: grpcRouteRules,
  },
  tcpRoute: {
    group: gatewayApi,
    kind: 'TCPRoute',
    versions: ['v1alpha2'],
    schema: tcpRouteSchema,
    rules: streamRouteRules,
  },
  tlsRoute: {
    group: gatewayApi,
    kind: 'TLSRoute',
    versions: ['v1', 'v1alpha3', 'v1alpha2'],
    schema: tlsRouteSchema,
    rules: streamRouteRules,
  },
  referenceGrant: {
    group: gatewayApi,
    kind: 'ReferenceGrant',
    versions: ['v1', 'v1beta1'],
    schema: referenceGrantSchema,
  },
  backendTlsPolicy: {
    group: gatewayApi,
    kind: 'BackendTLSPolicy',
    versions: ['v1', 'v1alpha3'],
    schema: backendTlsPolicySchema,
    rules: backendTlsPolicyRules,
  },
  secret: { ...core, kind: 'Secret', schema: secretSchema, rules: secretRules },
  configMap: { ...core, kind: 'ConfigMap', schema: configMapSchema, rules: configMapRules },
  istioGateway: { ...istio, kind: 'Gateway', schema: istioGatewaySchema },
  virtualService: { ...istio, kind: 'VirtualService', schema: virtualServiceSchema, rules: virtualServiceRules },
  destinationRule: { ...istio, kind: 'DestinationRule', schema: destinationRuleSchema, rules: destinationRuleRules },
  listenerPolicy: { ...own, kind: 'ListenerPolicy', schema: listenerPolicySchema },
  routePolicy: { ...own, kind: 'RoutePolicy', schema: routePolicySchema },
  backendPolicy: { ...own, kind: 'BackendPolicy', schema: backendPolicySchema },
} as const;

type AnyKind = Kind<any>; // oxlint-disable-line typescript/no-explicit-any

const all: readonly AnyKind[] = Object.values(kinds);

/** The kinds as slices name them: "gateway.networking.k8s.io/HTTPRoute". */
export const kindNames: readonly string[] = all.map(nameOf);

/** "group/Kind" of a manifest, without its version; a core object has no group: "Secret". */
export function kindName(manifest: Manifest): string {
  const { apiVersion, kind } = manifest;
  return nameOf({ group: apiVersion.slice(0, Math.max(0, apiVersion.indexOf('/'))), kind });
}

function nameOf({ group, kind }: { readonly group: string; readonly kind: string }): string {
  return group === '' ? kind : `${group}/${kind}`;
}

/** What is wrong with a manifest's kind or version; undefined where it is known. `names` are all known kinds as
 * "group/Kind", those of other slices too. */
export function unknownKind(manifest: Manifest, names: readonly string[] = kindNames): Problem | undefined {
  const name = kindName(manifest);
  if (names.includes(name)) return undefined;
  const alike = names.filter((known) => known.endsWith(`/${manifest.kind}`) || known === manifest.kind);
  const close = alike[0] ?? nearest(name, names) ?? nearestKind(manifest.kind, names);
  const hint = close === undefined ? `known: ${names.join(', ')}` : `did you mean ${close}?`;
  return problemAt(manifest, ['kind'], `${manifest.kind} of ${manifest.apiVersion} is not a known kind`, hint);
}

function nearestKind(kind: string, names: readonly string[]): string | undefined {
  const short = new Map(names.map((name) => [name.slice(name.indexOf('/') + 1), name]));
  return short.get(nearest(kind, short.keys()) ?? '');
}

/** All Problems of the manifests of these kinds: versions, fields, rules. */
export function checkManifests(manifests: readonly Manifest[]): readonly Problem[] {
  return atOnce(checkingManifests(manifests));
}

/** The same, manifest by manifest. */
export function* checkingManifests(
  manifests: readonly Manifest[],
): Generator<undefined, readonly Problem[], undefined> {
  const problems: Problem[] = [];
  for (const manifest of manifests) {
    problems.push(...problemsOf(manifest));
    yield;
  }
  return problems;
}

const byName: ReadonlyMap<string, AnyKind> = new Map(all.map((kind) => [nameOf(kind), kind]));

function problemsOf(manifest: Manifest): readonly Problem[] {
  const kind = byName.get(kindName(manifest));
  if (kind === undefined) return [];
  const version = manifest.apiVersion.split('/').at(-1) ?? '';
  if (!kind.versions.includes(version)) {
    const hint = `known: ${kind.versions.join(', ')}`;
    return [problemAt(manifest, ['apiVersion'], `${kind.kind} has no version ${version} here`, hint)];
  }
  const read = readManifest(kind, manifest);
  return 'spec' in read ? [] : read;
}

/** Manifests by kindName(). */
export type ByKind = ReadonlyMap<string, readonly Manifest[]>;

type Refused = (manifest: Manifest, problems: readonly Problem[]) => void;

/** The manifests of one kind that are in order, and those that are not. */
export function ofKind<T>(kind: Kind<T>, manifests: ByKind, refused: Refused): readonly Typed<T>[] {
  return [...eachOfKind(kind, manifests, refused)];
}

/** The same, one when it is asked for. */
export function* eachOfKind<T>(kind: Kind<T>, manifests: ByKind, refused: Refused): Generator<Typed<T>, void, void> {
  for (const manifest of manifests.get(nameOf(kind)) ?? []) {
    const read = readManifest(kind, manifest);
    if ('spec' in read) yield read;
    else refused(manifest, read);
  }
}
