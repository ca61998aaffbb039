import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { quoteWord, splitCommands, splitLine } from './words.ts';

const texts = (line: string) => splitLine(line).words.map((w) => w.text);

test('words, quotes, brackets', () => {
  assert.deepEqual(texts('  show   ports swp1 '), ['show', 'ports', 'swp1']);
  assert.deepEqual(texts(`set a "b \\"c\\" |d" 'e \\ f'`), ['set', 'a', 'b "c" |d', 'e \\ f']);
  assert.deepEqual(texts('set routes 0.0.0.0/0 {via: [10.0.0.1, "]"]}'), [
    'set',
    'routes',
    '0.0.0.0/0',
    '{via: [10.0.0.1, "]"]}',
  ]);
  assert.equal(splitLine('set a "b').open, 'quote');
  assert.equal(splitLine('set a [b').open, 'bracket');
});

test('pipes', () => {
  const line = splitLine('show ports | include "a|b" |count');
  assert.deepEqual(
    line.pipes.map((p) => p.map((w) => w.text)),
    [['include', 'a|b'], ['count']],
  );
  assert.deepEqual(splitLine('show |').pipes, [[]]);
});

test('comments are no commands', () => {
  assert.deepEqual(texts('# show ports'), []);
  assert.deepEqual(texts('! show ports'), []);
});

test('several commands in one text', () => {
  assert.deepEqual(splitCommands('show a ; show "b ; c"\r\n\nshow d'), ['show a', 'show "b ; c"', 'show d']);
  assert.deepEqual(splitCommands('show a | count ; show b'), ['show a | count', 'show b']);
});

test('a quoted word reads back as it was', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const line = splitLine(`x ${quoteWord(text)}`);
      assert.deepEqual(
        line.words.map((w) => w.text),
        ['x', text],
      );
      assert.deepEqual(line.pipes, []);
    }),
    { numRuns: 300 },
  );
});
