// Packet cases of routing and of XDP: what goes in by a port, what leaves, with which addresses, TTL and tag.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { arpRequest, checksum, frame, ipv4, ipv6, type Layer, raw, udp, vlan } from './frame.ts';
import { dropReasons } from '../../src/kernel/abi.ts';
import { getOffloads } from '../../src/kernel/net/ethtool.ts';
import { type Hook, openRig, type Outcome, type Rig } from './rig.ts';

const document = `
ports:
  a1: { vlan: { access: 10 }, datapath: xdp }
  a2: { vlan: { access: 10 }, datapath: xdp }
  b1: { vlan: { access: 20 }, datapath: xdp }
  t1: { vlan: { trunk: [10, 20] }, datapath: xdp }
  c1: { vlan: { access: 20 } }
  u1: { vlan: { access: 10 }, up-limit: 1 }
  r1: { address: [192.0.2.0/31, "fd00:9::1/64"] }
vlans:
  10: { address: [10.0.10.254/24, "fd00:10::fe/64"] }
  20: { address: [10.0.20.254/24, "fd00:20::fe/64"] }
routes:
  10.99.0.0/16: { via: [192.0.2.1] }
  10.66.0.0/16: { blackhole: true }
`;
const ports = ['a1', 'a2', 'b1', 't1', 'c1', 'r1', 'u1'];
const [A, B, C, D, N] = [
  '02:00:00:00:00:0a',
  '02:00:00:00:00:0b',
  '02:00:00:00:00:0c',
  '02:00:00:00:00:0d',
  '02:00:00:00:00:ee',
] as const;

let rig: Rig;
before(async () => {
  rig = await openRig(document, ports);
  const nl = rig.kernel.netlink();
  const neighbors = [
    ['vlan20', '10.0.20.3', B],
    ['vlan20', 'fd00:20::3', B],
    ['vlan20', '10.0.20.4', C],
    ['vlan20', '10.0.20.5', D],
    ['r1', '192.0.2.1', N],
  ] as const;
  for (const [dev, address, mac] of neighbors) nl.apply([{ op: 'neighbor-put', dev, address, mac }]);
  rig.learn(10, A, 'a1');
  rig.learn(20, B, 'b1');
  rig.learn(20, C, 'c1');
});
after(async () => {
  assert.ok(rig.balanced(), 'the counters add up');
  await rig[Symbol.asyncDispose]();
});

const went = (o: Outcome): [string, string, string[]] => [
  o.verdict,
  o.reason,
  o.out.map(([p, v]) => (v ? `${p}.${v}` : p)).toSorted(),
];
const toSwitch = (inner: Layer, o: { src?: string } = {}): Uint8Array =>
  frame({ dst: rig.baseMac, src: o.src ?? A }, inner);
const four = (dst: string, o: Partial<Parameters<typeof ipv4>[0]> = {}): Layer => ipv4({ src: '10.0.10.1', dst, ...o });
const six = (dst: string, o: Partial<Parameters<typeof ipv6>[0]> = {}): Layer => ipv6({ src: 'fd00:10::1', dst, ...o });
const macs = (data: Uint8Array): string =>
  Buffer.from(data.subarray(0, 12))
    .toString('hex')
    .replace(/(..)(?=.)/g, '$1:');

/** What a routed IPv4 frame looks like behind the switch. */
function assertRouted(o: Outcome, at: number, dst: string): void {
  const [to, from] = [macs(o.data).slice(0, 17), macs(o.data).slice(18)];
  assert.equal(to, dst);
  assert.equal(from, rig.baseMac);
  assert.equal(o.data[at + 8], 63, 'one hop less');
  assert.equal(checksum(o.data.subarray(at, at + 20)), 0, 'the checksum is right');
}

for (const hook of ['tcx', 'xdp'] as const satisfies Hook[]) {
  test(`routed, known next hop, at ${hook}`, () => {
    const o = rig.send('a1', toSwitch(four('10.0.20.3')), hook);
    assert.deepEqual(went(o), ['port', '', ['b1']]);
    assertRouted(o, 14, B);
    const o6 = rig.send('a1', toSwitch(six('fd00:20::3')), hook);
    assert.deepEqual(went(o6), ['port', '', ['b1']]);
    assert.equal(o6.data[14 + 7], 63);
  });

  test(`bridged and tagged both ways, at ${hook}`, () => {
    rig.learn(10, D, 't1');
    const out = rig.send('a1', frame({ dst: D, src: A }, four('10.0.10.9')), hook);
    assert.deepEqual(went(out), ['port', '', ['t1.10']]);
    const back = rig.send('t1', frame({ dst: A, src: D }, vlan(10, four('10.0.10.1'))), hook);
    assert.deepEqual(went(back), ['port', '', ['a1']]);
    assert.equal(Buffer.from(back.data.subarray(12, 14)).toString('hex'), '0800', 'the tag is gone');
    if (hook === 'xdp') assert.equal(Buffer.from(out.data.subarray(12, 18)).toString('hex'), '8100000a0800');
  });

  test(`routed out of a trunk, at ${hook}`, () => {
    rig.learn(20, D, 't1');
    const o = rig.send('a1', toSwitch(four('10.0.20.5')), hook);
    assert.deepEqual(went(o), ['port', '', ['t1.20']]);
  });
}

test('a port with XDP leaves tags in the frame, where alone XDP sees them', () => {
  for (const port of ['a1', 'a2', 'b1', 't1']) assert.equal(getOffloads(port, rig.netns).rxvlan, false, port);
  assert.equal(getOffloads('c1', rig.netns).rxvlan, true, 'c1 has tcx alone');
});

test('XDP finishes only what it knows whole: the rest passes untouched and uncounted', () => {
  const passes: readonly (readonly [string, Uint8Array])[] = [
    ['a1', frame({ dst: 'ff:ff:ff:ff:ff:ff', src: A }, arpRequest({ mac: A, ip: '10.0.10.1', target: '10.0.10.2' }))],
    ['a1', frame({ dst: '02:00:00:00:77:77', src: A }, four('10.0.10.7'))],
    ['a1', frame({ dst: D, src: '02:00:00:00:66:66' }, four('10.0.10.7'))],
    ['a1', toSwitch(four('10.0.10.254'))],
    ['a1', toSwitch(four('10.0.20.4'))],
    ['a1', toSwitch(four('10.0.20.3', { ttl: 1 }))],
    ['a1', toSwitch(four('10.66.0.1'))],
    ['a1', toSwitch(four('10.0.20.3', { totalLength: 2000 }))],
    ['a1', frame({ dst: D, src: A }, vlan(10, four('10.0.10.7')))],
    ['t1', frame({ dst: A, src: D }, vlan(30, four('10.0.10.1')))],
    ['a1', frame({ dst: '01:80:c2:00:00:02', src: A }, raw(0x8809))],
  ];
  const counted = (): string =>
    JSON.stringify(
      ports.map((p) => rig.counters(p)),
      (_, v: unknown) => String(v),
    );
  for (const [port, bytes] of passes) {
    const before = counted();
    const o = rig.send(port, bytes, 'xdp');
    assert.deepEqual(
      [o.verdict, Buffer.from(o.data).equals(bytes)],
      ['none', true],
      Buffer.from(bytes).toString('hex'),
    );
    assert.equal(counted(), before, 'no counter moved');
  }
});

test('for the switch itself, or for its stack to judge', () => {
  const up: readonly Layer[] = [
    four('10.0.10.254'),
    four('10.0.20.254'),
    six('fd00:10::fe'),
    four('10.0.20.3', { ttl: 1 }),
    six('fd00:20::3', { hopLimit: 1 }),
    four('10.0.20.99'),
    six('fd00:20::99'),
    four('172.16.0.1'),
    four('10.0.20.3', { headerWords: 6 }),
    six('fe80::1'),
    six('ff02::1'),
    arpRequest({ mac: A, ip: '10.0.10.1', target: '10.0.10.254' }),
  ];
  for (const layer of up) assert.deepEqual(went(rig.send('a1', toSwitch(layer))), ['up', '', []], String(layer.type));
});

const lies: readonly (readonly [reason: string, layer: () => Layer])[] = [
  ['bad-ip', () => four('10.0.20.3', { totalLength: 1400 })],
  ['bad-ip', () => four('10.0.20.3', { version: 5 })],
  ['bad-ip', () => four('10.0.20.3', { headerWords: 4 })],
  ['bad-ip', () => four('10.0.20.3', { totalLength: 10 })],
  ['bad-ip', () => six('fd00:20::3', { payloadLength: 1400 })],
  ['not-ip', () => raw(0x88b5)],
  ['blackhole', () => four('10.66.0.1')],
];
for (const [reason, layer] of lies) {
  test(`dropped and counted on its way through the router: ${reason}`, () => {
    assert.deepEqual(went(rig.send('a1', toSwitch(layer()))), ['drop', reason, []]);
  });
}

const U = '02:00:00:00:00:0f';
/** How many of 100 frames of the kind went up. */
function wentUp(layer: Layer, dst = rig.baseMac): number {
  const sent = Array.from({ length: 100 }, () => rig.send('u1', frame({ dst, src: U }, layer)));
  return sent.filter((o) => o.verdict === 'up' || o.out.some(([port]) => port === 'vlan10-bd')).length;
}

test('what may give the stack a neighbour goes up so many times, then at its rate; all else is free', () => {
  rig.kernel.netlink().apply([{ op: 'neighbor-put', dev: 'vlan10', address: '10.0.10.7', mac: U }]);
  const all = 'ff:ff:ff:ff:ff:ff';
  const arp = (target: string): Layer => arpRequest({ mac: U, ip: '10.0.10.9', target });
  const hops = { hopLimit: 255 };
  const before = rig.counters('u1');
  const first = wentUp(arp('10.0.10.254'));
  assert.ok(first >= 64 && first < 70, `${first} requests for the switch`);
  const kinds: readonly (readonly [string, Layer, string?])[] = [
    ['a request in a broadcast', arp('10.0.10.254'), all],
    ['a packet for an unknown neighbour', ipv4({ src: '10.0.10.7', dst: '10.0.20.77' })],
    ['a packet from one', ipv4({ src: '10.0.10.77', dst: '10.0.10.254' })],
    [
      'a solicitation',
      ipv6({ src: 'fd00:10::77', dst: 'fd00:10::fe', ...hops }, { type: 58, bytes: new Uint8Array(24) }),
    ],
    [
      'one in a multicast',
      ipv6({ src: '::', dst: 'ff02::1', ...hops }, { type: 58, bytes: new Uint8Array(24) }),
      '33:33:00:00:00:01',
    ],
  ];
  for (const [what, layer, to] of kinds) assert.ok(wentUp(layer, to) <= 5, what);
  const after = rig.counters('u1');
  const dropped = (after.drop[dropReasons['up-limit']] ?? 0n) - (before.drop[dropReasons['up-limit']] ?? 0n);
  assert.ok(dropped >= 400n - 30n - 70n, String(dropped));
  assert.ok(after.upSkipped - before.upSkipped >= 190n, 'the flooded ones reach everyone but the switch');
  assert.equal(wentUp(arp('10.0.10.1'), all), 100, 'a request for another');
  assert.equal(wentUp(ipv4({ src: '10.0.10.7', dst: '10.0.10.254' })), 100, 'a packet of a known neighbour');
  assert.equal(wentUp(ipv4({ src: '10.0.10.77', dst: '10.0.10.255' }), all), 100, 'a broadcast');
  const others = Array.from({ length: 20 }, () => rig.send('a1', toSwitch(arp('10.0.10.254'))).verdict);
  assert.ok(
    others.every((verdict) => verdict === 'up'),
    'another port has a share of its own',
  );
});

test('a next hop without an fdb row is flooded in its VLAN, never dropped', () => {
  rig.kernel.netlink().apply([{ op: 'neighbor-put', dev: 'vlan20', address: '10.0.20.8', mac: '02:00:00:00:55:55' }]);
  const o = rig.send('a1', toSwitch(four('10.0.20.8')));
  assert.deepEqual(went(o), ['flood', '', ['b1', 'c1', 't1.20']]);
});

test('a routed port: its own address, another’s, and what it hands up', () => {
  const mac = rig.kernel.netlink().link('r1')?.mac ?? '';
  const send = (dst: string, layer: Layer): unknown => went(rig.send('r1', frame({ dst, src: N }, layer)));
  const from = { src: '192.0.2.1' };
  assert.deepEqual(send(mac, ipv4({ ...from, dst: '192.0.2.0' })), ['pass', '', []]);
  assert.deepEqual(send(mac, ipv4({ ...from, dst: '10.0.20.3' })), ['port', '', ['b1']]);
  assert.deepEqual(send('02:00:00:00:44:44', ipv4({ ...from, dst: '10.0.20.3' })), ['drop', 'not-ours', []]);
  assert.deepEqual(send(mac, vlan(10, ipv4({ ...from, dst: '10.0.20.3' }))), ['drop', 'tagged-on-access', []]);
  assert.deepEqual(send('ff:ff:ff:ff:ff:ff', arpRequest({ mac: N, ip: '192.0.2.1', target: '192.0.2.0' })), [
    'pass',
    '',
    [],
  ]);
  const out = rig.send('a1', toSwitch(four('10.99.1.1', {}), {}));
  assert.deepEqual(went(out), ['port', '', ['r1']]);
});

test('every truncation of every header stack is judged and counted at both hooks', () => {
  const stacks = [
    toSwitch(four('10.0.20.3')),
    toSwitch(six('fd00:20::3')),
    frame({ dst: rig.baseMac, src: D }, vlan(10, ipv4({ src: '10.0.10.1', dst: '10.0.20.3' }, udp(1, 2, 60)))),
    frame({ dst: rig.baseMac, src: A }, arpRequest({ mac: A, ip: '10.0.10.1', target: '10.0.10.254' })),
  ];
  let refused = 0;
  for (const [i, whole] of stacks.entries()) {
    for (let n = 14; n <= whole.length; n += 1) {
      for (const hook of ['tcx', 'xdp'] as const) {
        try {
          rig.send(i === 2 ? 't1' : 'a1', whole.subarray(0, n), hook);
        } catch (error) {
          // PROG_TEST_RUN itself refuses an skb that is shorter than the header that its EtherType announces.
          assert.ok(hook === 'tcx' && n < 14 + 40, String(error));
          refused += 1;
        }
      }
    }
  }
  assert.ok(refused < 80, `${refused} refused`);
  assert.ok(rig.balanced());
});
