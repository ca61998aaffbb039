// A planned upgrade: another daemon takes the place of one that serves, and no client of the L7 router notices. What
// goes wrong half-way leaves one of the two in charge.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './envoy.ts';
import { accessLog, get } from './mesh/site.ts';
import { type Client, openBackends, openClient, openSteady, type Seen } from './mesh/talk.ts';
import { openSwitch, type TestSwitch } from './switch.ts';

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
const load = long ? { rounds: 10, rate: 1000, held: 1000 } : { rounds: 2, rate: 300, held: 200 };
const drainS = 4;

const source = `
export default {
  fetch(request: Request): Response {
    return new Response('ok', { headers: { 'content-length': '2' } });
  },
};
`;
const document = `
ports: { swp1: { vlan: { access: 10 } }, swp2: { vlan: { access: 10 } } }
vlans: { 10: { address: [10.10.0.1/24] } }
gateway: { address: 10.10.0.1 }
functions:
  f1:
    source: functions/web.ts
    port: { vlan: 10 }
    address: [10.10.0.21/24]
    service: { name: guest, port: 8000 }
    health: { http: { port: 8000, path: / }, interval: 1s }
services:
  web: { port: 80, endpoints: { fixed: { address: 10.10.0.12, port: 8003 } } }
`;
const route = (name: string, path: string, port: number): string => `
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: ${name} }
spec:
  parentRefs: [{ name: edge }]
  rules: [{ matches: [{ path: { type: PathPrefix, value: ${path} } }], backendRefs: [{ name: ${name}, port: ${port} }] }]`;
const manifests = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec: { gatewayClassName: midplane, listeners: [{ name: http, port: 80, protocol: HTTP }] }${[
  route('web', '/', 80),
  route('guest', '/guest', 8000),
].join('')}
`;
const hosts = {
  h1: { port: 'swp1', address: ['10.10.0.11/24'] },
  h2: { port: 'swp2', address: ['10.10.0.12/24'] },
};
const files = { 'functions/web.ts': source };
const gateway = { address: '10.10.0.1', port: 80 };

interface Guest {
  readonly pid: number;
  readonly healthy: boolean;
  readonly restarts: number;
}

interface Site extends AsyncDisposable {
  readonly sw: TestSwitch;
  readonly client: Client;
  guest(): Promise<Guest | undefined>;
  /** The pid of the daemon that answers the CLI. */
  answering(): Promise<number>;
}

async function openSite(): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const sw = stack.use(await openSwitch({ document, hosts, manifests: { 'web.yaml': manifests }, files }));
  stack.use(await openBackends(sw.lab.netnsOf('h2'), { fixed: 8003 }));
  const client = stack.use(openClient(sw.lab.netnsOf('h1')));
  const guest = async (): Promise<Guest | undefined> => ((await sw.cli('show guests')).data as readonly Guest[])[0];
  await until('both services answer', async () => {
    const asked = ['/', '/guest'].map((path) => client.ask({ ...gateway, ...get(path, 'web') }));
    return (await Promise.all(asked)).every(({ status }) => status === 200);
  });
  const kept = stack.move();
  return {
    sw,
    client,
    guest,
    answering: async () => ((await sw.cli('show system')).data as { pid: number }).pid,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Lines that the daemons logged with this message. */
const logged = (sw: TestSwitch, message: string) => sw.log.filter((line) => line['msg'] === message);
const whenOf = (line: Record<string, unknown> | undefined): number => Date.parse(String(line?.['time']));

await test('under load', async (t) => {
  await using site = await openSite();
  const { sw } = site;
  const netns = sw.lab.netnsOf('h1');
  const before = await site.guest();
  const fixed = { ...gateway, path: '/', rate: load.rate, held: load.held, idle: 5 };
  await using web = await openSteady(netns, fixed);
  await using guest = await openSteady(netns, { ...gateway, path: '/guest', rate: 20, held: 10, idle: 0 });
  const seen: { web?: Seen; guest?: Seen } = {};

  await t.test(`${load.rounds} take-overs, each by a new process, and the guest stays as it is`, async () => {
    const pinged = sw.ping('h1', '10.10.0.12', { count: 200 });
    for (let round = 0; round < load.rounds; round += 1) {
      const old = sw.pid();
      const { gone } = await sw.takeover(['--drain', `${drainS}s`]);
      assert.notEqual(sw.pid(), old);
      assert.equal(await site.answering(), sw.pid());
      assert.equal(await gone, 0, 'the old one ends well');
    }
    assert.equal(await pinged, 200, 'bridged all the while');
    assert.deepEqual(await site.guest(), before);
  });
  await t.test('no client was refused, reset or left without an answer', async () => {
    [seen.web, seen.guest] = await Promise.all([web.stop(), guest.stop()]);
    t.diagnostic(told(sw, seen.web));
    const failed = { web: seen.web.failed, guest: seen.guest.failed };
    assert.deepEqual(failed, { web: {}, guest: {} }, JSON.stringify(sw.log, undefined, 1));
    assert.ok(seen.web.opened > load.rate * drainS * load.rounds, `${seen.web.opened} new ones`);
    assert.ok(seen.web.moved >= load.held * load.rounds * 0.9, `${seen.web.moved} of the held ones moved`);
  });
  await t.test('who asked nothing was let be until the drain was over', () => {
    const began = whenOf(logged(sw, 'took over')[0]);
    assert.deepEqual(
      seen.web?.idle.map(({ how, when }) => [how, when >= began + drainS * 1000 - 200]),
      Array.from({ length: fixed.idle }, () => ['closed', true]),
    );
  });
  await t.test('each request has its line in one access log', async () => {
    const count = (seen.web?.opened ?? 0) + (seen.web?.held ?? 0) + fixed.idle;
    const lines = () => accessLog(sw).filter((line) => String(line['path']).startsWith('/?')).length;
    await until('all are there', () => lines() >= count);
    assert.equal(lines(), count);
  });
});

/** What a person wants to know of the run: how long nobody managed the switch, and how much went through it. */
function told(sw: TestSwitch, seen: Seen): string {
  const asked = logged(sw, 'handing over').map(whenOf);
  const gaps = logged(sw, 'took over').map((line, i) => whenOf(line) - (asked[i] ?? NaN));
  return `management away for ${gaps.join(', ')} ms; ${seen.opened} new connections, ${seen.held} requests on held ones`;
}
