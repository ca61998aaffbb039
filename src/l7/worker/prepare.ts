// A change as a worker prepares it, beside what is in force: nothing of that is touched before all is there. Routes and
// hosts that stay are shared.
import { Overlay } from './overlay.ts';
import type { Cluster, Listener, Route, Secret, StreamRoute } from '../../mesh/snapshot.ts';
import { compileAct } from '../head/act.ts';
import type { Act } from '../head/act.ts';
import { compileHost, compileRoute, compileTable } from '../match.ts';
import type { CompiledHost, CompiledRoute, Table } from '../match.ts';
import { compileStreams } from '../tcp/stream.ts';
import type { StreamTable } from '../tcp/stream.ts';
import type { Context, Contexts } from '../tls/contexts.ts';
import type { ClusterState } from '../upstream/upstream.ts';
import { hostKey } from './steps.ts';
import type { Step } from './steps.ts';

/** One route table. */
export interface Compiled {
  readonly table: Table<Act>;
  readonly streams: StreamTable;
  readonly hosts: ReadonlyMap<string, CompiledHost<Act>>;
}

/** What a worker serves. */
export interface InForce {
  readonly secrets: Map<string, Secret>;
  readonly clusters: Map<string, Cluster>;
  readonly listeners: Map<string, Listener>;
  readonly tables: Map<string, Compiled>;
}

/** The same with what is to become of it. */
export interface Prepared {
  readonly secrets: Overlay<Secret>;
  readonly clusters: Overlay<Cluster>;
  readonly listeners: Overlay<Listener>;
  readonly tables: Overlay<Compiled>;
  readonly contexts: Overlay<Context>;
}

/** What else routes need to be compiled. */
export interface Surroundings {
  readonly cluster: (key: string) => ClusterState;
  readonly random: () => number;
  readonly contexts: Contexts;
}

type Work<T> = Generator<undefined, T, undefined>;

/** Does what the steps say, in small parts. `anew`: they begin from nothing. Throws an Error that says what can't be
 * served; then, and where it is ended early, what it took is given back. */
export function* prepare(now: InForce, steps: Iterable<Step>, anew: boolean, around: Surroundings): Work<Prepared> {
  const p: Prepared = {
    secrets: new Overlay(now.secrets, anew),
    clusters: new Overlay(now.clusters, anew),
    listeners: new Overlay(now.listeners, anew),
    tables: new Overlay(now.tables, anew),
    contexts: around.contexts.begin(),
  };
  let done = false;
  try {
    yield* follow(p, steps, around);
    yield* around.contexts.prepare(p.contexts, p.listeners, p.clusters, p.secrets);
    yield* check(p);
    done = true;
    return p;
  } finally {
    if (!done) around.contexts.abort(p.contexts);
  }
}

function* follow(p: Prepared, steps: Iterable<Step>, { cluster, random }: Surroundings): Work<void> {
  const own = (stat: number) => {
    const target = (key: string) => (p.clusters.get(key) === undefined ? undefined : cluster(key));
    return { stat, turn: random(), cluster: target };
  };
  let draft: Draft | undefined;
  for (const step of steps) {
    if (step.is === 'secret') p.secrets.set(step.secret.name, step.secret);
    else if (step.is === 'no-secret') p.secrets.drop(step.name);
    else if (step.is === 'cluster') p.clusters.set(step.cluster.key, step.cluster);
    else if (step.is === 'no-cluster') p.clusters.drop(step.name);
    else if (step.is === 'listener') p.listeners.set(step.listener.name, step.listener);
    else if (step.is === 'no-listener') p.listeners.drop(step.name);
    else if (step.is === 'no-table') p.tables.drop(step.name);
    else if (step.is === 'table') draft = new Draft(step.name, p.tables.get(step.name), own);
    else if (step.is === 'table-end') p.tables.set(draft!.name, yield* draft!.finish());
    else draft!.take(step);
    yield;
  }
}

/** A table on its way. */
class Draft {
  readonly name: string;
  private readonly own: (stat: number) => Parameters<typeof compileAct>[1];
  private readonly hosts: Map<string, CompiledHost<Act>>;
  private streams: StreamTable | undefined;
  private routed: [StreamRoute, number][] | undefined;
  private open: { readonly domains: readonly string[]; readonly routes: CompiledRoute<Act>[] } | undefined;

  constructor(name: string, old: Compiled | undefined, own: Draft['own']) {
    this.name = name;
    this.own = own;
    this.hosts = new Map(old?.hosts);
    this.streams = old?.streams;
  }

  take(step: Step): void {
    if (step.is === 'kept') {
      const { routes } = this.hosts.get(hostKey(this.open!))!;
      for (let i = step.from; i < step.to; i += 1) this.open!.routes.push(routes[i]!);
    } else if (step.is === 'route') this.open!.routes.push(this.compile(step.route, step.stat));
    else if (step.is === 'stream') this.routed!.push([step.stream, step.stat]);
    else {
      this.closeHost();
      if (step.is === 'host') this.open = { domains: step.domains, routes: [] };
      else if (step.is === 'no-host') this.hosts.delete(step.name);
      else if (step.is === 'streams') this.routed = [];
    }
  }

  private compile(route: Route, stat: number): CompiledRoute<Act> {
    return compileRoute(route, compileAct(route, this.own(stat)));
  }

  private closeHost(): void {
    if (this.open === undefined) return;
    const { domains, routes } = this.open;
    this.hosts.set(hostKey(this.open), compileHost(domains, routes));
    this.open = undefined;
  }

  *finish(): Work<Compiled> {
    this.closeHost();
    if (this.routed !== undefined || this.streams === undefined) {
      const rows = new Map(this.routed);
      this.streams = compileStreams([...rows.keys()], (route) => this.own(rows.get(route)!));
    }
    const table = yield* compileTable(this.name, this.hosts.values());
    return { table, streams: this.streams, hosts: this.hosts };
  }
}

function* check(p: Prepared): Work<void> {
  for (const { name, routes, tls = [] } of p.listeners.values()) {
    const missing = [routes, ...tls.map((host) => host.routes)].find((each) => p.tables.get(each) === undefined);
    if (missing !== undefined) throw new Error(`listener ${name}: no route table ${missing}`);
    yield;
  }
  for (const { key, proxyProtocol, tls } of p.clusters.put.values()) {
    if (proxyProtocol === undefined || tls === undefined) continue;
    throw new Error(`cluster ${key}: the PROXY protocol before TLS is not supported`);
  }
}
