// The PROXY protocol on listeners and towards upstreams. What HAProxy and nginx make of it: test/lab/proxy-protocol.
import assert from 'node:assert/strict';
import { eventually } from '../../../test/fake/eventually.ts';
import {
  connect,
  endpoint,
  forward,
  host,
  once,
  route,
  sleep,
  snapshot,
  stream,
  streams,
} from '../../../test/fake/l7.ts';
import { upstream } from '../../../test/fake/l7.ts';
import { test } from '../../../test/fake/l7-engines.ts';
import { rig } from '../../../test/fake/l7-rig.ts';
import type { Snapshot } from '../../mesh/snapshot.ts';

const get = 'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n';
const v1 = 'PROXY TCP4 192.0.2.7 198.51.100.1 4711 80\r\n';
const v2 = Buffer.from(
  '0d0a0d0a000d0a515549540a21210024' + '20010db8000000000000000000000009'.repeat(2) + '1267' + '0050',
  'hex',
);

/** HTTP on a port that is told who the client is, by `from`. */
function told(port: number, from: readonly string[], cluster: { proxyProtocol?: 1 | 2 } = {}): Snapshot {
  const s = snapshot(port, [host(['*'], route('all', forward('a')))], [{ key: 'a', ...cluster }]);
  return { ...s, listeners: s.listeners.map((l) => ({ ...l, proxyFrom: from })) };
}

test('the header says who the client is: to the upstream and to the log, for each request of the connection', async () => {
  await using up = await upstream();
  using r = await rig();
  r.apply(told(r.port, ['127.0.0.0/8']));
  r.endpoints('a', [up.port]);
  for (const [header, client] of [
    [v1, '192.0.2.7'],
    [v2, '2001:db8::9'],
    ['PROXY UNKNOWN\r\n', '127.0.0.1'],
  ] as const) {
    r.log.length = 0;
    const c = await connect(r.port);
    const bytes = Buffer.concat([Buffer.from(header), Buffer.from(get.replace('Connection: close\r\n', ''))]);
    for (let i = 0; i < bytes.length; i += 5) {
      c.send(bytes.subarray(i, i + 5));
      if (i < 40) await sleep(1);
    }
    await c.until(/ok$/);
    c.clear();
    c.send(get);
    await c.closed();
    await eventually(() =>
      assert.deepEqual(
        r.log.map((l) => l.client),
        [client, client],
      ),
    );
    const seen = up.seen.join('');
    assert.equal(seen.split(`x-forwarded-for: ${client}\r\n`).length - 1, 2, seen);
    assert.doesNotMatch(seen, /PROXY/);
    up.seen.length = 0;
    for (const socket of up.sockets) socket.destroy();
  }
  assert.deepEqual(r.faults, []);
});

test('who is not trusted is closed, and who begins with no header; nothing goes on', async () => {
  await using up = await upstream();
  using r = await rig({ times: { headMs: 400 } });
  r.endpoints('a', [up.port]);
  r.apply(told(r.port, ['192.0.2.0/24', 'fd00::/8']));
  assert.equal(await once(r.port, v1 + get), '');
  r.apply(told(r.port, ['192.0.2.0/24', '127.0.0.1/32']));
  assert.equal(await once(r.port, get), '');
  assert.equal(await once(r.port, `PROXY TCP4 nobody\r\n${get}`), '');
  assert.equal(await once(r.port, 'PROXY TCP4 192.0.2.7'), '');
  assert.match(await once(r.port, v1 + get), /^HTTP\/1\.1 200 /);
  await eventually(() =>
    assert.deepEqual(
      r.log.map((l) => l.flags),
      ['proxy-untrusted', 'bad-proxy', 'bad-proxy', 'slow-head', ''],
    ),
  );
  assert.equal(up.seen.join('').split('GET').length, 2);
});

test('a header before TCP and before a ClientHello', async () => {
  await using up = await upstream((socket, piece) => void socket.write(piece));
  using r = await rig();
  r.endpoints('a', [up.port]);
  const with_ = (s: Snapshot): Snapshot => ({
    ...s,
    listeners: s.listeners.map((l) => ({ ...l, proxyFrom: ['127.0.0.1/32'] })),
  });
  r.apply(with_(streams(r.port, 'TCP', [stream('db', 'a')])));
  const c = await connect(r.port);
  c.send(`${v1}hello`);
  await c.until(/^hello$/);
  c.socket.destroy();
  r.apply(with_(streams(r.port, 'TLS', [{ ...stream('tls', 'a'), sni: ['*'] }])));
  const bad = await connect(r.port);
  bad.send(`${v1}hello`);
  assert.equal(await bad.closed(), '');
  await eventually(() => {
    const lines = r.log.map((l) => `${l.client} ${l.flags}`);
    assert.deepEqual(new Set(lines), new Set(['192.0.2.7 ', '192.0.2.7 bad-hello']));
  });
});

test('upstreams are told who the client is, in either version, once a connection, and each has its own', async () => {
  for (const version of [1, 2] as const) {
    await using up = await upstream();
    using r = await rig();
    r.endpoints('a', [endpoint(up.port)]);
    r.apply(told(r.port, ['127.0.0.1/32'], { proxyProtocol: version }));
    const c = await connect(r.port);
    c.send(v1);
    for (let i = 0; i < 2; i += 1) {
      c.clear();
      c.send(get.replace('Connection: close\r\n', ''));
      await c.until(/ok$/);
    }
    c.socket.destroy();
    const said =
      version === 1
        ? `PROXY TCP4 192.0.2.7 127.0.0.1 4711 ${r.port}\r\n`
        : Buffer.from('0d0a0d0a000d0a515549540a2111000cc00002077f000001', 'hex').toString('latin1');
    assert.equal(up.seen.length, 2, 'a connection is one client');
    for (const text of up.seen) {
      assert.ok(text.startsWith(said), JSON.stringify(text));
      assert.match(text, /GET \/ HTTP/);
    }
    r.apply(streams(r.port, 'TCP', [stream('db', 'a')], [{ key: 'a', proxyProtocol: version }]));
    up.seen.length = 0;
    const tcp = await connect(r.port);
    tcp.send('x\r\n\r\n');
    await tcp.until(/ok$/);
    const own = version === 1 ? `PROXY TCP4 127.0.0.1 127.0.0.1 ${tcp.socket.localPort} ${r.port}\r\nx` : 'QUIT';
    assert.ok(up.seen[0]?.includes(own), JSON.stringify(up.seen));
    tcp.socket.destroy();
    assert.deepEqual(r.faults, []);
  }
});
