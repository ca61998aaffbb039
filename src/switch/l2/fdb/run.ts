// Ageing: a program walks the table in the kernel, so that nothing is copied out: rows that were hit since the last
// walk get its time, those that are too old go. Addresses of ports that went down go at once.
import { age as takeOut } from '../../../kernel/ebpf/ageing.ts';
import type { Host } from '../../../engine/slice.ts';
import { type PortsLive } from '../../l1/port/schema.ts';
import { type FdbLive, fdbSchema } from './schema.ts';

/** A row's time is ktime >> 30. */
const unitNs = 2n ** 30n;
const walkMs = 5000;

export function runFdb(host: Host): AsyncDisposable & { live: FdbLive } {
  const { datapath } = host.kernel;
  const ports = host.read.live<PortsLive>('ports');
  const age = (): void => {
    if (datapath === undefined) return;
    const keep = BigInt(host.read.running(fdbSchema).ageing) * 1_000_000n;
    const oldest = (process.hrtime.bigint() - keep) / unitNs;
    if (oldest > 0n) takeOut(datapath, { mode: 'old', olderThan: Number(oldest) });
  };
  const flush = (names: readonly string[]): number => {
    const known = names.flatMap((name) => host.ids.find('port', name) ?? []);
    return datapath === undefined || known.length === 0 ? 0 : takeOut(datapath, { mode: 'ports', ports: known });
  };
  const down = new Set<string>();
  const flushDown = (): void => {
    const fresh: string[] = [];
    for (const [name, status] of ports?.statuses() ?? []) {
      if (status.state === 'up') down.delete(name);
      else if (!down.has(name)) fresh.push(name);
    }
    for (const name of fresh) down.add(name);
    flush(fresh);
  };
  const watch = ports?.onChange(flushDown);
  const timer = setInterval(age, walkMs);
  timer.unref();
  return {
    live: { flush },
    [Symbol.asyncDispose]() {
      clearInterval(timer);
      watch?.[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}
