// Listeners with TLS in the router: who gets which host, and what changes under open connections.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, connect as dial } from 'node:net';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { eventually } from '../../../test/fake/eventually.ts';
import { endpoint, forward, host, route, sleep, snapshot, upstream, patienceMs } from '../../../test/fake/l7.ts';
import { rig } from '../../../test/fake/l7-rig.ts';
import { pki } from '../../../test/fake/pki.ts';
import type { Issued } from '../../../test/fake/pki.ts';
import { startRouter } from '../router.ts';
import type { ClusterTls, Secret, Snapshot, TlsHost } from '../../mesh/snapshot.ts';
import { freePort } from '../../../test/fake/port.ts';

const ours = pki();
after(() => ours[Symbol.dispose]());
const a = ours.issue('a', 'DNS:a.test');
const wild = ours.issue('wild', 'DNS:*.b.test');
const closed = ours.issue('closed', 'DNS:closed.test');
const known = ours.issue('known', 'URI:spiffe://td/known');
const secretOf = (name: string, { chain, key }: Issued): Secret => ({ name, chain, key });
const say = (text: string) => route(text, { kind: 'reply', status: 200, body: text });
const secrets: readonly Secret[] = [
  secretOf('a', a),
  secretOf('wild', wild),
  secretOf('closed', closed),
  { name: 'trust', ca: ours.ca },
];

function tlsHost(name: string, certificate: string, more: Partial<TlsHost> = {}): TlsHost {
  return { host: name, routes: name, certificates: [certificate], minimum: 'TLSv1.2', ...more };
}

/** A snapshot with one listener that speaks TLS, each host answering with its name. */
function secure(port: number, hosts: readonly TlsHost[], more: Partial<Snapshot> = {}): Snapshot {
  const base = snapshot(port, []);
  const tables = hosts.map((h) => ({ name: h.routes, hosts: [host([h.host], say(h.host))] }));
  return {
    ...base,
    listeners: base.listeners.map((l) => ({ ...l, protocol: 'HTTPS', tls: hosts })),
    routes: [...base.routes, ...tables],
    secrets,
    ...more,
  };
}

interface Client {
  readonly socket: tls.TLSSocket;
  /** Status and body of a request on this connection. */
  get(name: string, path?: string): Promise<string>;
}

async function client(port: number, servername: string, o: tls.ConnectionOptions = {}): Promise<Client> {
  const socket = tls.connect({ port, host: '127.0.0.1', ca: ours.ca, servername, ...o });
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
  return {
    socket,
    get(name, path = '/') {
      return new Promise((resolve) => {
        let text = '';
        const take = (piece: Buffer) => {
          text += piece.toString('latin1');
          const [, status = '', length = '', body = ''] =
            /^HTTP\/1.1 (\d+)[^]*?content-length: (\d+)[^]*?\r\n\r\n([^]*)/i.exec(text) ?? [];
          if (status !== '' && body.length >= Number(length)) finish(`${status} ${body}`);
        };
        const gone = () => finish(`closed ${text}`);
        const finish = (answer: string) => {
          socket.off('data', take);
          socket.off('close', gone);
          resolve(answer);
        };
        socket.on('data', take);
        socket.on('close', gone);
        socket.on('error', () => {});
        socket.write(`GET ${path} HTTP/1.1\r\nHost: ${name}\r\n\r\n`);
      });
    },
  };
}

test('the longest name that covers the client’s decides: certificate, routes, and nothing of other hosts', async () => {
  using r = await rig();
  const required = { client: { required: true, trust: 'trust' } };
  r.apply(
    secure(r.port, [tlsHost('a.test', 'a'), tlsHost('*.b.test', 'wild'), tlsHost('closed.test', 'closed', required)]),
  );
  const one = await client(r.port, 'A.test');
  assert.equal(one.socket.getPeerCertificate().subject.CN, 'a');
  assert.equal(await one.get('a.test'), '200 a.test');
  assert.match(await one.get('closed.test'), /^404/);
  const two = await client(r.port, 'x.b.test');
  assert.equal(two.socket.getPeerCertificate().subject.CN, 'wild');
  assert.equal(await two.get('x.b.test:443'), '200 *.b.test');
  await assert.rejects(client(r.port, 'b.test'));
  await assert.rejects(client(r.port, 'c.test'));
  await assert.rejects(client(r.port, ''));
  const three = await client(r.port, 'closed.test', { cert: known.chain, key: known.key });
  assert.equal(await three.get('closed.test'), '200 closed.test');
  const anonymous = await client(r.port, 'closed.test').then(
    (c) => c.get('closed.test'),
    () => 'closed ',
  );
  assert.match(anonymous, /^closed/);
  for (const { socket } of [one, two, three]) socket.destroy();
  assert.deepEqual(r.faults, []);
});

test('a new certificate is for new connections; one that stands goes on, with new routes', async () => {
  using r = await rig();
  r.apply(secure(r.port, [tlsHost('a.test', 'a')]));
  const one = await client(r.port, 'a.test');
  assert.equal(await one.get('a.test'), '200 a.test');
  const fresh = ours.issue('fresh', 'DNS:a.test');
  const routes = [
    { name: 'main', hosts: [] },
    { name: 'a.test', hosts: [host(['a.test'], say('new'))] },
  ];
  r.apply(secure(r.port, [tlsHost('a.test', 'fresh')], { secrets: [secretOf('fresh', fresh)], routes }));
  const two = await client(r.port, 'a.test');
  assert.equal(two.socket.getPeerCertificate().subject.CN, 'fresh');
  assert.deepEqual([await two.get('a.test'), await one.get('a.test')], ['200 new', '200 new']);
  for (const { socket } of [one, two]) socket.destroy();
});

test('whose listener goes before it has said its ClientHello is closed, and that is no fault', async () => {
  using r = await rig();
  r.apply(secure(r.port, [tlsHost('a.test', 'a')]));
  const plain = dial({ port: r.port, host: '127.0.0.1' });
  await once(plain, 'connect');
  await eventually(() => assert.equal(r.engine.stats().connections, 1));
  r.apply({ ...secure(r.port, []), listeners: [] });
  const late = tls.connect({ socket: plain, ca: ours.ca, servername: 'a.test' });
  late.on('error', () => {});
  await new Promise((resolve) => late.on('close', resolve));
  await eventually(() => assert.equal(r.log.at(-1)?.flags, 'other-rules'));
  assert.equal(r.engine.stats().refusedRows, 0);
});

test('who came without a certificate does not stay when one is asked for from now on', async () => {
  using r = await rig();
  r.apply(secure(r.port, [tlsHost('a.test', 'a')]));
  const one = await client(r.port, 'a.test');
  assert.equal(await one.get('a.test'), '200 a.test');
  r.apply(secure(r.port, [tlsHost('a.test', 'a', { client: { required: true, trust: 'trust' } })]));
  assert.match(await one.get('a.test'), /^421/);
  one.socket.destroy();
});

test('a new revocation list counts for who comes and who is there; one whose time is over lets nobody in', async () => {
  using r = await rig();
  const left = ours.issue('left', 'URI:spiffe://td/left');
  const hosts = [tlsHost('a.test', 'a', { client: { required: true, trust: 'trust' } })];
  const trust = (crl: string): Partial<Snapshot> => ({
    secrets: [secretOf('a', a), { name: 'trust', ca: ours.ca, crl }],
  });
  const as = ({ chain, key }: Issued) => client(r.port, 'a.test', { cert: chain, key });
  /** With TLS 1.3 a client hears of its certificate only when it asks something. */
  const asked = (who: Issued): Promise<string> =>
    as(who).then(
      (c) => c.get('a.test'),
      () => 'closed',
    );
  r.apply(secure(r.port, hosts, trust(ours.revoke())));
  const there = [await as(left), await as(known)];
  for (const c of there) assert.equal(await c.get('a.test'), '200 a.test');
  r.apply(secure(r.port, hosts, trust(ours.revoke(left))));
  for (const c of there) assert.match(await c.get('a.test'), /^421/);
  assert.match(await asked(left), /^closed/);
  assert.equal(await asked(known), '200 a.test');
  r.apply(secure(r.port, hosts, trust(ours.stale())));
  assert.match(await asked(known), /^closed/);
});

test('who has agreed on HTTP/1.1 is not heard as HTTP/2, whatever it begins with', async () => {
  using r = await rig();
  r.apply(secure(r.port, [tlsHost('a.test', 'a')]));
  const answers = async (o: tls.ConnectionOptions): Promise<string> => {
    const { socket } = await client(r.port, 'a.test', o);
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    const [piece] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    return piece.toString('latin1');
  };
  assert.match(await answers({ ALPNProtocols: ['http/1.1'] }), /^HTTP\/1.1 505 /);
  for (const o of [{ ALPNProtocols: ['h2'] }, {}]) assert.equal((await answers(o)).charCodeAt(3), 4, 'SETTINGS');
});

/** Its last record and its FIN come in one turn of the engine. */
async function endAtOnce(socket: tls.TLSSocket, last: Buffer | string): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  socket.write(last);
  socket.end();
}

test('who ends TLS within a frame of HTTP/2 is gone', async () => {
  using r = await rig();
  r.apply(secure(r.port, [tlsHost('a.test', 'a')]));
  const { socket } = await client(r.port, 'a.test', { ALPNProtocols: ['h2'] });
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
  await once(socket, 'data');
  await endAtOnce(socket, Buffer.from([0, 0, 9, 0]));
  await eventually(() => assert.equal(r.engine.stats().connections, 0));
});

test('a tunnel whose client has ended its TLS keeps no worker busy', async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write('HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
      // Its own end comes late.
      socket.on('end', () => setTimeout(() => socket.end('bye'), 600));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  using r = await rig();
  const s = secure(r.port, [tlsHost('a.test', 'a')]);
  const tables = [{ name: 'a.test', hosts: [host(['*'], route('all', forward('up')))] }];
  r.apply({
    ...s,
    routes: [...snapshot(r.port, []).routes, ...tables],
    clusters: snapshot(r.port, [], [{ key: 'up' }]).clusters,
  });
  r.endpoints('up', [(server.address() as AddressInfo).port]);
  using end = new DisposableStack();
  end.defer(() => server.close());
  const { socket } = await client(r.port, 'a.test');
  end.defer(() => socket.destroy());
  socket.write('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n');
  await once(socket, 'data');
  await endAtOnce(socket, 'last');
  await sleep(50);
  const before = performance.eventLoopUtilization();
  await sleep(300);
  const { utilization } = performance.eventLoopUtilization(before);
  assert.ok(utilization < 0.5, `the loop is ${Math.round(utilization * 100)} % busy`);
  await eventually(() => assert.equal(r.engine.stats().connections, 0));
});

test('what can’t be had is refused with its place, and what is in force stays', async () => {
  using r = await rig();
  r.apply(secure(r.port, [tlsHost('a.test', 'a')]));
  assert.throws(() => r.apply(secure(r.port, [tlsHost('a.test', 'none')])), /host a\.test: secret none has no/);
  const wrong = [secretOf('a', { ...a, key: wild.key })];
  assert.throws(() => r.apply(secure(r.port, [tlsHost('a.test', 'a')], { secrets: wrong })), /key values mismatch/);
  const one = await client(r.port, 'a.test');
  assert.equal(await one.get('a.test'), '200 a.test');
  one.socket.destroy();
});

test('the request says how it came: x-forwarded-proto, and redirects', async () => {
  await using up = await upstream();
  using r = await rig();
  const routes = [
    route('moved', { kind: 'redirect', status: 301 }, { path: { kind: 'prefix', value: '/moved' } }),
    route('all', forward('a')),
  ];
  const tables = [
    { name: 'main', hosts: [] },
    { name: 'a.test', hosts: [host(['*'], ...routes)] },
  ];
  const clusters = snapshot(r.port, [], [{ key: 'a' }]).clusters;
  r.apply(secure(r.port, [tlsHost('a.test', 'a')], { routes: tables, clusters }));
  r.endpoints('a', [up.port]);
  const one = await client(r.port, 'a.test');
  assert.equal(await one.get('a.test'), '200 ok');
  assert.match(up.seen[0] ?? '', /\r\nx-forwarded-proto: https\r\n/);
  assert.equal(r.log[0]?.status, 200);
  one.socket.destroy();
});

test('a cluster over TLS: verified by name, or answered with 503', async () => {
  const server = tls.createServer({ cert: a.chain, key: a.key }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', () => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntls'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  using r = await rig();
  const serve = (verify: ClusterTls | undefined) => {
    const routes = [
      { name: 'a.test', hosts: [host(['*'], route('all', forward('a')))] },
      { name: 'main', hosts: [] },
    ];
    const clusters = snapshot(r.port, [], [{ key: 'a', ...(verify && { tls: verify }) }]).clusters;
    r.apply(secure(r.port, [tlsHost('a.test', 'a')], { routes, clusters }));
  };
  serve({ trust: 'trust', serverName: 'a.test', names: ['a.test'] });
  r.endpoints('a', [endpoint(port)]);
  const one = await client(r.port, 'a.test');
  assert.equal(await one.get('a.test'), '200 tls');
  serve({ trust: 'trust', serverName: 'a.test', names: ['b.test'] });
  assert.match(await one.get('a.test'), /^503/);
  assert.equal(r.log.at(-1)?.flags, 'upstream-tls');
  serve(undefined);
  assert.match(await one.get('a.test'), /^(502|503)/);
  one.socket.destroy();
  server.close();
  await sleep(1);
});

test('workers share the keys of tickets: a session is resumed by whichever takes the connection', async () => {
  const port = await freePort();
  await using router = startRouter({ workers: 3, ackMs: patienceMs });
  assert.deepEqual(await router.started(), true);
  const answer = await router.offer(secure(port, [tlsHost('a.test', 'a')]));
  assert.ok(answer.ok, JSON.stringify(answer));
  const first = await client(port, 'a.test', { maxVersion: 'TLSv1.2' });
  const session = first.socket.getSession();
  for (let i = 0; i < 12; i += 1) {
    const again = await client(port, 'a.test', { maxVersion: 'TLSv1.2', session });
    assert.equal(again.socket.isSessionReused(), true);
    assert.equal(await again.get('a.test'), '200 a.test');
    again.socket.destroy();
  }
  first.socket.destroy();
  const stats = await router.workerStats();
  assert.ok(stats.filter((worker) => worker.tlsResumed > 0).length > 1, JSON.stringify(stats));
});
