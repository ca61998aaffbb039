// HTTP/2 of clients, from Node's own and from frames by hand, through to a server of HTTP/1.1. Streams are the engine in
// C's alone, so these tests run on it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import http2 from 'node:http2';
import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { eventually } from '../../../test/fake/eventually.ts';
import { END_STREAM, frame, get, headers, http2Client, post, u32 } from '../../../test/fake/http2.ts';
import { forward, host, route, sleep, snapshot } from '../../../test/fake/l7.ts';
import { simpleRig } from '../../../test/fake/l7-rig.ts';
import type { RigOptions } from '../../../test/fake/l7-rig.ts';

async function served(on: RequestListener, o: RigOptions = {}) {
  const server: Server = createServer({ keepAliveTimeout: 60_000 }, on);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const s = await simpleRig(undefined, o);
  s.r.endpoints('a', [(server.address() as AddressInfo).port]);
  const session: ClientHttp2Session = http2.connect(`http://127.0.0.1:${s.port}`);
  session.on('error', () => {});
  return {
    ...s,
    session,
    async [Symbol.asyncDispose]() {
      session.destroy();
      assert.deepEqual(s.r.faults, []);
      await s[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
    },
  };
}

async function bodyOf(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

interface Answer {
  readonly headers: IncomingHttpHeaders & { ':status'?: number };
  readonly body: Buffer;
}

async function ask(session: ClientHttp2Session, fields: http2.OutgoingHttpHeaders, body?: Uint8Array): Promise<Answer> {
  const stream = session.request(fields, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  const [got] = (await once(stream, 'response')) as [Answer['headers']];
  return { headers: got, body: await bodyOf(stream) };
}

test('requests and answers, with and without bodies, many at once on one connection', async () => {
  await using s = await served((req, res) => {
    void bodyOf(req as AsyncIterable<Buffer>).then((body) => {
      res.setHeader('x-said', `${req.method} ${req.url} ${req.headers.host} ${body.length}`);
      res.end(body);
    });
  });
  const asked = await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      const body = i % 3 === 0 ? undefined : Buffer.alloc(i * 3000, 'b');
      const length = i % 3 === 1 ? { 'content-length': i * 3000 } : {};
      const method = body === undefined ? 'GET' : 'POST';
      return { i, body, got: await ask(s.session, { ':method': method, ':path': `/${i}`, ...length }, body) };
    }),
  );
  for (const { i, body, got } of asked) {
    assert.equal(got.headers[':status'], 200);
    const size = body?.length ?? 0;
    assert.equal(got.headers['x-said'], `${body ? 'POST' : 'GET'} /${i} 127.0.0.1:${s.port} ${size}`);
    assert.equal(got.body.length, size);
    assert.equal(got.headers['connection'], undefined);
    assert.equal(got.headers['transfer-encoding'], undefined);
  }
  assert.equal(s.r.engine.stats().connections, 1);
  await eventually(() => {
    assert.equal(s.r.engine.stats().streams, 0);
    assert.equal(s.r.log.length, 60);
  });
});

test('bodies wait for their reader: nothing is kept beyond the windows, neither way', async () => {
  const size = 6 * 1024 * 1024;
  await using s = await served((req, res) => {
    if (req.url === '/down') res.end(Buffer.alloc(size, 'd'));
    else setTimeout(() => void bodyOf(req as AsyncIterable<Buffer>).then((b) => res.end(String(b.length))), 300);
  });
  const down = s.session.request({ ':path': '/down' });
  await once(down, 'response');
  const up = s.session.request({ ':method': 'POST', ':path': '/up' });
  up.end(Buffer.alloc(size));
  await sleep(150);
  const { heldBytes } = s.r.engine.stats();
  assert.ok(heldBytes < 1024 * 1024, `${heldBytes} bytes are held`);
  const [whole, said] = await Promise.all([bodyOf(down), bodyOf(up)]);
  assert.equal(whole.length, size);
  assert.equal(said.toString(), String(size));
  await eventually(() => assert.equal(s.r.engine.stats().heldBytes, 0));
});

test('a reset of the client ends its request above; one of the server shows as one', async () => {
  const came: (string | undefined)[] = [];
  const gone: IncomingMessage[] = [];
  await using s = await served((req, res) => {
    came.push(req.url);
    req.on('close', () => gone.push(req));
    if (req.url === '/broken') {
      res.writeHead(200, { 'content-length': 10 });
      res.write('half', () => res.destroy());
    }
  });
  const slow = s.session.request({ ':path': '/slow' });
  slow.on('error', () => {});
  await eventually(() => assert.deepEqual(came, ['/slow']));
  slow.close(http2.constants.NGHTTP2_CANCEL);
  await eventually(() => {
    assert.equal(gone.length, 1);
    assert.equal(s.r.log.at(-1)?.flags, 'client-gone');
  });
  const broken = s.session.request({ ':path': '/broken' });
  broken.resume();
  await assert.rejects(once(broken, 'end'), /NGHTTP2_INTERNAL_ERROR/);
});

test('cookies are one field again; answers keep each set-cookie', async () => {
  await using s = await served((req, res) => {
    res.setHeader('set-cookie', ['a=1', 'b=2']);
    res.end(req.headers.cookie);
  });
  const got = await ask(s.session, { ':path': '/', cookie: ['a=b', 'c=d', 'e=f'] });
  assert.equal(got.body.toString(), 'a=b; c=d; e=f');
  assert.deepEqual(got.headers['set-cookie'], ['a=1', 'b=2']);
});

test('HEAD, 204, 304 and interim answers', async () => {
  await using s = await served((req, res) => {
    if (req.url === '/early') res.writeEarlyHints({ link: '</x>; rel=preload' });
    res.statusCode = Number(/\d+/.exec(req.url!)?.[0] ?? 200);
    res.setHeader('x-method', req.method!);
    res.end(req.url === '/early' ? 'late' : undefined);
  });
  for (const [method, path, status] of [
    ['HEAD', '/', 200],
    ['GET', '/204', 204],
    ['GET', '/304', 304],
  ] as const) {
    const got = await ask(s.session, { ':method': method, ':path': path });
    assert.deepEqual([got.headers[':status'], got.headers['x-method'], got.body.length], [status, method, 0]);
  }
  const early = s.session.request({ ':path': '/early' });
  const [hints] = (await once(early, 'headers')) as [Answer['headers']];
  assert.equal(hints[':status'], 103);
  assert.equal((await bodyOf(early)).toString(), 'late');
  const patient = s.session.request({ ':method': 'POST', ':path': '/', expect: '100-continue' });
  await once(patient, 'continue');
  patient.end('body');
  assert.equal((await bodyOf(patient)).length, 0);
});

test('any fields go through as they are', async () => {
  let seen: string[] = [];
  await using s = await served((req, res) => {
    seen = req.rawHeaders;
    res.end();
  });
  const name = fc.stringMatching(/^x-[a-z0-9-]{1,30}$/);
  const value = fc.stringMatching(/^[!-~]([ -~]{0,200}[!-~])?$/);
  await fc.assert(
    fc.asyncProperty(fc.dictionary(name, value, { maxKeys: 20 }), async (fields) => {
      await ask(s.session, { ':path': '/', ...fields });
      for (const [key, text] of Object.entries(fields)) {
        if (key !== 'x-forwarded-for' && key !== 'x-forwarded-proto') assert.equal(seen[seen.indexOf(key) + 1], text);
      }
    }),
    { numRuns: 60 },
  );
});

test('streams have their bound: of one connection, and of all', async () => {
  await using s = await served(() => {}, { maxStreams: 103 });
  const c = await http2Client(s.port);
  for (let i = 0; i < 101; i += 1) c.send(headers(1 + 2 * i, get));
  assert.equal(await c.outcome(201), 'RST 7', 'the 101st of a connection is refused');
  const d = await http2Client(s.port);
  for (let i = 0; i < 4; i += 1) d.send(headers(1 + 2 * i, get));
  assert.equal(await d.outcome(7), 'RST 7', 'no slot is left');
  assert.equal(s.r.engine.stats().streams, 103);
  c.destroy();
  await eventually(() => assert.equal(s.r.engine.stats().streams, 3));
  d.send(headers(9, get));
  await eventually(() => assert.equal(s.r.engine.stats().streams, 4));
  d.destroy();
});

test('a listener that goes: GOAWAY twice, what is under way is answered, then the end', async () => {
  const waiting: (() => void)[] = [];
  await using s = await served((_, res) => void waiting.push(() => res.end('late')));
  const c = await http2Client(s.port);
  c.send(headers(1, get));
  await eventually(() => assert.equal(waiting.length, 1));
  const hosts = [host(['*'], route('all', forward('a')))];
  s.r.apply({ ...snapshot(s.port, hosts, [{ key: 'a' }]), listeners: [] });
  const first = await c.until((f) => f.type === 'GOAWAY');
  assert.deepEqual([first.payload.readUInt32BE(0), first.payload.readUInt32BE(4)], [0x7fffffff, 0]);
  c.send(headers(3, get));
  const ping = await c.until((f) => f.type === 'PING');
  c.send(frame('PING', 1, 0, ping.payload));
  const second = await c.until((f) => f.type === 'GOAWAY' && f.payload.readUInt32BE(0) !== 0x7fffffff);
  assert.deepEqual([second.payload.readUInt32BE(0), second.payload.readUInt32BE(4)], [3, 0]);
  c.send(headers(5, get));
  await eventually(() =>
    assert.equal(waiting.length, 2, 'what crossed the first is served, what comes behind the second is not'),
  );
  for (const answer of waiting) answer();
  await c.closed();
  assert.deepEqual(
    c
      .frames()
      .filter((f) => f.type === 'DATA')
      .map((f) => `${f.id} ${f.payload.toString()}`),
    ['1 late', '3 late'],
  );
  const deaf = c.frames().filter((f) => f.id === 5);
  assert.equal(deaf.length, 0);
});

test('an early answer ends the stream, and what still comes for it is no error', async () => {
  await using s = await served((_, res) => void res.end('enough'));
  const c = await http2Client(s.port);
  c.send(headers(1, post, 0), frame('DATA', 0, 1, Buffer.alloc(1000)));
  const reset = await c.until((f) => f.type === 'RST_STREAM' && f.id === 1);
  assert.equal(reset.payload.readUInt32BE(0), 0);
  c.send(frame('DATA', 0, 1, Buffer.alloc(1000)), frame('DATA', END_STREAM, 1), frame('WINDOW_UPDATE', 0, 1, u32(10)));
  c.send(headers(3, get));
  assert.equal(await c.outcome(3), '200');
  c.destroy();
});

test('after so many requests a connection takes no more: GOAWAY says the last, what is under way is answered', async () => {
  await using s = await served((req, res) => void setTimeout(() => res.end(req.url), 50), {
    maxRequestsPerConnection: 3,
  });
  let last = -1;
  s.session.on('goaway', (_, id) => (last = id));
  const asked = ['/1', '/2', '/3'].map((path) => ask(s.session, { ':path': path }));
  assert.deepEqual(
    (await Promise.all(asked)).map(({ body }) => body.toString()),
    ['/1', '/2', '/3'],
  );
  await once(s.session, 'close');
  assert.equal(last, 5);
});

test('a client that goes while a body and its trailers wait for room', async () => {
  const answer = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-back: late\r\n\r\n';
  await using s = await simpleRig((socket) => void socket.write(answer));
  // SETTINGS_INITIAL_WINDOW_SIZE is 0.
  const c = await http2Client(s.port, Buffer.from([0, 4, 0, 0, 0, 0]));
  for (let id = 1; id < 20; id += 2) c.send(headers(id, get));
  for (let id = 1; id < 20; id += 2) assert.equal(await c.outcome(id), '200');
  c.destroy();
  await eventually(() => assert.equal(s.r.engine.stats().streams, 0));
  assert.deepEqual(s.r.faults, []);
});
