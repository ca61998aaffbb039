import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ProtocolRow, oraclePrograms, protocolRows } from './protocols.ts';

const root = join(import.meta.dirname, '..');
const standard = /^RFC \d{4} \d+(\.\d+)*$/;

/** Titles of the tests in a file, as they are written there. */
function titlesIn(text: string): string[] {
  const found = text.matchAll(/\btest\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`([^`]*)`)/g);
  return [...found].map(([, single, double, template]) => single ?? double ?? template ?? '');
}

/** What is wrong with a row; nothing is right. */
function faultsOf({ feature, file, test: title, oracle }: ProtocolRow): string[] {
  const faults: string[] = [];
  const path = join(root, file);
  if (feature === '') faults.push('no feature');
  if (title === '') faults.push('no test');
  if (!file.endsWith('.test.ts') || !existsSync(path)) return [...faults, `no test file ${file}`];
  const text = readFileSync(path, 'utf8');
  if (title !== '' && !titlesIn(text).includes(title)) faults.push(`no test "${title}" in ${file}`);
  if (standard.test(oracle)) return faults;
  for (const name of oracle.split(', ')) {
    const word = oraclePrograms[name];
    if (word === undefined) faults.push(`no oracle "${name}"`);
    else if (!text.toLowerCase().includes(word)) faults.push(`${file} never asks ${name}`);
  }
  return faults;
}

test('each feature has a test that exists, and an oracle', () => {
  const faults = protocolRows.flatMap((row) => faultsOf(row).map((fault) => `${row.feature}: ${fault}`));
  assert.deepEqual(faults, []);
  assert.ok(protocolRows.length >= 30, `${protocolRows.length} rows`);
  const names = protocolRows.map((row) => row.feature);
  assert.equal(new Set(names).size, names.length, 'a feature stands once');
});

test('a row that promises too much is found', () => {
  const good = protocolRows[0]!;
  assert.deepEqual(faultsOf(good), []);
  const wrong: readonly (readonly [Partial<ProtocolRow>, RegExp])[] = [
    [{ feature: '' }, /no feature/],
    [{ file: 'src/l7/none.test.ts' }, /no test file/],
    [{ file: 'src/l7/chain.ts' }, /no test file/],
    [{ test: `${good.test} or so` }, /no test "/],
    [{ test: '' }, /no test/],
    [{ oracle: '' }, /no oracle ""/],
    [{ oracle: 'common sense' }, /no oracle "common sense"/],
    [{ oracle: 'RFC 9112' }, /no oracle/],
    [{ oracle: 'HAProxy' }, /never asks HAProxy/],
  ];
  for (const [change, what] of wrong) assert.match(faultsOf({ ...good, ...change }).join('; '), what);
});
