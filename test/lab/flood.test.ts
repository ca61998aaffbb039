// Floods from one port: addresses, ARP, neighbour discovery, scans, broadcasts. The others' packets pass, limits count
// and are shown, and the CLI answers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import ssh2 from 'ssh2';
import { parseIp } from '../../src/lib/ip.ts';
import { setOffloads } from '../../src/kernel/net/ethtool.ts';
import { arpRequest, checksum, frame, ipv4, ipv6, raw } from '../packets/frame.ts';
import { blow, openSsh, type Seen, type SshDoor, type StormInput } from './storm/probe.ts';
import { kernel, openSwitch, type TestSwitch } from './switch.ts';

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
const most = long ? 1_000_000 : 100_000;
const keys = ssh2.utils.generateKeyPairSync('ed25519');
const document = (limits: string): string => `
users: { admin: { role: admin, keys: ["${keys.public.trim()}"] } }
ports:
  swp1: { vlan: { access: 10 } }
  swp2: { vlan: { access: 10 } }
  swp3: { vlan: { access: 20 } }
  swp4: { vlan: { access: 10 }${limits} }
vlans:
  10: { address: [10.10.0.254/16, "fd00:10::fe/64"] }
  20: { address: [10.20.0.254/16, "fd00:20::fe/64"] }
`;
const gateway = { 10: ['10.10.0.254', 'fd00:10::fe'], 20: ['10.20.0.254', 'fd00:20::fe'] };
const attacker = '02:00:00:00:00:44';
const everyone = 'ff:ff:ff:ff:ff:ff';
const hosts = {
  h1: { port: 'swp1', address: ['10.10.0.1/16', 'fd00:10::1/64'], gateway: gateway[10] },
  h2: { port: 'swp2', address: ['10.10.0.2/16', 'fd00:10::2/64'], gateway: gateway[10] },
  h3: { port: 'swp3', address: ['10.20.0.3/16', 'fd00:20::3/64'], gateway: gateway[20] },
  h4: { port: 'swp4', mac: attacker, address: ['10.10.0.4/16'] },
};
const flows = {
  bridged: ['h1', '10.10.0.2'],
  'routed, IPv4': ['h1', '10.20.0.3'],
  'routed, IPv6': ['h2', 'fd00:20::3'],
} as const;

interface Place extends AsyncDisposable {
  readonly sw: TestSwitch;
  readonly ssh: SshDoor;
  /** The switch's own address. */
  readonly mac: string;
}

async function openPlace(limits = ''): Promise<Place> {
  await using stack = new AsyncDisposableStack();
  const sw = stack.use(await openSwitch({ document: document(limits), hosts }));
  // The storm's frames never were skbs: the port takes them in by NAPI.
  setOffloads('swp4', { gro: true }, sw.lab.switchNetns);
  const ssh = stack.use(await openSsh(sw, keys.private));
  const nl = kernel.netlink(sw.lab.switchNetns);
  const mac = nl.link('vlan10')?.mac ?? '';
  nl.close();
  for (const [from, to] of Object.values(flows)) assert.ok((await sw.ping(from, to)) > 0, `${from} to ${to}`);
  const kept = stack.move();
  return { sw, ssh, mac, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Infinity;

/** Nobody else is the worse for it. A busy machine's own queues may lose a packet, and the hosts' neighbours are in the
 * same kernel's table as the switch's: so not quite all. */
function assertUnharmed(t: { diagnostic(text: string): void }, name: string, seen: Seen): void {
  const ms = `CLI ${Math.round(median(seen.apiMs))} ms, by SSH ${Math.round(median(seen.sshMs))} ms`;
  t.diagnostic(`${name}: ${seen.rate} frames a second; ${JSON.stringify(seen.back)}; ${ms}`);
  for (const [flow, share] of Object.entries(seen.back)) assert.ok(share > 0.9, `${name}: ${flow} got ${share}`);
  assert.ok(seen.rate > 0);
  assert.ok(median(seen.apiMs) < 200 && median(seen.sshMs) < 200, `${name}: ${ms}`);
}

async function counter(sw: TestSwitch, name: string, port = 'swp4'): Promise<number> {
  const { data } = await sw.cli(`show counters ${port}`);
  const [row] = data as { counters: Record<string, number>; drops: Record<string, number> }[];
  return row?.counters[name] ?? row?.drops[name] ?? 0;
}

/** The value of a metric at swp4, NaN where there is none. */
async function metric(sw: TestSwitch, name: string, labels = ''): Promise<number> {
  const { body } = await sw.api<string>('GET', '/metrics');
  return Number(
    body
      .split('\n')
      .find((line) => line.startsWith(`${name}{port="swp4"${labels}} `))
      ?.split(' ')[1],
  );
}

const udpTo = (dst: string, to: string): Uint8Array =>
  frame({ dst: to, src: attacker }, ipv4({ src: '10.10.0.4', dst }));

test('a flood of addresses fills the table and pushes nobody out', async (t) => {
  await using place = await openPlace();
  const { sw, ssh } = place;
  const known = async (): Promise<string[]> => {
    const { data } = await sw.cli('show fdb');
    return (data as { port: string }[]).map((row) => row.port);
  };
  const storm: StormInput = {
    frame: udpTo('10.10.0.2', '02:00:00:00:77:77'),
    count: most,
    random: [[8, 0xffff_ffff]],
  };
  assertUnharmed(t, 'addresses', await blow(sw, 'h4', storm, flows, (line) => ssh.run(line)));
  const ports = await known();
  assert.equal(ports.length, 65_536, 'the table is full');
  for (const port of ['swp1', 'swp2', 'swp3']) assert.ok(ports.includes(port), `${port} is still known`);
  assert.ok((await counter(sw, 'fdbFull')) > most - 70_000, 'what found no room is counted');
  assert.equal(await metric(sw, 'midplane_port_fdb_full_total'), await counter(sw, 'fdbFull'));
  const begun = performance.now();
  await sw.cli('clear fdb swp4');
  t.diagnostic(`clear fdb: ${Math.round(performance.now() - begun)} ms`);
  assert.ok((await known()).length < 20, 'and room is made again');
});

test('mac-limit keeps a flood of addresses at its port', async (t) => {
  await using place = await openPlace(', mac-limit: 100');
  const { sw, ssh } = place;
  const storm: StormInput = { frame: udpTo('10.10.0.2', everyone), count: most, random: [[8, 0xffff_ffff]] };
  assertUnharmed(t, 'addresses, limited', await blow(sw, 'h4', storm, flows, (line) => ssh.run(line)));
  const { data } = await sw.cli('show fdb');
  const there = (data as { port: string; type: string }[]).filter((row) => row.port === 'swp4');
  assert.equal(there.length, 100);
  const dropped = await counter(sw, 'mac-limit');
  assert.ok(dropped >= most - 100, `${dropped} dropped`);
  assert.equal(await metric(sw, 'midplane_port_drops_total', ',reason="mac-limit"'), dropped);
  assert.equal(await counter(sw, 'fdbFull'), 0);
  assert.match(await ssh.run('show drops'), /swp4 +mac-limit +\d+/);
});

/** A neighbour solicitation for the switch whose source is random: the checksum is that of any. */
function solicitation(mac: string): Uint8Array {
  const [src, dst] = ['fd00:10::ffff', 'fd00:10::fe'];
  const bytes = (text: string): number[] => [...(parseIp(text)?.bytes ?? [])];
  const body = [135, 0, 0, 0, 0, 0, 0, 0, ...bytes(dst), 1, 1, 2, 0, 0, 0, 0, 0x44];
  const pseudo = [...bytes(src), ...bytes(dst), 0, 0, 0, 32, 0, 0, 0, 58];
  const sum = checksum(Uint8Array.from([...pseudo, ...body]));
  [body[2], body[3]] = [sum >> 8, sum & 255];
  const inner = { type: 58, bytes: Uint8Array.from(body) };
  return frame({ dst: mac, src: attacker }, ipv6({ src, dst, hopLimit: 255 }, inner));
}

function echoFrom(src: string, to: string): Uint8Array {
  const body = Uint8Array.from([8, 0, 0, 0, 0, 1, 0, 1, ...new Uint8Array(16)]);
  const sum = checksum(body);
  [body[2], body[3]] = [sum >> 8, sum & 255];
  return frame({ dst: to, src: attacker }, ipv4({ src, dst: '10.10.0.254' }, { type: 1, bytes: body }));
}

test('floods at the switch’s own stack: ARP, neighbour discovery, a scan of addresses', async (t) => {
  await using place = await openPlace();
  const { sw, ssh, mac } = place;
  const arp = arpRequest({ mac: attacker, ip: '10.10.128.0', target: '10.10.0.254' });
  const count = long ? 200_000 : 40_000;
  // Of 10.10.128.0/17, so that nobody's address is stolen. Where a checksum covers what is random, the id of the packet
  // makes up for it: the template's is 1.
  const senders = [[28, 0xff7f_0000]] as const;
  const halves = [18, 0x0000_ffff] as const;
  const storms: Readonly<Record<string, StormInput>> = {
    ARP: { frame: frame({ dst: everyone, src: attacker }, arp), count, random: senders },
    'ARP to its address': { frame: frame({ dst: mac, src: attacker }, arp), count, random: senders },
    ND: { frame: solicitation(mac), count, random: [[34, 0xffff_ffff]], folded: true },
    scan: { frame: udpTo('10.20.255.254', mac), count, random: [[30, 0xffff_0000], halves], folded: true },
    'false senders': {
      frame: echoFrom('10.10.255.254', mac),
      count,
      random: [[26, 0xffff_0000], halves],
      folded: true,
    },
  };
  for (const [name, storm] of Object.entries(storms)) {
    const before = await limited(sw);
    assertUnharmed(t, name, await blow(sw, 'h4', storm, flows, (line) => ssh.run(line)));
    const held = (await limited(sw)) - before;
    assert.ok(held > count / 2, `${name}: ${held} of ${count} were kept from the stack`);
    for (const [flow, [from, to]] of Object.entries(flows)) assert.ok((await sw.ping(from, to)) > 0, `${flow} after`);
  }
  assert.equal(await metric(sw, 'midplane_port_drops_total', ',reason="up-limit"'), await counter(sw, 'up-limit'));
  assert.equal(await metric(sw, 'midplane_port_up_skipped_total'), await counter(sw, 'upSkipped'));
});

/** What swp4's limit kept from the stack: frames of its own, and copies of flooded ones. */
const limited = async (sw: TestSwitch): Promise<number> =>
  (await counter(sw, 'up-limit')) + (await counter(sw, 'upSkipped'));

test('a broadcast storm from one port', async (t) => {
  await using place = await openPlace();
  const { sw, ssh } = place;
  const bare = frame({ dst: everyone, src: attacker }, raw(0x88b5));
  const storms: Readonly<Record<string, StormInput>> = {
    broadcasts: { frame: bare, count: 100_000, random: [] },
    'IP broadcasts': { frame: udpTo('10.10.255.255', everyone), count: 100_000, random: [] },
  };
  for (const [name, storm] of Object.entries(storms)) {
    assertUnharmed(t, name, await blow(sw, 'h4', storm, flows, (line) => ssh.run(line)));
  }
});
