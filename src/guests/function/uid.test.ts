import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Ids } from '../../engine/ids.ts';
import { uidOf } from './uid.ts';

const ids = (value: number): Ids => ({
  id: () => value,
  together: (call) => call(),
  find: () => value,
  name: () => '',
  retain: () => undefined,
});

test('uids lie in a range of their own, below 2^31, and differ by id', () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 1, max: 4095 }), (instance, id) => {
      const uid = uidOf({ instance, ids: ids(id) }, 'a');
      assert.ok(uid > 1_836_000_000 && uid < 2 ** 31, String(uid));
      assert.notEqual(uid, uidOf({ instance, ids: ids(id === 1 ? 2 : id - 1) }, 'a'));
    }),
  );
});
