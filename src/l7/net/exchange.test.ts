import assert from 'node:assert/strict';
import { eventually } from '../../../test/fake/eventually.ts';
import { test } from '../../../test/fake/l7-engines.ts';
import { connect, endpoint, forward, get, host, route, sleep, upstream } from '../../../test/fake/l7.ts';
import { rig, simpleRig } from '../../../test/fake/l7-rig.ts';
import { createRandom } from '../upstream/pick.ts';
import { freePort } from '../../../test/fake/port.ts';

const all = () => [host(['*'], route('all', forward('a')))];
const simple = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

test('the client goes away: the upstream request is given up', async () => {
  await using s = await simpleRig(() => {});
  const c = await connect(s.port);
  c.send(simple);
  await eventually(() => assert.equal(s.r.engine.stats().upstreams, 1));
  c.socket.resetAndDestroy();
  await eventually(() => {
    assert.equal(s.r.engine.stats().upstreams, 0);
    assert.equal(s.r.log[0]?.flags, 'client-gone');
    assert.equal(s.r.stats().aborted, 1);
  });
});

test('half-close after a whole request: the answer comes, then the end', async () => {
  await using s = await simpleRig((socket) => {
    setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), 30);
  });
  const c = await connect(s.port, { allowHalfOpen: true });
  c.socket.end(simple);
  assert.match(await c.closed(), /ok$/);
  await eventually(() => assert.equal(s.r.engine.stats().connections, 0));
});

test('half-close in the middle of a request gives it up', async () => {
  await using s = await simpleRig(() => {});
  const c = await connect(s.port, { allowHalfOpen: true });
  c.socket.end('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
  assert.equal(await c.closed(), '');
  await eventually(() => assert.equal(s.r.engine.stats().upstreams, 0));
});

test('the upstream ends in the middle of a body: the client sees a broken answer, not a short one', async () => {
  for (const head of ['Content-Length: 10', 'Transfer-Encoding: chunked']) {
    await using s = await simpleRig((socket) => socket.end(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n5\r\nab`));
    const c = await connect(s.port);
    let reset = false;
    c.socket.on('error', () => (reset = true));
    c.send(simple);
    const text = await c.closed();
    await eventually(() => assert.ok(reset, text));
    assert.doesNotMatch(text, /0\r\n\r\n$/);
  }
});

test('the upstream resets before a response: 503, and the client may go on', async () => {
  await using s = await simpleRig((socket) => socket.resetAndDestroy());
  const c = await connect(s.port);
  c.send(simple);
  await c.until(/^HTTP\/1.1 503 [^]*headers$/);
  assert.equal(s.up.sockets.length, 1, 'a new connection is not tried twice');
  c.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  await c.closed();
});

test('a reused connection that the server had closed: a safe request is sent once more, an unsafe one is not', async () => {
  let answers = 0;
  await using s = await simpleRig((socket) => {
    answers += 1;
    // Every second request on the same connection meets a reset, as if the server had just given up idling.
    if (answers % 2 === 0) socket.resetAndDestroy();
    else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  const c = await connect(s.port);
  c.send(simple);
  await c.until(/ok$/);
  c.clear();
  c.send(simple);
  await c.until(/^HTTP\/1.1 200[^]*ok$/);
  assert.equal(s.up.sockets.length, 2);
  c.clear();
  c.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n');
  await c.until(/^HTTP\/1.1 503/);
  c.socket.destroy();
});

test('a dead endpoint: 503; beside a living one: one more try', async () => {
  await using s = await simpleRig();
  const dead = await freePort();
  s.r.endpoints('a', [dead]);
  assert.match(await get(s.port), /^HTTP\/1.1 503 [^]*upstream connect error/);
  s.r.endpoints('a', [dead, s.up.port]);
  for (let i = 0; i < 4; i += 1) assert.match(await get(s.port), /^HTTP\/1.1 200/);
});

test('no endpoint, no healthy endpoint: 503', async () => {
  await using s = await simpleRig();
  s.r.endpoints('a', []);
  assert.match(await get(s.port), /^HTTP\/1.1 503 [^]*no healthy upstream$/);
  s.r.endpoints('a', [endpoint(s.up.port, { healthy: false })]);
  assert.match(await get(s.port), /^HTTP\/1.1 503 [^]*no healthy upstream$/);
  assert.equal(s.r.log.at(-1)?.flags, 'no-endpoint');
});

test('connections beyond the limit of an endpoint: 503', async () => {
  await using s = await simpleRig(() => {}, { maxPerEndpoint: 1 });
  const c = await connect(s.port);
  c.send(simple);
  await eventually(() => assert.equal(s.r.engine.stats().upstreams, 1));
  assert.match(await get(s.port), /^HTTP\/1.1 503/);
  assert.equal(s.r.log.at(-1)?.flags, 'upstream-overflow');
  c.socket.destroy();
});

test('clients beyond the limit are refused, and come in when others have gone', async () => {
  await using s = await simpleRig(undefined, { maxConnections: 2 });
  const clients = [await connect(s.port), await connect(s.port)];
  await eventually(() => assert.equal(s.r.engine.stats().connections, 2));
  assert.equal(await get(s.port).catch(() => ''), '');
  assert.equal(s.r.engine.stats().refused, 1);
  for (const c of clients) c.socket.destroy();
  await eventually(() => assert.equal(s.r.engine.stats().connections, 0));
  assert.match(await get(s.port), /200/);
});

test('deadlines: route 504, head 408, idle connections are closed silently', async () => {
  const up = await upstream(() => {});
  using r = await rig({ times: { headMs: 200, idleMs: 200 } });
  r.serve([host(['*'], route('slow', { ...forward('a'), timeoutMs: 60 }))]);
  r.endpoints('a', [up.port]);
  const c = await connect(r.port);
  c.send(simple);
  await c.until(/^HTTP\/1.1 504 [^]*timeout$/);
  assert.equal(r.engine.stats().upstreams, 0);
  c.clear();
  assert.equal(await c.closed(), '', 'idle');
  const slow = await connect(r.port);
  slow.send('GET / HTTP/1.1\r\nHo');
  assert.match(await slow.closed(), /^HTTP\/1.1 408 [^]*connection: close/);
  const silent = await connect(r.port);
  assert.equal(await silent.closed(), '');
  assert.deepEqual(
    r.log.map((l) => [l.status, l.flags]),
    [
      [504, 'timeout'],
      [408, 'slow-head'],
    ],
  );
  await up[Symbol.asyncDispose]();
});

test('a deadline in the middle of a response breaks it off', async () => {
  const up = await upstream((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab'));
  using r = await rig();
  r.serve([host(['*'], route('slow', { ...forward('a'), timeoutMs: 300 }))]);
  r.endpoints('a', [up.port]);
  assert.match(await get(r.port), /\r\n\r\nab$/);
  await eventually(() => assert.deepEqual([r.log[0]?.status, r.log[0]?.flags], [200, 'timeout']));
  await up[Symbol.asyncDispose]();
});

test('an exchange without any byte for long ends: 504 to who waits, 408 to who stopped sending', async () => {
  await using s = await simpleRig(() => {}, { times: { stallMs: 80 } });
  assert.match(await get(s.port), /^HTTP\/1.1 504/);
  const c = await connect(s.port);
  c.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab');
  assert.match(await c.closed(), /^HTTP\/1.1 408/);
});

test('an upstream that does not answer the connect is given up in its time', async () => {
  using r = await rig({ times: { headMs: 400 } });
  r.serve(all(), [{ key: 'a', connectTimeoutMs: 60 }]);
  // TEST-NET-1: nothing answers, or the network refuses at once.
  r.endpoints('a', [endpoint(9, { address: '192.0.2.1' })]);
  assert.match(await get(r.port), /^HTTP\/1.1 503/);
});

test('whatever both sides cut off, nothing is left behind', async () => {
  const random = createRandom(5);
  await using s = await simpleRig(
    (socket) => {
      const answers: (() => void)[] = [
        () => socket.resetAndDestroy(),
        () => socket.end('HTTP/1.1 200 OK\r\nContent-Le'),
        () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab'),
        () => socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n'),
        () => {},
      ];
      const ok = () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      (answers[random() % 10] ?? ok)();
    },
    { times: { stallMs: 300, headMs: 300, idleMs: 300, upstreamIdleMs: 100 } },
  );
  const wire = `${simple}POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n${simple}`;
  async function client(): Promise<void> {
    const c = await connect(s.port).catch(() => undefined);
    if (c === undefined) return;
    c.send(wire.slice(0, 1 + (random() % wire.length)));
    await sleep(random() % 10);
    const ends: (() => void)[] = [
      () => c.socket.resetAndDestroy(),
      () => c.socket.destroy(),
      () => c.socket.end(simple),
    ];
    (ends[random() % 4] ?? (() => c.socket.end()))();
    setTimeout(() => c.socket.destroy(), 50);
  }
  for (let i = 0; i < 20; i += 1) await Promise.all(Array.from({ length: 40 }, client));
  // Node takes in one connection a turn: on a busy machine most of them wait for that now. Longer than any may stall
  // nothing happens only when there is none.
  for (let rows = -1; rows !== s.r.engine.stats().rows; await sleep(600)) rows = s.r.engine.stats().rows;
  await eventually(() => {
    const { connections, upstreams } = s.r.engine.stats();
    assert.deepEqual({ connections, upstreams }, { connections: 0, upstreams: 0 });
  });
  const { accepted } = s.r.engine.stats();
  assert.ok(accepted > 200, String(accepted));
  assert.deepEqual(s.r.faults, []);
  s.r.endpoints('a', [s.up.port]);
  for (let i = 0; i < 50; i += 1) await get(s.port).catch(() => '');
});
