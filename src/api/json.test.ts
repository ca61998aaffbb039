import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { placeOfFault } from './json.ts';

test('the first token that can not stand there', () => {
  const cases: [string, number, number][] = [
    ['{\n  "document": }', 2, 15],
    ['{ "a": 1, }', 1, 11],
    ['[1, 2', 1, 6],
    ['{"a" 1}', 1, 6],
    ['[1 2]', 1, 4],
    ['{"a": tru}', 1, 7],
    ['{"a": 01}', 1, 7],
    ['[1]]', 1, 4],
    ['', 1, 1],
    ['[}', 1, 2],
    ['{"a": "b\n', 1, 7],
  ];
  for (const [text, line, column] of cases) assert.deepEqual(placeOfFault(text), { line, column }, text);
});

test('in good JSON no fault is found before its end', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      assert.deepEqual(placeOfFault(text), { line: 1, column: text.length + 1 });
    }),
    { numRuns: 300 },
  );
});
