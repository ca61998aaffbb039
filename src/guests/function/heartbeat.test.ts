import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { beatMs, openHeartbeats } from './heartbeat.ts';

test('stuck is what stays away for longer than a request may take, at two looks in a row', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-heartbeat-'));
  try {
    const file = join(folder, 'hello.heartbeat');
    let now = 0;
    let beats = 0;
    const clock = { now: () => 0, monotonic: () => now, after: () => ({ [Symbol.dispose]: () => undefined }) };
    const hearts = openHeartbeats(clock);
    const look = (ms: number, id = '1 1'): boolean => ((now += ms), hearts.stuck('hello', id, file, 500));
    const beat = (): void => utimesSync(file, 0, (beats += 1));
    assert.equal(look(10_000), false, 'no file');
    writeFileSync(file, '');
    look(0);
    assert.equal(look(10_000), false, 'it has not begun to beat');
    writeFileSync(file, '.');
    for (let i = 0; i < 20; i += 1) {
      beat();
      assert.equal(look(beatMs), false);
    }
    assert.equal(look(1400), false, 'late');
    assert.equal(look(200), false, 'too late, seen once');
    assert.equal(look(beatMs), true);
    assert.equal(look(beatMs, '2 2'), false, 'another process');
    // Everything stood still for a minute: the loop has had no chance to beat.
    assert.equal(look(60_000, '2 2'), false);
    beat();
    assert.equal(look(beatMs, '2 2'), false);
    assert.equal(look(beatMs, '2 2'), false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
