import assert from 'node:assert/strict';
import { test } from 'node:test';
import { durationMs, headerName, headerValue, hostname, regex, urlPath } from './text.ts';

const ok = (schema: { safeParse(value: unknown): { success: boolean } }, value: unknown): boolean =>
  schema.safeParse(value).success;

test('durations', () => {
  assert.equal(durationMs.parse('1h30m'), 5_400_000);
  assert.equal(durationMs.parse('1m2s3ms'), 62_003);
  assert.equal(durationMs.parse('1.5s'), 1500);
  assert.equal(durationMs.parse('0s'), 0);
  for (const bad of ['10', '-1s', '1d', '', 's', '1s 2s', '100000s']) assert.ok(!ok(durationMs, bad), bad);
});

test('regular expressions are those that RE2 and JavaScript read alike', () => {
  for (const good of ['/a/[0-9]+', 'a(?:b|c)', String.raw`\d+\.\w`, 'x{2,3}']) assert.ok(ok(regex, good), good);
  const bad = ['(?=a)', '(?<!a)', '(?i)a', '(?<n>a)', String.raw`(a)\1`, '(', String.raw`\pL`, String.raw`\z`, ''];
  for (const each of bad) assert.ok(!ok(regex, each), each);
});

test('host names', () => {
  for (const good of ['a', 'a.example.com', '*.example.com', 'xn--a.b']) assert.ok(ok(hostname, good), good);
  for (const bad of ['*', 'A.com', '*a.com', 'a.*.com', '10.0.0.1', 'a..b', 'a_b', ''])
    assert.ok(!ok(hostname, bad), bad);
});

test('headers: no pseudo header, no line end can come in', () => {
  assert.equal(headerName.parse('X-A'), 'x-a');
  for (const bad of [':path', 'a b', 'a:', '', 'ä']) assert.ok(!ok(headerName, bad), bad);
  for (const bad of ['a\r\nb: c', ' a', 'a\u0000']) assert.ok(!ok(headerValue, bad), JSON.stringify(bad));
  assert.ok(ok(headerValue, 'a\tb'));
});

test('paths have no query', () => {
  assert.ok(ok(urlPath, '/a b'.replace(' ', '%20')));
  for (const bad of ['a', '/a?b', '/a#b', '/a b', '']) assert.ok(!ok(urlPath, bad), bad);
});
