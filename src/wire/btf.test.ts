import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { layoutOf, mapTypes, parseBtf, resolveType, sizeOf } from './btf.ts';
import { elfSection } from './elf.ts';

/** BTF of: typedef unsigned int u32; struct s { u32 a; const u8 b[6]; }; enum e { MINUS = -1 }; */
function sample(): Uint8Array {
  const strings = '\0u32\0unsigned int\0s\0a\0b\0unsigned char\0e\0MINUS\0';
  const at = (name: string): number => strings.indexOf(`\0${name}\0`) + 1;
  const info = (kind: number, count = 0, flag = 0): number => ((flag << 31) | (kind << 24) | count) >>> 0;
  const types = [
    [at('unsigned int'), info(1), 4, 32], // 1
    [at('u32'), info(8), 1], // 2
    [at('unsigned char'), info(1), 1, 8], // 3
    [0, info(3), 0, 3, 1, 6], // 4
    [0, info(10), 4], // 5
    [at('s'), info(4, 2), 12, at('a'), 2, 0, at('b'), 5, 32], // 6
    [at('e'), info(6, 1, 1), 4, at('MINUS'), 0xffff_ffff], // 7
  ].flat();
  const header = [0x0001_eb9f, 24, 0, types.length * 4, types.length * 4, strings.length];
  return Buffer.concat([Buffer.from(Uint32Array.from([...header, ...types]).buffer), Buffer.from(strings)]);
}

test('types are read with their names, sizes and offsets', () => {
  const btf = parseBtf(sample());
  assert.equal(btf.types.length, 8);
  assert.deepEqual(resolveType(btf, 2), { kind: 'int', name: 'unsigned int', size: 4, signed: false });
  assert.deepEqual([sizeOf(btf, 5), sizeOf(btf, 6)], [6, 12]);
  assert.equal(layoutOf(btf, 6), 'struct s 12 {a@0 u32; b@32 u8[6]}');
  assert.deepEqual(resolveType(btf, 7), { kind: 'enum', name: 'e', size: 4, values: [{ name: 'MINUS', value: -1n }] });
  assert.equal(mapTypes(btf).size, 0);
  assert.throws(() => resolveType(btf, 99), RangeError);
});

test('bytes that are none are refused, cut ones do not run on', () => {
  assert.throws(() => parseBtf(new Uint8Array(24)), RangeError);
  assert.throws(() => elfSection(new Uint8Array(100), '.BTF'), RangeError);
  const whole = sample();
  fc.assert(
    fc.property(
      fc.nat({ max: whole.length }),
      fc.nat({ max: whole.length - 1 }),
      fc.nat({ max: 255 }),
      (size, at, byte) => {
        const bytes = whole.slice(0, size);
        if (at < size) bytes[at] = byte;
        try {
          parseBtf(bytes);
        } catch (error) {
          assert.ok(error instanceof RangeError);
        }
      },
    ),
  );
});
