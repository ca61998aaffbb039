// One daemon an instance: daemon.json names the process that has the lock. To look at it and to write it is one step
// for one process at a time, since who comes first writes down that it is about to, and then looks who else has.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FaultError } from '../engine/faults.ts';
import { isAlive, type ProcessId, processOf } from '../lib/process.ts';

const fileIn = (folder: string): string => join(folder, 'daemon.json');

/** The daemon that holds the lock in the instance's run folder; undefined where none does. */
export function holderOf(folder: string): ProcessId | undefined {
  const holder = read(fileIn(folder));
  return holder !== undefined && isAlive(holder) ? holder : undefined;
}

/** Takes the lock; disposing gives it back, unless another has taken it meanwhile. A daemon that holds it, or is about
 * to, is a FaultError 'in-use', except `from`, which has let go. */
export function takeLock(folder: string, from?: ProcessId): Disposable {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = fileIn(folder);
  const own = processOf(process.pid);
  if (own === undefined) throw new Error('this process is not there');
  const claim = join(folder, `claim-${own.pid}.json`);
  writeWhole(claim, own);
  try {
    waitForOthers(folder, own);
    const holder = holderOf(folder);
    if (holder !== undefined && holder.pid !== own.pid && holder.pid !== from?.pid) throw taken(folder, holder);
    writeWhole(file, own);
  } finally {
    rmSync(claim, { force: true });
  }
  return {
    [Symbol.dispose]() {
      if (read(file)?.pid === process.pid) rmSync(file, { force: true });
    },
  };
}

const taken = (folder: string, { pid }: ProcessId): FaultError =>
  new FaultError('in-use', folder, `a daemon runs already (pid ${pid})`);

const pollMs = 5;
const mostMs = 2000;

/** Of two that claim it at once at least one sees the other's claim: the younger gives way, the older waits until it
 * has. */
function waitForOthers(folder: string, own: ProcessId): void {
  for (let waited = 0; ; waited += pollMs) {
    const others = claimsIn(folder).filter((id) => id.pid !== own.pid && isAlive(id));
    const [first] = others;
    if (first === undefined) return;
    const older = others.find(
      (id) => id.startTime < own.startTime || (id.startTime === own.startTime && id.pid < own.pid),
    );
    if (older !== undefined || waited >= mostMs) throw taken(folder, older ?? first);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pollMs);
  }
}

function claimsIn(folder: string): readonly ProcessId[] {
  const names = readdirSync(folder).filter((name) => /^claim-\d+\.json$/.test(name));
  return names.flatMap((name) => {
    const id = read(join(folder, name));
    // What a crash left.
    if (id !== undefined && !isAlive(id)) rmSync(join(folder, name), { force: true });
    return id ?? [];
  });
}

/** In one step: whoever looks finds what was there before, or this. */
function writeWhole(file: string, id: ProcessId): void {
  const fresh = `${file}~${id.pid}`;
  writeFileSync(fresh, JSON.stringify(id), { mode: 0o600 });
  renameSync(fresh, file);
}

function read(file: string): ProcessId | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessId;
  } catch {
    return undefined;
  }
}
