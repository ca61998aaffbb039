// TLS that ends here before connections that go on as they come.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { eventually } from '../../../test/fake/eventually.ts';
import { route, sleep, snapshot, stream, upstream } from '../../../test/fake/l7.ts';
import { rig } from '../../../test/fake/l7-rig.ts';
import type { Rig } from '../../../test/fake/l7-rig.ts';
import { pki } from '../../../test/fake/pki.ts';
import type { Listener, Secret, StreamRoute, TlsHost } from '../../mesh/snapshot.ts';

const ours = pki();
after(() => ours[Symbol.dispose]());
const a = ours.issue('a', 'DNS:a.test');
const wild = ours.issue('wild', 'DNS:*.wild.test');
const known = ours.issue('known', 'URI:spiffe://td/known');
const secrets: readonly Secret[] = [
  { name: 'a', chain: a.chain, key: a.key },
  { name: 'wild', chain: wild.chain, key: wild.key },
  { name: 'trust', ca: ours.ca },
];

function apply(r: Rig, hosts: readonly (readonly [TlsHost, StreamRoute[]])[], more: Partial<Listener> = {}): void {
  const base = snapshot(r.port, [], [{ key: 'a' }, { key: 'b' }]);
  r.apply({
    ...base,
    listeners: base.listeners.map((l) => ({ ...l, protocol: 'TCPS', tls: hosts.map(([host]) => host), ...more })),
    routes: [...base.routes, ...hosts.map(([{ routes: name }, streams]) => ({ name, hosts: [], streams }))],
    secrets,
  });
}

const host = (name: string, certificate: string, more: Partial<TlsHost> = {}): TlsHost => {
  return { host: name, routes: name, certificates: [certificate], minimum: 'TLSv1.2', ...more };
};

function dial(r: Rig, servername: string, o: tls.ConnectionOptions & { allowHalfOpen?: true } = {}): tls.TLSSocket {
  const socket = tls.connect({ port: r.port, host: '127.0.0.1', ca: ours.ca, servername, ...o });
  socket.on('error', () => {});
  return socket;
}

const gone = (socket: net.Socket): Promise<void> => new Promise((resolve) => socket.once('close', () => resolve()));

async function hear(socket: tls.TLSSocket): Promise<string> {
  const [piece] = (await Promise.race([once(socket, 'data'), gone(socket).then(() => ['closed'])])) as [Buffer];
  return piece.toString();
}

test('TLS ends here, and the stream of its host takes what is in it: a server that speaks first, and half-close', async () => {
  await using first = await upstream();
  first.server.on('connection', (socket) => socket.write('220 ready'));
  await using echo = await upstream((socket, piece) => socket.write(piece));
  using r = await rig();
  apply(r, [
    [host('a.test', 'a'), [stream('mail', 'a')]],
    [host('*.wild.test', 'wild'), [stream('echo', 'b')]],
  ]);
  r.endpoints('a', [first.port]);
  r.endpoints('b', [echo.port]);
  const mail = dial(r, 'a.test');
  assert.equal(await hear(mail), '220 ready');
  const other = dial(r, 'x.wild.test', { ALPNProtocols: ['h2', 'own'], allowHalfOpen: true });
  await once(other, 'secureConnect');
  assert.equal(other.alpnProtocol, false, 'what is in it is none of our business');
  const large = Buffer.alloc(300_000, 'x');
  let got = 0;
  other.on('data', (piece: Buffer) => (got += piece.length));
  other.write(large);
  other.end('end');
  await once(other, 'end');
  assert.equal(got, large.length + 3);
  const nobody = dial(r, 'b.test');
  await gone(nobody);
  mail.destroy();
  await eventually(() => {
    const lines = r.log.map(({ route, host: name, flags, bytesIn }) => `${route} ${name} ${flags} ${bytesIn}`);
    const [none, echoed, mailed] = lines.toSorted();
    assert.deepEqual([none, echoed], [' b.test no-host 0', 'echo x.wild.test  300003']);
    assert.match(mailed ?? '', /^mail a\.test \S* 0$/);
  });
  assert.deepEqual(r.faults, []);
});

test('who does not shake hands, or has no certificate where one must be, gets no connection to a server', async () => {
  await using up = await upstream((socket, piece) => socket.write(piece));
  using r = await rig({ times: { headMs: 1000 } });
  apply(r, [[host('a.test', 'a', { client: { required: true, trust: 'trust' } }), [stream('tcp', 'a')]]]);
  r.endpoints('a', [up.port]);
  const silent = dial(r, 'a.test');
  await gone(silent);
  const half = net.connect(r.port, '127.0.0.1');
  half.on('error', () => {});
  half.write(Buffer.from([22, 3, 1, 0, 200, 1]));
  await gone(half);
  assert.equal(up.sockets.length, 0);
  const allowed = dial(r, 'a.test', { cert: known.chain, key: known.key });
  allowed.write('hello');
  assert.equal(await hear(allowed), 'hello');
  assert.equal(up.sockets.length, 1);
  allowed.destroy();
  assert.equal(r.engine.stats().tlsCertificate, 1);
});

test('a PROXY header may stand before it, and go to the server; a host without a stream is closed', async () => {
  await using up = await upstream((socket, piece) => socket.write(piece));
  using r = await rig();
  apply(
    r,
    [
      [host('a.test', 'a'), [stream('tcp', 'a')]],
      [host('*.wild.test', 'wild'), []],
    ],
    {
      proxyFrom: ['127.0.0.0/8'],
    },
  );
  r.endpoints('a', [up.port]);
  const by = async (servername: string): Promise<tls.TLSSocket> => {
    const socket = net.connect(r.port, '127.0.0.1');
    socket.write('PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n');
    await sleep(20);
    return tls.connect({ socket, ca: ours.ca, servername }).on('error', () => {});
  };
  const socket = await by('a.test');
  socket.write('hello');
  assert.equal(await hear(socket), 'hello');
  socket.destroy();
  const closed = await by('x.wild.test');
  await gone(closed);
  await eventually(() => {
    const lines = r.log.map(({ client, route }) => `${client} ${route}`).toSorted();
    assert.deepEqual(lines, ['192.0.2.7 ', '192.0.2.7 tcp']);
  });
  assert.equal(r.log.find(({ route }) => route === '')?.flags, 'no-route');
});

test('a listener of HTTPS that becomes one of TCP over TLS, and the way back: each client gets what is there now', async () => {
  await using up = await upstream((socket, piece) => socket.write(`got ${String(piece).slice(0, 3)}`));
  using r = await rig();
  r.endpoints('a', [up.port]);
  const one = host('a.test', 'a');
  const web = [{ domains: ['*'], name: '*', routes: [route('web', { kind: 'reply', status: 200, body: 'web' })] }];
  const base = snapshot(r.port, [], [{ key: 'a' }]);
  for (const protocol of ['HTTPS', 'TCPS', 'HTTPS', 'TCPS'] as const) {
    r.apply({
      ...base,
      listeners: base.listeners.map((l) => ({ ...l, protocol, tls: [one] })),
      routes: [...base.routes, { name: one.routes, hosts: web, streams: [stream('tcp', 'a')] }],
      secrets,
    });
    const socket = dial(r, 'a.test');
    socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    assert.match(await hear(socket), protocol === 'HTTPS' ? /^HTTP\/1.1 200 / : /^got GET$/);
    socket.destroy();
  }
  assert.deepEqual(r.faults, []);
});
