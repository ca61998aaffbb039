import assert from 'node:assert/strict';
import { test } from 'node:test';
import { host, route, snapshot } from '../../../test/fake/l7.ts';
import type { RouteTable, Snapshot } from '../../mesh/snapshot.ts';
import { StatRows, bucketOf, bucketTop, counterMemory, counterWriter, readStats } from './counters.ts';

test('a duration lies below the top of its bucket, and not a quarter below', () => {
  for (const us of [0, 1, 15, 16, 17, 20, 100, 1000, 12_345, 1_000_000, 3_600_000_000]) {
    const top = bucketTop(bucketOf(us));
    assert.ok(us < top || us > 0x7fffffff, `${us} < ${top}`);
    if (us >= 16 && us < 0x7fffffff) assert.ok(top <= us * 1.25 + 4, `${us} in a bucket up to ${top}`);
  }
});

test('workers are summed; quantiles come from buckets', () => {
  const memories = [counterMemory(), counterMemory()];
  const [one, two] = memories.map(counterWriter);
  for (let i = 0; i < 98; i += 1) one!.done(3, 200, 1000, 10, 20, false);
  two!.done(3, 503, 50_000, 10, 20, false);
  two!.done(3, 200, 50_000, 10, 20, true);
  const stats = readStats(memories)(3);
  assert.equal(stats.requests, 100);
  assert.deepEqual(stats.classes, [0, 99, 0, 0, 1]);
  assert.deepEqual([stats.aborted, stats.bytesIn, stats.bytesOut], [1, 1000, 2000]);
  assert.ok(stats.p50Ms >= 1 && stats.p50Ms <= 1.3, String(stats.p50Ms));
  assert.ok(stats.p99Ms >= 50 && stats.p99Ms <= 63, String(stats.p99Ms));
  one!.clear(3);
  two!.clear(3);
  assert.equal(readStats(memories)(3).requests, 0);
  assert.equal(readStats(memories)(3).p99Ms, 0);
});

const table = (name: string, routes: readonly string[]): RouteTable => ({
  name,
  hosts: [host(['*'], ...routes.map((one) => route(one, { kind: 'reply', status: 200, body: '' })))],
});
const of = (...routes: RouteTable[]): Snapshot => ({ ...snapshot(1, []), routes });

test('a route keeps its row while it is in force; a row that was freed is used again late, and is said to be used', () => {
  const rows = new StatRows();
  const a = rows.row('t', 'a');
  const other = rows.row('u', 'a');
  assert.notEqual(a, other);
  rows.settle(of(table('t', ['a', 'b']), table('u', ['a'])));
  assert.equal(rows.row('t', 'a'), a);
  rows.settle(of(table('t', ['a'])));
  assert.notEqual(rows.row('u', 'a'), other, 'others may still count in it');
  const names = Array.from({ length: 10_000 }, (_, i) => `r${i}`);
  const used = names.map((name) => rows.row('t', name));
  assert.equal(new Set([...used, a]).size, names.length + 1);
  assert.deepEqual(rows.reused(), []);
  rows.settle(of(table('t', ['a'])));
  const again = names.map((name) => rows.row('v', name));
  assert.equal(again[0], other, 'what was freed first');
  assert.ok(rows.reused().includes(other) && !rows.reused().includes(a));
  assert.ok(Math.max(...again) <= Math.max(...used) + 1024, 'and not ever more memory');
  assert.equal(rows.row('t', 'a'), a);
});
