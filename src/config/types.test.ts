import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { bitRate, byteSize, cidr, duration, ipAddress, macAddress, prefix } from './types.ts';

test('the canonical text comes out', () => {
  assert.equal(ipAddress.parse('2001:DB8:0::1'), '2001:db8::1');
  assert.equal(cidr.parse('10.0.0.1/24'), '10.0.0.1/24');
  assert.equal(prefix.parse('FD00::/8'), 'fd00::/8');
  assert.equal(macAddress.parse('0200.0000.00AB'), '02:00:00:00:00:ab');
});

test('each refusal says what is wrong, and what was meant where that is known', () => {
  const rows = [
    [ipAddress, '10.0.0.300', '"10.0.0.300": not an IP address', undefined],
    [cidr, '10.0.0.1', '"10.0.0.1": not an address with a prefix length', '10.0.0.1/24'],
    [prefix, '10.0.0.1/24', '"10.0.0.1/24": has host bits set', '10.0.0.0/24'],
    [macAddress, '01:00:5e:00:00:01', '"01:00:5e:00:00:01": a group address, not that of one station', undefined],
    [macAddress, 'nonsense', '"nonsense": not a MAC address', undefined],
  ] as const;
  for (const [schema, text, message, meant] of rows) {
    const issue = schema.safeParse(text).error?.issues[0];
    assert.equal(issue?.message, message);
    assert.equal(issue?.code === 'custom' ? issue.params?.['meant'] : 'none', meant);
  }
  assert.equal(ipAddress.safeParse(10).success, false);
});

test('they convert to JSON Schema both ways', () => {
  for (const io of ['input', 'output'] as const) assert.equal(z.toJSONSchema(cidr, { io }).type, 'string');
});

test('quantities parse to numbers of their smallest unit', () => {
  assert.equal(byteSize.parse('256M'), 268435456);
  assert.equal(duration.parse('1m30s'), 90000);
  assert.equal(bitRate.parse('1Gbps'), 1e9);
  assert.equal(duration.prefault('10s').parse(undefined), 10000);
  assert.equal(duration.parse(0), 0);
  const message = (value: unknown): string | undefined => duration.safeParse(value).error?.issues[0]?.message;
  assert.equal(message(10), '"10": has no unit: one of ms, s, m, h');
  assert.equal(message('10'), '"10": has no unit: one of ms, s, m, h');
  assert.equal(message('soon'), '"soon": not a length of time');
  assert.ok(z.toJSONSchema(duration, { io: 'input' }));
});
