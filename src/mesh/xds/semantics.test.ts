// What the real Envoy does with what it is told, against what the comments of mesh/snapshot.ts promise: one request a
// row.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { readManifests } from '../../config/manifest.ts';
import { systemClock } from '../../lib/clock.ts';
import { buildSnapshots } from '../manifest/build.ts';
import { checkManifests } from '../manifest/kinds.ts';
import { registryOf } from '../registry/compile.ts';
import { servicesSchema } from '../registry/schema.ts';
import { bootstrap } from './bootstrap.ts';
import { envoyMissing, get, type Reply, startEnvoy, until } from '../../../test/lab/envoy.ts';
import { openXds } from './server.ts';
import { freePort } from '../../../test/fake/port.ts';

const manifests = readFileSync(join(import.meta.dirname, '../../../test/golden/envoy/routes.yaml'), 'utf8');

interface Row {
  readonly path: string;
  readonly host?: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly status: number;
  /** Request line's target and headers as the backend saw them. */
  readonly url?: string;
  readonly seen?: Record<string, string | undefined>;
  readonly answer?: Record<string, string | undefined>;
  readonly body?: string;
}

const istio = 'a.istio.example.com';

const rows = (port: number): readonly Row[] => [
  { path: '/prefix', status: 200, url: '/prefix' },
  { path: '/prefix/a//b/../c%2Fd?x=/y', status: 200, url: '/prefix/a//c%2Fd?x=/y' },
  { path: '/prefixed', status: 404 },
  { path: '/', host: 'other.example.com', status: 404 },
  { path: '/rw/a?q=1', status: 200, url: '/new/a?q=1', seen: { host: 'inner.example.com' } },
  { path: '/rw', status: 200, url: '/new' },
  { path: '/rw/', status: 200, url: '/new/' },
  { path: '/strip.it', status: 200, url: '/' },
  { path: '/strip.it/', status: 200, url: '/' },
  { path: '/strip.it/a/b?q=1', status: 200, url: '/a/b?q=1' },
  { path: '/stripxit/a', status: 404 },
  { path: '/full/a/b?q=1', status: 200, url: '/one?q=1' },
  { path: '/to-https/a?q=1', status: 302, answer: { location: 'https://s.example.com/to-https/a?q=1' } },
  { path: '/to-path/a?q=1', status: 308, answer: { location: 'http://gw.example.com:9000/p/a?q=1' } },
  { path: '/to-full/a?q=1', status: 302, answer: { location: `http://gw.example.com:${port}/f?q=1` } },
  { path: '/to-root/a', status: 302, answer: { location: `http://gw.example.com:${port}/a` } },
  { path: '/to-root', status: 302, answer: { location: `http://gw.example.com:${port}/` } },
  { path: '/gone', status: 500 },
  { path: '/none', status: 500 },
  { path: '/empty', status: 503 },
  { path: '/slow', status: 504 },
  {
    path: '/edit',
    headers: { 'x-del': '1', 'x-add': 'a', 'x-set': 'old' },
    status: 200,
    seen: { 'x-set': '100%', 'x-add': 'a, b', 'x-del': undefined, 'x-both': 'backend' },
    answer: {
      'x-upstream': 'hidden',
      'x-secret': undefined,
      server: 'test',
      'x-envoy-upstream-service-time': undefined,
    },
  },
  {
    path: '/prefix',
    // What Envoy adds to x-forwarded-for is an address of the machine where the client's is loopback.
    headers: { 'x-forwarded-for': '192.0.2.1' },
    status: 200,
    seen: {
      'x-forwarded-proto': 'http',
      'x-request-id': undefined,
      'x-envoy-internal': undefined,
      'x-envoy-external-address': undefined,
      'x-envoy-expected-rq-timeout-ms': undefined,
      host: 'gw.example.com',
    },
  },
  { path: '/prefix', host: 'GW.example.com:8080', status: 200, seen: { host: 'GW.example.com:8080' } },
  { path: '/q?v=1', status: 200 },
  { path: '/q?v=2&v=1', status: 404 },
  { path: '/m', status: 404 },
  { path: '/m', method: 'POST', status: 200 },
  { path: '/r/12?x', status: 200 },
  { path: '/r/12/3', status: 404 },
  { path: '/stringent?q', host: istio, status: 200, url: '/sent?q' },
  { path: '/string/a', host: istio, status: 200, url: '/s/a' },
  { path: '/without', host: istio, status: 202, body: 'fine' },
  { path: '/without', host: istio, headers: { 'x-no': '2' }, status: 202 },
  { path: '/without', host: istio, headers: { 'x-no': '1' }, status: 404 },
  { path: '/authority', host: istio, status: 203 },
  { path: '/authority', host: 'b.istio.example.com', status: 404 },
  { path: '/method', host: istio, method: 'PUT', status: 204 },
  { path: '/method', host: istio, status: 404 },
  { path: '/present', host: istio, headers: { 'x-here': '' }, status: 205 },
  { path: '/present', host: istio, status: 404 },
  { path: '/moved/a?q=1', host: istio, status: 301, answer: { location: `http://${istio}/there?q=1` } },
  { path: '/all', host: istio, status: 200, seen: { host: 'all.example.com' } },
];

test('Envoy does with a snapshot what its comments say', { skip: envoyMissing }, async (t) => {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'midplane-envoy-'));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const backend = createServer((request, response) => {
    response.setHeader('server', 'test').setHeader('x-secret', '1');
    const body = JSON.stringify({ url: request.url, headers: request.headers });
    if (request.url === '/slow') setTimeout(() => response.end(body), 1000);
    else response.end(body);
  }).listen(0, '127.0.0.1');
  await once(backend, 'listening');
  stack.defer(() => void backend.close());
  const at = backend.address();
  assert.ok(at !== null && typeof at === 'object');

  const port = await freePort();
  const bytes = Buffer.from(manifests.replaceAll('18080', String(port)));
  const read = readManifests([{ file: 'test.yaml', bytes }]);
  assert.deepEqual([...read.problems, ...checkManifests(read.manifests)], []);
  const web = { port: 80, endpoints: { a: { address: '127.0.0.1', port: at.port } } };
  const services = registryOf(servicesSchema.parse({ web, empty: { port: 80 } }));
  const built = buildSnapshots({ manifests: read.manifests, services, health: () => true });

  const socketPath = join(folder, 'xds.sock');
  const log = pino({ level: 'silent' });
  const xds = stack.use(await openXds({ socketPath, log, clock: systemClock }));
  const consumer = xds.consumer('gateway');
  for (const endpoints of built.endpoints) consumer.endpoints(endpoints);
  for (const snapshot of built.snapshots.filter((s) => s.scope === 'gateway')) await consumer.offer(snapshot);
  const text = bootstrap({ role: 'gateway', id: 'gw', xds: { path: socketPath } });
  const envoy = stack.use(startEnvoy(folder, text));
  const ready = async () => (await get(port, '/prefix', { host: 'gw.example.com' })).status === 200;
  await until('ready', ready).catch((error: unknown) => assert.fail(`${String(error)}\n${envoy.log()}`));

  for (const row of rows(port)) {
    const { path, host = 'gw.example.com', method = 'GET' } = row;
    await t.test(`${method} ${host}${path}${row.headers ? ` ${JSON.stringify(row.headers)}` : ''}`, async () => {
      check(row, await get(port, path, { host, ...row.headers }, method));
    });
  }
});

function check(row: Row, reply: Reply): void {
  assert.equal(reply.status, row.status);
  for (const [name, value] of Object.entries(row.answer ?? {})) assert.equal(reply.headers[name], value, name);
  if (row.body !== undefined) assert.equal(reply.body, row.body);
  if (row.url === undefined && row.seen === undefined) return;
  const seen = JSON.parse(reply.body) as { url: string; headers: Record<string, string> };
  if (row.url !== undefined) assert.equal(seen.url, row.url);
  for (const [name, value] of Object.entries(row.seen ?? {})) assert.equal(seen.headers[name], value, name);
}
