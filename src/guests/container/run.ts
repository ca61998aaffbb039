import { FaultError } from '../../engine/faults.ts';
import { nameOf, type Ref } from '../../engine/resource.ts';
import type { Host } from '../../engine/slice.ts';
import { type GuestsLive, lastLines } from '../live.ts';
import { supervise } from '../supervise.ts';
import type { ContainerSpec } from './compile.ts';
import type { ContainerKeeper } from './driver.ts';

const execMs = 60_000;
const restartMs = 30_000;

/** Restarts what ends. An image that could not be had is asked for again by the engine. */
export function runContainers(host: Host, keeper: ContainerKeeper): AsyncDisposable & { live: GuestsLive } {
  const { starts, podman } = keeper;
  const supervisor = supervise<ContainerSpec>({
    host,
    kind: 'container',
    starts,
    look: () => keeper.look(),
    start: (ref, spec, anew) => keeper.start(ref, spec, anew),
  });
  const known = (name: string): Ref => {
    if (supervisor.guests().has(name)) return `container/${name}`;
    throw new FaultError('not-found', name, 'no such container');
  };
  return {
    live: {
      guests: () => supervisor.guests(),
      onChange: (listener) => supervisor.onChange(listener),
      logs: async (name, lines) => lastLines(await podman.logs(await keeper.idOf(nameOf(known(name))), lines), lines),
      restart: async (name) => supervisor.restart(known(name), restartMs),
      exec: async (name, argv) =>
        podman.exec(await keeper.idOf(nameOf(known(name))), argv, AbortSignal.timeout(execMs)),
    },
    async [Symbol.asyncDispose]() {
      await supervisor[Symbol.asyncDispose]();
      await starts.close();
    },
  };
}
