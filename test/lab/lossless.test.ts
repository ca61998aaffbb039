// Forwarding never waits for the daemon: numbered packets on every path at once while it is killed, stays away, comes
// back with another program, and comes back with another layout of its tables. None is missing.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Checkout, anotherField, copyCheckout, otherProgram } from './load/checkout.ts';
import { bothWays, figures, type Flow, openStream, underLoad } from './load/flows.ts';
import { openSwitch, type TestSwitch } from './switch.ts';

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
const rate = 5000;
const awayMs = long ? 15_000 : 3000;

const echo = (name: string, n: number): string => `
  ${name}:
    image: localhost/midplane/busybox:1
    command: [nc, -ll, -p, "7", -e, cat]
    port: { vlan: 10 }
    address: [10.0.10.${n}/24]
    memory: 64M`;

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
containers:${echo('echo1', 50)}
`;

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
  ...bothWays('XDP, routed', ['x1', '10.0.10.11'], ['x3', '10.0.20.13']),
];

interface Version {
  readonly links: readonly { readonly port: string; readonly hook: string; readonly tag: string; current: boolean }[];
}

const linksOf = async (sw: TestSwitch): Promise<Version['links']> =>
  (await sw.api<Version>('GET', '/v1/show/version')).body.links;

async function meet(sw: TestSwitch): Promise<void> {
  for (const { name, from, to } of flows) assert.equal(await sw.ping(from[0], to[1], { count: 5 }), 5, name);
}

/** Fails for a missing number, with the drops that it matches; a run in which the machine's own queues dropped frames
 * too says nothing, and is made again. */
async function nothingIsLost(t: TestContext, sw: TestSwitch, during: () => Promise<void>): Promise<void> {
  for (let again = 2; ; again -= 1) {
    const outcome = await underLoad(sw, flows, rate, during);
    for (const line of figures(outcome)) t.diagnostic(line);
    if (outcome.missing > 0 && outcome.machine.length > 0 && again > 0) {
      t.diagnostic(`invalid: ${outcome.machine.map((drop) => `${drop.count} ${drop.name}`).join(', ')}`);
      continue;
    }
    assert.equal(outcome.missing, 0, outcome.why.join('\n'));
    for (const report of outcome.reports) assert.ok(report.sent > rate, `${report.name}: ${report.sent} sent`);
    return;
  }
}

await test('nothing is lost without a daemon', async (t) => {
  await using sw = await openSwitch({ document, hosts });
  await meet(sw);
  await t.test('killed and started again', async (t) => {
    await nothingIsLost(t, sw, async () => {
      await sleep(500);
      await sw.kill('SIGKILL');
      await sleep(awayMs);
      await sw.boot();
      await sleep(500);
    });
  });
  await t.test('another program', async (t) => {
    using other = copyCheckout(otherProgram);
    const before = await linksOf(sw);
    assert.ok(before.length > 8 && before.every((link) => link.current), JSON.stringify(before));
    await nothingIsLost(t, sw, async () => {
      for (const from of [other.root, undefined]) {
        await sleep(500);
        await sw.kill('SIGKILL');
        await sleep(500);
        await sw.boot([], from);
        const now = await linksOf(sw);
        const changed = now.filter((link, i) => link.tag !== before[i]?.tag);
        assert.ok(now.every((link) => link.current));
        assert.equal(changed.length, from === undefined ? 0 : now.length);
      }
      await sleep(500);
    });
  });
  for (const map of long
    ? ['port_state', 'port', 'fdb', 'bd', 'dev', 'flood', 'port_vlan', 'local']
    : ['port_state', 'fdb', 'port', 'bd', 'dev', 'local']) {
    await t.test(`a field more in ${map}`, async (t) => {
      using other = copyCheckout((folder) => anotherField(folder, map));
      await nothingIsLost(t, sw, async () => {
        for (const from of [other.root, undefined]) {
          await sleep(500);
          await sw.kill('SIGKILL');
          await sleep(500);
          await sw.boot([], from);
        }
        await sleep(500);
      });
    });
  }
});
