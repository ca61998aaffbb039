import type { Typed } from '../read.ts';
import type { ReferenceGrantSpec } from './schema.ts';

/** Whether an object of the kind in namespace `from` may use the Service (or other `toKind`) `name` in `to`. */
export type Grants = (kind: string, from: string, to: string, name: string, toKind?: string) => boolean;

/** Grants as ReferenceGrants give them; inside a namespace none is needed. */
export function grantsOf(grants: readonly Typed<ReferenceGrantSpec>[]): Grants {
  return (kind, from, to, name, toKind = 'Service') =>
    from === to ||
    grants.some(
      ({ namespace, spec }) =>
        namespace === to &&
        spec.from.some((f) => f.group === 'gateway.networking.k8s.io' && f.kind === kind && f.namespace === from) &&
        spec.to.some((t) => t.group === '' && t.kind === toKind && (t.name === undefined || t.name === name)),
    );
}
