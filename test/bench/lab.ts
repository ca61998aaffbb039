// What the daemon holds when the lab is up and nobody does anything.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, type ProcessId } from '../../src/lib/process.ts';
import { root } from '../lab/rig.ts';
import { alone, type Bench, type Group, type Row } from './row.ts';

const idleMs = 60_000;
const lockFile = '/run/midplane/lab/daemon.json';

export const lab: Group = { name: 'lab', what: 'the lab, idle', run: runLab };

async function runLab(bench: Bench): Promise<readonly Row[]> {
  const before = holder();
  if (before !== undefined && isAlive(before)) throw new Error(`a lab runs already (pid ${before.pid})`);
  const child = spawn(process.execPath, [join(root, 'src/main.ts'), 'lab'], { stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    await up(child);
    await sleep(idleMs, undefined, { signal: bench.signal });
    const { pid = 0 } = holder() ?? {};
    const [, kib = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    const mib = Number(kib) / 1024;
    bench.say(`lab: ${mib.toFixed(0)} MiB`);
    return [alone(`RSS of the daemon, lab up for ${idleMs / 1000} s`, 'MiB', [mib])];
  } finally {
    const gone = child.exitCode === null ? once(child, 'exit') : undefined;
    child.kill('SIGINT');
    await gone;
  }
}

function holder(): ProcessId | undefined {
  try {
    return JSON.parse(readFileSync(lockFile, 'utf8')) as ProcessId;
  } catch {
    return undefined;
  }
}

/** Resolves when it says what to try. */
async function up(child: ChildProcess): Promise<void> {
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the lab is not up in 120 s\n${said}`)), 120_000);
    const hear = (data: Buffer): void => {
      said = (said + data.toString()).slice(-20_000);
      if (!said.includes('Ctrl-C')) return;
      clearTimeout(timer);
      resolve();
    };
    child.stdout?.on('data', hear);
    child.stderr?.on('data', hear);
    child.once('exit', (code, signal) => reject(new Error(`the lab ended (${code ?? signal})\n${said}`)));
  });
}
