// A worker thread of the router: one engine, one chain. It hears of the world through its MessagePort and answers
// there; requests never wait for it.
import { flushCompileCache } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../../lib/clock.ts';
import { inTurns } from '../../lib/work/turns.ts';
import type { Endpoints } from '../../mesh/snapshot.ts';
import { Chain } from '../chain.ts';
import { counterWriter } from '../record/counters.ts';
import type { CounterWriter } from '../record/counters.ts';
import { Http2 } from '../http2/http2.ts';
import { readLabel } from '../head/outcome.ts';
import { Listeners } from './listener.ts';
import type { Prepared } from './prepare.ts';
import { unpack } from './steps.ts';
import type { Packed } from './steps.ts';
import type { Sockets } from './places.ts';
import { openAccessLog } from '../record/log.ts';
import { tellMalformed } from '../record/malformed.ts';
import type { AccessLog } from '../record/log.ts';
import { createRandom } from '../upstream/pick.ts';
import type { TicketKeys } from '../tls/tickets.ts';
import { openEngine } from '../transport-native.ts';
import type { Engine, EngineStats, EngineTimes } from '../transport.ts';
import { Upstreams } from '../upstream/upstream.ts';

export interface WorkerStart {
  readonly counters: SharedArrayBuffer;
  readonly accessLog: string | undefined;
  readonly times: Partial<EngineTimes>;
  readonly maxConnections: number;
  readonly maxRequestsPerConnection: number;
  readonly seed: number;
  readonly tickets: TicketKeys;
  readonly home: number;
}

export type ToWorker =
  /** `anew`: the steps begin from nothing, else from what it has. `clear`: counters that are given to other routes. */
  | { type: 'prepare'; seq: number; steps: Packed; anew: boolean; clear: readonly number[] }
  | { type: 'commit'; seq: number; sockets: Sockets }
  /** From now on it accepts at these, and at no other. */
  | { type: 'accept'; sockets: Sockets }
  | { type: 'abort'; seq: number }
  | { type: 'endpoints'; endpoints: Endpoints }
  | { type: 'tickets'; keys: TicketKeys }
  | { type: 'ports'; names: ReadonlyMap<number, string> }
  | { type: 'stats'; seq: number }
  | { type: 'reopen' }
  /** Connections that another worker parked. */
  | { type: 'take'; parcels: readonly number[] }
  | { type: 'stop'; seq: number; drainMs: number; moves: Moves }
  /** What it parked is elsewhere. */
  | { type: 'passed' }
  /** What it parked is given back, and what it has stays with it from now on. */
  | { type: 'keep' };

/** Which connections of a worker that stops go on elsewhere: in other workers, or, if they are tunnels without TLS, in
 * another process. */
export type Moves = 'all' | 'tunnels' | 'none';

export type FromWorker =
  | { type: 'prepared'; seq: number; why: string | undefined }
  | { type: 'committed'; seq: number }
  | { type: 'stats'; seq: number; engine: EngineStats; logDropped: number; faults: number; changeMs: number }
  | { type: 'fault'; what: string }
  /** It parked connections. */
  | { type: 'parked' }
  | { type: 'stopped'; seq: number };

type Prepare = Extract<ToWorker, { type: 'prepare' }>;

/** Of work on a change between two turns. */
const CHANGE_MS = 0.25;
/** How often a stopping worker looks whether its connections are done, at first and later on. */
const DRAIN_LOOK_MS = 20;
const LATE_LOOK_MS = 250;
/** How long a connection of HTTP/2 that is to move is waited for to have no stream. */
const REST_MS = 1_000;
/** Connections that are parked at once: none waits long for who takes it. */
const PARKED_AT_ONCE = 512;
/** How long a client that was let be may still read its end. */
const LAST_MS = 1_000;

class L7Worker {
  private readonly say: (m: FromWorker) => void;
  private readonly engine: Engine;
  private readonly upstreams: Upstreams;
  private readonly listeners: Listeners;
  private readonly counters: CounterWriter;
  private readonly log: AccessLog | undefined;
  private readonly chain: Chain;
  private readonly http2: Http2;
  private faults = 0;
  private moves: Moves = 'none';
  /** It may get back what it parked. */
  private passing = false;
  private prepared: Prepared | undefined;
  private preparedSeq = 0;
  private preparing = new AbortController();
  /** Ends when nothing is prepared: what one gives up is given back before the next takes something. */
  private work: Promise<void> = Promise.resolve();
  /** Milliseconds of the longest piece of work on the last change. */
  private changeMs = 0;

  constructor(start: WorkerStart, say: (m: FromWorker) => void) {
    const { times, maxConnections, maxRequestsPerConnection, accessLog } = start;
    this.say = say;
    this.engine = openEngine({ onBatch: (n) => this.chain.onBatch(n), times, maxConnections, home: start.home });
    this.engine.ticketKeys(start.tickets.current, start.tickets.previous);
    const random = createRandom(start.seed);
    this.upstreams = new Upstreams(this.engine, random);
    this.listeners = new Listeners(this.engine, this.upstreams, random);
    this.counters = counterWriter(start.counters);
    this.log = accessLog === undefined ? undefined : openAccessLog(accessLog);
    const fault = (error: unknown): void => this.fault(error);
    const agreed = (conn: number): string | undefined => this.engine.peer(conn).tls?.alpn;
    const maxRequests = (base: number): number => this.chain.maxRequests(base);
    const shared = {
      clock: systemClock,
      counters: this.counters,
      log: this.log,
      listener: (id: number) => this.listeners.view(id),
      host: (policy: string) => this.listeners.host(policy),
      fault,
    };
    const malformed = tellMalformed(this.engine, shared);
    const http2 = new Http2(this.engine, { clock: systemClock, fault, agreed, maxRequests, malformed });
    this.http2 = http2;
    this.upstreams.dropped = (endpoint) => http2.upstream.dropEndpoint(endpoint);
    this.upstreams.translated = (endpoint) => http2.upstream.translate(endpoint);
    this.chain = new Chain(this.engine, {
      ...shared,
      http2,
      upstreams: this.upstreams,
      maxRequestsPerConnection,
    });
  }

  private fault(error: unknown): void {
    this.faults += 1;
    this.say({ type: 'fault', what: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }

  /** Work on a change is done between the turns of the engine: requests are decided by what is in force meanwhile. */
  private prepare(m: Prepare): void {
    this.abort();
    const { signal } = (this.preparing = new AbortController());
    this.work = this.work.then(() => this.compile(m, signal));
  }

  private async compile({ seq, steps, anew, clear }: Prepare, signal: AbortSignal): Promise<void> {
    this.changeMs = 0;
    try {
      signal.throwIfAborted();
      for (const stat of clear) this.counters.clear(stat);
      const work = this.listeners.prepare(unpack(steps), anew);
      const prepared = await inTurns(work, CHANGE_MS, { signal, spent: (ms) => this.spent(ms) });
      this.prepared = prepared;
      this.preparedSeq = seq;
      this.say({ type: 'prepared', seq, why: undefined });
    } catch (error) {
      if (!signal.aborted) this.say({ type: 'prepared', seq, why: (error as Error).message });
    }
  }

  private spent(ms: number): void {
    this.changeMs = Math.max(this.changeMs, ms);
  }

  private abort(): void {
    this.preparing.abort();
    if (this.prepared !== undefined) this.listeners.abort(this.prepared);
    this.prepared = undefined;
  }

  private commit(seq: number, sockets: Sockets): void {
    if (this.preparedSeq !== seq || this.prepared === undefined) return;
    const begun = performance.now();
    this.listeners.commit(this.prepared, sockets);
    this.prepared = undefined;
    this.spent(performance.now() - begun);
    this.say({ type: 'committed', seq });
  }

  /** A client hears by its next answer that this is the end; one that asks nothing, and a tunnel, is let be until the
   * time is over. */
  private async stop({ seq, drainMs, moves }: Extract<ToWorker, { type: 'stop' }>): Promise<void> {
    // Whose connections go to other workers serves as they do until it has none.
    if (moves === 'all') this.listeners.accept(new Map());
    else this.listeners.stop();
    this.moves = moves;
    await this.emptied(drainMs);
    this.moves = 'none';
    this.engine.end('idle');
    await this.emptied(Math.min(drainMs, LAST_MS));
    this.engine.end('all');
    // Also what was cut has its line in the log.
    await this.emptied(Math.max(DRAIN_LOOK_MS, Math.min(drainMs, LAST_MS)));
    this.engine.shut();
    await this.log?.close();
    this.say({ type: 'stopped', seq });
  }

  /** Waits until no client is left, at most so long. */
  private async emptied(ms: number): Promise<void> {
    const began = performance.now();
    const until = began + ms;
    let stay = this.moves === 'all';
    for (let look = DRAIN_LOOK_MS; ; look = Math.min(look * 1.1, LATE_LOOK_MS)) {
      this.park();
      const left = until - performance.now();
      if (stay && performance.now() - began > REST_MS) {
        // With streams all the time: its client goes elsewhere with the next one.
        stay = false;
        this.http2.server.drainAll();
      }
      if ((this.engine.stats().connections === 0 && !this.passing) || left <= 0) return;
      await new Promise((resolve) => setTimeout(resolve, Math.min(look, left)));
    }
  }

  private park(): void {
    if (this.moves === 'none') return;
    if (this.moves === 'all') this.http2.server.settle();
    if (this.engine.park(this.moves, PARKED_AT_ONCE) === 0) return;
    this.passing = this.moves === 'tunnels';
    this.say({ type: 'parked' });
  }

  private keep(): void {
    this.moves = 'none';
    this.passing = false;
  }

  private take(parcel: number): void {
    const taken = this.engine.take(parcel);
    if (taken === undefined) return;
    const label = readLabel(taken.label);
    if (label === undefined) return this.chain.adopt(taken);
    const { view, stat } = this.listeners.find(label.listener, label.route);
    this.chain.adopt(taken, label, view, stat);
  }

  hear(m: ToWorker): void {
    if (m.type === 'prepare') this.prepare(m);
    else if (m.type === 'commit') this.commit(m.seq, m.sockets);
    else if (m.type === 'accept') this.listeners.accept(m.sockets);
    else if (m.type === 'abort') this.abort();
    else if (m.type === 'tickets') this.engine.ticketKeys(m.keys.current, m.keys.previous);
    else if (m.type === 'endpoints') this.upstreams.endpoints(m.endpoints);
    else if (m.type === 'ports') this.log?.ports(m.names);
    else if (m.type === 'reopen') this.log?.reopen();
    else if (m.type === 'take') for (const parcel of m.parcels) this.take(parcel);
    else if (m.type === 'passed') this.passing = false;
    else if (m.type === 'keep') this.keep();
    else if (m.type === 'stop') void this.stop(m);
    else {
      const { faults, changeMs } = this;
      const logDropped = this.log?.dropped() ?? 0;
      this.say({ type: 'stats', seq: m.seq, engine: this.engine.stats(), logDropped, faults, changeMs });
    }
  }
}

if (parentPort !== null) {
  const port = parentPort;
  // Patterns come from configuration; a bad one must cost time that grows with the path, not with its square.
  setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');
  const worker = new L7Worker(workerData as WorkerStart, (m) => port.postMessage(m));
  port.on('message', (m: ToWorker) => worker.hear(m));
  // Kept for the next start, also where this one is killed.
  flushCompileCache();
}
