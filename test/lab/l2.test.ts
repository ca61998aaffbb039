// Two hosts ping: bridging by VLAN, seen from the hosts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSwitch } from './switch.ts';

const document = `
ports:
  swp1: { vlan: { access: web } }
  swp2: { vlan: { access: 10 } }
  swp3: { vlan: { access: 20 } }
  swp4: { vlan: { trunk: [web, 20], native: 30 } }
  swp5: { vlan: { access: 30 } }
vlans:
  web: { id: 10 }
`;
// h1, h3 and h5 have an address of one subnet (10.9) though they are in three VLANs.
const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24', '10.9.0.1/24', 'fd00:10::1/64'] },
  h2: { port: 'swp2', address: ['10.0.10.2/24', 'fd00:10::2/64'] },
  h3: { port: 'swp3', address: ['10.0.20.3/24', '10.9.0.3/24'] },
  h4: {
    port: 'swp4',
    address: ['10.0.30.4/24'],
    vlans: { 10: { address: ['10.0.10.4/24', 'fd00:10::4/64'] }, 20: { address: ['10.0.20.4/24'] } },
  },
  h5: { port: 'swp5', address: ['10.0.30.5/24', '10.9.0.5/24'] },
};

await test('hosts of one VLAN reach each other, and nobody else', async (t) => {
  await using sw = await openSwitch({ document, hosts });
  await t.test('access to access, IPv4 and IPv6', async () => {
    assert.equal(await sw.ping('h1', '10.0.10.2'), 3);
    assert.equal(await sw.ping('h1', 'fd00:10::2'), 3);
    assert.equal(await sw.ping('h1', '10.0.10.2', { size: 1472, args: ['-M', 'do'] }), 3);
  });
  await t.test('access to trunk: tagged on the wire', async () => {
    assert.equal(await sw.ping('h1', '10.0.10.4'), 3);
    assert.equal(await sw.ping('h1', 'fd00:10::4'), 3);
    assert.equal(await sw.ping('h3', '10.0.20.4'), 3);
  });
  await t.test('native VLAN: untagged on the trunk', async () => {
    assert.equal(await sw.ping('h5', '10.0.30.4'), 3);
  });
  await t.test('no frame crosses VLANs', async () => {
    assert.equal(await sw.ping('h1', '10.9.0.3', { count: 2 }), 0);
    assert.equal(await sw.ping('h3', '10.9.0.5', { count: 2 }), 0);
  });
  await t.test('TCP passes, whole', async () => {
    assert.ok((await throughput(sw, 'h1', 'h2', '10.0.10.2')) > 1e9, 'more than 1 Gbit/s');
    assert.ok((await throughput(sw, 'h1', 'h4', '10.0.10.4')) > 2e8, 'more than 0.2 Gbit/s');
  });
});

await test('forwarding outlives the daemon, and a new one adopts what is there', async () => {
  await using sw = await openSwitch({ document, hosts });
  assert.equal(await sw.ping('h1', '10.0.10.2'), 3);
  await sw.kill('SIGKILL');
  assert.equal(await sw.ping('h1', '10.0.10.2'), 3, 'without a daemon');
  assert.equal(await sw.ping('h1', '10.0.10.4'), 3, 'a new address is learned without a daemon');
  const before = sw.portIds();
  await sw.boot();
  assert.deepEqual(sw.portIds(), before);
  assert.equal(await sw.ping('h1', '10.0.10.2'), 3);
  const repairs = sw.log.filter((line) => line['pid'] === sw.pid() && line['msg'] === 'repaired');
  assert.deepEqual(repairs, [], 'nothing had to be made anew');
});

/** Bits a second of one TCP stream for a second. */
async function throughput(sw: Awaited<ReturnType<typeof openSwitch>>, from: string, to: string, address: string) {
  const server = sw.on(to, 'timeout', '10', 'iperf3', '-s', '-1', '-B', address);
  await new Promise((done) => setTimeout(done, 300));
  const client = await sw.on(from, 'iperf3', '-c', address, '-t', '1', '-J');
  await server;
  const report = JSON.parse(client.stdout) as { end: { sum_received: { bits_per_second: number } } };
  return report.end.sum_received.bits_per_second;
}
