import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { atOnce } from '../lib/work/turns.ts';
import { defaultLimits } from './limits.ts';
import { movedDown, readPieces } from './pieces.ts';
import { parseStream, type Tree } from './yaml.ts';

const fragments = `---
--- # c
--- |
--- "a
---x
--- { a: [
 ---
...
%YAML 1.2
%TAG ! x
# c
key: 1
key: |
other:
  in: x
  - b
- c
  text
'
b"
[a,
]
{ a: b
}
? a
&a x
k: *a
- &b { c: 1 }
- *b
!t x
>
-`.split('\n');
const lines = fc.array(fc.constantFrom(...fragments, '--- ', '---\r', '\tx', 'a: 1\r', '\ufeff', ''), {
  maxLength: 12,
});

const shown = (tree: Tree): unknown => {
  const there = tree.value !== null && tree.value !== undefined;
  const places = there ? [tree.at([]), tree.at(['key']), tree.at(['other', 'in']), tree.at([0], 'key')] : [];
  return { value: tree.value, problems: tree.problems, places };
};

const inPieces = (text: string, limits = defaultLimits): readonly Tree[] => {
  let before = 0;
  return atOnce(readPieces(text, 'f', () => undefined, limits)).flatMap((piece) => {
    const trees = piece.stream.trees.map((tree) => movedDown(tree, before));
    before += piece.lineEnds;
    return trees;
  });
};

test('a text is the same in pieces as in one go, places and problems too', () => {
  const property = fc.property(lines, (list) => {
    const text = list.join('\n');
    assert.deepEqual(inPieces(text).map(shown), parseStream(text, 'f').map(shown), JSON.stringify(text));
  });
  fc.assert(property, { numRuns: 1000 });
});

test('bounds are those of the whole file', () => {
  const text = `${'a: &x [1, 2, 3]\nb: *x\n---\n'.repeat(20)}a: 1\n`;
  for (const bound of ['tokens', 'values', 'aliases'] as const) {
    for (const most of [5, 15, 60, 199, 200, 10_000]) {
      const limits = { ...defaultLimits, [bound]: most };
      assert.deepEqual(
        inPieces(text, limits).map(shown),
        parseStream(text, 'f', limits).map(shown),
        `${bound} ${most}`,
      );
    }
  }
});
