import { readdirSync, unlinkSync } from 'node:fs';
import { addon } from '../addon.ts';
import type { Bpf } from '../bpf.ts';
import { KernelError } from '../errno.ts';
import { attach, KernelLink, queryHook, tagOf } from './link.ts';
import { loadObject, openPin } from './load.ts';
import { KernelMap } from './map.ts';
import { expedited } from './rcu.ts';

/** eBPF of the running kernel. */
export function openBpf(): Bpf {
  return {
    possibleCpus: addon().possibleCpus(),
    load: loadObject,
    createMap({ name, type, keySize, valueSize, maxEntries, flags = 0 }) {
      return mapOf(addon().mapCreate(type, name, keySize, valueSize, maxEntries, flags));
    },
    openMap(path) {
      const fd = openPin(path, 'bpf-map');
      return fd === undefined ? undefined : mapOf(fd);
    },
    openLink(path) {
      const fd = openPin(path, 'bpf-link');
      return fd === undefined ? undefined : new KernelLink(fd, `link ${path}`);
    },
    unpin: (path) => unless('ENOENT', `unpin ${path}`, false, () => (expedited(() => unlinkSync(path)), true)),
    pins: (folder) => unless('ENOENT', `pins in ${folder}`, [], () => readdirSync(folder).toSorted()),
    attach,
    query: queryHook,
    tagOf,
  };
}

function mapOf(fd: number): KernelMap {
  return new KernelMap(fd, addon().mapInfo(fd));
}

/** The call's value, `other` where it fails with this errno; other failures are KernelErrors. */
function unless<T>(code: string, what: string, other: T, call: () => T): T {
  try {
    return call();
  } catch (error) {
    const seen = (error as NodeJS.ErrnoException).code;
    if (seen === code) return other;
    throw new KernelError(seen ?? 'EIO', what);
  }
}
