// Native XDP on NICs. A NIC is a veth pair with its offloads off and a program at the far end; what is attached where
// is read from the kernel, so that a silent fallback fails.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countersOf } from './invariant.ts';
import { kernel, openSwitch, type TestSwitch } from './switch.ts';
import { openTap } from './traffic.ts';

const document = `
ports:
  swp1: { vlan: { access: 10 }, datapath: xdp }
  swp2: { vlan: { access: 10 }, datapath: xdp }
  swp3: { vlan: { access: 20 }, datapath: xdp }
  swp4: { vlan: { access: 10 } }
  swp5: { vlan: { trunk: [10, 20] }, datapath: xdp }
vlans:
  10: { address: [10.0.10.254/24, "fd00:10::fe/64"] }
  20: { address: [10.0.20.254/24, "fd00:20::fe/64"] }
`;
const gateway = { 10: ['10.0.10.254', 'fd00:10::fe'], 20: ['10.0.20.254', 'fd00:20::fe'] };
const hosts = {
  h1: { port: 'swp1', nic: true, address: ['10.0.10.1/24', 'fd00:10::1/64'], gateway: gateway[10] },
  h2: { port: 'swp2', nic: true, address: ['10.0.10.2/24', 'fd00:10::2/64'], gateway: gateway[10] },
  h3: { port: 'swp3', nic: true, address: ['10.0.20.3/24', 'fd00:20::3/64'], gateway: gateway[20] },
  h4: { port: 'swp4', address: ['10.0.10.4/24', 'fd00:10::4/64'], gateway: gateway[10] },
  h5: {
    port: 'swp5',
    nic: true,
    vlans: { 10: { address: ['10.0.10.5/24'] }, 20: { address: ['10.0.20.5/24'], gateway: ['10.0.20.254'] } },
  },
};

/** What the kernel says is attached to a port's device. */
function attached(sw: TestSwitch, port: string, hook: 'xdp' | 'tcx-ingress') {
  const nl = kernel.netlink(sw.lab.switchNetns);
  try {
    const ifindex = nl.link(port)?.index ?? 0;
    return kernel.bpf.query(ifindex, hook, sw.lab.switchNetns);
  } finally {
    nl.close();
  }
}

/** Prints the echo requests that a packet socket on the device sees. */
const tapOn = (sw: TestSwitch, port: string) => openTap(sw.lab.switchNetns, port, 'icmp[0] == 8');

const counted = (sw: TestSwitch, port: string) => countersOf(sw.instance, sw.portIds()[port] ?? 0);

await test('NICs forward in XDP, the rest at tcx of the same device', async (t) => {
  await using sw = await openSwitch({ document, hosts });
  await t.test('the programs are where the document says, native, and the same everywhere', () => {
    const tags = new Set<string>();
    for (const port of ['swp1', 'swp2', 'swp3', 'swp5']) {
      const [xdp, ...more] = attached(sw, port, 'xdp');
      assert.equal(xdp?.mode, 'native', port);
      assert.deepEqual(more, []);
      tags.add(xdp.tag);
      assert.equal(attached(sw, port, 'tcx-ingress').length, 1, `${port} has tcx too`);
    }
    assert.equal(tags.size, 1);
    assert.deepEqual(attached(sw, 'swp4', 'xdp'), [], 'a virtual port has none');
    assert.equal(attached(sw, 'swp4', 'tcx-ingress').length, 1);
  });
  await t.test('bridged and routed between NICs', async () => {
    assert.equal(await sw.ping('h1', '10.0.10.2', { count: 20 }), 20);
    assert.equal(await sw.ping('h1', 'fd00:10::2', { count: 20 }), 20);
    assert.equal(await sw.ping('h1', '10.0.20.3', { count: 20 }), 20);
    assert.equal(await sw.ping('h1', 'fd00:20::3', { count: 20 }), 20);
  });
  await t.test('tagged at one end', async () => {
    assert.equal(await sw.ping('h1', '10.0.10.5', { count: 20 }), 20);
    assert.equal(await sw.ping('h3', '10.0.20.5', { count: 20 }), 20);
    assert.equal(await sw.ping('h1', '10.0.20.5', { count: 20 }), 20, 'routed');
  });
  await t.test('between a NIC and a virtual port', async () => {
    assert.equal(await sw.ping('h1', '10.0.10.4', { count: 20 }), 20);
    assert.equal(await sw.ping('h4', '10.0.20.3', { count: 20 }), 20);
  });
  await t.test('the switch answers, and says what is too big', async () => {
    assert.equal(await sw.ping('h1', '10.0.10.254'), 3);
    assert.equal(await sw.ping('h1', '10.0.20.254'), 3);
  });
  await t.test('known unicast between NICs is finished in XDP: it never becomes an skb', async () => {
    const taps = await Promise.all(['swp1', 'swp2'].map((port) => tapOn(sw, port)));
    const before = counted(sw, 'swp1').rx;
    assert.equal(await sw.ping('h1', '10.0.10.2', { count: 100, args: ['-i', '0.01'] }), 100);
    assert.ok(counted(sw, 'swp1').rx - before >= 100n, 'they are counted');
    for (const tap of taps) assert.equal((await tap.stop()).trim(), '', 'and no tap sees one');
  });
  await t.test('what XDP passes is judged at tcx: a tap sees it', async () => {
    const tap = await tapOn(sw, 'swp1');
    assert.equal(await sw.ping('h1', '10.0.10.4', { count: 10 }), 10);
    assert.ok((await tap.stop()).split('\n').length > 10);
  });
});
