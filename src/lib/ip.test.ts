import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  compareIp,
  ipFromBytes,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isUnspecified,
  parseIp,
  printIp,
  sameIp,
} from './ip.ts';

const bytes = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }));
const sparse = fc
  .array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 })
  .map((a) => Uint8Array.from(a));

test('what is printed parses to the same address', () => {
  fc.assert(
    fc.property(fc.oneof(bytes, sparse), (b) => {
      const ip = ipFromBytes(b);
      const again = parseIp(printIp(ip));
      assert.ok(again && sameIp(ip, again), printIp(ip));
    }),
  );
});

test('printing agrees with the URL parser, which shortens as RFC 5952 does', () => {
  fc.assert(
    fc.property(sparse, (b) => {
      const text = printIp(ipFromBytes(b));
      if (!text.startsWith('::ffff:')) assert.equal(new URL(`http://[${text}]/`).hostname, `[${text}]`);
    }),
  );
});

test('canonical forms', () => {
  const rows = [
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::', '::'],
    ['1::', '1::'],
    ['::ffff:c000:0201', '::ffff:192.0.2.1'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['0.0.0.0', '0.0.0.0'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ] as const;
  for (const [text, canonical] of rows) {
    const ip = parseIp(text);
    assert.ok(ip, text);
    assert.equal(printIp(ip), canonical);
  }
});

test('what is no address', () => {
  const rows =
    '|1.2.3|1.2.3.4.5|1.2.3.256|01.2.3.4|1.2.3.4 |0x1.2.3.4|1..2.3|:|:::|1::2::3|1:2:3:4:5:6:7|1:2:3:4:5:6:7:8:9|' +
    '12345::|g::|fe80::1%eth0|[::1]|::1.2.3|1.2.3.4::|::1.2.3.4:5|1:2:3:4:5:6:7:1.2.3.4|::1:2:3:4:5:6:7:8|-1.2.3.4|1:2:3:4:5:6:7:8::';
  for (const text of rows.split('|')) assert.equal(parseIp(text), undefined, text);
});

test('kinds of address', () => {
  const is = (f: (ip: NonNullable<ReturnType<typeof parseIp>>) => boolean, text: string): boolean => {
    const ip = parseIp(text);
    assert.ok(ip, text);
    return f(ip);
  };
  assert.ok(is(isMulticast, '224.0.0.1') && is(isMulticast, 'ff02::1') && !is(isMulticast, '240.0.0.1'));
  assert.ok(is(isUnspecified, '::') && !is(isUnspecified, '0.0.0.1'));
  assert.ok(is(isLoopback, '127.9.9.9') && is(isLoopback, '::1') && !is(isLoopback, '::2'));
  assert.ok(is(isLinkLocal, 'fe80::1') && is(isLinkLocal, '169.254.1.1') && !is(isLinkLocal, 'fec0::1'));
  assert.ok(compareIp(ipFromBytes(new Uint8Array(4)), ipFromBytes(new Uint8Array(16))) < 0);
  assert.throws(() => ipFromBytes(new Uint8Array(5)), RangeError);
});
