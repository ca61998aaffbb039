// Two hosts ping: bridging by VLAN, seen from the hosts.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { kernel, openSwitch } from './switch.ts';
import { throughput } from './traffic.ts';

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
  const links = linksOf(sw);
  await sw.boot();
  assert.deepEqual(sw.portIds(), before);
  for (const [name, link] of linksOf(sw)) {
    assert.equal(link.id, links.get(name)?.id, `${name}: the same link`);
    assert.notEqual(link.programId, links.get(name)?.programId, `${name}: the new program took the old one's place`);
  }
  assert.equal(await sw.ping('h1', '10.0.10.2'), 3);
  const repairs = sw.log.filter((line) => line['pid'] === sw.pid() && line['msg'] === 'repaired');
  assert.deepEqual(repairs, [], 'nothing had to be made anew');
});

await test('what was learned ages, and goes with its port', async () => {
  await using sw = await openSwitch({ document: `${document}\nfdb: { ageing: 3s }\n`, hosts });
  const learned = async (): Promise<string[]> => {
    const { data } = await sw.cli('show fdb');
    return (data as { type: string; port: string }[]).filter((row) => row.type === 'learned').map((row) => row.port);
  };
  // Between one look and the next something may have been learned, or have aged.
  await until(async () => {
    assert.equal(await sw.ping('h1', '10.0.10.2'), 3);
    const known = await learned();
    const { removed } = (await sw.cli('clear fdb')).data as { removed: number };
    return known.includes('swp2') && removed === known.length;
  }, 'all that was learned is removed');
  assert.equal(await sw.ping('h1', '10.0.10.2'), 3);
  await sw.on('h2', 'ip', 'link', 'set', 'eth0', 'down');
  await until(async () => !(await learned()).includes('swp2'), 'the address of a port without link is forgotten');
  await sw.on('h1', 'ip', 'link', 'set', 'eth0', 'arp', 'off', 'multicast', 'off');
  await until(async () => !(await learned()).includes('swp1'), 'a silent address ages');
});

await test('a port that is shut, by the API: nothing in, nothing out, and counted', async () => {
  await using sw = await openSwitch({ document, hosts });
  assert.equal(await sw.ping('h1', '10.0.10.2'), 3);
  const shut = document.replace('swp2: {', 'swp2: { shut: true,');
  const plan = await sw.api<{ ok: boolean; actions: { line: string }[] }>('POST', '/v1/plan', { document: shut });
  assert.ok(plan.body.ok && plan.body.actions.some((action) => action.line.includes('admin/swp2')));
  assert.equal(await sw.ping('h1', '10.0.10.2'), 3, 'a plan changes nothing');
  const done = await sw.api<{ ok: boolean; revision: { number: number } }>('POST', '/v1/commit', { document: shut });
  assert.equal(done.body.revision.number, 2);
  assert.equal(await sw.ping('h1', '10.0.10.2', { count: 2 }), 0);
  await sw.api('POST', '/v1/rollback', { revision: 1 });
  await until(async () => (await sw.ping('h1', '10.0.10.2', { count: 1 })) === 1, 'the rollback brings it back');
  const bad = await sw.api<{ problems: { line: number; message: string }[] }>('POST', '/v1/check', {
    document: document.replace('access: web', 'acess: web'),
  });
  assert.equal(bad.body.problems[0]?.line, 3);
});

async function until(look: () => Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + 60_000;
  while (!(await look())) {
    assert.ok(performance.now() < end, what);
    await new Promise((done) => setTimeout(done, 200));
  }
}

function linksOf(sw: Awaited<ReturnType<typeof openSwitch>>) {
  const folder = `/sys/fs/bpf/midplane/${sw.instance}/links`;
  return new Map(
    readdirSync(folder).map((name) => {
      using link = kernel.bpf.openLink(`${folder}/${name}`);
      return [name, link?.info() ?? assert.fail(name)] as const;
    }),
  );
}
