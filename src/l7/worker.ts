// A worker thread of the router: one engine, one chain, its own accept queues. It hears of the world through its
// MessagePort and answers there; requests never wait for it.
import { setFlagsFromString } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { systemClock } from '../lib/clock.ts';
import type { Endpoints, Snapshot } from '../mesh/snapshot.ts';
import { createChain } from './chain.ts';
import type { Chain } from './chain.ts';
import { counterWriter } from './counters.ts';
import { createListeners } from './listener.ts';
import type { Prepared } from './listener.ts';
import { openAccessLog } from './log.ts';
import { createRandom } from './pick.ts';
import { openNetEngine } from './transport-net.ts';
import type { EngineStats, EngineTimes } from './transport.ts';
import { createUpstreams } from './upstream.ts';

export interface WorkerStart {
  readonly counters: SharedArrayBuffer;
  readonly accessLog: string | undefined;
  readonly times: Partial<EngineTimes>;
  readonly maxConnections: number;
  readonly normalisePaths: boolean;
  readonly seed: number;
}

export type ToWorker =
  | { type: 'prepare'; seq: number; snapshot: Snapshot; stats: ReadonlyMap<string, number>; fresh: readonly number[] }
  | { type: 'commit'; seq: number }
  | { type: 'abort'; seq: number }
  | { type: 'endpoints'; endpoints: Endpoints }
  | { type: 'stats'; seq: number }
  | { type: 'reopen' }
  | { type: 'stop'; drainMs: number };

export type FromWorker =
  | { type: 'prepared'; seq: number; why: string | undefined }
  | { type: 'committed'; seq: number }
  | { type: 'stats'; seq: number; engine: EngineStats; logDropped: number; faults: number }
  | { type: 'fault'; what: string }
  | { type: 'stopped' };

/** How often a stopping worker looks whether its connections are done. */
const DRAIN_LOOK_MS = 20;

function run(start: WorkerStart, say: (m: FromWorker) => void, hear: (on: (m: ToWorker) => void) => void): void {
  // Patterns come from configuration; a bad one must cost time that grows with the path, not with its square.
  setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');
  let chain: Chain;
  let faults = 0;
  const engine = openNetEngine({
    onBatch: (n) => chain.onBatch(n),
    times: start.times,
    maxConnections: start.maxConnections,
  });
  const random = createRandom(start.seed);
  const upstreams = createUpstreams(engine, random);
  const listeners = createListeners(engine, upstreams, random);
  const counters = counterWriter(start.counters);
  const log = start.accessLog === undefined ? undefined : openAccessLog(start.accessLog);
  chain = createChain(engine, {
    clock: systemClock,
    upstreams,
    counters,
    log,
    normalisePaths: start.normalisePaths,
    listener: listeners.view,
    fault(error) {
      faults += 1;
      say({ type: 'fault', what: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    },
  });
  let prepared: Prepared | undefined;
  let preparedSeq = 0;

  function prepare(m: Extract<ToWorker, { type: 'prepare' }>): void {
    if (prepared !== undefined) listeners.abort(prepared);
    prepared = undefined;
    try {
      prepared = listeners.prepare(m.snapshot, m.stats);
      preparedSeq = m.seq;
      for (const stat of m.fresh) counters.clear(stat);
      say({ type: 'prepared', seq: m.seq, why: undefined });
    } catch (error) {
      say({ type: 'prepared', seq: m.seq, why: (error as Error).message });
    }
  }

  async function stop(drainMs: number): Promise<void> {
    listeners.stop();
    const until = performance.now() + drainMs;
    while (engine.stats().connections > 0 && performance.now() < until) {
      engine.closeIdle();
      await new Promise((resolve) => setTimeout(resolve, DRAIN_LOOK_MS));
    }
    engine.shut();
    await log?.close();
    say({ type: 'stopped' });
  }

  hear((m) => {
    switch (m.type) {
      case 'prepare':
        return prepare(m);
      case 'commit':
        if (preparedSeq !== m.seq || prepared === undefined) return;
        listeners.commit(prepared);
        prepared = undefined;
        return say({ type: 'committed', seq: m.seq });
      case 'abort':
        if (prepared !== undefined) listeners.abort(prepared);
        prepared = undefined;
        return;
      case 'endpoints':
        return upstreams.endpoints(m.endpoints);
      case 'stats':
        return say({ type: 'stats', seq: m.seq, engine: engine.stats(), logDropped: log?.dropped() ?? 0, faults });
      case 'reopen':
        return log?.reopen();
      default:
        return void stop(m.drainMs);
    }
  });
}

if (parentPort !== null) {
  const port = parentPort;
  run(
    workerData as WorkerStart,
    (m) => port.postMessage(m),
    (on) => port.on('message', on),
  );
}
