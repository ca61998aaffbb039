// Namespaces, devices, and what a watcher hears of them, on the fake kernel and on the real one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { code, one, onEachKernel, ours, protocol, route, two, until } from '../../test/fake/contract.ts';
import { fakeKernel } from '../../test/fake/kernel.ts';
import type { NetlinkEvent } from './netlink.ts';

onEachKernel((its) => {
  test('a namespace is listed, has lo up, and exists once', () => {
    assert.ok(its.kernel.netns.list().includes(one));
    assert.deepEqual(
      its.nl.links().map(({ index, name, up, carrier, kind }) => ({ index, name, up, carrier, kind })),
      [{ index: 1, name: 'lo', up: true, carrier: true, kind: undefined }],
    );
    assert.throws(() => its.kernel.netns.add(one), code('EEXIST'));
    assert.throws(() => its.kernel.netns.add('a/b'), code('EINVAL'));
    assert.throws(() => its.kernel.netns.remove(`${one}-not`), code('ENOENT'));
    assert.throws(() => its.kernel.netlink(`${one}-not`), code('ENOENT'));
  });

  test('a namespace that is held outlives its name, and gets it again with all that is in it', () => {
    const name = `${one}-held`;
    its.kernel.netns.add(name);
    assert.throws(() => its.kernel.netns.hold(`${one}-not`), code('ENOENT'));
    const held = its.kernel.netns.hold(name);
    assert.throws(() => held.nameAgain(), code('EEXIST'));
    const make = { op: 'link-add-veth', name: 'kept', peer: 'eth0', peerNetns: name } as const;
    assert.deepEqual(its.nl.apply([make]), [undefined]);
    its.kernel.netns.remove(name);
    assert.ok(!its.kernel.netns.list().includes(name));
    assert.ok(its.nl.link('kept'), 'its devices are still there');
    held.nameAgain();
    const inside = its.kernel.netlink(name);
    assert.equal(inside.link('eth0')?.index, its.nl.link('kept')?.peer);
    inside.close();
    held[Symbol.dispose]();
    assert.ok(its.nl.link('kept'), 'the name alone keeps it');
    assert.deepEqual(its.nl.apply([{ op: 'link-del', name: 'kept' }]), [undefined]);
    its.kernel.netns.remove(name);
  });

  test('a veth is born with its peer in another namespace, and both go together', () => {
    const op = { op: 'link-add-veth', name: 'v1', peer: 'eth0', peerNetns: two, mtu: 1400 } as const;
    its.ok({ ...op, mac: '02:00:00:00:00:01', peerMac: '02:00:00:00:00:02' });
    const near = its.nl.link('v1');
    const peer = its.far.link('eth0');
    assert.ok(near && peer);
    assert.equal(its.nl.link('eth0'), undefined);
    assert.deepEqual(
      [near.mac, near.mtu, near.kind, near.peer, near.up, near.alias, near.peerElsewhere],
      ['02:00:00:00:00:01', 1400, 'veth', peer.index, false, undefined, true],
    );
    assert.deepEqual([peer.mac, peer.mtu, peer.peer], ['02:00:00:00:00:02', 1400, near.index]);
    its.ok({ op: 'link-del', name: 'v1' });
    assert.equal(its.far.link('eth0'), undefined);
  });

  test('devices that can not be made or found', () => {
    its.ok({ op: 'link-add-veth', name: 'a', peer: 'b' });
    its.refused(
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
      its.nl.links().map(({ name }) => name),
      ['lo', 'b', 'a'],
    );
    its.ok({ op: 'link-del', name: 'b' });
  });

  test('a link is changed in one step, and moved under another name', () => {
    its.ok({ op: 'link-add-veth', name: 'a', peer: 'b' }, { op: 'link-set', name: 'b', up: true });
    assert.equal(its.nl.link('b')?.carrier, false);
    const set = { op: 'link-set', name: 'a', up: true, mtu: 1300, mac: '02:00:00:00:00:0a' } as const;
    its.ok({ ...set, alias: 'midplane:t:netdev/a', rename: 'c' });
    const { mtu, mac, alias, up, carrier } = its.nl.link('c') ?? {};
    assert.deepEqual([mtu, mac, alias, up, carrier], [1300, '02:00:00:00:00:0a', 'midplane:t:netdev/a', true, true]);
    assert.equal(its.nl.link('b')?.carrier, true);
    its.ok({ op: 'link-set', name: 'c', alias: '' });
    assert.equal(its.nl.link('c')?.alias, undefined);
    its.ok({ op: 'link-move', name: 'c', netns: two, rename: 'moved' });
    assert.equal(its.nl.link('c'), undefined);
    assert.equal(its.far.link('moved')?.mtu, 1300);
    assert.equal(its.nl.link('b')?.peerElsewhere, true);
    its.ok({ op: 'link-del', name: 'b' });
    assert.equal(its.far.link('moved'), undefined);
  });

  test('a tap', () => {
    its.ok({ op: 'tap-add', name: 'tap0', owner: 1000 }, { op: 'link-set', name: 'tap0', up: true });
    its.refused(['EEXIST', { op: 'tap-add', name: 'tap0' }]);
    const { kind, up, carrier } = its.nl.link('tap0') ?? {};
    assert.deepEqual([kind, up, carrier], ['tun', true, false]);
    its.ok({ op: 'link-del', name: 'tap0' });
    assert.equal(its.nl.link('tap0'), undefined);
  });

  test('a batch makes a link and uses it; what fails stops nothing', () => {
    const results = its.nl.apply([
      { op: 'link-add-veth', name: 'a', peer: 'b' },
      { op: 'address-add', dev: 'a', cidr: '10.0.0.1/24', protocol },
      { op: 'address-add', dev: 'nope', cidr: '10.0.0.1/24' },
      { op: 'link-set', name: 'a', rename: 'c', up: true },
      { op: 'address-add', dev: 'a', cidr: '10.0.1.1/24' },
      { op: 'address-add', dev: 'c', cidr: '10.0.2.1/24', protocol },
    ]);
    assert.deepEqual(results, [undefined, undefined, 'ENODEV', undefined, 'ENODEV', undefined]);
    assert.deepEqual(ours(its.nl), ['10.0.0.1/24', '10.0.2.1/24']);
    its.ok({ op: 'link-del', name: 'c' });
    assert.deepEqual(ours(its.nl), []);
    assert.deepEqual(its.nl.apply([]), []);
  });

  test('many deletions at once: each has its own result, and one that can not go stops none', () => {
    its.ok({ op: 'link-add-veth', name: 'a', peer: 'b' }, { op: 'link-add-veth', name: 'c', peer: 'd' });
    its.ok({ op: 'tap-add', name: 'tap0' });
    const gone = ['lo', 'a', 'nope', 'tap0', 'c'].map((name) => ({ op: 'link-del', name }) as const);
    assert.deepEqual(its.nl.apply(gone), ['EOPNOTSUPP', undefined, 'ENODEV', undefined, undefined]);
    assert.deepEqual(
      its.nl.links().map(({ name }) => name),
      ['lo'],
    );
    its.ok({ op: 'tap-add', name: 'tap0' }, { op: 'tap-add', name: 'tap1' });
    its.ok({ op: 'link-del', name: 'tap0' }, { op: 'link-del', name: 'tap1' }, { op: 'tap-add', name: 'tap0' });
    its.ok({ op: 'link-del', name: 'tap0' });
  });

  test('a watcher hears of links, addresses, routes and neighbors until it is disposed', async () => {
    const events: NetlinkEvent[] = [];
    const watch = its.nl.watch(['link', 'address', 'route', 'neighbor'], (event) => events.push(event));
    const linksOnly: NetlinkEvent[] = [];
    using links = its.nl.watch(['link'], (event) => linksOnly.push(event));
    assert.ok(links);
    its.ok(
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
    its.ok({ op: 'link-add-veth', name: 'a', peer: 'b' }, { op: 'link-del', name: 'a' });
    await until('the other still hears', () => linksOnly.filter(gone).length === 2);
    assert.equal(events.length, before);
  });
});

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
