// What everyone may rely on, tried on the fake kernel and on the real one, each in namespaces of its own.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fakeKernel } from '../../test/fake/kernel.ts';
import type { BpfMapCreate, BpfObject, BpfProgram } from './bpf.ts';
import type { Kernel } from './kernel.ts';
import type { Netlink, NetlinkEvent, Op, Route } from './netlink.ts';
import { openKernel } from './open.ts';

const protocol = 213;
const one = `mpt-c1-${process.pid}`;
const two = `mpt-c2-${process.pid}`;

const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const code = (name: string) => (error: unknown) => (error as { code?: string }).code === name;

const source = `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct key { __u32 id; };
struct row { __u64 seen; __u32 port; __u32 pad; };
const volatile __u32 answer = 1;
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 4); __type(key, struct key); __type(value, struct row); }
	rows SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_DEVMAP); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); }
	devices SEC(".maps");
SEC("tc") int first(struct __sk_buff *skb) { return answer == 9 ? bpf_map_lookup_elem(&rows, &(struct key){ 1 }) != 0 : 0; }
SEC("tc") int second(struct __sk_buff *skb) { return 1; }
SEC("xdp") int on_nic(struct xdp_md *ctx) { return bpf_redirect_map(&devices, 0, XDP_PASS); }
char _license[] SEC("license") = "GPL";
`;
const objectMaps: readonly BpfMapCreate[] = [
  { name: 'rows', type: 1, keySize: 4, valueSize: 16, maxEntries: 4 },
  { name: 'devices', type: 14, keySize: 4, valueSize: 4, maxEntries: 4 },
];

/** A kernel under test, and a file that it can load. */
interface Bench {
  readonly kernel: Kernel;
  readonly file: string;
  readonly pins: string;
  end(): void;
}

function fakeBench(): Bench {
  const kernel = fakeKernel();
  const programs = { first: undefined, second: undefined, on_nic: undefined };
  kernel.bpf.defineObject('/contract.bpf.o', { maps: objectMaps, programs, rodata: { answer: 4 } });
  return { kernel, file: '/contract.bpf.o', pins: '/sys/fs/bpf/mpt-contract', end: () => undefined };
}

function realBench(): Bench {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-contract-'));
  const file = join(folder, 'contract.bpf.o');
  writeFileSync(join(folder, 'contract.bpf.c'), source);
  const include = `-I/usr/include/${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu`;
  const flags = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', include, '-c'];
  execFileSync('clang-19', [...flags, join(folder, 'contract.bpf.c'), '-o', file]);
  const pins = `/sys/fs/bpf/mpt-contract-${process.pid}`;
  const end = (): void => {
    rmSync(folder, { recursive: true });
    rmSync(pins, { recursive: true, force: true });
  };
  return { kernel: openKernel(), file, pins, end };
}

function route(prefix: string, more: Partial<Route> = {}): Op {
  const base = { prefix, table: 254, protocol, metric: 0, type: 'unicast', nextHops: [] } as const;
  return { op: 'route-put', route: { ...base, ...more } };
}

async function until(what: string, met: () => boolean): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (met()) return;
    await sleep(10);
  }
  assert.fail(`never: ${what}`);
}

for (const [world, open] of [
  ['fake', fakeBench],
  ['real', realBench],
] as const) {
  describe(`the ${world} kernel`, () => {
    let bench: Bench;
    let kernel: Kernel;
    let nl: Netlink;
    let far: Netlink;
    const ok = (...ops: Op[]): void => {
      const words: string[] = [];
      const results = nl.apply(ops, (i, text) => words.push(`${i}: ${text}`));
      assert.deepEqual(
        results,
        ops.map(() => undefined),
        words.join('; '),
      );
    };
    const refused = (...pairs: readonly (readonly [string, Op])[]): void => {
      const results = nl.apply(pairs.map(([, op]) => op));
      assert.deepEqual(
        results.map((result, i) => [result, pairs[i]?.[1]]),
        pairs,
      );
    };

    before(() => {
      bench = open();
      kernel = bench.kernel;
      kernel.netns.add(one);
      kernel.netns.add(two);
      nl = kernel.netlink(one);
      far = kernel.netlink(two);
    });
    after(() => {
      nl.close();
      far.close();
      kernel.netns.remove(one);
      kernel.netns.remove(two);
      bench.end();
    });

    test('a namespace is listed, has lo up, and exists once', () => {
      assert.ok(kernel.netns.list().includes(one));
      assert.deepEqual(
        nl.links().map(({ index, name, up, carrier, kind }) => ({ index, name, up, carrier, kind })),
        [{ index: 1, name: 'lo', up: true, carrier: true, kind: undefined }],
      );
      assert.throws(() => kernel.netns.add(one), code('EEXIST'));
      assert.throws(() => kernel.netns.add('a/b'), code('EINVAL'));
      assert.throws(() => kernel.netns.remove(`${one}-not`), code('ENOENT'));
      assert.throws(() => kernel.netlink(`${one}-not`), code('ENOENT'));
    });

    test('a namespace that is held outlives its name, and gets it again with all that is in it', () => {
      const name = `${one}-held`;
      kernel.netns.add(name);
      assert.throws(() => kernel.netns.hold(`${one}-not`), code('ENOENT'));
      const held = kernel.netns.hold(name);
      assert.throws(() => held.nameAgain(), code('EEXIST'));
      const make = { op: 'link-add-veth', name: 'kept', peer: 'eth0', peerNetns: name } as const;
      assert.deepEqual(nl.apply([make]), [undefined]);
      kernel.netns.remove(name);
      assert.ok(!kernel.netns.list().includes(name));
      assert.ok(nl.link('kept'), 'its devices are still there');
      held.nameAgain();
      const inside = kernel.netlink(name);
      assert.equal(inside.link('eth0')?.index, nl.link('kept')?.peer);
      inside.close();
      held[Symbol.dispose]();
      assert.ok(nl.link('kept'), 'the name alone keeps it');
      assert.deepEqual(nl.apply([{ op: 'link-del', name: 'kept' }]), [undefined]);
      kernel.netns.remove(name);
    });

    test('a veth is born with its peer in another namespace, and both go together', () => {
      const op = { op: 'link-add-veth', name: 'v1', peer: 'eth0', peerNetns: two, mtu: 1400 } as const;
      ok({ ...op, mac: '02:00:00:00:00:01', peerMac: '02:00:00:00:00:02' });
      const near = nl.link('v1');
      const peer = far.link('eth0');
      assert.ok(near && peer);
      assert.equal(nl.link('eth0'), undefined);
      assert.deepEqual(
        [near.mac, near.mtu, near.kind, near.peer, near.up, near.alias, near.peerElsewhere],
        ['02:00:00:00:00:01', 1400, 'veth', peer.index, false, undefined, true],
      );
      assert.deepEqual([peer.mac, peer.mtu, peer.peer], ['02:00:00:00:00:02', 1400, near.index]);
      ok({ op: 'link-del', name: 'v1' });
      assert.equal(far.link('eth0'), undefined);
    });

    test('devices that can not be made or found', () => {
      ok({ op: 'link-add-veth', name: 'a', peer: 'b' });
      refused(
        ['EEXIST', { op: 'link-add-veth', name: 'a', peer: 'c' }],
        ['EEXIST', { op: 'link-add-veth', name: 'c', peer: 'b' }],
        ['EEXIST', { op: 'link-add-veth', name: 'c', peer: 'lo', peerNetns: two }],
        ['ENOENT', { op: 'link-add-veth', name: 'c', peer: 'd', peerNetns: `${one}-not` }],
        ['EINVAL', { op: 'link-add-veth', name: 'sixteen-letters-', peer: 'd' }],
        ['EINVAL', { op: 'link-add-veth', name: 'c', peer: 'd', mac: 'not a mac' }],
        ['EEXIST', { op: 'tap-add', name: 'a' }],
        ['ENODEV', { op: 'link-set', name: 'nope', up: true }],
        ['ENODEV', { op: 'link-del', name: 'nope' }],
        ['EOPNOTSUPP', { op: 'link-del', name: 'lo' }],
        ['ENOENT', { op: 'link-move', name: 'a', netns: `${one}-not` }],
        ['ENODEV', { op: 'link-move', name: 'nope', netns: two }],
        ['EINVAL', { op: 'link-set', name: 'a', mtu: 10 }],
        ['EEXIST', { op: 'link-set', name: 'a', rename: 'b' }],
        ['EINVAL', { op: 'link-set', name: 'a', rename: 'a/b' }],
        ['EADDRNOTAVAIL', { op: 'link-set', name: 'a', mac: '01:00:00:00:00:01' }],
      );
      assert.deepEqual(
        nl.links().map(({ name }) => name),
        ['lo', 'b', 'a'],
      );
      ok({ op: 'link-del', name: 'b' });
    });

    test('a link is changed in one step, and moved under another name', () => {
      ok({ op: 'link-add-veth', name: 'a', peer: 'b' }, { op: 'link-set', name: 'b', up: true });
      assert.equal(nl.link('b')?.carrier, false);
      const set = { op: 'link-set', name: 'a', up: true, mtu: 1300, mac: '02:00:00:00:00:0a' } as const;
      ok({ ...set, alias: 'midplane:t:netdev/a', rename: 'c' });
      const { mtu, mac, alias, up, carrier } = nl.link('c') ?? {};
      assert.deepEqual([mtu, mac, alias, up, carrier], [1300, '02:00:00:00:00:0a', 'midplane:t:netdev/a', true, true]);
      assert.equal(nl.link('b')?.carrier, true);
      ok({ op: 'link-set', name: 'c', alias: '' });
      assert.equal(nl.link('c')?.alias, undefined);
      ok({ op: 'link-move', name: 'c', netns: two, rename: 'moved' });
      assert.equal(nl.link('c'), undefined);
      assert.equal(far.link('moved')?.mtu, 1300);
      assert.equal(nl.link('b')?.peerElsewhere, true);
      ok({ op: 'link-del', name: 'b' });
      assert.equal(far.link('moved'), undefined);
    });

    test('a tap', () => {
      ok({ op: 'tap-add', name: 'tap0', owner: 1000 }, { op: 'link-set', name: 'tap0', up: true });
      refused(['EEXIST', { op: 'tap-add', name: 'tap0' }]);
      const { kind, up, carrier } = nl.link('tap0') ?? {};
      assert.deepEqual([kind, up, carrier], ['tun', true, false]);
      ok({ op: 'link-del', name: 'tap0' });
      assert.equal(nl.link('tap0'), undefined);
    });

    test('a batch makes a link and uses it; what fails stops nothing', () => {
      const results = nl.apply([
        { op: 'link-add-veth', name: 'a', peer: 'b' },
        { op: 'address-add', dev: 'a', cidr: '10.0.0.1/24', protocol },
        { op: 'address-add', dev: 'nope', cidr: '10.0.0.1/24' },
        { op: 'link-set', name: 'a', rename: 'c', up: true },
        { op: 'address-add', dev: 'a', cidr: '10.0.1.1/24' },
        { op: 'address-add', dev: 'c', cidr: '10.0.2.1/24', protocol },
      ]);
      assert.deepEqual(results, [undefined, undefined, 'ENODEV', undefined, 'ENODEV', undefined]);
      assert.deepEqual(ours(nl), ['10.0.0.1/24', '10.0.2.1/24']);
      ok({ op: 'link-del', name: 'c' });
      assert.deepEqual(ours(nl), []);
      assert.deepEqual(nl.apply([]), []);
    });

    test('many deletions at once: each has its own result, and one that can not go stops none', () => {
      ok({ op: 'link-add-veth', name: 'a', peer: 'b' }, { op: 'link-add-veth', name: 'c', peer: 'd' });
      ok({ op: 'tap-add', name: 'tap0' });
      const gone = ['lo', 'a', 'nope', 'tap0', 'c'].map((name) => ({ op: 'link-del', name }) as const);
      assert.deepEqual(nl.apply(gone), ['EOPNOTSUPP', undefined, 'ENODEV', undefined, undefined]);
      assert.deepEqual(
        nl.links().map(({ name }) => name),
        ['lo'],
      );
      ok({ op: 'tap-add', name: 'tap0' }, { op: 'tap-add', name: 'tap1' });
      ok({ op: 'link-del', name: 'tap0' }, { op: 'link-del', name: 'tap1' }, { op: 'tap-add', name: 'tap0' });
      ok({ op: 'link-del', name: 'tap0' });
    });

    test('addresses', () => {
      ok({ op: 'link-add-veth', name: 'a', peer: 'b' }, { op: 'link-set', name: 'a', up: true });
      ok({ op: 'address-add', dev: 'a', cidr: '10.0.0.1/24', protocol });
      ok({ op: 'address-add', dev: 'a', cidr: '10.0.0.1/25', protocol });
      ok({ op: 'address-add', dev: 'a', cidr: 'FD00:0::1/64', protocol, noDad: true });
      assert.deepEqual(ours(nl), ['10.0.0.1/24', '10.0.0.1/25', 'fd00::1/64']);
      assert.ok(nl.addresses().every((address) => address.protocol !== protocol || address.scope === 0));
      refused(
        ['EEXIST', { op: 'address-add', dev: 'a', cidr: '10.0.0.1/24' }],
        ['EEXIST', { op: 'address-add', dev: 'a', cidr: 'fd00::1/65' }],
        ['ENODEV', { op: 'address-add', dev: 'nope', cidr: '10.9.0.1/24' }],
        ['EINVAL', { op: 'address-add', dev: 'a', cidr: '10.9.0.1' }],
        ['EADDRNOTAVAIL', { op: 'address-del', dev: 'a', cidr: '10.0.0.2/24' }],
        ['EADDRNOTAVAIL', { op: 'address-del', dev: 'a', cidr: 'fd00::2/64' }],
      );
      const prefixes = nl.routes({ table: 254 }).map(({ prefix }) => prefix);
      assert.ok(prefixes.includes('10.0.0.0/24') && prefixes.includes('fd00::/64'), prefixes.join(' '));
      ok({ op: 'address-del', dev: 'a', cidr: '10.0.0.1/25' }, { op: 'address-del', dev: 'a', cidr: 'fd00::1/64' });
      assert.deepEqual(ours(nl), ['10.0.0.1/24']);
      ok({ op: 'link-del', name: 'a' });
    });

    test('routes: put replaces by prefix, table and metric; a filter chooses; del wants the protocol', () => {
      ok({ op: 'link-add-veth', name: 'a', peer: 'b' });
      const dev = nl.link('a')?.index ?? 0;
      refused(
        ['ENETDOWN', route('10.9.0.0/16', { nextHops: [{ dev }] })],
        ['ENODEV', route('10.9.0.0/16', { nextHops: [{ dev: 4711 }] })],
        ['ENODEV', route('10.9.0.0/16')],
      );
      ok({ op: 'link-set', name: 'a', up: true }, { op: 'link-set', name: 'b', up: true });
      ok(
        { op: 'address-add', dev: 'a', cidr: '10.0.0.1/24' },
        { op: 'address-add', dev: 'a', cidr: 'fd00::1/64', noDad: true },
      );
      ok(
        route('0.0.0.0/0', { nextHops: [{ via: '10.0.0.2' }] }),
        route('10.1.2.3/16', { nextHops: [{ dev }], metric: 5 }),
        route('10.2.0.0/16', { nextHops: [{ via: '10.0.0.2', weight: 3 }, { via: '10.0.0.3' }] }),
        route('10.3.0.0/16', { type: 'blackhole' }),
        route('10.4.0.0/16', { nextHops: [{ via: '192.0.2.1', dev, onlink: true }] }),
        route('0.0.0.0/0', { type: 'local', table: 1000, nextHops: [{ dev: 1 }] }),
        route('fd01::/32', { nextHops: [{ via: 'fd00::2' }] }),
        route('fd02::/32', { type: 'unreachable', metric: 7 }),
      );
      refused(
        ['ENETUNREACH', route('10.9.0.0/16', { nextHops: [{ via: '192.0.2.1' }] })],
        ['EHOSTUNREACH', route('fd09::/16', { nextHops: [{ via: 'fd77::1' }] })],
        ['EINVAL', route('10.9.0.0', { type: 'blackhole' })],
        ['EINVAL', route('10.9.0.0/16', { type: 'other' })],
      );
      const base = { table: 254, protocol, metric: 0, type: 'unicast' };
      assert.deepEqual(sortedRoutes(nl.routes({ protocol })), [
        { ...base, prefix: '0.0.0.0/0', nextHops: [{ via: '10.0.0.2', dev }] },
        { ...base, prefix: '0.0.0.0/0', table: 1000, type: 'local', nextHops: [{ dev: 1 }] },
        { ...base, prefix: '10.1.0.0/16', metric: 5, nextHops: [{ dev }] },
        {
          ...base,
          prefix: '10.2.0.0/16',
          nextHops: [
            { via: '10.0.0.2', dev, weight: 3 },
            { via: '10.0.0.3', dev, weight: 1 },
          ],
        },
        { ...base, prefix: '10.3.0.0/16', type: 'blackhole', nextHops: [] },
        { ...base, prefix: '10.4.0.0/16', nextHops: [{ via: '192.0.2.1', dev, onlink: true }] },
        { ...base, prefix: 'fd01::/32', metric: 1024, nextHops: [{ via: 'fd00::2', dev }] },
        { ...base, prefix: 'fd02::/32', metric: 7, type: 'unreachable', nextHops: [] },
      ]);
      assert.equal(nl.routes({ table: 1000 }).length, 1);
      assert.deepEqual(nl.routes({ table: 4711 }), []);
      ok(route('0.0.0.0/0', { nextHops: [{ via: '10.0.0.4' }] }));
      const defaults = nl.routes({ protocol, table: 254 }).filter(({ prefix }) => prefix === '0.0.0.0/0');
      assert.deepEqual(defaults[0]?.nextHops, [{ via: '10.0.0.4', dev }]);
      assert.equal(defaults.length, 1);
      const key = { table: 254, protocol, metric: 0 };
      refused(
        ['ESRCH', { op: 'route-del', route: { ...key, prefix: '10.77.0.0/16' } }],
        ['ESRCH', { op: 'route-del', route: { ...key, prefix: '0.0.0.0/0', protocol: protocol + 1 } }],
        ['ESRCH', { op: 'route-del', route: { ...key, prefix: '10.1.0.0/16', metric: 6 } }],
      );
      ok({ op: 'route-del', route: { ...key, prefix: '10.1.0.0/16', metric: 5 } });
      ok({ op: 'route-del', route: { ...key, prefix: '0.0.0.0/0', table: 1000 } });
      ok({ op: 'route-del', route: { ...key, prefix: 'fd02::/32', metric: 7 } });
      // The device takes its routes with it; those to nowhere stay.
      ok({ op: 'link-set', name: 'a', up: false });
      assert.deepEqual(
        nl.routes({ protocol }).map(({ prefix }) => prefix),
        ['10.3.0.0/16'],
      );
      ok({ op: 'route-del', route: { ...key, prefix: '10.3.0.0/16' } }, { op: 'link-del', name: 'a' });
    });

    test('rules', () => {
      const steer = {
        family: 4,
        priority: 100,
        table: 1000,
        protocol,
        fwmark: 0x20000,
        fwmask: 0x20000,
        iif: 'lo',
      } as const;
      const plain = { family: 6, priority: 200, table: 300, protocol } as const;
      ok({ op: 'rule-add', rule: steer }, { op: 'rule-add', rule: plain });
      refused(
        ['EEXIST', { op: 'rule-add', rule: steer }],
        ['ENOENT', { op: 'rule-del', rule: { ...steer, table: 7 } }],
      );
      const of = nl.rules().filter((rule) => rule.protocol === protocol);
      assert.deepEqual(of, [steer, plain]);
      ok({ op: 'rule-del', rule: steer }, { op: 'rule-del', rule: plain });
      assert.deepEqual(
        nl.rules().map(({ family, priority, table }) => [family, priority, table]),
        [
          [4, 0, 255],
          [4, 32766, 254],
          [4, 32767, 253],
          [6, 0, 255],
          [6, 32766, 254],
        ],
      );
    });

    test('neighbors', () => {
      ok({ op: 'link-add-veth', name: 'a', peer: 'b' }, { op: 'link-set', name: 'a', up: true });
      const index = nl.link('a')?.index ?? 0;
      ok({ op: 'neighbor-put', dev: 'a', address: '10.0.0.2', mac: '02:00:00:00:00:02' });
      ok({ op: 'neighbor-put', dev: 'a', address: 'fd00::2', mac: '02:00:00:00:00:02' });
      ok({ op: 'neighbor-put', dev: 'a', address: '10.0.0.2', mac: '02:00:00:00:00:03' });
      const permanent = nl.neighbors().filter(({ state }) => state === 'permanent');
      assert.deepEqual(permanent, [
        { index, address: '10.0.0.2', mac: '02:00:00:00:00:03', state: 'permanent' },
        { index, address: 'fd00::2', mac: '02:00:00:00:00:02', state: 'permanent' },
      ]);
      refused(
        ['ENOENT', { op: 'neighbor-del', dev: 'a', address: '10.0.0.9' }],
        ['ENODEV', { op: 'neighbor-put', dev: 'nope', address: '10.0.0.9', mac: '02:00:00:00:00:03' }],
        ['EINVAL', { op: 'neighbor-put', dev: 'a', address: '10.0.0', mac: '02:00:00:00:00:03' }],
      );
      ok({ op: 'neighbor-del', dev: 'a', address: '10.0.0.2' }, { op: 'link-del', name: 'a' });
      assert.deepEqual(
        nl.neighbors().filter(({ state }) => state === 'permanent'),
        [],
      );
    });

    test('sysctls are each namespace’s own, and come and go with a device', () => {
      const { sysctl } = kernel;
      assert.equal(sysctl.read('net.ipv4.ip_forward', one), '0');
      sysctl.write('net.ipv4.ip_forward', '1', one);
      assert.equal(sysctl.read('net/ipv4/ip_forward', one), '1');
      assert.equal(sysctl.read('net.ipv4.ip_forward', two), '0');
      assert.equal(sysctl.read('net.ipv4.conf.all.forwarding', one), '1');
      assert.equal(sysctl.read('net.ipv4.no_such_key', one), undefined);
      assert.throws(() => sysctl.write('net.ipv4.ip_forward', 'abc', one), code('EINVAL'));
      assert.throws(() => sysctl.write('net.ipv4.no_such_key', '1', one), code('ENOENT'));
      assert.throws(() => sysctl.read('kernel.hostname', one), code('EINVAL'));
      assert.throws(() => sysctl.read('net/ipv4/../../kernel/hostname', one), code('EINVAL'));
      ok({ op: 'link-add-veth', name: 'a.1', peer: 'b' });
      sysctl.write('net/ipv6/conf/a.1/disable_ipv6', '1', one);
      assert.equal(sysctl.read('net.ipv6.conf.a/1.disable_ipv6', one), '1');
      assert.equal(sysctl.read('net.ipv6.conf.b.disable_ipv6', one), '0');
      ok({ op: 'link-del', name: 'b' });
      assert.equal(sysctl.read('net/ipv6/conf/a.1/disable_ipv6', one), undefined);
      sysctl.write('net.ipv4.ip_forward', '0', one);
    });

    test('a watcher hears of links, addresses, routes and neighbors until it is disposed', async () => {
      const events: NetlinkEvent[] = [];
      const watch = nl.watch(['link', 'address', 'route', 'neighbor'], (event) => events.push(event));
      const linksOnly: NetlinkEvent[] = [];
      using links = nl.watch(['link'], (event) => linksOnly.push(event));
      assert.ok(links);
      ok(
        { op: 'link-add-veth', name: 'a', peer: 'b' },
        { op: 'link-set', name: 'a', up: true },
        { op: 'address-add', dev: 'a', cidr: '10.0.0.1/24', protocol },
        route('10.3.0.0/16', { type: 'blackhole' }),
        { op: 'neighbor-put', dev: 'a', address: '10.0.0.2', mac: '02:00:00:00:00:02' },
        { op: 'route-del', route: { prefix: '10.3.0.0/16', table: 254, protocol, metric: 0 } },
        { op: 'link-del', name: 'a' },
      );
      const gone = (event: NetlinkEvent): boolean => event.type === 'link' && event.gone && event.link.name === 'a';
      await until('the link is gone', () => events.some(gone) && linksOnly.some(gone));
      const seen = (type: string, is: boolean): boolean =>
        events.some((event) => event.type === type && event.type !== 'overrun' && event.gone === is);
      for (const type of ['link', 'route', 'address', 'neighbor']) assert.ok(seen(type, false), type);
      assert.ok(seen('route', true));
      assert.ok(linksOnly.every(({ type }) => type === 'link'));
      watch[Symbol.dispose]();
      watch[Symbol.dispose]();
      const before = events.length;
      ok({ op: 'link-add-veth', name: 'a', peer: 'b' }, { op: 'link-del', name: 'a' });
      await until('the other still hears', () => linksOnly.filter(gone).length === 2);
      assert.equal(events.length, before);
    });

    test('tables', () => {
      const { bpf } = kernel;
      const sizes = { keySize: 4, valueSize: 4, maxEntries: 2 };
      using hash = bpf.createMap({ ...sizes, name: 'hash', type: 1 });
      assert.equal(hash.lookup(u32(1)), undefined);
      hash.update(u32(1), u32(11));
      hash.update(u32(1), u32(12), 2);
      assert.throws(() => hash.update(u32(1), u32(13), 1), code('EEXIST'));
      assert.throws(() => hash.update(u32(2), u32(13), 2), code('ENOENT'));
      assert.deepEqual(hash.lookup(u32(1)), u32(12));
      hash.updateBatch({ count: 2, keys: u32(1, 2), values: u32(21, 22) });
      assert.throws(() => hash.update(u32(3), u32(23)), code('E2BIG'));
      const rows = hash.dump();
      assert.equal(rows.count, 2);
      assert.deepEqual([rows.keys.length, rows.values.length], [8, 8]);
      assert.deepEqual([hash.delete(u32(1)), hash.delete(u32(1))], [true, false]);
      assert.deepEqual(hash.dump(), { count: 1, keys: u32(2), values: u32(22) });
      assert.throws(() => hash.update(u32(1, 2), u32(1)), RangeError);
      assert.throws(() => hash.update(u32(1), u32(1, 2)), RangeError);
      assert.throws(() => hash.lookup(new Uint8Array(0)), RangeError);
      assert.throws(() => hash.updateBatch({ count: 2, keys: u32(1), values: u32(1) }), RangeError);

      using array = bpf.createMap({ ...sizes, name: 'array', type: 2 });
      assert.deepEqual(array.dump(), { count: 2, keys: u32(0, 1), values: u32(0, 0) });
      assert.equal(array.dump('used').count, 0);
      array.update(u32(1), u32(7));
      assert.deepEqual(array.dump('used'), { count: 1, keys: u32(1), values: u32(7) });
      array.update(u32(1), u32(0));
      array.update(u32(1), u32(5));
      assert.throws(() => array.update(u32(2), u32(5)), code('E2BIG'));
      assert.throws(() => array.delete(u32(1)), code('EINVAL'));
      assert.deepEqual([array.lookup(u32(1)), array.lookup(u32(2))], [u32(5), undefined]);

      using counters = bpf.createMap({ ...sizes, name: 'counters', type: 6 });
      assert.equal(counters.perCpu, true);
      const all = new Uint8Array(8 * bpf.possibleCpus).fill(1);
      counters.update(u32(0), all);
      assert.equal(counters.lookup(u32(0))?.length, all.length);
      assert.equal(counters.dump().values.length, 2 * all.length);

      hash.close();
      hash.close();
      assert.throws(() => hash.lookup(u32(1)), code('EBADF'));
      assert.throws(() => bpf.createMap({ ...sizes, name: 'none', type: 1, maxEntries: 0 }), code('EINVAL'));
    });

    const load = (pins?: Record<string, string>): BpfObject =>
      kernel.bpf.load({ file: bench.file, rodata: { answer: u32(9) }, ...(pins === undefined ? {} : { pins }) });
    const programOf = (object: BpfObject, name: string): BpfProgram => {
      const program = object.programs.get(name);
      assert.ok(program, name);
      return program;
    };

    test('a pinned table outlives its object and is adopted with its rows; another one is refused', () => {
      const { bpf } = kernel;
      const pins = { rows: `${bench.pins}/maps/rows@v1`, devices: `${bench.pins}/maps/devices@v1` };
      const row = new Uint8Array(16).fill(7);
      {
        using object = load(pins);
        object.maps.get('rows')?.update(u32(1), row);
        assert.throws(() => object.maps.get('rows')?.pin(pins.rows), code('EEXIST'));
        assert.throws(() => object.maps.get('rows')?.pin(`${bench.pins}/maps/a.b`), code('EPERM'));
      }
      assert.deepEqual(bpf.pins(`${bench.pins}/maps`), ['devices@v1', 'rows@v1']);
      using again = load(pins);
      assert.deepEqual(again.maps.get('rows')?.lookup(u32(1)), row);
      using direct = bpf.openMap(pins.rows);
      assert.equal(direct?.id, again.maps.get('rows')?.id);
      assert.throws(() => load({ rows: pins.devices }), code('EINVAL'));
      assert.throws(() => load({ nothing: pins.rows }), code('ENOENT'));
      assert.throws(() => bpf.load({ file: bench.file, rodata: { answer: u32(1, 2) } }), code('EINVAL'));
      assert.throws(() => bpf.load({ file: bench.file, rodata: { question: u32(1) } }), code('ENOENT'));
      assert.throws(() => bpf.load({ file: `${bench.file}.not` }), code('ENOENT'));
      assert.throws(() => bpf.openLink(pins.rows), code('EINVAL'));
      assert.deepEqual([bpf.unpin(pins.rows), bpf.unpin(pins.rows), bpf.unpin(pins.devices)], [true, false, true]);
      assert.equal(bpf.openMap(pins.rows), undefined);
      assert.deepEqual(bpf.pins(`${bench.pins}/no-folder`), []);
    });

    test('links: attach, find, update, adopt by pin, severed when the device goes', () => {
      const { bpf } = kernel;
      ok({ op: 'link-add-veth', name: 'a', peer: 'b' });
      const ifindex = nl.link('a')?.index ?? 0;
      using object = load();
      const [first, second] = [programOf(object, 'first'), programOf(object, 'second')];
      assert.deepEqual(bpf.query(ifindex, 'tcx-ingress', one), []);
      assert.throws(() => bpf.attach(first, 4711, 'tcx-ingress', one), code('ENODEV'));
      const link = bpf.attach(first, ifindex, 'tcx-ingress', one);
      assert.throws(() => bpf.attach(first, ifindex, 'tcx-ingress', one), code('EEXIST'));
      using other = bpf.attach(second, ifindex, 'tcx-ingress', one);
      using egress = bpf.attach(first, ifindex, 'tcx-egress', one);
      assert.notEqual(other.info().id, egress.info().id);
      using xdp = bpf.attach(programOf(object, 'on_nic'), ifindex, 'xdp', one);
      assert.throws(() => bpf.attach(programOf(object, 'on_nic'), ifindex, 'xdp', one), code('EBUSY'));
      const on = (hook: 'xdp' | 'tcx-ingress' | 'tcx-egress'): unknown[] =>
        bpf.query(ifindex, hook, one).map(({ programId, tag, mode }) => [programId, tag, mode]);
      assert.deepEqual(on('tcx-ingress'), [
        [first.id, first.tag, 'tcx'],
        [second.id, second.tag, 'tcx'],
      ]);
      assert.deepEqual(on('xdp'), [[xdp.info().programId, programOf(object, 'on_nic').tag, 'native']]);
      const pin = `${bench.pins}/links/1@tcx-ingress`;
      link.pin(pin);
      link.close();
      link.close();
      assert.throws(() => link.info(), code('EBADF'));
      using adopted = bpf.openLink(pin);
      assert.ok(adopted);
      assert.deepEqual([adopted.info().ifindex, adopted.info().programId], [ifindex, first.id]);
      using fresh = load();
      adopted.update(programOf(fresh, 'second'));
      assert.equal(adopted.info().programId, programOf(fresh, 'second').id);
      ok({ op: 'link-del', name: 'a' });
      assert.equal(adopted.info().ifindex, 0);
      assert.throws(() => adopted.update(first), code('ENOLINK'));
      assert.throws(() => bpf.query(ifindex, 'tcx-ingress', one), code('ENODEV'));
      assert.equal(bpf.unpin(pin), true);
      assert.equal(bpf.openLink(pin), undefined);
    });

    test('a link without descriptor and pin lets go of its hook', () => {
      const { bpf } = kernel;
      ok({ op: 'link-add-veth', name: 'a', peer: 'b' });
      const ifindex = nl.link('a')?.index ?? 0;
      using object = load();
      const link = bpf.attach(programOf(object, 'first'), ifindex, 'tcx-ingress', one);
      assert.equal(bpf.query(ifindex, 'tcx-ingress', one).length, 1);
      link.close();
      assert.equal(bpf.query(ifindex, 'tcx-ingress', one).length, 0);
      ok({ op: 'link-del', name: 'a' });
    });
  });
}

function ours(nl: Netlink): string[] {
  return nl
    .addresses()
    .filter((address) => address.protocol === protocol)
    .map(({ cidr }) => cidr)
    .toSorted();
}

function sortedRoutes(routes: readonly Route[]): Route[] {
  return routes.toSorted((a, b) => (a.prefix === b.prefix ? a.table - b.table : a.prefix < b.prefix ? -1 : 1));
}

test('the fake: an op fails on demand, once; hardware comes, loses its cable and goes', async () => {
  const kernel = fakeKernel();
  const nl = kernel.netlink();
  const events: NetlinkEvent[] = [];
  using watch = nl.watch(['link'], (event) => events.push(event));
  assert.ok(watch);
  kernel.failOp(2, 'ENOSPC');
  const op = { op: 'link-add-veth', name: 'a', peer: 'b' } as const;
  assert.deepEqual(nl.apply([op, { op: 'link-del', name: 'a' }]), [undefined, 'ENOSPC']);
  assert.deepEqual(nl.apply([{ op: 'link-del', name: 'a' }]), [undefined]);
  assert.equal(kernel.ops.length, 3);
  kernel.addDevice('eth1', { mac: '02:00:00:00:00:09' });
  assert.deepEqual(nl.apply([{ op: 'link-set', name: 'eth1', up: true }]), [undefined]);
  assert.equal(nl.link('eth1')?.carrier, true);
  kernel.setCarrier('eth1', false);
  assert.equal(nl.link('eth1')?.carrier, false);
  kernel.removeDevice('eth1');
  kernel.overrun();
  await until('the overrun', () => events.at(-1)?.type === 'overrun');
});
