// Frames that are short, cut off or lie about their lengths, at both hooks: what becomes of each is written here where
// it changes, and the model agrees on every byte and counter.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Comparison, openComparison } from './compare.ts';
import { arpRequest, frame, ipv4, ipv6, type Layer, raw, tcp, udp, vlan } from './frame.ts';
import { documentOf, openModel, type Setup } from './model.ts';
import { muteStack, openRig, type Rig } from './rig.ts';

const setup: Setup = {
  ports: {
    a1: { vlan: { access: 10 }, datapath: 'xdp' },
    a2: { vlan: { access: 10 }, datapath: 'xdp' },
    b1: { vlan: { access: 20 }, datapath: 'xdp' },
    c1: { vlan: { access: 20 } },
    t1: { vlan: { trunk: [10, 20], native: 30 }, datapath: 'xdp' },
    t2: { vlan: { trunk: [10, 30] }, datapath: 'xdp' },
    r1: { address: ['192.0.2.0/31', 'fd00:9::1/64'], datapath: 'xdp' },
  },
  vlans: {
    10: { address: ['10.0.10.254/24', 'fd00:10::fe/64'] },
    20: { address: ['10.0.20.254/24', 'fd00:20::fe/64'] },
  },
  // Ports that are not in the VLAN.
  fdb: { static: { 10: { '02:00:00:00:00:98': 'b1' }, 20: { '02:00:00:00:00:99': 'a2' } } },
  routes: { '0.0.0.0/0': { via: ['10.0.20.1'] }, '::/0': { via: ['fd00:20::1'] } },
};
const [A1, A2, B1, C1, T1, T2, R1] = [1, 2, 3, 4, 5, 6, 7].map((n) => `02:00:00:00:00:0${n}`) as [
  ...(readonly [string, string, string, string, string, string, string]),
];
const neighbors = [
  { dev: 'vlan20', address: '10.0.20.1', mac: B1 },
  { dev: 'vlan20', address: '10.0.20.2', mac: C1 },
  { dev: 'vlan20', address: '10.0.20.9', mac: '02:00:00:00:00:99' },
  { dev: 'vlan20', address: 'fd00:20::1', mac: B1 },
  { dev: 'r1', address: '192.0.2.1', mac: R1 },
];

let rig: Rig;
let compared: Comparison;
let quiet: Disposable;
before(async () => {
  rig = await openRig(documentOf(setup), Object.keys(setup.ports));
  quiet = await muteStack(rig);
  const nl = rig.kernel.netlink();
  nl.apply(neighbors.map((row) => ({ op: 'neighbor-put', ...row })));
  const r1 = nl.link('r1')?.mac ?? '';
  const model = openModel(setup, { baseMac: rig.baseMac, macOf: () => r1, neighbors });
  compared = openComparison(rig, model, (port) => setup.ports[port]?.datapath === 'xdp');
  const hello = (src: string): Uint8Array => frame({ dst: 'ff:ff:ff:ff:ff:ff', src }, raw(0x88b5));
  const tagged = (src: string, id: number): Uint8Array =>
    frame({ dst: 'ff:ff:ff:ff:ff:ff', src }, vlan(id, raw(0x88b5)));
  const there: readonly (readonly [port: string, frame: Uint8Array])[] = [
    ['a1', hello(A1)],
    ['a2', hello(A2)],
    ['b1', hello(B1)],
    ['c1', hello(C1)],
    ['t1', hello(T1)],
    ['t1', tagged(T1, 10)],
    ['t2', tagged(T2, 10)],
    ['t2', tagged(T2, 30)],
  ];
  for (const [port, bytes] of there) assert.deepEqual(compared.at('tcx', port, bytes).wrong, []);
});
after(async () => {
  assert.deepEqual(compared.tables(), []);
  quiet[Symbol.dispose]();
  assert.ok(rig.balanced(), 'the counters add up');
  await rig[Symbol.asyncDispose]();
});

/** Sends it in at both hooks; what became of it. */
function judge(port: string, bytes: Uint8Array): string {
  const [xdp, tcx] = [compared.at('xdp', port, bytes), compared.at('tcx', port, bytes)];
  assert.deepEqual([...xdp.wrong, ...tcx.wrong], [], `${port}: ${Buffer.from(bytes).toString('hex')}`);
  return `${tcx.verdict} ${tcx.reason}`.trim();
}

const four = (dst: string, inner: Layer = udp(1, 2), o: Partial<Parameters<typeof ipv4>[0]> = {}): Layer =>
  ipv4({ src: '10.0.10.1', dst, ...o }, inner);
const six = (dst: string, inner: Layer = udp(1, 2)): Layer => ipv6({ src: 'fd00:10::1', dst }, inner);
const lldp = raw(0x88cc, [2, 7, 4, 2, 0, 0, 0, 0, 1, 4, 2, 5, 49, 6, 2, 0, 120, 0, 0]);
const arp = arpRequest({ mac: A1, ip: '10.0.10.1', target: '10.0.10.254' });

interface Stack {
  readonly name: string;
  readonly port: string;
  readonly to: string;
  readonly src?: string;
  readonly layer: Layer;
  /** From which length on it becomes what. */
  readonly becomes: Readonly<Record<number, string>>;
}

const toSwitch = 'switch';
const stacks: readonly Stack[] = [
  { name: 'bridged', port: 'a1', to: A2, layer: four('10.0.10.2'), becomes: { 14: 'port' } },
  { name: 'bridged, unknown', port: 'a1', to: '02:00:00:00:00:77', layer: six('fd00::2'), becomes: { 14: 'flood' } },
  {
    name: 'bridged, a tag taken off',
    port: 't1',
    src: T1,
    to: A2,
    layer: vlan(10, four('10.0.10.2')),
    becomes: { 14: 'drop bad-frame', 18: 'port' },
  },
  {
    name: 'bridged, tag to tag',
    port: 't1',
    src: T1,
    to: T2,
    layer: vlan(10, four('10.0.10.2', tcp(1, 2)), { pcp: 5 }),
    becomes: { 14: 'drop bad-frame', 18: 'port' },
  },
  {
    name: 'a priority tag at an access port',
    port: 'a1',
    to: T2,
    layer: vlan(0, four('10.0.10.2'), { pcp: 6 }),
    becomes: { 14: 'drop bad-frame', 18: 'port' },
  },
  {
    name: 'a tag at an access port',
    port: 'a1',
    to: A2,
    layer: vlan(10, four('10.0.10.2')),
    becomes: { 14: 'drop bad-frame', 18: 'drop tagged-on-access' },
  },
  {
    name: 'two tags, to an access port',
    port: 't1',
    src: T1,
    to: A2,
    layer: vlan(10, vlan(77, four('10.0.10.2'))),
    becomes: { 14: 'drop bad-frame', 22: 'port' },
  },
  {
    name: 'two tags, to the native VLAN of a trunk, where the second would be the first',
    port: 't2',
    src: T2,
    to: T1,
    layer: vlan(30, vlan(20, four('10.0.10.2'))),
    becomes: { 14: 'drop bad-frame', 22: 'drop double-tag' },
  },
  {
    name: 'a priority tag before a VLAN tag, from an access port',
    port: 'a1',
    to: T2,
    layer: vlan(0, vlan(20, four('10.0.10.2'))),
    becomes: { 14: 'drop bad-frame', 22: 'port' },
  },
  {
    name: '802.1ad',
    port: 't1',
    src: T1,
    to: A2,
    layer: vlan(10, four('10.0.10.2'), { tpid: 0x88a8 }),
    becomes: { 14: 'drop vlan-protocol' },
  },
  { name: 'LLC', port: 'a1', to: A2, layer: raw(0x0026, [0x42, 0x42, 3, 0, 0]), becomes: { 14: 'port' } },
  { name: 'LLDP', port: 'a1', to: '01:80:c2:00:00:0e', layer: lldp, becomes: { 14: 'drop control' } },
  { name: 'ARP for everyone', port: 'a1', to: 'ff:ff:ff:ff:ff:ff', layer: arp, becomes: { 14: 'flood' } },
  { name: 'ARP for the switch', port: 'a1', to: toSwitch, layer: arp, becomes: { 14: 'up' } },
  {
    name: 'IPv4, routed',
    port: 'a1',
    to: toSwitch,
    layer: four('10.0.20.1'),
    becomes: { 14: 'drop bad-ip', 60: 'port' },
  },
  {
    name: 'IPv4, routed, tagged',
    port: 't1',
    src: T1,
    to: toSwitch,
    layer: vlan(10, four('10.0.20.1', tcp(1, 2, 10))),
    becomes: { 14: 'drop bad-frame', 18: 'drop bad-ip', 68: 'port' },
  },
  {
    name: 'IPv4 with options',
    port: 'a1',
    to: toSwitch,
    layer: four('10.0.20.1', udp(1, 2), { headerWords: 15 }),
    becomes: { 14: 'drop bad-ip', 100: 'up' },
  },
  {
    name: 'IPv4, an UDP length that lies',
    port: 'a1',
    to: toSwitch,
    layer: four('10.0.20.1', udp(1, 2, 18, 5000)),
    becomes: { 14: 'drop bad-ip', 60: 'port' },
  },
  {
    name: 'IPv4 out of a routed port',
    port: 'a1',
    to: toSwitch,
    layer: four('192.0.2.1'),
    becomes: { 14: 'drop bad-ip', 60: 'port' },
  },
  {
    name: 'IPv6, routed',
    port: 'a1',
    to: toSwitch,
    layer: six('fd00:20::1'),
    becomes: { 14: 'drop bad-ip', 80: 'port' },
  },
  {
    name: 'IPv6, routed, tagged',
    port: 't1',
    src: T1,
    to: toSwitch,
    layer: vlan(10, six('fd00:20::1')),
    becomes: { 14: 'drop bad-frame', 18: 'drop bad-ip', 84: 'port' },
  },
  {
    name: 'bridged, to a static address at a port that is not in the VLAN',
    port: 'a1',
    to: '02:00:00:00:00:98',
    layer: four('10.0.10.8'),
    becomes: { 14: 'drop not-member' },
  },
  {
    name: 'routed, to a static address at a port that is not in the VLAN',
    port: 'a1',
    to: toSwitch,
    layer: four('10.0.20.9'),
    becomes: { 14: 'drop bad-ip', 60: 'drop not-member' },
  },
  { name: 'neither', port: 'a1', to: toSwitch, layer: raw(0x88b5), becomes: { 14: 'drop not-ip' } },
  {
    name: 'IPv4 at a routed port',
    port: 'r1',
    src: R1,
    to: 'r1',
    layer: ipv4({ src: '192.0.2.1', dst: '10.0.20.1' }),
    becomes: { 14: 'drop bad-ip', 60: 'port' },
  },
  {
    name: 'a priority tag at a routed port',
    port: 'r1',
    src: R1,
    to: 'r1',
    layer: vlan(0, ipv4({ src: '192.0.2.1', dst: '192.0.2.0' })),
    becomes: { 14: 'drop bad-frame', 18: 'drop bad-ip', 64: 'pass' },
  },
  { name: 'ARP at a routed port', port: 'r1', src: R1, to: 'ff:ff:ff:ff:ff:ff', layer: arp, becomes: { 14: 'pass' } },
];

const addressed = (to: string): string =>
  to === toSwitch ? rig.baseMac : to === 'r1' ? (rig.kernel.netlink().link('r1')?.mac ?? '') : to;

for (const { name, port, to, src = A1, layer, becomes } of stacks) {
  test(`every length from 14 to 128, and every truncation: ${name}`, () => {
    const bytes = frame({ dst: addressed(to), src, pad: 128 }, layer);
    const seen: Record<number, string> = {};
    let last = '';
    for (let n = 14; n <= bytes.length; n += 1) {
      const now = judge(port, bytes.subarray(0, n));
      if (now !== last) seen[n] = now;
      last = now;
    }
    assert.deepEqual(seen, becomes);
  });
}

test('what PROG_TEST_RUN would not take was only IP without a tag, shorter than its header', () => {
  const untagged = compared.refused.every((hex) => /^.{24}(0800|86dd)/.test(hex));
  assert.ok(untagged && compared.refused.length < 400, String(compared.refused.length));
});

const inside = (from: number, to: number, truth: number): number[] => [
  from,
  from + 1,
  truth - 1,
  truth,
  truth + 1,
  to - 1,
  to,
  0,
  1,
  19,
  20,
  0x7fff,
  0xffff,
];

test('IPv4 lengths that lie: no more than there is, no less than its header', () => {
  for (let words = 0; words <= 15; words += 1) {
    const room = Math.max(words, 5) * 4 + 26;
    for (const totalLength of inside(words * 4, room, room)) {
      if (totalLength < 0) continue;
      const layer = four('10.0.20.1', udp(1, 2), { headerWords: words, totalLength });
      const honest = words >= 5 && totalLength >= words * 4 && totalLength <= room;
      const expected = honest ? (words > 5 ? 'up' : 'port') : 'drop bad-ip';
      const what = `header of ${words} words, total ${totalLength}`;
      assert.equal(judge('a1', frame({ dst: rig.baseMac, src: A1, pad: 14 }, layer)), expected, what);
      assert.equal(judge('a1', frame({ dst: A2, src: A1, pad: 14 }, layer)), 'port', `bridged, ${what}`);
    }
  }
});

test('IPv6 lengths that lie', () => {
  for (const payloadLength of inside(0, 26, 26)) {
    if (payloadLength < 0) continue;
    const layer = ipv6({ src: 'fd00:10::1', dst: 'fd00:20::1', payloadLength }, udp(1, 2));
    const expected = payloadLength <= 26 ? 'port' : 'drop bad-ip';
    assert.equal(judge('a1', frame({ dst: rig.baseMac, src: A1, pad: 14 }, layer)), expected, String(payloadLength));
    assert.equal(judge('a1', frame({ dst: A2, src: A1, pad: 14 }, layer)), 'port', `bridged, ${payloadLength}`);
  }
});

test('a version that is not its EtherType’s', () => {
  for (let version = 0; version <= 15; version += 1) {
    const layer = four('10.0.20.1', udp(1, 2), { version });
    const expected = version === 4 ? 'port' : 'drop bad-ip';
    assert.equal(judge('a1', frame({ dst: rig.baseMac, src: A1 }, layer)), expected, `IPv4, ${version}`);
    const other = six('fd00:20::1');
    const bytes = Uint8Array.from(other.bytes);
    bytes[0] = version << 4;
    const said = judge('a1', frame({ dst: rig.baseMac, src: A1 }, { ...other, bytes }));
    assert.equal(said, version === 6 ? 'port' : 'drop bad-ip', `IPv6, ${version}`);
  }
});

test('hops left: none or one is the stack’s to answer, more go on', () => {
  for (const hops of [0, 1, 2, 255]) {
    const expected = hops <= 1 ? 'up' : 'port';
    const layers = [
      four('10.0.20.1', udp(1, 2), { ttl: hops }),
      ipv6({ src: 'fd00:10::1', dst: 'fd00:20::1', hopLimit: hops }),
    ];
    for (const layer of layers) {
      assert.equal(judge('a1', frame({ dst: rig.baseMac, src: A1 }, layer)), expected, `${layer.type} ${hops}`);
    }
  }
});

const unroutable: readonly (readonly [src: string, dst: string])[] = [
  ...['0.0.0.0', '127.0.0.1', '224.0.0.5', '255.255.255.255'].map((src) => [src, '10.0.20.1'] as const),
  ...['0.1.2.3', '127.9.9.9', '239.1.1.1', '240.0.0.1', '255.255.255.255'].map((dst) => ['10.0.10.1', dst] as const),
  ...['::', '::1', 'ff02::1', 'fe80::1'].map((src) => [src, 'fd00:20::1'] as const),
  ...['::1', 'ff0e::1', 'fe80::2', '::ffff:10.0.20.1'].map((dst) => ['fd00:10::1', dst] as const),
];
for (const [src, dst] of unroutable) {
  test(`never routed, whatever the table says: ${src} to ${dst}`, () => {
    const layer = dst.includes(':') ? ipv6({ src, dst }) : ipv4({ src, dst });
    assert.equal(judge('a1', frame({ dst: rig.baseMac, src: A1 }, layer)), 'up');
  });
}
