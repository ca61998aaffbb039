// What only the engine in C does: memory bounds, and ends that its own threads and descriptors must survive.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { eventually } from '../../test/fake/eventually.ts';
import { connect, endpoint, get, sleep } from '../../test/fake/l7.ts';
import { simpleRig } from '../../test/fake/l7-rig.ts';
import { freePort } from '../../test/fake/port.ts';

/** More than the kernel takes on the way to a client that does not read, as this machine is set. */
const big = ['tcp_rmem', 'tcp_wmem'].reduce(
  (sum, name) => sum + Number(readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8').trim().split(/\s+/)[2]),
  1024 * 1024,
);
const simple = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

test('memory near its bound: readers that do not read are reset, the others are served', async () => {
  const body = Buffer.alloc(big);
  await using s = await simpleRig(
    (socket, piece) => {
      if (piece.includes('/big')) {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${big}\r\n\r\n`);
        socket.write(body);
      } else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    },
    { maxHeldBytes: 256 * 1024 },
  );
  const greedy = [];
  for (let i = 0; i < 16; i += 1) {
    const c = await connect(s.port);
    c.socket.pause();
    c.send('GET /big HTTP/1.1\r\nHost: a\r\n\r\n');
    greedy.push(c);
  }
  await eventually(() => assert.ok(s.r.engine.stats().refused > 0, 'nobody was reset'));
  const { heldBytes } = s.r.engine.stats();
  assert.ok(heldBytes <= 1024 * 1024, `${heldBytes} bytes are held`);
  assert.match(await get(s.port), /^HTTP\/1.1 200 /);
  for (const c of greedy) c.socket.destroy();
  await eventually(() => assert.equal(s.r.engine.stats().heldBytes, 0));
});

test('idle connections hold no buffer', async () => {
  await using s = await simpleRig();
  const clients = [];
  for (let i = 0; i < 50; i += 1) {
    const c = await connect(s.port);
    c.send(simple);
    await c.until(/ok$/);
    clients.push(c);
  }
  assert.equal(s.r.engine.stats().heldBytes, 0);
  for (const c of clients) c.socket.destroy();
});

test('endpoints of IPv6, several of a cluster', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nsix'));
  });
  server.listen(0, '::1');
  await once(server, 'listening');
  await using s = await simpleRig();
  const six = endpoint((server.address() as AddressInfo).port, { address: '::1' });
  s.r.endpoints('a', [s.up.port, six]);
  const answers = new Set<string>();
  for (let i = 0; i < 4; i += 1) answers.add((await get(s.port)).split('\r\n\r\n')[1]!);
  assert.deepEqual(answers, new Set(['ok', 'six']));
  server.close();
});

test('a worker that ends with connections open leaves no descriptor', async () => {
  const engine = JSON.stringify(new URL('./transport-native.ts', import.meta.url).href);
  const engines = JSON.stringify(new URL('../../test/fake/l7-engines.ts', import.meta.url).href);
  const script = `
    const { openEngine } = await import(${engine});
    const { listenAt } = await import(${engines});
    const { parentPort, workerData } = await import('node:worker_threads');
    const engine = openEngine({ onBatch() {} });
    listenAt(engine, workerData);
    parentPort.postMessage('listening');
    parentPort.on('message', () => {});`;
  const url = new URL(`data:text/javascript,${encodeURIComponent(script)}`);
  const ports = [await freePort(), await freePort(), await freePort()];
  const before = readdirSync('/proc/self/fd').length;
  for (const port of ports) {
    const worker = new Worker(url, { workerData: port, trackUnmanagedFds: false });
    await once(worker, 'message');
    const clients = [];
    for (let n = 0; n < 20; n += 1) clients.push(await connect(port));
    for (const c of clients) c.send('GET / HTTP');
    await sleep(20);
    await worker.terminate();
    for (const c of clients) assert.equal(await c.closed(), '');
    for (const c of clients) c.socket.destroy();
  }
  await eventually(() => assert.ok(readdirSync('/proc/self/fd').length <= before, 'descriptors are left'));
});
