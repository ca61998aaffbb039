// WebSockets over HTTP/2 (RFC 8441), and between HTTP/2 and HTTP/1.1: clients and servers of Node's, each of either.
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import http2 from 'node:http2';
import type { ClientHttp2Stream, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { eventually } from '../../../test/fake/eventually.ts';
import { END_STREAM, frame, headers, http2Client } from '../../../test/fake/http2.ts';
import type { Fields } from '../../../test/fake/http2.ts';
import { forward, host, route, upstream } from '../../../test/fake/l7.ts';
import { simpleRig } from '../../../test/fake/l7-rig.ts';

const accept = (key: string): string => hash('sha1', `${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`, 'base64');

type Seen = Record<string, string | number | string[] | undefined>;
interface Behind {
  readonly port: number;
  readonly seen: Seen[];
  readonly open: Duplex[];
  end(): void;
}
type On = (channel: Duplex, seen: Seen) => void;
const echo: On = (channel) => void channel.pipe(channel);

/** A server of HTTP/1.1: 101 where the path is "/ws", 200 where it is "/plain", 403 elsewhere. */
async function behind1(on: On, bad = ''): Promise<Behind> {
  const seen: Seen[] = [];
  const open: Duplex[] = [];
  const server = http.createServer((_, res) => void res.writeHead(200).end('no'));
  server.on('upgrade', (req: IncomingMessage, socket: Duplex) => {
    open.push(socket);
    socket.on('error', () => {});
    seen.push({ ...req.headers, url: `${req.method} ${req.url}` });
    if (req.url !== '/ws') {
      const status = req.url === '/plain' ? '200 OK' : '403 No';
      return void socket.end(`HTTP/1.1 ${status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno`);
    }
    const key = bad || accept(req.headers['sec-websocket-key']!);
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        `Sec-WebSocket-Accept: ${key}\r\nSec-WebSocket-Protocol: chat\r\n\r\n`,
    );
    on(socket, req.headers);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    seen,
    open,
    end: () => (open.forEach((s) => s.destroy()), server.closeAllConnections(), server.close()),
  };
}

/** The same over HTTP/2, 200 for 101. */
async function behind2(on: On, enableConnectProtocol = true): Promise<Behind> {
  const seen: Seen[] = [];
  const open: Duplex[] = [];
  const sessions: ServerHttp2Session[] = [];
  const server = http2.createServer({ settings: { enableConnectProtocol } });
  server.on('session', (session) => sessions.push(session));
  server.on('stream', (each, fields) => {
    const stream = each as ServerHttp2Stream;
    open.push(stream);
    stream.on('error', () => {});
    seen.push({ ...fields, url: `${fields[':method']} ${fields[':path']}` });
    if (fields[':path'] === '/no') return void (stream.respond({ ':status': 403 }), stream.end('no'));
    stream.respond({ ':status': 200, 'sec-websocket-protocol': 'chat' });
    on(stream, { ...fields });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { port, seen, open, end: () => (sessions.forEach((s) => s.destroy()), server.close()) };
}

async function site(behind: Behind, protocol: 'HTTP/1.1' | 'HTTP/2') {
  const s = await simpleRig();
  s.r.serve([host(['*'], route('all', forward('up')))], [{ key: 'up', protocol }]);
  s.r.endpoints('up', [behind.port]);
  const client = http2.connect(`http://127.0.0.1:${s.port}`);
  client.on('error', () => {});
  await once(client, 'remoteSettings');
  return {
    ...s,
    client,
    /** An extended CONNECT: its stream, and its answer. */
    async connect(path: string, more: IncomingHttpHeaders = {}) {
      const stream = client.request(
        { ':method': 'CONNECT', ':protocol': 'websocket', ':path': path, 'sec-websocket-version': '13', ...more },
        { endStream: false },
      );
      stream.on('error', () => {});
      const answer = await new Promise<Seen | undefined>((resolve) => {
        stream.on('response', (fields) => resolve({ ...fields }));
        stream.on('close', () => resolve(undefined));
      });
      return { stream, answer };
    },
    async [Symbol.asyncDispose]() {
      client.destroy();
      behind.end();
      assert.deepEqual(s.r.faults, []);
      await s[Symbol.asyncDispose]();
    },
  };
}

async function exchanged(channel: Duplex, size: number): Promise<void> {
  const sent = Buffer.from(Array.from({ length: 997 }, (_, i) => i % 251));
  const all = Buffer.concat(Array.from({ length: Math.ceil(size / 997) }, () => sent)).subarray(0, size);
  let back = 0;
  const whole = new Promise<void>((resolve, reject) =>
    channel.on('data', (piece: Buffer) => {
      if (!piece.equals(all.subarray(back, back + piece.length))) reject(new Error(`differs behind ${back}`));
      back += piece.length;
      if (back === size) resolve();
    }),
  );
  channel.write(all);
  await whole;
}

const kinds = [
  ['HTTP/1.1', behind1],
  ['HTTP/2', behind2],
] as const;

for (const [protocol, start] of kinds) {
  test(`a WebSocket over HTTP/2 to a server of ${protocol}: both directions, each with its own end`, async () => {
    const ended: string[] = [];
    const behind = await start((channel, seen) => {
      ended.push(String(seen['x-mine']));
      channel.on('end', () => void (ended.push('client ended'), channel.end('last')));
      channel.on('data', (piece: Buffer) => void channel.write(piece));
    });
    await using s = await site(behind, protocol);
    assert.equal(s.client.remoteSettings.enableConnectProtocol, true);
    const { stream, answer } = await s.connect('/ws', { 'x-mine': 'yes', 'sec-websocket-key': 'mine' });
    assert.equal(answer?.[':status'], 200);
    assert.equal(answer?.['sec-websocket-protocol'], 'chat');
    for (const name of ['connection', 'upgrade', 'sec-websocket-accept']) assert.equal(answer?.[name], undefined);
    await exchanged(stream, 700_000);
    stream.removeAllListeners('data');
    const rest: string[] = [];
    stream.on('data', (piece: Buffer) => rest.push(piece.toString()));
    stream.end();
    await once(stream, 'close');
    assert.deepEqual(ended, ['yes', 'client ended']);
    assert.equal(rest.join(''), 'last');
    assert.equal(stream.rstCode, 0);
    const [seen] = behind.seen;
    assert.equal(seen?.url, protocol === 'HTTP/2' ? 'CONNECT /ws' : 'GET /ws');
    if (protocol === 'HTTP/2') {
      assert.equal(seen?.[':protocol'], 'websocket');
      assert.equal(seen?.['sec-websocket-key'], undefined);
    } else assert.match(String(seen?.['sec-websocket-key']), /^[\w+/]{22}==$/);
    await eventually(() => {
      assert.equal(s.r.engine.stats().streams, 0);
      assert.equal(s.r.log.at(-1)?.flags, 'upgraded');
    });
  });

  test(`a WebSocket over HTTP/2 to a server of ${protocol}: refused, reset, ended by its server`, async () => {
    const behind = await start(echo);
    await using s = await site(behind, protocol);
    const refused = await s.connect('/no');
    assert.equal(refused.answer?.[':status'], 403);
    const cut = await s.connect('/ws');
    await exchanged(cut.stream, 10);
    cut.stream.close(http2.constants.NGHTTP2_CANCEL);
    await once(behind.open.at(-1)!, 'close');
    const lost = await s.connect('/ws');
    await exchanged(lost.stream, 10);
    const last = behind.open.at(-1)!;
    if ('resetAndDestroy' in last) (last as unknown as { resetAndDestroy(): void }).resetAndDestroy();
    else (last as unknown as ClientHttp2Stream).close(http2.constants.NGHTTP2_CANCEL);
    await once(lost.stream, 'close');
    assert.equal(lost.stream.rstCode, http2.constants.NGHTTP2_CANCEL);
    const done = await s.connect('/ws');
    await exchanged(done.stream, 10);
    behind.open.at(-1)!.end();
    await once(done.stream, 'end');
    done.stream.end();
    await once(done.stream, 'close');
    assert.equal(done.stream.rstCode, 0);
    await eventually(() => assert.equal(s.r.engine.stats().streams, 0));
  });
}

test('a WebSocket over HTTP/1.1 to a server of HTTP/2', async () => {
  const behind = await behind2((channel) => {
    channel.on('data', (piece: Buffer) => void channel.write(piece));
    channel.on('end', () => channel.end());
  });
  await using s = await site(behind, 'HTTP/2');
  const fields = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
  const key = Buffer.alloc(16, 'k').toString('base64');
  const asked = http.request({ port: s.port, path: '/ws', headers: { ...fields, 'sec-websocket-key': key } }).end();
  const [answer, socket] = (await once(asked, 'upgrade')) as [IncomingMessage, Duplex];
  assert.equal(answer.headers['sec-websocket-accept'], accept(key));
  assert.equal(answer.headers['sec-websocket-protocol'], 'chat');
  await exchanged(socket, 700_000);
  socket.end();
  await once(socket, 'close');
  const no = http.request({ port: s.port, path: '/no', headers: { ...fields, 'sec-websocket-key': key } }).end();
  const [refused] = (await once(no, 'response')) as [IncomingMessage];
  assert.equal(refused.statusCode, 403);
  refused.resume();
  await once(refused, 'close');
});

test('a server of HTTP/2 that takes no WebSockets: 501, and other requests go on', async () => {
  const behind = await behind2(echo, false);
  await using s = await site(behind, 'HTTP/2');
  const { answer } = await s.connect('/ws');
  assert.equal(answer?.[':status'], 501);
  assert.deepEqual(behind.seen, []);
  const plain = s.client.request({ ':path': '/no' });
  const [fields] = (await once(plain, 'response')) as [{ ':status': number }];
  assert.equal(fields[':status'], 403);
});

test('nothing but 101 that answers the key opens a tunnel', async () => {
  const wrong = await behind1(echo, accept('another'));
  await using s = await site(wrong, 'HTTP/1.1');
  const lied = await s.connect('/ws');
  assert.equal(lied.answer, undefined);
  assert.equal(lied.stream.rstCode, http2.constants.NGHTTP2_CONNECT_ERROR);
  const plain = await s.connect('/plain');
  assert.equal(plain.answer?.[':status'], 502);
});

test('what comes before the answer goes through once the tunnel stands, and nowhere where none does', async () => {
  const behind = await behind1(echo);
  await using s = await site(behind, 'HTTP/1.1');
  const c = await http2Client(s.port);
  const ws = (path: string): Fields => [
    [':method', 'CONNECT'],
    [':protocol', 'websocket'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'a'],
  ];
  const request = Buffer.from('GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n');
  c.send(headers(1, ws('/ws'), 0), frame('DATA', END_STREAM, 1, request));
  assert.equal(await c.outcome(1), '200');
  const back = await c.until((f) => f.type === 'DATA' && f.id === 1);
  assert.equal(back.payload.toString(), request.toString());
  c.send(headers(3, ws('/no'), 0), frame('DATA', END_STREAM, 3, request));
  assert.equal(await c.outcome(3), '403');
  await eventually(() =>
    assert.deepEqual(
      behind.seen.map((seen) => seen.url),
      ['GET /ws', 'GET /no'],
    ),
  );
  assert.ok(s.r.log.every((r) => r.path !== '/smuggled'));
  c.destroy();
});

test('CONNECT over HTTP/2 where a route names it', async () => {
  const behind = await behind1(echo);
  await using s = await site(behind, 'HTTP/1.1');
  const tunnel = { ...route('tunnel', forward('up')), match: { method: 'CONNECT', headers: [], query: [] } };
  s.r.serve([host(['*'], tunnel)], [{ key: 'up' }]);
  await using echoing = await upstream((socket, piece) => void socket.write(piece));
  s.r.endpoints('up', [echoing.port]);
  const stream = s.client.request({ ':method': 'CONNECT', ':authority': 'a:1' });
  const [fields] = (await once(stream, 'response')) as [{ ':status': number }];
  assert.equal(fields[':status'], 200);
  await exchanged(stream, 100_000);
  stream.end();
  await once(stream, 'close');
  const other = s.client.request({ ':method': 'CONNECT', ':protocol': 'x', ':path': '/', ':authority': 'a:1' });
  const [refused] = (await once(other, 'response')) as [{ ':status': number }];
  assert.equal(refused[':status'], 501);
});
