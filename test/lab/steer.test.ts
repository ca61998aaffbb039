// Steering: a service address with L7 policy, reached from any VLAN, lands on the router, which knows the port that a
// connection came in by. That is the identity, whatever address a guest gives itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './envoy.ts';
import { accessLog, get } from './mesh/site.ts';
import { type Client, type Given, openBackends, openClient } from './mesh/talk.ts';
import { openSwitch, type TestSwitch } from './switch.ts';

const document = `
ports:
  swp1: { vlan: { access: 10 } }
  swp2: { vlan: { access: 10 } }
  swp3: { vlan: { access: 20 } }
  swp4: { vlan: { access: 20 } }
vlans:
  10: { address: [10.10.0.1/24, "fd00:10::1/64"] }
  20: { address: [10.20.0.1/24, "fd00:20::1/64"] }
services:
  inside: { port: 80, address: 10.20.0.80, endpoints: { b1: { address: 10.20.0.13, port: 8003 } } }
  outside: { port: 8080, address: 192.0.2.80, endpoints: { b1: { address: 10.20.0.13, port: 8003 } } }
  six: { port: 80, address: "fd00:20::80", endpoints: { b1: { address: 10.20.0.13, port: 8003 } } }
`;
const policy = ['inside', 'outside', 'six'].map(
  (name) => `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: ${name} }
spec:
  parentRefs: [{ group: "", kind: Service, name: ${name} }]
  rules:
    - filters: [{ type: ResponseHeaderModifier, responseHeaderModifier: { set: [{ name: x-service, value: ${name} }] } }]
      backendRefs: [{ name: ${name}, port: ${name === 'outside' ? 8080 : 80} }]
`,
);
const hosts = {
  h1: { port: 'swp1', address: ['10.10.0.11/24', 'fd00:10::11/64'], gateway: ['10.10.0.1', 'fd00:10::1'] },
  h2: { port: 'swp2', address: ['10.10.0.12/24', 'fd00:10::12/64'], gateway: ['10.10.0.1', 'fd00:10::1'] },
  h3: { port: 'swp3', address: ['10.20.0.13/24', 'fd00:20::13/64'], gateway: ['10.20.0.1', 'fd00:20::1'] },
  h4: { port: 'swp4', address: ['10.20.0.14/24', 'fd00:20::14/64'], gateway: ['10.20.0.1', 'fd00:20::1'] },
};
const services = {
  inside: ['10.20.0.80', 80],
  outside: ['192.0.2.80', 8080],
  six: ['fd00:20::80', 80],
} as const;
type Service = keyof typeof services;

/** A request to the service from an address of the host's, on a connection of its own. */
function ask(client: Client, service: Service, from: string, path: string, timeoutMs = 5000): Promise<Given> {
  const [address, port] = services[service];
  return client.ask({ address, port, from, timeoutMs, ...get(path, service) });
}

/** The line of the access log with that path, once it is there. */
async function logged(sw: TestSwitch, path: string): Promise<Record<string, unknown>> {
  const find = () => accessLog(sw).find((line) => line['path'] === path);
  await until(`${path} is in the access log`, () => find() !== undefined);
  return find() ?? {};
}

await test('a service address with L7 policy', async (t) => {
  await using sw = await openSwitch({ document, hosts, manifests: { 'policy.yaml': policy.join('---') } });
  await using stack = new AsyncDisposableStack();
  stack.use(await openBackends(sw.lab.netnsOf('h3'), { b1: 8003 }));
  await using h1 = openClient(sw.lab.netnsOf('h1'));
  await using h2 = openClient(sw.lab.netnsOf('h2'));
  await using h4 = openClient(sw.lab.netnsOf('h4'));
  const ids = sw.portIds();

  /** Asks; the answer and the log line must say so. */
  const lands = async (client: Client, service: Service, from: string, port: string, path: string): Promise<void> => {
    const got = await ask(client, service, from, path);
    assert.equal(got.status, 200, got.body);
    assert.deepEqual(
      got.headers.filter(([name]) => name === 'x-service'),
      [['x-service', service]],
    );
    const line = await logged(sw, path);
    const [address, number] = services[service];
    const listener = `steer:${address.includes(':') ? `[${address}]` : address}:${number}`;
    assert.deepEqual(
      [line['port'], line['port_name'], line['client'], line['listener'], line['status'], line['upstream']],
      [ids[port], port, from, listener, 200, 'b1'],
    );
  };

  await t.test('is reached from another VLAN, and the log names the port', async () => {
    await lands(h1, 'inside', '10.10.0.11', 'swp1', '/inside-1');
    await lands(h2, 'inside', '10.10.0.12', 'swp2', '/inside-2');
    await lands(h1, 'outside', '10.10.0.11', 'swp1', '/outside-1');
    await lands(h1, 'six', 'fd00:10::11', 'swp1', '/six-1');
  });
  await t.test('is reached from its own VLAN, where the switch answers ARP for it', async () => {
    await lands(h4, 'inside', '10.20.0.14', 'swp4', '/inside-4');
    await lands(h4, 'outside', '10.20.0.14', 'swp4', '/outside-4');
    await lands(h4, 'six', 'fd00:20::14', 'swp4', '/six-4');
  });
  await t.test('upstreams see the switch, and the client in a header', async () => {
    const got = await ask(h1, 'inside', '10.10.0.11', '/seen');
    const { rawHeaders } = JSON.parse(got.body) as { rawHeaders: string[] };
    assert.equal(rawHeaders[rawHeaders.indexOf('x-forwarded-for') + 1], '10.10.0.11');
  });
  await t.test('a change of address keeps the identity', async () => {
    await sw.on('h1', 'ip', 'addr', 'add', '10.10.0.99/24', 'dev', 'eth0');
    await lands(h1, 'inside', '10.10.0.99', 'swp1', '/changed');
    await lands(h1, 'outside', '10.10.0.99', 'swp1', '/changed-outside');
  });
  await t.test('who takes an address of another VLAN gets no answer, and its SYNs carry its own port', async () => {
    await sw.on('h4', 'ip', 'addr', 'add', '10.10.0.11/32', 'dev', 'eth0');
    // The owner would end what it did not begin: without it the half-open connection stays to be seen.
    await sw.on('h1', 'ip', 'addr', 'del', '10.10.0.11/24', 'dev', 'eth0');
    const asked = ask(h4, 'inside', '10.10.0.11', '/taken', 3000);
    let seen = '';
    await until('a half-open connection', async () => {
      const { stdout } = await sw.on('switch', 'ss', '-tneH', 'state', 'syn-recv');
      seen = stdout;
      return stdout.includes('10.10.0.11');
    });
    const mark = Number(/fwmark:(0x[0-9a-f]+)/.exec(seen)?.[1]);
    assert.equal(mark & 0xffff, ids['swp4'], seen);
    assert.equal((await asked).status, 0, 'no answer');
    assert.equal(
      accessLog(sw).find((line) => line['path'] === '/taken'),
      undefined,
    );
    await sw.on('h4', 'ip', 'addr', 'del', '10.10.0.11/32', 'dev', 'eth0');
  });
  await t.test('who takes an address in its own VLAN appears under its own port', async () => {
    await sw.on('h2', 'ip', 'addr', 'add', '10.10.0.11/24', 'dev', 'eth0');
    await sw.on('h2', 'arping', '-U', '-c', '1', '-I', 'eth0', '10.10.0.11');
    await sw.on('switch', 'ip', 'neigh', 'flush', 'to', '10.10.0.11');
    await lands(h2, 'inside', '10.10.0.11', 'swp2', '/taken-near');
  });
});
