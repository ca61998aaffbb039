// CONNECT: a route that names the method lets it in, to that route's backends and nowhere else. And targets without a
// path.
import assert from 'node:assert/strict';
import { eventually } from '../../../test/fake/eventually.ts';
import { connect, forward, host, once, route, upstream } from '../../../test/fake/l7.ts';
import { test } from '../../../test/fake/l7-engines.ts';
import { rig, simpleRig } from '../../../test/fake/l7-rig.ts';
import { freePort } from '../../../test/fake/port.ts';

const ask = 'CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n\r\n';
const any = { path: { kind: 'prefix', value: '' } } as const;

test('CONNECT is refused with 501 unless a route names it, and nothing of what follows is read', async () => {
  await using s = await simpleRig();
  const got = await once(s.port, `${ask}GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n`);
  assert.match(got, /^HTTP\/1\.1 501 .*\r\nconnection: close\r\n\r\nCONNECT is not served$/s);
  s.r.serve([host(['other.test'], route('in', forward('a'), { ...any, method: 'CONNECT' }))]);
  assert.match(await once(s.port, ask), /^HTTP\/1\.1 501 /);
  await eventually(() => {
    assert.deepEqual(s.up.seen, []);
    assert.deepEqual(
      s.r.log.map((l) => [l.method, l.host, l.flags]),
      Array(2).fill(['CONNECT', 'db.test:5432', 'connect-refused']),
    );
  });
});

test('a route with the method CONNECT opens a tunnel to its backend: 200 once it stands, then bytes as they come', async () => {
  await using up = await upstream((socket, piece) => void socket.write(`<${piece.toString()}>`));
  using r = await rig();
  const refused = route('all', { kind: 'reply', status: 404, body: '' }, any);
  r.serve([host(['db.test'], refused, route('in', forward('a'), { ...any, method: 'CONNECT' }))]);
  r.endpoints('a', [up.port]);
  const c = await connect(r.port);
  c.send(`${ask}early`);
  await c.until(/^HTTP\/1\.1 200 OK\r\n\r\n<early>$/);
  c.send('\0\r\nlater');
  await c.until(/<\0\r\nlater>$/);
  assert.deepEqual(up.seen, ['early\0\r\nlater']);
  c.socket.end();
  await c.closed();
  await eventually(() =>
    assert.deepEqual(
      r.log.map((l) => [l.method, l.host, l.route, l.status, l.flags]),
      [['CONNECT', 'db.test:5432', 'in', 200, 'connected']],
    ),
  );
  r.endpoints('a', [await freePort()]);
  const failed = await once(r.port, `${ask}GET / HTTP/1.1\r\nHost: db.test\r\n\r\n`);
  assert.match(failed, /^HTTP\/1\.1 503 /);
  assert.equal(failed.split('HTTP/1.1 ').length, 2, 'what follows CONNECT is no request');
  r.endpoints('a', []);
  assert.match(await once(r.port, ask), /^HTTP\/1\.1 503 /);
  assert.match(await once(r.port, 'GET / HTTP/1.1\r\nHost: db.test\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 404 /);
  assert.deepEqual(r.faults, []);
});

test('an absolute target without a path is "/", for OPTIONS "*"', async () => {
  await using s = await simpleRig();
  for (const [method, path] of [
    ['GET', '/'],
    ['OPTIONS', '*'],
  ] as const) {
    assert.match(
      await once(s.port, `${method} http://a.test HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`),
      /200 OK/,
    );
    assert.ok(s.up.seen.join('').includes(`${method} ${path} HTTP/1.1\r\n`), s.up.seen.join());
  }
  await eventually(() =>
    assert.deepEqual(
      s.r.log.map((l) => l.path),
      ['/', '*'],
    ),
  );
});
