// Connections over TLS and of HTTP/2 go from worker to worker: their clients (OpenSSL and nghttp2, in Node) notice
// nothing.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { eventually } from '../../../test/fake/eventually.ts';
import {
  connect,
  endpoint,
  forward,
  host,
  route,
  sleep,
  snapshot,
  upstream,
  patienceMs,
} from '../../../test/fake/l7.ts';
import type { Upstream } from '../../../test/fake/l7.ts';
import { pki } from '../../../test/fake/pki.ts';
import { freePort } from '../../../test/fake/port.ts';
import type { Secret, Snapshot, TlsHost } from '../../mesh/snapshot.ts';
import { startRouter } from '../router.ts';
import type { Router } from '../router.ts';

const ours = pki();
after(() => ours[Symbol.dispose]());
const secretOf = (name: string, of: string): Secret => ({ name, ...ours.issue(of, 'DNS:a.test') });
const trust: Secret = { name: 'trust', ca: ours.ca };

interface Site extends AsyncDisposable {
  readonly router: Router;
  readonly port: number;
  readonly up: Upstream;
  /** Puts a snapshot in force with that certificate, and that rule for clients. */
  offer(certificate: Secret, client?: TlsHost['client']): Promise<void>;
}

/** Upgrades are echoed; /slow is answered late; other answers say the x-word that came. */
function serve(socket: net.Socket, piece: Buffer, all: string): void {
  const text = piece.toString('latin1');
  if (/upgrade: websocket/i.test(text))
    return void socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  if (all.includes('/ws')) return void socket.write(piece);
  const word = /x-word: (\S*)/i.exec(text)?.[1] ?? 'ok';
  const answer = (): void => void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${word.length}\r\n\r\n${word}`);
  if (text.includes('/slow')) setTimeout(answer, 600);
  else answer();
}

async function openSite(workers: number): Promise<Site> {
  const stack = new AsyncDisposableStack();
  const up = stack.use(await upstream(serve));
  const port = await freePort();
  const router = stack.use(startRouter({ workers, ackMs: patienceMs }));
  assert.ok(await router.started());
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
  const offer = async (certificate: Secret, client?: TlsHost['client']): Promise<void> => {
    const base = snapshot(port, [], [{ key: 'a' }]);
    const one: TlsHost = { host: 'a.test', routes: 'a', certificates: [certificate.name], minimum: 'TLSv1.2' };
    const s: Snapshot = {
      ...base,
      listeners: base.listeners.map((l) => ({
        ...l,
        protocol: 'HTTPS',
        tls: [client === undefined ? one : { ...one, client }],
      })),
      routes: [...base.routes, { name: 'a', hosts: [host(['*'], route('r', forward('a')))] }],
      secrets: [certificate, trust],
    };
    assert.deepEqual(await router.offer(s), { ok: true, version: s.version });
  };
  await offer(secretOf('first', 'first'));
  return { router, port, up, offer, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

interface Talk {
  readonly socket: tls.TLSSocket;
  send(text: string): void;
  until(pattern: RegExp): Promise<string>;
}

async function secure(port: number, o: tls.ConnectionOptions = {}): Promise<Talk> {
  const socket = tls.connect({ port, host: '127.0.0.1', ca: ours.ca, servername: 'a.test', ...o });
  let text = '';
  let look = (): void => undefined;
  socket.setEncoding('latin1').on('data', (piece: string) => {
    text += piece;
    look();
  });
  socket.on('error', () => undefined).on('close', () => look());
  await once(socket, 'secureConnect');
  return {
    socket,
    send: (bytes) => void socket.write(bytes),
    until: (pattern) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no ${pattern} in ${JSON.stringify(text)}`)), patienceMs);
        look = () => {
          if (!pattern.test(text) && !socket.destroyed) return;
          clearTimeout(timer);
          const got = text;
          text = '';
          if (pattern.test(got)) resolve(got);
          else reject(new Error(`closed after ${JSON.stringify(got)}`));
        };
        look();
      }),
  };
}

const ask = (path = '/'): string => `GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`;
const upgrade = 'GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
const many = <T>(count: number, make: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => make(i)));

test('TLS connections and tunnels over TLS move with their keys, when workers are fewer and when one crashes', async () => {
  await using site = await openSite(4);
  const versions = ['TLSv1.2', 'TLSv1.3'] as const;
  const kinds = await many(3, () => many(16, (i) => secure(site.port, { maxVersion: versions[i % 2]! })));
  const [idle, half, tunnels] = kinds as [Talk[], Talk[], Talk[]];
  for (const one of half) one.send(ask().slice(0, 20));
  for (const one of tunnels) one.send(upgrade);
  await Promise.all(tunnels.map((one) => one.until(/\r\n\r\n$/)));
  const check = async (round: string): Promise<void> => {
    for (const one of idle) one.send(ask());
    for (const one of half) one.send(ask().slice(20) + ask().slice(0, 20));
    for (const one of tunnels) one.send(`${round};`);
    const answers = await Promise.all([...idle, ...half].map((one) => one.until(/ok$/)));
    for (const answer of answers) assert.doesNotMatch(answer, /connection: close/i);
    await Promise.all(tunnels.map((one) => one.until(new RegExp(`${round};$`))));
  };
  await check('begun');
  const slow = await many(8, () => secure(site.port));
  for (const one of slow) one.send(ask('/slow'));
  await sleep(50);
  for (const workers of [3, 1, 2]) {
    await site.router.resize(workers);
    await check(`now ${workers}`);
  }
  for (const answer of await Promise.all(slow.map((one) => one.until(/ok$/))))
    assert.doesNotMatch(answer, /connection: close/i);
  // A large body in both directions, over what was encrypted elsewhere before.
  tunnels[0]!.send(`${'x'.repeat(500_000)}!`);
  assert.equal((await tunnels[0]!.until(/!$/)).length, 500_001);
  for (const index of [0, 1, 0]) {
    await site.router.endWorker(index);
    await check(`crash of ${index}`);
    await site.router.started();
  }
  await site.offer(secretOf('second', 'second'));
  await site.router.endWorker(0);
  await check('new certificate');
  const fresh = await secure(site.port);
  assert.equal(fresh.socket.getPeerCertificate().subject.CN, 'second');
  assert.equal(idle[0]!.socket.getPeerCertificate().subject.CN, 'first');
  await site.offer(secretOf('second', 'second'), { required: true, trust: 'trust' });
  await site.router.endWorker(1);
  idle[0]!.send(ask());
  assert.match(await idle[0]!.until(/\r\n\r\n/), /^HTTP\/1.1 421/, 'other rules hold for who moved, too');
  for (const one of [...idle, ...half, ...tunnels, ...slow, fresh]) one.socket.destroy();
});

/** A way to the port that stops after so many bytes of the client, until it is told to go on. */
async function pipe(port: number, most: number): Promise<{ port: number; go(): void; close(): void }> {
  const sockets: net.Socket[] = [];
  const held: { to: net.Socket; bytes: Buffer }[] = [];
  let open = false;
  const server = net.createServer((near) => {
    const far = net.connect({ port, host: '127.0.0.1', noDelay: true });
    sockets.push(near, far);
    let passed = 0;
    near
      .on('error', () => undefined)
      .on('data', (bytes: Buffer) => {
        const now = open ? bytes.length : Math.max(0, Math.min(bytes.length, most - passed));
        passed += now;
        if (now > 0) far.write(bytes.subarray(0, now));
        if (now < bytes.length) held.push({ to: far, bytes: bytes.subarray(now) });
      });
    far.on('error', () => undefined).on('data', (bytes: Buffer) => void near.write(bytes));
    far.on('close', () => near.destroy());
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as net.AddressInfo).port,
    go() {
      open = true;
      for (const { to, bytes } of held) to.write(bytes);
    },
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test('a handshake goes on in another worker, from where it was', async () => {
  await using site = await openSite(2);
  // Part of the ClientHello; all of it, and nothing of what follows the server's answer.
  for (const [version, most] of [
    ['TLSv1.3', 100],
    ['TLSv1.2', 100],
    ['TLSv1.3', 'hello'],
    ['TLSv1.2', 'hello'],
  ] as const) {
    const size = most === 'hello' ? await helloSize(version) : most;
    const between = await pipe(site.port, size);
    const all = many(8, () => secure(between.port, { minVersion: version, maxVersion: version }));
    await sleep(100);
    await site.router.endWorker(0);
    await site.router.started();
    await site.router.endWorker(1);
    await site.router.started();
    between.go();
    for (const one of await all) {
      one.send(ask());
      await one.until(/ok$/);
    }
    between.close();
  }
});

/** Bytes of a ClientHello as our clients say it. */
async function helloSize(version: 'TLSv1.2' | 'TLSv1.3'): Promise<number> {
  const server = net.createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as net.AddressInfo;
  const client = tls.connect({
    port,
    host: '127.0.0.1',
    servername: 'a.test',
    minVersion: version,
    maxVersion: version,
  });
  client.on('error', () => undefined);
  const [socket] = (await once(server, 'connection')) as [net.Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  server.close();
  return bytes.length;
}

function requests(session: http2.ClientHttp2Session, path: string, words: readonly string[]): Promise<string[]> {
  const one = async (word: string): Promise<string> => {
    const stream = session.request({
      ':path': path,
      ':authority': 'a.test',
      'x-word': word,
      'x-same': 'always the same',
    });
    let text = '';
    stream.setEncoding('latin1').on('data', (piece: string) => (text += piece));
    const [head] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    await once(stream, 'end');
    return `${String(head[':status'])} ${text}`;
  };
  return Promise.all(words.map(one));
}

function openHttp2(port: number): http2.ClientHttp2Session {
  const checkServerIdentity = (): undefined => undefined;
  return http2.connect(`https://127.0.0.1:${port}`, { ca: ours.ca, servername: 'a.test', checkServerIdentity });
}

test('HTTP/2 without a stream moves with its tables and windows; with streams all is answered first', async () => {
  await using site = await openSite(3);
  const sessions = Array.from({ length: 12 }, () => openHttp2(site.port));
  const told: number[] = [];
  sessions.forEach((session, i) => session.on('goaway', () => told.push(i)).on('error', () => undefined));
  let round = 0;
  const check = async (some: readonly http2.ClientHttp2Session[]): Promise<void> => {
    round += 1;
    const words = ['again', `new-in-${round}`, 'again', 'w'.repeat(500)];
    for (const session of some) {
      const answers = await requests(session, '/', words);
      assert.deepEqual(
        answers,
        words.map((word) => `200 ${word}`),
      );
    }
  };
  await check(sessions);
  for (const workers of [2, 1, 3]) {
    await site.router.resize(workers);
    await check(sessions);
  }
  await site.router.endWorker(0);
  await site.router.started();
  // What is lost by a crash is what had no time to come to rest.
  await check(sessions.filter((session) => !session.destroyed && !session.closed));
  await sleep(700);
  const left = sessions.filter((session) => !session.destroyed && !session.closed);
  for (const index of [0, 1, 2]) {
    await site.router.endWorker(index);
    await site.router.started();
    await check(left);
    await sleep(700);
  }
  assert.deepEqual(told, []);
  const busy = left.map((session) => requests(session, '/slow', ['late']));
  await sleep(50);
  await site.router.resize(1);
  assert.deepEqual(
    (await Promise.all(busy)).flat(),
    left.map(() => '200 late'),
  );
  await check(left);
  assert.deepEqual(told, [], 'they moved when they were done');
  for (const session of sessions) session.destroy();
});

test('a worker that goes serves what is in force as long as it has a connection', async () => {
  await using stack = new AsyncDisposableStack();
  const up = stack.use(await upstream(serve));
  const port = await freePort();
  const router = stack.use(startRouter({ workers: 4, ackMs: patienceMs }));
  assert.ok(await router.started());
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
  const offer = async (body: string): Promise<void> => {
    const path = { path: { kind: 'exact', value: '/version' } } as const;
    const routes = [route('version', { kind: 'reply', status: 200, body }, path), route('r', forward('a'))];
    assert.ok((await router.offer(snapshot(port, [host(['*'], ...routes)], [{ key: 'a' }]))).ok);
  };
  await offer('v1');
  const all = await many(16, () => connect(port));
  for (const one of all) one.send(ask('/slow') + ask('/version'));
  await sleep(100);
  await router.resize(1);
  await offer('v2');
  for (const one of all) assert.match(await one.until(/v\d$/), /v2$/);
  for (const one of all) one.socket.destroy();
});

test('who is answered by a server of HTTP/2 moves when the answer is whole', async () => {
  await using stack = new AsyncDisposableStack();
  const server = http2.createServer();
  server.on(
    'stream',
    (s: http2.ServerHttp2Stream) => void setTimeout(() => s.respond({ ':status': 200 }) ?? s.end('ok'), 500),
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  stack.defer(() => void server.close());
  const port = await freePort();
  const router = stack.use(startRouter({ workers: 2, ackMs: patienceMs }));
  assert.ok(await router.started());
  const up = (server.address() as net.AddressInfo).port;
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up)] });
  const clusters = [{ key: 'a', protocol: 'HTTP/2' } as const];
  assert.ok((await router.offer(snapshot(port, [host(['*'], route('r', forward('a')))], clusters))).ok);
  const all = await many(12, () => connect(port));
  for (const one of all) one.send(ask());
  await sleep(100);
  await router.resize(1);
  for (const one of all) assert.doesNotMatch(await one.until(/ok(\r\n0\r\n\r\n)?$/), /connection: close/i);
  await sleep(100);
  for (const one of all) one.clear();
  for (const one of all) one.send(ask());
  await Promise.all(all.map((one) => one.until(/ok(\r\n0\r\n\r\n)?$/)));
  for (const one of all) one.socket.destroy();
});

test('HTTP/2 that always has a stream is told to go by two GOAWAYs, and loses none', async () => {
  await using site = await openSite(2);
  const sessions = await many(20, async () => {
    const session = openHttp2(site.port);
    const lasts: number[] = [];
    session.on('goaway', (_, last: number) => void lasts.push(last)).on('error', () => undefined);
    const lane = async (ms: number): Promise<void> => {
      for (await sleep(ms); lasts.length === 0 && !session.destroyed;) {
        assert.deepEqual(await requests(session, '/slow', ['late']), ['200 late']);
      }
    };
    return { session, lasts, lanes: Promise.all([lane(0), lane(200), lane(400)]) };
  });
  await sleep(800);
  await site.router.resize(1);
  await sleep(1500);
  await eventually(() =>
    assert.ok(
      sessions.some(({ lasts }) => lasts.length > 0),
      'one went',
    ),
  );
  const gone = sessions.filter(({ lasts }) => lasts.length > 0);
  assert.ok(gone.length < sessions.length, `${gone.length} went`);
  for (const { lanes, lasts, session } of gone) {
    await lanes;
    if (!session.destroyed) await once(session, 'close');
    assert.equal(lasts.length, 2);
    assert.equal(lasts[0], 0x7fffffff);
    assert.ok(lasts[1]! > 0 && lasts[1]! < 0x7fffffff);
  }
  for (const one of sessions) {
    // Enough for those that stay.
    one.lasts.push(0);
    await one.lanes;
    one.session.destroy();
  }
});
