import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pathNormalizations } from '../../mesh/snapshot.ts';
import type { PathNormalization } from '../../mesh/snapshot.ts';
import { parseRequest } from '../http1.ts';
import { ARENA_BYTES, READ_BYTES, ROW_WORDS } from '../transport.ts';
import { Emitter } from './emit.ts';
import { head } from './fields.ts';
import { normalisePath } from './path.ts';

const arena = Buffer.alloc(ARENA_BYTES);
const emitter = new Emitter(arena, new Int32Array(ROW_WORDS));

/** The target as it goes on, or the status. */
function normal(target: string, mode: PathNormalization): string | number {
  const size = arena.write(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`, 0, 'latin1');
  emitter.batch();
  emitter.start(0);
  assert.equal(parseRequest(arena, 0, size), size, head.why);
  const bad = normalisePath(emitter, mode);
  if (bad < 0) return -bad;
  assert.ok(emitter.at <= READ_BYTES + target.length + 520, 'scratch is used with measure');
  const piece = (off: number, len: number) => arena.toString('latin1', off, off + len);
  const query = head.queryOff < 0 ? '' : `?${piece(head.queryOff, head.queryLen)}`;
  assert.equal(piece(head.targetOff, head.targetLen), piece(head.pathOff, head.pathLen) + query);
  return piece(head.targetOff, head.targetLen);
}

const pieces = '/ / . .. \\ ; % %2e %2F %5c %5C %25 %41 %c3 %00 2 e f a ~ < | %% %3b /./ /../ // %2 x;y'.split(' ');
const piece = fc.constantFrom(...pieces);
const targets = fc
  .tuple(fc.array(piece, { maxLength: 24 }), fc.constantFrom('', '?', '?a=/../b//c%2f\\'))
  .map(([path, query]) => `/${path.join('')}${query}`);

test('what was made normal is normal: no way around a route is left, and a second time changes nothing', () => {
  fc.assert(
    fc.property(targets, fc.constantFrom(...pathNormalizations), (target, mode) => {
      const once = normal(target, mode);
      if (mode === 'none') assert.equal(once, target);
      else if (typeof once === 'number') assert.match(target.split('?')[0]!, /%00/);
      else {
        const path = once.split('?')[0]!;
        assert.doesNotMatch(path, /[\\<>|]|%00|%2e|%41|\/\.\.?(;[^/]*)?(\/|$)/i);
        if (mode !== 'base') assert.doesNotMatch(path, /\/\//);
        if (mode === 'decode-and-merge-slashes') assert.doesNotMatch(path, /%2f|%5c/i);
        assert.equal(normal(once, mode), once);
        assert.equal(once.slice(path.length), target.slice(target.split('?')[0]!.length), 'the query stays');
      }
    }),
    { numRuns: 4000 },
  );
});

test('a plain path is not touched, and takes no scratch', () => {
  for (const mode of pathNormalizations) {
    assert.equal(normal('/a/b.c/..d/e;f?g', mode), '/a/b.c/..d/e;f?g');
    assert.equal(normal('/shop/cart-1/~x_y', mode), '/shop/cart-1/~x_y');
    assert.equal(emitter.at, READ_BYTES);
  }
});

test('a path grows a little, not three times', () => {
  assert.equal(normal(`/${'<'.repeat(250)}`, 'base'), `/${'%3C'.repeat(250)}`);
  assert.equal(normal(`/${'<'.repeat(300)}`, 'base'), 400);
  assert.equal(head.why, 'too many bytes in the path that ought to be escaped');
});
