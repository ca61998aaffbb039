// VMs as guests: configured by their seeds, reached over their ports, left alone by the daemon's death, powered off
// when they go, and gone without a trace. They are emulated where KVM does not work: be patient.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSwitch, type TestSwitch } from './switch.ts';

const vm = (name: string, n: number, more = '', port = ''): string => `
  ${name}:
    kernel: vmlinuz
    initrd: initrd
    memory: 128M
    port: { vlan: web${port} }
    address: [10.0.10.${n}/24, "fd00:10::${n}/64"]
    service: { name: web, port: 80 }
    health: { http: { port: 80 }, interval: 500ms }${more}`;

const document = (vms: string): string => `
ports:
  swp1: { vlan: { access: web } }
  swp2: { vlan: { access: 20 } }
vlans:
  web: { id: 10, address: [10.0.10.254/24, "fd00:10::fe/64"] }
  20: { address: [10.0.20.254/24] }
vms:${vms}
`;

const missing = `
  bad:
    kernel: no-such-kernel
    port: { vlan: web }`;

const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24', 'fd00:10::1/64'] },
  h2: { port: 'swp2', address: ['10.0.20.2/24'], gateway: ['10.0.20.254'] },
};

interface VmRecord {
  readonly pid: number;
  readonly startTime: number;
}

const recordOf = (sw: TestSwitch, name: string): VmRecord =>
  JSON.parse(readFileSync(`/run/midplane/${sw.instance}/vms/${name}.json`, 'utf8')) as VmRecord;

const consoleLog = (sw: TestSwitch, name: string): string =>
  readFileSync(join(sw.state, 'vms', name, 'console.log'), 'utf8');

const curl = async (sw: TestSwitch, from: string, url: string): Promise<string> =>
  (await sw.on(from, 'curl', '-s', '-g', '-m', '3', url)).stdout;

/** Asks until the answer is as wanted, for at most a minute. */
async function until(what: string, ask: () => Promise<boolean> | boolean): Promise<void> {
  for (let i = 0; i < 120; i += 1) {
    if (await ask()) return;
    await new Promise((done) => setTimeout(done, 500));
  }
  assert.fail(`not in a minute: ${what}`);
}

const answers = (sw: TestSwitch, from: string, address: string, name: string): Promise<void> =>
  until(`${name} answers at ${address}`, async () =>
    (await curl(sw, from, `http://${address}/hello`)).startsWith(`host ${name}\n`),
  );

/** Arguments of a VM's QEMU, those apart that tell the two machines of the test from each other. */
function argumentsOf(pid: number): readonly string[] {
  const all = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  return ['-kernel', '-initrd', '-append', '-m', '-smp', '-machine'].map((key) => all[all.indexOf(key) + 1] ?? '');
}

/** Sends a line to the console until the text appears. */
async function onConsole(sw: TestSwitch, name: string, line: string, wanted: RegExp): Promise<void> {
  const socket = createConnection({ path: `/run/midplane/${sw.instance}/console/${name}.sock` });
  let said = '';
  socket.on('data', (data) => (said += data.toString()));
  await until(`console says ${String(wanted)}`, () => {
    if (!wanted.test(said)) socket.write(`${line}\n`);
    return wanted.test(said);
  });
  socket.destroy();
}

interface Commit {
  readonly ok: boolean;
  readonly faults?: readonly { readonly code: string; readonly what: string; readonly why: string }[];
}

const commit = async (sw: TestSwitch, vms: string): Promise<Commit> =>
  (await sw.api<Commit>('POST', '/v1/commit', { document: document(vms) })).body;

const cgroupOf = (sw: TestSwitch, name: string): string =>
  existsSync('/sys/fs/cgroup/cgroup.controllers')
    ? `/sys/fs/cgroup/midplane/${sw.instance}/${name}`
    : `/sys/fs/cgroup/memory/midplane/${sw.instance}/${name}`;

await test('VMs', async (t) => {
  let left = { run: '', pids: [0], cgroup: '' };
  {
    await using sw = await openSwitch({
      document: document(vm('vm1', 21) + vm('vm2', 22, '', ', mtu: 1400') + missing),
      hosts,
    });
    await t.test('two with the same kernel and command line are what their seeds say', () => seeds(sw));
    await t.test('each has a user, no capability, and a cgroup', () => confined(sw));
    await t.test('what has no kernel fails alone', async () => {
      assert.ok(sw.log.some((line) => line['ref'] === 'vm/bad' && JSON.stringify(line).includes('no-image')));
      assert.match((await sw.cli('show guests bad')).text, /failed: there is no file/);
    });
    await t.test('the daemon dies, they go on, and are taken over', () => adopted(sw));
    await t.test('one that ends is started again', () => restarted(sw));
    await t.test('a changed one is powered off and starts anew, one that is not wanted goes', () => changed(sw));
    await t.test('a commit is refused where one cannot start, and nothing has changed', () => refused(sw));
    await t.test('a disk is laid over an image, and keeps what is written', () => disk(sw));
    left = { run: `/run/midplane/${sw.instance}`, pids: [recordOf(sw, 'vm1').pid], cgroup: cgroupOf(sw, '') };
  }
  await t.test('nothing is left', () => {
    assert.ok(!existsSync(left.run) && !existsSync(left.cgroup), JSON.stringify(left));
    for (const pid of left.pids) {
      const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : ' Z ';
      assert.match(stat, / [ZX] /);
    }
  });
});

async function seeds(sw: TestSwitch): Promise<void> {
  await answers(sw, 'h1', '10.0.10.21', 'vm1');
  await answers(sw, 'h1', '10.0.10.22', 'vm2');
  await answers(sw, 'h1', '[fd00:10::22]', 'vm2');
  // Their default route is the VLAN's own address.
  await answers(sw, 'h2', '10.0.10.21', 'vm1');
  assert.equal(await sw.ping('h1', '10.0.10.21', { count: 5, args: ['-W', '3'] }), 5);
  assert.equal(await sw.ping('h1', 'fd00:10::21', { count: 5, args: ['-W', '3'] }), 5);
  assert.deepEqual(argumentsOf(recordOf(sw, 'vm1').pid), argumentsOf(recordOf(sw, 'vm2').pid));
  await onConsole(sw, 'vm2', 'ip link show eth0', /mtu 1400 /);
  await until('both are healthy', async () => {
    const { text } = await sw.cli('show guests');
    return /vm1 +vm +running +healthy/.test(text) && /vm2 +vm +running +healthy/.test(text);
  });
  assert.match((await sw.cli('guest logs vm1')).text, /init: vm1 is up/);
}

function confined(sw: TestSwitch): void {
  const pids = ['vm1', 'vm2'].map((name) => recordOf(sw, name).pid);
  const statuses = pids.map((pid) => readFileSync(`/proc/${pid}/status`, 'utf8'));
  const uids = statuses.map((text) => Number(/^Uid:\t(\d+)/m.exec(text)?.[1]));
  assert.ok(uids.every((uid) => uid > 1_000_000_000) && uids[0] !== uids[1], String(uids));
  for (const status of statuses) assert.match(status, /^CapEff:\t0+$[^]*^NoNewPrivs:\t1$[^]*^Seccomp:\t2$/m);
  assert.equal(readFileSync(join(cgroupOf(sw, 'vm1'), 'cgroup.procs'), 'utf8').trim(), String(pids[0]));
}

async function adopted(sw: TestSwitch): Promise<void> {
  const before = [recordOf(sw, 'vm1'), recordOf(sw, 'vm2')];
  await sw.kill('SIGKILL');
  assert.equal(await sw.ping('h1', '10.0.10.21', { count: 5, args: ['-W', '3'] }), 5);
  await sw.boot();
  assert.deepEqual([recordOf(sw, 'vm1'), recordOf(sw, 'vm2')], before);
  await answers(sw, 'h1', '10.0.10.21', 'vm1');
}

async function restarted(sw: TestSwitch): Promise<void> {
  const [one, two] = [recordOf(sw, 'vm1'), recordOf(sw, 'vm2')];
  process.kill(two.pid, 'SIGKILL');
  await until('vm2 has a new process', () => recordOf(sw, 'vm2').pid !== two.pid);
  await answers(sw, 'h1', '10.0.10.22', 'vm2');
  assert.deepEqual(recordOf(sw, 'vm1'), one);
}

async function changed(sw: TestSwitch): Promise<void> {
  const before = recordOf(sw, 'vm1');
  const done = await commit(sw, vm('vm1', 31, '\n    cloud-init: { hostname: other }'));
  assert.ok(done.ok, JSON.stringify(done));
  assert.notEqual(recordOf(sw, 'vm1').pid, before.pid, 'the answer comes when the new one runs');
  await answers(sw, 'h1', '10.0.10.31', 'other');
  assert.match(consoleLog(sw, 'vm1'), /reboot: Power down[^]*is up/);
  assert.ok(!existsSync(cgroupOf(sw, 'vm2')) && !existsSync(`/run/midplane/${sw.instance}/qmp/vm2.sock`));
  assert.ok(!existsSync(join(sw.state, 'vms', 'vm2')));
  assert.equal(readdirSync(join(sw.state, 'vms', 'vm1')).filter((file) => file.startsWith('seed-')).length, 1);
}

async function refused(sw: TestSwitch): Promise<void> {
  const before = recordOf(sw, 'vm1');
  const running = vm('vm1', 31, '\n    cloud-init: { hostname: other }');
  const none = await commit(sw, running + missing);
  assert.equal(none.ok, false);
  assert.equal(none.faults?.[0]?.code, 'no-image');
  writeFileSync(join(sw.folder, 'nonsense'), 'no kernel\n'.repeat(1000));
  const bad = await commit(sw, `${running}\n  vm3: { kernel: ${join(sw.folder, 'nonsense')}, port: { vlan: web } }`);
  assert.equal(bad.ok, false);
  assert.match(bad.faults?.[0]?.why ?? '', /exit code 1: .*kernel/);
  assert.deepEqual(recordOf(sw, 'vm1'), before);
  assert.ok(!existsSync(`/run/midplane/${sw.instance}/vms/vm3.json`) && !existsSync(cgroupOf(sw, 'vm3')));
}

async function disk(sw: TestSwitch): Promise<void> {
  const image = join(sw.folder, 'disk.raw');
  writeFileSync(image, Buffer.alloc(2 ** 20));
  const done = await commit(sw, vm('vm1', 31, `\n    image: ${image}\n    disk: 16M`));
  assert.ok(done.ok, JSON.stringify(done));
  await onConsole(sw, 'vm1', 'grep vda /proc/partitions', / 16384 vda/);
  await onConsole(sw, 'vm1', 'echo mar""ker >/dev/vda; sync; head -c 6 /dev/vda', /\nmarker/);
  const { pid } = recordOf(sw, 'vm1');
  assert.match((await sw.cli('guest restart vm1')).text, /running/);
  assert.notEqual(recordOf(sw, 'vm1').pid, pid);
  await onConsole(sw, 'vm1', 'head -c 6 /dev/vda', /\nmarker/);
  assert.ok(
    readFileSync(image).every((byte) => byte === 0),
    'the image is as it was',
  );
}
