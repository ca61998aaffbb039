import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { inNetns, netns } from '../kernel/netns.ts';
import { endProcess, isAlive, isElsewhere, isInNetns, listensOn, processOf } from './process.ts';

test('a process is known by pid and start time', async () => {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  const id = processOf(child.pid ?? 0);
  assert.ok(id);
  assert.ok(isAlive(id));
  assert.equal(isAlive({ ...id, startTime: id.startTime + 1 }), false, 'another process of the same pid');
  await endProcess(id, 1000);
  assert.equal(isAlive(id), false);
  assert.equal(processOf(2 ** 22 + 1), undefined);
});

test('one that ignores SIGTERM gets SIGKILL', async () => {
  const child = spawn('sh', ['-c', 'trap "" TERM; echo ready; while :; do sleep 0.05; done']);
  await new Promise((done) => child.stdout.once('data', done));
  const id = processOf(child.pid ?? 0);
  assert.ok(id);
  await endProcess(id, 100);
  assert.equal(isAlive(id), false);
  assert.equal(child.signalCode ?? 'SIGKILL', 'SIGKILL');
});

test('listening is seen from outside', async () => {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  assert.ok(listensOn(process.pid, port));
  await new Promise((done) => server.close(done));
  assert.equal(listensOn(process.pid, port), false);
});

test('a process is in the namespace that it was started in, whatever user it is', async () => {
  const [one, two] = [`mpt-process-${process.pid}-1`, `mpt-process-${process.pid}-2`];
  for (const name of [one, two]) netns.add(name);
  try {
    const child = inNetns(one, () =>
      spawn('setpriv', ['--reuid', '5000', '--regid', '5000', '--clear-groups', 'sleep', '60'], { stdio: 'ignore' }),
    );
    const pid = child.pid ?? 0;
    assert.deepEqual(
      [one, two, 'mpt-there-is-none'].map((name) => isInNetns(pid, name)),
      [true, false, false],
    );
    assert.deepEqual(
      [one, two, 'mpt-there-is-none'].map((name) => isElsewhere(pid, name)),
      [false, true, false],
    );
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    assert.equal(isInNetns(pid, one), false);
  } finally {
    for (const name of [one, two]) netns.remove(name);
  }
});
