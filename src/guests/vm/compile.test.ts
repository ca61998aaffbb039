import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Problem } from '../../config/problem.ts';
import type { Look } from '../../engine/slice.ts';
import { vlansSchema } from '../../switch/l2/vlan/schema.ts';
import { checkVms, compileVms, deriveVms, uidOf, type VmSpec } from './compile.ts';
import { vmsSchema } from './schema.ts';

const vlans = vlansSchema.parse({ web: { id: 10, address: ['10.0.10.254/24'] } });
const look = Object.assign(() => vlans, {
  instance: 'main',
  baseMac: '02:00:00:00:00:01',
  problem: (path: readonly (string | number)[], message: string): Problem => ({
    file: 'f',
    line: 1,
    column: 1,
    path: path.join('.'),
    message,
  }),
}) as unknown as Look;

const port = { vlan: 'web' };
const parse = (vms: unknown) => vmsSchema.parse(vms);
const specOf = (vm: object): VmSpec => {
  const machine = compileVms(parse({ db1: vm }), look).find(({ ref }) => ref === 'vm/db1');
  assert.ok(machine);
  return machine.spec as VmSpec;
};

test('a VM is a tap that only its user may open, and a machine that waits for its port', () => {
  const vm = { image: 'midplane/vm', port: { ...port, mtu: 1400 }, address: ['10.0.10.5/24'] };
  const resources = compileVms(parse({ db1: vm }), look);
  const { machine, at } = specOf(vm);
  assert.deepEqual(
    resources.map(({ ref, owner, needs }) => [ref, owner, needs]),
    [
      ['netdev/db1', 'vms', []],
      ['vm/db1', 'vms', ['netdev/db1', 'admin/db1']],
    ],
  );
  assert.deepEqual(resources[0]?.spec, { type: 'tap', owner: machine.uid, mtu: 1400 });
  assert.equal(at, '10.0.10.5');
  assert.deepEqual(
    [machine.kernel, machine.initrd, machine.image, machine.mtu],
    ['/var/lib/midplane/images/vm/vmlinuz', '/var/lib/midplane/images/vm/initrd', undefined, 1400],
  );
  assert.match(machine.uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(machine.seed.hostname, 'db1');
  assert.match(machine.seed.network, /via: "10\.0\.10\.254"/);
  assert.doesNotThrow(() => structuredClone(resources), 'plain data');
});

test('what is checked and restarted is no part of the machine: it changes without a stop', () => {
  const vm = { image: 'midplane/vm', port, address: ['10.0.10.5/24'] };
  const other = { ...vm, restart: 'never', health: { tcp: { port: 22 } }, service: { name: 'db', port: 22 } };
  assert.deepEqual(specOf(vm).machine, specOf(other).machine);
  assert.notDeepEqual(specOf(vm).machine, specOf({ ...vm, cpus: 2 }).machine);
  assert.notDeepEqual(specOf(vm).machine, specOf({ ...vm, gateway: ['10.0.10.1'] }).machine);
});

test('files are named by path, or by name in the folder of images', () => {
  const { machine } = specOf({ image: 'debian-13.qcow2', kernel: '/boot/vmlinuz', port });
  assert.deepEqual([machine.image, machine.kernel], ['/var/lib/midplane/images/vm/debian-13.qcow2', '/boot/vmlinuz']);
  for (const image of ['../x', 'a/../../x', '/a/../b', './x', '']) {
    assert.equal(vmsSchema.safeParse({ db1: { image, port } }).success, false, image);
  }
});

test('problems', () => {
  const rows: readonly (readonly [object, readonly string[]])[] = [
    [{ image: 'midplane/vm' }, []],
    [{ image: 'midplane/vm', cmdline: 'console=ttyS0 debug' }, []],
    [{ image: 'a.qcow2', kernel: 'k', initrd: 'i', cmdline: 'x', disk: '1G' }, []],
    [{}, ['vms.db1']],
    [{ image: 'midplane/vm', kernel: 'k' }, ['vms.db1.kernel']],
    [{ image: 'a.qcow2', initrd: 'i', cmdline: 'x' }, ['vms.db1.initrd', 'vms.db1.cmdline']],
    [{ kernel: 'k', disk: '1G' }, ['vms.db1.disk']],
    [{ image: 'midplane/vm', disk: '1G' }, ['vms.db1.disk']],
    [{ image: 'midplane/vm', health: { tcp: { port: 80 } } }, ['vms.db1.health']],
  ];
  for (const [vm, paths] of rows) {
    const found = checkVms(parse({ db1: { port, ...vm } }), look);
    assert.deepEqual(
      found.map(({ path }) => path),
      paths,
      JSON.stringify(vm),
    );
  }
  for (const wrong of [
    { memory: '16M' },
    { memory: '100.5K' },
    { cpus: 0 },
    { environment: {} },
    { cmdline: 'a\nb' },
  ]) {
    assert.equal(vmsSchema.safeParse({ db1: { image: 'x', port, ...wrong } }).success, false, JSON.stringify(wrong));
  }
});

test('ports and endpoints come from the VM; nothing is handed into its namespace', () => {
  const vm = { image: 'midplane/vm', port, address: ['10.0.10.5/24'], service: { name: 'db', port: 5432 } };
  assert.deepEqual(deriveVms(parse({ db1: vm })), {
    ports: { db1: { vlan: { access: 'web' }, bridged: true, guest: 'db1', shut: false } },
    services: { db: { endpoints: { db1: { address: '10.0.10.5', port: 5432, labels: {}, guest: 'db1' } } } },
  });
});

test('a user for each VM, out of the way of others', () => {
  const uids = ['a', 'b', 'c'].map((name) => uidOf('02:00:00:00:00:01', name));
  assert.equal(new Set([...uids, uidOf('02:00:00:00:00:02', 'a')]).size, 4);
  for (const uid of uids) assert.ok(uid >= 2_110_000_000 && uid < 2 ** 31);
});
