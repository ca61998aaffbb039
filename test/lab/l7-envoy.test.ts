// The same snapshot in the switch's router and in Envoy, the same requests to both: what upstreams see and what clients
// get must be the same. Envoy is the oracle; where the router is stricter on purpose, the case says so.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { HeaderEdits, PathMatch, PathRewrite, Route } from '../../src/mesh/snapshot.ts';
import { noEdits } from '../../src/mesh/snapshot.ts';
import { connect, forward, host, route, snapshot, upstream } from '../fake/l7.ts';
import { rig } from '../fake/l7-rig.ts';
import { bootstrapOf } from './envoy-static.ts';
import { envoyMissing, startEnvoyOn } from './envoy.ts';
import { freePort } from '../fake/port.ts';

const edits = (e: Partial<HeaderEdits>): HeaderEdits => ({ ...noEdits, ...e });
const at = (value: string, kind: PathMatch['kind'] = 'prefix') => ({ path: { kind, value } });
const field = (name: string, kind: 'exact' | 'prefix' | 'regex' | 'present', value: string, invert = false) => ({
  name,
  match: { kind, value },
  invert,
});

function rewrite(name: string, match: PathMatch, path: PathRewrite): Route {
  return route(name, { ...forward('a'), path }, { path: match });
}

const redirect = { kind: 'redirect', status: 302 } as const;
const hosts = [
  host(
    ['a.test', '*.b.test'],
    route('edit', forward('a'), at('/edit'), {
      request: edits({ remove: ['x-gone'], set: [['x-set', 'one']], add: [['x-add', 'two']] }),
      response: edits({ remove: ['x-up'], set: [['x-down', '1']] }),
    }),
    route('host', { ...forward('a'), host: 'inner.test:9' }, at('/host')),
    route('r1', { ...redirect, host: 'new.test' }, at('/r1')),
    route('r2', { ...redirect, scheme: 'https' }, at('/r2')),
    route('r3', { ...redirect, port: 8080, path: { kind: 'full', value: '/all' } }, at('/r3')),
    route('r4', { ...redirect, status: 308, path: { kind: 'prefix', value: '/n' } }, at('/r4')),
    rewrite('w1', { kind: 'prefix', value: '/w1' }, { kind: 'prefix', value: '/n' }),
    rewrite('w2', { kind: 'prefix', value: '/w2' }, { kind: 'prefix', value: '' }),
    rewrite('w3', { kind: 'prefix', value: '/w3' }, { kind: 'full', value: '/all' }),
    rewrite('w4', { kind: 'string-prefix', value: '/w4' }, { kind: 'prefix', value: '/n' }),
    route('exact', { kind: 'reply', status: 203, body: 'exact' }, at('/m', 'exact')),
    route('regex', { kind: 'reply', status: 203, body: 'regex' }, at('/m/[a-c]+', 'regex')),
    route('method', { kind: 'reply', status: 203, body: 'method' }, { ...at('/m'), method: 'PUT' }),
    route(
      'header',
      { kind: 'reply', status: 203, body: 'header' },
      { headers: [field('x-h', 'exact', 'a,b')], query: [] },
    ),
    route(
      'not',
      { kind: 'reply', status: 203, body: 'not' },
      { ...at('/n'), headers: [field('x-n', 'exact', 'v', true)] },
    ),
    route(
      'query',
      { kind: 'reply', status: 203, body: 'query' },
      { ...at('/q'), query: [field('Q', 'exact', 'a%20b')] },
    ),
    route('gone', forward('none/gone'), at('/gone')),
    route('dead', forward('dead'), at('/dead')),
    route('empty', forward('empty'), at('/empty')),
    route('rest', forward('a'), at('/up')),
  ),
  host(['*.test'], route('wild', { kind: 'reply', status: 203, body: 'wild' })),
];

const get = (path: string, lines = '', name = 'a.test') => `GET ${path} HTTP/1.1\r\nHost: ${name}\r\n${lines}`;

/** Heads without their last lines. */
const requests = [
  get('/edit/x?y=1', 'X-Gone: 1\r\nX-Set: 2\r\nX-Add: 3\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n'),
  get('/up', 'X-Mixed-Case: Value\r\nTE: trailers\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\n'),
  get('/up/../edit'),
  get('/up//x'),
  get('/host'),
  ...['/r1/x?q', '/r2/x', '/r3/x?q=1', '/r4/x/y', '/r4'].flatMap((p) => [
    get(p),
    get(p, '', 'a.test:80'),
    get(p, '', 'a.test:81'),
  ]),
  ...['/w1', '/w1/', '/w1/x?q', '/w1x', '/w2', '/w2/', '/w2/x', '/w3/x?q', '/w4x', '/w4/x'].map((p) => get(p)),
  ...['/m', '/m/ab', '/m/abd', '/mm'].map((p) => get(p)),
  'PUT /m/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n',
  get('/x', 'X-H: a\r\nX-H: b\r\n'),
  get('/x', 'X-H: a,b\r\n'),
  get('/x', 'X-H: a\r\nX-H: a,b\r\n'),
  get('/n', 'X-N: w\r\nX-N: v\r\n'),
  get('/n', 'X-N: v\r\n'),
  get('/n', 'X-N: w\r\n'),
  get('/n'),
  get('/q?Q=a%20b'),
  get('/q?q=a%20b'),
  get('/q?Q=x&Q=a%20b'),
  ...['/gone', '/dead', '/empty'].map((p) => get(p)),
  ...['x.b.test', 'b.test', 'x.test', 'A.TEST', 'other', 'a.test:8080'].map((n) => get('/up', '', n)),
  'GET /up HTTP/1.1\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: a.test\r\n',
  'POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n',
  'POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n',
  'GET /up HTTP/1.1\r\nHost : a.test\r\n',
];

/** Envoy's own words about a hop, and what differs from run to run. `te: trailers` means nothing where trailers are
 * dropped, so the router does not pass it. */
const left = /^(date|connection|content-length|content-type|transfer-encoding|x-envoy-.*|x-request-id|te): /;

function bare(head: string): string[] {
  const [line = '', ...lines] = head.split('\r\n\r\n')[0]!.split('\r\n');
  const status = /^HTTP\/1.1 \d+/.exec(line)?.[0] ?? line;
  return [
    status,
    ...lines
      .map((l) => l.replace(/^[^:]+:\s*/, (n) => n.toLowerCase().trim() + ' '))
      .filter((l) => !left.test(l))
      .toSorted((x, y) => (x < y ? -1 : 1)),
  ];
}

async function answers(port: number, seen: string[]): Promise<{ request: string; got: string[]; up: string[] }[]> {
  const list = [];
  for (const request of requests) {
    seen.length = 0;
    const c = await connect(port);
    c.send(`${request}\r\n`);
    const got = await c.until(/\r\n\r\n/);
    c.socket.destroy();
    // For a client on loopback Envoy writes an address of the machine.
    const up = bare(seen.join('').replace(/(x-forwarded-for: (?:.*,)?)[\d.]+\r/, '$1client\r'));
    list.push({ request, got: bare(got), up });
  }
  return list;
}

test('the router and Envoy agree', { skip: envoyMissing }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-envoy-'));
  await using up = await upstream((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nX-Up: 1\r\nServer: up\r\nContent-Length: 2\r\n\r\nok');
  });
  const [dead, port] = [await freePort(), await freePort()];
  const endpoints = { a: [up.port], dead: [dead], empty: [] };
  using r = await rig();
  const keys = Object.keys(endpoints).map((key) => ({ key }));
  r.apply(snapshot(r.port, hosts, keys));
  r.endpoints('a', endpoints.a);
  r.endpoints('dead', endpoints.dead);
  const config = bootstrapOf(snapshot(port, hosts, keys), endpoints);
  await using stack = new AsyncDisposableStack();
  try {
    stack.use(await startEnvoyOn(folder, config, port));
    const ours = await answers(r.port, up.seen);
    const theirs = await answers(port, up.seen);
    assert.deepEqual(ours, theirs);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
