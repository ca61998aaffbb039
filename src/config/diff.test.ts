import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { test } from 'node:test';
import fc from 'fast-check';
import { diff, printScalar, printValue, renderDiff } from './diff.ts';
import { parseDocument } from './yaml.ts';

test('leaves that differ, as lines', () => {
  const a = {
    ports: { swp1: { mtu: 1500, vlan: { access: 'web' } }, swp2: {}, swp4: { mtu: 1 } },
    gone: { a: 1, b: 'x y' },
  };
  const b = {
    ports: { swp1: { mtu: 9000, vlan: { trunk: ['web', 20] } }, swp3: {}, swp4: {} },
    routes: { '0.0.0.0/0': { via: '10.0.0.1' } },
  };
  assert.deepEqual(renderDiff(diff(a, b)), [
    '- ports.swp1.mtu: 1500',
    '+ ports.swp1.mtu: 9000',
    '- ports.swp1.vlan.access: web',
    '+ ports.swp1.vlan.trunk: [web, 20]',
    '- ports.swp2: {}',
    '- ports.swp4.mtu: 1',
    '+ ports.swp4: {}',
    '+ ports.swp3: {}',
    '- gone.a: 1',
    '- gone.b: "x y"',
    '+ routes."0.0.0.0/0".via: 10.0.0.1',
  ]);
});

test('a leaf in the place of a map and the other way round', () => {
  assert.deepEqual(renderDiff(diff({ a: 1 }, { a: { b: 2 } })), ['- a: 1', '+ a.b: 2']);
  assert.deepEqual(renderDiff(diff({ a: { b: 2 } }, { a: 'off' })), ['- a.b: 2', '+ a: off']);
  assert.deepEqual(renderDiff(diff({ a: {} }, { a: { b: 2 } })), ['+ a.b: 2']);
  assert.deepEqual(renderDiff(diff(undefined, { a: null })), ['+ a: null']);
});

test('empty exactly for equals', () => {
  const leaf = fc.oneof(fc.integer(), fc.string(), fc.constant(null), fc.array(fc.integer(), { maxLength: 2 }));
  const tree = fc.dictionary(
    fc.constantFrom('a', 'b', 'c'),
    fc.oneof(leaf, fc.dictionary(fc.constantFrom('d', 'e'), leaf)),
  );
  fc.assert(
    fc.property(tree, tree, (a, b) => assert.equal(diff(a, b).length === 0, isDeepStrictEqual({ ...a }, { ...b }))),
  );
});

test('what is printed in flow style reads back as itself', () => {
  const scalar = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.constantFrom('1.2.3.4/24', '10:20', '1e3', '0x1', 'fd00::1/64', '.5', '-1', 'no', '1.5', '1-2'),
  );
  const value = fc.oneof(scalar, fc.array(scalar), fc.dictionary(fc.string(), scalar, { noNullPrototype: true }));
  fc.assert(
    fc.property(value, (v) => {
      fc.pre(!(typeof v === 'object' && Object.hasOwn(v, '__proto__')));
      assert.deepEqual(parseDocument(`[${printValue(v)}, ${printValue(v)}]`, 'f').value, [v, v]);
    }),
    { numRuns: 500 },
  );
  assert.equal(printScalar('10.0.0.1/24'), '10.0.0.1/24');
  assert.equal(printScalar('nginx:1.27'), '"nginx:1.27"');
});
