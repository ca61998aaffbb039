import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isGroupMac, parseMac, printMac, sameMac } from './mac.ts';

test('what is printed parses to the same address, in each of its three forms', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (mac) => {
      const text = printMac(mac);
      const dotted = text.replaceAll(':', '').replaceAll(/(....)(?=.)/g, '$1.');
      for (const form of [text, text.toUpperCase(), text.replaceAll(':', '-'), dotted]) {
        const again = parseMac(form);
        assert.ok(again && sameMac(mac, again), form);
      }
    }),
  );
});

test('what is no address', () => {
  const rows = [
    '',
    '02:00:00:00:00',
    '02:00:00:00:00:0g',
    '02:00-00:00:00:00',
    '020000000000',
    '0200.0000',
    '2:0:0:0:0:1',
    '02:00:00:00:00:00:00',
  ];
  for (const text of rows) assert.equal(parseMac(text), undefined, text);
});

test('group addresses', () => {
  assert.ok(isGroupMac(Uint8Array.of(1, 0, 0x5e, 0, 0, 1)) && !isGroupMac(Uint8Array.of(2, 0, 0, 0, 0, 1)));
});
