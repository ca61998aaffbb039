import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BODY_CHUNKED, BODY_LENGTH } from '../transport.ts';
import { BodyState, feed } from './body.ts';

/** Feeds in pieces. Gives the data and what is behind the body, or undefined where the framing is refused. */
function read(
  mode: number,
  length: number,
  pieces: readonly string[],
): { data: string; rest: string; done: boolean } | undefined {
  const state = new BodyState();
  state.begin(mode, length);
  let data = '';
  let rest = '';
  for (const piece of pieces) {
    const bytes = Buffer.from(piece, 'latin1');
    const used = feed(state, bytes, 0, (start, end) => (data += bytes.toString('latin1', start, end)));
    if (used < 0) return undefined;
    rest += piece.slice(used);
  }
  return { data, rest, done: state.done };
}

const good: readonly (readonly [string, string, string])[] = [
  ['5\r\nhello\r\n0\r\n\r\n', 'hello', ''],
  ['5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nnext', 'hello world', 'next'],
  ['00005\r\nhello\r\n000\r\n\r\n', 'hello', ''],
  ['A\r\n0123456789\r\n0\r\n\r\n', '0123456789', ''],
  ['a;name=value;x="y z"\r\n0123456789\r\n0;last\r\n\r\n', '0123456789', ''],
  ['0\r\nTrailer: x\r\nOther:\r\n\r\nG', '', 'G'],
];

const bad: readonly (readonly [string, string])[] = [
  ['no size', '\r\nhello\r\n0\r\n\r\n'],
  ['extension without size', ';x\r\n0\r\n\r\n'],
  ['0x prefix', '0x5\r\nhello\r\n0\r\n\r\n'],
  ['sign', '+5\r\nhello\r\n0\r\n\r\n'],
  ['space before the size', ' 5\r\nhello\r\n0\r\n\r\n'],
  ['space after the size', '5 \r\nhello\r\n0\r\n\r\n'],
  ['tab before the extension', '5\t;x\r\nhello\r\n0\r\n\r\n'],
  ['bare LF after the size', '5\nhello\r\n0\r\n\r\n'],
  ['bare CR after the size', '5\rXhello\r\n0\r\n\r\n'],
  ['bare LF in an extension', '5;a\nhello\r\n0\r\n\r\n'],
  ['NUL in an extension', '5;a\0\r\nhello\r\n0\r\n\r\n'],
  ['longer data than said', '4\r\nhello\r\n0\r\n\r\n'],
  ['bare LF after data', '5\r\nhello\n0\r\n\r\n'],
  ['no line end after data', '5\r\nhelloXX0\r\n\r\n'],
  ['size beyond 48 bits', '1000000000000\r\nhello\r\n0\r\n\r\n'],
  ['bare LF at the end', '0\r\n\n'],
  ['bare CR at the end', '0\r\n\rX'],
  ['folded trailer', '0\r\nA: b\r\n c\r\n\r\n'],
  ['trailer without a colon', '0\r\nA\r\n\r\n'],
  ['trailer with a space before its colon', '0\r\nA : b\r\n\r\n'],
  ['bare LF in a trailer', '0\r\nA: b\n\r\n'],
  ['very long extension', `5;${'x'.repeat(2000)}\r\nhello\r\n0\r\n\r\n`],
  ['very long trailers', `0\r\n${'A: b\r\n'.repeat(2000)}\r\n`],
];

test('chunked bodies give their data, whatever the pieces', () => {
  for (const [text, data, rest] of good) {
    for (let cut = 0; cut <= text.length; cut += 1) {
      const got = read(BODY_CHUNKED, 0, [text.slice(0, cut), text.slice(cut)]);
      assert.deepEqual(got, { data, rest, done: true }, `${JSON.stringify(text)} cut at ${cut}`);
    }
    assert.deepEqual(read(BODY_CHUNKED, 0, text.split('')), { data, rest, done: true });
  }
});

test('broken chunk framing is refused, whatever the pieces', () => {
  for (const [name, text] of bad) {
    assert.equal(read(BODY_CHUNKED, 0, [text]), undefined, name);
    if (text.length < 100) assert.equal(read(BODY_CHUNKED, 0, text.split('')), undefined, name);
  }
});

test('any data in any chunks comes out as it went in', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1, maxLength: 40 }), { maxLength: 6 }), fc.nat(), (chunks, seed) => {
      const latin = chunks.map((c) => Buffer.from(c).toString('latin1'));
      const text = `${latin.map((c) => `${c.length.toString(16)}\r\n${c}\r\n`).join('')}0\r\n\r\n`;
      const cut = seed % (text.length + 1);
      const got = read(BODY_CHUNKED, 0, [text.slice(0, cut), text.slice(cut)]);
      assert.deepEqual(got, { data: latin.join(''), rest: '', done: true });
    }),
    { numRuns: 300 },
  );
});

test('a length takes exactly its bytes', () => {
  assert.deepEqual(read(BODY_LENGTH, 5, ['hel', 'lo wo', 'rld']), { data: 'hello', rest: ' world', done: true });
  assert.deepEqual(read(BODY_LENGTH, 5, ['hel']), { data: 'hel', rest: '', done: false });
  assert.deepEqual(read(BODY_LENGTH, 0, ['x']), { data: '', rest: 'x', done: true });
});
