// Routing: SVIs, routed ports, static routes, and what the switch's own stack may not do.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSwitch } from './switch.ts';
import { openTap, throughput } from './traffic.ts';

const document = `
ports:
  swp1: { vlan: { access: 10 } }
  swp2: { vlan: { access: 10 } }
  swp3: { vlan: { access: 20 } }
  swp4: { vlan: { trunk: [10, 20] } }
vlans:
  10: { address: [10.0.10.254/24, "fd00:10::fe/64"] }
  20: { address: [10.0.20.254/24, "fd00:20::fe/64"], mtu: 1400 }
routes:
  10.99.0.0/16: { via: [10.0.20.3] }
  "fd00:99::/64": { via: ["fd00:20::3"] }
  10.66.0.0/16: { blackhole: true }
`;
const hosts = {
  h1: {
    port: 'swp1',
    address: ['10.0.10.1/24', 'fd00:10::1/64', '10.7.0.1/24'],
    gateway: ['10.0.10.254', 'fd00:10::fe'],
  },
  h2: { port: 'swp2', address: ['10.0.10.2/24', 'fd00:10::2/64'], gateway: ['10.0.10.254', 'fd00:10::fe'] },
  h3: {
    port: 'swp3',
    address: ['10.0.20.3/24', 'fd00:20::3/64', '10.99.0.1/32', 'fd00:99::1/128', '10.7.0.3/24'],
    gateway: ['10.0.20.254', 'fd00:20::fe'],
  },
  h4: {
    port: 'swp4',
    vlans: {
      10: { address: ['10.0.10.4/24', 'fd00:10::4/64'] },
      20: { address: ['10.0.20.4/24', 'fd00:20::4/64'], gateway: ['10.0.20.254'] },
    },
  },
};

await test('the switch routes between its VLANs', async (t) => {
  await using sw = await openSwitch({ document, hosts });
  await t.test('the SVI answers', async () => {
    assert.equal(await sw.ping('h1', '10.0.10.254'), 3);
    assert.equal(await sw.ping('h1', 'fd00:10::fe'), 3);
    assert.equal(await sw.ping('h4', '10.0.20.254'), 3, 'tagged');
    assert.equal(await sw.ping('h1', '10.0.20.254'), 3, 'that of the other VLAN, routed');
  });
  await t.test('between VLANs, IPv4 and IPv6, tagged and untagged', async () => {
    assert.equal(await sw.ping('h1', '10.0.20.3'), 3);
    assert.equal(await sw.ping('h1', 'fd00:20::3'), 3);
    assert.equal(await sw.ping('h1', '10.0.20.4'), 3);
    assert.equal(await sw.ping('switch', '10.0.20.3'), 3, 'from the switch itself');
  });
  await t.test('static routes, and a blackhole', async () => {
    assert.equal(await sw.ping('h1', '10.99.0.1'), 3);
    assert.equal(await sw.ping('h1', 'fd00:99::1'), 3);
    assert.equal(await sw.ping('h1', '10.66.0.1', { count: 2 }), 0);
  });
  await t.test('traceroute shows the switch', async () => {
    const { stdout } = await sw.on('h1', 'traceroute', '-n', '-w', '1', '-q', '1', '10.0.20.3');
    assert.match(stdout, /^ 1\s+10\.0\.10\.254/m);
    assert.match(stdout, /^ 2\s+10\.0\.20\.3/m);
    const six = await sw.on('h1', 'traceroute', '-6', '-n', '-w', '1', '-q', '1', 'fd00:20::3');
    assert.match(six.stdout, /^ 1\s+fd00:10::fe/m);
  });
  await t.test('ICMP says that a packet is too big for the next hop', async () => {
    const { stdout } = await sw.on('h1', 'ping', '-n', '-c', '2', '-W', '1', '-M', 'do', '-s', '1450', '10.0.20.3');
    assert.match(stdout, /From 10\.0\.10\.254 .*mtu ?= ?1400/);
    const six = await sw.on('h1', 'ping', '-n', '-c', '2', '-W', '1', '-M', 'do', '-s', '1440', 'fd00:20::3');
    assert.match(six.stdout, /Packet too big: mtu=1400/);
    assert.equal(await sw.ping('h1', '10.0.20.3', { size: 1450 }), 3, 'fragmented where that is allowed');
  });
  await t.test('TCP finds the path MTU', async () => {
    assert.ok((await throughput(sw, 'h1', 'h3', '10.0.20.3')) > 2e8);
  });
});

await test('the stack never speaks on an L2 port, and leaks nothing', async (t) => {
  await using sw = await openSwitch({ document, hosts });
  await t.test('two hosts of one subnet in two VLANs do not meet', async () => {
    assert.equal(await sw.ping('h1', '10.7.0.3', { count: 2 }), 0);
  });
  await t.test('nobody answers ARP for the SVI of the other VLAN', async () => {
    await sw.on('h1', 'ip', 'addr', 'add', '10.0.20.77/24', 'dev', 'eth0');
    assert.equal(await sw.ping('h1', '10.0.20.254', { count: 2, args: ['-I', '10.0.20.77'] }), 0);
    const { stdout } = await sw.on('h1', 'ip', 'neigh', 'show', '10.0.20.254');
    assert.doesNotMatch(stdout, /lladdr/);
    await sw.on('h1', 'ip', 'addr', 'del', '10.0.20.77/24', 'dev', 'eth0');
  });
  await t.test('IPv6 link-local reaches the SVI of its own VLAN alone', async () => {
    const { stdout } = await sw.on('h1', 'ping', '-6', '-n', '-c', '2', '-W', '1', 'ff02::1%eth0');
    assert.match(stdout, /bytes from fe80/, 'the neighbours answer');
    const { stdout: h3 } = await sw.on('h3', 'ip', '-6', 'addr', 'show', 'dev', 'eth0', 'scope', 'link');
    const linkLocal = /inet6 (fe80[^/]*)/.exec(h3)?.[1] ?? '';
    assert.notEqual(linkLocal, '');
    assert.equal(await sw.ping('h1', `${linkLocal}%eth0`, { count: 2 }), 0, 'a host of the other VLAN does not');
  });
  await t.test('no address, no IPv6 and no ARP on the ports themselves', async () => {
    const { stdout } = await sw.on('switch', 'ip', '-o', 'addr');
    assert.doesNotMatch(stdout, /swp/);
    const tap = await openTap(sw.lab.netnsOf('h2'), 'eth0', '-e', '-Q', 'in');
    await sw.on('switch', 'ping', '-c', '2', '-W', '1', '10.0.20.3');
    await sw.ping('h1', '10.0.20.3');
    const heard = await tap.stop();
    const sources = new Set([...heard.matchAll(/\s([0-9a-f:]{17}) >/g)].map(([, mac]) => mac));
    const { stdout: links } = await sw.on('switch', 'ip', '-o', 'link', 'show');
    for (const [, mac] of links.matchAll(/swp\d@.*link\/ether ([0-9a-f:]{17})/g)) assert.ok(!sources.has(mac));
  });
});

const routed = (swp9: string, more = ''): string => `
ports:
  swp1: { vlan: { access: 10 } }
  swp9: { address: [192.0.2.0/31, "fd00:9::1/64"]${swp9} }
vlans:
  10: { address: [10.0.10.254/24, "fd00:10::fe/64"] }
routes:
  0.0.0.0/0: { via: [192.0.2.1] }
${more}`;

await test('a routed port', async (t) => {
  await using sw = await openSwitch({
    document: routed(''),
    hosts: {
      h1: { port: 'swp1', address: ['10.0.10.1/24', 'fd00:10::1/64'], gateway: ['10.0.10.254', 'fd00:10::fe'] },
      h9: {
        port: 'swp9',
        address: ['192.0.2.1/31', 'fd00:9::9/64', '203.0.113.9/32'],
        gateway: ['192.0.2.0', 'fd00:9::1'],
      },
    },
  });
  await t.test('answers, and routes to and from VLANs', async () => {
    assert.equal(await sw.ping('h9', '192.0.2.0'), 3);
    assert.equal(await sw.ping('h1', '192.0.2.1'), 3);
    assert.equal(await sw.ping('h1', 'fd00:9::9'), 3);
    assert.equal(await sw.ping('h1', '203.0.113.9'), 3, 'by the default route');
    assert.equal(await sw.ping('h9', '10.0.10.1'), 3);
    assert.equal(await sw.ping('switch', '203.0.113.9'), 3, 'from the switch itself');
  });
  await t.test('TCP both ways', async () => {
    assert.ok((await throughput(sw, 'h1', 'h9', '192.0.2.1')) > 5e8);
    assert.ok((await throughput(sw, 'h9', 'h1', '10.0.10.1')) > 5e8);
  });
  await t.test('a route over a port that is shut is inactive, whichever of the two came first', async () => {
    const commit = async (document: string): Promise<void> => {
      const { status, body } = await sw.api('POST', '/v1/commit', { document });
      assert.equal(status, 200, JSON.stringify(body));
    };
    const more = '  10.50.0.0/16: { via: [192.0.2.1] }\n  "fd00:50::/64": { via: ["fd00:9::9"] }\n';
    const statics = async (): Promise<Readonly<Record<string, string>>> => {
      const { data } = await sw.cli('show routes | json');
      const rows = data as readonly { prefix: string; protocol: string; inactive: string }[];
      return Object.fromEntries(rows.filter((r) => r.protocol === 'static').map((r) => [r.prefix, r.inactive]));
    };
    const why = 'swp9 is shut';
    await commit(routed(', shut: true'));
    assert.deepEqual(await statics(), { '0.0.0.0/0': why });
    await commit(routed(', shut: true', more));
    assert.deepEqual(await statics(), { '0.0.0.0/0': why, '10.50.0.0/16': why, 'fd00:50::/64': why });
    assert.match(
      (await sw.cli('show routes')).text,
      /10\.50\.0\.0\/16 +192\.0\.2\.1 +swp9 +static, inactive: swp9 is shut/,
    );
    const planned = await sw.api('POST', '/v1/plan', { document: routed(', shut: true', more) });
    assert.deepEqual(planned.body, { ok: true, actions: [] });
    assert.equal(await sw.ping('h1', '203.0.113.9', { count: 1 }), 0);
    await commit(routed('', more));
    assert.deepEqual(await statics(), { '0.0.0.0/0': '', '10.50.0.0/16': '', 'fd00:50::/64': '' });
    assert.equal(await sw.ping('h1', '203.0.113.9'), 3);
  });
});

await test('more addresses than the switch has room for are a fault, not the end', async (t) => {
  await using sw = await openSwitch({ document, hosts });
  const pid = sw.pid();
  const addresses = (verb: 'add' | 'del'): Promise<unknown> => {
    const line = `"address ${verb} 127.1.%d.%d/32 dev lo\\n", $1 / 128, 1 + $1 % 128`;
    return sw.on('switch', 'sh', '-c', `seq 0 8191 | awk '{ printf ${line} }' | ip -batch -`);
  };
  const said = async (what: (line: Record<string, unknown>) => boolean): Promise<void> => {
    for (let i = 0; i < 200 && !sw.log.some(what); i += 1) await new Promise((done) => setTimeout(done, 50));
    assert.ok(sw.log.some(what), JSON.stringify(sw.log.slice(-5)));
  };
  await t.test('the log names the table, and what was known goes on', async () => {
    await addresses('add');
    await said(({ fault }) => (fault as { code?: string } | undefined)?.code === 'table-full');
    assert.equal(sw.pid(), pid);
    assert.equal(await sw.ping('h1', '10.0.10.254'), 3);
    assert.equal(await sw.ping('h1', '10.0.20.3'), 3);
  });
  await t.test('room again is taken', async () => {
    await addresses('del');
    await said(({ msg, table }) => msg === 'recovered' && table === 'local');
    assert.equal(sw.pid(), pid);
    assert.equal(await sw.ping('h3', '10.0.20.254'), 3);
  });
});
