// Kills a daemon at a chosen system call: strace injects the signal when the call begins, so that it never happens.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestSwitch } from '../rig.ts';

export interface Moment {
  /** "write", "rename". */
  readonly call: string;
  /** The file that the call is about; absent: any. */
  readonly path?: string;
  /** The n-th of these calls from now on the daemon's main thread, from 1. */
  readonly n: number;
}

/** Asks for the change and kills the daemon at the moment. False: the change was over before it came, and the daemon
 * lives. */
export async function killedAt(sw: TestSwitch, at: Moment, change: () => Promise<unknown>): Promise<boolean> {
  const where = at.path === undefined ? [] : ['-P', at.path];
  const what = ['-o', '/dev/null', '-e', `trace=${at.call}`, '-e', `inject=${at.call}:signal=KILL:when=${at.n}`];
  return whileTraced(sw.pid(), [...where, ...what], () => {
    const ended = sw.ended().then(() => true);
    const over = change().then(
      () => Promise.race([ended, sleep(200, false)]),
      // Cut off, or refused: the caller sees which when it looks at the switch.
      () => Promise.race([ended, sleep(2000, false)]),
    );
    return Promise.race([ended, over]);
  });
}

/** The calls of the daemon's main thread while something happens, as strace prints them. */
export async function callsDuring(sw: TestSwitch, call: string, change: () => Promise<unknown>): Promise<string[]> {
  const file = join(sw.folder, 'calls');
  await whileTraced(sw.pid(), ['-s', '4096', '-o', file, '-e', `trace=${call}`], change);
  const calls = readFileSync(file, 'utf8').split('\n');
  rmSync(file);
  return calls.filter((line) => line.startsWith(`${call}(`));
}

/** Without -f: the main thread alone, where the engine works, and no child. */
async function whileTraced<T>(pid: number, args: readonly string[], work: () => Promise<T>): Promise<T> {
  const strace = spawn('strace', ['-qq', '-p', String(pid), ...args], { stdio: 'ignore' });
  const left = once(strace, 'exit');
  try {
    await traced(pid);
    return await work();
  } finally {
    strace.kill('SIGTERM');
    await left;
  }
}

async function traced(pid: number): Promise<void> {
  for (let i = 0; i < 200; i += 1) {
    if (/^TracerPid:\s*[1-9]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return;
    await sleep(10);
  }
  throw new Error('strace does not take hold of the daemon');
}
