import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Timer, createWheel } from './wheel.ts';

test('fires once, at its time or a tick later, also beyond one turn of the wheel', () => {
  const wheel = createWheel(10, 1000);
  const fired: [number, number][] = [];
  let now = 1000;
  const dues = [1001, 1010, 1015, 1500, 11_240, 11_250, 50_000];
  for (const due of dues) wheel.set(new Timer(() => fired.push([due, now])), due);
  for (; now < 60_000; now += 10) wheel.advance(now);
  assert.deepEqual(
    fired.map(([due]) => due),
    dues,
  );
  for (const [due, at] of fired) assert.ok(at >= due && at - due <= 20, `${due} at ${at}`);
});

test('a timer that is put off fires late, one that is drawn nearer early, one that is cleared never', () => {
  const wheel = createWheel(10, 0);
  const fired: string[] = [];
  const late = new Timer(() => fired.push('late'));
  const early = new Timer(() => fired.push('early'));
  const off = new Timer(() => fired.push('off'));
  wheel.set(late, 100);
  wheel.set(early, 500);
  wheel.set(off, 100);
  wheel.set(late, 300);
  wheel.set(early, 50);
  wheel.clear(off);
  wheel.advance(200);
  assert.deepEqual(fired, ['early']);
  wheel.set(early, 5000);
  wheel.advance(400);
  assert.deepEqual(fired, ['early', 'late']);
});

test('after: never early, at most two ticks late, wherever between two ticks now is', () => {
  const wheel = createWheel(10, 1000);
  const late: number[] = [];
  let now = 1000;
  for (; now < 3000; now += 7) {
    wheel.advance(now);
    const due = now + (now % 333);
    wheel.after(new Timer(() => late.push(now - due)), due - now);
  }
  for (; now < 4000; now += 1) wheel.advance(now);
  assert.equal(late.length, 286);
  assert.ok(Math.min(...late) >= 0 && Math.max(...late) <= 30, `${Math.min(...late)} to ${Math.max(...late)}`);
});
