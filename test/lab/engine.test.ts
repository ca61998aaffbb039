// The engine's cases on the real kernel: a process in a namespace of its own runs them (engine-inside.ts), so that
// routes, settings and devices of the machine stay out of it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '../../src/lab/process.ts';
import { kernel, root } from './rig.ts';

test('the engine on the real kernel', { timeout: 240_000 }, async (t) => {
  const netns = `mpt-engine-${process.pid}`;
  kernel.netns.add(netns);
  try {
    const inside = join(root, 'test', 'lab', 'engine-inside.ts');
    // The runner's own variable would make the inner one speak its private language.
    const command = ['env', '-u', 'NODE_TEST_CONTEXT', process.execPath, '--test', '--test-reporter=tap', inside];
    const { code, stdout, stderr } = await run(netns, command, { timeoutMs: 220_000 });
    const passed = Number(/^# pass (\d+)$/m.exec(stdout)?.[1] ?? 0);
    for (const line of stdout.matchAll(/^ *# (.* ms.*)$/gm)) t.diagnostic(line[1] ?? '');
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /^# skipped 0$/m);
    assert.ok(passed >= 15, `${passed} cases passed`);
  } finally {
    kernel.netns.remove(netns);
  }
});
