// Connections that go on as they come: a listener of protocol TCP, from the client's first byte to the log.
import assert from 'node:assert/strict';
import net from 'node:net';
import { eventually } from '../../../test/fake/eventually.ts';
import { connect, forward, host, route, sleep, snapshot, stream, streams, upstream } from '../../../test/fake/l7.ts';
import { test } from '../../../test/fake/l7-engines.ts';
import { rig } from '../../../test/fake/l7-rig.ts';
import type { RigOptions } from '../../../test/fake/l7-rig.ts';
import { freePort } from '../../../test/fake/port.ts';

/** A rig whose port goes to one upstream; `greeting` is said before anything was heard. */
async function tcpRig(on: Parameters<typeof upstream>[0] = (s, piece) => void s.write(piece), o: RigOptions = {}) {
  const stack = new AsyncDisposableStack();
  const up = stack.use(await upstream(on));
  const r = stack.use(await rig(o));
  r.apply(streams(r.port, 'TCP', [stream('db', 'a')]));
  r.endpoints('a', [up.port]);
  return { up, r, port: r.port, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('a server that speaks first is heard, and then the client', async () => {
  await using s = await tcpRig();
  s.up.server.on('connection', (socket) => socket.write('220 hello\r\n'));
  const c = await connect(s.port);
  await c.until(/^220 hello\r\n$/);
  c.send('EHLO me\r\n');
  await c.until(/EHLO me\r\n$/);
  c.socket.end();
  await c.closed();
  await eventually(() => assert.equal(s.r.log.length, 1));
  const [line] = s.r.log;
  const { method, route, status, bytesIn, bytesOut, flags, upstream: to, listener } = line!;
  assert.deepEqual(
    { method, route, status, bytesIn, bytesOut, flags, to, listener },
    {
      method: '-',
      route: 'db',
      status: 0,
      bytesIn: 9,
      bytesOut: 20,
      flags: '',
      to: `e${s.up.port}`,
      listener: `127.0.0.1:${s.port}`,
    },
  );
  const { requests, aborted, classes } = s.r.stats();
  assert.deepEqual({ requests, aborted, classes }, { requests: 1, aborted: 0, classes: [0, 0, 0, 0, 0] });
  assert.deepEqual(s.r.faults, []);
});

test('each side ends for itself', async () => {
  await using s = await tcpRig(() => {});
  s.up.server.prependListener('connection', (socket) => socket.on('end', () => socket.end('after your end')));
  const c = await connect(s.port, { allowHalfOpen: true });
  c.send('all I say');
  c.socket.end();
  assert.equal(await c.closed(), 'after your end');
  assert.deepEqual(s.up.seen, ['all I say']);
});

test('a reset of one side is a reset of the other', async () => {
  await using s = await tcpRig((socket) => void socket.resetAndDestroy());
  const c = await connect(s.port);
  const error = new Promise<NodeJS.ErrnoException>((resolve) => c.socket.once('error', resolve));
  c.send('x');
  assert.equal((await error).code, 'ECONNRESET');
  await eventually(() => {
    assert.deepEqual(
      s.r.log.map((l) => l.flags),
      ['reset'],
    );
    assert.equal(s.r.stats().aborted, 1);
  });
});

test('weights share connections out; of a cluster that is gone the share is closed', async () => {
  await using a = await upstream((socket) => void socket.end('a'));
  await using b = await upstream((socket) => void socket.end('b'));
  using r = await rig();
  r.apply(streams(r.port, 'TCP', [stream('db', 'a 3', 'b 1', 'none/x/y/1 1')], [{ key: 'a' }, { key: 'b' }]));
  r.endpoints('a', [a.port]);
  r.endpoints('b', [b.port]);
  const got: Record<string, number> = { a: 0, b: 0, '': 0 };
  for (let i = 0; i < 50; i += 1) {
    const c = await connect(r.port);
    c.send('?');
    got[await c.closed()]! += 1;
    c.socket.destroy();
  }
  assert.ok(Math.abs(got['a']! - 30) <= 2 && Math.abs(got['b']! - 10) <= 2 && got['']! > 7, JSON.stringify(got));
  assert.equal(r.log.filter((l) => l.flags === 'no-cluster').length, got['']);
});

test('endpoints by turns; one that is down is tried once, then another; none is closed', async () => {
  await using s = await tcpRig((socket) => void socket.end('up'));
  const dead = await freePort();
  s.r.endpoints('a', [dead, s.up.port]);
  for (let i = 0; i < 6; i += 1) {
    const c = await connect(s.port);
    c.send('?');
    assert.equal(await c.closed(), 'up');
    c.socket.destroy();
  }
  for (const list of [[dead], []]) {
    s.r.endpoints('a', list);
    const socket = net.connect(s.port, '127.0.0.1');
    socket.on('error', () => {}).resume();
    await new Promise((resolve) => socket.once('close', resolve));
  }
  await eventually(() => {
    assert.deepEqual(
      s.r.log.slice(6).map((l) => l.flags),
      ['upstream-refused', 'no-endpoint'],
    );
    assert.equal(s.r.stats().aborted, 2);
  });
  assert.deepEqual(s.r.faults, []);
});

test('a silent connection ends, one that says something now and then does not', async () => {
  await using s = await tcpRig(undefined, { times: { stallMs: 500 } });
  const [silent, lively] = [await connect(s.port), await connect(s.port)];
  for (let i = 0; i < 16; i += 1) {
    lively.send('.');
    await sleep(50);
  }
  await silent.closed();
  await lively.until(/^\.{16}$/);
  await eventually(() =>
    assert.deepEqual(
      s.r.log.map((l) => l.flags),
      ['idle'],
    ),
  );
  lively.socket.destroy();
});

test('a change cuts no connection, and the next one goes where it says', async () => {
  await using s = await tcpRig();
  await using b = await upstream((socket) => void socket.write('b'));
  const old = await connect(s.port);
  old.send('1');
  await old.until(/1/);
  s.r.apply(streams(s.port, 'TCP', [stream('db', 'b')], [{ key: 'b' }]));
  s.r.endpoints('b', [b.port]);
  const fresh = await connect(s.port);
  fresh.send('x');
  await fresh.until(/^b$/);
  old.send('2');
  await old.until(/12/);
  s.r.apply(streams(s.port, 'TCP', []));
  const none = await connect(s.port);
  assert.equal(await none.closed(), '');
  old.send('3');
  await old.until(/123/);
  for (const c of [old, fresh]) c.socket.destroy();
});

test('much in both directions arrives as it was', async () => {
  await using s = await tcpRig();
  const bytes = Buffer.alloc(3_000_000, 'abcdefghijklmnopqrstuvwxyz');
  const c = await connect(s.port);
  let got = 0;
  const all = new Promise<void>((resolve) =>
    c.socket.on('data', (d) => (got += d.length) === bytes.length && resolve()),
  );
  c.send(bytes);
  await all;
  assert.equal(c.text(), bytes.toString('latin1'));
  c.socket.destroy();
});

test('a tunnel ends when it is as old as it may be, though bytes move; so does a WebSocket', async () => {
  await using s = await tcpRig((socket, piece) => {
    if (piece.includes('GET'))
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
    else socket.write(piece);
  });
  const upgrade = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n';
  const plain = streams(s.port, 'TCP', [stream('db', 'a')]);
  const http = snapshot(s.port, [host(['*'], route('all', forward('a')))], [{ key: 'a' }]);
  for (const [applied, first] of [
    [plain, 'hello'],
    [http, upgrade],
  ] as const) {
    s.r.apply({ ...applied, listeners: applied.listeners.map((l) => ({ ...l, maxTunnelMs: 300 })) });
    s.r.log.length = 0;
    const c = await connect(s.port);
    c.send(first);
    const since = Date.now();
    const over = c.closed();
    const talk = setInterval(() => c.socket.writable && c.send('.'), 20);
    await over;
    clearInterval(talk);
    const ms = Date.now() - since;
    // Without an end it would last as long as bytes move, and 5 minutes more.
    assert.ok(ms >= 280 && ms < 8000, `${ms}`);
    await eventually(() =>
      assert.deepEqual(
        s.r.log.map((l) => l.flags),
        ['max-age'],
      ),
    );
  }
});
