// The only door to the addon: what native/addon exports, with types. Failures of system calls are KernelError; a
// RangeError or TypeError means that the caller is wrong.
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { KernelError } from './errno.ts';

/** Something that the addon holds for us. */
export type Native = { readonly native: unique symbol };

export interface Addon {
  setErrorClass(errorClass: typeof KernelError): void;
  errnoName(errno: number): string;
  netlinkOpen(protocol: number): number;
  netlinkBatch(fd: number, messages: Uint8Array, firstSeq: number, results: Int32Array, texts: string[]): void;
  netlinkQuery(fd: number, message: Uint8Array, seq: number): { bytes: Uint8Array; interrupted: boolean };
  netlinkReceive(fd: number): Uint8Array | undefined;
  pollOpen(fd: number, readable: () => void): Native;
  pollClose(poll: Native): void;
  netnsCall<T>(path: string, call: () => T): T;
  netnsAdd(folder: string, path: string): void;
  netnsRemove(path: string): void;
  socketOpen(domain: number, type: number, protocol: number): number;
  socketBind(fd: number, address: Uint8Array, port: number): void;
  socketConnect(fd: number, address: Uint8Array, port: number): void;
  socketListen(fd: number, backlog: number): void;
  sockoptSet(fd: number, level: number, option: number, value: Uint8Array): void;
  sockoptGet(fd: number, level: number, option: number, size: number): Uint8Array;
  tapAdd(name: string, owner: number): void;
  tapOpen(name: string): number;
  ethtool(name: string, command: number, data: number): number;
}

const path = fileURLToPath(new URL('../../native/build/addon.node', import.meta.url));
let loaded: Addon | undefined;

/** The addon, loaded at the first call. Throws an Error that says what to run where it was not built. */
export function addon(): Addon {
  if (loaded !== undefined) return loaded;
  if (!existsSync(path)) throw new Error(`${path} is missing: run native/setup.sh`);
  const fresh = createRequire(import.meta.url)(path) as Addon;
  fresh.setErrorClass(KernelError);
  loaded = fresh;
  return fresh;
}
