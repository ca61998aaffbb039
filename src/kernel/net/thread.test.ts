// The addon from several threads at once, and what a thread owes the namespace that it came from.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, readdirSync, readlinkSync, readSync, writeSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { eventually } from '../../../test/fake/eventually.ts';
import { addon } from '../addon.ts';
import { getOffloads, setOffloads } from './ethtool.ts';
import { inNetns, netns } from '../netns.ts';
import { openKernel } from '../open.ts';
import { openTap } from './tap.ts';

const space = `mpt-thread-${process.pid}`;
before(() => netns.add(space));
after(() => netns.remove(space));

const here = (): string => readlinkSync('/proc/thread-self/ns/net');

test('a call in a namespace comes back, also when it throws', () => {
  const own = here();
  assert.notEqual(inNetns(space, here), own);
  assert.equal(here(), own);
  assert.throws(() => inNetns(space, () => assert.fail('inside')), /inside/);
  assert.equal(here(), own);
  assert.notEqual(
    inNetns(space, () => inNetns(space, here)),
    own,
  );
  assert.equal(here(), own);
  assert.throws(() => inNetns(`${space}-not`, here), { code: 'ENOENT' });
  assert.equal(inNetns(undefined, here), own);
});

const worker = `
const { openKernel } = await import(${JSON.stringify(new URL('../open.ts', import.meta.url).href)});
const { parentPort, workerData } = await import('node:worker_threads');
const kernel = openKernel();
const nl = kernel.netlink(workerData);
nl.watch(['link'], (event) => parentPort.postMessage(event.link.name));
const map = kernel.bpf.createMap({ name: 'w', type: 1, keySize: 4, valueSize: 4, maxEntries: 2 });
let code = '';
try { kernel.netlink('mpt-there-is-none'); } catch (error) { code = error.code; }
parentPort.postMessage([nl.links().length, map.lookup(new Uint8Array(4)) === undefined, code]);
setInterval(() => undefined, 1000);
`;

test('workers have their own, and one that is ended while it watches harms nobody', async () => {
  const kernel = openKernel();
  const nl = kernel.netlink(space);
  const before = readdirSync('/proc/self/fd').length;
  for (let round = 0; round < 3; round++) {
    const url = new URL(`data:text/javascript,${encodeURIComponent(worker)}`);
    const workers = [1, 2].map(() => new Worker(url, { workerData: space }));
    const answers = await Promise.all(workers.map((each) => once(each, 'message')));
    assert.deepEqual(answers, [[[1, true, 'ENOENT']], [[1, true, 'ENOENT']]]);
    const heard = Promise.all(workers.map((each) => once(each, 'message')));
    assert.deepEqual(nl.apply([{ op: 'tap-add', name: 'tap0' }]), [undefined]);
    assert.deepEqual(await heard, [['tap0'], ['tap0']]);
    // Events are on their way while the workers end.
    const ended = workers.map((each) => each.terminate());
    nl.apply([{ op: 'link-del', name: 'tap0' }]);
    await Promise.all(ended);
  }
  // What a worker leaves open goes with it.
  await eventually(() => assert.equal(readdirSync('/proc/self/fd').length, before));
  nl.close();
});

test('an exception in a watcher is the process’s to hear, and the watch goes on', async () => {
  const nl = openKernel().netlink(space);
  const names: string[] = [];
  const watch = nl.watch(['link'], (event) => {
    if (event.type === 'link') names.push(event.link.name);
    throw new Error('from a watcher');
  });
  const heard: unknown[] = [];
  const listener = (error: unknown): void => void heard.push(error);
  const others = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', listener);
  nl.apply([
    { op: 'tap-add', name: 'tap1' },
    { op: 'link-del', name: 'tap1' },
  ]);
  for (let i = 0; i < 100 && names.length < 2; i++) await sleep(10);
  process.off('uncaughtException', listener);
  for (const other of others) process.on('uncaughtException', other);
  watch[Symbol.dispose]();
  nl.close();
  assert.ok(names.length >= 2);
  assert.match(String(heard[0]), /from a watcher/);
});

test('a watcher that does not keep up is told so', async () => {
  const nl = openKernel().netlink(space);
  const types = new Set<string>();
  using watch = nl.watch(['link'], (event) => types.add(event.type));
  assert.ok(watch);
  nl.apply([{ op: 'tap-add', name: 'tap2' }]);
  // 4 MiB of messages without a turn of the event loop.
  const toggle = [1500, 1400].map((mtu) => ({ op: 'link-set', name: 'tap2', mtu }) as const);
  for (let i = 0; i < 40; i++) nl.apply(Array.from({ length: 50 }, () => toggle).flat());
  for (let i = 0; i < 200 && !types.has('overrun'); i++) await sleep(10);
  nl.apply([{ op: 'link-del', name: 'tap2' }]);
  nl.close();
  assert.ok(types.has('overrun'));
});

test('offloads of a device', () => {
  const nl = openKernel().netlink(space);
  nl.apply([{ op: 'link-add-veth', name: 'a', peer: 'b' }]);
  setOffloads('a', { tx: false, gro: true, txvlan: false }, space);
  const now = getOffloads('a', space);
  assert.deepEqual([now.tx, now.gro, now.txvlan, now.rxvlan, now.gso], [false, true, false, true, true]);
  setOffloads('a', { tx: true, txvlan: true }, space);
  assert.deepEqual([getOffloads('a', space).tx, getOffloads('a', space).txvlan], [true, true]);
  assert.throws(() => setOffloads('nope', { tx: false }, space), { code: 'ENODEV' });
  assert.throws(() => setOffloads('lo', { rxvlan: true }, space), { code: 'EOPNOTSUPP' });
  nl.apply([{ op: 'link-del', name: 'a' }]);
  nl.close();
});

test('frames go through a tap, behind a virtio-net header', async () => {
  const nl = openKernel().netlink(space);
  nl.apply([{ op: 'tap-add', name: 'tap3' }]);
  const fd = openTap('tap3', space);
  assert.throws(() => openTap('tap3', space), { code: 'EBUSY' });
  assert.throws(() => openTap('tap4', space), { code: 'ENODEV' });
  assert.equal(nl.link('tap4'), undefined);
  nl.apply([{ op: 'link-set', name: 'tap3', up: true }]);
  assert.equal(writeSync(fd, new Uint8Array(10 + 60)), 70);
  for (let i = 0; i < 100 && nl.link('tap3')?.stats.rxPackets === 0; i++) await sleep(5);
  assert.equal(nl.link('tap3')?.stats.rxPackets, 1);
  const frame = new Uint8Array(2048);
  // The stack says hello by IPv6 in its own time.
  const read = (): number => {
    try {
      return readSync(fd, frame);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
      return 0;
    }
  };
  let size = 0;
  for (let i = 0; i < 300 && size === 0; i++) [size] = [read(), await sleep(10)];
  assert.ok(size >= 10 + 14);
  closeSync(fd);
  nl.apply([{ op: 'link-del', name: 'tap3' }]);
  nl.close();
});

test('wrong arguments are refused before they reach the kernel', () => {
  const native = addon();
  for (const fd of [-1, 1.5, Number.NaN, 2 ** 31]) assert.throws(() => native.netlinkReceive(fd), RangeError);
  const no = undefined as never;
  assert.throws(() => native.netlinkReceive(no), TypeError);
  assert.throws(() => native.mapLookup(0, 'key' as never, 4), TypeError);
  assert.throws(() => native.mapLookup(0, new Uint8Array(4), 2 ** 40), RangeError);
  assert.throws(() => native.netnsCall('/run/netns/a\0b', () => 0), RangeError);
  assert.throws(() => native.netnsCall(`/${'x'.repeat(5000)}`, () => 0), RangeError);
  assert.throws(() => native.pollClose({} as never), TypeError);
  assert.throws(() => native.objectMaps({} as never), TypeError);
  assert.throws(() => native.netlinkBatch(0, new Uint8Array(1), 1, new Int32Array(0), []), RangeError);
  assert.throws(() => native.mapUpdateBatch(0, new Uint8Array(3), new Uint8Array(4), 2, 0), RangeError);
});
