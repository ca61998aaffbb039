import assert from 'node:assert/strict';
import { test } from 'node:test';
import { textWidth, ago, bytes, keyValues, perSecond, printable, rate, table } from './table.ts';

test('columns are as wide as their longest cell, numbers to the right', () => {
  const text = table(
    [{ title: 'Port' }, { title: 'RX', align: 'right' }],
    [
      ['swp1', '1'],
      ['swp10', '22'],
    ],
  );
  assert.equal(text, 'Port   RX\nswp1    1\nswp10  22\n');
});

test('only flexible columns are cut, and only as far as needed', () => {
  const columns = [{ title: 'Name' }, { title: 'Why', flex: true }];
  const text = table(columns, [['a-rather-long-name', 'the cause in many words']], 32);
  assert.equal(text.split('\n')[1], 'a-rather-long-name  the cause i…');
  assert.ok(table(columns, [['x'.repeat(50), 'y'.repeat(50)]], 20).includes('x'.repeat(50)));
});

test('no rows: the titles alone; missing cells are empty', () => {
  assert.equal(table([{ title: 'A' }, { title: 'B' }], []), 'A  B\n');
  assert.equal(table([{ title: 'A' }, { title: 'B' }], [['1']]), 'A  B\n1\n');
});

test('control characters from outside never reach the terminal', () => {
  assert.equal(printable('a\u001b[2Jb\u009bc\r\n'), 'a?[2Jb?c??');
  assert.ok(!table([{ title: 'N' }], [['\u001b]0;evil\u0007']]).includes('\u001b'));
  assert.ok(!keyValues([['n', '\u001b[2J']]).includes('\u001b'));
});

test('pairs without a value are left out', () => {
  assert.equal(
    keyValues([
      ['hostname', 'leaf1'],
      ['gone', undefined],
      ['pid', 7],
    ]),
    'hostname:  leaf1\npid:       7\n',
  );
  assert.equal(keyValues([]), '');
});

test('spans of time', () => {
  const cases: [number, string][] = [
    [0, '0ms'],
    [850, '850ms'],
    [4250, '4.2s'],
    [59_999, '59s'],
    [192_000, '3m12s'],
    [7_500_000, '2h05m'],
    [356_400_000, '4d03h'],
    [-5, '0ms'],
    [Number.NaN, '-'],
  ];
  for (const [ms, text] of cases) assert.equal(ago(ms), text);
});

test('amounts', () => {
  assert.deepEqual([0, 512, 1023.9, 1536, 268_435_456].map(bytes), ['0', '512', '1K', '1.5K', '256M']);
  assert.equal(bytes(1n << 30n), '1G');
  assert.deepEqual([0, 999, 1_200_000, 1e10].map(rate), ['0bps', '999bps', '1.2Mbps', '10Gbps']);
  assert.deepEqual([950, 1234].map(perSecond), ['950/s', '1.2k/s']);
});

test('width counts columns, not characters', () => {
  assert.deepEqual(['abc', 'é', 'e\u0301', '交換', ''].map(textWidth), [3, 1, 1, 4, 0]);
  assert.equal(table([{ title: 'Name', flex: true }], [['交換機交換機']], 8), 'Name\n交換機…\n');
});
