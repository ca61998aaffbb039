import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Ip, ipFromBytes, printIp, sameIp } from './ip.ts';
import {
  contains,
  covers,
  hostPartOf,
  hostPrefix,
  isSubnet,
  lastOf,
  networkOf,
  overlaps,
  parsePrefix,
  type Prefix,
  printPrefix,
  subnetOf,
} from './prefix.ts';

const prefix = fc
  .constantFrom(4, 16)
  .chain((n) => fc.tuple(fc.uint8Array({ minLength: n, maxLength: n }), fc.integer({ min: 0, max: 8 * n })))
  .map(([bytes, length]): Prefix => ({ ip: ipFromBytes(bytes), length }));

function p(text: string): Prefix {
  const parsed = parsePrefix(text);
  assert.ok(parsed, text);
  return parsed;
}

test('what is printed parses to the same prefix', () => {
  fc.assert(
    fc.property(prefix, (a) => {
      const b = p(printPrefix(a));
      assert.ok(sameIp(a.ip, b.ip) && a.length === b.length);
    }),
  );
});

test('network and host part make the address; the subnet has its first and last address', () => {
  fc.assert(
    fc.property(prefix, (a) => {
      const network = networkOf(a);
      const host = hostPartOf(a);
      const both: Ip = { family: a.ip.family, bytes: network.bytes.map((byte, i) => byte | (host.bytes[i] ?? 0)) };
      assert.ok(sameIp(both, a.ip));
      assert.ok(isSubnet(subnetOf(a)));
      assert.ok(contains(a, network) && contains(a, lastOf(a)) && contains(a, a.ip));
      assert.ok(covers(a, hostPrefix(a.ip)) && overlaps(hostPrefix(lastOf(a)), a));
    }),
  );
});

test('contains agrees with arithmetic on IPv4', () => {
  const number = (ip: Ip): bigint => BigInt(`0x${Buffer.from(ip.bytes).toString('hex')}`);
  const v4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(ipFromBytes);
  fc.assert(
    fc.property(v4, v4, fc.integer({ min: 0, max: 32 }), (ip, other, length) => {
      const shift = BigInt(32 - length);
      assert.equal(contains({ ip, length }, other), number(ip) >> shift === number(other) >> shift);
    }),
  );
});

test('known answers', () => {
  assert.equal(printIp(networkOf(p('10.1.2.3/20'))), '10.1.0.0');
  assert.equal(printIp(hostPartOf(p('10.1.2.3/20'))), '0.0.2.3');
  assert.equal(printIp(lastOf(p('10.1.2.3/20'))), '10.1.15.255');
  assert.equal(printIp(lastOf(p('fd00::/64'))), 'fd00::ffff:ffff:ffff:ffff');
  assert.ok(overlaps(p('10.0.0.0/8'), p('10.9.0.0/16')) && !overlaps(p('10.0.0.0/9'), p('10.128.0.0/9')));
  assert.ok(covers(p('0.0.0.0/0'), p('10.0.0.0/8')) && !covers(p('10.0.0.0/8'), p('0.0.0.0/0')));
  assert.ok(!contains(p('::/0'), p('10.0.0.0/8').ip));
});

test('what is no prefix', () => {
  for (const text of [
    '',
    '10.0.0.1',
    '10.0.0.1/',
    '10.0.0.1/33',
    '::/129',
    '10.0.0.1/-1',
    '10.0.0.1/08',
    '10.0.0.1/8/8',
    '/8',
  ]) {
    assert.equal(parsePrefix(text), undefined, text);
  }
});
