// What has changed from one snapshot to the next, as steps. Compared by content: snapshots are built anew each time.
// Work on it is as long as the snapshots are, so it comes in many small parts; what it gives is as long as the change.
import type { ClusterKey, Listener, Route, RouteTable, Secret, Snapshot, VirtualHost } from '../../mesh/snapshot.ts';
import type { Cluster } from '../../mesh/snapshot.ts';
import { same } from '../../lib/compare/same.ts';
import { hostKey } from './steps.ts';
import type { Step } from './steps.ts';

/** Row of a route's counters, by its table and its name. */
export type RowOf = (table: string, route: string) => number;

type Steps = Generator<Step | undefined, void, undefined>;

/** Routes that are compared in one go. */
const AT_ONCE = 16;

/** The steps from a snapshot (none: from nothing) to the next. */
export function* stepsTo(to: Snapshot, from: Snapshot | undefined, rowOf: RowOf): Steps {
  const secrets = yield* changed(from?.secrets, to.secrets, (s) => s.name);
  for (const secret of secrets.put) yield { is: 'secret', secret };
  for (const name of secrets.gone) yield { is: 'no-secret', name };
  const renewed = new Set([...secrets.put.map((s) => s.name), ...secrets.gone]);
  const clusters = yield* changed(from?.clusters, to.clusters, (c) => c.key, usesOf, renewed);
  for (const cluster of clusters.put) yield { is: 'cluster', cluster };
  for (const name of clusters.gone) yield { is: 'no-cluster', name };
  yield* tableSteps(to.routes, from?.routes ?? [], new Set([...clusters.fresh, ...clusters.gone]), rowOf);
  const listeners = yield* changed(from?.listeners, to.listeners, (l) => l.name, secretsOf, renewed);
  for (const listener of listeners.put) yield { is: 'listener', listener };
  for (const name of listeners.gone) yield { is: 'no-listener', name };
}

interface Changed<T> {
  readonly put: readonly T[];
  /** Names of those that were not there. */
  readonly fresh: readonly string[];
  readonly gone: readonly string[];
}

/** Also what names one of `renewed` has changed. */
function* changed<T>(
  before: readonly T[] = [],
  now: readonly T[],
  nameOf: (one: T) => string,
  named: (one: T) => readonly (string | undefined)[] = () => [],
  renewed: ReadonlySet<string | undefined> = new Set(),
): Generator<undefined, Changed<T>, undefined> {
  const stays = (was: T, one: T): boolean => same(was, one) && !named(one).some((each) => renewed.has(each));
  const other = yield* between(before, now, stays);
  const left = new Map(other.before.map((one) => [nameOf(one), one]));
  const put: T[] = [];
  const fresh: string[] = [];
  for (const one of other.now) {
    const name = nameOf(one);
    const was = left.get(name);
    left.delete(name);
    if (was === undefined) fresh.push(name);
    if (was === undefined || !stays(was, one)) put.push(one);
    yield;
  }
  return { put, fresh, gone: [...left.keys()] };
}

/** What is between that with which both begin and that with which both end: most of a list stays where it is. */
function* between<T>(
  before: readonly T[],
  now: readonly T[],
  stays: (was: T, one: T) => boolean,
): Generator<undefined, { readonly before: readonly T[]; readonly now: readonly T[] }, undefined> {
  const least = Math.min(before.length, now.length);
  let head = 0;
  while (head < least && stays(before[head]!, now[head]!)) {
    head += 1;
    yield;
  }
  let tail = 0;
  while (tail < least - head && stays(before[before.length - 1 - tail]!, now[now.length - 1 - tail]!)) {
    tail += 1;
    yield;
  }
  return { before: before.slice(head, before.length - tail), now: now.slice(head, now.length - tail) };
}

const usesOf = ({ tls }: Cluster): (Secret['name'] | undefined)[] => [tls?.trust, tls?.certificate];

const secretsOf = ({ tls = [] }: Listener): (Secret['name'] | undefined)[] =>
  tls.flatMap(({ certificates, client }) => [...certificates, client?.trust]);

/** `turned`: clusters that exist now and did not, or the other way round. What goes to them is not what it was. */
function* tableSteps(
  now: readonly RouteTable[],
  before: readonly RouteTable[],
  turned: ReadonlySet<ClusterKey>,
  rowOf: RowOf,
): Steps {
  const left = new Map(before.map((table) => [table.name, table]));
  for (const table of now) {
    const was = left.get(table.name);
    left.delete(table.name);
    let begun = false;
    for (const step of insideSteps(table, was, turned, rowOf)) {
      if (step !== undefined && !begun) yield { is: 'table', name: table.name };
      begun ||= step !== undefined;
      yield step;
    }
    if (was === undefined && !begun) yield { is: 'table', name: table.name };
    if (was === undefined || begun) yield { is: 'table-end' };
  }
  for (const name of left.keys()) yield { is: 'no-table', name };
}

function* insideSteps(
  { name, hosts, streams = [] }: RouteTable,
  was: RouteTable | undefined,
  turned: ReadonlySet<ClusterKey>,
  rowOf: RowOf,
): Steps {
  const goesTo = ({ action }: Route): boolean =>
    turned.size > 0 && action.kind === 'forward' && action.clusters.some(({ cluster }) => turned.has(cluster));
  const other = yield* between(was?.hosts ?? [], hosts, (a, b) => same(a, b) && !b.routes.some(goesTo));
  const left = new Map(other.before.map((host) => [hostKey(host), host]));
  for (const host of other.now) {
    const key = hostKey(host);
    yield* hostSteps(host, left.get(key), goesTo, (route) => rowOf(name, route));
    left.delete(key);
  }
  for (const key of left.keys()) yield { is: 'no-host', name: key };
  const turns = streams.some(({ clusters }) => clusters.some(({ cluster }) => turned.has(cluster)));
  if (!turns && same(streams, was?.streams ?? [])) return;
  yield { is: 'streams' };
  for (const stream of streams) yield { is: 'stream', stream, stat: rowOf(name, stream.name) };
}

function* hostSteps(
  host: VirtualHost,
  was: VirtualHost | undefined,
  isNew: (route: Route) => boolean,
  rowOf: (route: string) => number,
): Steps {
  const { domains, routes } = host;
  const old = was?.routes ?? [];
  let byName: Map<string, number> | undefined;
  /** Where the route is among the old ones, -1: it is not. */
  const placeOf = (route: Route, i: number): number => {
    if (isNew(route)) return -1;
    if (old[i] !== undefined && same(old[i], route)) return i;
    byName ??= new Map(old.map(({ name }, at) => [name, at]));
    const at = byName.get(route.name) ?? -1;
    return at >= 0 && same(old[at], route) ? at : -1;
  };
  const places: number[] = [];
  for (const [i, route] of routes.entries()) {
    places.push(placeOf(route, i));
    if (i % AT_ONCE === 0) yield;
  }
  if (was !== undefined && routes.length === old.length && places.every((at, i) => at === i)) return;
  yield { is: 'host', domains };
  for (let i = 0; i < routes.length; i += 1) {
    const from = places[i]!;
    if (from < 0) {
      const route = routes[i]!;
      yield { is: 'route', route, stat: rowOf(route.name) };
      continue;
    }
    let length = 1;
    while (places[i + length] === from + length) length += 1;
    yield { is: 'kept', from, to: from + length };
    i += length - 1;
  }
}
