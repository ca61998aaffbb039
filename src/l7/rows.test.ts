import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as transport from './transport.ts';

test('the rows of the engine in C have the same words and numbers', () => {
  const text = readFileSync(new URL('../../native/addon/l7/base/rows.h', import.meta.url), 'utf8');
  const inC: Record<string, number> = {};
  for (const [, name = '', value = ''] of text.matchAll(/^#define ([A-Z0-9_]+) (.+)$/gm)) {
    const known = value.replaceAll(/[A-Z_]+/g, (word) => String(inC[word]));
    inC[name] = known.split('+').reduce((sum, term) => {
      const [base = '', shift = '0'] = term.replaceAll(/[() ]/g, '').split('<<');
      return sum + base.split('*').reduce((product, n) => product * Number(n), 1) * 2 ** Number(shift);
    }, 0);
  }
  const inTypeScript = Object.fromEntries(Object.entries(transport).filter(([, value]) => typeof value === 'number'));
  assert.ok(Object.keys(inC).length > 60);
  assert.deepEqual(inC, inTypeScript);
});
