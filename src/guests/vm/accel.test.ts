import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trial } from './accel.ts';

const sh = (script: string, deadlineMs = 5000) => trial('/bin/sh', ['-c', script], deadlineMs);

test('a trial boot that comes up, ends, or hangs', async () => {
  assert.equal(await sh('echo "Linux version"; echo; echo "init: x is up"; exec sleep 60'), undefined);
  assert.match((await sh('echo "kvm: no MSR" >&2; exit 3')) ?? '', /ended by exit code 3: kvm: no MSR/);
  assert.match((await sh('kill -ABRT $$')) ?? '', /ended by SIGABRT/);
  assert.match((await sh('echo SeaBIOS; exec sleep 60', 200)) ?? '', /not up in 200 ms/);
});
