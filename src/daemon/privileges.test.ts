// The preloaded object by itself, in a shell; test/lab/privileges.test.ts has it in the daemon.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { maskIn, maskOf, namesOf } from '../cli/system/capability.ts';
import { objects, root } from './places.ts';

const object = join(objects, 'capabilities.so');
const full = maskIn(readFileSync('/proc/self/status', 'utf8'), 'CapEff');
// The shell reads its own status, then that of a program that it runs.
const script = 'while read line; do echo "$line"; done </proc/$$/status; env; cat /proc/self/status';

function shell(environment: Readonly<Record<string, string>>): {
  own: string;
  rest: string;
  code: number;
  errors: string;
} {
  const ran = spawnSync('/bin/sh', ['-c', script], {
    env: { PATH: '/usr/bin:/bin', ...environment },
    encoding: 'utf8',
  });
  const [own = '', rest = ''] = ran.stdout.split(/(?<=nonvoluntary_ctxt_switches:.*\n)/);
  return { own, rest, code: ran.status ?? -1, errors: ran.stderr };
}

const skip = full === 0n ? 'needs root' : false;

test('it gives up what is not wished, in every set, and a program that is run has it back', { skip }, () => {
  const { own, rest } = shell({
    LD_PRELOAD: object,
    MIDPLANE_CAPABILITIES: maskOf(['NET_ADMIN', 'KILL']).toString(16),
  });
  for (const field of ['CapEff', 'CapPrm']) assert.deepEqual(namesOf(maskIn(own, field)), ['KILL', 'NET_ADMIN']);
  assert.equal(maskIn(own, 'CapInh'), 0n);
  assert.equal(maskIn(own, 'CapBnd'), maskIn(readFileSync('/proc/self/status', 'utf8'), 'CapBnd'));
  assert.equal(maskIn(rest, 'CapEff'), full);
  assert.doesNotMatch(rest, /LD_PRELOAD|MIDPLANE/);
});

test('it takes itself alone out of LD_PRELOAD', { skip }, () => {
  const other = '/lib/does-not-matter.so';
  const { own, rest } = shell({ LD_PRELOAD: `${object}:${other}`, MIDPLANE_CAPABILITIES: '0' });
  assert.equal(maskIn(own, 'CapEff'), 0n);
  assert.match(rest, new RegExp(`^LD_PRELOAD=${other}$`, 'm'));
});

test('without a wish it does nothing; a wish that is none ends the program', { skip }, () => {
  assert.equal(maskIn(shell({ LD_PRELOAD: object }).own, 'CapEff'), full);
  for (const wish of ['', 'all', '12 34', '1'.repeat(40)]) {
    const { code, own, errors } = shell({ LD_PRELOAD: object, MIDPLANE_CAPABILITIES: wish });
    assert.deepEqual([code, own], [2, '']);
    assert.match(errors, /^midplane: capabilities: MIDPLANE_CAPABILITIES: /);
  }
});

test('a daemon whose object was not loaded does not run', () => {
  const env = { ...process.env, MIDPLANE_CAPABILITIES: '0' };
  const args = [join(root, 'src/main.ts'), 'run', '--config', '/dev/null', '--instance', 'mpt-never'];
  const ran = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
  assert.equal(ran.status, 2);
  assert.match(ran.stderr, /^capabilities stay: .*capabilities\.so was not preloaded$/m);
});
