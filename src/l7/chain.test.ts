import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../test/fake/eventually.ts';
import { connect, forward, get, host, once, route, sleep, upstream } from '../../test/fake/l7.ts';
import { rig, simpleRig } from '../../test/fake/l7-rig.ts';
import type { HeaderEdits, PathMatch, PathRewrite, Route, RouteAction } from '../mesh/snapshot.ts';
import { noEdits } from '../mesh/snapshot.ts';

const edits = (e: Partial<HeaderEdits>): HeaderEdits => ({ ...noEdits, ...e });

/** Serves these routes and gives what the upstream saw of a request, and what the client got. */
async function through(routes: readonly Route[], request: string, answer?: string) {
  const up = await upstream(answer === undefined ? undefined : (socket) => socket.write(answer));
  using r = await rig();
  r.serve([host(['*'], ...routes)]);
  r.endpoints('a', [up.port]);
  const c = await connect(r.port);
  c.send(request);
  const got = await c.until(/\r\n\r\n/);
  c.socket.destroy();
  await sleep(5);
  await up[Symbol.asyncDispose]();
  assert.deepEqual(r.faults, []);
  return { seen: up.seen[0] ?? '', got, log: r.log };
}

const plain = [route('r', forward('a'))];
const request = (lines: string, line = 'GET / HTTP/1.1') => `${line}\r\nHost: a.test\r\n${lines}\r\n`;

test('a request goes on with lower-case names and the client at the end of x-forwarded-for', async () => {
  const { seen } = await through(plain, request('X-Test:  one \r\nAccept: */*\r\n'));
  assert.equal(
    seen,
    'GET / HTTP/1.1\r\nhost: a.test\r\nx-test:  one \r\naccept: */*\r\n' +
      'x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n\r\n',
  );
});

test('x-forwarded-for is continued, x-forwarded-proto is replaced', async () => {
  const { seen } = await through(
    plain,
    request('X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 2.2.2.2\r\n'),
  );
  assert.match(seen, /\r\nx-forwarded-for: 1.1.1.1,2.2.2.2,127.0.0.1\r\nx-forwarded-proto: http\r\n\r\n$/);
  assert.equal(seen.split('x-forwarded').length, 3);
});

test('fields of one hop stay on it, also those that Connection names', async () => {
  const { seen, got } = await through(
    plain,
    request(
      'Connection: keep-alive, X-Mine\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nTrailer: x\r\n' +
        'Upgrade: h2c\r\nHTTP2-Settings: x\r\nx-mine: 1\r\nx-other: 2\r\n',
    ),
    'HTTP/1.1 200 OK\r\nConnection: keep-alive, x-hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nServer: s\r\nContent-Length: 0\r\n\r\n',
  );
  assert.equal(
    seen,
    'GET / HTTP/1.1\r\nhost: a.test\r\nx-other: 2\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n\r\n',
  );
  assert.equal(got, 'HTTP/1.1 200 OK\r\nserver: s\r\ncontent-length: 0\r\n\r\n');
});

test('an absolute target goes on as a path', async () => {
  const { seen } = await through(plain, request('', 'GET http://a.test/x?y HTTP/1.1'));
  assert.match(seen, /^GET \/x\?y HTTP\/1.1\r\nhost: a.test\r\n/);
});

test('a request of HTTP/1.0 goes on as HTTP/1.1', async () => {
  const { seen } = await through(plain, request('Expect: 100-continue\r\n', 'GET /x HTTP/1.0'));
  assert.match(seen, /^GET \/x HTTP\/1.1\r\nhost: a.test\r\nx-forwarded-for/);
});

test('a head with more pieces left out than a row has runs', async () => {
  const lines = Array.from({ length: 40 }, (_, i) => `drop-me: ${i}\r\nx-${i}: ${i}\r\n`).join('');
  const { seen } = await through(
    [route('r', forward('a'), {}, { request: edits({ remove: ['drop-me'] }) })],
    request(lines),
  );
  assert.equal(seen.includes('drop-me'), false);
  for (let i = 0; i < 40; i += 1) assert.ok(seen.includes(`\r\nx-${i}: ${i}\r\n`), `x-${i}`);
});

test('header edits: remove, set, add; of the route first, then of the cluster', async () => {
  const action: RouteAction = {
    ...forward(),
    clusters: [
      {
        cluster: 'a',
        weight: 1,
        request: edits({ set: [['x-both', 'cluster']], add: [['x-more', 'c']] }),
        response: edits({ remove: ['x-route'], add: [['x-answer', 'c']] }),
      },
    ],
  };
  const { seen, got } = await through(
    [
      route(
        'r',
        action,
        {},
        {
          request: edits({ remove: ['x-gone'], set: [['x-both', 'route']], add: [['x-more', 'r']] }),
          response: edits({ set: [['server', 'midplane']], add: [['x-route', '1']] }),
        },
      ),
    ],
    request('X-Gone: 1\r\nX-Both: client\r\nX-More: client\r\n'),
    'HTTP/1.1 200 OK\r\nServer: other\r\nContent-Length: 0\r\n\r\n',
  );
  assert.match(seen, /\r\nx-more: client\r\n[^]*\r\nx-more: r\r\nx-both: cluster\r\nx-more: c\r\n\r\n$/);
  assert.doesNotMatch(seen, /x-gone|x-both: (client|route)/);
  assert.match(got, /\r\nserver: midplane\r\nx-answer: c\r\n\r\n$/);
  assert.doesNotMatch(got, /x-route|other/);
});

test('edits win over what the router adds', async () => {
  const { seen } = await through(
    [
      route(
        'r',
        forward('a'),
        {},
        { request: edits({ set: [['x-forwarded-for', '9.9.9.9']], remove: ['x-forwarded-proto'] }) },
      ),
    ],
    request('X-Forwarded-For: 1.1.1.1\r\n'),
  );
  assert.equal(seen, 'GET / HTTP/1.1\r\nhost: a.test\r\nx-forwarded-for: 9.9.9.9\r\n\r\n');
});

test('edits of framing, and values with line ends, are refused', async () => {
  using r = await rig();
  const bad = [
    edits({ set: [['content-length', '1']] }),
    edits({ remove: ['host'] }),
    edits({ add: [['x', 'a\r\nb: c']] }),
    edits({ add: [['x y', 'a']] }),
  ];
  for (const request of bad) {
    assert.throws(() => r.serve([host(['*'], route('r', forward('a'), {}, { request }))]), /^Error: route r: /);
  }
});

async function rewritten(match: PathMatch | undefined, path: PathRewrite, target: string): Promise<string> {
  const routes = [route('r', { ...forward('a'), path }, match === undefined ? {} : { path: match })];
  const { seen } = await through(routes, request('', `GET ${target} HTTP/1.1`));
  return seen.split(' ')[1] ?? '';
}

test('paths are rewritten as Gateway API has it', async () => {
  const prefix = (value: string): PathMatch => ({ kind: 'prefix', value });
  const cases: [PathMatch | undefined, PathRewrite, string, string][] = [
    [prefix('/foo'), { kind: 'prefix', value: '/xyz' }, '/foo/bar', '/xyz/bar'],
    [prefix('/foo'), { kind: 'prefix', value: '/xyz/' }, '/foo/bar', '/xyz/bar'],
    [prefix('/foo'), { kind: 'prefix', value: '/xyz' }, '/foo', '/xyz'],
    [prefix('/foo'), { kind: 'prefix', value: '/xyz' }, '/foo/', '/xyz/'],
    [prefix('/foo'), { kind: 'prefix', value: '' }, '/foo/bar', '/bar'],
    [prefix('/foo'), { kind: 'prefix', value: '' }, '/foo', '/'],
    [prefix('/foo'), { kind: 'prefix', value: '/' }, '/foo/bar?q=1', '/bar?q=1'],
    [prefix(''), { kind: 'prefix', value: '/xyz' }, '/bar', '/xyz/bar'],
    [{ kind: 'string-prefix', value: '/foo' }, { kind: 'prefix', value: '/x' }, '/foobar', '/xbar'],
    [{ kind: 'exact', value: '/foo' }, { kind: 'prefix', value: '/x' }, '/foo?q', '/x?q'],
    [prefix('/foo'), { kind: 'full', value: '/all' }, '/foo/bar?q', '/all?q'],
    [undefined, { kind: 'full', value: '/all' }, '/x', '/all'],
  ];
  for (const [match, path, target, wanted] of cases) {
    assert.equal(await rewritten(match, path, target), wanted, `${match?.value} ${path.value} ${target}`);
  }
});

test('the host is rewritten', async () => {
  const { seen } = await through([route('r', { ...forward('a'), host: 'inner.test:81' })], request('X: 1\r\n'));
  assert.match(seen, /\r\nhost: inner.test:81\r\nx: 1\r\n/);
  assert.doesNotMatch(seen, /a\.test/);
});

test('redirects', async () => {
  type Redirect = Extract<RouteAction, { kind: 'redirect' }>;
  const match: PathMatch = { kind: 'prefix', value: '/old' };
  const cases: [Partial<Redirect>, string, string][] = [
    [{ host: 'b.test' }, 'a.test', 'http://b.test/old/x?q=1'],
    [{}, 'a.test:8080', 'http://a.test:8080/old/x?q=1'],
    [{ scheme: 'https' }, 'a.test', 'https://a.test/old/x?q=1'],
    [{ scheme: 'https' }, 'a.test:80', 'https://a.test/old/x?q=1'],
    [{ scheme: 'https' }, 'a.test:8080', 'https://a.test:8080/old/x?q=1'],
    [{ scheme: 'https', port: 443 }, 'a.test:8080', 'https://a.test/old/x?q=1'],
    [{ scheme: 'https', port: 8443 }, 'a.test', 'https://a.test:8443/old/x?q=1'],
    [{ port: 80 }, 'a.test:8080', 'http://a.test/old/x?q=1'],
    [{ port: 81, host: 'b.test' }, 'a.test', 'http://b.test:81/old/x?q=1'],
    [{ path: { kind: 'full', value: '/new' } }, 'a.test', 'http://a.test/new?q=1'],
    [{ path: { kind: 'prefix', value: '/new' } }, 'a.test', 'http://a.test/new/x?q=1'],
    [{ path: { kind: 'prefix', value: '' } }, 'a.test', 'http://a.test/x?q=1'],
  ];
  for (const [more, name, wanted] of cases) {
    for (const status of [301, 302, 303, 307, 308] as const) {
      using r = await rig();
      r.serve([host(['*'], route('r', { kind: 'redirect', status, ...more }, { path: match }))]);
      const text = await once(r.port, `GET /old/x?q=1 HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`);
      assert.ok(text.startsWith(`HTTP/1.1 ${status} `), text);
      assert.equal(/\r\nlocation: (.*)\r\n/.exec(text)?.[1], wanted);
    }
  }
});

test('fixed answers, 404 without host or route, 500 without a cluster', async () => {
  using r = await rig();
  r.serve([
    host(
      ['a.test'],
      route('fixed', { kind: 'reply', status: 418, body: 'tea' }, { path: { kind: 'exact', value: '/fixed' } }),
      route('gone', forward('none/x'), { path: { kind: 'exact', value: '/gone' } }),
      route('zero', forward('a 0'), { path: { kind: 'exact', value: '/zero' } }),
    ),
  ]);
  assert.match(await get(r.port, '/fixed'), /^HTTP\/1.1 418 [^]*\r\ncontent-length: 3\r\n[^]*\r\n\r\ntea$/);
  assert.match(
    await once(r.port, 'HEAD /fixed HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n'),
    /length: 3\r\n[^]*\r\n\r\n$/,
  );
  assert.match(await get(r.port, '/gone'), /^HTTP\/1.1 500/);
  assert.match(await get(r.port, '/zero'), /^HTTP\/1.1 500/);
  assert.match(await get(r.port, '/other'), /^HTTP\/1.1 404/);
  assert.match(
    await once(r.port, 'GET /fixed HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n'),
    /^HTTP\/1.1 404/,
  );
  assert.deepEqual(
    r.log.map((l) => [l.route, l.status, l.flags]),
    [
      ['fixed', 418, ''],
      ['fixed', 418, ''],
      ['gone', 500, 'no-cluster'],
      ['zero', 500, 'no-cluster'],
      ['', 404, 'no-route'],
      ['', 404, 'no-route'],
    ],
  );
});

test('a body behind a request that is answered at once is read away, a large one ends the connection', async () => {
  using r = await rig();
  r.serve([host(['*'], route('r', { kind: 'reply', status: 200, body: 'ok' }))]);
  const c = await connect(r.port);
  c.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await c.until(/ok[^]*ok$/);
  c.clear();
  c.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel');
  await c.until(/ok$/);
  c.send('lo\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await c.until(/ok[^]*ok$/);
  c.clear();
  c.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n');
  c.send(Buffer.alloc(200_000));
  assert.match(await c.closed(), /ok$/);
});

test('bad heads: 400 with the reason, and the connection ends', async () => {
  using r = await rig();
  r.serve([host(['*'], ...plain)]);
  const cases: [string, number][] = [
    ['GET / HTTP/1.1\r\n\r\n', 400],
    ['GET / HTTP/1.1\nHost: a\n\n', 400],
    [
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n',
      400,
    ],
    [`GET /${'x'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
    [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(40_000)}`, 431],
    ['CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n', 501],
    ['GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505],
    ['GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n', 417],
  ];
  for (const [text, status] of cases) {
    const got = await once(r.port, text);
    assert.ok(got.startsWith(`HTTP/1.1 ${status} `), `${text.slice(0, 60)}: ${got}`);
    assert.match(got, /connection: close/);
    assert.equal(got.split('HTTP/1.1 ').length, 2, 'one answer');
  }
});

test('a bad response: 502', async () => {
  const cases = [
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello',
    'garbage\r\n\r\n',
    `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`,
    'HTTP/1.1 100 X\r\n\r\n'.repeat(20),
  ];
  for (const answer of cases) {
    const { got } = await through(plain, request(''), answer);
    assert.match(got.slice(-400), /HTTP\/1.1 502 /, answer.slice(0, 60));
  }
});

test('weights: 80 to 20 shows in a hundred requests', async () => {
  const ups = [await upstream(), await upstream()];
  using r = await rig();
  r.serve([host(['*'], route('r', forward('a 80', 'b 20')))], [{ key: 'a' }, { key: 'b' }]);
  r.endpoints('a', [ups[0]!.port]);
  r.endpoints('b', [ups[1]!.port]);
  const c = await connect(r.port);
  for (let i = 0; i < 100; i += 1) {
    c.clear();
    c.send(request(''));
    await c.until(/ok$/);
  }
  const counts = ups.map((up) => up.seen.join('').split('GET').length - 1);
  assert.ok(Math.abs(counts[0]! - 80) <= 2, String(counts));
  c.socket.destroy();
  for (const up of ups) await up[Symbol.asyncDispose]();
});

test('a request keeps the table and the connection it began with', async () => {
  const up = await upstream((socket) =>
    setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), 50),
  );
  using r = await rig();
  r.serve([host(['*'], route('old', forward('a'), {}, { response: edits({ add: [['x-table', 'old']] }) }))]);
  r.endpoints('a', [up.port]);
  const c = await connect(r.port);
  c.send(request(''));
  await eventually(() => assert.equal(up.seen.length, 1));
  r.serve([host(['*'], route('new', { kind: 'reply', status: 200, body: 'new' }))], []);
  r.endpoints('a', []);
  assert.match(await c.until(/ok$/), /x-table: old/);
  c.clear();
  c.send(request(''));
  await c.until(/new$/);
  c.socket.destroy();
  await up[Symbol.asyncDispose]();
});

test('a removed listener takes no more connections; open ones get an answer and an end', async () => {
  const up = await upstream();
  using r = await rig();
  r.serve([host(['*'], ...plain)]);
  r.endpoints('a', [up.port]);
  const c = await connect(r.port);
  c.send(request(''));
  await c.until(/ok$/);
  r.apply({ scope: 'router', version: 'none', listeners: [], routes: [], clusters: [], secrets: [] });
  await assert.rejects(connect(r.port));
  c.clear();
  c.send(request(''));
  assert.match(await c.closed(), /^HTTP\/1.1 (200|503) [^]*connection: close/);
  await up[Symbol.asyncDispose]();
});

test('the log says who asked what and who answered', async () => {
  const { log } = await through(
    plain,
    request('', 'POST /x?y HTTP/1.1').replace('\r\n\r\n', '\r\nContent-Length: 0\r\n\r\n'),
  );
  const { timeMs, durationMs, bytesIn, bytesOut, upstream: by, listener, ...rest } = log[0]!;
  assert.deepEqual(rest, {
    route: 'r',
    method: 'POST',
    host: 'a.test',
    path: '/x?y',
    status: 200,
    client: '127.0.0.1',
    port: 0,
    flags: '',
  });
  assert.ok(Math.abs(Date.now() - timeMs) < 20_000 && durationMs >= 0 && durationMs < 20_000);
  assert.ok(bytesIn > 40 && bytesOut > 30);
  assert.match(by, /^e\d+$/);
  assert.match(listener, /^127.0.0.1:\d+$/);
});

test('what a client says of its own certificate never reaches an upstream', async () => {
  await using s = await simpleRig();
  await get(s.port, '/', 'X-Forwarded-Client-Cert: By=spiffe://td/us;URI=spiffe://td/admin\r\n');
  assert.doesNotMatch(s.up.seen.join(''), /client-cert/i);
});
