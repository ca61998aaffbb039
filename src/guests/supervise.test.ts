// What an operator's restart of a guest does to starts that others began, and to guests that a change takes away.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fakeClock } from '../../test/fake/clock.ts';
import type { Ref, Resource } from '../engine/resource.ts';
import type { Host } from '../engine/slice.ts';
import { openStarts, type Starts } from './starts.ts';
import { type GuestSpec, type Seen, supervise, type Supervisor } from './supervise.ts';

const ref: Ref = 'function/a';
const spec: GuestSpec = { restart: 'always' };
const never = new AbortController().signal;

interface Scene {
  readonly starts: Starts;
  readonly supervisor: Supervisor;
  readonly desired: Map<Ref, Resource>;
  /** How often it was started, and whether it runs. */
  readonly guest: { begun: number; runs: boolean };
  readonly begin: () => void;
}

function open(t: TestContext, startMs = 20): Scene {
  const guest = { begun: 0, runs: false };
  const desired = new Map<Ref, Resource>([[ref, { ref, owner: 'functions', spec, needs: [] }]]);
  const starts = openStarts((error) => {
    throw error;
  });
  const begin = (): void =>
    starts.begin(ref, 'hash', async () => {
      guest.runs = false;
      guest.begun += 1;
      await sleep(startMs);
      guest.runs = true;
    });
  const look = (): Promise<ReadonlyMap<Ref, Seen>> =>
    Promise.resolve(guest.runs ? new Map([[ref, { running: true, pid: 7, startedAt: 0, why: '' }]]) : new Map());
  const host = {
    clock: fakeClock(0),
    log: { warn: () => undefined },
    read: { desired: () => desired, failures: () => [], live: () => undefined },
    onRevision: () => ({ [Symbol.dispose]: () => undefined }),
  } as unknown as Host;
  const supervisor = supervise({ host, kind: 'function', starts, look, start: begin });
  t.after(() => supervisor[Symbol.asyncDispose]());
  return { starts, supervisor, desired, guest, begin };
}

test('a restart starts what runs anew, once, and waits for it', async (t) => {
  const { starts, supervisor, guest, begin } = open(t);
  begin();
  await starts.settled(ref, never);
  await supervisor.restart(ref, 1000);
  assert.deepEqual(guest, { begun: 2, runs: true });
  assert.equal(supervisor.guests().get('a')?.state, 'running');
});

test('a restart does not end a start that a commit waits for', async (t) => {
  const { starts, supervisor, guest, begin } = open(t);
  begin();
  const commit = starts.settled(ref, never);
  await Promise.all([supervisor.restart(ref, 1000), supervisor.restart(ref, 1000)]);
  await commit;
  assert.deepEqual(guest, { begun: 1, runs: true });
});

test('a restart does not bring back what a change takes away', async (t) => {
  const { starts, supervisor, desired, guest, begin } = open(t);
  begin();
  await starts.settled(ref, never);
  const going = starts.leave([ref], async () => {
    await sleep(10);
    guest.runs = false;
  });
  await assert.rejects(supervisor.restart(ref, 1000), /busy/);
  await going;
  // The revision that has no such guest is not recorded yet.
  await assert.rejects(supervisor.restart(ref, 1000), /busy/);
  desired.delete(ref);
  await assert.rejects(supervisor.restart(ref, 1000), /not-found/);
  assert.deepEqual([guest, starts.refs()], [{ begun: 1, runs: false }, []]);
});
