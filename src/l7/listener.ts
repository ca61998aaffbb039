// The listeners of a worker and the tables behind them. A snapshot is taken in two steps: prepare compiles and opens
// all that is new and can fail; commit only swaps references, so that all workers change together or none does.
import { defaultPaths } from '../mesh/snapshot.ts';
import type { Listener, Snapshot } from '../mesh/snapshot.ts';
import type { ListenerView } from './head/outcome.ts';
import { statKey } from './record/counters.ts';
import { compileAct } from './head/act.ts';
import type { Act } from './head/act.ts';
import { compileTable } from './match.ts';
import type { Table } from './match.ts';
import { compileStreams, helloOf } from './tcp/stream.ts';
import type { StreamTable } from './tcp/stream.ts';
import type { Bound, Engine } from './transport.ts';
import type { Upstreams } from './upstream/upstream.ts';

/** Views of removed listeners that are kept for connections that have not said anything yet. */
const REMEMBERED = 64;

export interface Prepared {
  readonly snapshot: Snapshot;
  readonly tables: ReadonlyMap<string, Compiled>;
  readonly opened: ReadonlyMap<string, Bound>;
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
}

function same(a: Listener, b: Listener): boolean {
  return a.address === b.address && a.port === b.port && a.steered === b.steered && a.protocol === b.protocol;
}

export class Listeners {
  private readonly engine: Engine;
  private readonly upstreams: Upstreams;
  private readonly random: () => number;
  private readonly open = new Map<string, Open>();
  private readonly views = new Map<number, ListenerView>();
  private readonly removed: number[] = [];

  constructor(engine: Engine, upstreams: Upstreams, random: () => number) {
    this.engine = engine;
    this.upstreams = upstreams;
    this.random = random;
  }

  private unlisten(o: Open): void {
    this.engine.unlisten(o.id);
    this.removed.push(o.id);
    if (this.removed.length > REMEMBERED) this.views.delete(this.removed.shift()!);
  }

  private openNew(snapshot: Snapshot): Map<string, Bound> {
    const opened = new Map<string, Bound>();
    for (const spec of snapshot.listeners) {
      const old = this.open.get(spec.name);
      if (old !== undefined && same(old.spec, spec)) continue;
      try {
        const place = { address: spec.address, port: spec.port, transparent: spec.steered === true };
        opened.set(spec.name, this.engine.bind({ ...place, ...helloOf(spec) }));
      } catch (error) {
        for (const bound of opened.values()) bound.close();
        throw new Error(`listener ${spec.name}: ${(error as Error).message}`, { cause: error });
      }
    }
    return opened;
  }

  /** Compiles and opens what is new. Throws an Error that says what can't be served, having undone what it opened. */
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
    for (const listener of snapshot.listeners) {
      if (!tables.has(listener.routes)) throw new Error(`listener ${listener.name}: no route table ${listener.routes}`);
    }
    return { snapshot, tables, opened: this.openNew(snapshot) };
  }

  /** Swaps references: what was prepared is in force. */
  commit({ snapshot, tables, opened }: Prepared): void {
    this.upstreams.apply(snapshot.clusters);
    const wanted = new Set(snapshot.listeners.map((l) => l.name));
    const leaving = [...this.open].filter(([name]) => !wanted.has(name) || opened.has(name));
    for (const [name] of leaving) this.open.delete(name);
    for (const spec of snapshot.listeners) {
      const { table, streams } = tables.get(spec.routes)!;
      const paths = spec.paths ?? defaultPaths;
      const old = this.open.get(spec.name);
      if (old !== undefined) {
        Object.assign(old.view, { table, streams, paths });
        continue;
      }
      const id = this.engine.listen(opened.get(spec.name)!);
      const { name, port, protocol } = spec;
      const view = { name, port, protocol, table, streams, paths };
      this.views.set(id, view);
      this.open.set(spec.name, { id, spec, view });
    }
    // Last: connections that wait in one move to its successor, where that has its place.
    for (const [, o] of leaving) this.unlisten(o);
  }

  abort({ opened }: Prepared): void {
    for (const bound of opened.values()) bound.close();
  }

  view(id: number): ListenerView | undefined {
    return this.views.get(id);
  }

  /** Stops accepting everywhere. */
  stop(): void {
    for (const o of this.open.values()) this.unlisten(o);
    this.open.clear();
  }
}
