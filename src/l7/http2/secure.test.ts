// HTTP/2 to upstreams over TLS: servers of Node's that are who they should be and speak h2, and others.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import net from 'node:net';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { endpoint, forward, host, route, sleep, snapshot } from '../../../test/fake/l7.ts';
import { rig } from '../../../test/fake/l7-rig.ts';
import type { RigOptions } from '../../../test/fake/l7-rig.ts';
import { pki } from '../../../test/fake/pki.ts';
import type { ClusterTls } from '../../mesh/snapshot.ts';

const ours = pki();
after(() => ours[Symbol.dispose]());
const a = ours.issue('a', 'DNS:a.test');

type End = () => void;

/** Answers with the scheme and the name that it was asked by. */
async function server(
  o: tls.TlsOptions = {},
): Promise<{ port: number; asked: string[]; sessions: number[]; end: End }> {
  const asked: string[] = [];
  const sessions: number[] = [];
  const open = new Set<Socket>();
  const it = http2.createSecureServer({ cert: a.chain, key: a.key, ...o }, () => {});
  it.on('connection', (socket: Socket) => open.add(socket));
  it.on('session', (session) => {
    session.on('error', () => {});
    sessions.push(1);
  });
  it.on('stream', (each, fields) => {
    const stream = each as ServerHttp2Stream;
    stream.on('error', () => {});
    const socket = stream.session!.socket as tls.TLSSocket;
    asked.push(`${fields[':scheme']} ${socket.alpnProtocol as string} ${String(socket.servername)}`);
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  });
  it.listen(0, '127.0.0.1');
  await once(it, 'listening');
  const end = (): void => {
    for (const socket of open) socket.destroy();
    it.close();
  };
  return { port: (it.address() as AddressInfo).port, asked, sessions, end };
}

const expected: ClusterTls = { trust: 'default/ca', serverName: 'a.test', names: ['a.test'] };

async function through(port: number, more: Partial<ClusterTls> = {}, o: RigOptions = {}) {
  const r = await rig(o);
  const cluster = { key: 'up', protocol: 'HTTP/2', tls: { ...expected, ...more }, connectTimeoutMs: 500 } as const;
  const plan = snapshot(r.port, [host(['*'], route('all', forward('up')))], [cluster]);
  r.apply({ ...plan, secrets: [{ name: 'default/ca', ca: ours.ca }] });
  r.endpoints('up', [endpoint(port)]);
  const ask = async (body: string): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${r.port}/`, { method: 'POST', body });
    return `${answer.status} ${await answer.text()}`;
  };
  return {
    r,
    ask,
    [Symbol.dispose]() {
      assert.deepEqual(r.faults, []);
      r[Symbol.dispose]();
    },
  };
}

test('h2 by ALPN, verified; requests share a connection', async () => {
  const up = await server();
  using s = await through(up.port);
  const large = 'x'.repeat(500_000);
  const bodies = ['a', large, 'b', large];
  assert.deepEqual(
    await Promise.all(bodies.map((body) => s.ask(body))),
    bodies.map((body) => `200 ${body}`),
  );
  assert.deepEqual(new Set(up.asked), new Set(['https h2 a.test']));
  assert.equal(up.sessions.length, 1);
  const { tlsHandshakes, tlsCut, tlsOther } = s.r.engine.stats();
  assert.deepEqual([tlsHandshakes, tlsCut, tlsOther], [0, 0, 0], 'these count clients');
  s.r.endpoints('up', []);
  for (let i = 0; i < 200 && s.r.engine.stats().upstreams > 0; i += 1) await sleep(10);
  assert.equal(s.r.engine.stats().upstreams, 0);
  up.end();
});

test('who is not who it should be, or speaks no h2, gets no request: 503, upstream-tls', async () => {
  using others = pki('Others');
  const stranger = others.issue('a', 'DNS:a.test');
  const cases: readonly (readonly [tls.TlsOptions, Partial<ClusterTls>])[] = [
    [{}, { names: ['b.test'] }],
    [{ cert: stranger.chain, key: stranger.key }, {}],
  ];
  for (const [o, more] of cases) {
    const up = await server(o);
    using s = await through(up.port, more);
    assert.match(await s.ask('x'), /^503 /);
    assert.equal(s.r.log[0]?.flags, 'upstream-tls');
    assert.deepEqual(up.asked, []);
    assert.equal(s.r.engine.stats().upstreams, 0);
    up.end();
  }
  for (const ALPNProtocols of [undefined, ['http/1.1']]) {
    const o = { cert: a.chain, key: a.key, ...(ALPNProtocols && { ALPNProtocols }) };
    const plain = tls.createServer(o, (socket) => void socket.on('error', () => {}).resume());
    await once(plain.listen(0, '127.0.0.1'), 'listening');
    using s = await through((plain.address() as AddressInfo).port);
    assert.match(await s.ask('x'), /^503 /, `a server that speaks ${String(ALPNProtocols)}`);
    assert.equal(s.r.log[0]?.flags, 'upstream-tls');
    plain.close();
  }
});

test('a server that is not there, that says nothing, that ends its endpoint in the middle of the handshake', async () => {
  using gone = await through(1);
  assert.match(await gone.ask('x'), /^503 /);
  assert.equal(gone.r.log[0]?.flags, 'upstream-refused');
  const silent = net.createServer((socket) => void socket.on('error', () => {}).resume());
  await once(silent.listen(0, '127.0.0.1'), 'listening');
  const { port } = silent.address() as AddressInfo;
  using slow = await through(port);
  const asked = slow.ask('x');
  await sleep(50);
  slow.r.endpoints('up', []);
  assert.match(await asked, /^503 /);
  for (let i = 0; i < 200 && slow.r.engine.stats().upstreams > 0; i += 1) await sleep(10);
  assert.equal(slow.r.engine.stats().upstreams, 0);
  silent.close();
});
