// The listeners of a worker and the tables behind them. A snapshot is taken in two steps: prepare compiles all
// that is new and can fail; commit only swaps references, so that all workers change together or none does.
import { parsePrefix } from '../../lib/prefix.ts';
import { defaultPaths } from '../../mesh/snapshot.ts';
import type { Listener, Snapshot } from '../../mesh/snapshot.ts';
import type { ListenerView } from '../head/outcome.ts';
import { NO_ROUTE, statKey } from '../record/counters.ts';
import { compileAct } from '../head/act.ts';
import type { Act } from '../head/act.ts';
import { compileTable } from '../match.ts';
import type { Table } from '../match.ts';
import { compileStreams, helloOf } from '../tcp/stream.ts';
import type { StreamTable } from '../tcp/stream.ts';
import { Contexts } from '../tls/contexts.ts';
import type { Context } from '../tls/contexts.ts';
import { HostViews } from '../tls/hosts.ts';
import type { Engine } from '../transport.ts';
import type { Upstreams } from '../upstream/upstream.ts';
import type { Sockets } from './places.ts';

/** Views of removed listeners that are kept for connections that have not said anything yet. */
const REMEMBERED = 64;

export interface Prepared {
  readonly snapshot: Snapshot;
  readonly stats: ReadonlyMap<string, number>;
  readonly tables: ReadonlyMap<string, Compiled>;
  readonly contexts: ReadonlyMap<string, Context>;
}

/** One route table. */
interface Compiled {
  readonly table: Table<Act>;
  readonly streams: StreamTable;
}

interface Open {
  readonly id: number;
  readonly spec: Listener;
  readonly view: ListenerView;
  /** What it accepts from. */
  readonly at: Set<number>;
}

function same(a: Listener, b: Listener): boolean {
  return (
    a.address === b.address &&
    a.port === b.port &&
    a.steered === b.steered &&
    a.protocol === b.protocol &&
    helloOf(a) === helloOf(b)
  );
}

export class Listeners {
  private readonly engine: Engine;
  private readonly upstreams: Upstreams;
  private readonly random: () => number;
  private readonly open = new Map<string, Open>();
  private readonly views = new Map<number, ListenerView>();
  private readonly removed: number[] = [];
  private readonly contexts: Contexts;
  private readonly hosts = new HostViews();
  private stats: ReadonlyMap<string, number> = new Map();

  constructor(engine: Engine, upstreams: Upstreams, random: () => number) {
    this.engine = engine;
    this.upstreams = upstreams;
    this.random = random;
    this.contexts = new Contexts(engine);
  }

  private unlisten(o: Open, how?: 'leaving'): void {
    this.engine.unlisten(o.id, how);
    this.removed.push(o.id);
    if (this.removed.length > REMEMBERED) this.views.delete(this.removed.shift()!);
  }

  /** Compiles. Throws an Error that says what can't be served. */
  prepare(snapshot: Snapshot, stats: ReadonlyMap<string, number>): Prepared {
    const tables = new Map<string, Compiled>();
    const declared = new Set(snapshot.clusters.map((c) => c.key));
    const cluster = (key: string) => (declared.has(key) ? this.upstreams.cluster(key) : undefined);
    for (const routes of snapshot.routes) {
      const own = ({ name }: { readonly name: string }) => {
        return { stat: stats.get(statKey(routes.name, name)) ?? 0, turn: this.random(), cluster };
      };
      const table = compileTable(routes, (route) => compileAct(route, own(route)));
      tables.set(routes.name, { table, streams: compileStreams(routes.streams ?? [], own) });
    }
    for (const { name, routes, tls = [] } of snapshot.listeners) {
      const missing = [routes, ...tls.map((host) => host.routes)].find((each) => !tables.has(each));
      if (missing !== undefined) throw new Error(`listener ${name}: no route table ${missing}`);
    }
    const both = snapshot.clusters.find((c) => c.proxyProtocol !== undefined && c.tls !== undefined);
    if (both !== undefined) throw new Error(`cluster ${both.key}: the PROXY protocol before TLS is not supported`);
    return { snapshot, tables, stats, contexts: this.contexts.prepare(snapshot) };
  }

  /** Swaps references: what was prepared is in force. */
  commit({ snapshot, tables, stats, contexts }: Prepared, sockets: Sockets): void {
    this.stats = stats;
    this.upstreams.apply(snapshot.clusters, contexts);
    const hosts = this.hosts.commit(snapshot.listeners, tables, contexts);
    this.contexts.commit(contexts);
    const before = [...this.open];
    const wanted = new Set(snapshot.listeners.map((l) => l.name));
    for (const [name] of before) if (!wanted.has(name)) this.open.delete(name);
    for (const spec of snapshot.listeners) {
      const { table, streams } = tables.get(spec.routes)!;
      const paths = spec.paths ?? defaultPaths;
      const proxyFrom = spec.proxyFrom?.flatMap((text) => parsePrefix(text) ?? []);
      const maxTunnelMs = spec.maxTunnelMs ?? 0;
      const old = this.open.get(spec.name);
      if (old !== undefined && same(old.spec, spec)) {
        Object.assign(old.view, { table, streams, paths, proxyFrom, maxTunnelMs, hosts: hosts.get(spec.name) });
        continue;
      }
      const id = this.engine.listener(helloOf(spec), sockets.get(spec.name)?.tag);
      const { name, port, protocol } = spec;
      const view = { name, port, protocol, table, streams, paths, proxyFrom, maxTunnelMs, hosts: hosts.get(name) };
      this.views.set(id, view);
      this.open.set(spec.name, { id, spec, view, at: new Set() });
    }
    this.accept(sockets);
    // Last: who waits in a socket that goes over to another listener is accepted by that.
    for (const [name, o] of before) if (this.open.get(name) !== o) this.unlisten(o);
  }

  /** Accepts at these sockets from now on. */
  accept(sockets: Sockets): void {
    for (const [name, { id, at }] of this.open) {
      const wanted = new Set(sockets.get(name)?.fds);
      for (const fd of wanted.difference(at)) this.engine.accept(id, fd);
      for (const fd of at.difference(wanted)) this.engine.decline(id, fd);
      at.clear();
      for (const fd of wanted) at.add(fd);
    }
  }

  /** What was prepared will not be in force. */
  abort({ contexts }: Prepared): void {
    this.contexts.abort(contexts);
  }

  view(id: number): ListenerView | undefined {
    return this.views.get(id);
  }

  /** The host that connections with this context of TLS are for. */
  host(context: number): ListenerView | undefined {
    return this.hosts.of(context);
  }

  /** What is in force by a listener's name, and the row of a route's counters. */
  find(listener: string, route: string): { readonly view: ListenerView | undefined; readonly stat: number } {
    const open = this.open.get(listener);
    const stat = open === undefined ? undefined : this.stats.get(statKey(open.spec.routes, route));
    return { view: open?.view, stat: stat ?? NO_ROUTE };
  }

  /** Stops accepting everywhere. */
  stop(how?: 'leaving'): void {
    for (const o of this.open.values()) this.unlisten(o, how);
    this.open.clear();
  }
}
