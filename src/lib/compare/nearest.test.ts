import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { distance, nearest } from './nearest.ts';

test('the word that was meant', () => {
  const words = ['vlan', 'vlans', 'address', 'mtu', 'native', 'trunk', 'mac'];
  const rows = [
    ['vlna', 'vlan'],
    ['VLAN', 'vlan'],
    ['adress', 'address'],
    ['mut', 'mtu'],
    ['nativ', 'native'],
    ['colour', undefined],
    ['x', undefined],
    ['', undefined],
    ['a'.repeat(100), undefined],
  ] as const;
  for (const [word, expected] of rows) assert.equal(nearest(word, words), expected, word);
});

test('distance is symmetric, 0 only for equals, and never more than the longer word', () => {
  const word = fc.string({ maxLength: 12, unit: fc.constantFrom('a', 'b', 'c') });
  fc.assert(
    fc.property(word, word, (a, b) => {
      const d = distance(a, b);
      assert.equal(d, distance(b, a));
      assert.equal(d === 0, a === b);
      assert.ok(d >= Math.abs(a.length - b.length) && d <= Math.max(a.length, b.length));
    }),
  );
  assert.equal(distance('abcd', 'acbd'), 1);
});
