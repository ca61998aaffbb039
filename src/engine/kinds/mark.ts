// How this instance knows its own things in the world, and how the kernel's refusals become Faults.
import { createHash } from 'node:crypto';
import type { KernelError } from '../../kernel/errno.ts';
import { type FaultCode, FaultError } from '../faults.ts';
import type { Ref } from '../resource.ts';

/** Protocol number of our routes, rules and addresses (rtnetlink's RTPROT_*: 0 to 16 and 42, 186-192 are taken). */
export const protocolNumber = 77;

/** What a device that is ours says of itself. */
export interface Mark {
  readonly ref: Ref;
  readonly hash: string;
  /** MTU that it had before us. */
  readonly firstMtu?: number;
}

/** Alias of a device that is ours: "midplane:<instance>:<ref>#<hash>", and "~<MTU>" of one that we found. */
export function aliasOf(instance: string, { ref, hash, firstMtu }: Mark): string {
  return `midplane:${instance}:${ref}#${hash}${firstMtu === undefined ? '' : `~${firstMtu}`}`;
}

/** The mark in an alias, where it is this instance's. */
export function readAlias(instance: string, alias: string | undefined): Mark | undefined {
  const prefix = `midplane:${instance}:`;
  if (alias === undefined || !alias.startsWith(prefix)) return undefined;
  const at = alias.lastIndexOf('#');
  const [hash = '', mtu] = alias.slice(at + 1).split('~');
  const firstMtu = mtu === undefined ? {} : { firstMtu: Number(mtu) };
  return { ref: alias.slice(prefix.length, at) as Ref, hash, ...firstMtu };
}

/** Short hash of a spec, for what cannot be read back whole. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 12);
}

const codes: Readonly<Record<string, FaultCode>> = {
  EEXIST: 'already-exists',
  ENODEV: 'no-device',
  ENXIO: 'no-device',
  ENOENT: 'not-found',
  EPERM: 'not-permitted',
  EACCES: 'not-permitted',
  EOPNOTSUPP: 'not-supported',
  ENOSYS: 'not-supported',
  EADDRINUSE: 'in-use',
  EBUSY: 'in-use',
  E2BIG: 'table-full',
  ENOSPC: 'table-full',
  ENOMEM: 'table-full',
};

/** The Fault for an errno's name. */
export function kernelFault(what: Ref, code: string, detail = ''): FaultError {
  const why = detail === '' ? `the kernel says ${code}` : `${detail} (${code})`;
  return new FaultError(codes[code] ?? 'refused', what, why, code === 'EAGAIN' || code === 'EBUSY');
}

/** Runs a call that throws KernelError or a Fault of something else, as one that throws a Fault for `what`. */
export function asFault<T>(what: Ref, call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof FaultError) {
      const { code, why, retry } = error.fault;
      throw new FaultError(code, what, why, retry);
    }
    if (!(error instanceof Error) || error.name !== 'KernelError') throw error;
    const { code, message } = error as KernelError;
    throw kernelFault(what, code, message);
  }
}
