import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countKills, watchOom } from './oom.ts';
import { isUnified } from '../cgroup.ts';

const line = (id: string): string =>
  `[12940.287055] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=libpod-${id},mems_allowed=0,` +
  `oom_memcg=/midplane/main/hog,task_memcg=/midplane/main/hog/libpod-${id},task=dd,pid=3540,uid=0\n` +
  '[12940.287081] Memory cgroup out of memory: Killed process 3540 (dd) total-vm:309468kB, anon-rss:64896kB\n';

test('the log names the container', () => {
  assert.equal(countKills(line('aa') + line('bb') + line('aa'), 'aa'), 2);
  assert.equal(countKills(line('aa'), 'cc'), 0);
});

test(
  'each end is judged by what came since the last',
  { skip: isUnified() && 'cgroups v2 count it themselves' },
  async () => {
    let log = '';
    const oom = watchOom('main', () => Promise.resolve(log));
    oom.begun('hog', 'aa');
    assert.equal(await oom.killed('hog', 'aa'), false);
    log = line('aa');
    assert.equal(await oom.killed('hog', 'aa'), false, 'the same end');
    oom.begun('hog', 'aa');
    assert.equal(await oom.killed('hog', 'aa'), true);
    oom.begun('hog', 'aa');
    assert.equal(await oom.killed('hog', 'aa'), false, 'another end, and no new line');
  },
);
