// One daemon an instance.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FaultError } from '../engine/faults.ts';
import { isAlive, type ProcessId, processOf } from '../lib/process.ts';

const fileIn = (folder: string): string => join(folder, 'daemon.json');

/** The daemon that holds the lock in the instance's run folder; undefined where none does. */
export function holderOf(folder: string): ProcessId | undefined {
  const holder = read(fileIn(folder));
  return holder !== undefined && isAlive(holder) ? holder : undefined;
}

/** Takes the lock; disposing gives it back, unless another has taken it meanwhile. A daemon that holds it is a
 * FaultError 'in-use', except `from`, which has let go. */
export function takeLock(folder: string, from?: ProcessId): Disposable {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = fileIn(folder);
  const holder = holderOf(folder);
  if (holder !== undefined && holder.pid !== process.pid && holder.pid !== from?.pid) {
    throw new FaultError('in-use', folder, `a daemon runs already (pid ${holder.pid})`);
  }
  // In one step: whoever looks finds the one or the other.
  const fresh = `${file}~`;
  writeFileSync(fresh, JSON.stringify(processOf(process.pid)), { mode: 0o600 });
  renameSync(fresh, file);
  return {
    [Symbol.dispose]() {
      if (read(file)?.pid === process.pid) rmSync(file, { force: true });
    },
  };
}

function read(file: string): ProcessId | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessId;
  } catch {
    return undefined;
  }
}
