// The workers of a router: how many there are, who takes the place of one that was lost, and where the connections of
// one that leaves go. The main thread has the sockets that they accept from (places.ts).
import { randomInt } from 'node:crypto';
import { discardParked, listenerCrowds, parkedConnections } from '../../kernel/l7.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Run } from '../../lib/work/queue.ts';
import { passAll, receiveTunnel } from '../move/pass.ts';
import type { Pass, PassedTunnel } from '../move/pass.ts';
import { counterMemory } from '../record/counters.ts';
import { Hand } from './hand.ts';
import type { Places } from './places.ts';
import type { Moves, ToWorker, WorkerStart } from './worker.ts';

export interface CrewOptions {
  readonly clock: Clock;
  readonly places: Places;
  /** One change at a time. */
  readonly inTurn: Run;
  /** What a worker starts with now. */
  readonly begin: () => Omit<WorkerStart, 'counters' | 'home'>;
  /** Gives new workers what the others serve; those that serve it then are marked. */
  readonly bring: (hands: readonly Hand[]) => Promise<void>;
  readonly fault: (what: string) => void;
  readonly ackMs: number;
  /** Most that a worker may take to start. */
  readonly startMs: number;
}

const RESTART_MS = 50;
const MAX_RESTART_MS = 5_000;

export class Crew {
  readonly hands: Hand[] = [];
  /** Those that go, each until it has gone. */
  private readonly leaving = new Map<Hand, Promise<void>>();
  /** Workers that ended by themselves. */
  losses = 0;
  private readonly o: CrewOptions;
  private readonly home = randomInt(1, 2 ** 32);
  /** Counters outlive the worker that writes them, and have one writer. */
  private readonly memories = new Map<SharedArrayBuffer, Hand | undefined>();
  private readonly timers = new Set<Disposable>();
  private stopping = false;
  /** Where tunnels go while all stop. */
  private pass: Pass | undefined;
  private passing: Promise<void> = Promise.resolve();

  constructor(o: CrewOptions) {
    this.o = o;
  }

  private parked(): void {
    if (!this.stopping) return this.rehome();
    this.passing = this.passing.then(() => this.passOn());
  }

  /** Where they are not wanted, or can't leave the process, they stay with these workers. */
  private async passOn(): Promise<void> {
    const { pass } = this;
    const all = pass !== undefined && (await passAll(parkedConnections(this.home), this.home, pass));
    this.rehome();
    if (all) return this.sayAll({ type: 'passed' });
    this.pass = undefined;
    this.sayAll({ type: 'keep' });
  }

  /** Parks a tunnel of another process, for a listener of that tag. False: it is none, and ends. */
  receive(tunnel: PassedTunnel, tag: number): boolean {
    return receiveTunnel(tunnel, this.home, tag);
  }

  /** One more, which serves nothing yet. */
  add(): Hand {
    const hand = new Hand(this.hands.length, this.o.clock);
    this.hands.push(hand);
    this.start(hand);
    return hand;
  }

  private start(hand: Hand): void {
    const start = { ...this.o.begin(), counters: this.memoryOf(hand), home: this.home };
    hand.start(start, {
      fault: this.o.fault,
      parked: () => this.parked(),
      lost: () => this.lost(hand),
    });
  }

  private memoryOf(hand: Hand): SharedArrayBuffer {
    const mine = [...this.memories].find(([, user]) => user === hand || user === undefined);
    const memory = mine?.[0] ?? counterMemory();
    this.memories.set(memory, hand);
    return memory;
  }

  /** Of all workers that ever were. */
  counters(): readonly SharedArrayBuffer[] {
    return [...this.memories.keys()];
  }

  /** What came by each listener, over all workers. */
  crowds(): ReturnType<typeof listenerCrowds> {
    return listenerCrowds(this.home);
  }

  private lost(hand: Hand): void {
    if (!this.hands.includes(hand)) {
      for (const [memory, user] of this.memories) if (user === hand) this.memories.set(memory, undefined);
      return;
    }
    if (this.stopping) return this.parked();
    this.losses += 1;
    this.o.fault(`${hand.name} ended by itself`);
    hand.losses += 1;
    void this.o.inTurn(() => {
      this.share();
      this.rehome();
    });
    this.later(Math.min(RESTART_MS * 2 ** hand.losses, MAX_RESTART_MS), () => {
      if (this.stopping || !this.hands.includes(hand)) return;
      this.start(hand);
      // Changes do not wait for it.
      void this.runs(hand).then((there) => (there ? this.o.inTurn(() => this.settle([hand])) : undefined));
    });
  }

  private later(ms: number, call: () => void): void {
    const timer = this.o.clock.after(ms, () => {
      this.timers.delete(timer);
      call();
    });
    this.timers.add(timer);
  }

  /** Waits for a new worker's thread: how long it takes to load is no answer that is late. One that does not come is
   * ended, and is lost. */
  private async runs(hand: Hand): Promise<boolean> {
    const { life } = hand;
    const answer = await hand.ask({ type: 'stats', seq: 0 }, 'stats', this.o.startMs);
    if (answer !== undefined || hand.life !== life || !hand.alive) return answer !== undefined;
    this.o.fault(`${hand.name} did not start in ${this.o.startMs} ms`);
    await hand.end();
    return false;
  }

  /** New workers serve what the others do, and have their part of all that is accepted. */
  private async settle(fresh: readonly Hand[]): Promise<void> {
    await this.o.bring(fresh);
    for (const hand of fresh) if (hand.serves) hand.losses = 0;
    this.share();
    this.rehome();
  }

  /** Also those that go. */
  all(): readonly Hand[] {
    return [...this.hands, ...this.leaving.keys()];
  }

  sayAll(m: ToWorker): void {
    for (const hand of this.all()) hand.say(m);
  }

  serving(): readonly number[] {
    return this.hands.filter((hand) => hand.serves).map((hand) => hand.index);
  }

  /** Says anew who accepts where. */
  private share(): void {
    const { places } = this.o;
    const serving = this.serving();
    for (const hand of this.hands.filter(({ serves }) => serves)) {
      hand.say({ type: 'accept', sockets: places.share(places.inForce(), hand.index, serving) });
    }
  }

  /** Connections that have no worker go to those that serve. */
  rehome(): void {
    const serving = this.hands.filter((hand) => hand.serves);
    const parcels = parkedConnections(this.home);
    serving.forEach((hand, i) => {
      const mine = parcels.filter((_, n) => n % serving.length === i);
      if (mine.length > 0) hand.say({ type: 'take', parcels: mine });
    });
  }

  /** Makes them so many. Who waits to be accepted by one that goes is accepted by another; its connections move, and
   * what can't is told to go, for at most `drainMs`. */
  async resize(workers: number, drainMs: number): Promise<void> {
    if (this.stopping) return;
    const leaving = this.hands.splice(workers);
    for (const hand of leaving) {
      hand.serves = false;
      hand.leaving = true;
    }
    this.share();
    for (const hand of leaving) this.leaving.set(hand, this.part(hand, drainMs));
    const more = Array.from({ length: workers - this.hands.length }, () => this.add());
    const there = await Promise.all(more.map((hand) => this.runs(hand)));
    if (there.includes(true)) await this.settle(more.filter((_, i) => there[i]));
  }

  private async part(hand: Hand, drainMs: number): Promise<void> {
    await this.end(hand, drainMs, 'all');
    this.leaving.delete(hand);
    this.rehome();
  }

  private async end(hand: Hand, drainMs: number, moves: Moves): Promise<void> {
    await hand.ask({ type: 'stop', seq: 0, drainMs, moves }, 'stopped', drainMs + this.o.ackMs);
    await hand.end();
  }

  /** Ends all, each when its connections are gone or `drainMs` is over. */
  async stop(drainMs: number, pass: Pass | undefined): Promise<void> {
    this.stopping = true;
    this.pass = pass;
    const moves = pass === undefined ? 'none' : 'tunnels';
    for (const timer of this.timers) timer[Symbol.dispose]();
    for (const hand of this.leaving.keys()) this.later(drainMs, () => void hand.end());
    const ended = this.hands.map((hand) => this.end(hand, drainMs, moves));
    await Promise.all([...ended, ...this.leaving.values()]);
    for (const timer of this.timers) timer[Symbol.dispose]();
    await this.passing;
    discardParked(this.home);
  }
}
