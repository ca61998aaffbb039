// The registry: guests and fixed endpoints answer for one service, and a guest has traffic only while it is healthy.
import { test } from 'node:test';
import { until } from './envoy.ts';
import { backendOf } from './mesh/compare.ts';
import { edgeTo } from '../fake/edge.ts';
import { get } from './mesh/site.ts';
import { openBackends, openClient } from './mesh/talk.ts';
import { openSwitch } from './switch.ts';

const source = `
let healthy = true;
export default {
  fetch(request: Request, env: { NAME: string }): Response {
    const { pathname } = new URL(request.url);
    if (pathname === '/sick') healthy = false;
    if (pathname === '/well') healthy = true;
    const status = pathname === '/health' && !healthy ? 500 : 200;
    return new Response(env.NAME, { status, headers: { 'x-backend': env.NAME } });
  },
};
`;
const guest = (name: string, address: string, version: string): string => `
  ${name}:
    source: functions/web.ts
    port: { vlan: 10 }
    address: [${address}/24]
    environment: { NAME: ${name} }
    service: { name: web, port: 8000, labels: { version: ${version} } }
    health: { http: { port: 8000, path: /health }, interval: 200ms, failures: 2 }`;

const document = `
ports: { swp1: { vlan: { access: 10 } } }
vlans: { 10: { address: [10.10.0.1/24] } }
gateway: { address: 10.10.0.1 }
functions:${guest('f1', '10.10.0.21', 'v1')}${guest('f2', '10.10.0.22', 'v2')}
services:
  web: { port: 80, endpoints: { fixed: { address: 10.10.0.11, port: 8003, labels: { version: v2 } } } }
`;
const manifests = `${edgeTo('web')}---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: istio }
spec: { servers: [{ port: { number: 81, name: http, protocol: HTTP }, hosts: ["*"] }] }
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web }
spec: { host: web, subsets: [{ name: v1, labels: { version: v1 } }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web }
spec: { hosts: ["*"], gateways: [istio], http: [{ route: [{ destination: { host: web, subset: v1 } }] }] }
`;

interface ServiceRow {
  readonly endpoints: readonly { readonly name: string; readonly state: string }[];
}

await test('a service of two guests and a fixed endpoint', async (t) => {
  const hosts = { h1: { port: 'swp1', address: ['10.10.0.11/24'] } };
  const files = { 'functions/web.ts': source };
  await using sw = await openSwitch({ document, hosts, manifests: { 'web.yaml': manifests }, files });
  await using stack = new AsyncDisposableStack();
  stack.use(await openBackends(sw.lab.netnsOf('h1'), { fixed: 8003 }));
  const client = stack.use(openClient(sw.lab.netnsOf('h1')));
  const ask = (port: number) => client.ask({ address: '10.10.0.1', port, ...get('/', 'web') });
  const states = async (): Promise<string> => {
    const { data } = await sw.cli('show services web');
    const rows = (data as readonly ServiceRow[])[0]?.endpoints ?? [];
    return rows.map(({ name, state }) => `${name} ${state}`).join(', ');
  };
  /** Who answers in twelve requests, and with what. */
  const answers = async (): Promise<string> => {
    const given = await Promise.all(Array.from({ length: 12 }, () => ask(80)));
    return [...new Set(given.map((one) => `${backendOf(one)} ${one.status}`))].toSorted().join(', ');
  };
  const tell = (address: string, path: string) => client.ask({ address, port: 8000, ...get(path, 'guest') });

  await t.test('all answer once they are healthy', async () => {
    await until('both guests are healthy', async () => (await states()) === 'f1 healthy, f2 healthy, fixed healthy');
    await until('all answer', async () => (await answers()) === 'f1 200, f2 200, fixed 200');
    await until('a subset chooses by the labels of guests', async () => backendOf(await ask(81)) === 'f1');
  });
  await t.test('a sick guest has no traffic, and has it back when it is well', async () => {
    await tell('10.10.0.21', '/sick');
    await until('it is unhealthy', async () => (await states()) === 'f1 unhealthy, f2 healthy, fixed healthy');
    await until('the others answer', async () => (await answers()) === 'f2 200, fixed 200');
    await until('its subset has nobody', async () => (await ask(81)).status === 503);
    await tell('10.10.0.21', '/well');
    await until('it answers again', async () => (await answers()) === 'f1 200, f2 200, fixed 200');
    await until('and its subset', async () => (await ask(81)).status === 200);
  });
});
