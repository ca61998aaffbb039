// A route's action, compiled: everything that a request needs once its route is known.
import type { PathMatch, Route, RouteAction } from '../../mesh/snapshot.ts';
import type { ClusterState } from '../upstream/upstream.ts';
import { RoutePiece } from '../record/line.ts';
import { checkedHost, foldEdits } from './edits.ts';
import type { Edits } from './edits.ts';
import type { RequestChange } from './request.ts';

export const MAX_REPLY_BODY = 4096;
const MAX_REWRITE = 2048;

export interface Target {
  /** Undefined: the backend does not exist, its share of requests gets 500. */
  readonly cluster: ClusterState | undefined;
  /** Sum of the weights up to and with this one. */
  readonly until: number;
  readonly request: Edits;
  readonly response: Edits;
}

export interface Act {
  readonly name: string;
  /** The name, for the access log. */
  readonly logged: RoutePiece;
  /** Row of the counters. */
  readonly stat: number;
  readonly kind: RouteAction['kind'];
  readonly match: PathMatch | undefined;
  // forward
  readonly change: RequestChange;
  readonly targets: readonly Target[];
  readonly total: number;
  readonly timeoutMs: number;
  /** 0: as the engine has it. */
  readonly idleMs: number;
  /** Requests so far: spreads weights evenly. */
  turn: number;
  // redirect, reply
  readonly redirect: Extract<RouteAction, { kind: 'redirect' }> | undefined;
  readonly status: number;
  readonly body: Uint8Array;
  readonly response: Edits;
}

/** What routes have in common is there once: what is far away in memory takes longer to look at. */
const none = Buffer.alloc(0);
const asItCame: RequestChange = { match: undefined, path: undefined, host: undefined };

type Forward = Extract<RouteAction, { kind: 'forward' }>;

/** Compiles one route. Throws an Error that names the route where it can't be served. */
export function compileAct(
  route: Route,
  o: { stat: number; turn: number; cluster: (key: string) => ClusterState | undefined },
): Act {
  try {
    const { action } = route;
    const forward = action.kind === 'forward' ? action : undefined;
    if (forward?.path !== undefined || action.kind === 'redirect') checkRewrite(action);
    const targets = forward === undefined ? [] : compileTargets(route, forward.clusters, o.cluster);
    return {
      name: route.name,
      logged: new RoutePiece(route.name),
      stat: o.stat,
      kind: action.kind,
      match: route.match.path,
      change: changeOf(route.match.path, forward),
      targets,
      total: targets.at(-1)?.until ?? 0,
      timeoutMs: forward?.timeoutMs ?? 0,
      idleMs: forward?.idleMs ?? 0,
      turn: o.turn,
      redirect: action.kind === 'redirect' ? action : undefined,
      status: action.kind === 'reply' ? action.status : 0,
      body: action.kind === 'reply' ? replyBody(action.body) : none,
      response: foldEdits([route.response]),
    };
  } catch (error) {
    throw new Error(`route ${route.name}: ${(error as Error).message}`, { cause: error });
  }
}

function changeOf(match: PathMatch | undefined, to: Forward | undefined): RequestChange {
  if (to === undefined || (to.path === undefined && to.host === undefined)) return asItCame;
  return { match, path: to.path, host: to.host === undefined ? undefined : checkedHost(to.host) };
}

/** Edits of the route come first, then those of the cluster. */
function compileTargets(
  route: Route,
  clusters: Forward['clusters'],
  cluster: (key: string) => ClusterState | undefined,
): Target[] {
  let until = 0;
  return clusters.map((c) => {
    until += c.weight;
    return {
      cluster: cluster(c.cluster),
      until,
      request: foldEdits([route.request, c.request]),
      response: foldEdits([route.response, c.response]),
    };
  });
}

function checkRewrite(action: RouteAction): void {
  if (action.kind === 'reply') return;
  const value = action.path?.value ?? '';
  if (value.length > MAX_REWRITE || !/^[\x21-\x22\x24-\x7e]*$/.test(value)) throw new Error('bad path in a rewrite');
  if (action.kind === 'redirect' && action.host !== undefined) checkedHost(action.host);
  if (action.kind === 'redirect' && action.scheme !== undefined && !/^[a-z][a-z0-9+.-]{0,15}$/.test(action.scheme)) {
    throw new Error('bad scheme in a redirect');
  }
}

function replyBody(body: string): Uint8Array {
  const bytes = Buffer.from(body);
  if (bytes.length > MAX_REPLY_BODY) throw new Error(`reply body over ${MAX_REPLY_BODY} bytes`);
  return bytes;
}

/** What is shared out by weight. */
export interface Split<T extends { readonly until: number }> {
  readonly targets: readonly T[];
  readonly total: number;
  turn: number;
}

/** The target of the next request. The turns step through the weights by the golden ratio, so that a split of 80 to 20
 * shows after ten requests and not only on average. Undefined where all weights are 0. */
export function nextTarget<T extends { readonly until: number }>(split: Split<T>): T | undefined {
  if (split.total === 0) return undefined;
  if (split.targets.length === 1) return split.targets[0];
  split.turn = (split.turn + 0x9e3779b9) >>> 0;
  const at = (split.turn / 0x1_0000_0000) * split.total;
  for (let i = 0; i < split.targets.length; i += 1) if (at < split.targets[i]!.until) return split.targets[i];
  return split.targets.at(-1);
}
