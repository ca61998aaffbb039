// What became of each manifest, in the words of Gateway API: conditions with a reason.
import type { Manifest } from '../../config/manifest.ts';

/** One condition. `status` and `reason` are the standard's words (GatewayConditionReason and the like). */
export interface Condition {
  readonly type: 'Accepted' | 'ResolvedRefs' | 'Programmed' | 'Conflicted';
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

/** Status of a part: a listener of a Gateway, a parent of a route. */
export interface PartStatus {
  readonly name: string;
  /** Routes attached, of a listener. */
  readonly attachedRoutes?: number;
  readonly conditions: readonly Condition[];
}

export interface ManifestStatus {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly file: string;
  readonly line: number;
  /** Of the whole object. */
  readonly conditions: readonly Condition[];
  /** Of its listeners (Gateway) or parents (HTTPRoute, VirtualService). */
  readonly parts: readonly PartStatus[];
  /** Where a Gateway listens. */
  readonly addresses: readonly string[];
}

interface Entry {
  readonly manifest: Manifest;
  readonly conditions: Map<string, Condition>;
  readonly parts: Map<string, { conditions: Map<string, Condition>; routes: Set<string> | undefined }>;
  readonly addresses: Set<string>;
}

/** Collects statuses while snapshots are built. Of two findings on one condition the first bad one stays. */
export interface StatusBook {
  set(manifest: Manifest, condition: Condition, part?: string): void;
  /** Counts a route on a listener. */
  attach(gateway: Manifest, listener: string, route: string): void;
  address(gateway: Manifest, address: string): void;
  /** Whether the condition stands at True so far. */
  isTrue(manifest: Manifest, type: Condition['type'], part?: string): boolean;
  list(): readonly ManifestStatus[];
}

/** True with the reason that is the condition's name. */
export function good(type: Condition['type'], message = ''): Condition {
  return { type, status: 'True', reason: type, message };
}

/** False, for the reason. */
export function bad(type: Condition['type'], reason: string, message: string): Condition {
  return { type, status: 'False', reason, message };
}

/** An empty book for the manifests, which are listed in this order. */
export function statusBook(manifests: readonly Manifest[]): StatusBook {
  const fresh = (manifest: Manifest): Entry => ({
    manifest,
    conditions: new Map(),
    parts: new Map(),
    addresses: new Set(),
  });
  const entries = new Map<Manifest, Entry>();
  const entryOf = (manifest: Manifest): Entry => {
    const entry = entries.get(manifest) ?? fresh(manifest);
    entries.set(manifest, entry);
    return entry;
  };
  const partOf = (manifest: Manifest, name: string) => {
    const { parts } = entryOf(manifest);
    const part = parts.get(name) ?? { conditions: new Map<string, Condition>(), routes: undefined };
    parts.set(name, part);
    return part;
  };
  const conditionsOf = (manifest: Manifest, part: string | undefined): Map<string, Condition> =>
    part === undefined ? entryOf(manifest).conditions : partOf(manifest, part).conditions;
  return {
    set(manifest, condition, part) {
      const conditions = conditionsOf(manifest, part);
      const old = conditions.get(condition.type);
      if (old === undefined || (isGood(old) && !isGood(condition))) conditions.set(condition.type, condition);
    },
    attach(gateway, listener, route) {
      const part = partOf(gateway, listener);
      part.routes ??= new Set();
      part.routes.add(route);
    },
    address: (gateway, address) => void entryOf(gateway).addresses.add(address),
    isTrue: (manifest, type, part) => conditionsOf(manifest, part).get(type)?.status === 'True',
    list: () => manifests.map((manifest) => frozen(entryOf(manifest))),
  };
}

function isGood(condition: Condition): boolean {
  return (condition.status === 'True') !== (condition.type === 'Conflicted');
}

function frozen(entry: Entry): ManifestStatus {
  const { apiVersion, kind, metadata, file, line } = entry.manifest;
  const counts = kind === 'Gateway';
  return {
    apiVersion,
    kind,
    namespace: metadata.namespace,
    name: metadata.name,
    file,
    line,
    conditions: [...entry.conditions.values()],
    parts: [...entry.parts].map(([name, part]) => ({
      name,
      ...(counts && { attachedRoutes: part.routes?.size ?? 0 }),
      conditions: [...part.conditions.values()],
    })),
    addresses: [...entry.addresses],
  };
}
