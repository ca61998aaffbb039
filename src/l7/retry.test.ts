// What is sent twice, and how connections to servers that say when they close them are used.
import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { eventually } from '../../test/fake/eventually.ts';
import { connect, forward, host, route, sleep } from '../../test/fake/l7.ts';
import { test } from '../../test/fake/l7-engines.ts';
import { type SimpleRig, rig, simpleRig } from '../../test/fake/l7-rig.ts';
import { freePort } from '../../test/fake/port.ts';

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
const request = (method: string, body = ''): string =>
  `${method} /${method} HTTP/1.1\r\nHost: a\r\n${body === '' ? '' : `Content-Length: ${body.length}\r\n`}\r\n${body}`;

/** Answers one request a connection, and meets the second with a reset, as a server that had just closed it would. */
const closing = (socket: Socket, _: Buffer, all: string): void => {
  if (all.split('HTTP/1.1\r\n').length > 2) socket.resetAndDestroy();
  else socket.write(ok);
};

/** The status of a request on a connection whose upstream connection has just been closed, and how often it came. */
async function again(s: SimpleRig, text: string): Promise<{ status: string; times: number }> {
  const c = await connect(s.port);
  c.send('GET /first HTTP/1.1\r\nHost: a\r\n\r\n');
  await c.until(/\r\n\r\n$/);
  c.clear();
  const before = s.up.seen.join('').length;
  c.send(text);
  const status = (await c.until(/\r\n\r\n/)).slice(9, 12);
  c.socket.destroy();
  const [line = ''] = text.split(' HTTP');
  const times = s.up.seen.join('').split(`${line} `).length - 1;
  assert.ok(s.up.seen.join('').length > before);
  return { status, times };
}

test('a request that may be sent twice is, where the server closed as it came; another is not', async () => {
  const twice = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'];
  const once = ['POST', 'PATCH', 'LOCK', 'PURGE', 'get', 'GETX'];
  for (const method of [...twice, ...once]) {
    await using s = await simpleRig(closing);
    const wanted = twice.includes(method) ? { status: '200', times: 2 } : { status: '503', times: 1 };
    assert.deepEqual(await again(s, request(method)), wanted, method);
    assert.deepEqual(s.r.faults, []);
  }
});

test('not a third time, and not when a body has gone', async () => {
  await using s = await simpleRig((socket, piece) => {
    if (piece.includes('/first')) socket.write(ok);
    else socket.resetAndDestroy();
  });
  assert.deepEqual(await again(s, request('GET')), { status: '503', times: 2 });
  const sent = await again(s, request('PUT', 'body'));
  assert.deepEqual(sent, { status: '503', times: 1 });
});

test('of which no byte was sent, any request is tried once more', async () => {
  await using s = await simpleRig();
  const dead = await freePort();
  s.r.endpoints('a', [dead, s.up.port]);
  for (let i = 0; i < 4; i += 1) {
    const c = await connect(s.port);
    c.send(request('POST', 'body'));
    assert.match(await c.until(/ok$/), /^HTTP\/1\.1 200 /);
    c.socket.destroy();
  }
  assert.equal(s.up.seen.join('').split('POST /').length - 1, 4);
});

/** How many connections two requests take whose answers have these lines. */
async function connections(...lines: readonly string[]): Promise<number> {
  await using s = await simpleRig((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\n${lines.map((l) => `${l}\r\n`).join('')}Content-Length: 2\r\n\r\nok`);
  });
  const c = await connect(s.port);
  for (let i = 0; i < 2; i += 1) {
    c.clear();
    c.send(request('GET'));
    const got = await c.until(/ok$/);
    assert.doesNotMatch(got, /keep-alive/i, 'it is between the server and us');
  }
  c.socket.destroy();
  return s.up.sockets.length;
}

test('a connection that its server says to close within a second is not used again', async () => {
  assert.equal(await connections(), 1);
  assert.equal(await connections('Keep-Alive: timeout=5, max=100'), 1);
  assert.equal(await connections('Keep-Alive: timeout=2'), 1);
  assert.equal(await connections('Keep-Alive: max=5'), 1);
  assert.equal(await connections('Keep-Alive: timeout=x'), 1);
  assert.equal(await connections('Keep-Alive: timeout=1'), 2);
  assert.equal(await connections('Keep-Alive: max=5, Timeout=0'), 2);
});

test('no request meets the close of a server that says when: its connections are given up a second before', async () => {
  const server = http.createServer({ keepAliveTimeout: 3000, keepAliveTimeoutBuffer: 0 }, (_, answer) =>
    answer.end('ok'),
  );
  // Who is given up by its server is destroyed, without having heard of the other side's end.
  let ended = 0;
  server.on('connection', (socket: Socket) => socket.on('end', () => (ended += 1)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => new Promise<void>((resolve) => void server.close(() => resolve())));
  const r = stack.use(await rig());
  r.serve([host(['*'], route('all', forward('a')))]);
  r.endpoints('a', [(server.address() as AddressInfo).port]);
  const gaps = Array.from({ length: 12 }, (_, i) => 2950 + 10 * i);
  const clients = await Promise.all(gaps.map(() => connect(r.port)));
  const ask = async (i: number): Promise<string> => {
    clients[i]!.clear();
    clients[i]!.send(request('POST', 'body'));
    return (await clients[i]!.until(/ok$/)).slice(9, 12);
  };
  await Promise.all(gaps.map((_, i) => ask(i)));
  await sleep(1000);
  const kept = r.engine.stats().upstreamsIdle;
  assert.ok(kept > 0);
  const late = gaps.map(async (gap, i) => {
    await sleep(gap - 1000);
    return ask(i);
  });
  await sleep(900);
  await eventually(() => {
    assert.equal(r.engine.stats().upstreamsIdle, 0);
    assert.equal(ended, kept, 'by the router, and not by the server');
  });
  assert.deepEqual(await Promise.all(late), Array(gaps.length).fill('200'));
  for (const c of clients) c.socket.destroy();
});
