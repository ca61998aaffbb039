// The manager against the real Envoy, in all four combinations of variant and transport.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { pino } from 'pino';
import { routeObjects } from '../../../test/fake/manifests.ts';
import { readManifests } from '../../config/manifest.ts';
import { systemClock } from '../../lib/clock.ts';
import { buildSnapshots, type Built } from '../manifest/build.ts';
import { registryOf } from '../registry/compile.ts';
import { servicesSchema } from '../registry/schema.ts';
import { bootstrap } from './bootstrap.ts';
import { envoyMissing, get, startEnvoy, until } from '../../../test/lab/envoy.ts';
import { openXds, type Xds } from './server.ts';
import { freePort } from '../../../test/fake/port.ts';

interface Backend {
  readonly name: string;
  readonly port: number;
  readonly server: Server;
}

const backends: Backend[] = [];
let folder = '';

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'midplane-envoy-'));
  for (const name of ['v1', 'v2']) {
    const server = createServer((request, response) => {
      response.setHeader('x-backend', name);
      response.end(JSON.stringify({ name, url: request.url, headers: request.headers }));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    backends.push({ name, port: address.port, server });
  }
});

after(() => {
  for (const { server } of backends) server.close();
  rmSync(folder, { recursive: true, force: true });
});

function build(port: number, rules: string, down: readonly string[] = []): Built {
  const text = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec: { gatewayClassName: midplane, listeners: [{ name: http, port: ${port}, protocol: HTTP }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: web }
spec: { parentRefs: [{ name: edge }], hostnames: [web.example.com], rules: [${rules}] }
`;
  const { manifests, problems } = readManifests([{ file: 'test.yaml', bytes: Buffer.from(text) }]);
  assert.deepEqual(problems, []);
  const services = Object.fromEntries(
    backends.map(({ name, port: target }) => [
      name,
      { port: 80, endpoints: { a: { address: '127.0.0.1', port: target, guest: name } } },
    ]),
  );
  return buildSnapshots({
    manifests,
    services: registryOf(servicesSchema.parse(services)),
    health: (guest) => !down.includes(guest),
  });
}

async function offer(xds: Xds, built: Built): Promise<void> {
  for (const scope of ['gateway', 'sidecar'] as const) {
    const consumer = xds.consumer(scope);
    for (const endpoints of built.endpoints) consumer.endpoints(endpoints);
    const snapshot = built.snapshots.find((s) => s.scope === scope);
    assert.ok(snapshot);
    assert.equal((await consumer.offer(snapshot)).ok, true);
  }
}

/** Whether all proxies have taken all that they were sent. */
function settled(xds: Xds): boolean {
  const states = xds.proxies().flatMap((proxy) => proxy.types);
  return states.length >= 4 && states.every((t) => t.sent === t.acked);
}

const toV1 = '{ backendRefs: [{ name: v1, port: 80 }] }';
const toV2 = '{ backendRefs: [{ name: v2, port: 80 }] }';

for (const variant of ['sotw', 'delta'] as const) {
  for (const transport of ['unix', 'tcp'] as const) {
    test(
      `Envoy by ${variant} over ${transport}: routes, a change without a gap, health`,
      { skip: envoyMissing },
      async () => {
        await using stack = new AsyncDisposableStack();
        const socketPath = join(folder, `${variant}-${transport}.sock`);
        const log = pino({ level: 'silent' });
        const xds = stack.use(await openXds({ socketPath, log, clock: systemClock }));
        const port = await freePort();
        await offer(xds, build(port, toV1));
        const tcp = transport === 'tcp' ? stack.use(await xds.listen('127.0.0.1:0')) : undefined;
        const at = tcp === undefined ? { path: socketPath } : { address: '127.0.0.1', port: tcp.port };
        const text = bootstrap({ role: 'gateway', id: `gw-${variant}`, xds: at, variant });
        const envoy = stack.use(startEnvoy(folder, text));

        const host = { host: 'web.example.com' };
        await until('first answer', async () => (await get(port, '/a', host)).status === 200);
        assert.equal((await get(port, '/a', host)).headers['x-backend'], 'v1');
        assert.equal((await get(port, '/a', { host: 'WEB.example.com:81' })).status, 200);
        assert.equal((await get(port, '/a', { host: 'other.example.com' })).status, 404);
        await until('all acknowledged', () => settled(xds));
        const [proxy] = xds.proxies();
        assert.deepEqual([proxy?.id, proxy?.role, proxy?.variant], [`gw-${variant}`, 'gateway', variant]);

        // To another cluster and back, ten times, under requests: no request may meet a gap.
        let stop = false;
        const statuses = new Map<number, number>();
        const load = (async () => {
          while (!stop) {
            const { status } = await get(port, '/load', host);
            statuses.set(status, (statuses.get(status) ?? 0) + 1);
          }
        })();
        for (let i = 0; i < 10; i++) {
          const name = i % 2 === 0 ? 'v2' : 'v1';
          await offer(xds, build(port, name === 'v2' ? toV2 : toV1));
          await until(name, async () => (await get(port, '/', host)).headers['x-backend'] === name);
          await until('settled', () => settled(xds));
        }
        stop = true;
        await load;
        assert.deepEqual([...statuses.keys()], [200], JSON.stringify([...statuses]));

        const down = build(port, toV1, ['v1']);
        await offer(xds, down);
        await until('503 without a healthy endpoint', async () => (await get(port, '/', host)).status === 503);
        await offer(xds, build(port, toV1));
        await until('200 again', async () => (await get(port, '/', host)).status === 200);
        assert.deepEqual(
          xds.proxies().flatMap((p) => p.types.flatMap((t) => t.nack ?? [])),
          [],
        );
        assert.doesNotMatch(envoy.log(), /error|critical/i);
      },
    );
  }
}

test('Envoy as a sidecar: services apart by host, on loopback', { skip: envoyMissing }, async () => {
  await using stack = new AsyncDisposableStack();
  const socketPath = join(folder, 'sidecar.sock');
  const log = pino({ level: 'silent' });
  const xds = stack.use(await openXds({ socketPath, log, clock: systemClock }));
  const port = await freePort();
  const entry = ({ port: target }: Backend) => ({ port, endpoints: { a: { address: '127.0.0.1', port: target } } });
  const services = Object.fromEntries(backends.map((backend) => [backend.name, entry(backend)]));
  const registry = registryOf(servicesSchema.parse(services));
  await offer(xds, buildSnapshots({ manifests: [], services: registry, health: () => true }));
  const text = bootstrap({ role: 'sidecar', id: 'app-1', xds: { path: socketPath } });
  stack.use(startEnvoy(folder, text));
  await until('first answer', async () => (await get(port, '/', { host: 'v1' })).status === 200);
  const backendOf = async (host: string) => (await get(port, '/', { host })).headers['x-backend'];
  assert.equal(await backendOf('v2'), 'v2');
  assert.equal(await backendOf(`v1.default.svc.cluster.local:${port}`), 'v1');
  assert.equal(await backendOf('v3'), undefined);
});

test('what Envoy refuses is shown, and the next offer mends it', { skip: envoyMissing }, async () => {
  await using stack = new AsyncDisposableStack();
  const socketPath = join(folder, 'nack.sock');
  const log = pino({ level: 'silent' });
  const xds = stack.use(await openXds({ socketPath, log, clock: systemClock }));
  const text = bootstrap({ role: 'gateway', id: 'gw', xds: { path: socketPath } });
  stack.use(startEnvoy(folder, text));
  const taken = backends[0]?.port ?? 0;
  await offer(xds, build(taken, toV1));
  const nacks = () => xds.proxies().flatMap((p) => p.types.flatMap((t) => t.nack ?? []));
  await until('refused', () => nacks().length === 1);
  assert.match(nacks()[0] ?? '', /Address already in use|cannot bind/i);
  const port = await freePort();
  await offer(xds, build(port, toV1));
  const host = { host: 'web.example.com' };
  await until('served elsewhere', async () => (await get(port, '/', host)).status === 200);
  await until('no refusal is shown', () => nacks().length === 0);
});

test('Envoy takes whatever is built of manifests that are in order', { skip: envoyMissing }, async () => {
  await using stack = new AsyncDisposableStack();
  const socketPath = join(folder, 'any.sock');
  const log = pino({ level: 'silent' });
  const xds = stack.use(await openXds({ socketPath, log, clock: systemClock }));
  const port = await freePort();
  await offer(xds, build(port, toV1));
  stack.use(startEnvoy(folder, bootstrap({ role: 'gateway', id: 'gw', xds: { path: socketPath } })));
  await until('first answer', async () => (await get(port, '/', { host: 'web.example.com' })).status === 200);
  const services = registryOf(servicesSchema.parse({ web: { port: 80 }, api: { port: 81 } }));
  for (const routes of fc.sample(routeObjects, { numRuns: 40, seed: 1 })) {
    const text = [...gatewaysOn(port), ...routes].map((object) => JSON.stringify(object)).join('\n---\n');
    const { manifests } = readManifests([{ file: 'any.yaml', bytes: Buffer.from(text) }]);
    await offer(xds, buildSnapshots({ manifests, services, health: () => true }));
    // Twice: between clusters and routes all may be acknowledged for a moment.
    const taken = async (): Promise<boolean> => settled(xds) && (await sleep(15, true)) && settled(xds);
    await until('taken', taken).catch(() => assert.fail(JSON.stringify({ text, proxies: xds.proxies() }, null, 1)));
  }
});

function gatewaysOn(port: number) {
  const listeners = [{ name: 'http', port, protocol: 'HTTP' }];
  const servers = [{ port: { number: port, protocol: 'HTTP' }, hosts: ['*'] }];
  return [
    {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'Gateway',
      metadata: { name: 'edge' },
      spec: { gatewayClassName: 'midplane', listeners },
    },
    { apiVersion: 'networking.istio.io/v1', kind: 'Gateway', metadata: { name: 'legacy' }, spec: { servers } },
  ];
}
