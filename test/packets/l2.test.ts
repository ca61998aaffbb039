// Packet cases of the bridge: what goes in by a port, what leaves, with which tag; at both hooks.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { arpRequest, frame, ipv4, raw, vlan } from './frame.ts';
import { openRig, type Outcome, type Rig } from './rig.ts';

const document = `
ports:
  a1: { vlan: { access: 10 } }
  a2: { vlan: { access: 10 } }
  b1: { vlan: { access: 20 } }
  t1: { vlan: { trunk: [10, 20], native: 30 } }
  t2: { vlan: { trunk: [10, 30] } }
  n1: { vlan: { access: 30 } }
  s1: { vlan: { access: 10 }, shut: true }
  m1: { vlan: { access: 40 }, mac-limit: 2 }
  m2: { vlan: { access: 40 } }
  all1: { vlan: { trunk: [1-4094] } }
  all2: { vlan: { trunk: [1-4094] } }
vlans:
  10: { address: [10.0.10.254/24] }
fdb:
  static:
    10: { "02:00:00:00:00:99": a2 }
`;
const ports = ['a1', 'a2', 'b1', 't1', 't2', 'n1', 's1', 'm1', 'm2', 'all1', 'all2'];
const [A, B, C, D] = ['02:00:00:00:00:0a', '02:00:00:00:00:0b', '02:00:00:00:00:0c', '02:00:00:00:00:0d'] as const;
const broadcast = 'ff:ff:ff:ff:ff:ff';
const ip = ipv4({ src: '10.0.10.1', dst: '10.0.10.2' });

let rig: Rig;
before(async () => {
  rig = await openRig(document, ports);
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
const inVlan10 = ['a2', 'all1.10', 'all2.10', 't1.10', 't2.10'];

test('an unknown address is flooded to its VLAN, each copy with its port’s tag', () => {
  assert.deepEqual(went(rig.send('a1', frame({ dst: B, src: A }, ip))), ['flood', '', inVlan10]);
});

test('a broadcast goes to the SVI too', () => {
  const arp = arpRequest({ mac: A, ip: '10.0.10.1', target: '10.0.10.254' });
  const expected = ['flood', '', [...inVlan10, 'vlan10-bd'].toSorted()];
  assert.deepEqual(went(rig.send('a1', frame({ dst: broadcast, src: A }, arp))), expected);
});

test('a known address gets one frame, tagged as its port wants', () => {
  rig.learn(10, B, 'a2');
  rig.learn(10, C, 't1');
  assert.deepEqual(went(rig.send('a1', frame({ dst: B, src: A }, ip))), ['port', '', ['a2']]);
  assert.deepEqual(went(rig.send('a1', frame({ dst: C, src: A }, ip))), ['port', '', ['t1.10']]);
  assert.deepEqual(went(rig.send('t2', frame({ dst: B, src: D }, vlan(10, ip)))), ['port', '', ['a2']]);
  assert.deepEqual(went(rig.send('t2', frame({ dst: C, src: D }, vlan(10, ip)))), ['port', '', ['t1.10']]);
});

test('the source is learned, and moves', () => {
  rig.send('a1', frame({ dst: broadcast, src: '02:00:00:00:01:01' }, raw(0x88b5)));
  assert.deepEqual(went(rig.send('a2', frame({ dst: '02:00:00:00:01:01', src: B }, ip))), ['port', '', ['a1']]);
  rig.send('t1', frame({ dst: broadcast, src: '02:00:00:00:01:01' }, vlan(10, raw(0x88b5))));
  assert.deepEqual(went(rig.send('a2', frame({ dst: '02:00:00:00:01:01', src: B }, ip))), ['port', '', ['t1.10']]);
  assert.equal(rig.counters('t1').moved, 1n);
});

test('native VLAN: untagged in is VLAN 30, and so is a priority tag', () => {
  const expected = ['flood', '', ['all1.30', 'all2.30', 'n1', 't2.30']];
  assert.deepEqual(went(rig.send('t1', frame({ dst: B, src: A }, ip))), expected);
  assert.deepEqual(went(rig.send('t1', frame({ dst: B, src: A }, vlan(0, ip, { pcp: 5 })))), expected);
  assert.deepEqual(went(rig.send('n1', frame({ dst: D, src: A }, ip)))[2], ['all1.30', 'all2.30', 't1', 't2.30']);
});

const drops: readonly (readonly [reason: string, port: string, frame: Uint8Array])[] = [
  ['tagged-on-access', 'a1', frame({ dst: B, src: A }, vlan(10, ip))],
  ['tagged-on-access', 'a1', frame({ dst: B, src: A }, vlan(20, ip))],
  ['no-native', 't2', frame({ dst: B, src: A }, ip)],
  ['not-member', 't2', frame({ dst: B, src: A }, vlan(20, ip))],
  ['not-member', 't1', frame({ dst: B, src: A }, vlan(4095, ip))],
  ['vlan-protocol', 't1', frame({ dst: B, src: A }, vlan(10, ip, { tpid: 0x88a8 }))],
  ['source-multicast', 'a1', frame({ dst: B, src: '01:00:5e:00:00:01' }, ip)],
  ['source-multicast', 'a1', frame({ dst: B, src: '00:00:00:00:00:00' }, ip)],
  ['source-static', 'a1', frame({ dst: B, src: '02:00:00:00:00:99' }, ip)],
  ['control', 'a1', frame({ dst: '01:80:c2:00:00:00', src: A }, raw(0x88cc))],
  ['control', 'a1', frame({ dst: '01:80:c2:00:00:0e', src: A }, raw(0x88cc))],
  ['port-shut', 's1', frame({ dst: B, src: A }, ip)],
];

for (const [reason, port, bytes] of drops) {
  test(`dropped and counted: ${reason} at ${port}`, () => {
    const before = rig.counters(port).drop.reduce((sum, n) => sum + n, 0n);
    assert.deepEqual(went(rig.send(port, bytes)), ['drop', reason, []]);
    assert.equal(
      rig.counters(port).drop.reduce((sum, n) => sum + n, 0n),
      before + 1n,
    );
  });
}

test('the switch’s own address as source is dropped; a frame back to its port too', () => {
  assert.deepEqual(went(rig.send('a1', frame({ dst: B, src: rig.baseMac }, ip))), ['drop', 'source-ours', []]);
  rig.learn(10, A, 'a1');
  assert.deepEqual(went(rig.send('a1', frame({ dst: A, src: '02:00:00:00:00:77' }, ip))), ['drop', 'same-port', []]);
});

test('a port learns no more than its limit', () => {
  for (const n of [1, 2]) rig.send('m1', frame({ dst: broadcast, src: `02:00:00:00:02:0${n}` }, raw(0x88b5)));
  const third = rig.send('m1', frame({ dst: broadcast, src: '02:00:00:00:02:03' }, raw(0x88b5)));
  assert.deepEqual(went(third), ['drop', 'mac-limit', []]);
  assert.equal(rig.counters('m1').learned, 2n);
});

test('an address that becomes static leaves its port’s count, and room for another', async () => {
  const [learned, other] = ['02:00:00:00:02:01', '02:00:00:00:02:09'];
  const hello = (src: string): unknown => went(rig.send('m1', frame({ dst: broadcast, src }, raw(0x88b5))))[1];
  const fixed = `    40: { "${learned}": m1 }\n`;
  for (let i = 0; i < 3; i += 1) {
    rig.forget();
    assert.deepEqual([learned, '02:00:00:00:02:02', other].map(hello), ['', '', 'mac-limit']);
    await rig.commit(document + fixed);
    assert.deepEqual([learned, '02:00:00:00:02:02', other].map(hello), ['', '', '']);
    await rig.commit(document);
  }
});

test('a frame larger than the egress port’s MTU is dropped', () => {
  rig.learn(10, B, 'a2');
  const big = frame(
    { dst: B, src: A },
    ipv4({ src: '10.0.10.1', dst: '10.0.10.2' }, { type: 17, bytes: new Uint8Array(1600) }),
  );
  assert.deepEqual(went(rig.send('a1', big)), ['drop', 'too-big', []]);
});

test('all 4,094 VLANs pass a trunk, each by itself', () => {
  for (let id = 1; id <= 4094; id += 1) {
    const o = rig.send('all1', frame({ dst: '02:00:00:00:03:01', src: A }, vlan(id, ip)));
    assert.ok(
      o.out.some(([port, vid]) => port === 'all2' && vid === id),
      `VLAN ${id}: ${JSON.stringify(went(o))}`,
    );
    assert.ok(o.out.every(([, vid]) => vid === 0 || vid === id));
  }
});

test('every length from 14 to 128 bytes is judged and counted', () => {
  const whole = frame({ dst: B, src: A, pad: 128 }, vlan(10, ip));
  for (let n = 14; n <= 128; n += 1) {
    for (const hook of ['tcx', 'xdp'] as const) rig.send('t2', whole.subarray(0, n), hook);
  }
  assert.ok(rig.balanced());
});
