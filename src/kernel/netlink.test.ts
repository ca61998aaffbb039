// Addresses, routes, rules, neighbors and settings, on the fake kernel and on the real one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { code, one, onEachKernel, ours, protocol, route, two } from '../../test/fake/contract.ts';
import type { Route } from './netlink.ts';

onEachKernel((its) => {
  test('addresses', () => {
    its.ok({ op: 'link-add-veth', name: 'a', peer: 'b' }, { op: 'link-set', name: 'a', up: true });
    its.ok({ op: 'address-add', dev: 'a', cidr: '10.0.0.1/24', protocol });
    its.ok({ op: 'address-add', dev: 'a', cidr: '10.0.0.1/25', protocol });
    its.ok({ op: 'address-add', dev: 'a', cidr: 'FD00:0::1/64', protocol, noDad: true });
    assert.deepEqual(ours(its.nl), ['10.0.0.1/24', '10.0.0.1/25', 'fd00::1/64']);
    assert.ok(its.nl.addresses().every((address) => address.protocol !== protocol || address.scope === 0));
    its.refused(
      ['EEXIST', { op: 'address-add', dev: 'a', cidr: '10.0.0.1/24' }],
      ['EEXIST', { op: 'address-add', dev: 'a', cidr: 'fd00::1/65' }],
      ['ENODEV', { op: 'address-add', dev: 'nope', cidr: '10.9.0.1/24' }],
      ['EINVAL', { op: 'address-add', dev: 'a', cidr: '10.9.0.1' }],
      ['EADDRNOTAVAIL', { op: 'address-del', dev: 'a', cidr: '10.0.0.2/24' }],
      ['EADDRNOTAVAIL', { op: 'address-del', dev: 'a', cidr: 'fd00::2/64' }],
    );
    const prefixes = its.nl.routes({ table: 254 }).map(({ prefix }) => prefix);
    assert.ok(prefixes.includes('10.0.0.0/24') && prefixes.includes('fd00::/64'), prefixes.join(' '));
    its.ok({ op: 'address-del', dev: 'a', cidr: '10.0.0.1/25' }, { op: 'address-del', dev: 'a', cidr: 'fd00::1/64' });
    assert.deepEqual(ours(its.nl), ['10.0.0.1/24']);
    its.ok({ op: 'link-del', name: 'a' });
  });

  test('routes: put replaces by prefix, table and metric; a filter chooses; del wants the protocol', () => {
    its.ok({ op: 'link-add-veth', name: 'a', peer: 'b' });
    const dev = its.nl.link('a')?.index ?? 0;
    its.refused(
      ['ENETDOWN', route('10.9.0.0/16', { nextHops: [{ dev }] })],
      ['ENODEV', route('10.9.0.0/16', { nextHops: [{ dev: 4711 }] })],
      ['ENODEV', route('10.9.0.0/16')],
    );
    its.ok({ op: 'link-set', name: 'a', up: true }, { op: 'link-set', name: 'b', up: true });
    its.ok(
      { op: 'address-add', dev: 'a', cidr: '10.0.0.1/24' },
      { op: 'address-add', dev: 'a', cidr: 'fd00::1/64', noDad: true },
    );
    its.ok(
      route('0.0.0.0/0', { nextHops: [{ via: '10.0.0.2' }] }),
      route('10.1.2.3/16', { nextHops: [{ dev }], metric: 5 }),
      route('10.2.0.0/16', { nextHops: [{ via: '10.0.0.2', weight: 3 }, { via: '10.0.0.3' }] }),
      route('10.3.0.0/16', { type: 'blackhole' }),
      route('10.4.0.0/16', { nextHops: [{ via: '192.0.2.1', dev, onlink: true }] }),
      route('0.0.0.0/0', { type: 'local', table: 1000, nextHops: [{ dev: 1 }] }),
      route('fd01::/32', { nextHops: [{ via: 'fd00::2' }] }),
      route('fd02::/32', { type: 'unreachable', metric: 7 }),
    );
    its.refused(
      ['ENETUNREACH', route('10.9.0.0/16', { nextHops: [{ via: '192.0.2.1' }] })],
      ['EHOSTUNREACH', route('fd09::/16', { nextHops: [{ via: 'fd77::1' }] })],
      ['EINVAL', route('10.9.0.0', { type: 'blackhole' })],
      ['EINVAL', route('10.9.0.0/16', { type: 'other' })],
    );
    const base = { table: 254, protocol, metric: 0, type: 'unicast' };
    assert.deepEqual(sortedRoutes(its.nl.routes({ protocol })), [
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
    assert.equal(its.nl.routes({ table: 1000 }).length, 1);
    assert.deepEqual(its.nl.routes({ table: 4711 }), []);
    its.ok(route('0.0.0.0/0', { nextHops: [{ via: '10.0.0.4' }] }));
    const defaults = its.nl.routes({ protocol, table: 254 }).filter(({ prefix }) => prefix === '0.0.0.0/0');
    assert.deepEqual(defaults[0]?.nextHops, [{ via: '10.0.0.4', dev }]);
    assert.equal(defaults.length, 1);
    const key = { table: 254, protocol, metric: 0 };
    its.refused(
      ['ESRCH', { op: 'route-del', route: { ...key, prefix: '10.77.0.0/16' } }],
      ['ESRCH', { op: 'route-del', route: { ...key, prefix: '0.0.0.0/0', protocol: protocol + 1 } }],
      ['ESRCH', { op: 'route-del', route: { ...key, prefix: '10.1.0.0/16', metric: 6 } }],
    );
    its.ok({ op: 'route-del', route: { ...key, prefix: '10.1.0.0/16', metric: 5 } });
    its.ok({ op: 'route-del', route: { ...key, prefix: '0.0.0.0/0', table: 1000 } });
    its.ok({ op: 'route-del', route: { ...key, prefix: 'fd02::/32', metric: 7 } });
    // The device takes its routes with it; those to nowhere stay.
    its.ok({ op: 'link-set', name: 'a', up: false });
    assert.deepEqual(
      its.nl.routes({ protocol }).map(({ prefix }) => prefix),
      ['10.3.0.0/16'],
    );
    its.ok({ op: 'route-del', route: { ...key, prefix: '10.3.0.0/16' } }, { op: 'link-del', name: 'a' });
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
    its.ok({ op: 'rule-add', rule: steer }, { op: 'rule-add', rule: plain });
    its.refused(
      ['EEXIST', { op: 'rule-add', rule: steer }],
      ['ENOENT', { op: 'rule-del', rule: { ...steer, table: 7 } }],
    );
    const of = its.nl.rules().filter((rule) => rule.protocol === protocol);
    assert.deepEqual(of, [steer, plain]);
    its.ok({ op: 'rule-del', rule: steer }, { op: 'rule-del', rule: plain });
    assert.deepEqual(
      its.nl.rules().map(({ family, priority, table }) => [family, priority, table]),
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
    its.ok({ op: 'link-add-veth', name: 'a', peer: 'b' }, { op: 'link-set', name: 'a', up: true });
    const index = its.nl.link('a')?.index ?? 0;
    its.ok({ op: 'neighbor-put', dev: 'a', address: '10.0.0.2', mac: '02:00:00:00:00:02' });
    its.ok({ op: 'neighbor-put', dev: 'a', address: 'fd00::2', mac: '02:00:00:00:00:02' });
    its.ok({ op: 'neighbor-put', dev: 'a', address: '10.0.0.2', mac: '02:00:00:00:00:03' });
    const permanent = its.nl.neighbors().filter(({ state }) => state === 'permanent');
    assert.deepEqual(permanent, [
      { index, address: '10.0.0.2', mac: '02:00:00:00:00:03', state: 'permanent' },
      { index, address: 'fd00::2', mac: '02:00:00:00:00:02', state: 'permanent' },
    ]);
    its.refused(
      ['ENOENT', { op: 'neighbor-del', dev: 'a', address: '10.0.0.9' }],
      ['ENODEV', { op: 'neighbor-put', dev: 'nope', address: '10.0.0.9', mac: '02:00:00:00:00:03' }],
      ['EINVAL', { op: 'neighbor-put', dev: 'a', address: '10.0.0', mac: '02:00:00:00:00:03' }],
    );
    its.ok({ op: 'neighbor-del', dev: 'a', address: '10.0.0.2' }, { op: 'link-del', name: 'a' });
    assert.deepEqual(
      its.nl.neighbors().filter(({ state }) => state === 'permanent'),
      [],
    );
  });

  test('sysctls are each namespace’s own, and come and go with a device', () => {
    const { sysctl } = its.kernel;
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
    its.ok({ op: 'link-add-veth', name: 'a.1', peer: 'b' });
    sysctl.write('net/ipv6/conf/a.1/disable_ipv6', '1', one);
    assert.equal(sysctl.read('net.ipv6.conf.a/1.disable_ipv6', one), '1');
    assert.equal(sysctl.read('net.ipv6.conf.b.disable_ipv6', one), '0');
    its.ok({ op: 'link-del', name: 'b' });
    assert.equal(sysctl.read('net/ipv6/conf/a.1/disable_ipv6', one), undefined);
    sysctl.write('net.ipv4.ip_forward', '0', one);
  });
});

function sortedRoutes(routes: readonly Route[]): Route[] {
  return routes.toSorted((a, b) => (a.prefix === b.prefix ? a.table - b.table : a.prefix < b.prefix ? -1 : 1));
}
