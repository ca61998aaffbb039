// The listeners of a worker and the tables behind them. A change is taken in two steps: prepare compiles all that is
// new and can fail; commit only swaps references, so that all workers change together or none does.
import type { Listener } from '../../mesh/snapshot.ts';
import type { ListenerView } from '../head/outcome.ts';
import { NO_ROUTE } from '../record/counters.ts';
import { helloOf, streamsIn } from '../tcp/stream.ts';
import { Contexts } from '../tls/contexts.ts';
import { HostViews } from '../tls/hosts.ts';
import { ORPHANS } from '../transport.ts';
import type { Engine } from '../transport.ts';
import type { Upstreams } from '../upstream/upstream.ts';
import type { Sockets } from './places.ts';
import { prepare } from './prepare.ts';
import type { Compiled, InForce, Prepared } from './prepare.ts';
import { boundsOf, settingsOf } from './settings.ts';
import type { Step } from './steps.ts';

/** Views of removed listeners that are kept for connections that have not said anything yet. */
const REMEMBERED = 64;

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

/** Rows of a table's counters by route, found out when a connection is first taken on. */
const rows = new WeakMap<Compiled, ReadonlyMap<string, number>>();

function rowsOf(compiled: Compiled): ReadonlyMap<string, number> {
  const known = rows.get(compiled);
  if (known !== undefined) return known;
  const made = new Map<string, number>();
  for (const host of compiled.hosts.values()) for (const { value } of host.routes) made.set(value.name, value.stat);
  for (const { name, stat } of streamsIn(compiled.streams)) made.set(name, stat);
  rows.set(compiled, made);
  return made;
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
  private readonly inForce: InForce = {
    secrets: new Map(),
    clusters: new Map(),
    listeners: new Map(),
    tables: new Map(),
  };

  constructor(engine: Engine, upstreams: Upstreams, random: () => number) {
    this.engine = engine;
    this.upstreams = upstreams;
    this.random = random;
    this.contexts = new Contexts(engine);
    engine.listener('never', ORPHANS);
  }

  private unlisten(o: Open): void {
    this.engine.unlisten(o.id);
    this.removed.push(o.id);
    if (this.removed.length > REMEMBERED) this.views.delete(this.removed.shift()!);
  }

  /** Compiles what steps say, in small parts. `anew`: they begin from nothing. Throws an Error that says what can't be
   * served. */
  prepare(steps: Iterable<Step>, anew: boolean): Generator<undefined, Prepared, undefined> {
    const { contexts, random, upstreams } = this;
    return prepare(this.inForce, steps, anew, { contexts, random, cluster: (key) => upstreams.cluster(key) });
  }

  /** Swaps references: what was prepared is in force. Its work is as long as the change, but for a look at each
   * listener. */
  commit(p: Prepared, sockets: Sockets): void {
    this.upstreams.apply(p.clusters, p.contexts);
    const hosts = this.hosts.commit(p.listeners, p.tables, p.contexts);
    this.contexts.commit(p.contexts);
    for (const all of [p.secrets, p.clusters, p.listeners, p.tables]) all.merge();
    const closed: Open[] = [];
    for (const name of p.listeners.gone) {
      const old = this.open.get(name);
      if (old !== undefined) closed.push(old);
      this.open.delete(name);
    }
    for (const spec of p.listeners.put.values()) {
      const { table, streams } = this.inForce.tables.get(spec.routes)!;
      const now = { table, streams, ...settingsOf(spec), hosts: hosts.get(spec.name) };
      const old = this.open.get(spec.name);
      if (old !== undefined && same(old.spec, spec)) {
        this.open.set(spec.name, { ...old, spec, view: Object.assign(old.view, now) });
        this.engine.limit(old.id, boundsOf(spec));
        continue;
      }
      if (old !== undefined) closed.push(old);
      const id = this.engine.listener(helloOf(spec), sockets.get(spec.name)?.tag);
      this.engine.limit(id, boundsOf(spec));
      const { name, port, protocol } = spec;
      const view = { name, port, protocol, ...now };
      this.views.set(id, view);
      this.open.set(spec.name, { id, spec, view, at: new Set() });
    }
    this.renew(p.tables.put);
    this.accept(sockets);
    // Last: who waits in a socket that goes over to another listener is accepted by that.
    for (const o of closed) this.unlisten(o);
  }

  /** Gives these tables to whom has one of their names. */
  private renew(tables: ReadonlyMap<string, Compiled>): void {
    if (tables.size === 0) return;
    const renewOne = (view: ListenerView): void => {
      const { table, streams } = tables.get(view.table.name) ?? view;
      Object.assign(view, { table, streams });
    };
    for (const { view } of this.open.values()) renewOne(view);
    for (const view of this.hosts.views()) renewOne(view);
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

  /** The host that connections with this policy of TLS are for. */
  host(policy: string): ListenerView | undefined {
    return this.hosts.of(policy);
  }

  /** What is in force by a listener's name, and the row of a route's counters. */
  find(listener: string, route: string): { readonly view: ListenerView | undefined; readonly stat: number } {
    const open = this.open.get(listener);
    const table = this.inForce.tables.get(open?.spec.routes ?? '');
    return { view: open?.view, stat: (table && rowsOf(table).get(route)) ?? NO_ROUTE };
  }

  /** Stops accepting everywhere. */
  stop(): void {
    for (const o of this.open.values()) this.unlisten(o);
    this.open.clear();
  }
}
