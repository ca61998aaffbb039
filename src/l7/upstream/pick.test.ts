import assert from 'node:assert/strict';
import { test } from 'node:test';
import { choiceOf, createRandom, pick } from './pick.ts';
import type { Backend } from './pick.ts';
import { UpstreamPiece } from '../record/line.ts';

function backend(id: number, weight: number, more: Partial<Backend> = {}): Backend {
  return {
    id,
    address: '127.0.0.1',
    port: id,
    weight,
    logged: new UpstreamPiece(`e${id}`),
    healthy: true,
    active: 0,
    owed: 0,
    idleMs: undefined,
    ...more,
  };
}

function counts(backends: readonly Backend[], policy: Parameters<typeof pick>[1], n: number): Record<number, number> {
  const choice = choiceOf(backends, 0);
  const random = createRandom(7);
  const seen: Record<number, number> = {};
  for (let i = 0; i < n; i += 1) {
    const b = pick(choice, policy, random)!;
    seen[b.id] = (seen[b.id] ?? 0) + 1;
  }
  return seen;
}

test('round robin goes in turn, with weights smoothly', () => {
  assert.deepEqual(counts([backend(1, 1), backend(2, 1), backend(3, 1)], 'round-robin', 9), { 1: 3, 2: 3, 3: 3 });
  assert.deepEqual(counts([backend(1, 5), backend(2, 1), backend(3, 1)], 'round-robin', 14), { 1: 10, 2: 2, 3: 2 });
  const choice = choiceOf([backend(1, 2), backend(2, 1)], 0);
  const order = Array.from({ length: 6 }, () => pick(choice, 'round-robin', () => 0)!.id);
  assert.deepEqual(order, [1, 2, 1, 1, 2, 1]);
});

test('random and least-request keep to the weights', () => {
  for (const policy of ['random', 'least-request'] as const) {
    const seen = counts([backend(1, 4), backend(2, 1)], policy, 5000);
    assert.ok(Math.abs(seen[1]! / 5000 - (policy === 'random' ? 0.8 : 0.96)) < 0.03, `${policy} ${seen[1]}`);
  }
});

test('least-request prefers who has less to do', () => {
  const seen = counts([backend(1, 1, { active: 10 }), backend(2, 1)], 'least-request', 1000);
  assert.ok(seen[2]! > 700);
});

test('only healthy ones are asked', () => {
  assert.deepEqual(counts([backend(1, 1, { healthy: false }), backend(2, 1)], 'random', 10), { 2: 10 });
  assert.equal(
    pick(choiceOf([backend(1, 1, { healthy: false })], 0), 'random', () => 0),
    undefined,
  );
});
