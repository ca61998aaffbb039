// Taking learned addresses out of the fdb: a program walks the table in the kernel, and keeps the ports' counts right.
import { ageModes, decodeAgeArgs, encodeAgeArgs } from './abi.ts';
import type { Datapath } from './datapath.ts';

export type Which =
  | { readonly mode: 'old'; readonly olderThan: number }
  | { readonly mode: 'port'; readonly port: number }
  | { readonly mode: 'row'; readonly bd: number; readonly mac: Uint8Array };

/** How many rows went. */
export function age(datapath: Datapath, which: Which): number {
  const all = { olderThan: 0, port: 0, bd: 0, mac: new Uint8Array(6), removed: 0 };
  // The kernel writes a syscall program's argument back in place.
  const ctx = encodeAgeArgs({ ...all, ...which, mode: ageModes[which.mode] });
  datapath.age.testRun({ ctx });
  return decodeAgeArgs(ctx).removed;
}
