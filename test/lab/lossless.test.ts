// Forwarding never waits for the daemon: numbered packets on every path and a stream into each guest, while it is
// killed, stays away, comes back, comes back with another program, and with another layout of its tables.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createConnection } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { anotherField, copyCheckout, otherProgram } from './load/checkout.ts';
import { bothWays, figures, type Flow, openStream, underLoad } from './load/flows.ts';
import { openSwitch, type TestSwitch } from './switch.ts';

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
/** Packets a second of each flow. */
const rate = 5000;
const awayMs = long ? 15_000 : 3000;
/** What each checkout has, from which a daemon is started in its turn. In all of them each program is another one. */
const changes: readonly { readonly name: string; readonly table?: string }[] = long
  ? [
      { name: 'another program' },
      ...['port', 'port_vlan', 'dev', 'flood', 'bd', 'port_state', 'local', 'fdb'].map((table) => {
        return { name: `another program, and a field more in the rows of ${table}`, table };
      }),
    ]
  : [{ name: 'another program, and a field more in the rows of port_state', table: 'port_state' }];

const vm = `
vms:
  echo2:
    kernel: vmlinuz
    initrd: initrd
    memory: 128M
    port: { vlan: 10 }
    address: [10.0.10.60/24]
`;

const document = `
ports:
  swp1: { vlan: { access: 10 } }
  swp2: { vlan: { access: 10 } }
  swp3: { vlan: { access: 20 } }
  xe1: { vlan: { access: 10 }, datapath: xdp }
  xe2: { vlan: { access: 10 }, datapath: xdp }
  xe3: { vlan: { access: 20 }, datapath: xdp }
vlans:
  10: { address: [10.0.10.254/24] }
  20: { address: [10.0.20.254/24] }
containers:
  echo1:
    image: localhost/midplane/busybox:1
    command: [nc, -ll, -p, "7", -e, cat]
    port: { vlan: 10 }
    address: [10.0.10.50/24]
    memory: 64M
${long ? vm : ''}`;

const in10 = { gateway: ['10.0.10.254'] };
const in20 = { gateway: ['10.0.20.254'] };
const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24'], ...in10 },
  h2: { port: 'swp2', address: ['10.0.10.2/24'], ...in10 },
  h3: { port: 'swp3', address: ['10.0.20.3/24'], ...in20 },
  x1: { port: 'xe1', nic: true, address: ['10.0.10.11/24'], ...in10 },
  x2: { port: 'xe2', nic: true, address: ['10.0.10.12/24'], ...in10 },
  x3: { port: 'xe3', nic: true, address: ['10.0.20.13/24'], ...in20 },
};

const flows: readonly Flow[] = [
  ...bothWays('bridged', ['h1', '10.0.10.1'], ['h2', '10.0.10.2']),
  ...bothWays('routed', ['h1', '10.0.10.1'], ['h3', '10.0.20.3']),
  ...bothWays('XDP', ['x1', '10.0.10.11'], ['x2', '10.0.10.12']),
  ...(long ? bothWays('XDP, routed', ['x1', '10.0.10.11'], ['x3', '10.0.20.13']) : []),
];

const streams = [
  { name: 'container', address: '10.0.10.50', port: 7, bytes: 16_384, rate: 50 },
  ...(long ? [{ name: 'VM', address: '10.0.10.60', port: 7, bytes: 4096, rate: 25 }] : []),
];

interface Version {
  readonly links: readonly { readonly port: string; readonly hook: string; readonly tag: string; current: boolean }[];
}

/** The program on each hook, as `show version` has it. */
const linksOf = async (sw: TestSwitch): Promise<Version['links']> =>
  (await sw.api<Version>('GET', '/v1/show/version')).body.links;

/** All have each other's addresses. */
async function meet(sw: TestSwitch): Promise<void> {
  for (const { name, from, to } of flows) assert.equal(await sw.ping(from[0], to[1], { count: 5 }), 5, name);
}

/** In a VM what echoes is started by its console. */
async function listenInVm(sw: TestSwitch): Promise<void> {
  const path = `/run/midplane/${sw.instance}/console/echo2.sock`;
  for (let i = 0; i < 240 && !existsSync(path); i += 1) await sleep(500);
  const socket = createConnection({ path });
  let said = '';
  socket.on('data', (data) => (said += data.toString()));
  for (let i = 0; i < 240 && !said.includes('on-echo2'); i += 1) {
    socket.write('\necho on-$(uname -n)\n');
    await sleep(500);
  }
  assert.match(said, /on-echo2/, 'the console of the VM answers');
  socket.write('\nnc -ll -p 7 -e cat &\n');
  await sleep(500);
  socket.destroy();
}

/** Fails for a missing number, with the drops that it matches. A run that lost something while the machine's own queues
 * dropped frames too says nothing, and is made again. */
async function nothingIsLost(t: TestContext, sw: TestSwitch, during: () => Promise<void>): Promise<void> {
  for (let again = 2; ; again -= 1) {
    const outcome = await underLoad(sw, flows, rate, during);
    for (const line of figures(outcome)) t.diagnostic(line);
    if (outcome.missing > 0 && outcome.machine.length > 0 && again > 0) {
      t.diagnostic(`invalid: ${outcome.machine.map((drop) => `${drop.count} ${drop.name}`).join(', ')}`);
      continue;
    }
    assert.equal(outcome.missing, 0, outcome.why.join('\n'));
    for (const { name, sent, duplicates } of outcome.reports) {
      assert.ok(sent > rate, `${name}: only ${sent} were sent`);
      assert.equal(duplicates, 0, `${name}: some came twice`);
    }
    return;
  }
}

/** Kills the daemon and starts one from each place in turn (undefined: this checkout). */
async function restarts(
  sw: TestSwitch,
  from: readonly (string | undefined)[],
  ms: number,
  then = noCheck,
): Promise<void> {
  for (const checkout of from) {
    await sleep(500);
    await sw.kill('SIGKILL');
    await sleep(ms);
    await sw.boot([], checkout);
    await then(checkout);
  }
  await sleep(500);
}

const noCheck = (_checkout: string | undefined): Promise<void> => Promise.resolve();

/** Every link has the program of the daemon that runs; its tag is the one of before, or is not. */
async function tagsAre(sw: TestSwitch, before: ReadonlyMap<string, string>, same: boolean): Promise<void> {
  const links = await linksOf(sw);
  assert.equal(links.length, before.size);
  for (const { port, hook, tag, current } of links) {
    assert.ok(current, `${port} ${hook}: the program is that of the daemon that runs`);
    assert.equal(tag === before.get(`${port} ${hook}`), same, `${port} ${hook}: ${tag}`);
  }
  const { text } = await sw.cli('show version');
  for (const { tag } of links) assert.ok(text.includes(tag), text);
}

await test('without a daemon, and through its changes, nothing is lost', async (t) => {
  await using sw = await openSwitch({ document, hosts });
  await meet(sw);
  if (long) await listenInVm(sw);
  const open = await Promise.all(streams.map(async (to) => ({ to, stream: await openStream(sw, 'h1', to) })));
  await t.test(`killed, ${awayMs / 1000} s away, and started again`, async (t) => {
    await nothingIsLost(t, sw, () => restarts(sw, [undefined], awayMs));
  });
  const before = new Map((await linksOf(sw)).map(({ port, hook, tag }) => [`${port} ${hook}`, tag]));
  assert.ok(before.size >= 12, [...before.keys()].join(', '));
  for (const { name, table } of changes) {
    await t.test(`${name}: its tag is on every hook, and then the first again`, async (t) => {
      using other = copyCheckout((folder) => {
        otherProgram(folder);
        if (table !== undefined) anotherField(folder, table);
      });
      await nothingIsLost(t, sw, () =>
        restarts(sw, [other.root, undefined], 200, (checkout) => tagsAre(sw, before, checkout === undefined)),
      );
    });
  }
  await t.test('the streams into guests have come back whole', async (t) => {
    for (const { to, stream } of open) {
      const { sent, echoed, wrong, longestMs, retransmits } = await stream.stop();
      t.diagnostic(`${to.name}: ${echoed} blocks, at most ${longestMs} ms without one, ${retransmits} retransmits`);
      assert.equal(wrong, '', to.name);
      assert.equal(echoed, sent, to.name);
      assert.ok(echoed > 100, `${to.name}: ${echoed} blocks`);
    }
  });
});
