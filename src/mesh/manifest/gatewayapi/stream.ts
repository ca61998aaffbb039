// TCPRoutes and TLSRoutes: connections that go on as they come.
import type { StreamRoute } from '../../snapshot.ts';
import type { Backends } from '../backends.ts';
import type { Typed } from '../read.ts';
import { type Condition, good } from '../status.ts';
import { clusterOf } from './backend.ts';
import type { Grants } from './grant.ts';
import type { StreamRouteSpec } from './schema.ts';

/** A TCPRoute or TLSRoute whose backends have been looked up. */
export interface CompiledStream {
  readonly kind: 'TCPRoute' | 'TLSRoute';
  readonly source: Typed<StreamRouteSpec>;
  readonly resolvedRefs: Condition;
  readonly route: StreamRoute;
}

/** Looks up the backends of a TCPRoute or TLSRoute. */
export function compileStreamRoute(
  kind: CompiledStream['kind'],
  source: Typed<StreamRouteSpec>,
  backends: Backends,
  grants: Grants,
): CompiledStream {
  const troubles: Condition[] = [];
  const from = { kind, namespace: source.namespace };
  const clusters = source.spec.rules.flatMap((rule) =>
    rule.backendRefs.map((ref) => ({
      cluster: clusterOf(ref, from, { backends, grants }, troubles),
      weight: ref.weight,
    })),
  );
  const route = { name: `${kind.toLowerCase()}/${source.key}/0`, clusters };
  return { kind, source, resolvedRefs: troubles[0] ?? good('ResolvedRefs'), route };
}
