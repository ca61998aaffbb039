// A cgroup a guest, "midplane/<instance>/<guest>": on the unified hierarchy (v2), or on v1 with a hierarchy for each
// controller (the hybrid layout, whose v2 tree has no controllers).
import { type Dirent, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { FaultError } from '../engine/faults.ts';

export interface Limits {
  /** Bytes; swap counts too. */
  readonly memory?: number;
  /** Share of one CPU: 0.5 is half of one. */
  readonly cpus?: number;
  /** Processes and threads at most. */
  readonly pids?: number;
}

export interface Cgroup {
  /** Files into which a process writes its pid ("0": itself) to be in the group. */
  readonly procs: readonly string[];
  /** Files into which a process of one thread writes "0" to be in the group. */
  readonly join: readonly string[];
  attach(pid: number): void;
  pids(): readonly number[];
  /** Processes that the kernel ended because of the memory limit. */
  oomKills(): number;
  /** SIGKILL to all in it, until none is left; a Fault 'timeout' after 3 s. */
  kill(): Promise<void>;
  /** Takes the group away, empty parents of ours too. What is not there is no error. */
  remove(): void;
}

const root = '/sys/fs/cgroup';
const controllers = ['memory', 'cpu', 'pids'] as const;
const periodUs = 100_000;

/** Whether the machine has cgroups v2 alone. */
export const isUnified = (): boolean => existsSync(join(root, 'cgroup.controllers'));

/** Path of a guest's group below a hierarchy. */
export const cgroupName = (instance: string, guest: string): string => join('midplane', instance, guest);

/** Makes the group where it is not there and sets the limits. Fault 'refused' for what the kernel does not take. */
export function makeCgroup(name: string, limits: Limits): Cgroup {
  const group = openCgroup(name);
  try {
    if (isUnified()) makeUnified(name, limits);
    else makeHybrid(name, limits);
  } catch (error) {
    throw new FaultError('refused', `cgroup ${name}`, error instanceof Error ? error.message : String(error));
  }
  return group;
}

/** The group as it is, there or not. */
export function openCgroup(name: string): Cgroup {
  const folders = isUnified() ? [join(root, name)] : controllers.map((c) => join(root, c, name));
  const procs = folders.map((folder) => join(folder, 'cgroup.procs'));
  const pids = (): number[] => [...new Set(folders.flatMap(pidsIn))];
  return {
    procs,
    // cgroup.procs of v1 waits for an RCU grace period, 10 ms and more; v2 has nothing else for a first process.
    join: isUnified() ? procs : folders.map((folder) => join(folder, 'tasks')),
    attach(pid) {
      for (const file of procs) writeFileSync(file, String(pid));
    },
    pids,
    oomKills: () => oomKills(name),
    kill: () => killAll(name, pids),
    remove() {
      for (const folder of folders) removeUp(folder, isUnified() ? root : dirname(dirname(dirname(folder))));
    },
  };
}

function makeUnified(name: string, limits: Limits): void {
  let folder = root;
  for (const part of name.split('/')) {
    writeFileSync(join(folder, 'cgroup.subtree_control'), controllers.map((c) => `+${c}`).join(' '));
    folder = join(folder, part);
    mkdirSync(folder, { recursive: true });
  }
  const { memory, cpus, pids } = limits;
  writeFileSync(join(folder, 'memory.max'), String(memory ?? 'max'));
  if (existsSync(join(folder, 'memory.swap.max'))) writeFileSync(join(folder, 'memory.swap.max'), '0');
  writeFileSync(join(folder, 'cpu.max'), `${cpus === undefined ? 'max' : quotaUs(cpus)} ${periodUs}`);
  writeFileSync(join(folder, 'pids.max'), String(pids ?? 'max'));
}

function makeHybrid(name: string, limits: Limits): void {
  const folder = (controller: string): string => join(root, controller, name);
  for (const controller of controllers) mkdirSync(folder(controller), { recursive: true });
  const { memory, cpus, pids } = limits;
  setMemory(folder('memory'), memory ?? -1);
  writeFileSync(join(folder('cpu'), 'cpu.cfs_period_us'), String(periodUs));
  writeFileSync(join(folder('cpu'), 'cpu.cfs_quota_us'), String(cpus === undefined ? -1 : quotaUs(cpus)));
  writeFileSync(join(folder('pids'), 'pids.max'), String(pids ?? 'max'));
}

/** memory+swap may never be below memory: which is set first depends on where it goes. */
function setMemory(folder: string, bytes: number): void {
  const both = join(folder, 'memory.memsw.limit_in_bytes');
  const files = [join(folder, 'memory.limit_in_bytes'), ...(existsSync(both) ? [both] : [])];
  const now = Number(read(files[0] ?? '').trim());
  const order = bytes === -1 || bytes > now ? files.toReversed() : files;
  for (const file of order) writeFileSync(file, String(bytes));
}

function quotaUs(cpus: number): number {
  // The kernel's least quota is 1 ms.
  return Math.max(1000, Math.round(cpus * periodUs));
}

function oomKills(name: string): number {
  const file = isUnified() ? join(root, name, 'memory.events') : join(root, 'memory', name, 'memory.oom_control');
  return Number(/^oom_kill (\d+)$/m.exec(read(file))?.[1] ?? 0);
}

async function killAll(name: string, pids: () => readonly number[]): Promise<void> {
  for (let i = 0; i < 150; i += 1) {
    const left = pids();
    if (left.length === 0) return;
    for (const pid of left) signal(pid, 'SIGKILL');
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new FaultError('timeout', `cgroup ${name}`, `processes ${pids().join(' ')} do not end`);
}

/** Takes a group and all groups below it away, on every hierarchy: a container engine makes them on each. Its monitor
 * ends a moment after its container; what has not ended after a second gets SIGKILL. A Fault 'timeout' after 3 s. */
export async function removeTree(name: string): Promise<void> {
  const tops = isUnified() ? [root] : readdirSync(root).map((hierarchy) => join(root, hierarchy));
  for (let waited = 0; waited < 3000; waited += 20) {
    const left = tops.flatMap((top) => removeBelow(join(top, name), top));
    if (left.length === 0) return;
    if (waited >= 1000) for (const folder of left) for (const pid of pidsIn(folder)) signal(pid, 'SIGKILL');
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new FaultError('timeout', `cgroup ${name}`, 'it is not empty');
}

/** Folders that stay. */
function removeBelow(folder: string, top: string): string[] {
  for (const below of foldersIn(folder)) removeUp(below, folder);
  removeUp(folder, top);
  return existsSync(folder) ? [folder, ...foldersIn(folder)] : [];
}

const pidsIn = (folder: string): number[] => read(join(folder, 'cgroup.procs')).split('\n').filter(Boolean).map(Number);

/** Deepest first. */
function foldersIn(folder: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const own = entries.filter((entry) => entry.isDirectory()).map((entry) => join(folder, entry.name));
  return own.flatMap((each) => [...foldersIn(each), each]);
}

/** Sends a signal; a process that is gone is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Removes the folder and what is empty above it, up to the hierarchy's root. */
function removeUp(folder: string, top: string): void {
  for (let at = folder; relative(top, at) !== '' && !relative(top, at).startsWith('..'); at = dirname(at)) {
    try {
      rmdirSync(at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') continue;
      if (code === 'EBUSY' || code === 'ENOTEMPTY') return;
      throw error;
    }
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENODEV') return '';
    throw error;
  }
}
