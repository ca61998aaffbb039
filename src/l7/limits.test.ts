import assert from 'node:assert/strict';
import net from 'node:net';
import { eventually } from '../../test/fake/eventually.ts';
import { connect, forward, host, once, route, sleep, snapshot, stream, streams } from '../../test/fake/l7.ts';
import { test } from '../../test/fake/l7-engines.ts';
import { simpleRig } from '../../test/fake/l7-rig.ts';
import type { Rig } from '../../test/fake/l7-rig.ts';
import type { Listener, ListenerLimits, Snapshot } from '../mesh/snapshot.ts';

const fill = (size: number): string => 'x'.repeat(size);
const request = (target: string, ...lines: readonly string[]): string =>
  `GET ${target} HTTP/1.1\r\n${['Host: a', 'Connection: close', ...lines].join('\r\n')}\r\n\r\n`;
/** A head of exactly so many bytes. */
function sized(bytes: number): string {
  const rest = request('/', 'X: ').length;
  return request('/', `X: ${fill(bytes - rest)}`);
}
const counted = (fields: number): string => request('/', ...Array.from({ length: fields - 2 }, (_, i) => `x${i}: y`));

test('a target, a head, a number of fields: each has its bound, its status, and a body that names the bound', async () => {
  await using s = await simpleRig();
  const bounds: readonly (readonly [within: string, beyond: string, status: number, body: string])[] = [
    [request(`/${fill(8191)}`), request(`/${fill(8192)}`), 414, 'target longer than 8192 bytes'],
    [request(`/?${fill(8190)}`), request(`/?${fill(8191)}`), 414, 'target longer than 8192 bytes'],
    [sized(32 * 1024), sized(32 * 1024 + 1), 431, 'head larger than 32768 bytes'],
    [counted(100), counted(101), 431, 'more than 100 fields'],
  ];
  for (const [within, beyond, status, body] of bounds) {
    assert.match(await once(s.port, within), /^HTTP\/1\.1 200 /, body);
    const before = s.r.log.length;
    const got = await once(s.port, beyond);
    assert.ok(got.startsWith(`HTTP/1.1 ${status} `), got.slice(0, 80));
    assert.ok(got.endsWith(`\r\nconnection: close\r\n\r\n${body}`), got);
    assert.deepEqual(
      s.r.log.slice(before).map((line) => [line.status, line.flags, line.upstream]),
      [[status, 'bad-request', '']],
    );
  }
  assert.equal(s.up.seen.join('').split('GET ').length - 1, bounds.length, 'nothing of them went on');
});

test('a target or a head without end is refused before it ends', async () => {
  await using s = await simpleRig();
  assert.match(await once(s.port, `GET /${fill(9000)}`), /^HTTP\/1\.1 414 /);
  assert.match(await once(s.port, `GET / HTTP/1.1\r\nHost: a\r\nX: ${fill(33_000)}`), /^HTTP\/1\.1 431 /);
});

test('after so many requests a connection ends: the last answer says so, and no further request is taken', async () => {
  await using s = await simpleRig(undefined, { maxRequestsPerConnection: 3 });
  const plain = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
  for (let round = 0; round < 2; round += 1) {
    const c = await connect(s.port);
    c.send(plain);
    assert.doesNotMatch(await c.until(/ok$/), /connection:/);
    c.send(plain.repeat(4));
    const answers = (await c.closed()).split('HTTP/1.1 200 OK').slice(1);
    assert.equal(answers.length, 3);
    assert.deepEqual(
      answers.map((text) => text.includes('\r\nconnection: close\r\n')),
      [false, false, true],
    );
    c.socket.destroy();
  }
  await eventually(() => assert.equal(s.up.seen.join('').split('GET ').length - 1, 6));
});

/** The snapshot with more said of its listener. */
function withListener(s: Snapshot, more: Partial<Listener>): Snapshot {
  return { ...s, listeners: s.listeners.map((l) => ({ ...l, ...more })) };
}

function limited(r: Rig, limits: ListenerLimits, more: Partial<Listener> = {}): void {
  const all = snapshot(r.port, [host(['*'], route('all', forward('a')))], [{ key: 'a' }]);
  r.apply(withListener(all, { limits, ...more }));
}

const plain = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
/** What a new connection from that address hears to one request: a status, or "reset". */
function heard(port: number, from: string, first = ''): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: from });
    open.add(socket);
    socket.on('data', (piece: Buffer) => resolve(piece.toString('latin1').slice(9, 12)));
    socket.on('error', () => resolve('reset'));
    socket.on('close', () => resolve('closed'));
    socket.write(first + plain);
  });
}
const open = new Set<net.Socket>();
async function letGo(count: number): Promise<void> {
  for (const socket of [...open].slice(0, count)) {
    socket.destroy();
    open.delete(socket);
  }
  await sleep(50);
}

test('a listener takes so many connections at once, of all and of one client; the next is reset, and nothing else', async () => {
  await using s = await simpleRig();
  limited(s.r, { connections: 3, connectionsPerClient: 2 });
  assert.deepEqual(
    [await heard(s.port, '127.0.0.1'), await heard(s.port, '127.0.0.1'), await heard(s.port, '127.0.0.1')],
    ['200', '200', 'reset'],
    'one client',
  );
  assert.equal(await heard(s.port, '127.0.0.2'), '200', 'another client');
  assert.equal(await heard(s.port, '127.0.0.3'), 'reset', 'all');
  await letGo(1);
  await eventually(() => assert.equal(s.r.engine.stats().connections, 2));
  assert.equal(await heard(s.port, '127.0.0.1'), '200', 'one has gone');
  limited(s.r, { connections: 2 });
  assert.equal(s.r.engine.stats().connections, 3, 'who is there stays');
  assert.equal(await heard(s.port, '127.0.0.3'), 'reset');
  limited(s.r, {});
  assert.equal(await heard(s.port, '127.0.0.1'), '200', 'no bounds any more');
  assert.equal(s.r.engine.stats().refused, 3);
  await letGo(9);
});

test('behind a proxy the client that it names has the bound', async () => {
  await using s = await simpleRig();
  limited(s.r, { connectionsPerClient: 1 }, { proxyFrom: ['127.0.0.0/8'] });
  const says = (client: string): string => `PROXY TCP${client.includes(':') ? 6 : 4} ${client} ${client} 1 2\r\n`;
  const by = (client: string) => heard(s.port, '127.0.0.1', says(client));
  assert.equal(await by('192.0.2.1'), '200');
  assert.match(await by('192.0.2.1'), /closed|reset/);
  assert.equal(s.r.log.at(-1)?.flags, 'too-many');
  assert.equal(await by('192.0.2.2'), '200');
  assert.equal(await by('2001:db8::1'), '200');
  assert.match(await by('2001:db8::2'), /closed|reset/, 'of the same network of 64 bits');
  assert.equal(await by('2001:db8:0:1::1'), '200');
  await letGo(9);
});

test('bounds of a listener go before those of all: fields, bytes of a head, of a target, requests', async () => {
  await using s = await simpleRig();
  limited(s.r, { headFields: 4, headBytes: 1024, targetBytes: 100, requestsPerConnection: 2 });
  const bounds: readonly (readonly [within: string, beyond: string, body: string])[] = [
    [request(`/${fill(99)}`), request(`/${fill(100)}`), 'target longer than 100 bytes'],
    [sized(1024), sized(1025), 'head larger than 1024 bytes'],
    [counted(4), counted(5), 'more than 4 fields'],
  ];
  for (const [within, beyond, body] of bounds) {
    assert.match(await once(s.port, within), /^HTTP\/1\.1 200 /, body);
    assert.ok((await once(s.port, beyond)).endsWith(body), body);
  }
  const c = await connect(s.port);
  c.send(plain.repeat(3));
  assert.equal((await c.closed()).split('HTTP/1.1 200').length - 1, 2);
  limited(s.r, { headFields: 200, targetBytes: 16_000 });
  assert.match(await once(s.port, counted(200)), /^HTTP\/1\.1 200 /, 'more than without a word');
  assert.match(await once(s.port, request(`/${fill(15_000)}`)), /^HTTP\/1\.1 200 /);
});

test('a route says how long it may be without a byte: before the answer 504, within it the end, of a tunnel too', async () => {
  await using s = await simpleRig((socket, piece) => {
    const text = piece.toString('latin1');
    if (text.includes('/part')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart');
    else if (text.includes('/slow'))
      setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), 600);
    else if (text.includes('/ws')) socket.write('HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
    else if (!text.includes('/never')) socket.write(piece);
  });
  const idle = { ...forward('a'), idleMs: 400 };
  const any = route('any', forward('a'), { path: { kind: 'prefix', value: '/slow' } });
  s.r.serve([host(['*'], any, route('idle', idle))]);
  assert.match(await once(s.port, request('/never')), /^HTTP\/1\.1 504 /);
  assert.match(await once(s.port, request('/part')), /part$/);
  assert.equal(s.r.log.at(-1)?.flags, 'stalled');
  const c = await connect(s.port);
  c.send('GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
  await c.until(/101/);
  for (let i = 0; i < 6; i += 1) {
    await sleep(80);
    c.send(`${i}`);
    await c.until(new RegExp(`${i}$`));
  }
  const before = Date.now();
  await c.closed();
  // Without it 5 minutes are the bound.
  assert.ok(Date.now() - before < 8000);
  assert.match(await once(s.port, request('/slow')), /^HTTP\/1\.1 200 /, 'another route has its own time');
  s.r.apply(streams(s.port, 'TCP', [{ ...stream('tcp', 'a'), idleMs: 400 }]));
  const tcp = await connect(s.port);
  tcp.send('hello');
  await tcp.until(/hello/);
  await tcp.closed();
});
