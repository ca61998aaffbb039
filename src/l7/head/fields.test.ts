import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { F_VALUE, F_VALUE_LEN, VALUE, classes, fields, head, parseFields } from './fields.ts';

/** What parseFields must say of one field with this value, at any place of an arena. */
function check(value: Uint8Array, off: number, aligned: boolean): void {
  const text = Buffer.concat([Buffer.from('a:'), value, Buffer.from('\r\n\r\n')]);
  const whole = new Uint8Array(off + text.length + 12);
  const arena = aligned ? whole : whole.subarray(1);
  arena.set(text, off);
  const got = parseFields(arena, off, off + text.length);
  const bad = value.findIndex((c) => (classes[c]! & VALUE) === 0);
  if (bad >= 0) return assert.ok(got < 0 || value[bad] === 13, `${Buffer.from(value).toString('hex')}: ${got}`);
  assert.equal(got, off + text.length);
  assert.equal(head.count, 1);
  const seen = arena.subarray(fields[F_VALUE]!, fields[F_VALUE]! + fields[F_VALUE_LEN]!);
  assert.equal(
    Buffer.from(seen).toString('latin1'),
    Buffer.from(value)
      .toString('latin1')
      .replaceAll(/^[ \t]+|[ \t]+$/g, ''),
  );
}

test('every byte at every place of a value, beside words that begin anywhere', () => {
  for (let c = 0; c < 256; c += 1) {
    for (let at = 0; at < 9; at += 1) {
      const value = new Uint8Array(9).fill(120);
      value[at] = c;
      for (let off = 0; off < 4; off += 1) check(value, off, true);
      check(value, 0, false);
    }
  }
});

test('any values', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(7), fc.boolean(), check), { numRuns: 3000 });
});
