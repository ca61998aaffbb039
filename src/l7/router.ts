// The router as the main thread knows it: starts the workers, hands each snapshot to all of them in two steps, and
// gives a worker that was lost a successor that gets the whole.
import { closeSync, openSync, renameSync, statSync } from 'node:fs';
import { getCompileCacheDir } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { systemClock } from '../lib/clock.ts';
import type { Clock } from '../lib/clock.ts';
import type { Ack, ClusterKey, Consumer, Endpoints, Nack, Snapshot } from '../mesh/snapshot.ts';
import { NO_ROUTE, STAT_ROWS, StatRows, counterMemory, readStats } from './record/counters.ts';
import type { RouteStats } from './record/counters.ts';
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
  /** After so many the client is told to connect anew. Default: none, an old connection costs no more than a young. */
  readonly maxRequestsPerConnection?: number;
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
  /** Names of ingress ports by id, for the access log. */
  ports(names: ReadonlyMap<number, string>): void;
  /** Resolves when all workers answer; false: they do not in time. */
  started(): Promise<boolean>;
  /** Counters of each route in force, in the snapshot's order; the last is what no route took (route ""). */
  routeStats(): readonly RouteRow[];
  /** Engine counters of each worker that answers in time. */
  workerStats(): Promise<readonly WorkerStats[]>;
  /** Workers that ended by themselves. */
  crashes(): number;
  /** Ends a worker at once, as a crash would: its connections break, a successor takes its place. */
  endWorker(index: number): Promise<void>;
  /** Stops accepting. Clients are answered, and told to go by their next answer, until all are gone or `drainMs` is
   * over; then ends the workers. */
  stop(drainMs?: number): Promise<void>;
}

interface Hand {
  readonly index: number;
  readonly memory: SharedArrayBuffer;
  worker: Worker;
  alive: boolean;
  /** Times it was lost since it last served. */
  losses: number;
}

const ACK_MS = 2_000;
const DRAIN_MS = 30_000;
/** Times that a worker may let the time for an answer pass while it starts. */
const STARTS = 10;
const RESTART_MS = 50;
const MAX_RESTART_MS = 5_000;
const LOG_LOOK_MS = 10_000;
const LOG_BYTES = 256 * 1024 * 1024;

/** Starts the workers. They serve nothing until the first offer. Throws where the access log can't be opened. */
export function startRouter(o: RouterOptions = {}): Router {
  return new WorkerRouter(o);
}

class WorkerRouter implements Router {
  private readonly o: RouterOptions;
  private readonly clock: Clock;
  private readonly ackMs: number;
  private readonly hands: readonly Hand[];
  private readonly latest = new Map<ClusterKey, Endpoints>();
  private readonly stats = new StatRows();
  private readonly waiting = new Map<string, (m: FromWorker) => void>();
  private readonly timers = new Set<Disposable>();
  private inForce: Snapshot | undefined;
  private portNames: ReadonlyMap<number, string> = new Map();
  private seq = 0;
  private lostWorkers = 0;
  private stopping = false;
  /** One offer at a time. */
  private chain: Promise<unknown> = Promise.resolve();

  constructor(o: RouterOptions) {
    this.o = o;
    this.clock = o.clock ?? systemClock;
    this.ackMs = o.ackMs ?? ACK_MS;
    if (o.accessLog !== undefined) closeSync(openSync(o.accessLog, 'a', 0o640));
    this.hands = Array.from({ length: o.workers ?? availableParallelism() }, (_, index) => {
      const memory = counterMemory();
      return { index, memory, worker: this.spawn(index, memory), alive: true, losses: 0 };
    });
    for (const hand of this.hands) this.watch(hand);
    this.watchLog();
  }

  private spawn(index: number, counters: SharedArrayBuffer): Worker {
    const { o } = this;
    const workerData: WorkerStart = {
      counters,
      accessLog: o.accessLog,
      times: o.times ?? {},
      maxConnections: o.maxConnections ?? 16_384,
      maxRequestsPerConnection: o.maxRequestsPerConnection ?? 0,
      seed: (o.seed ?? (() => (Math.random() * 0x1_0000_0000) >>> 0))(),
    };
    // Descriptors of listening sockets are opened outside of node's book-keeping.
    // What was compiled for one thread is not known to another, but for this variable; Node adds a folder for itself.
    const compiled = getCompileCacheDir();
    const env = compiled === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(compiled) };
    const more = { name: `l7-${index}`, trackUnmanagedFds: false, env };
    return new Worker(new URL('./worker.ts', import.meta.url), { workerData, ...more });
  }

  private watch(hand: Hand): void {
    hand.worker.on('message', (m: FromWorker) => {
      if (m.type === 'fault') this.o.onFault?.(`l7-${hand.index}: ${m.what}`);
      else if (m.type === 'stopped') this.waiting.get(`stopped ${hand.index}`)?.(m);
      else this.waiting.get(`${m.type} ${m.seq} ${hand.index}`)?.(m);
    });
    hand.worker.on('error', (error: Error) => this.o.onFault?.(`l7-${hand.index}: ${error.stack ?? error.message}`));
    hand.worker.on('exit', () => this.lost(hand));
  }

  private lost(hand: Hand): void {
    hand.alive = false;
    if (this.stopping) return;
    this.lostWorkers += 1;
    this.o.onFault?.(`l7-${hand.index} ended by itself`);
    hand.losses += 1;
    this.later(Math.min(RESTART_MS * 2 ** hand.losses, MAX_RESTART_MS), () => {
      if (this.stopping) return;
      hand.worker = this.spawn(hand.index, hand.memory);
      hand.alive = true;
      this.watch(hand);
      this.send(hand, { type: 'ports', names: this.portNames });
      for (const endpoints of this.latest.values()) this.send(hand, { type: 'endpoints', endpoints });
      this.chain = this.chain.then(() => this.catchUp(hand));
    });
  }

  /** Gives a new worker what the others serve; one that can't serve it makes room for the next. */
  private async catchUp(hand: Hand): Promise<void> {
    if (this.inForce === undefined || !hand.alive) return;
    const why = await this.give([hand], this.inForce, []);
    if (why === undefined) hand.losses = 0;
    else {
      this.o.onFault?.(`l7-${hand.index}: ${why}`);
      await hand.worker.terminate();
    }
  }

  private later(ms: number, call: () => void): void {
    const timer = this.clock.after(ms, () => {
      this.timers.delete(timer);
      call();
    });
    this.timers.add(timer);
  }

  private send(hand: Hand, m: ToWorker): void {
    if (hand.alive) hand.worker.postMessage(m);
  }

  /** Sends to each and waits for each one's answer; undefined from one that gave none in time. */
  private ask(to: readonly Hand[], m: ToWorker, key: string, ms: number): Promise<(FromWorker | undefined)[]> {
    return Promise.all(
      to.map(
        (hand) =>
          new Promise<FromWorker | undefined>((resolve) => {
            const name = `${key} ${hand.index}`;
            const settle = (answer: FromWorker | undefined) => {
              timer[Symbol.dispose]();
              this.waiting.delete(name);
              resolve(answer);
            };
            const timer = this.clock.after(ms, () => settle(undefined));
            this.waiting.set(name, settle);
            this.send(hand, m);
          }),
      ),
    );
  }

  /** Both steps with some workers. Gives why it failed; then nothing has changed, unless a worker died on the way. */
  private async give(to: readonly Hand[], snapshot: Snapshot, fresh: readonly number[]): Promise<string | undefined> {
    this.seq += 1;
    const mine = this.seq;
    const prepare: ToWorker = { type: 'prepare', seq: mine, snapshot, stats: this.stats.rows(), fresh };
    const prepared = await this.ask(to, prepare, `prepared ${mine}`, this.ackMs);
    const failed = prepared.map((m) => (m?.type === 'prepared' ? m.why : `no answer in ${this.ackMs} ms`));
    const why = failed.find((w) => w !== undefined);
    if (why !== undefined) {
      for (const hand of to) this.send(hand, { type: 'abort', seq: mine });
      return why;
    }
    const committed = await this.ask(to, { type: 'commit', seq: mine }, `committed ${mine}`, this.ackMs);
    return committed.includes(undefined) ? `no answer in ${this.ackMs} ms` : undefined;
  }

  offer(snapshot: Snapshot): Promise<Ack | Nack> {
    const result = this.chain.then(() => this.take(snapshot));
    this.chain = result;
    return result;
  }

  private async take(snapshot: Snapshot): Promise<Ack | Nack> {
    const { version } = snapshot;
    const refuse = (why: string): Nack => ({ ok: false, version, why });
    if (this.stopping) return refuse('the router is stopping');
    const fresh = this.stats.add(snapshot);
    if (fresh === undefined) {
      this.stats.settle(this.inForce);
      return refuse(`more than ${STAT_ROWS - 1} routes`);
    }
    // A worker that is being replaced gets what is in force when it comes.
    const alive = this.hands.filter((hand) => hand.alive);
    const why = alive.length === 0 ? 'no worker is running' : await this.give(alive, snapshot, fresh);
    this.stats.settle(why === undefined ? snapshot : this.inForce);
    if (why !== undefined) return refuse(why);
    this.inForce = snapshot;
    return { ok: true, version };
  }

  endpoints(e: Endpoints): void {
    if (e.list.length === 0) this.latest.delete(e.cluster);
    else this.latest.set(e.cluster, e);
    for (const hand of this.hands) this.send(hand, { type: 'endpoints', endpoints: e });
  }

  ports(names: ReadonlyMap<number, string>): void {
    this.portNames = names;
    for (const hand of this.hands) this.send(hand, { type: 'ports', names });
  }

  running(): Snapshot | undefined {
    return this.inForce;
  }

  async started(): Promise<boolean> {
    for (let i = 0; i < STARTS && !this.stopping; i += 1) {
      const answers = await this.workerStats();
      if (answers.length === this.hands.length) return true;
    }
    return false;
  }

  routeStats(): readonly RouteRow[] {
    const memories = this.hands.map((hand) => hand.memory);
    const list: RouteRow[] = [];
    for (const [table, route, row] of this.stats.inForce()) list.push({ table, route, ...readStats(memories, row) });
    list.push({ table: '', route: '', ...readStats(memories, NO_ROUTE) });
    return list;
  }

  async workerStats(): Promise<readonly WorkerStats[]> {
    this.seq += 1;
    const { seq } = this;
    const answers = await this.ask(this.hands, { type: 'stats', seq }, `stats ${seq}`, this.ackMs);
    return answers.flatMap((m, worker) =>
      m?.type === 'stats' ? [{ worker, ...m.engine, logDropped: m.logDropped, faults: m.faults }] : [],
    );
  }

  crashes(): number {
    return this.lostWorkers;
  }

  async endWorker(index: number): Promise<void> {
    await this.hands[index]?.worker.terminate();
  }

  private watchLog(): void {
    const file = this.o.accessLog;
    if (file === undefined || this.stopping) return;
    this.later(LOG_LOOK_MS, () => {
      try {
        const reopen = () => this.hands.forEach((hand) => this.send(hand, { type: 'reopen' }));
        rotate(file, this.o.accessLogBytes ?? LOG_BYTES, reopen);
      } catch (error) {
        this.o.onFault?.(`access log: ${(error as Error).message}`);
      }
      this.watchLog();
    });
  }

  async stop(drainMs = DRAIN_MS): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    for (const timer of this.timers) timer[Symbol.dispose]();
    const alive = this.hands.filter((hand) => hand.alive);
    await this.ask(alive, { type: 'stop', drainMs }, 'stopped', drainMs + this.ackMs);
    await Promise.all(this.hands.map((hand) => hand.worker.terminate()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }
}

/** Moves a log that has grown beyond `bytes` aside. */
function rotate(file: string, bytes: number, reopen: () => void): void {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined || stat.size < bytes) return;
  renameSync(file, `${file}.1`);
  reopen();
}
