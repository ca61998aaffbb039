// A worker thread as the main thread knows it: what is said to it and what it answers, until it ends.
import { getCompileCacheDir } from 'node:module';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Clock } from '../../lib/clock.ts';
import type { Snapshot } from '../../mesh/snapshot.ts';
import type { FromWorker, ToWorker, WorkerStart } from './worker.ts';

type Answer = Extract<FromWorker, { seq: number }>;

/** What is heard of a thread without being asked for. */
export interface Hearing {
  readonly fault: (what: string) => void;
  /** It parked connections for others. */
  readonly parked: () => void;
  /** It ended. */
  readonly lost: () => void;
}

export class Hand {
  readonly index: number;
  /** Times it was lost since it last served. */
  losses = 0;
  /** It has what is in force, and accepts. */
  serves = false;
  /** It accepts nothing any more, and goes when it has no connection. */
  leaving = false;
  /** What it has; undefined: nothing, or it is not known. */
  has: Snapshot | undefined;
  alive = false;
  /** The thread has said something since it was started: its code is loaded. */
  running = false;
  /** Times it was started. */
  life = 0;
  private worker: Worker | undefined;
  private readonly clock: Clock;
  private readonly waiting = new Map<string, (m: Answer | undefined) => void>();

  constructor(index: number, clock: Clock) {
    this.index = index;
    this.clock = clock;
  }

  get name(): string {
    return `l7-${this.index}`;
  }

  /** Starts the thread. */
  start(workerData: WorkerStart, { fault, parked, lost }: Hearing): void {
    // What was compiled for one thread is not known to another, but for this variable; Node adds a folder for itself.
    const compiled = getCompileCacheDir();
    const env = compiled === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(compiled) };
    // Descriptors of connections are opened outside of node's book-keeping.
    const more = { name: this.name, trackUnmanagedFds: false, env };
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData, ...more });
    this.worker = worker;
    this.alive = true;
    this.life += 1;
    worker.on('message', (m: FromWorker) => {
      this.running = true;
      if (m.type === 'fault') fault(`${this.name}: ${m.what}`);
      else if (m.type === 'parked') parked();
      else this.waiting.get(`${m.type} ${m.seq}`)?.(m);
    });
    worker.on('error', (error: Error) => fault(`${this.name}: ${error.stack ?? error.message}`));
    worker.on('exit', () => {
      this.alive = this.running = this.serves = false;
      this.has = undefined;
      for (const settle of this.waiting.values()) settle(undefined);
      lost();
    });
  }

  say(m: ToWorker): void {
    if (this.alive) this.worker?.postMessage(m);
  }

  /** Waits for the answer of that type; undefined: none in `ms` (default: any time), or the thread ended. */
  ask<T extends Answer['type']>(
    m: Extract<ToWorker, { seq: number }>,
    type: T,
    ms?: number,
  ): Promise<Extract<Answer, { type: T }> | undefined> {
    if (!this.alive) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const key = `${type} ${m.seq}`;
      const settle = (answer: Answer | undefined): void => {
        timer?.[Symbol.dispose]();
        this.waiting.delete(key);
        resolve(answer as Extract<Answer, { type: T }> | undefined);
      };
      const timer = ms === undefined ? undefined : this.clock.after(ms, () => settle(undefined));
      this.waiting.set(key, settle);
      this.say(m);
    });
  }

  /** Ends the thread at once. */
  async end(): Promise<void> {
    await this.worker?.terminate();
  }
}
