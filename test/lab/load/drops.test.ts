import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Drop, explain, type Gap, isOfTheMachine } from './drops.ts';

const ms = 1e6;
const gap = (flow: string, count: number, atMs: number): Gap => {
  return { flow, from: 100, to: 99 + count, count, afterNs: atMs * ms, beforeNs: (atMs + 10) * ms };
};
const drop = (name: string, count: number, fromMs: number, toMs: number): Drop => {
  return { name, count, fromNs: fromMs * ms, toNs: toMs * ms };
};

test('each missing number goes to a drop of its time, and no drop is used twice', () => {
  const drops = [drop('swp1 port-down', 8, 1000, 1250), drop('backlog of CPU 0', 50, 4000, 4250)];
  assert.deepEqual(explain([gap('a>b', 5, 1100), gap('b>a', 5, 1150), gap('a>b', 10, 4100)], drops), [
    'a>b: 5 missing (100 to 104): 5 swp1 port-down',
    'b>a: 5 missing (100 to 104): 3 swp1 port-down, 2 unexplained',
    'a>b: 10 missing (100 to 109): 10 backlog of CPU 0',
  ]);
});

test('what nothing of its time accounts for is unexplained', () => {
  const drops = [drop('swp1 port-down', 8, 1000, 1250)];
  assert.deepEqual(explain([gap('a>b', 2, 2000), gap('a>b', 2, 500)], drops), [
    'a>b: 2 missing (100 to 101): 2 unexplained',
    'a>b: 2 missing (100 to 101): 2 unexplained',
  ]);
});

test('queues of the machine are told from the switch and its devices', () => {
  const names = ['backlog of CPU 1', 'h1 socket RcvbufErrors', 'swp1 port-down', 'switch swp1 rx_dropped'];
  assert.deepEqual(
    names.map((name) => isOfTheMachine(drop(name, 1, 0, 1))),
    [true, true, false, false],
  );
});
