import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { FaultError } from '../../engine/faults.ts';
import { nameOf, type Ref } from '../../engine/resource.ts';
import type { Host } from '../../engine/slice.ts';
import { type GuestsLive, lastLines } from '../live.ts';
import { supervise } from '../supervise.ts';
import { type VmSpec, vmRef } from './compile.ts';
import type { VmKeeper } from './driver.ts';

export interface VmsLive extends GuestsLive {
  console(name: string): string;
  /** Both directions of the VM's serial console; QEMU serves one at a time. It ends by an 'error' where the VM does not
   * run. */
  attachConsole(name: string): Duplex;
}

const restartMs = 60_000;

/** Restarts what ends, keeps logs small, takes away what no revision needs. */
export function runVms(host: Host, keeper: VmKeeper): AsyncDisposable & { live: VmsLive } {
  const { starts } = keeper;
  const supervisor = supervise<VmSpec>({
    host,
    kind: 'vm',
    starts,
    look: () => {
      keeper.trim();
      return keeper.look();
    },
    start: (ref, spec) => keeper.start(ref, spec),
  });
  const revision = host.onRevision(() => keeper.sweep(wantedOf(host)));
  keeper.sweep(wantedOf(host));
  const known = (name: string): Ref => {
    if (supervisor.guests().has(name)) return vmRef(name);
    throw new FaultError('not-found', name, 'no such VM');
  };
  const consoleOf = (name: string): string => keeper.consoleOf(nameOf(known(name)));
  return {
    live: {
      guests: () => supervisor.guests(),
      onChange: (listener) => supervisor.onChange(listener),
      logs: async (name, lines) => lastLines(keeper.tail(nameOf(known(name))), lines),
      restart: async (name) => supervisor.restart(known(name), restartMs),
      console: consoleOf,
      attachConsole: (name) => connect({ path: consoleOf(name) }),
    },
    async [Symbol.asyncDispose]() {
      revision[Symbol.dispose]();
      await supervisor[Symbol.asyncDispose]();
      await starts.close();
    },
  };
}

function wantedOf(host: Host): ReadonlyMap<string, VmSpec> {
  const all = [...host.read.desired()].filter(([ref]) => ref.startsWith('vm/'));
  return new Map(all.map(([ref, resource]) => [nameOf(ref), resource.spec as VmSpec]));
}
