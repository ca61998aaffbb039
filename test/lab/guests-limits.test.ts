// The limits of functions and containers, by the drivers alone, without a daemon: quick enough for an emulated machine,
// where guests-cgroup2.test.ts runs this file once more, under cgroups v2.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { cgroupName, isUnified, makeCgroup, openCgroup } from '../../src/guests/cgroup.ts';
import type { ContainerSpec } from '../../src/guests/container/compile.ts';
import { openContainers } from '../../src/guests/container/driver.ts';
import type { FunctionSpec } from '../../src/guests/function/compile.ts';
import { openFunctions } from '../../src/guests/function/driver.ts';
import type { Seen } from '../../src/guests/supervise.ts';
import type { Ref } from '../../src/engine/resource.ts';
import type { DriverHost } from '../../src/engine/slice.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { kernel } from './rig.ts';

const instance = `mpt-${process.pid}-limits`;
const folder = mkdtempSync(join(tmpdir(), `${instance}-`));
const run = join('/run/midplane', instance);
const uids = ['', 'eat', 'bomb', 'spin'];
const host: DriverHost = {
  instance,
  clock: systemClock,
  log: pino({ level: 'silent' }),
  folders: { state: join(folder, 'state'), run },
  ids: {
    id: (_space, name) => uids.indexOf(name),
    together: (call) => call(),
    find: (_space, name) => uids.indexOf(name),
    name: () => undefined,
    retain: () => undefined,
  },
};

const netnsOf = (guest: string): string => `mp-${instance}-${guest}`;
const after = (what: string): string =>
  `setTimeout(() => { ${what} }, 300);\nexport default { fetch: () => new Response('fine') };\n`;
const functionOf = (name: string, source: string): FunctionSpec => ({
  netns: netnsOf(name),
  source,
  typescript: false,
  memory: 96 * 2 ** 20,
  cpus: 2,
  pids: 32,
  timeoutMs: 500,
  port: 80,
  environment: {},
  dns: [],
  restart: 'never',
});
const containerOf = (name: string, command: string): ContainerSpec => ({
  netns: netnsOf(name),
  image: 'localhost/midplane/busybox:1',
  command: ['sh', '-c', command],
  environment: {},
  memory: 64 * 2 ** 20,
  cpus: 0.5,
  pids: 24,
  dns: [],
  restart: 'never',
});

async function until(what: string, ask: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1200; i += 1) {
    if (await ask()) return;
    await sleep(100);
  }
  assert.fail(what);
}

/** A file of a guest's group, on the hierarchy of its controller. */
function read(guest: string, controller: string, file: string): string {
  const own = openCgroup(cgroupName(instance, guest)).procs.map(dirname);
  const at = own.find((path) => isUnified() || path.includes(`/${controller}/`)) ?? '';
  return readFileSync(join(at, file), 'utf8');
}

const countIn = (text: string, key: string): number => Number(new RegExp(`^${key} (\\d+)$`, 'm').exec(text)?.[1]);

await test(`limits under cgroups ${isUnified() ? 'v2' : 'v1'}`, async (t) => {
  const functions = openFunctions(kernel, host, 110_000);
  const containers = openContainers(host);
  const guests = ['eat', 'bomb', 'spin', 'hog', 'fork'];
  mkdirSync(run, { recursive: true, mode: 0o700 });
  mkdirSync(host.folders.state, { mode: 0o700 });
  for (const guest of guests) kernel.netns.add(netnsOf(guest));
  const ended = async (what: string, see: () => Promise<Seen | undefined>, why: RegExp): Promise<void> => {
    await until(`${what} ends`, async () => (await see())?.running === false);
    assert.match((await see())?.why ?? '', why);
  };
  const startFunction = async (name: string, spec: FunctionSpec): Promise<Ref> => {
    const ref: Ref = `function/${name}`;
    await functions.driver.put([[ref, spec]]);
    await functions.driver.settle?.(spec, ref, AbortSignal.timeout(120_000));
    return ref;
  };
  const startContainer = async (name: string, spec: ContainerSpec): Promise<Ref> => {
    const ref: Ref = `container/${name}`;
    await containers.driver.put([[ref, spec]]);
    await containers.driver.settle?.(spec, ref, AbortSignal.timeout(120_000));
    return ref;
  };
  try {
    await t.test('a function that takes more memory than it has', async () => {
      const source = after('const kept = []; for (;;) kept.push(new Uint8Array(8e6).fill(1));');
      const ref = await startFunction('eat', functionOf('eat', source));
      await ended('it', () => Promise.resolve(functions.look().get(ref)), /^out of memory: it has 96M$/);
    });
    await t.test('a loop has the CPU that it may have, and is found stuck', async () => {
      const spec = functionOf('spin', after('for (;;);'));
      const ref = await startFunction('spin', spec);
      // On a busy machine it would not get what it may have: it may have less than anyone gets.
      makeCgroup(cgroupName(instance, 'spin'), { ...spec, cpus: 0.02 });
      await until('it is throttled', () => countIn(read('spin', 'cpu', 'cpu.stat'), 'nr_throttled') > 0);
      const timer = setInterval(() => functions.endStuck(ref, spec), 250);
      await ended('it', () => Promise.resolve(functions.look().get(ref)), /^stuck: /).finally(() =>
        clearInterval(timer),
      );
    });
    await t.test('a fork bomb in the place of a function', async () => {
      await startFunction('bomb', functionOf('bomb', after('')));
      const { procs } = openCgroup(cgroupName(instance, 'bomb'));
      const join = procs.map((file) => `echo $$ > ${file}`).join('; ');
      spawn('sh', ['-c', `${join}; f() { f | f & }; f; exec sleep 1000`], { stdio: 'ignore' }).unref();
      await until('it meets its limit', () => countIn(read('bomb', 'pids', 'pids.events'), 'max') > 0);
      assert.ok(Number(read('bomb', 'pids', 'pids.current')) <= 32);
    });
    await t.test('a container that takes more memory than it has, and one that forks', async () => {
      const command = 'sleep 1; exec dd if=/dev/zero of=/dev/null bs=300M count=1';
      const hog = await startContainer('hog', containerOf('hog', command));
      await ended('it', async () => (await containers.look()).get(hog), /^out of memory$/);
      const fork = await startContainer('fork', containerOf('fork', 'f() { f | f & }; f; exec sleep 1000'));
      const pid = (await containers.look()).get(fork)?.pid ?? 0;
      const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
      const line = lines.find((each) => each.includes(isUnified() ? '0::' : ':pids:')) ?? '';
      const group = join('/sys/fs/cgroup', isUnified() ? '' : 'pids', line.split(':')[2] ?? '');
      const count = (): number => countIn(readFileSync(join(group, 'pids.events'), 'utf8'), 'max');
      await until('it meets its limit', () => count() > 0);
      assert.ok(Number(readFileSync(join(group, 'pids.current'), 'utf8')) <= 24);
    });
  } finally {
    await functions.driver.drop(['eat', 'bomb', 'spin'].map((name): Ref => `function/${name}`));
    await containers.driver.drop(['hog', 'fork'].map((name): Ref => `container/${name}`));
    await containers.driver.clear?.();
    for (const guest of guests) kernel.netns.remove(netnsOf(guest));
    rmSync(run, { recursive: true, force: true });
    rmSync(folder, { recursive: true, force: true });
  }
  for (const guest of guests) {
    const left = openCgroup(cgroupName(instance, guest)).procs.map(dirname);
    assert.deepEqual(
      left.filter((path) => existsSync(path)),
      [],
      guest,
    );
  }
});
