// The listeners of a worker and the tables behind them. A snapshot is taken in two steps: prepare compiles and opens
// all that is new and can fail; commit only swaps references, so that all workers change together or none does.
import type { Listener, Snapshot } from '../mesh/snapshot.ts';
import type { ListenerView } from './chain.ts';
import { compileAct } from './head/act.ts';
import type { Act } from './head/act.ts';
import { compileTable } from './match.ts';
import type { Table } from './match.ts';
import type { Bound, Engine } from './transport.ts';
import type { Upstreams } from './upstream.ts';

/** Views of removed listeners that are kept for connections that have not said anything yet. */
const REMEMBERED = 64;

/** Names a row of the counters. */
export function statKey(table: string, route: string): string {
  return `${table} ${route}`;
}

export interface Prepared {
  readonly snapshot: Snapshot;
  readonly tables: ReadonlyMap<string, Table<Act>>;
  readonly opened: ReadonlyMap<string, Bound>;
}

export interface Listeners {
  /** Throws an Error that says what can't be served, having undone what it opened. */
  prepare(snapshot: Snapshot, stats: ReadonlyMap<string, number>): Prepared;
  commit(prepared: Prepared): void;
  abort(prepared: Prepared): void;
  view(id: number): ListenerView | undefined;
  /** Stops accepting everywhere. */
  stop(): void;
}

interface Open {
  readonly id: number;
  readonly spec: Listener;
  readonly view: ListenerView;
}

export function createListeners(engine: Engine, upstreams: Upstreams, random: () => number): Listeners {
  const open = new Map<string, Open>();
  const views = new Map<number, ListenerView>();
  const removed: number[] = [];

  function same(a: Listener, b: Listener): boolean {
    return a.address === b.address && a.port === b.port && a.steered === b.steered;
  }

  function unlisten(name: string, o: Open): void {
    open.delete(name);
    engine.unlisten(o.id);
    removed.push(o.id);
    if (removed.length > REMEMBERED) views.delete(removed.shift()!);
  }

  function openNew(snapshot: Snapshot): Map<string, Bound> {
    const opened = new Map<string, Bound>();
    for (const spec of snapshot.listeners) {
      const old = open.get(spec.name);
      if (old !== undefined && same(old.spec, spec)) continue;
      try {
        const place = { address: spec.address, port: spec.port, transparent: spec.steered === true };
        opened.set(spec.name, engine.bind(place));
      } catch (error) {
        for (const bound of opened.values()) bound.close();
        throw new Error(`listener ${spec.name}: ${(error as Error).message}`, { cause: error });
      }
    }
    return opened;
  }

  return {
    prepare(snapshot, stats) {
      const tables = new Map<string, Table<Act>>();
      const declared = new Set(snapshot.clusters.map((c) => c.key));
      const cluster = (key: string) => (declared.has(key) ? upstreams.cluster(key) : undefined);
      for (const table of snapshot.routes) {
        const compiled = compileTable(table, (route, host) =>
          compileAct(route, host, {
            stat: stats.get(statKey(table.name, route.name)) ?? 0,
            turn: random(),
            cluster,
          }),
        );
        tables.set(table.name, compiled);
      }
      for (const listener of snapshot.listeners) {
        if (!tables.has(listener.routes))
          throw new Error(`listener ${listener.name}: no route table ${listener.routes}`);
      }
      return { snapshot, tables, opened: openNew(snapshot) };
    },
    commit({ snapshot, tables, opened }) {
      upstreams.apply(snapshot.clusters);
      const wanted = new Set(snapshot.listeners.map((l) => l.name));
      for (const [name, o] of [...open]) if (!wanted.has(name) || opened.has(name)) unlisten(name, o);
      for (const spec of snapshot.listeners) {
        const table = tables.get(spec.routes)!;
        const old = open.get(spec.name);
        if (old !== undefined) {
          old.view.table = table;
          continue;
        }
        const id = engine.listen(opened.get(spec.name)!);
        const view = { name: spec.name, port: spec.port, table };
        views.set(id, view);
        open.set(spec.name, { id, spec, view });
      }
    },
    abort({ opened }) {
      for (const bound of opened.values()) bound.close();
    },
    view: (id) => views.get(id),
    stop() {
      for (const [name, o] of [...open]) unlisten(name, o);
    },
  };
}
