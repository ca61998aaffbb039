// A uid for each function: two functions never share one, and no user of the machine has it.
import { createHash } from 'node:crypto';
import type { DriverHost } from '../../engine/slice.ts';

/** Far above what distributions, container engines and systemd give out, below 2^31. */
const base = 1_836_000_000;
const perInstance = 4096;
const instances = 65_536;

/** The same for as long as the function has its entry in ids.json. Instances of one machine have ranges of their own,
 * chosen by their names. */
export function uidOf(host: Pick<DriverHost, 'instance' | 'ids'>, name: string): number {
  const hash = createHash('sha256').update(host.instance).digest().readUInt16BE(0);
  return base + (hash % instances) * perInstance + host.ids.id('function', name, perInstance);
}
