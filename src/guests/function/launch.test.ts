// The launcher alone: what it makes of a process, and that it makes none of a function that is shut in by half.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { launcher } from './launch.ts';

const folder = mkdtempSync(join(tmpdir(), 'mpt-launch-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const [state, source, base] = ['state', 'source', 'base'].map((name) => join(folder, name)) as [string, string, string];
for (const path of [state, source, base]) mkdirSync(path);
writeFileSync(join(state, 'secret'), '');
writeFileSync(join(source, 'node'), '');
writeFileSync(join(source, 'resolv.conf'), 'nameserver 192.0.2.53\n');

interface Given {
  readonly group?: string;
  readonly netns?: string;
  readonly id?: string;
}

function launched({ group = '', netns = '/proc/self/ns/net', id = '1836000001' }: Given, ...command: string[]) {
  const args = [group, netns, state, source, base, process.execPath, id, ...command];
  return spawnSync(launcher, args, { encoding: 'utf8', env: { SECRET: 'switch' } });
}

test('a user of its own that can do nothing, and its limits', () => {
  const { status, stdout } = launched({}, '/bin/cat', '/proc/self/status', '/proc/self/limits', '/proc/self/environ');
  assert.equal(status, 0);
  assert.match(stdout, /^Uid:(\t1836000001){4}$/m);
  assert.match(stdout, /^Gid:(\t1836000001){4}$/m);
  assert.match(stdout, /^Groups:\t *$/m);
  for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb']) assert.match(stdout, new RegExp(`^Cap${set}:\t0+$`, 'm'));
  assert.match(stdout, /^NoNewPrivs:\t1$/m);
  assert.match(stdout, /^Max core file size +0 +0 /m);
  assert.match(stdout, /^Max file size +8388608 +8388608 /m);
  assert.match(stdout, /^Max open files +4096 +4096 /m);
  assert.ok(stdout.endsWith('PATH=/usr/bin:/bin\0'));
  assert.ok(!stdout.includes('SECRET'));
});

test("its own files in the place of the switch's, and nothing of it seen outside", () => {
  const { stdout } = launched({}, '/bin/sh', '-c', 'pwd; ls -A "$0"; cat /etc/resolv.conf /proc/self/mounts', state);
  const [where, ...lines] = stdout.split('\n');
  assert.equal(where, base);
  assert.equal(lines[0], 'nameserver 192.0.2.53', 'the state folder is empty');
  const flagsOf = (path: string): readonly string[] => {
    const line = lines.findLast((each) => each.split(' ')[1] === path);
    return line?.split(' ')[3]?.split(',') ?? [];
  };
  for (const path of [state, base, '/etc/resolv.conf']) {
    for (const flag of ['ro', 'nosuid', 'nodev', 'noexec']) assert.ok(flagsOf(path).includes(flag), `${path}: ${flag}`);
  }
  for (const flag of ['ro', 'nosuid', 'nodev']) assert.ok(flagsOf(join(base, 'node')).includes(flag), flag);
  const outside = spawnSync('cat', ['/proc/self/mounts'], { encoding: 'utf8' }).stdout;
  assert.ok(!outside.includes(folder));
});

test('namespaces of its own', () => {
  const kinds = ['mnt', 'ipc', 'uts', 'net'];
  const paths = kinds.map((kind) => `/proc/self/ns/${kind}`);
  const inside = launched({}, '/bin/readlink', ...paths).stdout.split('\n');
  const outside = spawnSync('readlink', paths, { encoding: 'utf8' }).stdout.split('\n');
  const same = kinds.filter((_, i) => inside[i] === outside[i]);
  assert.deepEqual(same, ['net'], 'the one that it was given');
});

test('where a step fails nothing runs', () => {
  const wrong: readonly Given[] = [
    ...['0', '-1', '', 'root', '12x', '4294967296'].map((id) => ({ id })),
    { netns: '/run/netns/mpt-none' },
    { group: join(folder, 'none') },
  ];
  for (const given of wrong) {
    const { status, stdout, stderr } = launched(given, '/bin/echo', 'it runs');
    assert.equal(status, 126, JSON.stringify(given));
    assert.equal(stdout, '');
    assert.match(stderr, /^midplane: start of the function: /);
  }
});
