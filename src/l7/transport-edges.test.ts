// What the engine in C owes to whoever fills its rows when things happen at the same time.
import assert from 'node:assert/strict';
import { connect as dial } from 'node:net';
import { test } from 'node:test';
import { eventually } from '../../test/fake/eventually.ts';
import { connOf, engineWith, say } from '../../test/fake/l7-rows.ts';
import { serverSpec } from '../../test/fake/l7-tls.ts';
import { connect, upstream } from '../../test/fake/l7.ts';
import * as t from './transport.ts';

function silent(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = dial({ port, host: '127.0.0.1' }, () => socket.end());
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.resume();
  });
}

test('a deadline that passes while a failure is decided on holds for the second try', async () => {
  await using up = await upstream(() => {});
  let never = 0;
  let silent = 0;
  using s = await engineWith((engine, base, row) => {
    const request = { [t.W_HEAD]: 1, [t.W_ACTION]: t.FORWARD, [t.W_ENDPOINT]: never, [t.W_DEADLINE]: 100 };
    if (row.kind === t.REQUEST) say(engine, base, request, 'x');
    else if (row.kind === t.FAILED) say(engine, base, { [t.W_ACTION]: t.RETRY, [t.W_ENDPOINT]: silent });
    else if (row.kind === t.TIMEOUT) say(engine, base, { [t.W_ACTION]: t.REPLY }, 'late');
  });
  // A handshake that never ends: connecting takes as long as the request may.
  const context = s.engine.tlsContext({ ...serverSpec, certificates: [], side: 'client' });
  never = s.engine.endpoint('127.0.0.1', up.port, 100, { context, names: [] });
  silent = s.engine.endpoint('127.0.0.1', up.port, 1000);
  const c = await connect(s.port);
  c.send('x');
  assert.equal(await c.closed(), 'late');
});

const ask = async (hello?: t.HelloMode): Promise<string> => {
  let asked = 0;
  using s = await engineWith(
    (engine, base, row) => {
      if (row.kind === t.DONE) return;
      const conn = connOf(engine, base);
      asked += 1;
      if (asked > 1) return say(engine, base, { [t.W_ACTION]: hello ? t.CLOSE : t.REPLY }, 'later');
      say(engine, base, { [t.W_ACTION]: t.HOLD });
      if (hello) setTimeout(() => engine.resume(conn), 20);
      else void Promise.resolve().then(() => engine.resume(conn));
    },
    {},
    hello,
  );
  const c = await connect(s.port);
  if (!hello) c.send('x');
  return `${await c.closed()}${asked}`;
};

test('hold: the answer may be there before onBatch is over, and there may be no bytes yet', async () => {
  assert.equal(await ask(), 'later2');
  assert.equal(await ask('at-once'), '2');
});

test('hold: what takes long is not held against the client', async () => {
  using s = await engineWith(
    (engine, base, row) => {
      if (row.kind !== t.REQUEST) return;
      if (s.seen.length > 1) return say(engine, base, { [t.W_HEAD]: 1, [t.W_ACTION]: t.REPLY }, 'later');
      say(engine, base, { [t.W_ACTION]: t.HOLD });
      const conn = connOf(engine, base);
      setTimeout(() => engine.resume(conn), 300);
    },
    { headMs: 100 },
  );
  const c = await connect(s.port);
  c.send('x');
  assert.equal(await c.closed(), 'later');
});

test('a row that is answered too late, its connection being closed meanwhile, has its DONE', async () => {
  using s = await engineWith((engine, base, row) => {
    if (row.kind !== t.REQUEST) return;
    say(engine, base, { [t.W_HEAD]: 1, [t.W_ACTION]: t.REPLY }, 'x');
    engine.close(connOf(engine, base), 'reset');
  });
  const c = await connect(s.port);
  c.send('x');
  await c.closed();
  await eventually(() =>
    assert.deepEqual(
      s.seen.map((row) => row.kind),
      [t.REQUEST, t.DONE],
    ),
  );
});

test('a new connection to an endpoint takes the place of one that nobody uses', async () => {
  await using up = await upstream((socket) => socket.write('H'));
  let endpoint = 0;
  using s = await engineWith(
    (engine, base, row) => {
      const to = { [t.W_HEAD]: 1, [t.W_ENDPOINT]: endpoint };
      const keep = { [t.W_OUT]: t.OUT_KEEP | t.OUT_KEEP_UPSTREAM };
      if (row.kind === t.REQUEST) {
        say(engine, base, { ...to, [t.W_ACTION]: row.text === 'a' ? t.FORWARD : t.TUNNEL }, row.text);
      } else if (row.kind === t.RESPONSE) say(engine, base, { [t.W_HEAD]: 1, [t.W_ACTION]: t.FORWARD, ...keep }, 'ok');
      else if (row.kind === t.FAILED) say(engine, base, { [t.W_ACTION]: t.REPLY }, 'failed');
    },
    {},
    undefined,
    { maxPerEndpoint: 1 },
  );
  endpoint = s.engine.endpoint('127.0.0.1', up.port, 1000);
  const c = await connect(s.port);
  c.send('a');
  await c.until(/^ok$/);
  c.send('b');
  await c.until(/^okH$/);
  assert.deepEqual([s.engine.stats().upstreams, s.engine.stats().upstreamsIdle], [1, 0]);
  c.socket.destroy();
});

test('a template of a tunnel that failed is not said when a later request is upgraded', async () => {
  await using up = await upstream((socket) => socket.write('H'));
  let endpoint = 0;
  using s = await engineWith((engine, base, row) => {
    const to = { [t.W_HEAD]: 1, [t.W_ENDPOINT]: endpoint };
    if (row.kind === t.REQUEST && row.text === 'a') {
      say(engine, base, { ...to, [t.W_ENDPOINT]: 99, [t.W_ACTION]: t.TUNNEL }, 'x');
      engine.rows[base + t.W_TAIL] = 1 | (7 << 8);
    } else if (row.kind === t.REQUEST) say(engine, base, { ...to, [t.W_ACTION]: t.FORWARD }, 'x');
    else if (row.kind === t.FAILED) say(engine, base, { [t.W_ACTION]: t.REPLY, [t.W_OUT]: t.OUT_KEEP }, 'failed;');
    else if (row.kind === t.RESPONSE) say(engine, base, { [t.W_HEAD]: 1, [t.W_ACTION]: t.TUNNEL }, 'up;');
  });
  s.engine.template(7, Buffer.from('open;'));
  endpoint = s.engine.endpoint('127.0.0.1', up.port, 1000);
  const c = await connect(s.port);
  c.send('a');
  await c.until(/^failed;$/);
  c.send('b');
  await c.until(/up;/);
  c.send('c');
  assert.equal(await c.until(/H$/), 'failed;up;H');
  c.socket.destroy();
});

const long = process.env['MIDPLANE_TEST_LONG'] === '1';

// Tens of thousands of connections, one after the other.
test('a number of a connection that comes again does not bring back who had it', { skip: !long }, async () => {
  using s = await engineWith(
    (engine, base, row) => {
      if (row.kind === t.DONE) return;
      last = connOf(engine, base);
      say(engine, base, { [t.W_HEAD]: 1, [t.W_ACTION]: t.REPLY }, 'bye');
    },
    {},
    undefined,
    { maxConnections: 1, maxStreams: 0 },
  );
  let last = 0;
  /** Says something where the one slot is free: the port and number that this connection had. */
  async function speak(): Promise<{ port: number | undefined; conn: number }> {
    for (;;) {
      const c = await connect(s.port).catch(() => undefined);
      const port = c?.socket.localPort;
      c?.send('x');
      const text = await c?.closed().catch(() => '');
      c?.socket.destroy();
      if (text === 'bye') return { port, conn: last };
    }
  }
  const first = await speak();
  assert.equal(s.engine.peer(first.conn).port, first.port);
  const { accepted } = s.engine.stats();
  // Who comes and goes without a word is in no row.
  while (s.engine.stats().accepted < accepted + 32_700) await silent(s.port);
  for (;;) {
    const again = await speak();
    if (again.conn !== first.conn) continue;
    return assert.equal(s.engine.peer(again.conn).port, again.port);
  }
});
