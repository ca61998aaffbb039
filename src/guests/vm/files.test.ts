import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { VmSpec } from './compile.ts';
import { consoleTail, makeFiles, placesOf, sweep, trimLog } from './files.ts';

const noQemu = spawnSync('qemu-img', ['--version']).error !== undefined && 'qemu-img is not installed';

function folder(t: TestContext) {
  const at = mkdtempSync(join(tmpdir(), 'midplane-vm-'));
  t.after(() => rmSync(at, { recursive: true }));
  return { at, folders: { state: join(at, 'state'), run: join(at, 'run') } };
}

const specOf = (machine: object): VmSpec => ({
  name: 'db1',
  address: [],
  restart: 'always',
  machine: {
    cpus: 1,
    memory: 2 ** 28,
    accel: 'tcg',
    mac: '02:00:00:00:00:01',
    uuid: 'u',
    uid: 1,
    seed: { hostname: 'db1', network: '', userData: '' },
    ...machine,
  },
});

const make = (folders: { state: string; run: string }, spec: VmSpec) =>
  makeFiles(folders, spec, () => undefined, new AbortController().signal);

const fault = (code: string, why: RegExp) => (error: unknown) => {
  assert.ok(error instanceof Error && 'fault' in error, String(error));
  const got = error.fault as { code: string; why: string };
  assert.match(`${got.code}: ${got.why}`, new RegExp(`^${code}: .*${why.source}`));
  return true;
};

test('a disk is laid over its image once', { skip: noQemu }, async (t) => {
  const { at, folders } = folder(t);
  const image = join(at, 'a,b.raw');
  writeFileSync(image, Buffer.alloc(2 ** 20));
  const spec = specOf({ image, disk: 4 * 2 ** 20 });
  await make(folders, spec);
  const { overlay = '', seed } = placesOf(folders, 'db1', spec);
  assert.ok(existsSync(seed));
  const { stdout } = spawnSync('qemu-img', ['info', '--output=json', overlay], { encoding: 'utf8' });
  const info = JSON.parse(stdout) as Record<string, unknown>;
  assert.deepEqual(
    [info['format'], info['virtual-size'], info['backing-filename'], info['backing-filename-format']],
    ['qcow2', 4 * 2 ** 20, image, 'raw'],
  );
  const before = readdirSync(join(folders.state, 'vms', 'db1'));
  await make(folders, spec);
  assert.deepEqual(readdirSync(join(folders.state, 'vms', 'db1')), before);
  utimesSync(image, 1, 1);
  await assert.rejects(make(folders, spec), fault('refused', /another file than the disk was made over/));
});

test('images that are not there, not whole, or no images', { skip: noQemu }, async (t) => {
  const { at, folders } = folder(t);
  const file = (name: string) => join(at, name);
  await assert.rejects(make(folders, specOf({ kernel: file('none') })), fault('no-image', /no file .*none/));
  await assert.rejects(make(folders, specOf({ image: at })), fault('no-image', /no file/));
  writeFileSync(file('secret'), 'x'.repeat(512));
  spawnSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', file('secret'), file('sly.qcow2')]);
  await assert.rejects(make(folders, specOf({ image: file('sly.qcow2') })), fault('refused', /another file/));
  spawnSync('qemu-img', ['create', '-q', '-f', 'vdi', file('a.vdi'), '1M']);
  await assert.rejects(make(folders, specOf({ image: file('a.vdi') })), fault('not-supported', /vdi/));
});

test('what no revision needs goes, but a disk only after a week', (t) => {
  const { folders } = folder(t);
  const now = 1_800_000_000_000;
  const spec = specOf({ image: '/i' });
  const { folder: own, seed, overlay = '', record } = placesOf(folders, 'db1', spec);
  const other = placesOf(folders, 'gone').folder;
  for (const path of [own, other]) spawnSync('mkdir', ['-p', path]);
  const old = join(other, 'overlay-old.qcow2');
  const fresh = join(other, 'overlay-fresh.qcow2');
  const stale = [join(own, 'seed-old.iso'), join(other, 'console.log'), old];
  const kept = [seed, overlay, join(own, 'console.log'), fresh];
  for (const path of [...stale, ...kept]) writeFileSync(path, '');
  for (const path of kept) utimesSync(path, now / 1000, now / 1000);
  utimesSync(old, now / 1000 - 8 * 86_400, now / 1000 - 8 * 86_400);
  sweep(folders, new Map([['db1', spec]]), now);
  for (const path of stale) assert.ok(!existsSync(path), path);
  for (const path of kept) assert.ok(existsSync(path), path);
  sweep(folders, new Map([['db1', spec]]), now + 8 * 86_400_000);
  assert.ok(!existsSync(other) && existsSync(overlay) && !existsSync(record));
});

test('a console that says much keeps its end', (t) => {
  const { folders } = folder(t);
  const { folder: own, consoleLog } = placesOf(folders, 'db1');
  spawnSync('mkdir', ['-p', own]);
  assert.equal(consoleTail(folders, 'db1'), '');
  writeFileSync(consoleLog, 'x'.repeat(2 ** 20));
  trimLog(folders, 'db1');
  writeFileSync(consoleLog, `${'y'.repeat(2 ** 20)}\r\nlast`);
  trimLog(folders, 'db1');
  writeFileSync(consoleLog, '!');
  assert.match(consoleTail(folders, 'db1'), /^y+\nlast!$/);
});
