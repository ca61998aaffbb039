import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { addon, Descriptor } from '../addon.ts';
import type { MapInfo } from '../addon.ts';
import type { BpfMap, MapRows } from '../bpf.ts';
import { KernelError } from '../errno.ts';

const PERCPU_HASH = 5;
const PERCPU_ARRAY = 6;
const LRU_PERCPU_HASH = 10;
const LPM_TRIE = 11;
const PERCPU_CGROUP_STORAGE = 21;
const perCpuTypes: readonly number[] = [PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH, PERCPU_CGROUP_STORAGE];

/** Makes the folders of a pin and pins what the descriptor holds. */
export function makePin(fd: number, path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new KernelError((error as NodeJS.ErrnoException).code ?? 'EIO', `pin ${path}`);
  }
  addon().pinMake(fd, path);
}

/** A map of the kernel behind a descriptor that is ours. */
export class KernelMap implements BpfMap {
  readonly name: string;
  readonly id: number;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly perCpu: boolean;
  readonly #descriptor: Descriptor;
  /** What a lookup gives: of a per-CPU map all CPUs' values. */
  readonly #valueBytes: number;

  /** Takes the descriptor over. The kernel cuts names, so the object's own is given where it is known. */
  constructor(fd: number, info: MapInfo, name: string = info.name) {
    this.name = name;
    this.id = info.id;
    this.type = info.type;
    this.keySize = info.keySize;
    this.valueSize = info.valueSize;
    this.maxEntries = info.maxEntries;
    this.perCpu = perCpuTypes.includes(info.type);
    this.#valueBytes = this.perCpu ? Math.ceil(info.valueSize / 8) * 8 * addon().possibleCpus() : info.valueSize;
    this.#descriptor = new Descriptor(fd, `map ${name}`);
  }

  /** For rings that are polled and mapped by others in kernel/. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  lookup(key: Uint8Array): Uint8Array | undefined {
    return addon().mapLookup(this.fd, this.#key(key), this.#valueBytes);
  }

  update(key: Uint8Array, value: Uint8Array, flags = 0): void {
    if (value.length !== this.#valueBytes) {
      throw new RangeError(`map ${this.name}: a value of ${value.length} bytes, not ${this.#valueBytes}`);
    }
    this.#filling(() => addon().mapUpdate(this.fd, this.#key(key), value, flags));
  }

  delete(key: Uint8Array): boolean {
    return addon().mapDelete(this.fd, this.#key(key));
  }

  dump(which: 'all' | 'used' = 'all'): MapRows {
    const used = which === 'used' ? 1 : 0;
    return addon().mapDump(this.fd, this.keySize, this.#valueBytes, this.maxEntries, used);
  }

  updateBatch(rows: MapRows): void {
    const { count, keys, values } = rows;
    if (keys.length !== count * this.keySize || values.length !== count * this.#valueBytes) {
      throw new RangeError(`map ${this.name}: ${count} rows of ${keys.length} + ${values.length} bytes`);
    }
    this.#filling(() => addon().mapUpdateBatch(this.fd, keys, values, count, 0));
  }

  updateInner(key: Uint8Array, inner: BpfMap): void {
    if (!(inner instanceof KernelMap)) throw new TypeError('a map of another kernel');
    this.#filling(() => addon().mapUpdate(this.fd, this.#key(key), new Uint8Array(Uint32Array.of(inner.fd).buffer), 0));
  }

  pin(path: string): void {
    makePin(this.fd, path);
  }

  close(): void {
    this.#descriptor.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #key(key: Uint8Array): Uint8Array {
    if (key.length === this.keySize) return key;
    throw new RangeError(`map ${this.name}: a key of ${key.length} bytes, not ${this.keySize}`);
  }

  /** Names the map in errors; a full trie says ENOSPC where others say E2BIG. */
  #filling(call: () => void): void {
    try {
      call();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      const code = this.type === LPM_TRIE && error.code === 'ENOSPC' ? 'E2BIG' : error.code;
      throw new KernelError(code, `map ${this.name}`, error.what);
    }
  }
}
