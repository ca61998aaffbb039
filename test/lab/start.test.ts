// How soon frames go where they should: over a new port, after a commit and after a start, and by a route that somebody
// changed while there was no daemon.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Flow, sendFlows } from './load/flows.ts';
import { openSwitch, type TestSwitch } from './switch.ts';

const base = `
ports:
  swp1: { vlan: { access: 10 } }
  xe1: { vlan: { access: 10 }, datapath: xdp }
  xe3: { vlan: { access: 20 }, datapath: xdp }
  xe4: { vlan: { access: 20 }, datapath: xdp }
vlans:
  10: { address: [10.0.10.254/24] }
  20: { address: [10.0.20.254/24] }
`;
/** The document with these ports more. */
const withPorts = (...ports: readonly string[]): string =>
  base.replace('\nvlans:', ports.map((port) => `\n  ${port}: { vlan: { access: 10 } }`).join('') + '\nvlans:');

const in10 = { gateway: ['10.0.10.254'] };
const in20 = { gateway: ['10.0.20.254'] };
/** Plugged in, and no port yet. */
const spare = [5, 6, 7, 8, 9, 10].map((n) => [`h${n}`, { port: `swp${n}`, address: [`10.0.10.${n}/24`] }] as const);
const hosts = {
  h1: { port: 'swp1', address: ['10.0.10.1/24'], ...in10 },
  x1: { port: 'xe1', nic: true, address: ['10.0.10.11/24'], ...in10 },
  x3: { port: 'xe3', nic: true, address: ['10.0.20.3/24', '203.0.113.1/32'], ...in20 },
  x4: { port: 'xe4', nic: true, address: ['10.0.20.4/24', '203.0.113.1/32'], ...in20 },
  ...Object.fromEntries(spare),
};

const limitMs = 1000;
/** Against a start that has grown, in every run; the limit itself is held by the long one. */
const coarseMs = 3000;
const long = process.env['MIDPLANE_TEST_LONG'] === '1';

/** h1 sends to a host from before its port is one, without asking for its address. */
async function sendTo(sw: TestSwitch, host: string) {
  const address = hosts[host as keyof typeof hosts].address[0]?.split('/')[0] ?? '';
  const mac = /ether (\S+)/.exec((await sw.on(host, 'ip', 'link', 'show', 'eth0')).stdout)?.[1] ?? '';
  const known = await sw.on('h1', 'ip', 'neigh', 'replace', address, 'lladdr', mac, 'dev', 'eth0', 'nud', 'permanent');
  assert.equal(known.code, 0, known.stderr);
  const flow: Flow = { name: host, from: ['h1', '10.0.10.1'], to: [host, address] };
  return sendFlows(sw, [flow], 1000);
}

/** Ms from the call to the first frame that came over the new port. */
async function firstFrameMs(sw: TestSwitch, host: string, call: () => Promise<unknown>): Promise<number> {
  const sending = await sendTo(sw, host);
  const begun = process.hrtime.bigint();
  await call();
  await sleep(200);
  const [report] = await sending.stop();
  assert.ok(report !== undefined && report.firstNs > 0, `nothing came to ${host}`);
  assert.ok(report.firstNs > Number(begun), `${host} was reached before it had a port`);
  return (report.firstNs - Number(begun)) / 1e6;
}

/** Microseconds since boot in which something waited for a CPU (Documentation/accounting/psi.rst). */
const waited = (): number => Number(/^some .*total=(\d+)/m.exec(readFileSync('/proc/pressure/cpu', 'utf8'))?.[1]);

/** The best of a few tries is under the limit. A machine whose CPUs were wanted by others for most of the time shows
 * nothing of how long it takes: then the figures are only told. */
async function underLimit(
  t: TestContext,
  what: string,
  limit: number,
  tries: readonly (() => Promise<number>)[],
): Promise<void> {
  const all: number[] = [];
  const [begun, before] = [performance.now(), waited()];
  for (const one of tries) {
    all.push(await one());
    if (Math.min(...all) < limit) break;
  }
  const busy = (waited() - before) / 1000 / (performance.now() - begun);
  const figures = `${what}: ${all.map((ms) => Math.round(ms)).join(', ')} ms`;
  t.diagnostic(figures);
  if (Math.min(...all) >= limit && busy > 0.6) {
    return t.skip(`${figures}, but CPUs were waited for during ${Math.round(busy * 100)}% of the time`);
  }
  assert.ok(Math.min(...all) < limit, `${figures}, and not one under ${limit}`);
}

await test('how soon frames go where they should', async (t) => {
  await using sw = await openSwitch({ document: base, hosts });
  const names = (count: number): string[] => spare.slice(0, count).map(([, { port }]) => port);
  await t.test('a commit to the first frame of its new port', async (t) => {
    const tries = [1, 2, 3].map((n) => async () => {
      const commit = () => sw.api<{ ok: boolean }>('POST', '/v1/commit', { document: withPorts(...names(n)) });
      return firstFrameMs(sw, spare[n - 1]?.[0] ?? '', async () => assert.ok((await commit()).body.ok));
    });
    await underLimit(t, 'commit to the first frame of a new port', limitMs, tries);
  });
  await t.test('a start to the first frame of its new port', async (t) => {
    const tries = [4, 5, 6].map((n) => async () => {
      await sw.kill('SIGKILL');
      writeFileSync(join(sw.folder, 'midplane.yaml'), withPorts(...names(n)));
      return firstFrameMs(sw, spare[n - 1]?.[0] ?? '', () => sw.boot());
    });
    await underLimit(t, 'start to the first frame of a new port', long ? limitMs : coarseMs, tries);
  });
  await t.test('a route that is replaced while there is no daemon', async (t) => {
    const route = async (verb: string, via: string): Promise<void> => {
      const { code, stderr } = await sw.on('switch', 'ip', 'route', verb, '203.0.113.0/24', 'via', via);
      assert.equal(code, 0, stderr);
    };
    await route('add', '10.0.20.3');
    const from = { tcx: ['h1', '10.0.10.1'], XDP: ['x1', '10.0.10.11'] } as const;
    for (const [, address] of Object.values(from)) assert.equal(await sw.ping('x3', address), 3);
    await sw.kill('SIGKILL');
    // Both hosts have the address; each has a socket of its own for it.
    const flows = Object.entries(from).flatMap(([hook, end]) =>
      ['x3', 'x4'].map((host): Flow => ({ name: `${hook} ${host}`, from: end, to: [host, '203.0.113.1'] })),
    );
    const sending = await sendFlows(sw, flows, 500);
    await sleep(500);
    const begun = Number(process.hrtime.bigint());
    await route('replace', '10.0.20.4');
    await sleep(1500);
    await sw.boot();
    await sleep(300);
    const reports = await sending.stop();
    for (const hook of Object.keys(from)) {
      const [old, now] = ['x3', 'x4'].map((host) => reports.find((report) => report.name === `${hook} ${host}`));
      assert.ok(old !== undefined && old.firstNs > 0 && old.firstNs < begun, `${hook}: it went to the first next hop`);
      assert.ok(now !== undefined && now.firstNs > begun, `${hook}: it goes to the second`);
      const ms = (now.firstNs - begun) / 1e6;
      t.diagnostic(`${hook}: followed after ${Math.round(ms)} ms`);
      assert.ok(ms < limitMs, `${hook}: ${ms} ms`);
    }
    assert.equal(await sw.ping('h1', '203.0.113.1'), 3, 'the daemon leaves the route alone');
    assert.match((await sw.on('switch', 'ip', 'route', 'show', '203.0.113.0/24')).stdout, /via 10\.0\.20\.4/);
  });
});
