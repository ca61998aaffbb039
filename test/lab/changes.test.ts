// The router's workers come and go: a process in a namespace of its own, in which a closed listen queue is a lost one
// (tcp_migrate_req=0), runs the cases (changes-inside.ts).
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../../src/lab/process.ts';
import { kernel, root } from './rig.ts';

test('the router where a closed queue is a lost one', { timeout: 700_000 }, async (t) => {
  const netns = `mpt-changes-${process.pid}`;
  kernel.netns.add(netns);
  try {
    const inside = join(root, 'test', 'lab', 'changes-inside.ts');
    await run(netns, ['ip', 'link', 'set', 'lo', 'up']);
    // The runner's own variable would make the inner one speak its private language.
    const command = ['env', '-u', 'NODE_TEST_CONTEXT', process.execPath, '--test', '--test-reporter=tap', inside];
    const { code, stdout, stderr } = await run(netns, command, { timeoutMs: 690_000 });
    const passed = Number(/^# pass (\d+)$/m.exec(stdout)?.[1] ?? 0);
    for (const line of stdout.matchAll(/^ *# (.* ms.*)$/gm)) t.diagnostic(line[1] ?? '');
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /^# skipped 0$/m);
    assert.ok(passed >= 3, `${passed} cases passed`);
  } finally {
    kernel.netns.remove(netns);
  }
});
