import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Btf, BtfType } from './btf.ts';
import { relayout } from './relayout.ts';

const u8: BtfType = { kind: 'int', name: 'u8', size: 1, signed: false };
const u16: BtfType = { kind: 'int', name: 'u16', size: 2, signed: false };
const u32: BtfType = { kind: 'int', name: 'u32', size: 4, signed: false };
const i16: BtfType = { kind: 'int', name: 's16', size: 2, signed: true };

/** Ids: 1 u8, 2 u16, 3 u32, 4 s16, then the given ones. */
const btf = (...types: BtfType[]): Btf => ({ types: [{ kind: 'void' }, u8, u16, u32, i16, ...types] });

/** A struct of fields at their byte offsets. */
function struct(size: number, fields: Record<string, readonly [type: number, at: number]>): BtfType {
  const members = Object.entries(fields).map(([name, [type, at]]) => ({ name, type, offset: at * 8, bits: 0 }));
  return { kind: 'struct', name: 's', size, members };
}

test('fields go by name, what is new is zero, what is gone is left out', () => {
  const old = btf(struct(6, { a: [1, 0], gone: [1, 1], c: [3, 2] }));
  const now = btf(struct(12, { added: [3, 0], c: [3, 4], a: [1, 8], pad: [1, 9] }));
  const convert = relayout(old, 5, now, 5);
  assert.deepEqual([...convert(Uint8Array.of(1, 2, 3, 4, 5, 6))], [0, 0, 0, 0, 3, 4, 5, 6, 1, 0, 0, 0]);
});

test('the same layout comes out as it went in', () => {
  const same = btf(struct(4, { a: [2, 0], b: [2, 2] }));
  assert.deepEqual([...relayout(same, 5, same, 5)(Uint8Array.of(1, 2, 3, 4))], [1, 2, 3, 4]);
});

test('an unsigned field may grow; one that shrinks, has a sign or is in network order is zero', () => {
  const fields = { grown: [2, 0], signed: [4, 2], wire_be: [2, 4], shrunk: [3, 6] } as const;
  const old = btf(struct(10, fields));
  const now = btf(struct(14, { grown: [3, 0], signed: [3, 4], wire_be: [3, 8], shrunk: [2, 12] }));
  const out = relayout(old, 5, now, 5)(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
  assert.deepEqual([...out], [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
});

test('arrays of changed structs go entry by entry, as far as both reach', () => {
  const old = btf(struct(1, { a: [1, 0] }), { kind: 'array', type: 5, count: 3 });
  const now = btf(struct(2, { added: [1, 0], a: [1, 1] }), { kind: 'array', type: 5, count: 2 });
  assert.deepEqual([...relayout(old, 6, now, 6)(Uint8Array.of(7, 8, 9))], [0, 7, 0, 8]);
});
