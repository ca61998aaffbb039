// What is on its way when the other side has changed its mind: streams that are not taken any more, the rest of a
// request that is answered already, servers that take no streams for now.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { eventually } from '../../../test/fake/eventually.ts';
import { frame, framesOf, headers, http2Client, post, preface, u32 } from '../../../test/fake/http2.ts';
import type { Frame } from '../../../test/fake/http2.ts';
import { connect, once as ask, sleep } from '../../../test/fake/l7.ts';
import { http2Rig, simpleRig } from '../../../test/fake/l7-rig.ts';

const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const get = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const ok = [[':status', '200']] as const;

/** A server of frames: what it says to each, and what it has seen. */
async function frameServer(settings: Uint8Array, on: (socket: Socket, f: Frame) => void) {
  const seen: Frame[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.write(frame('SETTINGS', 0, 0, settings));
    let all = Buffer.alloc(0);
    let done = 0;
    socket.on('data', (piece: Buffer) => {
      all = Buffer.concat([all, piece]);
      const frames = framesOf(all.subarray(preface.length));
      for (const f of frames.slice(done)) {
        seen.push(f);
        on(socket, f);
      }
      done = frames.length;
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const s = await http2Rig((server.address() as AddressInfo).port);
  return {
    ...s,
    seen,
    sockets,
    async [Symbol.asyncDispose]() {
      assert.deepEqual(s.r.faults, []);
      await s[Symbol.asyncDispose]();
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test('frames of streams beyond the last that is taken are let go, and those before it are answered', async () => {
  const late: Socket[] = [];
  await using s = await simpleRig(
    (socket, piece) =>
      late.push(
        ...piece
          .toString()
          .split('POST')
          .slice(1)
          .map(() => socket),
      ),
    {
      maxRequestsPerConnection: 2,
    },
  );
  const c = await http2Client(s.port);
  const body = (id: number) => frame('DATA', 0, id, Buffer.alloc(1000));
  for (const id of [1, 3, 5]) c.send(headers(id, post, 0), frame('DATA', 1, id, Buffer.from('abc')));
  c.send(headers(7, post, 0), body(7), frame('WINDOW_UPDATE', 0, 7, u32(1)), headers(7, [['x-t', '1']]));
  c.send(headers(9, post, 0), body(9), frame('RST_STREAM', 0, 9, u32(8)), body(9), frame('DATA', 1, 9));
  await eventually(() => assert.equal(late.length, 2));
  for (const socket of late) socket.write(answer);
  assert.deepEqual([await c.outcome(1), await c.outcome(3)], ['200', '200']);
  await c.closed();
  const last = c.frames().filter((f) => f.type === 'GOAWAY' || f.type === 'RST_STREAM');
  assert.deepEqual(
    last.map((f) => [f.type, f.payload.readUInt32BE(0), f.payload.readUInt32BE(4)]),
    [['GOAWAY', 3, 0]],
  );
  c.destroy();
});

/** Looks like requests, and is a body. */
const requests = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(10);
const early: Readonly<Record<string, (id: number) => readonly Uint8Array[]>> = {
  'a whole answer': (id) => [headers(id, ok)],
  'a whole answer, then that no more is wanted': (id) => [headers(id, ok), frame('RST_STREAM', 0, id, u32(0))],
  'an answer with a body, then that no more is wanted': (id) => [
    headers(id, [...ok, ['content-length', '3']], 0),
    frame('DATA', 1, id, Buffer.from('abc')),
    frame('RST_STREAM', 0, id, u32(0)),
  ],
  'a reset': (id) => [frame('RST_STREAM', 0, id, u32(2))],
  'a reset in the answer': (id) => [headers(id, ok, 0), frame('RST_STREAM', 0, id, u32(2))],
};

test('a server that answers before it has the whole request: the rest of it is never taken for another', async () => {
  let says = early['a whole answer']!;
  await using s = await frameServer(Buffer.alloc(0), (socket, f) => {
    if (f.type === 'HEADERS') socket.write(Buffer.concat(says(f.id)));
  });
  const asked = (): number => s.seen.filter((f) => f.type === 'HEADERS').length;
  const send = async (one: (i: number) => void): Promise<void> => {
    for (let i = 0; i < 100; i += 1) {
      one(i);
      if (i % 10 === 0) await sleep(1);
    }
    await sleep(20);
  };
  for (const [name, frames] of Object.entries(early)) {
    says = frames;
    for (const framing of [`Content-Length: ${100 * requests.length}`, 'Transfer-Encoding: chunked']) {
      const before = asked();
      const chunked = framing.startsWith('Transfer');
      const c = await connect(s.port);
      c.send(`POST / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n`);
      await send(() => c.send(chunked ? `${requests.length.toString(16)}\r\n${requests}\r\n` : requests));
      assert.equal(asked(), before + 1, `${name}, ${framing}`);
      c.socket.destroy();
    }
    const before = asked();
    const c = await http2Client(s.port);
    c.send(headers(1, post, 0));
    await send(() => c.send(frame('DATA', 0, 1, Buffer.from(requests))));
    assert.equal(asked(), before + 1, `${name}, HTTP/2`);
    c.destroy();
  }
  assert.ok(s.r.log.every((line) => line.path === '/'));
});

test('a server that takes no streams for now is not dialled again and again, and is asked when it takes them', async () => {
  const streams = (n: number): Buffer => Buffer.from([0, 3, 0, 0, 0, n]);
  await using s = await frameServer(streams(0), (socket, f) => {
    if (f.type === 'HEADERS') socket.write(headers(f.id, ok));
  });
  for (let i = 0; i < 3; i += 1) assert.match(await ask(s.port, get), /^HTTP\/1\.1 503 /);
  assert.equal(s.sockets.size, 1);
  for (const socket of s.sockets) socket.write(frame('SETTINGS', 0, 0, streams(5)));
  await eventually(async () => assert.match(await ask(s.port, get), /^HTTP\/1\.1 200 /));
  assert.equal(s.sockets.size, 1);
});
