// The router as the main thread knows it: starts the workers, hands each snapshot to all of them in two steps, has the
// sockets that they accept from, and gives a worker that was lost a successor that gets the whole.
import { randomInt } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { discardParked, listenerCrowds, parkedConnections } from '../kernel/l7.ts';
import { systemClock } from '../lib/clock.ts';
import type { Clock } from '../lib/clock.ts';
import type { Ack, ClusterKey, Consumer, Endpoints, Nack, Snapshot } from '../mesh/snapshot.ts';
import { NO_ROUTE, StatRows, counterMemory, readStats } from './record/counters.ts';
import { rotate } from './record/rotate.ts';
import { listenerStats } from './record/stats.ts';
import type { ListenerStats, RouteRow, WorkerStats } from './record/stats.ts';
import type { EngineTimes } from './transport.ts';
import { TICKET_KEY_MS, newTicketKeys, nextTicketKeys } from './tls/tickets.ts';
import { give } from './worker/give.ts';
import { Hand } from './worker/hand.ts';
import { Places } from './worker/places.ts';
import type { Taken } from './worker/places.ts';
import type { ToWorker } from './worker/worker.ts';

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

export interface Router extends Consumer, AsyncDisposable {
  /** The snapshot in force. */
  running(): Snapshot | undefined;
  /** Names of ingress ports by id, for the access log. */
  ports(names: ReadonlyMap<number, string>): void;
  /** Resolves when all workers answer; false: they do not in time. */
  started(): Promise<boolean>;
  /** Counters of each route in force, in the snapshot's order; the last is what no route took (route ""). */
  routeStats(): readonly RouteRow[];
  /** Connections of each listener in force, over all workers. */
  listenerStats(): readonly ListenerStats[];
  /** Engine counters of each worker that answers in time. */
  workerStats(): Promise<readonly WorkerStats[]>;
  /** Workers that ended by themselves. */
  crashes(): number;
  /** Ends a worker at once, as a crash would; a successor takes its place, and others its connections, as far as
   * nothing was under way on them. */
  endWorker(index: number): Promise<void>;
  /** Makes them so many. Who waits to be accepted by one that goes is accepted by another; its connections move. */
  resize(workers: number): Promise<void>;
  /** Where it listens. */
  readonly places: Pick<Places, 'all' | 'adopt'>;
  /** Stops accepting. Clients are answered, and told to go by their next answer, until all are gone or `drainMs` is
   * over; then ends the workers. */
  stop(drainMs?: number): Promise<void>;
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
  private readonly hands: Hand[] = [];
  /** Counters by index of a worker: they outlive it. */
  private readonly memories: SharedArrayBuffer[] = [];
  readonly places = new Places();
  private readonly home = randomInt(1, 2 ** 32);
  private readonly latest = new Map<ClusterKey, Endpoints>();
  private readonly stats = new StatRows();
  private readonly timers = new Set<Disposable>();
  private inForce: Snapshot | undefined;
  private tickets = newTicketKeys();
  private portNames: ReadonlyMap<number, string> = new Map();
  private seq = 0;
  private lostWorkers = 0;
  private stopping = false;
  /** One change at a time. */
  private chain: Promise<unknown> = Promise.resolve();

  constructor(o: RouterOptions) {
    this.o = o;
    this.clock = o.clock ?? systemClock;
    this.ackMs = o.ackMs ?? ACK_MS;
    if (o.accessLog !== undefined) closeSync(openSync(o.accessLog, 'a', 0o640));
    for (let i = o.workers ?? availableParallelism(); i > 0; i -= 1) this.add();
    this.watchLog();
    this.renewTickets();
  }

  private renewTickets(): void {
    this.later(TICKET_KEY_MS, () => {
      this.tickets = nextTicketKeys(this.tickets);
      for (const hand of this.hands) hand.say({ type: 'tickets', keys: this.tickets });
      this.renewTickets();
    });
  }

  private add(): Hand {
    const hand = new Hand(this.hands.length, this.clock);
    this.hands.push(hand);
    this.start(hand);
    return hand;
  }

  private start(hand: Hand): void {
    const { o } = this;
    const start = {
      tickets: this.tickets,
      counters: (this.memories[hand.index] ??= counterMemory()),
      accessLog: o.accessLog,
      times: o.times ?? {},
      maxConnections: o.maxConnections ?? 16_384,
      maxRequestsPerConnection: o.maxRequestsPerConnection ?? 0,
      home: this.home,
      seed: (o.seed ?? (() => (Math.random() * 0x1_0000_0000) >>> 0))(),
    };
    const fault = (what: string): void => this.o.onFault?.(what);
    hand.start(start, { fault, parked: () => this.rehome(), lost: () => this.lost(hand) });
  }

  private lost(hand: Hand): void {
    if (this.stopping || !this.hands.includes(hand)) return;
    this.lostWorkers += 1;
    this.o.onFault?.(`${hand.name} ended by itself`);
    hand.losses += 1;
    void this.inTurn(() => {
      this.share();
      this.rehome();
    });
    this.later(Math.min(RESTART_MS * 2 ** hand.losses, MAX_RESTART_MS), () => {
      if (this.stopping || !this.hands.includes(hand)) return;
      this.start(hand);
      void this.inTurn(() => this.catchUp(hand));
    });
  }

  private inTurn<T>(change: () => Promise<T> | T): Promise<T> {
    const result = this.chain.then(change);
    this.chain = result.catch(() => undefined);
    return result;
  }

  /** Gives a new worker what the others serve; one that can't serve it makes room for the next. */
  private async catchUp(hand: Hand): Promise<void> {
    hand.say({ type: 'ports', names: this.portNames });
    for (const endpoints of this.latest.values()) hand.say({ type: 'endpoints', endpoints });
    if (this.inForce === undefined || !hand.alive) return;
    const why = await this.give([hand], this.inForce, this.places.inForce());
    if (why === undefined) {
      hand.losses = 0;
      this.share();
      return this.rehome();
    }
    this.o.onFault?.(`${hand.name}: ${why}`);
    await hand.end();
  }

  private later(ms: number, call: () => void): void {
    const timer = this.clock.after(ms, () => {
      this.timers.delete(timer);
      call();
    });
    this.timers.add(timer);
  }

  private next(): number {
    this.seq += 1;
    return this.seq;
  }

  private sayAll(m: ToWorker): void {
    for (const hand of this.hands) hand.say(m);
  }

  private serving(): readonly number[] {
    return this.hands.filter((hand) => hand.serves).map((hand) => hand.index);
  }

  /** Says anew who accepts where. */
  private share(): void {
    const serving = this.serving();
    for (const hand of this.hands.filter(({ serves }) => serves)) {
      hand.say({ type: 'accept', sockets: this.places.share(this.places.inForce(), hand.index, serving) });
    }
  }

  /** Connections that have no worker go to those that serve. */
  private rehome(): void {
    const serving = this.hands.filter((hand) => hand.serves);
    const parcels = parkedConnections(this.home);
    serving.forEach((hand, i) => {
      const mine = parcels.filter((_, n) => n % serving.length === i);
      if (mine.length > 0) hand.say({ type: 'take', parcels: mine });
    });
  }

  /** Closes descriptors when no worker can have them yet to use: each has answered something that was said later. */
  private async closeLater(fds: readonly number[], hands: readonly Hand[] = this.hands): Promise<void> {
    if (fds.length === 0) return;
    await Promise.all(hands.map((hand) => hand.ask({ type: 'stats', seq: this.next() }, 'stats')));
    for (const fd of fds) closeSync(fd);
  }

  /** Both steps with some workers. Gives why it failed; then nothing has changed. A worker that ends on the way gets
   * what is in force when it is back. */
  private give(to: readonly Hand[], snapshot: Snapshot, places: Pick<Taken, 'of'>): Promise<string | undefined> {
    return give(to, {
      seq: this.next(),
      snapshot,
      before: this.inForce,
      rowOf: (table, route) => this.stats.row(table, route),
      reused: () => this.stats.reused(),
      sockets: (worker) => this.places.share(places, worker, this.serving()),
      ackMs: this.ackMs,
    });
  }

  offer(snapshot: Snapshot): Promise<Ack | Nack> {
    return this.inTurn(() => this.take(snapshot));
  }

  private async take(snapshot: Snapshot): Promise<Ack | Nack> {
    const { version } = snapshot;
    const refuse = (why: string): Nack => ({ ok: false, version, why });
    if (this.stopping) return refuse('the router is stopping');
    const why = await this.putInForce(snapshot);
    this.stats.settle(why === undefined ? snapshot : this.inForce);
    if (why !== undefined) return refuse(why);
    this.inForce = snapshot;
    return { ok: true, version };
  }

  private async putInForce(snapshot: Snapshot): Promise<string | undefined> {
    let taken: Taken;
    try {
      taken = this.places.take(snapshot.listeners, this.hands.length);
    } catch (error) {
      return (error as Error).message;
    }
    // A worker that is being replaced gets what is in force when it comes.
    const alive = this.hands.filter((hand) => hand.alive);
    const why = await this.give(alive, snapshot, taken);
    void this.closeLater(why === undefined ? this.places.commit(taken) : this.places.abort(taken));
    return why;
  }

  resize(workers: number): Promise<void> {
    return this.inTurn(async () => {
      if (this.stopping) return;
      const leaving = this.hands.splice(workers);
      for (const hand of leaving) hand.serves = false;
      this.share();
      for (const hand of leaving) void this.part(hand);
      const more = Array.from({ length: workers - this.hands.length }, () => this.add());
      if (this.inForce !== undefined && more.length > 0) this.places.take(this.inForce.listeners, workers);
      for (const hand of more) await this.catchUp(hand);
    });
  }

  private async part(hand: Hand): Promise<void> {
    const stop = { type: 'stop', seq: this.next(), drainMs: DRAIN_MS, leaving: true } as const;
    await hand.ask(stop, 'stopped', DRAIN_MS + this.ackMs);
    await hand.end();
    this.rehome();
  }

  endpoints(e: Endpoints): void {
    if (e.list.length === 0) this.latest.delete(e.cluster);
    else this.latest.set(e.cluster, e);
    this.sayAll({ type: 'endpoints', endpoints: e });
  }

  ports(names: ReadonlyMap<number, string>): void {
    this.portNames = names;
    this.sayAll({ type: 'ports', names });
  }

  running(): Snapshot | undefined {
    return this.inForce;
  }

  async started(): Promise<boolean> {
    const until = this.clock.monotonic() + STARTS * this.ackMs;
    while (!this.stopping && this.clock.monotonic() < until) {
      const answers = await this.workerStats();
      if (answers.length === this.hands.length) return true;
      await new Promise<void>((resolve) => this.clock.after(RESTART_MS, resolve));
    }
    return false;
  }

  routeStats(): readonly RouteRow[] {
    const list: RouteRow[] = [];
    for (const [table, route, row] of this.stats.inForce(this.inForce)) {
      list.push({ table, route, ...readStats(this.memories, row) });
    }
    list.push({ table: '', route: '', ...readStats(this.memories, NO_ROUTE) });
    return list;
  }

  listenerStats(): readonly ListenerStats[] {
    return listenerStats(listenerCrowds(this.home), (name) => this.places.tagOf(name), this.inForce);
  }

  async workerStats(): Promise<readonly WorkerStats[]> {
    const ask = (hand: Hand) => hand.ask({ type: 'stats', seq: this.next() }, 'stats', this.ackMs);
    const answers = await Promise.all(this.hands.map(ask));
    return answers.flatMap((m, worker) =>
      m === undefined
        ? []
        : [{ worker, ...m.engine, logDropped: m.logDropped, faults: m.faults, changeMs: m.changeMs }],
    );
  }

  crashes(): number {
    return this.lostWorkers;
  }

  async endWorker(index: number): Promise<void> {
    await this.hands[index]?.end();
  }

  private watchLog(): void {
    const file = this.o.accessLog;
    if (file === undefined || this.stopping) return;
    this.later(LOG_LOOK_MS, () => {
      try {
        rotate(file, this.o.accessLogBytes ?? LOG_BYTES, () => this.sayAll({ type: 'reopen' }));
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
    const stopped = this.hands.map((hand) =>
      hand.ask({ type: 'stop', seq: this.next(), drainMs, leaving: false }, 'stopped', drainMs + this.ackMs),
    );
    await this.closeLater(this.places.clear());
    await Promise.all(stopped);
    await Promise.all(this.hands.map((hand) => hand.end()));
    discardParked(this.home);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }
}
