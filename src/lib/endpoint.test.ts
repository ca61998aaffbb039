import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseEndpoint, printEndpoint } from './endpoint.ts';

test('addresses with a port, in canonical form', () => {
  for (const [text, printed] of [
    ['10.0.0.1:22', '10.0.0.1:22'],
    ['[2001:DB8:0::1]:22', '[2001:db8::1]:22'],
    ['0.0.0.0:65535', '0.0.0.0:65535'],
    ['[::]:1', '[::]:1'],
  ] as const) {
    const endpoint = parseEndpoint(text);
    assert.ok(endpoint, text);
    assert.equal(printEndpoint(endpoint), printed);
  }
});

test('what is none', () => {
  for (const text of [
    '',
    '10.0.0.1',
    ':22',
    '10.0.0.1:0',
    '10.0.0.1:65536',
    '10.0.0.1:22x',
    '::1:22',
    '[10.0.0.1]:22',
  ]) {
    assert.equal(parseEndpoint(text), undefined, text);
  }
});
