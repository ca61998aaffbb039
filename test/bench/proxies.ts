// Programs of a benchmark, each on a core of its own: installed where they are missing, started, ended, their time
// read.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { accepts } from '../fake/l7.ts';

export interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** CPU seconds, user and system, of all its processes so far. */
  cpuSeconds(): number;
  /** Resident memory of the process and its children. */
  rssBytes(): number;
}

export interface ProxyInput {
  readonly folder: string;
  readonly port: number;
  readonly upstreamPort: number;
  readonly core: string;
}

/** Installs what is missing, without starting any service. Throws where it can't be had. */
export function needPackages(programs: Readonly<Record<string, string>>, say: (line: string) => void): void {
  const found = (program: string): boolean =>
    ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/usr/local/sbin'].some((folder) => existsSync(join(folder, program)));
  const missing = Object.entries(programs).flatMap(([program, name]) => (found(program) ? [] : [name]));
  if (missing.length === 0) return;
  say(`installing ${missing.join(', ')}`);
  // invoke-rc.d asks this file whether a package may start its service.
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const apt = (...args: string[]) => spawnSync('apt-get', args, { env, encoding: 'utf8', timeout: 120_000 });
    const install = ['install', '-q', '-y', '--no-install-recommends', ...missing];
    if (apt(...install).status === 0) return;
    apt('update', '-q');
    const { status, stderr } = apt(...install);
    if (status !== 0) throw new Error(`${missing.join(', ')} can't be installed: ${stderr}`);
  } finally {
    if (ours) rmSync(policy);
  }
}

/** Starts a command on a core and waits until it accepts. */
export async function startOn(
  core: string,
  command: readonly string[],
  port: number,
  log: 'ignore' | number = 'ignore',
): Promise<Proxy> {
  const child = spawn('taskset', ['-c', core, ...command], {
    stdio: ['ignore', log, 'pipe'],
  });
  let errors = '';
  child.stderr?.on('data', (data: Buffer) => (errors = (errors + data.toString()).slice(-4000)));
  const pid = child.pid ?? 0;
  const dispose = (): Promise<void> => end(child);
  for (let i = 0; i < 200; i += 1) {
    if (await accepts(port))
      return { port, cpuSeconds: () => cpuOf(pid), rssBytes: () => rssOf(pid), [Symbol.asyncDispose]: dispose };
    if (child.exitCode !== null) break;
    await sleep(50);
  }
  await dispose();
  throw new Error(`${command.join(' ')}: accepts nothing on port ${port}\n${errors}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
  await gone;
  clearTimeout(timer);
}

// USER_HZ, which is 100 on every architecture that Node runs on.
const ticks = 100;

/** The process and its children. proc(5): the fields behind the name are state ppid ...; utime and stime are the 12th
 * and 13th of them. */
function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const own = (Number(fields[11]) + Number(fields[12])) / ticks;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  return children.reduce((sum, child) => sum + cpuOf(Number(child)), own);
}

function rssOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const own = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  return children.reduce((sum, child) => sum + rssOf(Number(child)), own);
}
