// What every engine must do with rows, shown without the chain: rows in, rows out, bytes.
import assert from 'node:assert/strict';
import { eventually } from '../../test/fake/eventually.ts';
import { test } from '../../test/fake/l7-engines.ts';
import { connOf, engineWith, say } from '../../test/fake/l7-rows.ts';
import type { Seen } from '../../test/fake/l7-rows.ts';
import { connect, sleep, upstream } from '../../test/fake/l7.ts';

import * as t from './transport.ts';

test('hold, then resume: the row is laid out again, with what came meanwhile', async () => {
  let held = -1;
  using s = await engineWith((engine, base, row) => {
    if (row.kind !== t.REQUEST) return;
    if (held < 0) {
      held = connOf(engine, base);
      say(engine, base, { [t.W_ACTION]: t.HOLD });
    } else say(engine, base, { [t.W_HEAD]: row.text.length, [t.W_ACTION]: t.REPLY, [t.W_OUT]: 0 }, 'later');
  });
  const c = await connect(s.port);
  c.send('one');
  await eventually(() => assert.equal(s.seen.length, 1));
  c.send('two');
  await sleep(20);
  assert.deepEqual(
    s.seen.map((r) => r.text),
    ['one'],
  );
  s.engine.resume(held + (1 << 16));
  s.engine.resume(held);
  assert.equal(await c.closed(), 'later');
  assert.equal(s.seen[1]?.text, 'onetwo');
  assert.equal(s.seen[2]?.kind, t.DONE);
});

test('bytes mode: rows of bytes, answers by send, an end by close', async () => {
  using s = await engineWith((engine, base, row) => {
    if (row.kind === t.REQUEST) say(engine, base, { [t.W_HEAD]: 2, [t.W_ACTION]: t.RAW });
    else if (row.kind === t.BYTES) {
      // Whole pairs are used up, an odd byte waits.
      const pairs = row.text.length & ~1;
      engine.rows[base + t.W_HEAD] = pairs;
      engine.send(connOf(engine, base), engine.rows[base + t.W_OFF]!, pairs);
      if (row.text.includes('!!')) engine.close(connOf(engine, base), 'end');
    }
  });
  const c = await connect(s.port);
  c.send('xxabc');
  await c.until(/^ab$/);
  c.send('d!!');
  assert.equal(await c.closed(), 'abcd!!');
});

test('wait lays a head out again when more has come; close ends it', async () => {
  using s = await engineWith((engine, base, row) => {
    if (row.kind === t.REQUEST && row.text.length > 4) say(engine, base, { [t.W_ACTION]: t.CLOSE });
  });
  const c = await connect(s.port);
  c.send('abc');
  await eventually(() => assert.equal(s.seen.length, 1));
  c.send('def');
  assert.equal(await c.closed(), '');
  assert.deepEqual(
    s.seen.map((r) => r.text),
    ['abc', 'abcdef'],
  );
});

test('forward: request up, response down, DONE counts both ways; an unknown endpoint fails', async () => {
  await using up = await upstream((socket) => socket.write('HEAD-body'));
  let endpoint = 99;
  using s = await engineWith((engine, base, row) => {
    if (row.kind === t.REQUEST) {
      say(
        engine,
        base,
        {
          [t.W_HEAD]: 4,
          [t.W_ACTION]: t.FORWARD,
          [t.W_ENDPOINT]: endpoint,
          [t.W_BODY]: t.BODY_LENGTH,
          [t.W_BODY_LO]: 3,
        },
        'UP:',
      );
    } else if (row.kind === t.RESPONSE) {
      const out = { [t.W_OUT]: t.OUT_KEEP | t.OUT_KEEP_UPSTREAM, [t.W_BODY]: t.BODY_LENGTH, [t.W_BODY_LO]: 4 };
      say(engine, base, { [t.W_HEAD]: 5, [t.W_ACTION]: t.FORWARD, ...out }, 'DOWN:');
    } else if (row.kind === t.FAILED) say(engine, base, { [t.W_ACTION]: t.REPLY, [t.W_OUT]: t.OUT_KEEP }, 'failed');
  });
  const c = await connect(s.port);
  c.send('headbdy');
  await c.until(/^failed$/);
  assert.equal(s.seen[1]?.reason, t.WHY_OVERFLOW);
  endpoint = s.engine.endpoint('127.0.0.1', up.port, 1000);
  c.clear();
  c.send('headbdy');
  await c.until(/^DOWN:body$/);
  assert.equal(up.seen[0], 'UP:bdy');
  await eventually(() => assert.equal(s.engine.stats().upstreamsIdle, 1));
  s.engine.dropEndpoint(endpoint);
  assert.equal(s.engine.stats().upstreamsIdle, 0);
  c.socket.destroy();
});

test('numbers that name nothing are ignored', async () => {
  using s = await engineWith((engine, base) => say(engine, base, { [t.W_ACTION]: 77, [t.W_HEAD]: -5 }));
  s.engine.unlisten(77);
  s.engine.dropEndpoint(77);
  s.engine.resume(12345);
  s.engine.close(12345, 'reset');
  s.engine.send(12345, 0, 1);
  assert.equal(s.engine.peer(12345).address, '');
  const c = await connect(s.port);
  c.send('x');
  assert.equal(await c.closed(), '');
});

const onlyHello = (kinds: readonly Seen[]) => kinds.filter((row) => row.kind === t.HELLO).map((row) => row.text);

test('hello: bytes are used up, more is waited for, then the connection speaks HTTP', async () => {
  using s = await engineWith(
    (engine, base, row) => {
      if (row.kind === t.REQUEST) {
        say(engine, base, { [t.W_HEAD]: row.text.length, [t.W_ACTION]: t.REPLY }, `request ${row.text}`);
      } else if (row.kind === t.HELLO && row.text.startsWith('PROXY;')) say(engine, base, { [t.W_HEAD]: 6 });
      else if (row.kind === t.HELLO && row.text.length >= 3) say(engine, base, { [t.W_ACTION]: t.PLAIN });
    },
    {},
    'bytes',
  );
  const c = await connect(s.port);
  await sleep(20);
  assert.deepEqual(s.seen, []);
  c.send('PROXY;G');
  await eventually(() => assert.equal(onlyHello(s.seen).length, 2));
  c.send('ET');
  assert.equal(await c.closed(), 'request GET');
  assert.deepEqual(onlyHello(s.seen), ['PROXY;G', 'G', 'GET']);
});

test('hello at once: a server that speaks first is heard; runs go up first, the template comes down first', async () => {
  await using up = await upstream();
  up.server.on('connection', (socket) => socket.write('220 ready'));
  let endpoint = 0;
  using s = await engineWith(
    (engine, base, row) => {
      if (row.kind !== t.HELLO) return;
      say(engine, base, { [t.W_ACTION]: t.TUNNEL, [t.W_ENDPOINT]: endpoint }, 'from a;');
      engine.rows[base + t.W_TAIL] = 1 | (7 << 8);
    },
    {},
    'at-once',
  );
  endpoint = s.engine.endpoint('127.0.0.1', up.port, 1000);
  s.engine.template(7, Buffer.from('open;'));
  const c = await connect(s.port);
  await c.until(/^open;220 ready$/);
  c.send('EHLO');
  await eventually(() => {
    assert.equal(up.seen[0], 'from a;EHLO');
    assert.deepEqual(onlyHello(s.seen), ['']);
  });
  c.socket.destroy();
  await eventually(() => {
    assert.equal(s.seen.at(-1)?.kind, t.DONE);
    assert.equal(s.engine.stats().upstreams, 0);
  });
});

test('hello: who says nothing in time is asked about; the tunnel then has what came', async () => {
  await using up = await upstream();
  let endpoint = 0;
  using s = await engineWith(
    (engine, base, row) => {
      if (row.kind === t.HELLO) say(engine, base, { [t.W_DEADLINE]: 50 });
      else if (row.kind === t.TIMEOUT) say(engine, base, { [t.W_ACTION]: t.TUNNEL, [t.W_ENDPOINT]: endpoint });
    },
    {},
    'at-once',
  );
  endpoint = s.engine.endpoint('127.0.0.1', up.port, 1000);
  const c = await connect(s.port);
  await sleep(20);
  c.send('ab');
  await eventually(() => assert.equal(up.seen[0], 'ab'));
  c.socket.destroy();
});

test('a tunnel that can not be had fails like a request; one that is too old ends', async () => {
  await using up = await upstream();
  let endpoint = 0;
  using s = await engineWith((engine, base, row) => {
    const tunnel = { [t.W_ACTION]: t.TUNNEL, [t.W_ENDPOINT]: endpoint, [t.W_DEADLINE]: 600 };
    if (row.kind === t.REQUEST) say(engine, base, { [t.W_HEAD]: row.text.length, ...tunnel }, 'x');
    else if (row.kind === t.FAILED && row.text === '') {
      say(engine, base, { [t.W_ACTION]: t.REPLY }, 'failed');
    }
  }, {});
  const dead = await connect(s.port);
  dead.send('CONNECT');
  assert.equal(await dead.closed(), 'failed');
  endpoint = s.engine.endpoint('127.0.0.1', up.port, 1000);
  const c = await connect(s.port);
  c.send('CONNECT');
  await eventually(() => assert.equal(up.seen[0], 'x'));
  c.send('more');
  await c.closed();
  assert.equal(up.seen[0], 'xmore');
  await eventually(() => assert.equal(s.seen.at(-1)?.reason, t.WHY_DEADLINE));
});

test('an endpoint whose server keeps connections shorter than we do', async () => {
  await using up = await upstream((socket) => socket.write('HEAD'));
  let endpoint = 0;
  using s = await engineWith((engine, base, row) => {
    const all = { [t.W_HEAD]: row.text.length, [t.W_OUT]: t.OUT_KEEP | t.OUT_KEEP_UPSTREAM };
    if (row.kind === t.REQUEST) say(engine, base, { ...all, [t.W_ACTION]: t.FORWARD, [t.W_ENDPOINT]: endpoint }, 'x');
    else if (row.kind === t.RESPONSE) say(engine, base, { ...all, [t.W_ACTION]: t.FORWARD }, 'y');
  });
  endpoint = s.engine.endpoint('127.0.0.1', up.port, 1000);
  s.engine.endpointIdle(endpoint, 500);
  const c = await connect(s.port);
  c.send('a');
  await c.until(/^y$/);
  assert.equal(s.engine.stats().upstreamsIdle, 1);
  await eventually(() => assert.equal(s.engine.stats().upstreamsIdle, 0));
  c.socket.destroy();
});

test('a chunked body that was empty is not sent again: its end went with the first try', async () => {
  await using up = await upstream((socket, piece) => {
    if (piece.toString() === 'G') socket.write('HEAD');
    else socket.resetAndDestroy();
  });
  let endpoint = 0;
  using s = await engineWith((engine, base, row) => {
    const to = { [t.W_ACTION]: t.FORWARD, [t.W_ENDPOINT]: endpoint };
    if (row.kind === t.REQUEST && row.text === 'G') say(engine, base, { ...to, [t.W_HEAD]: 1 }, 'G');
    else if (row.kind === t.REQUEST) {
      say(engine, base, { ...to, [t.W_HEAD]: 1, [t.W_BODY]: t.BODY_CHUNKED, [t.W_OUT]: t.OUT_CHUNK }, 'P');
    } else if (row.kind === t.RESPONSE) {
      const keep = { [t.W_OUT]: t.OUT_KEEP | t.OUT_KEEP_UPSTREAM };
      say(engine, base, { [t.W_HEAD]: row.text.length, [t.W_ACTION]: t.FORWARD, ...keep }, 'ok');
    } else if (row.kind === t.FAILED) say(engine, base, { [t.W_ACTION]: t.REPLY }, 'failed');
  });
  endpoint = s.engine.endpoint('127.0.0.1', up.port, 1000);
  const c = await connect(s.port);
  c.send('G');
  await c.until(/^ok$/);
  c.send('P0\r\n\r\n');
  assert.match(await c.closed(), /failed$/);
  const failed = s.seen.find((row) => row.kind === t.FAILED);
  assert.equal((failed?.flags ?? 0) & (t.IN_REUSED | t.IN_REPLAYABLE), t.IN_REUSED);
});
