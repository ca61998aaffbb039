import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareHosts, coveringNames, covers, intersect } from './hostname.ts';

test('a wildcard stands for one or more labels', () => {
  assert.ok(covers('*.example.com', 'a.example.com'));
  assert.ok(covers('*.example.com', 'a.b.example.com'));
  assert.ok(covers('*.example.com', '*.b.example.com'));
  assert.ok(!covers('*.example.com', 'example.com'));
  assert.ok(!covers('*.example.com', 'aexample.com'));
  assert.ok(!covers('a.example.com', '*.example.com'));
  assert.ok(covers('*', '*.example.com'));
});

const label = fc.constantFrom('a', 'b', 'com');
const host = fc
  .tuple(fc.boolean(), fc.array(label, { minLength: 1, maxLength: 4 }))
  .map(([wild, labels]) => `${wild ? '*.' : ''}${labels.join('.')}`);

test('an intersection is covered by both, and is the same either way', () => {
  fc.assert(
    fc.property(host, host, (a, b) => {
      const both = intersect(a, b);
      assert.equal(both, intersect(b, a));
      if (both !== undefined) assert.ok(covers(a, both) && covers(b, both));
    }),
    { numRuns: 300 },
  );
});

test('exact names go before wildcards, longer ones before shorter', () => {
  const sorted = ['*', '*.com', 'a.com', '*.example.com', 'a.example.com'].toSorted(compareHosts);
  assert.deepEqual(sorted, ['a.example.com', 'a.com', '*.example.com', '*.com', '*']);
});

test('the names that cover a host, in the order in which they count', () => {
  fc.assert(
    fc.property(host, fc.oneof(host, fc.constant('*')), (name, other) => {
      const names = coveringNames(name);
      assert.equal(names.includes(other), covers(other, name));
      assert.deepEqual(names, names.toSorted(compareHosts));
    }),
    { numRuns: 300 },
  );
});
