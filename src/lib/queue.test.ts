import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { serial } from './queue.ts';

test('one at a time, in order, whatever each takes and however it ends', async () => {
  const queue = serial();
  const seen: string[] = [];
  const work = (name: string, ms: number, fail = false) =>
    queue.run(async () => {
      seen.push(`+${name}`);
      await sleep(ms);
      seen.push(`-${name}`);
      if (fail) throw new Error(name);
      return name;
    });
  const results = await Promise.allSettled([work('a', 10), work('b', 1, true), work('c', 5), queue.run(() => 'd')]);
  assert.deepEqual(seen, ['+a', '-a', '+b', '-b', '+c', '-c']);
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : String(result.reason))),
    ['a', 'Error: b', 'c', 'd'],
  );
  assert.equal(queue.length, 0);
});

test('the bound refuses, and idle waits for all', async () => {
  const queue = serial(2);
  let done = 0;
  const work = async () => {
    await sleep(2);
    done++;
  };
  const first = queue.run(work);
  const second = queue.run(work);
  await assert.rejects(queue.run(work), /more than 2 wait/);
  assert.equal(queue.length, 2);
  await queue.idle();
  assert.equal(done, 2);
  await Promise.all([first, second]);
});

test('work given by work waits for its turn', async () => {
  const queue = serial();
  const seen: number[] = [];
  const outer = queue.run(() => {
    void queue.run(() => seen.push(2));
    seen.push(1);
  });
  await outer;
  await queue.idle();
  assert.deepEqual(seen, [1, 2]);
});
