import assert from 'node:assert/strict';
import { eventually } from '../../test/fake/eventually.ts';
import { test } from '../../test/fake/l7-engines.ts';
import { connect, get, once, sleep } from '../../test/fake/l7.ts';
import { simpleRig } from '../../test/fake/l7-rig.ts';

const count = (text: string, piece: string) => text.split(piece).length - 1;
const simple = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

test('keep-alive: many requests on one connection use one upstream connection', async () => {
  await using s = await simpleRig();
  const c = await connect(s.port);
  for (let i = 0; i < 5; i += 1) {
    c.clear();
    c.send(simple);
    await c.until(/ok$/);
  }
  assert.equal(s.up.sockets.length, 1);
  assert.equal(s.r.engine.stats().upstreamConnects, 1);
  assert.equal(s.r.stats().requests, 5);
  c.socket.destroy();
});

test('pipelined requests are answered in order', async () => {
  await using s = await simpleRig((socket, piece) => {
    for (const [, path] of piece.toString().matchAll(/GET \/(\S+)/g)) {
      setTimeout(() => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${path}`), path === 'p0' ? 30 : 0);
    }
  });
  const c = await connect(s.port);
  c.send(Array.from({ length: 8 }, (_, i) => `GET /p${i} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''));
  const text = await c.until(/p7$/);
  assert.deepEqual(
    [...text.matchAll(/\r\n\r\n(p\d)/g)].map((m) => m[1]),
    ['p0', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7'],
  );
  c.socket.destroy();
});

test('a head in single bytes, and two heads in one piece with a body between', async () => {
  await using s = await simpleRig();
  const c = await connect(s.port);
  for (const byte of simple) {
    c.send(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await c.until(/ok$/);
  c.clear();
  c.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc${simple}`);
  await c.until(/ok[^]*ok$/);
  assert.match(s.up.seen.join(''), /\r\n\r\nabcGET/);
  c.socket.destroy();
});

test('chunked requests are framed anew, extensions and trailers dropped', async () => {
  await using s = await simpleRig((socket, _piece, text) => {
    if (text.endsWith('0\r\n\r\n')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  const c = await connect(s.port);
  c.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n005;x=y\r\nhello\r\n');
  await eventually(() => assert.match(s.up.seen[0] ?? '', /hello/));
  c.send('1\r\n!\r\n0\r\nT: x\r\n\r\n');
  await c.until(/ok$/);
  assert.match(s.up.seen[0]!, /\r\ntransfer-encoding: chunked\r\n[^]*\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n$/);
  assert.equal(count(s.up.seen[0]!, 'transfer-encoding'), 1);
  c.socket.destroy();
});

test('chunked responses pass, and the connection goes on', async () => {
  await using s = await simpleRig((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n');
    setTimeout(() => socket.write('2\r\nde\r\n0\r\nX: y\r\n\r\n'), 10);
  });
  const c = await connect(s.port);
  c.send(simple);
  const text = await c.until(/0\r\n\r\n$/);
  assert.match(text, /\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n$/);
  c.clear();
  c.send(simple);
  await c.until(/0\r\n\r\n$/);
  assert.equal(s.up.sockets.length, 1);
  c.socket.destroy();
});

test('a response until close becomes chunked; to HTTP/1.0 it ends with the connection', async () => {
  await using s = await simpleRig((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nabc'));
  const c = await connect(s.port);
  c.send(simple);
  assert.match(await c.until(/0\r\n\r\n$/), /transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0/);
  c.socket.destroy();
  const old = await once(s.port, 'GET / HTTP/1.0\r\nHost: a\r\n\r\n');
  assert.match(old, /connection: close\r\n\r\nabc$/);
  assert.doesNotMatch(old, /chunked/);
});

test('HTTP/1.0: chunked responses come plain, keep-alive is granted where it is asked for', async () => {
  await using s = await simpleRig((socket, piece) => {
    if (piece.includes('/chunks'))
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n');
    else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  assert.match(await once(s.port, 'GET /chunks HTTP/1.0\r\nHost: a\r\n\r\n'), /connection: close\r\n\r\nabc$/);
  const c = await connect(s.port);
  c.send('GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n');
  assert.match(await c.until(/ok$/), /connection: keep-alive/);
  c.send('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
  assert.match(await c.closed(), /connection: close\r\n\r\nok$/);
});

test('HEAD, 204 and 304 have no body, whatever their heads say', async () => {
  await using s = await simpleRig((socket, piece) => {
    const text = piece.toString();
    if (text.startsWith('HEAD')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n');
    else if (text.includes('/204')) socket.write('HTTP/1.1 204 No Content\r\n\r\n');
    else if (text.includes('/304')) socket.write('HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n');
    else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  const c = await connect(s.port);
  c.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.match(await c.until(/\r\n\r\n$/), /content-length: 100\r\n/i);
  c.clear();
  c.send('GET /204 HTTP/1.1\r\nHost: a\r\n\r\nGET /304 HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.match(await c.until(/ok$/), /^HTTP\/1.1 204[^]*\r\n\r\nHTTP\/1.1 304[^]*\r\n\r\nHTTP\/1.1 200/);
  assert.equal(s.up.sockets.length, 1);
  c.socket.destroy();
});

test('Expect: 100-continue goes up, the interim answer comes down', async () => {
  await using s = await simpleRig((socket, piece) => {
    if (piece.includes('100-continue')) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
    else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  const c = await connect(s.port);
  c.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n');
  await c.until(/^HTTP\/1.1 100 Continue\r\n\r\n$/);
  c.send('body');
  await c.until(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK\r\n[^]*ok$/);
  c.socket.destroy();
});

test('an answer before the request is whole ends the connection', async () => {
  await using s = await simpleRig((socket) => socket.write('HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno'));
  const c = await connect(s.port);
  c.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx');
  assert.match(await c.closed(), /401[^]*connection: close\r\n\r\nno$/);
  c.socket.destroy();
  await eventually(() => assert.equal(s.r.engine.stats().upstreams, 0));
});

test('big bodies with a slow reader stay out of memory', async () => {
  const size = 48 * 1024 * 1024;
  let written = 0;
  await using s = await simpleRig((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
    const block = Buffer.alloc(64 * 1024);
    const more = () => {
      while (written < size) {
        written += block.length;
        if (!socket.write(block)) return void socket.once('drain', more);
      }
    };
    more();
  });
  const c = await connect(s.port);
  c.socket.pause();
  c.socket.removeAllListeners('data');
  c.send(simple);
  await sleep(300);
  assert.ok(written < size / 2, `${written} bytes were taken while nobody read`);
  let got = 0;
  c.socket.on('data', (piece: Buffer) => (got += piece.length));
  c.socket.resume();
  for (let i = 0; got < size && i < 3000; i += 1) await sleep(10);
  assert.ok(got >= size);
  c.socket.destroy();
});

test('a big upload to a slow upstream waits in the client', async () => {
  const size = 48 * 1024 * 1024;
  let got = 0;
  await using s = await simpleRig((socket, piece) => {
    got += piece.length;
    if (got < 1_000_000) {
      socket.pause();
      setTimeout(() => socket.resume(), 100);
    } else if (got >= size) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  const c = await connect(s.port);
  c.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
  c.send(Buffer.alloc(size));
  await sleep(100);
  assert.ok(got < size / 2);
  await c.until(/ok$/, 60_000);
  c.socket.destroy();
});

test('broken chunks from a client: 400; from an upstream: a broken answer', async () => {
  await using s = await simpleRig((socket, piece) => {
    if (!piece.includes('POST')) socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n');
  });
  const c = await connect(s.port);
  c.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n');
  assert.match(await c.closed(), /^HTTP\/1.1 400 /);
  assert.doesNotMatch(await get(s.port), /0\r\n\r\n$/);
});

test('bytes behind a response are never taken for the next one', async () => {
  await using s = await simpleRig((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil');
  });
  const c = await connect(s.port);
  for (let i = 0; i < 3; i += 1) {
    c.clear();
    c.send(simple);
    await c.until(/ok$/);
    await sleep(5);
    assert.doesNotMatch(c.text(), /evil/);
  }
  assert.equal(s.up.sockets.length, 3);
  c.socket.destroy();
});

test('WebSocket: 101, then both directions, each with its own end', async () => {
  await using s = await simpleRig((socket, piece) => {
    const text = piece.toString();
    if (text.includes('upgrade: websocket')) {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello');
    } else socket.write(`<${text}>`);
  });
  const c = await connect(s.port, { allowHalfOpen: true });
  c.send('GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n');
  await c.until(/^HTTP\/1.1 101 [^]*connection: upgrade\r\n\r\nhello$/);
  c.send('one');
  await c.until(/<one>$/);
  c.socket.end('two');
  assert.match(await c.closed(), /<two>$/);
  await eventually(() => {
    assert.deepEqual([s.r.log[0]?.status, s.r.log[0]?.flags], [101, 'upgraded']);
    assert.equal(s.r.engine.stats().connections, 0);
  });
});

test('an upgrade that was not asked for is 502', async () => {
  await using s = await simpleRig((socket) => socket.write('HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n'));
  assert.match(await get(s.port), /^HTTP\/1.1 502/);
});

test('slots are used again, a thousand short connections leave nothing behind', async () => {
  await using s = await simpleRig();
  for (let i = 0; i < 20; i += 1) await Promise.all(Array.from({ length: 50 }, () => get(s.port)));
  await eventually(() => {
    assert.equal(s.r.engine.stats().connections, 0);
    assert.equal(s.r.stats().classes[1], 1000);
  });
  assert.deepEqual(s.r.faults, []);
});
