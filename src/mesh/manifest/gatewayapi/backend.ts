// From a backendRef of a route to a cluster.
import type { ClusterKey } from '../../snapshot.ts';
import type { Backends } from '../backends.ts';
import { bad, type Condition } from '../status.ts';
import type { Grants } from './grant.ts';
import type { BackendRef } from './schema.ts';

/** Who refers to a backend: a route of the kind in the namespace. */
export interface Referrer {
  readonly kind: string;
  readonly namespace: string;
}

/** Looks a backendRef up. What is wrong with it goes to `troubles`; its key is then one that no snapshot has. */
export function clusterOf(
  ref: BackendRef,
  from: Referrer,
  { backends, grants }: { readonly backends: Backends; readonly grants: Grants },
  troubles: Condition[],
): ClusterKey {
  const namespace = ref.namespace ?? from.namespace;
  const refuse = (reason: string, message: string): ClusterKey => {
    troubles.push(bad('ResolvedRefs', reason, message));
    return `none/${namespace}/${ref.name}/${ref.port ?? 0}`;
  };
  if (ref.group !== '' || ref.kind !== 'Service') {
    const kind = ref.group === '' ? ref.kind : `${ref.group}/${ref.kind}`;
    return refuse('InvalidKind', `a backend of kind ${kind} is not known`);
  }
  if (!grants(from.kind, from.namespace, namespace, ref.name)) {
    const message = `no ReferenceGrant in ${namespace} lets ${from.kind}s of ${from.namespace} use ${ref.name}`;
    return refuse('RefNotPermitted', message);
  }
  const found = backends.find({ namespace, name: ref.name, ...(ref.port !== undefined && { port: ref.port }) });
  if (found.missing !== undefined) troubles.push(bad('ResolvedRefs', 'BackendNotFound', found.missing));
  const strange = from.kind === 'HTTPRoute' ? backends.notHttp(found.key) : undefined;
  return strange === undefined ? found.key : refuse('UnsupportedProtocol', strange);
}
