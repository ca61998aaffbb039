import { openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { addon, Descriptor } from './addon.ts';
import { KernelError } from './errno.ts';
import type { Netns, NetnsHold } from './kernel.ts';

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

/** A namespace's name is a file of the kernel's nsfs; one that lost its mount is a plain file. */
function isNamespace(name: string): boolean {
  const ours = statSync('/proc/thread-self/ns/net').dev;
  return statSync(netnsPath(name), { throwIfNoEntry: false })?.dev === ours;
}

/** The namespaces under /run/netns, sorted; made and removed as iproute2 does it. */
export const netns: Netns = {
  list() {
    try {
      return readdirSync(folder).filter(isNamespace).toSorted();
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
  hold,
};

function hold(name: string): NetnsHold {
  const path = netnsPath(name);
  if (!isNamespace(name)) throw new KernelError('ENOENT', `namespace ${path}`);
  const held = new Descriptor(openSync(path, 'r'), `namespace ${name}`);
  return {
    nameAgain() {
      if (isNamespace(name)) throw new KernelError('EEXIST', `namespace ${path}`);
      rmSync(path, { force: true });
      addon().netnsBind(folder, path, held.fd);
    },
    [Symbol.dispose]: () => held.close(),
  };
}
