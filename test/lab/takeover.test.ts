// A planned upgrade: another daemon takes the place of one that serves, and no client of the L7 router notices. What
// goes wrong half-way leaves one of the two in charge.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { until } from './envoy.ts';
import { accessLog, get } from './mesh/site.ts';
import { type Client, openBackends, openClient, openSteady, type Seen } from './mesh/talk.ts';
import { openSwitch, startDaemon, type TestSwitch } from './switch.ts';

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
const load = long ? { rounds: 10, rate: 1000, held: 1000 } : { rounds: 2, rate: 300, held: 200 };
const drainS = 4;
/** More than a daemon takes to start on a machine that has much else to do. */
const startMs = 60_000;

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
  rules:
    - matches: [{ path: { type: PathPrefix, value: ${path} } }]
      backendRefs: [{ name: ${name}, port: ${port} }]`;
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
  const fixed = { ...gateway, path: '/', rate: load.rate, held: load.held, idle: 5, tunnels: 50 };
  await using web = await openSteady(netns, fixed);
  await using guest = await openSteady(netns, { ...gateway, path: '/guest', rate: 20, held: 10, idle: 0 });
  const seen: { web?: Seen; guest?: Seen } = {};
  const began = performance.now();

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
    const lastedS = (performance.now() - began) / 1000;
    [seen.web, seen.guest] = await Promise.all([web.stop(), guest.stop()]);
    t.diagnostic(told(sw, seen.web));
    const failed = { web: seen.web.failed, guest: seen.guest.failed };
    assert.deepEqual(failed, { web: {}, guest: {} }, JSON.stringify(sw.log, undefined, 1));
    assert.ok(seen.web.opened > load.rate * lastedS * 0.9, `${seen.web.opened} new ones in ${lastedS} s`);
    assert.ok(seen.web.moved >= load.held * load.rounds * 0.9, `${seen.web.moved} of the held ones moved`);
  });
  await t.test('tunnels went along, each by its sockets, and the last daemon has them', () => {
    assert.ok((seen.web?.numbers ?? 0) > fixed.tunnels * load.rounds * drainS, `${seen.web?.numbers} numbers`);
  });
  await t.test('who asked nothing was let be until the drain was over', () => {
    const began = whenOf(logged(sw, 'took over')[0]);
    assert.deepEqual(
      seen.web?.idle.map(({ how, when }) => [how, when >= began + drainS * 1000 - 200]),
      Array.from({ length: fixed.idle }, () => ['closed', true]),
    );
  });
  await t.test('each request has its line in one access log', async () => {
    const count = (seen.web?.opened ?? 0) + (seen.web?.held ?? 0) + fixed.idle + fixed.tunnels;
    const lines = () => accessLog(sw).filter((line) => String(line['path']).startsWith('/?')).length;
    await until('all are there', () => lines() >= count);
    assert.equal(lines(), count);
  });
});

/** Ends a daemon at once, as a crash would. */
async function crash(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

await test('half-way', async (t) => {
  await using site = await openSite();
  const { sw, client } = site;
  const steady = { ...gateway, path: '/', rate: 50, held: 20, idle: 0 };
  await using web = await openSteady(sw.lab.netnsOf('h1'), steady);
  const socket = join('/run/midplane', sw.instance, 'takeover.sock');
  let comments = 0;
  /** This daemon has all of it: CLI, commits, the guest, the router. */
  const inCharge = async (pid: number): Promise<void> => {
    await until('it answers', async () => (await site.answering()) === pid, startMs);
    comments += 1;
    const changed = `${document}system: { hostname: h${comments} }\n`;
    assert.equal((await sw.api('POST', '/v1/commit', { document: changed })).status, 200);
    assert.equal((await client.ask({ ...gateway, ...get('/guest', 'web') })).status, 200);
  };
  /** Starts one that wants the place, and kills it. */
  const killed = async (when: (wants: ChildProcess) => Promise<unknown>): Promise<void> => {
    const wants = startDaemon({ ...sw, args: [] }, ['--takeover']);
    try {
      await when(wants);
    } finally {
      await crash(wants);
    }
  };
  const handing = () => logged(sw, 'handing over').length;
  const resumed = () => logged(sw, 'the new daemon is gone before it served: going on').length;
  const before = await site.guest();

  await t.test('the new one dies before it asks: the old one has not even heard of it', async () => {
    await killed(() => sleep(150));
    await inCharge(sw.pid());
    assert.equal(handing(), 0);
  });
  await t.test('the new one dies when it has lock and world: the old one takes them back', async () => {
    for (const ms of [0, 100]) {
      const asked = handing();
      await killed(async () => {
        await until('it has asked', () => handing() > asked, startMs);
        await sleep(ms);
      });
      await until('the old one goes on', () => resumed() > asked, startMs);
      await inCharge(sw.pid());
    }
  });
  await t.test('one at a time; and one that asks and then does nothing keeps nobody from the router', async () => {
    const first = ask(socket);
    assert.match(await first.heard(), /"released".*"healthy":\["f1"\]/);
    assert.match(await ask(socket).heard(), /"busy".*handing over/);
    const again = startDaemon({ ...sw, args: [] }, ['--takeover']);
    assert.deepEqual(await once(again, 'exit'), [2, null]);
    await assert.rejects(site.answering(), 'nobody manages it');
    assert.equal((await client.ask({ ...gateway, ...get('/', 'web') })).status, 200);
    const count = resumed();
    first.leave();
    await until('the old one goes on', () => resumed() > count);
    await inCharge(sw.pid());
  });
  await t.test('until now no client of the router has noticed', async () => {
    const { failed, opened } = await web.stop();
    assert.deepEqual(failed, {}, JSON.stringify(sw.log, undefined, 1));
    assert.ok(opened > 100);
  });
  await t.test(
    'the new one dies when it serves: the next start is an ordinary one, while the old one drains',
    async () => {
      await using idle = await openSteady(sw.lab.netnsOf('h1'), { ...steady, rate: 0, held: 0, idle: 1 });
      const { gone } = await sw.takeover(['--drain', '5s']);
      await sw.crash();
      await sw.boot();
      await inCharge(sw.pid());
      assert.equal(await gone, 0);
      assert.deepEqual((await idle.stop()).failed, {});
    },
  );
  await t.test('one that cannot hand over is told to end, and waited for', async () => {
    rmSync(socket);
    const { gone } = await sw.takeover();
    assert.equal(await gone, 0);
    assert.equal(logged(sw, 'took over').length, 1, 'of the one before, which could');
    await inCharge(sw.pid());
  });
  await t.test('the guest has run all the while', async () => {
    await until('it is as it was', async () => isDeepStrictEqual(await site.guest(), before));
  });
});

/** Asks for the place, as a new daemon would. */
function ask(path: string): { heard(): Promise<string>; leave(): void } {
  const socket = connect(path).setEncoding('utf8');
  socket.write(`${JSON.stringify({ say: 'ask', pid: process.pid, version: 'test' })}\n`);
  return {
    heard: async () => String((await once(socket, 'data'))[0]),
    leave: () => void socket.destroy(),
  };
}

/** What a person wants to know of the run: how long nobody managed the switch, and how much went through it. */
function told(sw: TestSwitch, seen: Seen): string {
  const asked = logged(sw, 'handing over').map(whenOf);
  const gaps = logged(sw, 'took over').map((line, i) => whenOf(line) - (asked[i] ?? NaN));
  const much = `${seen.opened} new connections, ${seen.held} requests on held ones`;
  return `management away for ${gaps.join(', ')} ms; ${much}`;
}
