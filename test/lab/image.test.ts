// The Dockerfile: built and run by podman in namespaces of the test's own, without a network and with the privileges
// that it names, and used over its ports. Its base takes minutes to make: only in the long run.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { hostsSchema, openLab } from '../../src/lab/hosts.ts';
import { run } from '../../src/lab/process.ts';
import { baseTar } from './image.ts';
import { kernel, objects, root } from './rig.ts';

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
const instance = `mpt-${process.pid}-image`;
const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24'] },
  h2: { port: 'swp2', address: ['10.0.10.2/24'] },
};
const document = (key: string): string => `
ports:
  swp1: { vlan: { access: 10 } }
  swp2: { vlan: { access: 10 } }
vlans:
  10: { address: [10.0.10.254/24] }
users:
  admin: { role: admin, keys: ["${key}"] }
ssh: { listen: [10.0.10.254:22] }
functions:
  hello: { source: hello.mjs, port: { vlan: 10 }, address: [10.0.10.11/24] }
containers:
  web: { image: "localhost/midplane/web:1", port: { vlan: 10 }, address: [10.0.10.12/24] }
`;

const containersConf = (folder: string): string => `[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "${folder}/tmp"
`;

type Podman = (...args: readonly string[]) => Promise<string>;

/** podman with a store of the test's own, in the switch's namespace, which leads nowhere. */
function podmanIn(folder: string, netns: string): Podman {
  writeFileSync(join(folder, 'containers.conf'), containersConf(folder));
  const env = { ...process.env, CONTAINERS_CONF: join(folder, 'containers.conf') };
  const own = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run'), '--storage-driver', 'overlay'];
  return async (...args) => {
    const command = [`--net=/run/netns/${netns}`, 'podman', ...own, ...args];
    const child = spawn('nsenter', command, { env, cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (text += data.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`podman ${args.join(' ')}: ${text.slice(-2000)}`);
    return text;
  };
}

/** What the Dockerfile's head says that it needs, so that it stays true. */
function privileges(): string[] {
  const head = readFileSync(join(root, 'Dockerfile'), 'utf8').split('\nFROM ')[0] ?? '';
  const [, given = ''] = /podman run ([^]*?)localhost\/midplane:/.exec(head) ?? [];
  return given
    .replaceAll(/\\\n#/g, ' ')
    .split(/\s+/)
    .filter((word) => word !== '');
}

await test('the image of the Dockerfile', { skip: !long && 'its base takes minutes: npm run test:long' }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), `${instance}-`));
  using stack = new DisposableStack();
  stack.defer(() => {
    // podman leaves its store mounted onto itself.
    execFileSync('sh', ['-c', `for m in $(grep -o '${folder}[^ ]*' /proc/mounts | sort -r); do umount -l $m; done`]);
    rmSync(folder, { recursive: true, force: true });
  });
  const lab = stack.use(openLab({ kernel, prefix: instance, hosts: hostsSchema.parse(hosts), objects }));
  const podman = podmanIn(folder, lab.switchNetns);
  const image = 'localhost/midplane:test';
  for (const name of ['etc', 'state']) mkdirSync(join(folder, name));
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, 'key')]);
  const key = readFileSync(join(folder, 'key.pub'), 'utf8').trim();
  writeFileSync(join(folder, 'etc/midplane.yaml'), document(key));
  writeFileSync(join(folder, 'etc/hello.mjs'), 'export default { fetch: () => new Response("hello") };\n');
  const h1 = async (...command: string[]): Promise<string> => (await run(lab.netnsOf('h1'), command)).stdout;
  const until = async (what: string, ask: () => Promise<boolean>): Promise<void> => {
    for (let i = 0; i < 150; i += 1) {
      if (await ask()) return;
      await sleep(200);
    }
    assert.fail(`${what}\n${await podman('logs', 'sw')}`);
  };
  await t.test('it is built from the base of the recipe, without a network', async () => {
    await podman('import', baseTar(), 'localhost/midplane/base:13');
    await podman('build', '--network', 'none', '-t', image, '.');
  });
  await t.test('it runs with what its head names, and forwards', async () => {
    const words = privileges().map((word) =>
      word
        .replace('SWITCH', lab.switchNetns)
        .replace('STATE', join(folder, 'state'))
        .replace('ETC', join(folder, 'etc')),
    );
    assert.ok(words.includes('--cap-add') && !words.includes('--privileged'), words.join(' '));
    const images = ['-v', '/var/lib/midplane/images:/var/lib/midplane/images:ro'];
    await podman(
      'run',
      '--detach',
      '--name',
      'sw',
      '--env',
      `MIDPLANE_INSTANCE=${instance}`,
      ...words,
      ...images,
      image,
    );
    await until('hosts reach each other', async () =>
      /, 0% packet loss/.test(await h1('ping', '-c', '2', '-W', '1', '10.0.10.2')),
    );
  });
  await t.test('ssh, a function and a container, over its ports', async () => {
    const options = [
      'StrictHostKeyChecking=no',
      'UserKnownHostsFile=/dev/null',
      'LogLevel=ERROR',
      'IdentitiesOnly=yes',
    ];
    const ssh = ['ssh', '-i', join(folder, 'key'), ...options.flatMap((option) => ['-o', option]), 'admin@10.0.10.254'];
    await until('both guests run', async () => {
      const text = await h1(...ssh, 'show guests');
      return /hello +function +running/.test(text) && /web +container +running/.test(text);
    });
    assert.match(await h1(...ssh, 'show ports'), /swp1 +up/);
    assert.equal(await h1('curl', '-s', '-m', '5', 'http://10.0.10.11/'), 'hello');
    assert.match(await h1('curl', '-s', '-m', '5', 'http://10.0.10.12/'), /version 1/);
  });
  await t.test('stopped, it leaves nothing; started again, it is what it was', async () => {
    await podman('stop', 'sw');
    for (const group of ['memory', 'cpu', 'pids', '']) {
      assert.equal(existsSync(join('/sys/fs/cgroup', group, 'midplane', instance)), false, group);
    }
    await podman('start', 'sw');
    await until('it answers', async () => (await h1('curl', '-s', '-m', '5', 'http://10.0.10.11/')) === 'hello');
    await podman('stop', 'sw');
    await podman('rm', '--force', 'sw');
  });
});
