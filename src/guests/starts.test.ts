import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FaultError } from '../engine/faults.ts';
import { openStarts } from './starts.ts';

const never = new AbortController().signal;
const broken = (error: unknown): void => {
  throw error;
};

test('one start of a spec, whoever asks; settled waits for it', async () => {
  const starts = openStarts(broken);
  let calls = 0;
  const start = async (): Promise<void> => {
    calls += 1;
    await sleep(5);
  };
  starts.begin('function/a', 'x', start);
  starts.begin('function/a', 'x', start);
  assert.equal(starts.pending('function/a'), 'x');
  await starts.settled('function/a', never);
  assert.equal(calls, 1);
  assert.equal(starts.pending('function/a'), undefined);
  await starts.settled('function/unknown', never);
});

test('another spec ends the start before it begins, and they do not overlap', async () => {
  const starts = openStarts(broken);
  const log: string[] = [];
  const start =
    (name: string) =>
    async (signal: AbortSignal): Promise<void> => {
      log.push(`${name} begins`);
      while (name === 'old' && !signal.aborted) await sleep(1);
      log.push(`${name} ends`);
    };
  starts.begin('function/a', 'old', start('old'));
  await sleep(3);
  starts.begin('function/a', 'new', start('new'));
  await starts.settled('function/a', never);
  assert.deepEqual(log, ['old begins', 'old ends', 'new begins', 'new ends']);
});

test('a failure is thrown to who waits, told once, and forgotten by the next success or a cancel', async () => {
  const told: string[] = [];
  const starts = openStarts(broken, (ref) => told.push(ref));
  const fail = (): Promise<void> => Promise.reject(new FaultError('refused', 'function/a', 'no', true));
  starts.begin('function/a', 'x', fail);
  await assert.rejects(starts.settled('function/a', never), { name: 'FaultError', message: /no/ });
  assert.equal(starts.fault('function/a')?.why, 'no');
  starts.begin('function/a', 'x', () => Promise.resolve());
  await starts.settled('function/a', never);
  assert.equal(starts.fault('function/a'), undefined);
  starts.begin('function/a', 'x', fail);
  await starts.cancel('function/a');
  assert.equal(starts.fault('function/a'), undefined);
  assert.deepEqual(starts.refs(), []);
});

test('who waits no longer hears cancelled', async () => {
  const starts = openStarts(broken);
  starts.begin('function/a', 'x', async (signal) => {
    while (!signal.aborted) await sleep(1);
  });
  await assert.rejects(starts.settled('function/a', AbortSignal.timeout(5)), /cancelled/);
  await starts.cancel('function/a');
});

test('what is left stays so until it is begun again, or its end fails', async () => {
  const starts = openStarts(broken);
  const ref = 'vm/a';
  let ends = 0;
  const going = starts.leave([ref], async () => {
    await sleep(5);
    ends += 1;
  });
  assert.ok(starts.left(ref), 'from the call on');
  await going;
  assert.equal(ends, 1);
  assert.ok(starts.left(ref));
  starts.begin(ref, 'x', () => Promise.resolve());
  assert.ok(!starts.left(ref));
  await assert.rejects(
    starts.leave([ref], () => Promise.reject(new Error('it runs on'))),
    /it runs on/,
  );
  assert.ok(!starts.left(ref));
});
