// Ageing: a program walks the table in the kernel, so that nothing is copied out; addresses of ports that went down go
// at once.
import { ageModes, decodeAgeArgs, encodeAgeArgs } from '../../../kernel/abi.ts';
import type { Datapath } from '../../../kernel/datapath.ts';
import type { Host } from '../../../engine/slice.ts';
import { type PortsLive } from '../../l1/port/schema.ts';
import { type FdbLive, fdbSchema } from './schema.ts';

/** The fast path's clock is ktime >> 30. */
const unitNs = 2n ** 30n;
const walkMs = 5000;

export function runFdb(host: Host): AsyncDisposable & { live: FdbLive } {
  const { datapath } = host.kernel;
  const ports = host.read.live<PortsLive>('ports');
  const age = (): void => {
    if (datapath === undefined) return;
    const keep = BigInt(host.read.running(fdbSchema).ageing) * 1_000_000n;
    const oldest = (process.hrtime.bigint() - keep) / unitNs;
    if (oldest > 0n) run(datapath, { mode: ageModes.old, olderThan: Number(oldest), port: 0, bd: 0 });
  };
  const flushPort = (port: string): number => {
    const id = host.ids.find('port', port);
    if (datapath === undefined || id === undefined) return 0;
    return run(datapath, { mode: ageModes.port, olderThan: 0, port: id, bd: 0 });
  };
  const down = new Set<string>();
  const flushDown = (): void => {
    for (const [name, status] of ports?.statuses() ?? []) {
      if (status.state === 'up') down.delete(name);
      else if (!down.has(name)) {
        down.add(name);
        flushPort(name);
      }
    }
  };
  const watch = ports?.onChange(flushDown);
  const timer = setInterval(age, walkMs);
  timer.unref();
  return {
    live: { flushPort },
    [Symbol.asyncDispose]() {
      clearInterval(timer);
      watch?.[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}

type Args = Omit<Parameters<typeof encodeAgeArgs>[0], 'removed'>;

/** How many rows went. The kernel writes a syscall program's argument back in place. */
function run(datapath: Datapath, args: Args): number {
  const ctx = encodeAgeArgs({ ...args, removed: 0 });
  datapath.age.testRun({ ctx });
  return decodeAgeArgs(ctx).removed;
}
