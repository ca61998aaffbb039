// Streams: connections whose peer is JavaScript, carried by one in bytes mode. They are the engine in C's alone: the one
// on node:net, whose connections are sockets, has none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../test/fake/eventually.ts';
import { connect, sleep, upstream } from '../../test/fake/l7.ts';
import { listenAt } from '../../test/fake/l7-engines.ts';
import { openEngine } from './transport-native.ts';
import * as t from './transport.ts';
import { freePort } from '../../test/fake/port.ts';

/** An engine where each connection in bytes mode carries one stream a line: what the stream is answered goes back. */
async function carrier(o: Partial<t.EngineOptions> = {}, take: (len: number) => number = (len) => len) {
  const parents = new Map<number, number>();
  const told: { conn: number; flags: number; len: number }[] = [];
  const kept: number[] = [];
  let endpoint = 0;
  const { engine, word } = {
    engine: openEngine({ ...o, onBatch }),
    word: (base: number, w: number) => engine.rows[base + w]!,
  };
  function head(base: number, text: string): void {
    const at = t.READ_BYTES + base * 64;
    engine.arena.write(text, at, 'latin1');
    engine.rows.set([at, text.length], base + t.W_RUNS);
    engine.rows[base + t.W_TAIL] = 1;
  }
  function output(base: number, conn: number): void {
    const len = word(base, t.W_LEN);
    told.push({ conn, flags: word(base, t.W_IN), len });
    const parent = parents.get(conn);
    if (parent === undefined) return;
    const taken = take(len);
    engine.rows[base + t.W_HEAD] = taken;
    engine.send(parent, word(base, t.W_OFF), taken);
    if (taken < len) kept.push(conn);
  }
  function open(base: number, parent: number): void {
    const stream = engine.stream(parent);
    engine.rows[base + t.W_HEAD] = word(base, t.W_LEN);
    if (stream < 0) return engine.close(parent, 'end');
    parents.set(stream, parent);
    engine.send(stream, word(base, t.W_OFF), word(base, t.W_LEN));
    engine.close(stream, 'end');
  }
  function onBatch(n: number): void {
    for (let i = 0, base = 0; i < n; i += 1, base += t.ROW_WORDS) {
      const conn = word(base, t.W_CONN);
      const kind = word(base, t.W_KIND);
      if (kind === t.OUTPUT) output(base, conn);
      else if (kind === t.BYTES) open(base, conn);
      else if (kind === t.REQUEST && !parents.has(conn)) engine.rows[base + t.W_ACTION] = t.RAW;
      else if (kind === t.REQUEST) {
        engine.rows[base + t.W_HEAD] = word(base, t.W_LEN);
        engine.rows[base + t.W_ACTION] = t.FORWARD;
        engine.rows[base + t.W_ENDPOINT] = endpoint;
        head(base, 'UP');
      } else if (kind === t.RESPONSE) {
        engine.rows[base + t.W_ACTION] = t.FORWARD;
        engine.rows[base + t.W_BODY] = t.BODY_CLOSE;
        engine.rows[base + t.W_OUT] = t.OUT_CHUNK;
        head(base, 'DOWN:');
      }
    }
  }
  const port = await freePort();
  const listener = listenAt(engine, port);
  return {
    engine,
    port,
    listener,
    told,
    kept,
    parents,
    upstream: (to: number) => (endpoint = engine.endpoint('127.0.0.1', to, 1000)),
    [Symbol.dispose]: () => engine.shut(),
  };
}

test('a stream goes to an upstream and comes back plain; its slot is free again', async () => {
  await using up = await upstream((socket) => socket.end('answer'));
  using s = await carrier();
  s.upstream(up.port);
  const c = await connect(s.port);
  for (let i = 1; i <= 3; i += 1) {
    c.send('ask');
    await c.until(new RegExp(`^(DOWN:answer){${i}}$`));
  }
  await eventually(() => {
    assert.deepEqual(s.told.at(-1)!.flags & (t.IN_EOF | t.IN_GONE), t.IN_EOF);
    const { connections, streams } = s.engine.stats();
    assert.deepEqual({ connections, streams }, { connections: 1, streams: 0 });
  });
  assert.equal(up.seen[0], 'UP');
  const [stream = 0] = s.parents.keys();
  assert.equal(s.engine.peer(stream).address, '', 'the stream is gone');
  c.socket.destroy();
});

test('what is not taken stays until resume, and the upstream is not read meanwhile', async () => {
  const size = 8 * 1024 * 1024;
  let sent = 0;
  await using up = await upstream((socket) => {
    socket.on('drain', () => (sent = socket.bytesWritten));
    socket.write(Buffer.alloc(size, 'x'));
    socket.end('end');
  });
  let open = false;
  using s = await carrier({}, (len) => (open ? len : Math.min(len, 10)));
  s.upstream(up.port);
  const c = await connect(s.port);
  c.send('ask');
  await c.until(/^DOWN:x{5}$/);
  await sleep(50);
  assert.ok(s.engine.stats().heldBytes < 512 * 1024, `${s.engine.stats().heldBytes} bytes are held`);
  assert.ok(sent < size, 'all was read');
  open = true;
  s.engine.resume(s.kept[0]!);
  assert.equal((await c.until(/end$/)).length, size + 8);
  c.socket.destroy();
});

test('streams have slots of their own; what is gone says so', async () => {
  await using up = await upstream((socket, piece) => void (piece.length === 2 && socket.write('part')));
  using s = await carrier({ maxStreams: 2 });
  s.upstream(up.port);
  const [one, two, three] = await Promise.all([connect(s.port), connect(s.port), connect(s.port)]);
  for (const c of [one, two]) {
    c.send('ask');
    await c.until(/^DOWN:part$/);
  }
  three.send('ask');
  assert.equal(await three.closed(), '', 'no third stream');
  const [stream = 0, other = 0] = s.parents.keys();
  await eventually(() =>
    assert.ok(
      s.told.some((r) => r.flags & t.IN_GONE && r.conn !== stream),
      'the third connection is gone',
    ),
  );
  s.engine.close(stream, 'reset');
  s.engine.unlisten(s.listener);
  await eventually(() => {
    const carriers = new Set(s.parents.values());
    const draining = s.told.filter((r) => r.flags & t.IN_DRAINING && carriers.has(r.conn));
    assert.equal(draining.length, 2, 'each connection in bytes mode hears that its listener is gone');
  });
  two.socket.destroy();
  await sleep(20);
  assert.equal(s.engine.stats().streams, 1, 'a stream is its opener to close');
  s.engine.close(other, 'reset');
  assert.equal(s.engine.stats().streams, 0);
  one.socket.destroy();
});
