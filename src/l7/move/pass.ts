// Tunnels go from one process to the next as descriptors: both sockets, and memory that says the rest.
import { closeSync } from 'node:fs';
import { packTunnel, unpackTunnel } from '../../kernel/l7.ts';
import { KernelError } from '../../kernel/errno.ts';
import { readLabel } from '../head/outcome.ts';
import { ORPHANS } from '../transport.ts';

export interface PassedTunnel {
  /** Name of the listener that it came by. */
  readonly listener: string;
  readonly memory: number;
  readonly client: number;
  readonly up: number;
}

/** Takes a tunnel away. False: it is not wanted, nor is another. */
export type Pass = (tunnel: PassedTunnel) => Promise<boolean>;

/** Undefined: it is gone, or can't leave the process. */
function pack(parcel: number): ReturnType<typeof packTunnel> {
  try {
    return packTunnel(parcel);
  } catch (error) {
    if (error instanceof KernelError) return undefined;
    throw error;
  }
}

/** Passes parked connections on. False: not all; the rest is parked still, or again. */
export async function passAll(parcels: readonly number[], home: number, pass: Pass): Promise<boolean> {
  for (const parcel of parcels) {
    const packed = pack(parcel);
    if (packed === undefined) continue;
    const tunnel = { ...packed, listener: readLabel(packed.label)?.listener ?? '' };
    const taken = await pass(tunnel);
    if (!taken) receiveTunnel(tunnel, home, ORPHANS);
    else for (const fd of [tunnel.memory, tunnel.client, tunnel.up]) closeSync(fd);
    if (!taken) return false;
  }
  return true;
}

/** Parks a tunnel that another process passed on, or ends it where it is none. `tag`: of its listener here. */
export function receiveTunnel({ memory, client, up }: PassedTunnel, home: number, tag: number): void {
  const good = unpackTunnel(home, tag, { memory, client, up });
  closeSync(memory);
  if (!good) for (const fd of [client, up]) closeSync(fd);
}
