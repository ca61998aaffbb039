import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { same } from './same.ts';

test('two values are the same where their texts are, whatever the order of keys', () => {
  const sorted = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map(sorted);
    const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
  };
  const small = fc.jsonValue({ maxDepth: 2, noUnicodeString: true } as object);
  const pair = fc.oneof(
    fc.tuple(small, small),
    small.map((value) => [value, structuredClone(value)] as const),
  );
  const property = fc.property(pair, ([a, b]) => {
    assert.equal(same(a, b), JSON.stringify(sorted(a)) === JSON.stringify(sorted(b)));
  });
  fc.assert(property, { numRuns: 500 });
});

test('what is empty or not there is not something else', () => {
  for (const [a, b] of [
    [{}, []],
    [[], {}],
    [{ x: undefined }, { y: 1 }],
    [null, {}],
    [{ a: 1 }, { a: 1, b: 1 }],
    ['1', 1],
  ]) {
    assert.equal(same(a, b), false, JSON.stringify([a, b]));
  }
});
