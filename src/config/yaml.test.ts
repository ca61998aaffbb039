import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeText, defaultLimits } from './limits.ts';
import { type Problem, printProblem } from './problem.ts';
import { parseDocument, parseStream } from './yaml.ts';

function problems(text: string): string[] {
  return parseDocument(text, 'f').problems.map(printProblem);
}

test('values and the places of keys and values', () => {
  const tree = parseDocument('a: 1\nb:\n  - x\n  - { c: yes, "d e": 0x10 }\n1.10: ~\n', 'f');
  assert.deepEqual(tree.value, { a: 1, b: ['x', { c: 'yes', 'd e': 16 }], '1.10': null });
  assert.deepEqual(tree.at(['b', 1, 'd e']), { line: 4, column: 22 });
  assert.deepEqual(tree.at(['b', 1, 'd e'], 'key'), { line: 4, column: 15 });
  assert.deepEqual(tree.at(['1.10']), { line: 5, column: 7 });
  assert.deepEqual(tree.at(['b', 7, 'x']), { line: 3, column: 3 });
  assert.deepEqual(tree.at([]), { line: 1, column: 1 });
  assert.ok(Object.isFrozen(tree.value));
});

test('YAML 1.2 core: no yes/no, no dates, no octal by a leading zero, no merge keys', () => {
  const { value } = parseDocument('a: no\nb: 2026-01-01\nc: 010\nd: { <<: { e: 1 } }\nf: 1:30\ng: 1e3\n', 'f');
  assert.deepEqual(value, { a: 'no', b: '2026-01-01', c: 10, d: { '<<': { e: 1 } }, f: '1:30', g: 1000 });
});

test('aliases stand for their anchors, a few of them', () => {
  const { value, problems: none } = parseDocument('a: &x { b: 1 }\nc: *x\n', 'f');
  assert.deepEqual(value, { a: { b: 1 }, c: { b: 1 } });
  assert.deepEqual(none, []);
});

test('what two readers could read differently is refused', () => {
  const rows = [
    ['a: 1\nb: 2\na: 3', 'f:3:1: a: the key "a" stands here twice'],
    ['{1: a, "1": b}', 'f:1:8: 1: the key "1" stands here twice'],
    ['a: &x 1\n*x : 2\n1: 3', 'f:3:1: 1: the key "1" stands here twice'],
    ['? [a]\n: 1', 'f:1:3: a key must be a word or a number'],
    ['~: 1', 'f:1:1: a key must be a word or a number'],
    ['__proto__: {}', 'f:1:1: the key "__proto__" is not allowed'],
    ['a: !x 1', 'f:1:4: tags ("!name") are not read'],
    ['a: !!binary aGk=', 'f:1:4: tags ("!name") are not read'],
    ['%YAML 1.1\n---\na: yes', 'f:1:1: YAML 1.1 is not read; YAML 1.2 is'],
    ['a: .nan', 'f:1:4: a: .nan is no number that can be kept exactly'],
    ['a: 9007199254740993', 'f:1:4: a: 9007199254740993 is no number that can be kept exactly'],
    ['a: 1\n---\nb: 2', 'f:3:1: a second document starts here; one is allowed'],
    ['a: *x', 'f:1:4: a: no anchor "&x" before this alias'],
  ] as const;
  for (const [text, message] of rows) assert.deepEqual(problems(text), [message], text);
});

test('broken text is named with its place', () => {
  const rows = [
    '\ta: 1',
    'a:\n\tb: 1',
    'a: "x',
    'a: [1',
    'a: b: c',
    'a: @x',
    'a:\n  b: 1\n c: 2',
    'a: "\\q"',
    '- a\nb: 1',
    '}',
  ];
  for (const text of rows) {
    const [first] = parseDocument(text, 'f').problems;
    assert.ok(first && first.line >= 1 && first.column >= 1 && first.message.length > 5, text);
  }
});

test('bytes that are no text', () => {
  const row = (bytes: Uint8Array): string => {
    const text = decodeText(bytes, 'f');
    return typeof text === 'string' ? text : printProblem(text);
  };
  assert.equal(row(Buffer.from('\ufeffa: ü\n')), 'a: ü\n');
  assert.equal(row(Buffer.from('a: \ufffd\n')), 'a: \ufffd\n');
  assert.equal(row(Buffer.from([0x61, 0x0a, 0x62, 0xff, 0x63])), 'f:2:2: the text is not UTF-8 from here on');
  assert.equal(
    row(Buffer.concat([Buffer.from('\ufffdé'), Buffer.of(0xff)])),
    'f:1:3: the text is not UTF-8 from here on',
  );
  assert.match(row(Buffer.from('a: b\n\u0000', 'utf16le')), /^f:1:2: the character U\+0000 is not allowed/);
  assert.match(row(Buffer.from('a: \u001b[0m')), /^f:1:4: the character U\+001B is not allowed/);
  assert.match(row(new Uint8Array(defaultLimits.bytes + 1)), /too long: at most 4194304 bytes/);
});

const size = defaultLimits.bytes;
const bombs: Readonly<Record<string, () => string>> = {
  'a hundred megabytes': () => 'a'.repeat(100_000_000),
  brackets: () => '['.repeat(size),
  braces: () => '{a: '.repeat(size / 4),
  dashes: () => '- '.repeat(size / 2),
  indentation: () => Array.from({ length: 2000 }, (_, i) => `${' '.repeat(i)}a:\n`).join(''),
  questions: () => '? '.repeat(size / 2),
  aliases: () => `a: &a x\nb: [${'*a,'.repeat(1_000_000)}]`,
  'a billion laughs': () => {
    const rows = Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(5)}]`);
    return ['a0: &a0 [x]', ...rows].join('\n');
  },
  'a hundred thousand values five times in each of six rows': () => {
    const rows = Array.from({ length: 6 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(5)}]`);
    return [`a0: &a0 [${'x,'.repeat(100_000)}]`, ...rows].join('\n');
  },
  'an alias in its own anchor': () => 'a: &a { b: *a }',
};

test('what is over a limit is refused at once', () => {
  for (const [what, make] of Object.entries(bombs)) {
    const text = make();
    const start = process.cpuUsage();
    const found: readonly Problem[] = parseDocument(text, 'f').problems;
    const { user, system } = process.cpuUsage(start);
    const ms = (user + system) / 1000;
    // A guard against growth without end, on a machine that others use at the same time.
    assert.ok(found.length === 1 && ms < 5000, `${what}: ${found.length} Problems, ${ms} ms`);
  }
});

test('a text full of tokens is refused by their number', () => {
  const text = '[' + ','.repeat(size - 2) + ']';
  assert.match(problems(text)[0] ?? '', /more than 1200000 tokens/);
});

test('a stream has its documents in order, empty ones too', () => {
  const trees = parseStream('# one\na: 1\n---\n---\nb: 2\n...\n', 'f');
  assert.deepEqual(
    trees.map((tree) => tree.value),
    [{ a: 1 }, null, { b: 2 }],
  );
  assert.deepEqual(trees[2]?.at(['b']), { line: 5, column: 4 });
  assert.deepEqual(parseStream('# nothing\n', 'f'), []);
});
