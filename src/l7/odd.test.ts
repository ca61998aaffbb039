// Connections that do odd things while what is in force changes under them: each listener's protocol, its certificates,
// PROXY headers, the protocol of upstreams and whether they are there. Whatever happens to them, nothing is left of it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { connect as dial, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { eventually } from '../../test/fake/eventually.ts';
import { frame, get as fields, headers, post, preface, u32 } from '../../test/fake/http2.ts';
import { connect, endpoint, forward, get, host, route, sleep, snapshot, stream, upstream } from '../../test/fake/l7.ts';
import { rig } from '../../test/fake/l7-rig.ts';
import type { Rig } from '../../test/fake/l7-rig.ts';
import type { Fields } from '../../test/fake/http2.ts';
import { pki } from '../../test/fake/pki.ts';
import type { Cluster, Listener, Snapshot, TlsHost } from '../mesh/snapshot.ts';
import { createRandom } from './upstream/pick.ts';

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
const rounds = long ? 3000 : 150;

const ours = pki();
after(() => ours[Symbol.dispose]());
const certificates = ['a', 'b'].map((name) => ({ name, ...ours.issue(name, 'DNS:a.test') }));

/** Chooses by a number that makes it come again. */
class Dice {
  private readonly random: () => number;
  constructor(seed: number) {
    this.random = createRandom(seed);
  }
  below(n: number): number {
    return this.random() % n;
  }
  one<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

const protocols = ['HTTP', 'HTTP', 'HTTP', 'HTTPS', 'HTTPS', 'HTTPS', 'TCP', 'TCPS', 'TLS', 'auto'] as const;

function anything(port: number, dice: Dice): Snapshot {
  const cluster: Partial<Cluster> = dice.one([{}, { protocol: 'HTTP/2' }, { protocol: 'HTTP/2', grpcWeb: true }]);
  const s = snapshot(port, [], dice.below(8) === 0 ? [] : [{ key: 'a', ...cluster }]);
  const upgrade = { ...route('all', forward('a')) };
  const table = {
    hosts: [host(['*'], ...(dice.below(8) === 0 ? [] : [upgrade]))],
    streams: dice.below(4) === 0 ? [] : [{ ...stream('s', 'a'), sni: ['*'] }, stream('plain', 'a')],
  };
  const one: TlsHost = {
    host: dice.one(['*', 'a.test']),
    routes: 'tls',
    certificates: [dice.one(certificates).name],
    minimum: dice.one(['TLSv1.2', 'TLSv1.3']),
    ...(dice.below(6) === 0 && { client: { required: true, trust: 'ca' } }),
  };
  const protocol = dice.one(protocols);
  const ends = protocol === 'HTTPS' || protocol === 'TCPS';
  const listener: Listener = {
    ...s.listeners[0]!,
    protocol,
    ...(ends && { tls: [one], routes: 'none' }),
    ...(dice.below(5) === 0 && { proxyFrom: ['127.0.0.0/8'] }),
    ...(dice.below(5) === 0 && { limits: { connections: 5, requestsPerConnection: 2 } }),
    ...(dice.below(5) === 0 && { maxTunnelMs: 50 }),
  };
  return {
    ...s,
    listeners: dice.below(10) === 0 ? [] : [listener],
    routes: [
      { name: 'main', ...table },
      { name: 'tls', ...table },
      { name: 'none', hosts: [] },
    ],
    secrets: [...certificates, { name: 'ca', ca: ours.ca }],
  };
}

const body = 'POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n';
const web = body.replace('Host: a', 'Host: a\r\nContent-Type: application/grpc-web-text');
const ws =
  'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\nhello';
const said: readonly Buffer[] = [
  `GET / HTTP/1.1\r\nHost: a\r\n\r\n${body}`,
  `${body}${web}`,
  ws,
  'PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n',
  'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n',
  'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello',
  '\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00',
  '\r\n\r\n\0\xff',
].map((text) => Buffer.from(text, 'latin1'));

/** A body that looks like a request. */
const hidden = Buffer.from('GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n');
const websocket: Fields = [[':method', 'CONNECT'], [':protocol', 'websocket'], ...fields.slice(1)];
const grpc: Fields = [...post, ['content-type', 'application/grpc-web+proto']];

/** A frame of that stream; now and then one that may be of none. */
function anyFrame(dice: Dice, id: number): Uint8Array {
  const end = dice.below(2);
  const usual: readonly (() => Uint8Array)[] = [
    () => frame('DATA', end, id, dice.one([hidden, Buffer.from('abc'), Buffer.alloc(0), Buffer.alloc(9000)])),
    () => frame('DATA', 0, id, hidden),
    () => frame('DATA', 8 | end, id, Buffer.from([2, 97, 0, 0])),
    () => frame('WINDOW_UPDATE', 0, dice.one([0, id]), u32(1 + dice.below(100_000))),
    () => frame('SETTINGS', 0, 0, Buffer.from([0, 4, 0, 0, dice.below(256), dice.below(256)])),
    () => frame('PRIORITY', 0, id, Buffer.from([0, 0, 0, 0, 1])),
    () => frame('PING', 0, 0, Buffer.alloc(8)),
  ];
  const rare: readonly (() => Uint8Array)[] = [
    () => headers(id, [['x-t', '1']]),
    () => frame('RST_STREAM', 0, id, u32(dice.below(14))),
    () => frame('GOAWAY', 0, 0, Buffer.alloc(8)),
    () => headers(id, fields, end),
    () => frame(dice.below(256), dice.below(256), id, Buffer.alloc(dice.below(10))),
  ];
  return dice.one(dice.below(10) === 0 ? rare : usual)();
}

/** Requests on one connection, with the frames of each between those of others. */
function someFrames(dice: Dice): Buffer {
  const all: Uint8Array[] = [preface, frame('SETTINGS', 0, 0, Buffer.from([0, 4, 0, 0, 0, dice.one([3, 255])]))];
  let open = 0;
  for (let left = 1 + dice.below(40); left > 0; left -= 1) {
    if (open === 0 || dice.below(4) === 0) {
      const length: Fields = [...post, ['content-length', '35']];
      all.push(headers(1 + 2 * open, dice.one([fields, post, length, websocket, grpc]), dice.below(2)));
      open += 1;
    } else all.push(anyFrame(dice, 1 + 2 * dice.below(open)));
  }
  return Buffer.concat(all);
}

/** Says some of it in pieces, in the clear or over TLS, and ends in some way. */
async function odd(port: number, dice: Dice): Promise<void> {
  const plain = dial({ port, host: '127.0.0.1', allowHalfOpen: true });
  plain.on('error', () => {});
  const chosen = {
    servername: dice.one(['a.test', 'b.test', '']),
    ALPNProtocols: dice.one([['h2'], ['http/1.1'], []]),
  };
  const socket: Socket =
    dice.below(2) === 0 ? plain : tls.connect({ socket: plain, ...chosen, rejectUnauthorized: false });
  socket.on('error', () => {});
  if (dice.below(8) > 0) socket.resume();
  const all = dice.below(3) === 0 ? dice.one(said) : someFrames(dice);
  const most = Math.ceil(all.length / dice.one([1, 8, 40]));
  const cut = dice.below(4) === 0 ? dice.below(all.length) : all.length;
  for (let p = 0; p < cut && !socket.destroyed;) {
    const size = Math.min(cut - p, 1 + dice.below(most));
    socket.write(all.subarray(p, p + size));
    p += size;
    if (dice.below(3) === 0) await sleep(dice.below(4));
  }
  const how = dice.below(5);
  if (how === 0) socket.destroy();
  else if (how === 1) plain.resetAndDestroy();
  else if (how === 2) socket.end();
  // Beneath TLS: no alert, or what is none.
  else if (how === 3) plain.end(dice.one(['', '\x15\x03\x03\x00\x02\x02\x28', '\x17\x03\x03\x00\x00']));
  await sleep(dice.below(60));
  socket.destroy();
  plain.destroy();
}

/** Of HTTP/1.1: answers in some way. */
function answering(dice: Dice) {
  return (socket: Socket): void => {
    const how = dice.below(7);
    if (how === 0) return;
    if (how === 1) socket.resetAndDestroy();
    else if (how === 2) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbroken');
    else if (how === 3) socket.write('HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
    else if (how === 4)
      socket.write('HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
    else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  };
}

/** The server, which listens; `open` are its connections. */
async function listening(server: Server, open: ReadonlySet<Socket>): Promise<{ port: number } & Disposable> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.dispose]() {
      for (const socket of open) socket.destroy();
      server.close();
    },
  };
}

async function http2Server(dice: Dice, asked: string[]): Promise<{ port: number } & Disposable> {
  const server = http2.createServer({ settings: { enableConnectProtocol: true } });
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => open.add(socket.on('error', () => {})));
  server.on('session', (session) => session.on('error', () => {}));
  server.on('stream', (s: ServerHttp2Stream, head: IncomingHttpHeaders) => {
    asked.push(String(head[':path']));
    s.on('error', () => {});
    const how = dice.below(6);
    if (how === 0) s.close(2);
    else if (how === 1) s.session?.destroy();
    else if (how === 2) s.session?.goaway(0);
    else if (how === 3) s.respond({ ':status': 200, 'content-type': 'application/grpc' }, { endStream: true });
    else {
      s.respond({ ':status': 200 });
      s.end('ok');
    }
    if (how === 3) s.close(0);
  });
  return listening(server, open);
}

/** Of HTTP/2: says any frames, in no order, to whatever comes. */
async function oddServer(dice: Dice): Promise<{ port: number } & Disposable> {
  const open = new Set<Socket>();
  const ok: Fields = [[':status', '200']];
  const server = createServer((socket) => {
    open.add(socket.on('error', () => {}));
    socket.on('close', () => open.delete(socket));
    socket.write(frame('SETTINGS', 0, 0, Buffer.from([0, 3, 0, 0, 0, dice.below(4)])));
    let next = 1;
    socket.on('data', () => {
      const id = dice.below(4) === 0 ? 1 + 2 * dice.below(6) : next;
      if (dice.below(2) === 0) next += 2;
      const said = dice.below(2) === 0 ? headers(id, ok, dice.below(2)) : anyFrame(dice, id);
      socket.write(said);
      if (dice.below(10) === 0) socket.end();
    });
  });
  return listening(server, open);
}

/** Nothing is left of all that was. */
async function settled(r: Rig): Promise<void> {
  await eventually(() => {
    const { connections, streams, heldBytes, refusedRows } = r.engine.stats();
    assert.deepEqual(
      { connections, streams, heldBytes, refusedRows },
      { connections: 0, streams: 0, heldBytes: 0, refusedRows: 0 },
    );
  });
  assert.deepEqual(r.faults, []);
}

test('whatever connections do while everything changes, nothing is left of it', { timeout: 600_000 }, async (t) => {
  const seed = Number(process.env['MIDPLANE_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`MIDPLANE_TEST_SEED=${seed}`);
  const dice = new Dice(seed);
  await using one = await upstream(answering(dice));
  const asked: string[] = [];
  using two = await http2Server(dice, asked);
  using three = await oddServer(dice);
  using r = await rig({ times: { stallMs: 300, headMs: 200, idleMs: 300, lingerMs: 100, upstreamIdleMs: 200 } });
  const running = new Set<Promise<void>>();
  let spoken = '';
  const endpoints = (): void => {
    // Mostly who speaks what is spoken to them.
    const fits = (spoken === 'HTTP/2') !== (dice.below(8) === 0);
    const ports = dice.one(fits ? [[two.port], [two.port], [three.port], [two.port, 1]] : [[one.port], [one.port, 1]]);
    r.endpoints(
      'a',
      (dice.below(8) === 0 ? [] : ports).map((port) => endpoint(port)),
    );
  };
  for (let i = 0; i < rounds; i += 1) {
    if (dice.below(5) === 0) {
      const next = anything(r.port, dice);
      r.apply(next);
      spoken = next.clusters[0]?.protocol ?? '';
    }
    if (dice.below(3) === 0) endpoints();
    for (let k = dice.below(5); k > 0; k -= 1) {
      const each = odd(r.port, dice).finally(() => running.delete(each));
      running.add(each);
    }
    await sleep(dice.below(10));
    if (running.size > 50) await Promise.all(running);
  }
  await Promise.all(running);
  await settled(r);
  assert.ok(!asked.includes('/hidden'), 'a body was taken for a request');
  t.diagnostic(`${asked.length} requests got to the server of HTTP/2`);
  if (long) assert.ok(asked.length > rounds / 20);
  // And it serves as if nothing had been.
  r.serve([host(['*'], route('all', { kind: 'reply', status: 200, body: 'ok' }))]);
  assert.match(await get(r.port), /^HTTP\/1\.1 200 /);
  const c = await connect(r.port);
  c.socket.destroy();
  await settled(r);
});
