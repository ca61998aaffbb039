// On the machine's own cgroups: this is what the guests' limits stand on.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { cgroupName, isUnified, makeCgroup, removeTree } from './cgroup.ts';

test('limits are set, raised and lowered; a process in it ends with it; nothing stays', async () => {
  const name = cgroupName(`mpt-${process.pid}`, 'g');
  const group = makeCgroup(name, { memory: 64 * 2 ** 20, cpus: 0.5, pids: 10 });
  try {
    const file = (controller: string, v1: string, v2: string): string =>
      readFileSync(join('/sys/fs/cgroup', isUnified() ? '' : controller, name, isUnified() ? v2 : v1), 'utf8').trim();
    const memory = (): string => file('memory', 'memory.limit_in_bytes', 'memory.max');
    assert.equal(memory(), String(64 * 2 ** 20));
    assert.equal(file('pids', 'pids.max', 'pids.max'), '10');
    assert.match(file('cpu', 'cpu.cfs_quota_us', 'cpu.max'), /^50000( 100000)?$/);
    makeCgroup(name, { memory: 128 * 2 ** 20 });
    assert.equal(memory(), String(128 * 2 ** 20));
    makeCgroup(name, { memory: 32 * 2 ** 20 });
    assert.equal(memory(), String(32 * 2 ** 20));
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    group.attach(child.pid ?? 0);
    assert.deepEqual(group.pids(), [child.pid]);
    await group.kill();
    assert.deepEqual(group.pids(), []);
    assert.equal(group.oomKills(), 0);
  } finally {
    await group.kill();
    group.remove();
  }
  for (const file of group.procs) assert.equal(existsSync(dirname(dirname(file))), false);
  group.remove();
  await removeTree(name);
});
