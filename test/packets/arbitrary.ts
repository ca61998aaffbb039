// Random documents, and random frames whose parts hang together often enough to get deep: addresses that are known
// somewhere, tags of VLANs that exist, IP headers that are right, or lie in one place.
import fc from 'fast-check';
import { arpRequest, frame, ipv4, ipv6, type Layer, raw, tcp, udp, vlan } from './frame.ts';
import type { PortSetup, Setup, World } from './model.ts';

export const devices = ['p1', 'p2', 'p3', 'p4', 'p5', 'r1'] as const;
const bridgedPorts = devices.filter((name) => name !== 'r1');
const vlanIds = [1, 10, 20, 4094] as const;
export const host = (n: number): string => `02:00:00:00:00:0${n}`;
const staticMac = '02:00:00:00:00:99';
const neighborMac = '02:00:00:00:00:ee';

/** Once in twelve. */
const rarely = <T>(odd: T, usual: T): fc.Arbitrary<T> =>
  fc.oneof({ weight: 11, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constant(odd) });
const vlanId = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(10, 20) }, fc.constantFrom(...vlanIds));
const trunk = fc.record(
  { trunk: fc.uniqueArray(vlanId, { minLength: 1 }), native: vlanId },
  { requiredKeys: ['trunk'] },
);
const bridged: fc.Arbitrary<PortSetup> = fc.record(
  {
    vlan: fc.oneof({ weight: 3, arbitrary: fc.record({ access: vlanId }) }, { weight: 3, arbitrary: trunk }),
    shut: rarely(true, false),
    'mac-limit': fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 3 })),
    datapath: fc.constantFrom('tcx', 'xdp', 'xdp'),
  },
  { requiredKeys: ['datapath'] },
);
const routed: fc.Arbitrary<PortSetup> = fc.record({
  address: fc.constant(['192.0.2.0/31', 'fd00:9::1/64']),
  shut: rarely(true, false),
  datapath: fc.constantFrom('tcx', 'xdp'),
});

const svi = (id: number): readonly string[] => [`10.0.${id % 256}.254/24`, `fd00:${id}::fe/64`];

export const setups: fc.Arbitrary<Setup> = fc
  .record({
    bridged: fc.tuple(...bridgedPorts.map(() => bridged)),
    routed: fc.option(routed, { nil: undefined }),
    svis: fc.oneof({ weight: 3, arbitrary: fc.constant<number[]>([10, 20]) }, fc.subarray<number>([10, 20])),
    statics: fc.array(fc.tuple(vlanId, fc.constantFrom(...bridgedPorts)), { maxLength: 2 }),
    blackhole: fc.boolean(),
    far: fc.boolean(),
    anywhere: fc.boolean(),
  })
  .map((o): Setup => {
    const ports: Record<string, PortSetup> = Object.fromEntries(bridgedPorts.map((name, i) => [name, o.bridged[i]!]));
    if (o.routed !== undefined) ports['r1'] = o.routed;
    const vlans = Object.fromEntries(o.svis.map((id) => [String(id), { address: svi(id) }]));
    const fixed = Object.fromEntries(o.statics.map(([id, port]) => [String(id), { [staticMac]: port }]));
    const gateway = o.svis.includes(20) ? '10.0.20.1' : o.svis.includes(10) ? '10.0.10.1' : undefined;
    const routes: Record<string, { via: string[] } | { blackhole: true }> = {};
    if (o.blackhole) routes['10.66.0.0/16'] = { blackhole: true };
    if (o.far && ports['r1']?.shut === false) routes['10.99.0.0/16'] = { via: ['192.0.2.1'] };
    if (o.anywhere && gateway !== undefined) routes['0.0.0.0/0'] = { via: [gateway] };
    return { ports, vlans, fdb: { static: fixed }, routes };
  });

/** Who is behind the switch: hosts 1 and 2 of each SVI answer, host 3 is not known yet. */
export function neighborsOf(setup: Setup): World['neighbors'] {
  const svis = Object.entries(setup.vlans).flatMap(([id]) =>
    [1, 2].flatMap((n) => [
      { dev: `vlan${id}`, address: `10.0.${id}.${n}`, mac: host(n) },
      { dev: `vlan${id}`, address: `fd00:${id}::${n}`, mac: host(n) },
    ]),
  );
  const r1 = setup.ports['r1'];
  if (r1 === undefined || r1.shut === true) return svis;
  const beyond = ['192.0.2.1', 'fd00:9::2'].map((address) => ({ dev: 'r1', address, mac: neighborMac }));
  return [...svis, ...beyond];
}

/** Where a frame is sent in. */
export interface Place {
  readonly port: string;
  readonly setup: Setup;
  readonly world: World;
}

/** A frame in words; `build` makes its bytes, once it is known where it goes in and what the switch's addresses are. */
export interface FrameSpec {
  readonly port: number;
  build(place: Place): Uint8Array;
}

const oneHost = fc.integer({ min: 1, max: 5 }).map(host);
const group = fc.constantFrom(
  'ff:ff:ff:ff:ff:ff',
  '01:00:5e:00:00:01',
  '33:33:00:00:00:01',
  '01:80:c2:00:00:0e',
  '01:80:c2:00:00:10',
);
// 'switch' and 'port' stand for the switch's own address and that of the routed port; 'here' for the host that lives
// behind the port, so that most addresses stay where they are.
const dstMac = fc.oneof(
  { weight: 6, arbitrary: oneHost },
  { weight: 6, arbitrary: fc.constant('ours') },
  { weight: 2, arbitrary: group },
  { weight: 1, arbitrary: fc.constant(staticMac) },
  { weight: 1, arbitrary: fc.constantFrom('switch', 'port', neighborMac) },
);
const srcMac = fc.oneof(
  { weight: 16, arbitrary: fc.constant('here') },
  { weight: 4, arbitrary: oneHost },
  { weight: 1, arbitrary: fc.constantFrom(staticMac, neighborMac, 'switch', '00:00:00:00:00:00', '01:00:5e:00:00:09') },
);

type Tag = { readonly id: number; readonly pcp: number; readonly tpid: number };
const pcp = fc.integer({ min: 0, max: 7 });
const tagOf: fc.Arbitrary<Tag> = fc.record({
  id: fc.constantFrom(0, 10, 20, 1, 4094, 30, 4095),
  pcp,
  tpid: fc.oneof({ weight: 9, arbitrary: fc.constant(0x8100) }, fc.constant(0x88a8)),
});
/** `fit`: the tag that the port takes, the n-th of its VLANs; before it what stands here. */
const tags = fc.record({
  fit: fc.oneof({ weight: 9, arbitrary: fc.nat(8) }, fc.constant(undefined)),
  pcp,
  inner: fc.oneof(
    { weight: 9, arbitrary: fc.constant([] as Tag[]) },
    { weight: 1, arbitrary: fc.tuple(tagOf) },
    { weight: 1, arbitrary: fc.tuple(tagOf, tagOf) },
  ),
});

function fitting({ port, setup }: Place, n: number, priority: number): Tag[] {
  const { vlan } = setup.ports[port] ?? {};
  if (vlan === undefined || 'access' in vlan) return [];
  const ids = [...vlan.trunk, ...(vlan.native === undefined ? [] : [0])];
  const id = ids[n % ids.length] ?? 0;
  return id === 0 && priority < 4 ? [] : [{ id, pcp: priority, tpid: 0x8100 }];
}

const odd4 = fc.constantFrom(
  '10.0.10.1',
  '10.0.10.2',
  '10.0.10.3',
  '10.0.10.254',
  '10.0.20.1',
  '10.0.20.2',
  '10.0.20.3',
  '10.0.20.254',
  '10.0.10.255',
  '10.66.0.1',
  '10.99.0.1',
  '192.0.2.0',
  '192.0.2.1',
  '172.16.0.1',
  '8.8.8.8',
  '127.0.0.1',
  '127.9.9.9',
  '0.0.0.0',
  '0.1.2.3',
  '224.0.0.5',
  '239.1.2.3',
  '240.0.0.1',
  '255.255.255.255',
);
const odd6 = fc.constantFrom(
  'fd00:10::1',
  'fd00:10::2',
  'fd00:10::3',
  'fd00:10::fe',
  'fd00:20::1',
  'fd00:20::2',
  'fd00:20::fe',
  'fd00:9::1',
  'fd00:9::2',
  '2001:db8::1',
  'fe80::1',
  'fec0::1',
  'ff02::1',
  'ff05::2',
  '::',
  '::1',
  '::ffff:10.0.20.1',
);
const within = (n: number, net: number): string => `10.0.${net}.${n}`;
const near = fc.record({ n: fc.integer({ min: 1, max: 3 }), net: fc.constantFrom(10, 20) });
const addresses4 = fc.oneof(
  { weight: 3, arbitrary: near.map(({ n, net }) => within(n, net)) },
  { weight: 1, arbitrary: odd4 },
);
const addresses6 = fc.oneof(
  { weight: 3, arbitrary: near.map(({ n, net }) => `fd00:${net}::${n}`) },
  { weight: 1, arbitrary: odd6 },
);
const ttl = fc.constantFrom(64, 64, 64, 255, 2, 1, 0);
/** A length that is right, or not: added to the true one. */
const lie = fc.oneof({ weight: 11, arbitrary: fc.constant(0) }, fc.constantFrom(-1, 1, -20, 500, 40_000));
const size = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 64 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1450, max: 1500 }) },
);
const transport = fc.oneof(
  fc.tuple(size, lie).map(([n, by]) => udp(1, 2, n, by)),
  size.map((n) => tcp(3, 4, n)),
);
const packets: fc.Arbitrary<Layer> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        addresses4,
        addresses4,
        ttl,
        lie,
        fc.oneof({ weight: 9, arbitrary: fc.constant(5) }, fc.constantFrom(6, 15, 4, 0)),
        transport,
      )
      .chain(([src, dst, hops, by, headerWords, inner]) =>
        fc.oneof({ weight: 15, arbitrary: fc.constant(4) }, fc.constantFrom(5, 6)).map((version): Layer => {
          const whole = Math.max(headerWords, 5) * 4 + inner.bytes.length;
          const totalLength = (whole + by) & 0xffff;
          return ipv4({ src, dst, ttl: hops, headerWords, version, totalLength }, inner);
        }),
      ),
  },
  {
    weight: 4,
    arbitrary: fc
      .tuple(addresses6, addresses6, ttl, lie, transport)
      .map(([src, dst, hopLimit, by, inner]) =>
        ipv6({ src, dst, hopLimit, payloadLength: (inner.bytes.length + by) & 0xffff }, inner),
      ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(oneHost, addresses4, addresses4).map(([mac, ip, target]) => arpRequest({ mac, ip, target })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(0x88b5, 0x88cc, 0x8809, 0x0040, 0x86dd, 0x0800), fc.uint8Array({ maxLength: 60 }))
      .map(([type, bytes]) => raw(type, [...bytes])),
  },
);

function named(mac: string, { port, setup, world }: Place): string {
  const routedPort = setup.ports[port]?.address !== undefined;
  const index = devices.findIndex((name) => name === port);
  if (mac === 'here') return index < 0 ? world.baseMac : routedPort ? neighborMac : host(index + 1);
  if (mac === 'port' || (mac === 'ours' && routedPort)) return world.macOf('r1');
  return mac === 'switch' || mac === 'ours' ? world.baseMac : mac;
}

export const frames: fc.Arbitrary<FrameSpec> = fc
  .record({
    port: fc.nat(20),
    dst: dstMac,
    src: srcMac,
    tags,
    packet: packets,
    cut: fc.option(fc.integer({ min: 14, max: 128 }), { nil: undefined, freq: 8 }),
    flips: fc.oneof(
      { weight: 9, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.array(fc.tuple(fc.nat(80), fc.integer({ min: 1, max: 255 })), { maxLength: 3 }) },
    ),
    padded: fc.boolean(),
  })
  .map(({ port, dst, src, tags: tag, packet, cut, flips, padded }): FrameSpec => ({
    port,
    build(place) {
      const list = [...(tag.fit === undefined ? [] : fitting(place, tag.fit, tag.pcp)), ...tag.inner];
      const layer = list.reduceRight((inner: Layer, one) => vlan(one.id, inner, one), packet);
      const whole = frame({ dst: named(dst, place), src: named(src, place), pad: padded ? 60 : 14 }, layer);
      for (const [at, bits] of flips) if (at < whole.length) whole[at] = (whole[at] ?? 0) ^ bits;
      return cut === undefined ? whole : whole.subarray(0, cut);
    },
  }));
