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

/** Who takes tunnels away. */
export interface Pass {
  /** Gives why it does not take this one, nor another; undefined: it has it. */
  take(tunnel: PassedTunnel): Promise<string | undefined>;
  /** Hears that so many stay in this process, and all that would have come after them. */
  kept(count: number, why: string): void;
}

/** Undefined: it is gone, or bound to this process. A string says why it can't be had now. */
function pack(parcel: number): ReturnType<typeof packTunnel> | string {
  try {
    return packTunnel(parcel);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return error.code === 'EINVAL' ? undefined : error.message;
  }
}

/** Undefined: it is passed on, or is none. */
async function passOne(parcel: number, home: number, pass: Pass): Promise<string | undefined> {
  const packed = pack(parcel);
  if (packed === undefined || typeof packed === 'string') return packed;
  const tunnel = { ...packed, listener: readLabel(packed.label)?.listener ?? '' };
  const why = await pass.take(tunnel);
  if (why !== undefined) receiveTunnel(tunnel, home, ORPHANS);
  else for (const fd of [tunnel.memory, tunnel.client, tunnel.up]) closeSync(fd);
  return why;
}

/** Passes parked connections on. False: not all; the rest is parked still, or again. */
export async function passAll(parcels: readonly number[], home: number, pass: Pass): Promise<boolean> {
  for (const [i, parcel] of parcels.entries()) {
    const why = await passOne(parcel, home, pass);
    if (why === undefined) continue;
    pass.kept(parcels.length - i, why);
    return false;
  }
  return true;
}

/** Parks a tunnel that another process passed on. False: it is none, and ends. `tag`: of its listener here. */
export function receiveTunnel({ memory, client, up }: PassedTunnel, home: number, tag: number): boolean {
  const good = unpackTunnel(home, tag, { memory, client, up });
  closeSync(memory);
  if (!good) for (const fd of [client, up]) closeSync(fd);
  return good;
}
