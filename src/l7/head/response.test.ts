import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseResponse } from '../http1.ts';
import { keepAliveSeconds } from './response.ts';

/** What a head with this value says. */
function read(value: string): number {
  const bytes = Buffer.from(`HTTP/1.1 200 OK\r\nKeep-Alive: ${value}\r\nX: timeout=9\r\n\r\n`, 'latin1');
  assert.ok(parseResponse(bytes, 0, bytes.length) > 0);
  return keepAliveSeconds(bytes);
}

test('Keep-Alive is read as a list of parameters', () => {
  const none = Buffer.from('HTTP/1.1 200 OK\r\nX: timeout=9\r\n\r\n');
  assert.ok(parseResponse(none, 0, none.length) > 0);
  assert.equal(keepAliveSeconds(none), -1);
  const piece = fc.constantFrom(
    'timeout',
    'Timeout=',
    'timeout=',
    '=',
    ',',
    ', ',
    ' ',
    '\t',
    '5',
    '60',
    '0',
    'max=7',
    'x',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const value = pieces.join('');
      const said = value
        .split(',')
        .map((text) => text.replace(/^[ \t]+|[ \t]+$/g, ''))
        .find((text) => /^timeout=/i.test(text));
      const digits = /^timeout=(\d{1,5})$/i.exec(said ?? '')?.[1];
      assert.equal(read(value), digits === undefined ? -1 : Number(digits), JSON.stringify(value));
    }),
    { numRuns: 2000 },
  );
});
