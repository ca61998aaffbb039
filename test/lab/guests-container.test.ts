// Containers as guests: a missing image fails one guest alone, the rest is reached over its ports, capped, left alone
// by the daemon's death, and gone without a trace.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { processOf } from '../../src/guests/process.ts';
import { openSwitch, type TestSwitch } from './switch.ts';

const document = `
ports:
  swp1: { vlan: { access: web } }
  swp2: { vlan: { access: 20 } }
vlans:
  web: { id: 10, address: [10.0.10.254/24, "fd00:10::fe/64"] }
  20: { address: [10.0.20.254/24] }
containers:
  web1:
    image: localhost/mpt:1
    command: [httpd, -f, -p, "80", -h, /www]
    port: { vlan: web }
    address: [10.0.10.11/24, "fd00:10::11/64"]
    memory: 64M
    cpus: 0.5
    pids: 20
    service: { name: web, port: 80 }
    health: { tcp: { port: 80 }, interval: 500ms }
  shut1:
    image: localhost/mpt:1
    command: [httpd, -f, -p, "80", -h, /www]
    port: { vlan: web, shut: true }
    address: [10.0.10.13/24]
  talk1:
    image: localhost/mpt:1
    command: [sh, -c, "echo out; echo err >&2; exec sleep 1000"]
    port: { vlan: web }
    address: [10.0.10.14/24]
  gone1:
    image: localhost/none:1
    port: { vlan: web }
    address: [10.0.10.12/24]
`;

const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24', 'fd00:10::1/64'] },
  h2: { port: 'swp2', address: ['10.0.20.2/24'], gateway: ['10.0.20.254'] },
};

/** A root of busybox alone, as a tar. */
function makeImage(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-image-'));
  try {
    for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'www']) mkdirSync(join(folder, name));
    cpSync('/bin/busybox', join(folder, 'bin', 'busybox'));
    for (const name of ['sh', 'httpd', 'sleep', 'cat', 'ip', 'dd', 'hostname']) {
      symlinkSync('busybox', join(folder, 'bin', name));
    }
    writeFileSync(join(folder, 'www', 'index.html'), 'hi\n');
    return execFileSync('tar', ['-C', folder, '-cf', '-', '.'], { maxBuffer: 2 ** 26 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const socketOf = (sw: TestSwitch): string => `/run/midplane/${sw.instance}/podman/service.sock`;

function api(sw: TestSwitch, path: string, ...args: readonly string[]): string {
  const url = `http://podman/v4.0.0/libpod${path}`;
  return execFileSync('curl', ['-s', '--unix-socket', socketOf(sw), ...args, url], { encoding: 'utf8' });
}

interface Listed {
  readonly Names: readonly string[];
  readonly Pid: number;
  readonly State: string;
}

function pidOf(sw: TestSwitch, name: string): number {
  const list = JSON.parse(api(sw, '/containers/json?all=true')) as Listed[];
  return list.find((one) => one.Names.includes(`${sw.instance}-${name}`) && one.State === 'running')?.Pid ?? 0;
}

async function until(what: string, ask: () => Promise<boolean> | boolean): Promise<void> {
  for (let i = 0; i < 100; i += 1) {
    if (await ask()) return;
    await new Promise((done) => setTimeout(done, 200));
  }
  assert.fail(what);
}

async function curl(sw: TestSwitch, from: string, url: string): Promise<string> {
  return (await sw.on(from, 'curl', '-s', '-g', '-m', '3', url)).stdout;
}

await test('containers', async (t) => {
  let instance = '';
  {
    await using sw = await openSwitch({ document, hosts });
    instance = sw.instance;
    await t.test('without the image the guests fail, and the rest is up', async () => {
      const failed = (): unknown[] => sw.log.filter((line) => line['msg'] === 'failed').map((line) => line['ref']);
      await until('they fail', () => failed().includes('container/web1') && failed().includes('container/gone1'));
      assert.equal(await sw.ping('h1', '10.0.10.254'), 3);
      // It is plugged in all the same.
      assert.equal(await sw.ping('h1', '10.0.10.11'), 3);
    });
    await t.test('once the image is there, they start', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'mpt-tar-'));
      writeFileSync(join(folder, 'image.tar'), makeImage());
      const args = ['-X', 'POST', '-H', 'content-type: application/x-tar', '--data-binary', `@${folder}/image.tar`];
      api(sw, '/images/import?reference=localhost/mpt:1', ...args);
      rmSync(folder, { recursive: true });
      await until('it answers', async () => (await curl(sw, 'h1', 'http://10.0.10.11/')) === 'hi\n');
    });
    await t.test('from its VLAN, over IPv6, and through the SVI from another VLAN', async () => {
      assert.equal(await curl(sw, 'h1', 'http://[fd00:10::11]/'), 'hi\n');
      assert.equal(await sw.ping('h2', '10.0.10.11'), 3);
      assert.equal(await curl(sw, 'h2', 'http://10.0.10.11/'), 'hi\n');
    });
    await t.test('a shut port cuts off', async () => {
      await until('it runs', () => pidOf(sw, 'shut1') > 0);
      assert.equal(await sw.ping('h1', '10.0.10.13', { count: 1 }), 0);
      assert.equal(await curl(sw, 'h1', 'http://10.0.10.13/'), '');
    });
    await t.test('its limits are set', () => {
      const pid = pidOf(sw, 'web1');
      const group = (controller: string): string => {
        const line = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
          .split('\n')
          .find((l) => l.includes(`:${controller}:`));
        return join('/sys/fs/cgroup', controller, line?.split(':')[2] ?? '');
      };
      if (!existsSync('/sys/fs/cgroup/cgroup.controllers')) {
        assert.equal(readFileSync(join(group('memory'), 'memory.limit_in_bytes'), 'utf8').trim(), String(64 * 2 ** 20));
        assert.equal(readFileSync(join(group('cpu'), 'cpu.cfs_quota_us'), 'utf8').trim(), '50000');
        assert.equal(readFileSync(join(group('pids'), 'pids.max'), 'utf8').trim(), '20');
      }
    });
    await t.test('the daemon and its podman service die: the same process goes on, and is adopted', async () => {
      const before = processOf(pidOf(sw, 'web1'));
      assert.ok(before);
      const service = JSON.parse(readFileSync(`/run/midplane/${instance}/podman/service.json`, 'utf8')) as {
        pid: number;
      };
      await sw.kill('SIGKILL');
      process.kill(service.pid, 'SIGKILL');
      assert.equal(await curl(sw, 'h1', 'http://10.0.10.11/'), 'hi\n');
      await sw.boot();
      assert.equal(await curl(sw, 'h1', 'http://10.0.10.11/'), 'hi\n');
      assert.deepEqual(processOf(pidOf(sw, 'web1')), before);
    });
    await t.test('exec and logs; an exec leaves no monitor', async () => {
      assert.equal((await sw.cli('guest exec web1 hostname')).text, 'web1\n');
      // Its own file, and not by exec: under a chroot runc's exec lands in the root of the machine.
      const own = readFileSync(`/proc/${pidOf(sw, 'web1')}/root/etc/resolv.conf`, 'utf8');
      assert.equal(own, 'nameserver 10.0.10.254\nnameserver fd00:10::fe\n');
      const failed = await sw.cli('guest exec web1 "exit 3"');
      assert.equal((failed.data as { code: number } | undefined)?.code ?? 3, 3);
      assert.match(failed.text, /exit code 3/);
      // Its two streams are two pipes, in no order.
      assert.equal((await sw.cli('guest logs talk1')).text.split('\n').toSorted().join(' '), ' err out');
      await until('it is seen to be healthy', async () =>
        /web1 +container +running +healthy +10\.0\.10\.11/.test((await sw.cli('show guests')).text),
      );
      assert.match((await sw.cli('show guests')).text, /gone1 +container +failed/);
      await until('the monitors of exec end', () => monitors(sw).length <= 4);
    });
    await t.test('one that dies is started again', async () => {
      const before = pidOf(sw, 'web1');
      process.kill(before, 'SIGKILL');
      await until('it runs again', () => ![0, before].includes(pidOf(sw, 'web1')));
      await until('it answers again', async () => (await curl(sw, 'h1', 'http://10.0.10.11/')) === 'hi\n');
    });

    await t.test('a restart is its own, also of one that has to be killed', async () => {
      // As process 1 it hears no SIGTERM: it is there for three seconds more.
      for (let i = 0; i < 2; i += 1) assert.match((await sw.cli('guest restart talk1')).text, /talk1: running/);
      const { data } = await sw.cli('show guests');
      const { restarts } = (data as { name: string; restarts: number }[]).find(({ name }) => name === 'talk1')!;
      assert.equal(restarts, 0);
    });
  }
  await t.test('nothing is left', () => {
    assert.deepEqual(
      readdirSync('/run/netns').filter((name) => name.includes(instance)),
      [],
    );
    assert.equal(existsSync(join('/run/midplane', instance)), false);
    assert.equal(readFileSync('/proc/mounts', 'utf8').includes(instance), false);
    for (const group of readdirSync('/sys/fs/cgroup')) {
      assert.equal(existsSync(join('/sys/fs/cgroup', group, 'midplane', instance)), false, group);
    }
    const left = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && cmdline(pid).includes(instance));
    assert.deepEqual(left.map(cmdline), []);
  });
});

/** conmon processes of this instance. */
function monitors(sw: TestSwitch): readonly string[] {
  const all = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid));
  return all.map(cmdline).filter((line) => line.includes('conmon') && line.includes(sw.instance));
}

function cmdline(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
