import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type GuestsLive, type GuestStatus, lastLines } from './live.ts';
import { guestRows, renderGuests } from './show.ts';

const status = (more: Partial<GuestStatus>): GuestStatus => ({
  kind: 'container',
  state: 'running',
  healthy: true,
  pid: 1,
  startedAt: 1000,
  why: '',
  address: '10.0.0.1',
  restarts: 0,
  ended: '',
  ...more,
});

const live = (guests: Record<string, GuestStatus>): GuestsLive => ({
  guests: () => new Map(Object.entries(guests)),
  onChange: () => ({ [Symbol.dispose]: () => undefined }),
  logs: () => Promise.resolve(''),
  restart: () => Promise.resolve(),
});

test('guests of all kinds in one table, with the reason where one does not run', () => {
  const rows = guestRows([
    live({ web1: status({}) }),
    live({ hello: status({ kind: 'function', state: 'failed', healthy: false, why: 'no image', startedAt: 0 }) }),
    live({ db1: status({ kind: 'vm', healthy: false, why: 'no connection' }) }),
    live({ eats: status({ restarts: 1, ended: 'out of memory: it has 96M' }) }),
  ]);
  assert.deepEqual(
    rows.map((row) => row.name),
    ['db1', 'eats', 'hello', 'web1'],
  );
  const text = renderGuests(rows, 120, 61_000);
  assert.match(text, /db1 +vm +running: no connection +unhealthy/);
  assert.match(text, /hello +function +failed: no image +- +10\.0\.0\.1 +-/);
  assert.match(text, /eats +container +running, ended before: out of memory: it has 96M +healthy/);
  assert.match(text, /web1 +container +running +healthy/);
  assert.equal(renderGuests([], 80, 0), 'no guests\n');
});

test('the last lines', () => {
  assert.equal(lastLines('a\nb\nc\n', 2), 'b\nc');
  assert.equal(lastLines('a\nb', 5), 'a\nb');
  assert.equal(lastLines('', 5), '');
});
