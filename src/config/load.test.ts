import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { load } from './load.ts';
import { printProblem } from './problem.ts';
import { cidr, ipAddress, prefix } from './types.ts';

const name = z.string().regex(/^[a-z][a-z0-9-]{0,14}$/, 'a name is lower case letters, digits and "-", at most 15');
const vlan = z.union([z.int().min(1).max(4094), name]);
const port = z.strictObject({
  device: z.string().min(1).optional(),
  mtu: z.int().min(68).max(9216).default(1500),
  admin: z.enum(['up', 'down']).default('up'),
  vlan: z
    .strictObject({ access: vlan.optional(), trunk: z.array(vlan).max(4).optional(), native: vlan.optional() })
    .optional(),
  address: z.array(cidr).optional(),
  storm: z
    .union([z.literal('off'), z.strictObject({ broadcast: z.number(), unicast: z.number().optional() })])
    .optional(),
  tunnel: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.literal('vxlan'), vni: z.int().max(16777215) }),
      z.strictObject({ type: z.literal('gre'), key: z.int().optional() }),
    ])
    .optional(),
});
const sections = {
  system: z.strictObject({ hostname: z.string().default('switch'), banner: z.boolean().default(false) }),
  ports: z.record(name, port).default({}),
  routes: z.record(prefix, z.strictObject({ via: z.union([ipAddress, z.array(ipAddress).min(1)]) })).default({}),
  strict: z.strictObject({ must: z.string() }).optional(),
};

function problems(text: string): string[] {
  const result = load({ bytes: Buffer.from(text), file: 'm.yaml', sections });
  return result.ok ? [] : result.problems.map(printProblem);
}

const good = `system: { hostname: leaf1 }
ports:
  swp1: { device: eth1, mtu: 9000, vlan: { access: web } }
  swp2: { vlan: { trunk: [web, 20], native: 1 } }
  swp3:
    address: [192.0.2.1/31, "FD00::1/64"]
    storm: { broadcast: 10 }
    tunnel: { type: vxlan, vni: 5 }
routes: { 0.0.0.0/0: { via: [192.0.2.0] } }
`;

test('a good document: defaults are in, addresses are canonical, all is frozen, places are known', () => {
  const result = load({ bytes: Buffer.from(good), file: 'm.yaml', sections });
  assert.ok(result.ok);
  const { document } = result;
  assert.deepEqual({ ...(document.sections['system'] as object) }, { hostname: 'leaf1', banner: false });
  const ports = document.sections['ports'] as Record<string, z.infer<typeof port>>;
  assert.deepEqual(ports['swp3']?.address, ['192.0.2.1/31', 'fd00::1/64']);
  assert.equal(ports['swp2']?.mtu, 1500);
  assert.ok(Object.isFrozen(ports) && Object.isFrozen(ports['swp3']?.address) && Object.isFrozen(document.sections));
  assert.deepEqual(document.at(['ports', 'swp3', 'address', 1]), { line: 6, column: 29 });
  assert.deepEqual(document.at(['ports', 'swp9', 'mtu']), { line: 3, column: 3 });
});

test('a section has the names that were written, and none of Object’s', () => {
  const result = load({ bytes: Buffer.from('ports: { constructor: { mtu: 1400 } }\n'), file: 'm.yaml', sections });
  assert.ok(result.ok);
  const { ports, routes } = result.document.sections as Record<string, Record<string, unknown>>;
  assert.deepEqual(Object.keys(ports ?? {}), ['constructor']);
  assert.deepEqual([ports?.['toString'], routes?.['constructor']], [undefined, undefined]);
});

test('absent and empty sections have their defaults', () => {
  for (const text of ['', '# nothing\n', 'ports:\nsystem:\n']) {
    const result = load({ bytes: Buffer.from(text), file: 'm.yaml', sections });
    assert.ok(result.ok, text);
    const expected = { system: { hostname: 'switch', banner: false }, ports: {}, routes: {}, strict: undefined };
    assert.deepEqual(structuredClone(result.document.sections), expected);
  }
});

// Each line of input is wrong in one way; beside it stands all that must be said.
const bad: readonly (readonly [string, ...string[]])[] = [
  ['sytem: {}', 'm.yaml:1:1: sytem: there is no section "sytem" (did you mean "system"?)'],
  ['system: { hostnam: a }', 'm.yaml:1:11: system.hostnam: "hostnam" is not known here (did you mean "hostname"?)'],
  ['system: { colour: a }', 'm.yaml:1:11: system.colour: "colour" is not known here (known here: hostname, banner)'],
  ['system: { hostname: 12 }', 'm.yaml:1:21: system.hostname: must be text, not 12 (write "12" in quotes)'],
  ['system: { banner: yes }', 'm.yaml:1:19: system.banner: must be true or false, not "yes" (write true)'],
  ['system: [a]', 'm.yaml:1:9: system: must be a map, not a list'],
  ['ports: { swp1: }', 'm.yaml:1:10: ports.swp1: must be a map, not empty (write {} for an entry without settings)'],
  [
    'ports: { SWP1: {} }',
    'm.yaml:1:10: ports.SWP1: as a key: a name is lower case letters, digits and "-", at most 15',
  ],
  [
    'ports: { a: { mtu: "9000" } }',
    'm.yaml:1:20: ports.a.mtu: must be a number, not "9000" (write 9000 without quotes)',
  ],
  ['ports: { a: { mtu: 10000 } }', 'm.yaml:1:20: ports.a.mtu: must be at most 9216, not 10000'],
  ['ports: { a: { mtu: 1.5 } }', 'm.yaml:1:20: ports.a.mtu: must be a whole number, not 1.5'],
  [
    'ports: { a: { admin: dwon } }',
    'm.yaml:1:22: ports.a.admin: must be one of up, down, not "dwon" (did you mean "down"?)',
  ],
  [
    'ports: { a: { vlan: { acess: 1 } } }',
    'm.yaml:1:23: ports.a.vlan.acess: "acess" is not known here (did you mean "access"?)',
  ],
  ['ports: { a: { vlan: { access: 5000 } } }', 'm.yaml:1:31: ports.a.vlan.access: must be at most 4094, not 5000'],
  [
    'ports: { a: { vlan: { access: Web } } }',
    'm.yaml:1:31: ports.a.vlan.access: a name is lower case letters, digits and "-", at most 15',
  ],
  ['ports: { a: { vlan: { access: true } } }', 'm.yaml:1:31: ports.a.vlan.access: must be a number or text, not true'],
  ['ports: { a: { vlan: { trunk: 5 } } }', 'm.yaml:1:30: ports.a.vlan.trunk: must be a list, not 5 (write [5])'],
  [
    'ports: { a: { vlan: { trunk: [1,2,3,4,5] } } }',
    'm.yaml:1:30: ports.a.vlan.trunk: must have at most 4 entries, not 5',
  ],
  ['ports: { a: { device: "" } }', 'm.yaml:1:23: ports.a.device: must have at least 1 character, not 0'],
  [
    'ports: { a: { address: [10.0.0.1] } }',
    'm.yaml:1:25: ports.a.address.0: "10.0.0.1": not an address with a prefix length (did you mean 10.0.0.1/24?)',
  ],
  ['ports: { a: { storm: on } }', 'm.yaml:1:22: ports.a.storm: must be off, not "on"'],
  [
    'ports: { a: { storm: { brodcast: 1 } } }',
    'm.yaml:1:22: ports.a.storm.broadcast: is missing; it must be a number',
    'm.yaml:1:24: ports.a.storm.brodcast: "brodcast" is not known here (did you mean "broadcast"?)',
  ],
  ['ports: { a: { storm: { broadcast: x } } }', 'm.yaml:1:35: ports.a.storm.broadcast: must be a number, not "x"'],
  [
    'ports: { a: { tunnel: { type: vxlna } } }',
    'm.yaml:1:31: ports.a.tunnel.type: must be one of vxlan, gre, not "vxlna" (did you mean "vxlan"?)',
  ],
  [
    'ports: { a: { tunnel: { type: gre, vni: 1 } } }',
    'm.yaml:1:36: ports.a.tunnel.vni: "vni" is not known here (known here: type, key)',
  ],
  ['ports: { a: { tunnel: { type: vxlan } } }', 'm.yaml:1:23: ports.a.tunnel.vni: is missing; it must be a number'],
  [
    'routes: { 10.0.0.1/8: { via: 10.0.0.1 } }',
    'm.yaml:1:11: routes."10.0.0.1/8": as a key: "10.0.0.1/8": has host bits set (did you mean 10.0.0.0/8?)',
  ],
  ['routes: { 0.0.0.0/0: { via: 10.0.0 } }', 'm.yaml:1:29: routes."0.0.0.0/0".via: "10.0.0": not an IP address'],
  ['routes: { 0.0.0.0/0: { via: [10.0.0.1, x] } }', 'm.yaml:1:40: routes."0.0.0.0/0".via.1: "x": not an IP address'],
  ['routes: { 0.0.0.0/0: { via: [] } }', 'm.yaml:1:29: routes."0.0.0.0/0".via: must have at least 1 entry, not 0'],
  ['routes: { 0.0.0.0/0: { } }', 'm.yaml:1:22: routes."0.0.0.0/0".via: is missing; it must be text or a list'],
  ['- a', 'm.yaml:1:1: the document must be a map of sections'],
  ['system: {}\nsystem: {}', 'm.yaml:2:1: system: the key "system" stands here twice'],
  ['system:\n\thostname: a', 'm.yaml:2:1: a tab can not indent; use spaces'],
];

test('each mistake is named once, at its place, in plain words', () => {
  for (const [text, ...messages] of bad) assert.deepEqual(problems(text), messages, text);
});

test('a good document with one key misspelt has that Problem at that place, and no other', () => {
  const keys = [
    ...good.matchAll(/(hostname|device|mtu|vlan|access|trunk|native|address|storm|broadcast|vni|via)(?=:)/g),
  ];
  assert.ok(keys.length > 10);
  for (const { 0: key, index } of keys) {
    const text = `${good.slice(0, index)}${key.slice(0, -1)}${key.at(-1)}x${good.slice(index + key.length)}`;
    const found = problems(text).filter((line) => line.includes('is not known here'));
    const before = good.slice(0, index).split('\n');
    assert.equal(found.length, 1, text);
    assert.match(
      found[0] ?? '',
      new RegExp(`^m.yaml:${before.length}:${(before.at(-1)?.length ?? 0) + 1}: .*did you mean "${key}"`),
    );
  }
});

test('all Problems at once, in order of place, manifests after the document', () => {
  const text = 'ports: { a: { mtu: 1, admin: x } }\nsystem: { hostname: 5 }\nrouts: {}\n';
  const manifests = [{ file: 'g.yaml', bytes: Buffer.from('kind: Gateway\n') }];
  const result = load({ bytes: Buffer.from(text), file: 'm.yaml', sections, manifests });
  assert.ok(!result.ok);
  const places = result.problems.map(({ file, line, column }) => `${file}:${line}:${column}`);
  assert.deepEqual(places, ['m.yaml:1:20', 'm.yaml:1:30', 'm.yaml:2:21', 'm.yaml:3:1', 'g.yaml:1:1', 'g.yaml:1:1']);
});

test('more Problems than a person reads are counted', () => {
  const text = `ports:\n${Array.from({ length: 500 }, (_, i) => `  p${i}: { mut: 1 }\n`).join('')}`;
  const lines = problems(text);
  assert.equal(lines.length, 200);
  assert.match(lines.at(-1) ?? '', /and 301 more problems/);
});
