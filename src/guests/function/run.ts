import { FaultError } from '../../engine/faults.ts';
import type { Ref } from '../../engine/resource.ts';
import type { Host } from '../../engine/slice.ts';
import type { GuestsLive } from '../live.ts';
import { lastLines } from '../live.ts';
import { supervise } from '../supervise.ts';
import type { FunctionSpec } from './compile.ts';
import type { FunctionKeeper } from './driver.ts';
import { beatMs } from './heartbeat.ts';

const restartMs = 30_000;

/** Ends what is stuck, restarts what ends, keeps logs small. */
export function runFunctions(host: Host, keeper: FunctionKeeper): AsyncDisposable & { live: GuestsLive } {
  const { starts } = keeper;
  const supervisor = supervise<FunctionSpec>({
    host,
    kind: 'function',
    starts,
    look: () => {
      keeper.trim();
      return Promise.resolve(keeper.look());
    },
    start: (ref, spec) => keeper.start(ref, spec),
  });
  const timer = setInterval(() => {
    for (const [ref, { spec }] of host.read.desired()) {
      if (ref.startsWith('function/')) keeper.endStuck(ref, spec as FunctionSpec);
    }
  }, beatMs);
  timer.unref();
  const known = (name: string): Ref => {
    if (supervisor.guests().has(name)) return `function/${name}`;
    throw new FaultError('not-found', name, 'no such function');
  };
  return {
    live: {
      guests: () => supervisor.guests(),
      onChange: (listener) => supervisor.onChange(listener),
      logs: async (name, lines) => lastLines(keeper.tail(nameIn(known(name))), lines),
      restart: async (name) => supervisor.restart(known(name), restartMs),
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await supervisor[Symbol.asyncDispose]();
      await starts.close();
    },
  };
}

const nameIn = (ref: Ref): string => ref.slice(ref.indexOf('/') + 1);
