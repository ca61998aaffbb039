// Network namespaces of guests: /run/netns/mp-<instance>-<guest>. A record in the instance's run folder says which are
// ours: names alone would make the instance "a" take "a-b"'s guest "c" for its own "b-c".
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FaultError } from '../engine/faults.ts';
import { asFault } from '../engine/kinds/mark.ts';
import { type Driver, nameOf, type Ref } from '../engine/resource.ts';
import { KernelError } from '../kernel/errno.ts';
import type { Kernel, NetnsHold } from '../kernel/kernel.ts';
import { type Clock, every } from '../lib/clock.ts';

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

const lookMs = 500;

/** Makes and removes them; there is nothing to set. One that loses its name while it is watched gets it again, with the
 * guest in it; where nobody saw that, another takes its place, and what was in the lost one moves. `run` is the
 * instance's run folder. */
export function netnsDriver(kernel: Kernel, instance: string, run: string, clock: Clock): Driver<object, object> {
  const holds = new Map<string, NetnsHold>();
  let marking: ((ref: Ref) => void) | undefined;
  const letGo = (name: string): void => {
    holds.get(name)?.[Symbol.dispose]();
    holds.delete(name);
  };
  const put = (ref: Ref): void => {
    const name = nameOf(ref);
    const there = kernel.netns.list().includes(name);
    const known = existsSync(recordOf(run, name));
    if (there && known) return;
    if (there) throw new FaultError('already-exists', ref, `a namespace ${name} is there that is not ours`);
    const held = holds.get(name);
    if (held !== undefined) return asFault(ref, () => held.nameAgain());
    mkdirSync(join(run, 'netns'), { recursive: true, mode: 0o700 });
    writeFileSync(recordOf(run, name), '');
    // A name that lost its namespace is a file.
    if (known) asFault(ref, () => removeIf(kernel, name));
    asFault(ref, () => kernel.netns.add(name));
    // Devices that are in the lost one are seen to be in no namespace of a name now.
    if (known) marking?.(ref);
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
        letGo(nameOf(ref));
        asFault(ref, () => removeIf(kernel, nameOf(ref)));
        rmSync(recordOf(run, nameOf(ref)), { force: true });
      }
      return Promise.resolve();
    },
    clear() {
      // Files that lost their namespace.
      for (const name of recorded(run)) removeIf(kernel, name);
      return Promise.resolve();
    },
    watch(dirty) {
      marking = dirty;
      // The kernel tells nobody that a name is gone.
      const stop = every(clock, lookMs, () => look(kernel, instance, run, holds, dirty));
      return {
        [Symbol.dispose]() {
          stop[Symbol.dispose]();
          for (const name of holds.keys()) letGo(name);
        },
      };
    },
  };
}

/** Marks names that are gone, and holds the namespaces of new ones. */
function look(
  kernel: Kernel,
  instance: string,
  run: string,
  holds: Map<string, NetnsHold>,
  dirty: (ref: Ref) => void,
): void {
  const there = new Set(guestsWithNetns(kernel, instance, run).map((guest) => guestNetns(instance, guest)));
  for (const name of holds.keys()) if (!there.has(name)) dirty(`netns/${name}`);
  for (const name of there) if (!holds.has(name)) holds.set(name, kernel.netns.hold(name));
}

function recorded(run: string): readonly string[] {
  const folder = join(run, 'netns');
  return existsSync(folder) ? readdirSync(folder) : [];
}

function removeIf(kernel: Kernel, name: string): void {
  try {
    kernel.netns.remove(name);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'ENOENT') throw error;
  }
}
