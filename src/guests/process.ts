// Processes that outlive the daemon are known again by pid and start time: a pid alone may be another's by then.
import { readFileSync, statSync } from 'node:fs';
import { KernelError } from '../kernel/errno.ts';
import { inNetns } from '../kernel/netns.ts';
import { isAlive, type ProcessId } from '../lib/process.ts';
import { signal } from './cgroup.ts';

export { isAlive, processOf, type ProcessId } from '../lib/process.ts';

/** Whether the process is in the network namespace of that name under /run/netns. Told by the number of a file that
 * every namespace has its own of: /proc/PID/ns/net is for those alone who may trace the process. */
export function isInNetns(pid: number, netns: string): boolean {
  const own = statSync(`/proc/${pid}/net/dev`, { throwIfNoEntry: false });
  return own !== undefined && own.ino === inodeIn(netns);
}

/** Whether the name stands for a namespace, and the process is in another one. Where it stands for none that is to be
 * mended first: the process may be in what gets the name again. */
export function isElsewhere(pid: number, netns: string): boolean {
  return inodeIn(netns) !== undefined && !isInNetns(pid, netns);
}

function inodeIn(netns: string): number | undefined {
  try {
    return inNetns(netns, () => statSync('/proc/thread-self/net/dev').ino);
  } catch (error) {
    if (error instanceof KernelError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether something in the process's network namespace listens on the TCP port. */
export function listensOn(pid: number, port: number): boolean {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  // State 0A is LISTEN (include/net/tcp_states.h).
  const line = new RegExp(`^ *\\d+: [0-9A-F]+:${hex} [0-9A-F]+:0000 0A `, 'm');
  return ['tcp', 'tcp6'].some((table) => line.test(readIf(`/proc/${pid}/net/${table}`)));
}

/** SIGTERM, and SIGKILL where that does not end it in `graceMs`. Resolves when it is gone, or 2 s after the SIGKILL. */
export async function endProcess(id: ProcessId, graceMs: number): Promise<void> {
  for (const [name, ms] of [
    ['SIGTERM', graceMs],
    ['SIGKILL', 2000],
  ] as const) {
    if (!isAlive(id)) return;
    signal(id.pid, name);
    for (let waited = 0; waited < ms && isAlive(id); waited += 20) await sleep(20);
  }
}

/** Waits. */
export function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

function readIf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EINVAL') return '';
    throw error;
  }
}
