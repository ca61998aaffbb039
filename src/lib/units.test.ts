import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseBitRate, parseBytes, parseDuration, printBitRate, printBytes, printDuration } from './units.ts';

const whole = fc.maxSafeNat();

test('what is printed parses to the same number', () => {
  const pairs = [
    [printBytes, parseBytes],
    [printDuration, parseDuration],
    [printBitRate, parseBitRate],
  ] as const;
  for (const [print, parse] of pairs) {
    fc.assert(fc.property(whole, (value) => assert.equal(parse(print(value)), value)));
    assert.throws(() => print(0.5), RangeError);
    assert.throws(() => print(-1), RangeError);
  }
});

test('known answers', () => {
  const rows = [
    [parseBytes('256M'), 268435456],
    [parseBytes('1.5G'), 1610612736],
    [parseBytes('64KiB'), 65536],
    [parseBytes('64k'), 65536],
    [parseBytes('0'), 0],
    [parseDuration('10s'), 10000],
    [parseDuration('500ms'), 500],
    [parseDuration('1h30m'), 5400000],
    [parseDuration('1.1s'), 1100],
    [parseDuration('2d'), 172800000],
    [parseBitRate('1Gbps'), 1e9],
    [parseBitRate('2.5Gbps'), 2.5e9],
    [parseBitRate('64Kbps'), 64000],
    [printBytes(268435456), '256M'],
    [printBytes(1000), '1000B'],
    [printDuration(90000), '90s'],
    [printBitRate(2.5e9), '2500Mbps'],
    [printBytes(0), '0'],
  ];
  for (const [i, [actual, expected]] of rows.entries()) assert.equal(actual, expected, `row ${i}`);
});

test('what is refused: no unit, another unit, signs, fractions of the smallest unit, too much', () => {
  const bytes = ['', '5', '1X', '-1M', '1 M', '1e3M', '0.5B', '.5M', '1M1', '9999999999T', 'M', '1Bi', '1m'];
  for (const text of bytes) assert.equal(parseBytes(text), undefined, text);
  const durations = ['', '5', '1ms1s', '1s1s', '0.5ms', '1w', '1h30', '-1s', '1m 1s', '1h'.repeat(1000)];
  for (const text of durations) assert.equal(parseDuration(text), undefined, text.slice(0, 20));
  for (const text of ['1G', '1Gb', '1GBps', '1gbps', '1.5bps']) assert.equal(parseBitRate(text), undefined, text);
});
