// The router by its manifests, and an Envoy by a configuration that somebody wrote by hand to mean the same: the same
// requests to both. Neither knows of the other: no code of ours stands between the two texts.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readManifests } from '../../src/config/manifest.ts';
import { type Router, startRouter } from '../../src/l7/router.ts';
import { checkManifests } from '../../src/mesh/manifest/kinds.ts';
import { upstream, patienceMs } from '../fake/l7.ts';
import { serveManifests } from '../fake/l7-manifests.ts';
import { freePort } from '../fake/port.ts';
import { envoyMissing, get, type Reply, startEnvoyOn } from './envoy.ts';
import { type Asked, requests } from './oracle/requests.ts';

const names = ['one', 'two', 'three'] as const;
const text = (name: string): string => readFileSync(join(import.meta.dirname, 'oracle', name), 'utf8');

/** What may differ in what an upstream receives, and why. */
const allowed: readonly (readonly [line: RegExp, why: string])[] = [
  [/^x-forwarded-for: /, 'of a client on loopback Envoy gives an address of the machine'],
  [/^x-envoy-/, 'Envoy speaks of itself'],
];
/** In what a client receives. */
const hop = new Set(['date', 'connection', 'keep-alive', 'transfer-encoding', 'content-length', 'server']);

interface Sides {
  readonly ours: number;
  readonly envoys: number;
}

const stack = new AsyncDisposableStack();
let sides: Sides;

/** Answers each head with its own text; a body is not expected. */
async function echo(name: string): Promise<number> {
  const up = await upstream((socket, piece) => {
    for (const head of piece.toString('latin1').split('\r\n\r\n').slice(0, -1)) {
      const body = JSON.stringify({ name, head });
      socket.write(`HTTP/1.1 200 OK\r\nX-Up: 1\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    }
  });
  return stack.use(up).port;
}

async function ourRouter(port: number, up: Readonly<Record<string, number>>): Promise<Router> {
  const own = text('manifests.yaml').replace('18080', String(port));
  const { manifests } = readManifests([{ file: 'manifests.yaml', bytes: Buffer.from(own) }]);
  assert.deepEqual(checkManifests(manifests), []);
  const services = Object.entries(up).map(([name, at]) => [
    name,
    { port: 80, endpoints: { a: { address: '127.0.0.1', port: at } } },
  ]);
  const router = startRouter({ workers: 1, ackMs: patienceMs });
  await serveManifests(router, own, Object.fromEntries(services));
  return router;
}

before(async () => {
  if (envoyMissing !== false) return;
  const folder = mkdtempSync(join(tmpdir(), 'mpt-oracle-'));
  stack.defer(() => rmSync(folder, { recursive: true }));
  const up: Record<string, number> = {};
  for (const name of names) up[name] = await echo(name);
  sides = { ours: await freePort(), envoys: await freePort() };
  stack.use(await ourRouter(sides.ours, up));
  const config = names.reduce(
    (all, name) => all.replace(`port_value: ${name.toUpperCase()}`, `port_value: ${up[name]}`),
    text('envoy.yaml')
      .replace('port_value: PORT', `port_value: ${sides.envoys}`)
      .replace('port_redirect: PORT', `port_redirect: ${sides.ours}`),
  );
  stack.use(await startEnvoyOn(folder, config, sides.envoys));
});
after(() => stack.disposeAsync());

interface Seen {
  readonly status: number;
  readonly backend: string;
  /** What the upstream received, line by line. */
  readonly received: readonly string[];
  readonly answer: Readonly<Record<string, unknown>>;
}

function seen({ status, headers, body }: Reply): Seen {
  const answer = Object.fromEntries(Object.entries(headers).filter(([name]) => !hop.has(name)));
  // A host is the same in any case.
  const { location } = answer;
  if (location !== undefined)
    answer['location'] = String(location).replace(/^[^/]*\/\/[^/]*/, (at) => at.toLowerCase());
  if (!body.startsWith('{')) return { status, backend: '', received: [], answer };
  const { name, head } = JSON.parse(body) as { name: string; head: string };
  const [line = '', ...fields] = head.split('\r\n');
  const lowered = fields.map((field) => field.replace(/^[^:]+:/, (each) => each.toLowerCase()));
  const kept = lowered.filter((field) => !allowed.some(([pattern]) => pattern.test(field)));
  return { status, backend: name, received: [line, ...kept], answer };
}

const ask = async (port: number, { method, host, path, headers }: Asked): Promise<Seen> =>
  seen(await get(port, path, { host, ...headers }, method));

describe('the router and an Envoy that was configured by hand', { skip: envoyMissing }, () => {
  const all = requests();
  for (const route of new Set(all.map((each) => each.route))) {
    test(`the same of ${route}: status, backend, what it receives, what the client gets`, async () => {
      const mine = all.filter((each) => each.route === route);
      assert.ok(mine.filter((each) => !each.miss).length >= 20);
      for (const each of mine) {
        const words = `${each.method} ${each.host}${each.path} ${JSON.stringify(each.headers)}`;
        const got = await ask(sides.ours, each);
        assert.deepEqual(got, await ask(sides.envoys, each), words);
        if (!each.miss) assert.equal(got.backend === '' ? String(got.status) : got.backend, each.to, words);
      }
    });
  }

  test('six of ten requests are taken by the route that they are made for, and no near miss is', async () => {
    assert.ok(all.filter((each) => !each.miss).length >= all.length * 0.6);
    const key = ({ status, backend, received, answer }: Seen): string =>
      JSON.stringify([status, backend, received[0]?.split(' ')[0], answer['location'], answer['x-down']]);
    for (const route of ['exact', 'regex', 'PUT', 'two headers', 'two parameters', 'redirect', 'deeper wildcard']) {
      const mine = all.filter((each) => each.route === route);
      const taken = new Set<string>();
      for (const each of mine.filter(({ miss }) => !miss).slice(0, 1)) taken.add(key(await ask(sides.ours, each)));
      for (const each of mine.filter(({ miss }) => miss)) {
        assert.ok(!taken.has(key(await ask(sides.ours, each))), `${route}: ${each.method} ${each.host}${each.path}`);
      }
    }
  });

  test('weights are kept: chi-square of 5, 3 and 2 in 1,000 requests, of both', async () => {
    const shares = { one: 0.5, two: 0.3, three: 0.2 };
    for (const port of [sides.ours, sides.envoys]) {
      const counts: Record<string, number> = { one: 0, two: 0, three: 0 };
      const request = { route: 'share', to: '', miss: false, method: 'GET', host: 'shop.example.com', path: '/share' };
      for (let i = 0; i < 1000; i += 1) {
        const { backend } = await ask(port, { ...request, headers: {} });
        counts[backend] = (counts[backend] ?? 0) + 1;
      }
      const square = names.reduce((sum, name) => {
        const expected = shares[name] * 1000;
        return sum + ((counts[name] ?? 0) - expected) ** 2 / expected;
      }, 0);
      // Two degrees of freedom: once in ten thousand runs by chance.
      assert.ok(square < 18.4, JSON.stringify(counts));
    }
  });
});
