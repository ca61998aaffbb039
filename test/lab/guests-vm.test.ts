// VMs as guests: configured by their seeds, reached over their ports, left alone by the daemon's death, powered off
// when they go, and gone without a trace. They are emulated where KVM does not work: be patient.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSwitch, type TestSwitch } from './switch.ts';

const vm = (name: string, n: number, more: string): string => `
  ${name}:
    image: midplane/vm
    memory: 128M
    port: { vlan: web${more} }
    address: [10.0.10.${n}/24, "fd00:10::${n}/64"]
    service: { name: web, port: 80 }
    health: { http: { port: 80 }, interval: 500ms }`;

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

/** Talks to the console until the text appears. */
async function onConsole(path: string, line: string, wanted: RegExp): Promise<void> {
  const socket = createConnection({ path });
  let said = '';
  socket.on('data', (data) => (said += data.toString()));
  await until(`console says ${String(wanted)}`, () => {
    if (!wanted.test(said)) socket.write(`${line}\n`);
    return wanted.test(said);
  });
  socket.destroy();
}

const cgroupOf = (sw: TestSwitch, name: string): string =>
  existsSync('/sys/fs/cgroup/cgroup.controllers')
    ? `/sys/fs/cgroup/midplane/${sw.instance}/${name}`
    : `/sys/fs/cgroup/memory/midplane/${sw.instance}/${name}`;

test('two VMs of one image take what their seeds say, and are guests like others', async () => {
  const both = document(vm('vm1', 21, '') + vm('vm2', 22, ', mtu: 1400') + missing);
  let left = { run: '', pids: [0], cgroup: '' };
  {
    await using sw = await openSwitch({ document: both, hosts });
    await answers(sw, 'h1', '10.0.10.21', 'vm1');
    await answers(sw, 'h1', '10.0.10.22', 'vm2');
    await answers(sw, 'h1', '[fd00:10::22]', 'vm2');
    // Their default route is the VLAN's own address.
    await answers(sw, 'h2', '10.0.10.21', 'vm1');
    assert.equal(await sw.ping('h1', '10.0.10.21', { count: 5, args: ['-W', '3'] }), 5);
    assert.equal(await sw.ping('h1', 'fd00:10::21', { count: 5, args: ['-W', '3'] }), 5);

    const [one, two] = [recordOf(sw, 'vm1'), recordOf(sw, 'vm2')];
    assert.deepEqual(argumentsOf(one.pid), argumentsOf(two.pid));
    const [status = '', other = ''] = [one, two].map(({ pid }) => readFileSync(`/proc/${pid}/status`, 'utf8'));
    const uids = [status, other].map((text) => Number(/^Uid:\t(\d+)/m.exec(text)?.[1]));
    assert.match(status, /^CapEff:\t0+$/m);
    assert.match(status, /^NoNewPrivs:\t1$/m);
    assert.ok(uids.every((uid) => uid > 1_000_000_000) && uids[0] !== uids[1], String(uids));
    assert.deepEqual(readFileSync(join(cgroupOf(sw, 'vm1'), 'cgroup.procs'), 'utf8').trim(), String(one.pid));
    await onConsole(`/run/midplane/${sw.instance}/console/vm2.sock`, 'ip link show eth0', /mtu 1400 /);
    // What has no kernel failed alone.
    assert.ok(sw.log.some((line) => line['ref'] === 'vm/bad' && JSON.stringify(line).includes('no-image')));

    await sw.kill('SIGKILL');
    assert.equal(await sw.ping('h1', '10.0.10.21', { count: 5, args: ['-W', '3'] }), 5);
    await sw.boot();
    assert.deepEqual([recordOf(sw, 'vm1'), recordOf(sw, 'vm2')], [one, two]);
    await answers(sw, 'h1', '10.0.10.21', 'vm1');

    // One ends by itself: it is started again.
    process.kill(two.pid, 'SIGKILL');
    await until('vm2 has a new process', () => recordOf(sw, 'vm2').pid !== two.pid);
    await answers(sw, 'h1', '10.0.10.22', 'vm2');
    assert.deepEqual(recordOf(sw, 'vm1'), one);

    // Another document: one is powered off and starts anew with another name, the other goes.
    await sw.kill('SIGTERM');
    const renamed = `${vm('vm1', 31, '')}\n    cloud-init: { hostname: other }`;
    writeFileSync(join(sw.folder, 'midplane.yaml'), document(renamed));
    await sw.boot();
    await answers(sw, 'h1', '10.0.10.31', 'other');
    assert.match(consoleLog(sw, 'vm1'), /reboot: Power down[^]*is up/);
    assert.ok(!existsSync(cgroupOf(sw, 'vm2')) && !existsSync(`/run/midplane/${sw.instance}/qmp/vm2.sock`));
    await until('files of vm2 are gone', () => !existsSync(join(sw.state, 'vms', 'vm2')));
    assert.equal(readdirSync(join(sw.state, 'vms', 'vm1')).filter((file) => file.startsWith('seed-')).length, 1);
    left = { run: `/run/midplane/${sw.instance}`, pids: [recordOf(sw, 'vm1').pid, one.pid], cgroup: cgroupOf(sw, '') };
  }
  assert.ok(!existsSync(left.run) && !existsSync(left.cgroup), JSON.stringify(left));
  for (const pid of left.pids) {
    const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : ' Z ';
    assert.match(stat, / [ZX] /);
  }
});
