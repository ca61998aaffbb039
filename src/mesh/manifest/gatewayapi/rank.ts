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
  /** In place of what the path says: its class, and within it two lengths, the longer first. */
  readonly rank?: Rank;
}

export type Rank = readonly [kind: number, first: number, second: number];

const pathRank = { exact: 0, regex: 1, prefix: 2, 'string-prefix': 2 } as const;

/** GRPCRouteRule.matches: most characters of the service, then of the method. A method of any service comes after all
 * that name one, and last comes what names neither. */
export function grpcRank(type: 'Exact' | 'RegularExpression', service: string, method: string): Rank {
  const kind = type === 'RegularExpression' ? 1 : service === '' ? (method === '' ? 4 : 3) : method === '' ? 2 : 0;
  return [kind, service.length, method.length];
}

function rankOf({ rank, route }: RankedRoute): Rank {
  if (rank !== undefined) return rank;
  const { kind, value } = route.match.path ?? { kind: 'prefix', value: '' };
  return [pathRank[kind], kind === 'exact' ? 0 : value.length, 0];
}

/** Less than 0 where `a` is tried before `b`. The standard leaves regular expressions open: here after exact paths and
 * before prefixes, since a prefix "/" would hide them all. */
export function compareRank(a: RankedRoute, b: RankedRoute, firstSeen?: FirstSeen): number {
  return (
    comparePath(rankOf(a), rankOf(b)) ||
    Number(b.route.match.method !== undefined) - Number(a.route.match.method !== undefined) ||
    b.route.match.headers.length - a.route.match.headers.length ||
    b.route.match.query.length - a.route.match.query.length ||
    compareAge(a.manifest, b.manifest, firstSeen) ||
    a.rule - b.rule ||
    a.match - b.match
  );
}

function comparePath(a: Rank, b: Rank): number {
  return a[0] - b[0] || b[1] - a[1] || b[2] - a[2];
}
