import { readdirSync } from 'node:fs';
import { addon } from './addon.ts';
import { KernelError } from './errno.ts';
import type { Netns } from './kernel.ts';

const folder = '/run/netns';

/** Where a namespace's name is bound. KernelError EINVAL for what can be no name. */
export function netnsPath(name: string): string {
  if (!/^[^/\0]{1,255}$/.test(name) || name === '.' || name === '..') {
    throw new KernelError('EINVAL', `namespace ${JSON.stringify(name)}`, 'no name for a namespace');
  }
  return `${folder}/${name}`;
}

/** Runs `call` with this thread in a namespace, or as it is without a name. `call` must be synchronous. KernelError
 * ENOENT where there is no such namespace. */
export function inNetns<T>(name: string | undefined, call: () => T): T {
  return name === undefined ? call() : addon().netnsCall(netnsPath(name), call);
}

/** The namespaces under /run/netns, sorted; made and removed as iproute2 does it. */
export const netns: Netns = {
  list() {
    try {
      return readdirSync(folder).toSorted();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw new KernelError((error as NodeJS.ErrnoException).code ?? 'EIO', `read ${folder}`);
    }
  },
  add(name) {
    addon().netnsAdd(folder, netnsPath(name));
  },
  remove(name) {
    addon().netnsRemove(netnsPath(name));
  },
};
