// One daemon an instance.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FaultError } from '../engine/faults.ts';
import { isAlive, type ProcessId, processOf } from '../lib/process.ts';

const takeoverMs = 60_000;

/** Takes the lock in the instance's run folder; disposing gives it back. Another daemon that holds it is a FaultError
 * 'in-use', or, with `takeover`, is asked to end and waited for: forwarding and guests go on meanwhile. */
export async function takeLock(folder: string, takeover: boolean): Promise<Disposable> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, 'daemon.json');
  const holder = read(file);
  if (holder !== undefined && isAlive(holder)) {
    if (!takeover) throw new FaultError('in-use', folder, `a daemon runs already (pid ${holder.pid})`);
    process.kill(holder.pid, 'SIGTERM');
    await ended(holder, folder);
  }
  writeFileSync(file, JSON.stringify(processOf(process.pid)), { mode: 0o600 });
  return {
    [Symbol.dispose]() {
      if (read(file)?.pid === process.pid) rmSync(file, { force: true });
    },
  };
}

async function ended(holder: ProcessId, folder: string): Promise<void> {
  for (let waited = 0; isAlive(holder); waited += 50) {
    if (waited > takeoverMs) throw new FaultError('timeout', folder, `the daemon with pid ${holder.pid} does not end`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

function read(file: string): ProcessId | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessId;
  } catch {
    return undefined;
  }
}
