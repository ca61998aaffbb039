// TLS to upstreams: servers of node:tls that are who they should be, and others.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:https';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import { Duplex } from 'node:stream';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { eventually } from '../../../test/fake/eventually.ts';
import { serverSpec, tlsFront } from '../../../test/fake/l7-tls.ts';
import type { TlsFront } from '../../../test/fake/l7-tls.ts';
import { pki } from '../../../test/fake/pki.ts';
import type { TlsSpec } from './spec.ts';
import { WHY_CONNECT_TIMEOUT, WHY_TLS } from '../transport.ts';

const ours = pki();
after(() => ours[Symbol.dispose]());
const a = ours.issue('a', 'DNS:a.test,IP:127.0.0.1,URI:spiffe://td/a');
const client = ours.issue('client', 'URI:spiffe://td/client');
const clientSpec: TlsSpec = {
  side: 'client',
  certificates: [],
  ca: ours.ca,
  verify: 'always',
  minimum: 'TLSv1.2',
  alpn: ['http/1.1'],
};

interface Server extends AsyncDisposable {
  readonly port: number;
  /** How connections ended. */
  readonly ends: string[];
  accepted: (socket: tls.TLSSocket) => void;
  readonly seen: { servername: string; alpn: string; peer: string; body: number }[];
}

/** Answers each request with "ok". */
async function server(o: tls.TlsOptions = {}): Promise<Server> {
  const seen: Server['seen'] = [];
  const ends: string[] = [];
  const open = new Set<net.Socket>();
  const it = tls.createServer({ cert: a.chain, key: a.key, ALPNProtocols: ['http/1.1'], ...o }, (socket) => {
    open.add(socket);
    made.accepted(socket);
    const peer = socket.getPeerCertificate().subjectaltname ?? '';
    const one = { servername: String(socket.servername), alpn: String(socket.alpnProtocol), peer, body: 0 };
    seen.push(one);
    let head = '';
    socket.on('error', () => void ends.push('error'));
    socket.on('end', () => void ends.push('end'));
    socket.on('data', (piece: Buffer) => {
      const begins = !head.includes('\r\n\r\n');
      if (begins) head += piece.toString('latin1');
      one.body += begins ? head.length - head.indexOf('\r\n\r\n') - 4 : piece.length;
      const wanted = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (one.body < wanted) return;
      head = '';
      one.body = 0;
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  it.on('tlsClientError', () => {});
  it.on('connection', (socket: net.Socket) => open.add(socket));
  it.listen(0, '127.0.0.1');
  await once(it, 'listening');
  const made: Server = {
    port: (it.address() as AddressInfo).port,
    ends,
    seen,
    accepted: () => {},
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => it.close(resolve));
    },
  };
  return made;
}

interface Expect {
  readonly serverName?: string;
  readonly names?: readonly string[];
  readonly spec?: Partial<TlsSpec>;
  readonly connectMs?: number;
}

/** A plain front whose /up goes to the port over TLS. */
async function through(port: number, o: Expect = {}): Promise<TlsFront> {
  const front = await tlsFront({ upstreamIdleMs: 1000 });
  const { serverName = 'a.test', names = [serverName], spec, connectMs = 2000 } = o;
  const context = front.engine.tlsContext({ ...clientSpec, ...spec });
  front.endpoint = front.engine.endpoint('127.0.0.1', port, connectMs, { context, serverName, names });
  front.contexts.set('', front.engine.tlsContext({ ...serverSpec, certificates: [a] }));
  return front;
}

/** A request over TLS to the front, which passes it on over TLS. */
function ask(front: TlsFront, body = ''): Promise<string> {
  return new Promise((resolve) => {
    const headers = { 'content-length': String(body.length), connection: 'close' };
    const to = { host: '127.0.0.1', port: front.port, servername: 'a.test', ca: ours.ca, path: '/up', method: 'POST' };
    const sent = request({ ...to, headers, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('latin1');
      answer.on('data', (piece: string) => (text += piece));
      answer.on('end', () => resolve(`${answer.statusCode} ${text}`));
      answer.on('error', (error: Error) => resolve(`broken ${error.message}`));
    });
    sent.on('error', (error) => resolve(`error ${error.message}`));
    sent.end(body);
  });
}

test('both sides over TLS: server name, ALPN, a large body; one upstream connection for several requests', async () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    await using up = await server({ minVersion: version, maxVersion: version });
    using front = await through(up.port);
    assert.equal(await ask(front), '200 ok');
    assert.equal(await ask(front, 'x'.repeat(700_000)), '200 ok');
    assert.deepEqual(
      up.seen.map((s) => [s.servername, s.alpn]),
      [['a.test', 'http/1.1']],
    );
  }
});

test('who the upstream is: a name, an address, a URI, or nobody that is trusted', async () => {
  await using up = await server();
  using others = pki('Others');
  const cases: readonly (readonly [Expect, string])[] = [
    [{ names: ['127.0.0.1'] }, '200 ok'],
    [{ names: ['spiffe://td/a'] }, '200 ok'],
    [{ names: ['b.test', 'a.test'] }, '200 ok'],
    [{ names: [] }, '200 ok'],
    [{ names: ['b.test'] }, `503 reason ${WHY_TLS}`],
    [{ names: ['127.0.0.2'] }, `503 reason ${WHY_TLS}`],
    [{ names: ['spiffe://td/ab'] }, `503 reason ${WHY_TLS}`],
    [{ spec: { ca: others.ca } }, `503 reason ${WHY_TLS}`],
    [{ spec: { ca: others.ca, verify: 'never' } }, '200 ok'],
    [{ spec: { minimum: 'TLSv1.3' } }, '200 ok'],
  ];
  for (const [expect, answer] of cases) {
    using front = await through(up.port, expect);
    assert.equal(await ask(front), answer, JSON.stringify(expect));
  }
});

test('a client certificate for the upstream', async () => {
  await using up = await server({ requestCert: true, rejectUnauthorized: true, ca: ours.ca });
  using front = await through(up.port, { spec: { certificates: [client] } });
  assert.equal(await ask(front), '200 ok');
  assert.equal(up.seen[0]?.peer, 'URI:spiffe://td/client');
  using without = await through(up.port);
  assert.match(await ask(without), /^503 reason/);
});

test('the time to connect is for the handshake too; what speaks no TLS is no upstream', async () => {
  const silent = net.createServer((socket) => void socket.on('error', () => {}).resume());
  const plain = net.createServer((socket) => void socket.on('error', () => {}).end('HTTP/1.1 200 OK\r\n\r\n'));
  for (const it of [silent, plain]) await once(it.listen(0, '127.0.0.1'), 'listening');
  const ports = [silent, plain].map((it) => (it.address() as AddressInfo).port);
  using slow = await through(ports[0]!, { connectMs: 400 });
  assert.equal(await ask(slow), `503 reason ${WHY_CONNECT_TIMEOUT}`);
  using wrong = await through(ports[1]!);
  assert.equal(await ask(wrong), `503 reason ${WHY_TLS}`);
  silent.close();
  plain.close();
});

test('a body until close ends with close_notify; without it the client sees it broken', async () => {
  for (const [notify, expected] of [
    [true, /^200 some of it$/],
    [false, /^(broken|error)/],
  ] as const) {
    const up = await ending(notify);
    using front = await through(up.port);
    assert.match(await ask(front), expected);
    up.close();
  }
});

/** A server of TLS that answers and then ends its TCP connection, with a close_notify before or without. */
async function ending(notify: boolean): Promise<{ readonly port: number; close(): void }> {
  const secureContext = tls.createSecureContext({ cert: a.chain, key: a.key });
  const outer = net.createServer((raw) => {
    // Over a stream of its own the TCP connection stays ours to end.
    const beneath = new Duplex({
      read: () => void raw.resume(),
      write: (piece: Buffer, _, done) => void raw.write(piece, done),
      final: (done) => void raw.end(done),
    });
    raw.on('data', (piece: Buffer) => beneath.push(piece)).on('end', () => beneath.push(null));
    const socket = new tls.TLSSocket(beneath, { isServer: true, secureContext });
    for (const each of [raw, beneath, socket]) each.on('error', () => {});
    socket.on('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nx-framing: close\r\n\r\nsome of it', () => {
        if (notify) socket.end();
        else setTimeout(() => raw.end(), 20);
      });
    });
  });
  await once(outer.listen(0, '127.0.0.1'), 'listening');
  return { port: (outer.address() as AddressInfo).port, close: () => void outer.close() };
}

test('idle connections stay when the server has tickets to give, and end with a close_notify', async () => {
  await using up = await server();
  using front = await through(up.port);
  assert.equal(await ask(front), '200 ok');
  await eventually(() => assert.equal(front.engine.stats().upstreamsIdle, 1));
  assert.equal(await ask(front), '200 ok');
  assert.equal(front.engine.stats().upstreamConnects, 1);
  await eventually(() => assert.equal(front.engine.stats().upstreams, 0));
  await eventually(() => assert.deepEqual(up.ends, ['end']));
});

test('a session is resumed at the endpoint where it was made, and nowhere else; a new one is verified', async () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const reused: boolean[] = [];
    await using up = await server({ minVersion: version, maxVersion: version });
    up.accepted = (socket) => reused.push(socket.isSessionReused());
    using front = await through(up.port);
    const { endpoint } = front;
    assert.equal(await ask(front), '200 ok');
    // Its connection is given up meanwhile.
    await eventually(() => assert.equal(front.engine.stats().upstreams, 0));
    const context = front.engine.tlsContext(clientSpec);
    const to = (names: readonly string[]) =>
      front.engine.endpoint('127.0.0.1', up.port, 2000, { context, serverName: 'a.test', names });
    front.endpoint = to(['other.test']);
    assert.equal(await ask(front), `503 reason ${WHY_TLS}`);
    front.endpoint = to(['a.test']);
    assert.equal(await ask(front), '200 ok');
    front.endpoint = endpoint;
    assert.equal(await ask(front), '200 ok');
    assert.deepEqual(reused.slice(-2), [false, true], version);
    assert.equal(front.engine.stats().upstreamsResumed, 1);
  }
});
