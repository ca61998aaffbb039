// HTTP/2 to upstreams: Node's own server, gRPC's client and server, and clients of HTTP/1.1. The engine in C's alone.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session } from 'node:http2';
import type { ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { eventually } from '../../../test/fake/eventually.ts';
import { get as getOverHttp1, sleep } from '../../../test/fake/l7.ts';
import { http2Rig } from '../../../test/fake/l7-rig.ts';

type On = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

async function served(on: On, settings: http2.Settings = {}) {
  const server: Http2Server = http2.createServer({ settings });
  const sessions: ServerHttp2Session[] = [];
  server.on('session', (session) => sessions.push(session));
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    on(stream as ServerHttp2Stream, headers);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const s = await http2Rig(port);
  const client = http2.connect(`http://127.0.0.1:${s.port}`);
  client.on('error', () => {});
  return {
    ...s,
    sessions,
    client,
    upstreamPort: port,
    async [Symbol.asyncDispose]() {
      client.destroy();
      assert.deepEqual(s.r.faults, []);
      await s[Symbol.asyncDispose]();
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

async function bodyOf(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

function echo(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  void bodyOf(stream).then((body) => {
    const said = `${headers[':method']} ${headers[':scheme']} ${headers[':path']} ${headers[':authority']}`;
    stream.respond({ ':status': 200, 'x-said': said, 'x-te': headers.te ?? '', 'set-cookie': ['a=1', 'b=2'] });
    stream.end(body);
  });
}

test('a client of HTTP/1.1 before a server of HTTP/2', async () => {
  await using s = await served(echo);
  const answer = await getOverHttp1(s.port, '/x?y', 'Connection: close\r\nTE: trailers\r\n');
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.match(answer, /\r\nx-said: GET http \/x\?y [^\r]+\r\n/);
  assert.match(answer, /\r\nx-te: trailers\r\n/);
  assert.match(answer, /\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n/);
  const posted = await fetch(`http://127.0.0.1:${s.port}/p`, { method: 'POST', body: Buffer.alloc(300_000, 'p') });
  assert.equal((await posted.arrayBuffer()).byteLength, 300_000);
});

test('many requests share few connections; each answer finds its own', async () => {
  await using s = await served(echo, { maxConcurrentStreams: 20 });
  const client = http2.connect(`http://127.0.0.1:${s.port}`);
  await Promise.all(
    Array.from({ length: 80 }, async (_, i) => {
      const stream = client.request({ ':method': 'POST', ':path': `/${i}` });
      stream.end(Buffer.alloc(i * 2000, 'q'));
      const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
      assert.match(headers['x-said'] as string, new RegExp(` /${i} `));
      assert.equal((await bodyOf(stream)).length, i * 2000);
    }),
  );
  client.destroy();
  assert.ok(s.sessions.length <= 10, `${s.sessions.length} connections`);
  await eventually(() => {
    assert.equal(s.r.engine.stats().streams, 0);
    assert.equal(s.r.log.filter((r) => r.status === 200).length, 80);
  });
});

test('bodies wait for their reader, both ways', async () => {
  const size = 6 * 1024 * 1024;
  await using s = await served((stream, headers) => {
    if (headers[':path'] === '/down') {
      stream.respond({ ':status': 200 });
      stream.end(Buffer.alloc(size, 'd'));
    } else {
      stream.respond({ ':status': 200 });
      setTimeout(() => void bodyOf(stream).then((b) => stream.end(String(b.length))), 300);
    }
  });
  const down = s.client.request({ ':path': '/down' });
  await once(down, 'response');
  const up = s.client.request({ ':method': 'POST', ':path': '/up' });
  up.end(Buffer.alloc(size));
  await sleep(150);
  const { heldBytes } = s.r.engine.stats();
  assert.ok(heldBytes < 2 * 1024 * 1024, `${heldBytes} bytes are held`);
  const [whole, said] = await Promise.all([bodyOf(down), bodyOf(up)]);
  assert.equal(whole.length, size);
  assert.equal(said.toString(), String(size));
});

test('bodies that go both ways at once stay as they are', async () => {
  await using s = await served((stream) => {
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  const sent = Buffer.from(Array.from({ length: 120_000 }, (_, i) => `${i},`).join(''));
  const answers = await Promise.all(
    Array.from({ length: 6 }, async (_, i) => {
      if (i % 2 === 1) {
        const answer = await fetch(`http://127.0.0.1:${s.port}/`, { method: 'POST', body: sent });
        return Buffer.from(await answer.arrayBuffer());
      }
      const stream = s.client.request({ ':method': 'POST', ':path': '/' });
      stream.end(sent);
      return bodyOf(stream);
    }),
  );
  for (const answer of answers) assert.ok(sent.equals(answer));
});

test('trailers, both ways', async () => {
  await using s = await served((stream) => {
    let trailers: IncomingHttpHeaders = {};
    stream.on('trailers', (fields: IncomingHttpHeaders) => (trailers = fields));
    void bodyOf(stream).then((body) => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () =>
        stream.sendTrailers({ 'x-back': `${body.length} ${trailers['x-sum'] as string}` }),
      );
      stream.end('body');
    });
  });
  const stream = s.client.request({ ':method': 'POST', ':path': '/' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': 'abc' }));
  stream.end('hello');
  const trailers = once(stream, 'trailers');
  assert.equal((await bodyOf(stream)).toString(), 'body');
  assert.equal(((await trailers) as [IncomingHttpHeaders])[0]['x-back'], '5 abc');
});

test('what a server refuses goes to it once more; a GOAWAY moves on to a new connection', async () => {
  let refused = 0;
  await using s = await served((stream, headers) => {
    if (headers[':path'] === '/refused' && refused === 0) {
      refused += 1;
      stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    } else if (headers[':path'] === '/broken') stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    else stream.respond({ ':status': 200 }, { endStream: true });
  });
  const ask = async (path: string): Promise<number> => {
    const stream = s.client.request({ ':path': path });
    stream.resume();
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status': number }];
    return headers[':status'];
  };
  assert.equal(await ask('/refused'), 200);
  assert.equal(refused, 1);
  assert.equal(await ask('/broken'), 503);
  s.sessions[0]!.goaway();
  await eventually(async () => {
    assert.equal(await ask('/'), 200);
    assert.equal(s.sessions.length, 2);
  });
  s.r.endpoints('h2', []);
  await eventually(() => assert.equal(s.r.engine.stats().upstreams, 0, 'connections end with their endpoint'));
  assert.equal(await ask('/'), 503);
  s.r.endpoints('h2', [1]);
  assert.equal(await ask('/'), 503, 'nobody listens there');
});

test('a client that goes cancels its stream, and no other', async () => {
  const closed: number[] = [];
  const asked: unknown[] = [];
  await using s = await served((stream, headers) => {
    asked.push(headers[':path']);
    if (headers[':path'] === '/') stream.respond({ ':status': 200 }, { endStream: true });
    else stream.on('close', () => closed.push(stream.rstCode));
  });
  const slow = s.client.request({ ':path': '/slow' });
  slow.on('error', () => {});
  await eventually(() => assert.deepEqual(asked, ['/slow']));
  slow.close(http2.constants.NGHTTP2_CANCEL);
  await eventually(() => assert.deepEqual(closed, [http2.constants.NGHTTP2_CANCEL]));
  const stream = s.client.request({ ':path': '/' });
  await once(stream, 'response');
  stream.close();
  assert.equal(s.sessions.length, 1);
});
