// TLS that is passed through by the name in its ClientHello: what arrives is what was sent, and decides as it must.
import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import { eventually } from '../../../test/fake/eventually.ts';
import { connect, sleep, stream, streams, upstream } from '../../../test/fake/l7.ts';
import { test } from '../../../test/fake/l7-engines.ts';
import { rig } from '../../../test/fake/l7-rig.ts';
import type { StreamRoute } from '../../mesh/snapshot.ts';
import type { Upstream } from '../../../test/fake/l7.ts';
import type { RigOptions } from '../../../test/fake/l7-rig.ts';

const named = (name: string, cluster: string, ...sni: string[]): StreamRoute => ({ ...stream(name, cluster), sni });
const psk = { psk: Buffer.from('0123456789abcdef'), identity: 'me' };
const pskOnly = { ciphers: 'PSK-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' } as const;

/** A server that answers with its own name and the name that it was asked for. No certificate: a shared key. */
async function tlsServer(name: string) {
  const server = tls.createServer({ ...pskOnly, pskCallback: () => psk.psk }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (piece) => socket.write(`${name} ${socket.servername || '-'} ${piece.toString()}`));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { port, [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve())) };
}

/** What the server behind the router says to a client that asks for the name; undefined where it is refused. */
function ask(port: number, servername: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const o = { port, host: '127.0.0.1', ...pskOnly, pskCallback: () => psk, checkServerIdentity: () => undefined };
    const socket = tls.connect({ ...o, ...(servername !== '' && { servername }) }, () => socket.write('hi'));
    socket.once('data', (piece) => {
      resolve(piece.toString());
      socket.destroy();
    });
    socket.on('error', () => resolve(undefined));
    socket.on('close', () => resolve(undefined));
  });
}

/** A rig whose TLS port goes to one raw upstream for "a.test". */
async function rawRig(o?: RigOptions) {
  const stack = new AsyncDisposableStack();
  const up = stack.use(await upstream(() => {}));
  const r = stack.use(await rig(o));
  r.apply(streams(r.port, 'TLS', [named('a', 'a', 'a.test')]));
  r.endpoints('a', [up.port]);
  return { up, r, port: r.port, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Waits until the first connection has brought so many bytes. */
async function arrived({ seen }: Upstream, size: number): Promise<string> {
  for (let i = 0; i < 400 && (seen[0] ?? '').length < size; i += 1) await sleep(5);
  return seen[0] ?? '';
}

/** The bytes of a ClientHello as Node says it. */
async function clientHello(servername: string, more: tls.ConnectionOptions = {}): Promise<Buffer> {
  await using up = await upstream(() => {});
  const socket = tls.connect({ port: up.port, host: '127.0.0.1', servername, ...more });
  socket.on('error', () => {});
  await arrived(up, 1);
  await sleep(5);
  socket.destroy();
  return Buffer.from(up.seen[0] ?? '', 'latin1');
}

test('the most specific name decides; without a name, or with one that nobody has, the default or the end', async () => {
  await using a = await tlsServer('A');
  await using b = await tlsServer('B');
  await using c = await tlsServer('C');
  using r = await rig();
  const routes = [named('a', 'a', 'a.test'), named('b', 'b', '*.test'), named('c', 'c', '*.deep.test')];
  const clusters = [{ key: 'a' }, { key: 'b' }, { key: 'c' }];
  r.apply(streams(r.port, 'TLS', routes, clusters));
  for (const [key, { port }] of Object.entries({ a, b, c })) r.endpoints(key, [port]);
  const wanted: Record<string, string | undefined> = {
    'a.test': 'A a.test hi',
    'A.Test': 'A A.Test hi',
    'x.test': 'B x.test hi',
    'y.a.test': 'B y.a.test hi',
    'deep.test': 'B deep.test hi',
    'x.deep.test': 'C x.deep.test hi',
    'y.x.deep.test': 'C y.x.deep.test hi',
    'a.example': undefined,
    test: undefined,
    '': undefined,
  };
  for (const [name, answer] of Object.entries(wanted)) assert.equal(await ask(r.port, name), answer, name);
  r.apply(streams(r.port, 'TLS', [...routes, named('any', 'c', '*')], clusters));
  assert.equal(await ask(r.port, ''), 'C - hi');
  assert.equal(await ask(r.port, 'a.example'), 'C a.example hi');
  assert.equal(await ask(r.port, 'a.test'), 'A a.test hi');
  await eventually(() =>
    assert.deepEqual(
      r.log.filter((l) => l.flags === 'no-route').map((l) => [l.method, l.host, l.route, l.upstream]),
      ['a.example', 'test', ''].map((host) => ['-', host, '', '']),
    ),
  );
  assert.equal(r.log.find((l) => l.host === 'x.deep.test')?.route, 'c');
  assert.deepEqual(r.faults, []);
});

test('a ClientHello in any pieces, and what follows it, goes on as it came', async () => {
  await using s = await rawRig();
  const bytes = await clientHello('a.test');
  for (const size of [1, 7, 100, bytes.length]) {
    s.up.seen.length = 0;
    const c = await connect(s.port);
    for (let i = 0; i < bytes.length; i += size) {
      c.send(bytes.subarray(i, i + size));
      if (size < 100 && i < 40) await sleep(1);
    }
    c.send('early data');
    const wanted = `${bytes.toString('latin1')}early data`;
    assert.equal(await arrived(s.up, wanted.length), wanted);
    c.socket.destroy();
  }
});

test('a ClientHello of up to 16 KB passes, a larger one is closed', async () => {
  await using s = await rawRig();
  const many = (n: number) => Array.from({ length: n }, (_, i) => `protocol-${i}-${'x'.repeat(200)}`);
  const large = await clientHello('a.test', { ALPNProtocols: many(65) });
  assert.ok(large.length > 14_000, String(large.length));
  const c = await connect(s.port);
  c.send(large);
  assert.equal(await arrived(s.up, large.length), large.toString('latin1'));
  c.socket.destroy();
  // In segments, as a network would have it.
  s.up.seen.length = 0;
  const slow = await connect(s.port);
  for (let i = 0; i < large.length; i += 1400) {
    slow.send(large.subarray(i, i + 1400));
    await sleep(1);
  }
  assert.equal(await arrived(s.up, large.length), large.toString('latin1'));
  slow.socket.destroy();
  const larger = await clientHello('a.test', { ALPNProtocols: many(90) });
  assert.ok(larger.length > 17_000, String(larger.length));
  const refused = await connect(s.port);
  refused.send(larger);
  assert.equal(await refused.closed(), '');
  assert.equal(s.up.seen.length, 1);
  assert.deepEqual(s.r.log.filter((l) => l.flags === 'bad-hello').length, 1);
});

test('what is no TLS is closed at its first bytes, and who says nothing in time', async () => {
  await using s = await rawRig({ times: { headMs: 400 } });
  for (const bytes of [
    'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n',
    'SSH-2.0-x\r\n',
    '\x16\x03\x01\x00\x00',
    '\x80\x2e\x01',
  ]) {
    const c = await connect(s.port);
    c.send(Buffer.from(bytes, 'latin1'));
    assert.equal(await c.closed(), '');
  }
  const [silent, slow] = [await connect(s.port), await connect(s.port)];
  slow.send(Buffer.from([22, 3, 1, 2, 0, 1]));
  await Promise.all([silent.closed(), slow.closed()]);
  assert.equal(s.up.seen.length, 0);
  await eventually(() => {
    const flags = s.r.log.map((l) => l.flags);
    assert.deepEqual(flags.toSorted(), [...Array(4).fill('bad-hello'), 'slow-head', 'slow-head']);
    assert.equal(s.r.stats().requests, 6);
  });
});
