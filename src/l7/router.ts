// The router as the main thread knows it: starts the workers, hands each snapshot to all of them in two steps, has the
// sockets that they accept from, and gives a worker that was lost a successor that gets the whole.
import { closeSync, openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { every, systemClock } from '../lib/clock.ts';
import type { Clock } from '../lib/clock.ts';
import { serial } from '../lib/work/queue.ts';
import type { Ack, ClusterKey, Consumer, Endpoints, Nack, Snapshot } from '../mesh/snapshot.ts';
import { NO_ROUTE, StatRows, readStats } from './record/counters.ts';
import { LogFile } from './record/rotate.ts';
import { listenerStats } from './record/stats.ts';
import type { ListenerStats, RouteRow, WorkerStats } from './record/stats.ts';
import type { Pass, PassedTunnel } from './move/pass.ts';
import { ORPHANS } from './transport.ts';
import type { EngineTimes } from './transport.ts';
import { TICKET_KEY_MS, newTicketKeys, nextTicketKeys } from './tls/tickets.ts';
import { Crew } from './worker/crew.ts';
import { give } from './worker/give.ts';
import type { Hand } from './worker/hand.ts';
import { Places } from './worker/places.ts';
import type { Taken } from './worker/places.ts';
import type { WorkerStart } from './worker/worker.ts';

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
  /** Makes them so many, default one a core. Who waits to be accepted by one that goes is accepted by another; its
   * connections move. */
  resize(workers?: number): Promise<void>;
  /** How many there are. */
  workers(): number;
  /** How long what can't move may go on, where a worker or the router stops. */
  drainTimeout(ms: number): void;
  /** Where it listens. */
  readonly places: Pick<Places, 'all' | 'adopt'>;
  /** Stops accepting. Clients are answered, and told to go by their next answer, until all are gone or `drainMs` is
   * over (default: the drain timeout); then ends the workers. Tunnels without TLS go to `pass`, as long as it takes
   * them. */
  stop(drainMs?: number, pass?: Pass): Promise<void>;
  /** Goes on with tunnels of another process, or ends them. Their descriptors are its own. */
  receive(tunnels: readonly PassedTunnel[]): void;
}

const ACK_MS = 2_000;
const DRAIN_MS = 3_600_000;
/** Times that a worker may let the time for an answer pass while it starts. */
const STARTS = 10;
const LOOK_MS = 50;
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
  private readonly startMs: number;
  readonly places = new Places();
  private readonly crew: Crew;
  private readonly latest = new Map<ClusterKey, Endpoints>();
  private readonly stats = new StatRows();
  private readonly timers = new DisposableStack();
  private readonly inTurn = serial();
  private inForce: Snapshot | undefined;
  private tickets = newTicketKeys();
  private portNames: ReadonlyMap<number, string> = new Map();
  private drainMs = DRAIN_MS;
  private seq = 0;
  private stopping = false;

  constructor(o: RouterOptions) {
    this.o = o;
    this.clock = o.clock ?? systemClock;
    this.ackMs = o.ackMs ?? ACK_MS;
    this.startMs = STARTS * this.ackMs;
    if (o.accessLog !== undefined) closeSync(openSync(o.accessLog, 'a', 0o640));
    const { clock, places, inTurn, ackMs, startMs } = this;
    const fault = (what: string): void => o.onFault?.(what);
    const bring = (hands: readonly Hand[]): Promise<void> => this.bring(hands);
    this.crew = new Crew({ clock, places, inTurn, ackMs, startMs, fault, bring, begin: () => this.begin() });
    for (let i = o.workers ?? availableParallelism(); i > 0; i -= 1) this.crew.add();
    if (o.accessLog !== undefined) {
      const file = new LogFile(o.accessLog, o.accessLogBytes ?? LOG_BYTES);
      this.timers.use(every(clock, LOG_LOOK_MS, () => this.lookAtLog(file)));
    }
    this.timers.use(every(clock, TICKET_KEY_MS, () => this.renewTickets()));
  }

  private renewTickets(): void {
    this.tickets = nextTicketKeys(this.tickets);
    this.crew.sayAll({ type: 'tickets', keys: this.tickets });
  }

  private begin(): Omit<WorkerStart, 'counters' | 'home'> {
    const { o } = this;
    return {
      tickets: this.tickets,
      accessLog: o.accessLog,
      times: o.times ?? {},
      maxConnections: o.maxConnections ?? 16_384,
      maxRequestsPerConnection: o.maxRequestsPerConnection ?? 0,
      seed: (o.seed ?? (() => (Math.random() * 0x1_0000_0000) >>> 0))(),
    };
  }

  /** Gives new workers what the others serve; one that can't serve it makes room for the next. */
  private async bring(hands: readonly Hand[]): Promise<void> {
    for (const hand of hands) {
      hand.say({ type: 'ports', names: this.portNames });
      for (const endpoints of this.latest.values()) hand.say({ type: 'endpoints', endpoints });
    }
    const { inForce } = this;
    const alive = hands.filter((hand) => hand.alive);
    if (inForce === undefined || alive.length === 0) return;
    try {
      this.places.take(inForce.listeners, this.crew.hands.length);
    } catch (error) {
      // They have their part of what is bound already.
      this.o.onFault?.((error as Error).message);
    }
    const why = await this.give(alive, inForce, this.places.inForce());
    if (why === undefined) return;
    this.o.onFault?.(`${alive.map((hand) => hand.name).join(', ')}: ${why}`);
    await Promise.all(alive.map((hand) => hand.end()));
  }

  private next(): number {
    this.seq += 1;
    return this.seq;
  }

  /** Closes descriptors when no worker can have them yet to use: each has answered something that was said later. */
  private async closeLater(fds: readonly number[], hands: readonly Hand[] = this.crew.all()): Promise<void> {
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
      sockets: (worker) => this.places.share(places, worker, this.crew.serving()),
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
    const [gone, kept] = why === undefined ? [this.inForce, snapshot] : [snapshot, this.inForce];
    this.stats.settle(kept);
    this.forget(gone, kept);
    if (why !== undefined) return refuse(why);
    this.inForce = snapshot;
    return { ok: true, version };
  }

  /** Endpoints of clusters that are in the one and not in the other: nobody asks for them until they are told again. */
  private forget(one: Snapshot | undefined, other: Snapshot | undefined): void {
    const kept = new Set(other?.clusters.map(({ key }) => key));
    for (const { key } of one?.clusters ?? []) {
      if (!kept.has(key) && this.latest.has(key)) this.endpoints({ cluster: key, version: '', list: [] });
    }
  }

  private async putInForce(snapshot: Snapshot): Promise<string | undefined> {
    let taken: Taken;
    try {
      taken = this.places.take(snapshot.listeners, this.crew.hands.length);
    } catch (error) {
      return (error as Error).message;
    }
    // A worker that is being replaced gets what is in force when it comes.
    const alive = this.crew.all().filter((hand) => hand.alive && (hand.running || hand.losses === 0));
    const why = await this.give(alive, snapshot, taken);
    void this.closeLater(why === undefined ? this.places.commit(taken) : this.places.abort(taken));
    return why;
  }

  resize(workers = availableParallelism()): Promise<void> {
    return this.inTurn(() => this.crew.resize(workers, this.drainMs));
  }

  workers(): number {
    return this.crew.hands.length;
  }

  drainTimeout(ms: number): void {
    this.drainMs = ms;
  }

  endpoints(e: Endpoints): void {
    if (e.list.length === 0) this.latest.delete(e.cluster);
    else this.latest.set(e.cluster, e);
    this.crew.sayAll({ type: 'endpoints', endpoints: e });
  }

  ports(names: ReadonlyMap<number, string>): void {
    this.portNames = names;
    this.crew.sayAll({ type: 'ports', names });
  }

  running(): Snapshot | undefined {
    return this.inForce;
  }

  async started(): Promise<boolean> {
    const until = this.clock.monotonic() + this.startMs;
    while (!this.stopping && this.clock.monotonic() < until) {
      const answers = await this.workerStats();
      if (answers.length === this.workers()) return true;
      await new Promise<void>((resolve) => this.clock.after(LOOK_MS, resolve));
    }
    return false;
  }

  routeStats(): readonly RouteRow[] {
    const list: RouteRow[] = [];
    const read = readStats(this.crew.counters());
    for (const [table, route, row] of this.stats.inForce(this.inForce)) {
      list.push({ table, route, ...read(row) });
    }
    list.push({ table: '', route: '', ...read(NO_ROUTE) });
    return list;
  }

  listenerStats(): readonly ListenerStats[] {
    return listenerStats(this.crew.crowds(), (name) => this.places.tagOf(name), this.inForce);
  }

  async workerStats(): Promise<readonly WorkerStats[]> {
    const ask = (hand: Hand) => hand.ask({ type: 'stats', seq: this.next() }, 'stats', this.ackMs);
    const answers = await Promise.all(this.crew.hands.map(ask));
    return answers.flatMap((m, worker) =>
      m === undefined
        ? []
        : [{ worker, ...m.engine, logDropped: m.logDropped, faults: m.faults, changeMs: m.changeMs }],
    );
  }

  crashes(): number {
    return this.crew.losses;
  }

  async endWorker(index: number): Promise<void> {
    await this.crew.hands[index]?.end();
  }

  private lookAtLog(file: LogFile): void {
    try {
      if (file.look()) this.crew.sayAll({ type: 'reopen' });
    } catch (error) {
      this.o.onFault?.(`access log: ${(error as Error).message}`);
    }
  }

  receive(tunnels: readonly PassedTunnel[]): void {
    const known = new Set(this.inForce?.listeners.map(({ name }) => name));
    const tagOf = ({ listener }: PassedTunnel): number => (known.has(listener) ? this.places.tagOf(listener) : ORPHANS);
    const bad = tunnels.filter((one) => !this.crew.receive(one, tagOf(one))).length;
    if (bad > 0) this.o.onFault?.(`${bad} of ${tunnels.length} tunnels of another process make no sense: ended`);
    this.crew.rehome();
  }

  async stop(drainMs = this.drainMs, pass?: Pass): Promise<void> {
    if (this.stopping) return;
    this.stopping = true;
    const stopped = this.crew.stop(drainMs, pass);
    await this.closeLater(this.places.clear());
    await stopped;
    this.timers.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }
}
