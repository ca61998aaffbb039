// Taking learned addresses out of the fdb: a program walks the table in the kernel, and keeps the ports' counts right.
import { ageModes, decodeAgeArgs, encodeAgeArgs } from '../abi.ts';
import type { Datapath } from '../datapath.ts';
import { bits64 } from '../../lib/bytes.ts';

export type Which =
  | { readonly mode: 'old'; readonly olderThan: number }
  /** Those of ports, by id. */
  | { readonly mode: 'ports'; readonly ports: readonly number[] }
  | { readonly mode: 'row'; readonly bd: number; readonly mac: Uint8Array };

/** How many rows went. */
export function age(datapath: Datapath, which: Which): number {
  const none = { olderThan: 0, bd: 0, mac: new Uint8Array(6), removed: 0 };
  const ports = bits64(which.mode === 'ports' ? which.ports : [], 16);
  const args = { ...none, ...which, mode: ageModes[which.mode], ports };
  const { ctx } = datapath.age.testRun({ ctx: encodeAgeArgs(args) });
  return decodeAgeArgs(ctx).removed;
}
