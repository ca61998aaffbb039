// Limits of connections in a real Envoy that is told of them by the manager.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { connect, upstream } from '../../../test/fake/l7.ts';
import { serveManifests } from '../../../test/fake/l7-manifests.ts';
import { freePort } from '../../../test/fake/port.ts';
import { envoyMissing, startEnvoy, until } from '../../../test/lab/envoy.ts';
import { systemClock } from '../../lib/clock.ts';
import { bootstrap } from './bootstrap.ts';
import { openXds, type Xds } from './server.ts';

const manifests = (http: number, tcp: number, most: number): string => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: edge }
spec:
  gatewayClassName: midplane
  listeners: [{ name: http, port: ${http}, protocol: HTTP }, { name: tcp, port: ${tcp}, protocol: TCP }]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: web }
spec: { parentRefs: [{ name: edge, sectionName: http }], rules: [{ backendRefs: [{ name: web, port: 80 }] }] }
---
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TCPRoute
metadata: { name: web }
spec: { parentRefs: [{ name: edge, sectionName: tcp }], rules: [{ backendRefs: [{ name: web, port: 80 }] }] }
---
apiVersion: midplane.dev/v1alpha1
kind: ListenerPolicy
metadata: { name: limits }
spec: { targetRefs: [{ name: edge }], connection: { connectionLimit: { value: ${most} } } }
`;

function offer(xds: Xds, text: string, port: number): Promise<void> {
  const web = { port: 80, endpoints: { a: { address: '127.0.0.1', port } } };
  return serveManifests(xds.consumer('gateway'), text, { web }, 'gateway');
}

interface Held extends Disposable {
  /** It was answered. */
  readonly ok: boolean;
}

/** A connection that asks once; one that is turned away is closed without a byte. */
async function ask(port: number): Promise<Held> {
  const one = await connect(port);
  one.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const answer = await one.until(/ok$/).catch(() => '');
  return { ok: answer.endsWith('ok'), [Symbol.dispose]: () => void one.socket.destroy() };
}

/** How many of so many connections are answered, side by side; undefined where the Envoy has no listener. */
async function held(port: number, count: number): Promise<number | undefined> {
  using stack = new DisposableStack();
  try {
    const all: Held[] = [];
    for (let i = 0; i < count; i += 1) all.push(stack.use(await ask(port)));
    return all.filter(({ ok }) => ok).length;
  } catch {
    return undefined;
  }
}

test('an Envoy has as many connections as its ListenerPolicy says', { skip: envoyMissing }, async () => {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'midplane-envoy-'));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const up = stack.use(await upstream((socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')));
  const [http, tcp] = [await freePort(), await freePort()];
  const socketPath = join(folder, 'xds.sock');
  const xds = stack.use(await openXds({ socketPath, log: pino({ level: 'silent' }), clock: systemClock }));
  await offer(xds, manifests(http, tcp, 3), up.port);
  const envoy = stack.use(startEnvoy(folder, bootstrap({ role: 'gateway', id: 'gw', xds: { path: socketPath } })));
  // Connections that are gone count no more.
  await until('three of TCP', async () => (await held(tcp, 6)) === 3);
  await until('three of HTTP', async () => (await held(http, 6)) === 3);
  await offer(xds, manifests(http, tcp, 5), up.port);
  await until('five of TCP', async () => (await held(tcp, 6)) === 5);
  await until('five of HTTP', async () => (await held(http, 6)) === 5);
  assert.deepEqual(
    xds.proxies().flatMap((p) => p.types.flatMap((t) => t.nack ?? [])),
    [],
  );
  assert.doesNotMatch(envoy.log(), /error|critical/i);
});
