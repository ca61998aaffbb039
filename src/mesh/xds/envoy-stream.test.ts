// TCP and TLS routes in a real Envoy that is told of them by the manager.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { pino } from 'pino';
import { upstream } from '../../../test/fake/l7.ts';
import { pki } from '../../../test/fake/pki.ts';
import { freePort } from '../../../test/fake/port.ts';
import { envoyMissing, startEnvoy, until } from '../../../test/lab/envoy.ts';
import { readManifests } from '../../config/manifest.ts';
import { systemClock } from '../../lib/clock.ts';
import { buildSnapshots } from '../manifest/build.ts';
import { registryOf } from '../registry/compile.ts';
import { servicesSchema } from '../registry/schema.ts';
import { bootstrap } from './bootstrap.ts';
import { openXds, type Xds } from './server.ts';

const ours = pki();
after(() => ours[Symbol.dispose]());

interface Ports {
  readonly tcp: number;
  readonly tls: number;
  readonly istio: number;
}

const manifests = (to: string, { tcp, tls: secure, istio }: Ports): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec:
  gatewayClassName: midplane
  listeners:
    - { name: tcp, port: ${tcp}, protocol: TCP }
    - { name: any, port: ${secure}, protocol: TLS, tls: { mode: Passthrough } }
    - { name: closed, port: ${secure}, protocol: TLS, hostname: closed.wild.test, tls: { mode: Passthrough } }
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: { name: db }
spec: { parentRefs: [{ name: edge, sectionName: tcp }], rules: [{ backendRefs: [{ name: ${to}, port: 80 }] }] }
---
apiVersion: midplane.dev/v1alpha1
kind: RoutePolicy
metadata: { name: db }
spec: { targetRefs: [{ kind: TCPRoute, name: db }], timeout: { idle: 500ms } }
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TLSRoute
metadata: { name: wild }
spec:
  parentRefs: [{ name: edge, sectionName: any }]
  hostnames: ["*.wild.test"]
  rules: [{ backendRefs: [{ name: wild, port: 443 }] }]
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TLSRoute
metadata: { name: rest }
spec: { parentRefs: [{ name: edge, sectionName: any }], rules: [{ backendRefs: [{ name: rest, port: 443 }] }] }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: legacy }
spec: { servers: [{ port: { number: ${istio}, name: tcp, protocol: TCP }, hosts: ["*"] }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: both }
spec:
  hosts: ["*"]
  gateways: [legacy]
  tcp: [{ route: [{ destination: { host: one }, weight: 50 }, { destination: { host: two }, weight: 50 }] }]
`;

type Targets = Readonly<Record<string, number>>;

async function offer(xds: Xds, to: string, ports: Ports, targets: Targets): Promise<void> {
  const read = readManifests([{ file: 'm.yaml', bytes: Buffer.from(manifests(to, ports)) }]);
  assert.deepEqual(read.problems, []);
  const entries = Object.entries(targets).map(([name, port]) => {
    const outer = name === 'one' || name === 'two' ? 80 : 443;
    return [name, { port: outer, protocol: 'TCP', endpoints: { a: { address: '127.0.0.1', port } } }];
  });
  const services = registryOf(servicesSchema.parse(Object.fromEntries(entries)));
  const built = buildSnapshots({ manifests: read.manifests, services, health: () => true });
  const consumer = xds.consumer('gateway');
  for (const endpoints of built.endpoints) consumer.endpoints(endpoints);
  const snapshot = built.snapshots.find((s) => s.scope === 'gateway');
  assert.equal((await consumer.offer(snapshot!)).ok, true);
}

/** The first bytes that a connection hears, "" where it is closed without any. */
function hear(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('data', (piece: Buffer) => {
      resolve(piece.toString());
      socket.destroy();
    });
    socket.on('error', () => resolve(''));
    socket.on('close', () => resolve(''));
  });
}

/** Whose certificate a server shows by that name, "" where the connection is closed. */
function shown(port: number, servername: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = tls.connect({ port, host: '127.0.0.1', servername, rejectUnauthorized: false });
    socket.on('secureConnect', () => {
      const { CN } = socket.getPeerCertificate().subject;
      resolve(typeof CN === 'string' ? CN : '');
      socket.destroy();
    });
    socket.on('error', () => resolve(''));
    socket.on('close', () => resolve(''));
  });
}

async function secure(name: string): Promise<tls.Server> {
  const { chain: cert, key } = ours.issue(name, 'DNS:x');
  const server = tls.createServer({ cert, key }, (socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

const portOf = (server: net.Server): number => (server.address() as net.AddressInfo).port;

test('TCP, weights, idle times, TLS by name, a change: as the manifests say', { skip: envoyMissing }, async () => {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'midplane-envoy-'));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const [one, two] = [stack.use(await upstream()), stack.use(await upstream())];
  one.server.on('connection', (socket: net.Socket) => socket.write('one'));
  two.server.on('connection', (socket: net.Socket) => socket.write('two'));
  const [wild, rest] = [await secure('wild'), await secure('rest')];
  stack.defer(() => void wild.close());
  stack.defer(() => void rest.close());
  const targets = { one: one.port, two: two.port, wild: portOf(wild), rest: portOf(rest) };
  const ports = { tcp: await freePort(), tls: await freePort(), istio: await freePort() };
  const socketPath = join(folder, 'xds.sock');
  const xds = stack.use(await openXds({ socketPath, log: pino({ level: 'silent' }), clock: systemClock }));
  await offer(xds, 'one', ports, targets);
  const envoy = stack.use(startEnvoy(folder, bootstrap({ role: 'gateway', id: 'gw', xds: { path: socketPath } })));
  await until('a server that speaks first', async () => (await hear(ports.tcp)) === 'one');
  const nacks = () => xds.proxies().flatMap((p) => p.types.flatMap((t) => t.nack ?? []));
  assert.deepEqual(nacks(), []);

  const names = ['a.wild.test', 'b.a.wild.test', 'closed.wild.test', 'other.test', ''];
  assert.deepEqual(await Promise.all(names.map((name) => shown(ports.tls, name))), [
    'wild',
    'wild',
    '',
    'rest',
    'rest',
  ]);
  assert.equal(await hear(ports.tls), '', 'no TLS');

  const heard = await Promise.all(Array.from({ length: 40 }, () => hear(ports.istio)));
  const ones = heard.filter((text) => text === 'one').length;
  assert.ok(ones > 5 && ones < 35 && heard.every((text) => text !== ''), `${ones} of 40`);

  const silent = net.connect(ports.tcp, '127.0.0.1').on('error', () => {});
  const before = performance.now();
  await new Promise<void>((resolve) => silent.on('close', () => resolve()).resume());
  const idle = performance.now() - before;
  // An hour is Envoy's own.
  assert.ok(idle > 400 && idle < 20_000, `${idle} ms`);

  await offer(xds, 'two', ports, targets);
  await until('the other', async () => (await hear(ports.tcp)) === 'two');
  assert.deepEqual(nacks(), []);
  assert.doesNotMatch(envoy.log(), /error|critical/i);
});
