// Network namespaces of guests: /run/netns/mp-<instance>-<guest>. A record in the instance's run folder says which are
// ours: names alone would make the instance "a" take "a-b"'s guest "c" for its own "b-c".
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FaultError } from '../engine/faults.ts';
import { asFault } from '../engine/kinds/mark.ts';
import { type Driver, nameOf, type Ref } from '../engine/resource.ts';
import { KernelError } from '../kernel/errno.ts';
import type { Kernel } from '../kernel/kernel.ts';

/** Name of a guest's namespace. */
export const guestNetns = (instance: string, guest: string): string => `mp-${instance}-${guest}`;

/** Ref of a guest's namespace: "netns/mp-main-web1". */
export const netnsRef = (instance: string, guest: string): Ref => `netns/${guestNetns(instance, guest)}`;

const recordOf = (run: string, name: string): string => join(run, 'netns', name);

/** Guests of this instance that have a namespace. */
export function guestsWithNetns(kernel: Kernel, instance: string, run: string): readonly string[] {
  const prefix = guestNetns(instance, '');
  return kernel.netns
    .list()
    .filter((name) => name.startsWith(prefix) && existsSync(recordOf(run, name)))
    .map((name) => name.slice(prefix.length));
}

/** Makes and removes them; there is nothing to set. `run` is the instance's run folder. */
export function netnsDriver(kernel: Kernel, instance: string, run: string): Driver<object, object> {
  const put = (ref: Ref): void => {
    const name = nameOf(ref);
    const record = recordOf(run, name);
    const there = kernel.netns.list().includes(name);
    if (there && existsSync(record)) return;
    if (there) throw new FaultError('already-exists', ref, `a namespace ${name} is there that is not ours`);
    mkdirSync(join(run, 'netns'), { recursive: true, mode: 0o700 });
    writeFileSync(record, '');
    asFault(ref, () => kernel.netns.add(name));
  };
  return {
    kind: 'netns',
    read: (refs) => {
      const all = new Map(guestsWithNetns(kernel, instance, run).map((guest) => [netnsRef(instance, guest), {}]));
      return Promise.resolve(refs === 'all' ? all : new Map([...all].filter(([ref]) => refs.includes(ref))));
    },
    diff: () => 'same',
    put: (batch) => {
      for (const [ref] of batch) put(ref);
      return Promise.resolve();
    },
    drop: (refs) => {
      for (const ref of refs) {
        asFault(ref, () => removeIf(kernel, nameOf(ref)));
        rmSync(recordOf(run, nameOf(ref)), { force: true });
      }
      return Promise.resolve();
    },
  };
}

function removeIf(kernel: Kernel, name: string): void {
  try {
    kernel.netns.remove(name);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'ENOENT') throw error;
  }
}
