import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { z } from 'zod';
import type { Problem } from '../config/problem.ts';
import type { Look } from '../engine/slice.ts';
import { vlansSchema } from '../switch/l2/vlan/schema.ts';
import { attachGuest, checkGuest, deriveGuests, gatewaysOf, macOfGuest, mainAddress } from './attach.ts';
import { guestFields } from './schema.ts';

const schema = z.strictObject(guestFields);
const parse = (value: unknown) => schema.parse(value);
const vlans = vlansSchema.parse({ web: { id: 10, address: ['10.0.10.254/24', '10.1.0.1/16', 'fd00:10::fe/64'] } });

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

test('gateways are the addresses of the VLAN in the subnets of the guest', () => {
  const address = ['10.0.10.5/24', 'fd00:10::5/64'];
  const rows: readonly (readonly [object, readonly string[]])[] = [
    [{ port: { vlan: 'web' }, address }, ['10.0.10.254', 'fd00:10::fe']],
    [{ port: { vlan: 10 }, address: ['10.1.2.3/16'] }, ['10.1.0.1']],
    [{ port: { vlan: { trunk: [10], native: 'web' } }, address: ['10.0.10.5/24'] }, ['10.0.10.254']],
    [{ port: { vlan: { trunk: [10] } }, address }, []],
    [{ port: { vlan: 20 }, address }, []],
    [{ port: { vlan: 'web' }, address: ['192.0.2.1/24'] }, []],
    [{ port: { vlan: 'web' }, address, gateway: ['10.0.10.1'] }, ['10.0.10.1']],
  ];
  for (const [guest, gateways] of rows) assert.deepEqual(gatewaysOf(parse(guest), look), gateways);
});

test('a MAC address of its own for each guest, locally administered, of one station', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      const mac = macOfGuest(a, b);
      assert.match(mac, /^02(:[0-9a-f]{2}){5}$/);
      assert.equal(mac, macOfGuest(a, b));
      assert.notEqual(mac, macOfGuest(a, `${b}x`));
    }),
  );
});

test('what a guest is made of, and what its process needs', () => {
  const guest = parse({ port: { vlan: 'web', mtu: 9000 }, address: ['10.0.10.5/24'] });
  const { resources, needs, dns, netns } = attachGuest('containers', 'web1', guest, look);
  assert.deepEqual(
    resources.map((resource) => [resource.ref, resource.needs]),
    [
      ['netns/mp-main-web1', []],
      ['netdev/web1', ['netns/mp-main-web1']],
      ['guestnet/web1', ['netns/mp-main-web1', 'netdev/web1']],
    ],
  );
  assert.ok(needs.includes('admin/web1'), 'it does not start before its port is up');
  assert.deepEqual([dns, netns], [['10.0.10.254'], 'mp-main-web1']);
  assert.equal((resources[1]?.spec as { mtu?: number } | undefined)?.mtu, 9000);
});

test('entries in ports and services', () => {
  const service = { name: 'web', port: 80, labels: { version: 'v1' } };
  const derived = deriveGuests(
    {
      web1: parse({ port: { vlan: 'web' }, address: ['fd00::1/64', '10.0.0.1/24'], service }),
      web2: parse({ port: { vlan: 'web', shut: true }, service: { ...service } }),
    },
    false,
  );
  assert.deepEqual(derived, {
    ports: {
      web1: { shut: false, vlan: { access: 'web' }, bridged: false, guest: 'web1' },
      web2: { shut: true, vlan: { access: 'web' }, bridged: false, guest: 'web2' },
    },
    services: {
      web: { endpoints: { web1: { address: '10.0.0.1', port: 80, labels: { version: 'v1' }, guest: 'web1' } } },
    },
  });
  assert.equal(mainAddress({ address: [] }), undefined);
});

test('problems', () => {
  const paths = (guest: object): string[] =>
    checkGuest('containers', 'a', parse({ port: { vlan: 10 }, ...guest }), look).map((p) => p.path);
  assert.deepEqual(paths({ address: ['10.0.0.1/24'], gateway: ['10.0.0.2'] }), []);
  assert.deepEqual(paths({ address: ['10.0.0.1/24'], gateway: ['10.9.0.2'] }), ['containers.a.gateway.0']);
  assert.deepEqual(paths({ address: ['10.0.0.1/24'], gateway: ['10.0.0.2', '10.0.0.3'] }), ['containers.a.gateway.1']);
  assert.deepEqual(paths({ service: { name: 'web', port: 80 }, health: { tcp: { port: 80 } } }), [
    'containers.a.service',
    'containers.a.health',
  ]);
});
