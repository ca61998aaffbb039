import assert from 'node:assert/strict';
import { test } from '../../../test/fake/l7-engines.ts';
import { connect, get, sleep } from '../../../test/fake/l7.ts';
import type { Client } from '../../../test/fake/l7.ts';
import { simpleRig } from '../../../test/fake/l7-rig.ts';

const post = (length: number): string => `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`;

/** Sends so many pieces, one each 20 ms, until the other side has had enough. */
async function drip(client: Client, pieces: number, size: number): Promise<void> {
  for (let i = 0; i < pieces && client.text() === ''; i += 1) {
    client.send(Buffer.alloc(size));
    await sleep(20);
  }
}

test('a body that comes too slowly is 408, though it never stops; one at its rate is not', async () => {
  await using s = await simpleRig(
    (socket, _, all) => {
      if (all.length > 3000) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    },
    { times: { bodyMs: 300 } },
  );
  const slow = await connect(s.port);
  slow.send(post(10_000));
  await drip(slow, 2000, 1);
  assert.match(await slow.closed(), /^HTTP\/1.1 408 [^]*connection: close/);
  assert.ok(slow.socket.bytesWritten < 2000);
  assert.equal(s.r.log[0]?.flags, 'stalled');
  assert.equal(s.r.engine.stats().upstreams, 0);
  const steady = await connect(s.port);
  steady.send(post(3200));
  await drip(steady, 40, 80);
  await steady.until(/^HTTP\/1.1 200 [^]*ok$/);
  steady.socket.destroy();
});

test('what an upstream does not take is not held against the client', async () => {
  const size = 16 * 1024 * 1024;
  let got = 0;
  await using s = await simpleRig(
    (socket, piece) => {
      if (got === 0) {
        socket.pause();
        setTimeout(() => socket.resume(), 1800);
      }
      got += piece.length;
      if (got >= size) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    },
    { times: { bodyMs: 600 } },
  );
  const c = await connect(s.port);
  c.send(post(size));
  c.send(Buffer.alloc(size));
  await c.until(/^HTTP\/1.1 200 [^]*ok$/, 20_000);
  c.socket.destroy();
});

test('where slots run short the oldest connection without a request gives way, one at work never', async () => {
  await using s = await simpleRig(
    (socket, piece) => {
      if (!piece.includes('/wait')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    },
    { maxConnections: 16 },
  );
  const busy = await connect(s.port);
  busy.send('GET /wait HTTP/1.1\r\nHost: a\r\n\r\n');
  const idle: Client[] = [];
  for (let i = 0; i < 30; i += 1) {
    idle.push(await connect(s.port));
    idle.at(-1)!.send('GET / HTTP/1.1\r\n');
  }
  assert.match(await get(s.port), /^HTTP\/1.1 200 /);
  await idle[0]!.closed();
  const { refused, connections } = s.r.engine.stats();
  assert.ok(refused >= 16 && connections <= 16, `${refused} refused, ${connections} open`);
  assert.equal(busy.socket.readyState, 'open');
  assert.equal(idle.at(-1)!.socket.readyState, 'open');
  for (const c of [busy, ...idle]) c.socket.destroy();
});
