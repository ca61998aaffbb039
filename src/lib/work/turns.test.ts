import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inTurns } from './turns.ts';

function* parts(count: number, ended: { early?: boolean } = {}): Generator<undefined, number, undefined> {
  let done = false;
  try {
    for (let i = 0; i < count; i += 1) {
      const until = performance.now() + 1;
      while (performance.now() < until);
      yield;
    }
    done = true;
    return count;
  } finally {
    if (!done) ended.early = true;
  }
}

test('long work lets others have their turn, and gives what it comes to', async () => {
  const pieces: number[] = [];
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 1);
  assert.equal(await inTurns(parts(60), 5, { spent: (ms) => pieces.push(ms) }), 60);
  clearInterval(timer);
  assert.ok(pieces.length > 5 && pieces.length <= 60, `${pieces.length} pieces`);
  assert.ok(Math.min(...pieces.slice(0, -1)) >= 5);
  assert.ok(turns >= pieces.length / 2, `${turns} turns`);
});

test('work that nobody wants any more ends early', async () => {
  const ended: { early?: boolean } = {};
  const stop = new AbortController();
  const work = inTurns(parts(10_000, ended), 2, { signal: stop.signal });
  setTimeout(() => stop.abort(new Error('enough')), 5);
  await assert.rejects(work, /enough/);
  assert.equal(ended.early, true);
});
