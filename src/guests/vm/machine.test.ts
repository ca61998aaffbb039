import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Machine } from './compile.ts';
import { boardOf, machineArgs, trialArgs } from './machine.ts';

const board = boardOf('x64');
assert.ok(board);

const machine: Machine = {
  kernel: '/k',
  cpus: 2,
  memory: 512 * 2 ** 20,
  accel: 'auto',
  mac: '02:00:00:00:00:05',
  uuid: 'u',
  uid: 2_110_000_001,
  seed: { hostname: 'db1', network: '', userData: '' },
};
const files = { qmp: '/run/a,b/qmp', console: '/run/c', consoleLog: '/l', seed: '/s.iso' };
const args = (m: Machine, more: object = {}) =>
  machineArgs('db1', m, { ...files, ...more }, { board, accel: 'tcg', tapFd: 3 });
const after = (list: readonly string[], key: string): string => list[list.indexOf(key) + 1] ?? '';

test('what every machine has', () => {
  const list = args(machine);
  for (const flag of ['-nodefaults', '-no-user-config']) assert.ok(list.includes(flag));
  assert.equal(after(list, '-machine'), 'q35');
  assert.match(after(list, '-sandbox'), /^on,.*spawn=deny/);
  assert.equal(after(list, '-runas'), '2110000001:2110000001');
  assert.equal(after(list, '-m'), '512');
  assert.equal(after(list, '-netdev'), 'tap,id=net0,fd=3');
  assert.equal(after(list, '-append'), 'console=ttyS0 quiet');
  assert.ok(list.includes('virtio-net-pci,netdev=net0,mac=02:00:00:00:00:05,romfile='));
  assert.ok(list.includes('socket,id=qmp,path=/run/a,,b/qmp,server=on,wait=off'), 'commas are doubled');
});

test('disk, initrd and MTU where it has them', () => {
  const list = args({ ...machine, initrd: '/i', mtu: 9000, cmdline: '' }, { overlay: '/o,1.qcow2' });
  assert.equal(after(list, '-initrd'), '/i');
  assert.equal(after(list, '-append'), '');
  assert.ok(list.some((arg) => arg.endsWith('host_mtu=9000')));
  const nodes = list.filter((_, i) => list[i - 1] === '-blockdev').map((text) => JSON.parse(text) as object);
  assert.deepEqual(nodes, [
    {
      driver: 'qcow2',
      'node-name': 'disk',
      'read-only': false,
      file: { driver: 'file', filename: '/o,1.qcow2', 'read-only': false },
      discard: 'unmap',
    },
    {
      driver: 'raw',
      'node-name': 'seed',
      'read-only': true,
      file: { driver: 'file', filename: '/s.iso', 'read-only': true },
    },
  ]);
  const { cpus, memory, accel, mac, uuid, uid, seed } = machine;
  const bare = { cpus, memory, accel, mac, uuid, uid, seed };
  assert.ok(!args(bare).includes('-kernel') && !args(bare).includes('-append'));
});

test('the trial is of the processor that a VM would get', () => {
  const kvm = machineArgs('db1', machine, files, { board, accel: 'kvm', tapFd: 3 });
  assert.equal(after(kvm, '-cpu'), after(trialArgs(board, 'kvm', '/k', '/i'), '-cpu'));
  assert.equal(boardOf('mips'), undefined);
});
