// Which of several matches counts: HTTPRouteRule.matches of Gateway API, "precedence must be given to the match
// having".
import type { Manifest } from '../../../config/manifest.ts';
import type { Route } from '../../snapshot.ts';
import { compareAge, type FirstSeen } from '../age.ts';

/** A route with what its rank depends on. */
export interface RankedRoute {
  readonly route: Route;
  readonly manifest: Manifest;
  readonly rule: number;
  readonly match: number;
}

const pathRank = { exact: 0, regex: 1, prefix: 2, 'string-prefix': 2 } as const;

/** Less than 0 where `a` is tried before `b`. The standard leaves regular expressions open: here after exact paths and
 * before prefixes, since a prefix "/" would hide them all. */
export function compareRank(a: RankedRoute, b: RankedRoute, firstSeen?: FirstSeen): number {
  return (
    comparePath(a.route, b.route) ||
    Number(b.route.match.method !== undefined) - Number(a.route.match.method !== undefined) ||
    b.route.match.headers.length - a.route.match.headers.length ||
    b.route.match.query.length - a.route.match.query.length ||
    compareAge(a.manifest, b.manifest, firstSeen) ||
    a.rule - b.rule ||
    a.match - b.match
  );
}

function comparePath(a: Route, b: Route): number {
  const left = a.match.path ?? { kind: 'prefix', value: '' };
  const right = b.match.path ?? { kind: 'prefix', value: '' };
  const byKind = pathRank[left.kind] - pathRank[right.kind];
  if (byKind !== 0 || left.kind === 'exact') return byKind;
  return right.value.length - left.value.length;
}
