import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networkFrom, openCrowd } from './crowd.ts';

const limits = { strangers: 4, strangersPerAddress: 3, connections: 6, ratePerAddress: 10, burstPerAddress: 5 };

interface Comer {
  readonly from: string;
  readonly stranger: boolean;
}

const comers = (...list: readonly string[]): Set<Comer> =>
  new Set(list.map((text) => ({ from: text.replace('!', ''), stranger: !text.endsWith('!') })));

test('a network is an IPv4 address, or a /64 of IPv6', () => {
  assert.equal(networkFrom('10.0.0.5'), '10.0.0.5');
  assert.equal(networkFrom('2001:db8:1:2:3::5'), networkFrom('2001:db8:1:2:ffff::1'));
  assert.notEqual(networkFrom('2001:db8:1:2:3::5'), networkFrom('2001:db8:1:3:3::5'));
  assert.equal(networkFrom('fe80::1%vlan10'), 'fe80::');
  assert.equal(networkFrom('local'), 'local');
});

test('a network has its bound, and the door another', () => {
  const may = openCrowd<Comer>(limits);
  assert.equal(may('10.0.0.1', comers('10.0.0.1', '10.0.0.1'), 0), 'yes');
  assert.equal(may('10.0.0.1', comers('10.0.0.1', '10.0.0.1', '10.0.0.1'), 0), 'no');
  assert.equal(
    may('10.0.0.1', comers('10.0.0.1!', '10.0.0.1!', '10.0.0.1!'), 0),
    'yes',
    'who is logged in is no stranger',
  );
  // Full: the largest network loses its oldest, whoever comes.
  const full = comers('10.0.0.2', '10.0.0.3', '10.0.0.3', '10.0.0.4');
  assert.equal(may('10.0.0.5', full, 0), [...full][1]);
  const busy = comers('a!', 'b!', 'c!', 'd!', 'e!', '10.0.0.3');
  assert.equal(may('10.0.0.6', busy, 0), [...busy][5]);
  assert.equal(
    may('10.0.0.6', comers('a!', 'b!', 'c!', 'd!', 'e!', 'f!'), 0),
    'no',
    'nobody who is logged in has to go',
  );
});

test('a network comes so often, and again later', () => {
  const may = openCrowd<Comer>(limits);
  const times = (from: string, now: number, count: number): string[] =>
    Array.from({ length: count }, () => may(from, new Set(), now) as string);
  assert.deepEqual(times('10.0.0.1', 0, 7), ['yes', 'yes', 'yes', 'yes', 'yes', 'no', 'no']);
  assert.deepEqual(times('10.0.0.2', 0, 1), ['yes']);
  assert.deepEqual(times('10.0.0.1', 100, 2), ['yes', 'no']);
  assert.deepEqual(times('10.0.0.1', 60_000, 6), ['yes', 'yes', 'yes', 'yes', 'yes', 'no']);
  // However many networks there are, memory is bounded; the one in hand still counts.
  for (let i = 0; i < 20_000; i += 1) may(`10.1.${i >> 8}.${i & 255}`, new Set(), 60_000);
  assert.deepEqual(times('10.2.0.1', 60_000, 6), ['yes', 'yes', 'yes', 'yes', 'yes', 'no']);
});
