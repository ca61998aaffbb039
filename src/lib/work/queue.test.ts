import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { serial } from './queue.ts';

test('one at a time, in order, whatever each takes and however it ends', async () => {
  const run = serial();
  const seen: string[] = [];
  const work = (name: string, ms: number, fail = false): Promise<string> =>
    run(async () => {
      seen.push(`+${name}`);
      await sleep(ms);
      seen.push(`-${name}`);
      if (fail) throw new Error(name);
      return name;
    });
  const results = await Promise.allSettled([work('a', 10), work('b', 1, true), work('c', 5), run(() => 'd')]);
  assert.deepEqual(seen, ['+a', '-a', '+b', '-b', '+c', '-c']);
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : String(result.reason))),
    ['a', 'Error: b', 'c', 'd'],
  );
});

test('the bound refuses, and what has settled makes room', async () => {
  const run = serial(2);
  const both = [run(() => sleep(1)), run(() => Promise.reject(new Error('no')))];
  await assert.rejects(
    run(() => 1),
    /more than 2 wait/,
  );
  await Promise.allSettled(both);
  assert.equal(await run(() => 3), 3);
});

test('work given by work waits for its turn', async () => {
  const run = serial();
  const seen: number[] = [];
  let inner: Promise<number> | undefined;
  await run(() => {
    inner = run(() => seen.push(2));
    seen.push(1);
  });
  await inner;
  assert.deepEqual(seen, [1, 2]);
});
