// The router as the main thread knows it: starts the workers, hands each snapshot to all of them in two steps, and
// gives a worker that was lost a successor that gets the whole.
import { renameSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { systemClock } from '../lib/clock.ts';
import type { Clock } from '../lib/clock.ts';
import type { Ack, ClusterKey, Consumer, Endpoints, Nack, Snapshot } from '../mesh/snapshot.ts';
import { NO_ROUTE, STAT_ROWS, counterMemory, readStats } from './counters.ts';
import type { RouteStats } from './counters.ts';
import { statKey } from './listener.ts';
import type { EngineStats, EngineTimes } from './transport.ts';
import type { FromWorker, ToWorker, WorkerStart } from './worker.ts';

export interface RouterOptions {
  /** Default: one a core. */
  readonly workers?: number;
  /** File of the access log; none: no log. */
  readonly accessLog?: string;
  /** Where it is moved aside, once, as FILE.1. */
  readonly accessLogBytes?: number;
  readonly ackMs?: number;
  readonly times?: Partial<EngineTimes>;
  /** Client connections a worker holds at once. */
  readonly maxConnections?: number;
  /** Resolve "." and ".." elements of paths before matching, and pass the result on. Default: a path stays as it came.
   * */
  readonly normalisePaths?: boolean;
  readonly clock?: Clock;
  /** 32-bit numbers that seed the workers' choices. */
  readonly seed?: () => number;
  /** A worker ended by itself, or a request ended in an exception. */
  readonly onFault?: (what: string) => void;
}

export interface RouteRow extends RouteStats {
  readonly table: string;
  readonly route: string;
}

export interface WorkerStats extends EngineStats {
  readonly worker: number;
  readonly logDropped: number;
  /** Exceptions that were answered with 500. */
  readonly faults: number;
}

export interface Router extends Consumer, AsyncDisposable {
  /** The snapshot in force. */
  running(): Snapshot | undefined;
  /** Counters of each route in force, in the snapshot's order; the last is what no route took (route ""). */
  routeStats(): readonly RouteRow[];
  /** Engine counters of each worker that answers in time. */
  workerStats(): Promise<readonly WorkerStats[]>;
  /** Workers that ended by themselves. */
  crashes(): number;
  /** Ends a worker at once, as a crash would: its connections break, a successor takes its place. */
  endWorker(index: number): Promise<void>;
  /** Stops accepting, waits up to `drainMs` for what is under way, ends the workers. */
  stop(drainMs?: number): Promise<void>;
}

interface Hand {
  readonly index: number;
  readonly memory: SharedArrayBuffer;
  worker: Worker;
  alive: boolean;
}

const ACK_MS = 2_000;
const DRAIN_MS = 30_000;
const RESTART_MS = 100;
const LOG_LOOK_MS = 10_000;
const LOG_BYTES = 256 * 1024 * 1024;

/** Starts the workers. They serve nothing until the first offer. */
export function startRouter(o: RouterOptions = {}): Router {
  const clock = o.clock ?? systemClock;
  const ackMs = o.ackMs ?? ACK_MS;
  const hands: Hand[] = [];
  const endpoints = new Map<ClusterKey, Endpoints>();
  const stats = createStatRows();
  const waiting = new Map<string, (m: FromWorker) => void>();
  const timers = new Set<Disposable>();
  let running: Snapshot | undefined;
  let seq = 0;
  let crashes = 0;
  let stopping = false;
  let chain: Promise<unknown> = Promise.resolve();

  function start(hand: Hand): void {
    const data: WorkerStart = {
      counters: hand.memory,
      accessLog: o.accessLog,
      times: o.times ?? {},
      maxConnections: o.maxConnections ?? 16_384,
      normalisePaths: o.normalisePaths ?? false,
      seed: (o.seed ?? (() => (Math.random() * 0x1_0000_0000) >>> 0))(),
    };
    hand.worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: data,
      name: `l7-${hand.index}`,
      trackUnmanagedFds: false,
    });
    hand.alive = true;
    hand.worker.on('message', (m: FromWorker) => {
      if (m.type === 'fault') o.onFault?.(`l7-${hand.index}: ${m.what}`);
      else if (m.type === 'stopped') waiting.get(`stopped ${hand.index}`)?.(m);
      else waiting.get(`${m.type} ${m.seq} ${hand.index}`)?.(m);
    });
    hand.worker.on('error', (error: Error) => o.onFault?.(`l7-${hand.index}: ${error.stack ?? error.message}`));
    hand.worker.on('exit', () => lost(hand));
  }

  function lost(hand: Hand): void {
    hand.alive = false;
    if (stopping) return;
    crashes += 1;
    o.onFault?.(`l7-${hand.index} ended by itself`);
    later(RESTART_MS, () => {
      if (stopping) return;
      start(hand);
      for (const e of endpoints.values()) send(hand, { type: 'endpoints', endpoints: e });
      chain = chain.then(() => (running === undefined ? undefined : give([hand], running, [])));
    });
  }

  function later(ms: number, call: () => void): void {
    const timer = clock.after(ms, () => {
      timers.delete(timer);
      call();
    });
    timers.add(timer);
  }

  function send(hand: Hand, m: ToWorker): void {
    if (hand.alive) hand.worker.postMessage(m);
  }

  /** Sends to each and waits for each one's answer; undefined from one that gave none in time. */
  function ask(to: readonly Hand[], m: ToWorker, key: string, ms: number): Promise<(FromWorker | undefined)[]> {
    return Promise.all(
      to.map(
        (hand) =>
          new Promise<FromWorker | undefined>((resolve) => {
            const name = `${key} ${hand.index}`;
            const settle = (answer: FromWorker | undefined) => {
              timer[Symbol.dispose]();
              waiting.delete(name);
              resolve(answer);
            };
            const timer = clock.after(ms, () => settle(undefined));
            waiting.set(name, settle);
            send(hand, m);
          }),
      ),
    );
  }

  /** Both steps with some workers. Gives why it failed; then nothing has changed, unless a worker died on the way. */
  async function give(to: readonly Hand[], snapshot: Snapshot, fresh: readonly number[]): Promise<string | undefined> {
    seq += 1;
    const mine = seq;
    const prepare: ToWorker = { type: 'prepare', seq: mine, snapshot, stats: stats.rows(), fresh };
    const prepared = await ask(to, prepare, `prepared ${mine}`, ackMs);
    const failed = prepared.map((m) => (m?.type === 'prepared' ? m.why : `no answer in ${ackMs} ms`));
    const why = failed.find((w) => w !== undefined);
    if (why !== undefined) {
      for (const hand of to) send(hand, { type: 'abort', seq: mine });
      return why;
    }
    const committed = await ask(to, { type: 'commit', seq: mine }, `committed ${mine}`, ackMs);
    return committed.includes(undefined) ? `no answer in ${ackMs} ms` : undefined;
  }

  async function offer(snapshot: Snapshot): Promise<Ack | Nack> {
    const { version } = snapshot;
    if (stopping) return { ok: false, version, why: 'the router is stopping' };
    const added = stats.add(snapshot);
    if (added === undefined) {
      stats.settle(running);
      return { ok: false, version, why: `more than ${STAT_ROWS - 1} routes` };
    }
    const why = await give(hands, snapshot, added);
    stats.settle(why === undefined ? snapshot : running);
    if (why !== undefined) return { ok: false, version, why };
    running = snapshot;
    return { ok: true, version };
  }

  function watchLog(): void {
    const file = o.accessLog;
    if (file === undefined || stopping) return;
    later(LOG_LOOK_MS, () => {
      rotate(file, o.accessLogBytes ?? LOG_BYTES, () => hands.forEach((hand) => send(hand, { type: 'reopen' })));
      watchLog();
    });
  }

  async function stop(drainMs = DRAIN_MS): Promise<void> {
    if (stopping) return;
    stopping = true;
    for (const timer of timers) timer[Symbol.dispose]();
    const alive = hands.filter((hand) => hand.alive);
    await ask(alive, { type: 'stop', drainMs }, 'stopped', drainMs + ackMs);
    await Promise.all(hands.map((hand) => hand.worker.terminate()));
  }

  const count = o.workers ?? availableParallelism();
  for (let index = 0; index < count; index += 1) {
    const hand = { index, memory: counterMemory(), alive: false } as unknown as Hand;
    hands.push(hand);
    start(hand);
  }
  watchLog();

  return {
    offer(snapshot) {
      const result = chain.then(() => offer(snapshot));
      chain = result;
      return result;
    },
    endpoints(e) {
      if (e.list.length === 0) endpoints.delete(e.cluster);
      else endpoints.set(e.cluster, e);
      for (const hand of hands) send(hand, { type: 'endpoints', endpoints: e });
    },
    running: () => running,
    routeStats() {
      const memories = hands.map((hand) => hand.memory);
      const list: RouteRow[] = [];
      for (const [table, route, row] of stats.inForce()) list.push({ table, route, ...readStats(memories, row) });
      list.push({ table: '', route: '', ...readStats(memories, NO_ROUTE) });
      return list;
    },
    async workerStats() {
      seq += 1;
      const answers = await ask(hands, { type: 'stats', seq }, `stats ${seq}`, ackMs);
      return answers.flatMap((m, worker) =>
        m?.type === 'stats' ? [{ worker, ...m.engine, logDropped: m.logDropped, faults: m.faults }] : [],
      );
    },
    crashes: () => crashes,
    async endWorker(index) {
      await hands[index]?.worker.terminate();
    },
    stop,
    [Symbol.asyncDispose]: () => stop(0),
  };
}

/** Rows of the counters: one a route, kept while its table and name stay. */
function createStatRows() {
  const rows = new Map<string, number>([['', NO_ROUTE]]);
  const free: number[] = [];
  let next = NO_ROUTE + 1;
  let order: (readonly [string, string, number])[] = [];

  function each(snapshot: Snapshot | undefined, call: (key: string, table: string, route: string) => void): void {
    for (const table of snapshot?.routes ?? []) {
      const seen = new Set<string>();
      for (const host of table.hosts) {
        for (const { name } of host.routes) {
          if (seen.has(name)) continue;
          seen.add(name);
          call(statKey(table.name, name), table.name, name);
        }
      }
    }
  }

  return {
    rows: (): ReadonlyMap<string, number> => rows,
    inForce: () => order,
    /** Rows for all routes; those given out now must be cleared. Undefined: no room. */
    add(snapshot: Snapshot): number[] | undefined {
      const fresh: number[] = [];
      let full = false;
      each(snapshot, (key) => {
        if (rows.has(key)) return;
        if (next >= STAT_ROWS && free.length === 0) {
          full = true;
          return;
        }
        // A row that was freed is used last, when nobody counts in it any more.
        const row = next < STAT_ROWS ? next++ : free.shift()!;
        rows.set(key, row);
        fresh.push(row);
      });
      return full ? undefined : fresh;
    },
    /** Gives back the rows of what is not in force. */
    settle(snapshot: Snapshot | undefined): void {
      const keep = new Set<string>(['']);
      order = [];
      each(snapshot, (key, table, route) => {
        keep.add(key);
        order.push([table, route, rows.get(key)!]);
      });
      for (const [key, row] of rows) {
        if (keep.has(key)) continue;
        rows.delete(key);
        free.push(row);
      }
    },
  };
}

/** Moves a log that has grown beyond `bytes` aside. */
function rotate(file: string, bytes: number, reopen: () => void): void {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined || stat.size < bytes) return;
  renameSync(file, `${file}.1`);
  reopen();
}
