// Tunnels go from one router to another over a unix socket, as they do between daemons: both ends notice nothing.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../../../test/fake/eventually.ts';
import { keptLog } from '../../../test/fake/log.ts';
import {
  connect,
  endpoint,
  forward,
  host,
  patienceMs,
  route,
  snapshot,
  stream,
  upstream,
} from '../../../test/fake/l7.ts';
import { freePort } from '../../../test/fake/port.ts';
import { unpackTunnel } from '../../kernel/l7.ts';
import { descriptorOf, duplicate } from '../../kernel/socket.ts';
import { startRouter } from '../../l7/router.ts';
import type { Router } from '../../l7/router.ts';
import type { Snapshot } from '../../mesh/snapshot.ts';
import { passOver, receiveTunnels } from './tunnels.ts';

const upgrade = 'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

/** Two listeners: HTTP and TCP. */
function both(port: number, tcp: number, maxTunnelMs = 0): Snapshot {
  const s = snapshot(port, [host(['*'], route('web', forward('a')))], [{ key: 'a' }, { key: 'b' }]);
  const http = { ...s.listeners[0]!, maxTunnelMs };
  const plain = { ...http, name: 'tcp', port: tcp, protocol: 'TCP', routes: 'streams' } as const;
  return {
    ...s,
    listeners: [http, plain],
    routes: [...s.routes, { name: 'streams', hosts: [], streams: [stream('db', 'b')] }],
  };
}

function echo(socket: Socket, piece: Buffer): void {
  if (/upgrade: websocket/i.test(piece.toString('latin1')))
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  else socket.write(piece);
}

/** Sockets of a unix connection: the first writes, the second is not read by node. */
async function pair(folder: string): Promise<[Socket, Socket]> {
  const path = join(folder, `s${Math.random()}`);
  const server = net.createServer();
  await once(server.listen(path), 'listening');
  const reader = net.connect(path);
  reader.pause();
  const [writer] = (await once(server, 'connection')) as [Socket];
  server.close();
  return [writer, reader];
}

/** The listening sockets too, as by the unix connection. */
function inherit(next: Router, old: Router): void {
  next.places.adopt(new Map([...old.places.all()].map(([place, fds]) => [place, fds.map((fd) => duplicate(fd))])));
}

const linesOf = (file: string): readonly Record<string, unknown>[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

interface Served {
  readonly router: Router;
  readonly log: string;
}

/** One takes the place of the other; gives how many tunnels went over. */
async function succeed(old: Served, next: Served, folder: string, meanwhile: () => Promise<void>): Promise<number> {
  let passed = 0;
  const [writer, reader] = await pair(folder);
  const { log, lines } = keptLog();
  const over = receiveTunnels(reader, log, (tunnels) => {
    passed += tunnels.length;
    next.router.receive(tunnels);
  });
  const stopped = old.router.stop(5000, passOver(writer, log));
  await meanwhile();
  await stopped;
  writer.end();
  await over;
  reader.destroy();
  writer.destroy();
  assert.deepEqual(lines, [], 'nothing was refused');
  return passed;
}

test('tunnels go on in another router: bytes that wait, counters, log', async () => {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'mpt-tunnels-'));
  stack.defer(() => rmSync(folder, { recursive: true }));
  const [a, b] = [stack.use(await upstream(echo)), stack.use(await upstream(echo))];
  const [port, tcp] = [await freePort(), await freePort()];
  const open = async (name: string): Promise<Served> => {
    const log = join(folder, name);
    const router = stack.use(startRouter({ workers: 2, ackMs: patienceMs, accessLog: log }));
    assert.ok(await router.started());
    router.endpoints({ cluster: 'a', version: '1', list: [endpoint(a.port)] });
    router.endpoints({ cluster: 'b', version: '1', list: [endpoint(b.port)] });
    return { router, log };
  };
  let now = await open('0');
  assert.ok((await now.router.offer(both(port, tcp))).ok);
  const web = await Promise.all(Array.from({ length: 20 }, () => connect(port)));
  const db = await Promise.all(Array.from({ length: 20 }, () => connect(tcp)));
  for (const one of web) one.send(upgrade);
  for (const [i, one] of db.entries()) one.send(`${i};`);
  await Promise.all([...web.map((one) => one.until(/\r\n\r\n$/)), ...db.map((one) => one.until(/;$/))]);
  // Of one more waits than sockets keep: first its server does not read, then its client does not.
  const full = db.shift()!;
  const server = b.sockets[b.seen.findIndex((text) => text.startsWith('0;'))]!;
  const bytes = Buffer.alloc(6_000_000, '0123456789');
  full.clear();
  full.socket.pause();
  server.pause();
  full.send(bytes);
  await sleep(200);

  for (const round of [1, 2]) {
    const next = await open(String(round));
    inherit(next.router, now.router);
    // The second time nobody listens any more where half of them came in.
    assert.ok((await next.router.offer(both(port, round === 1 ? tcp : await freePort()))).ok);
    const passed = await succeed(now, next, folder, async () => {
      for (const one of [...web, ...db]) one.clear();
      for (const one of [...web, ...db]) one.send(`round ${round};`);
      await Promise.all([...web, ...db].map((one) => one.until(new RegExp(`round ${round};$`))));
    });
    assert.equal(passed, 40);
    const stats = await next.router.workerStats();
    assert.equal(
      stats.reduce((sum, { connections }) => sum + connections, 0),
      40,
    );
    assert.deepEqual(linesOf(now.log), [], 'none has ended here');
    if (round === 1) server.resume();
    await sleep(200);
    now = next;
  }
  full.socket.resume();
  for (let waited = 0; full.text().length < bytes.length && waited < 8000; waited += 50) await sleep(50);
  assert.ok(full.text() === bytes.toString('latin1'), 'every byte in its place');
  for (const one of [...web, ...db, full]) one.socket.end();
  await Promise.all([...web, ...db, full].map((one) => one.closed()));
  const { router } = now;
  await eventually(() => assert.equal(router.routeStats().find((row) => row.route === 'web')!.requests, 20));
  await now.router.stop(100);
  const lines = linesOf(now.log);
  const of = (name: string) => lines.filter((line) => line['route'] === name);
  assert.deepEqual([lines.length, of('web').length, of('db').length], [40, 20, 20]);
  for (const line of of('web')) {
    assert.deepEqual([line['status'], line['flags'], line['path']], [101, 'upgraded', '/ws']);
    assert.equal(line['bytes_in'], upgrade.length + 'round 1;round 2;'.length);
    assert.ok(Number(line['duration_ms']) > 600, 'counted from its begin');
  }
  assert.ok(of('db').some((line) => Number(line['bytes_out']) === bytes.length + 2));
});

test('who does not take tunnels leaves them where they are', async () => {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'mpt-tunnels-'));
  stack.defer(() => rmSync(folder, { recursive: true }));
  const a = stack.use(await upstream(echo));
  const [port, tcp] = [await freePort(), await freePort()];
  const router = stack.use(startRouter({ workers: 2, ackMs: patienceMs }));
  assert.ok(await router.started());
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(a.port)] });
  assert.ok((await router.offer(both(port, tcp))).ok);
  const web = await Promise.all(Array.from({ length: 20 }, () => connect(port)));
  for (const one of web) one.send(upgrade);
  await Promise.all(web.map((one) => one.until(/\r\n\r\n$/)));
  const [writer, reader] = await pair(folder);
  writer.on('error', () => undefined);
  reader.destroy();
  stack.defer(() => void writer.destroy());
  const { log, lines } = keptLog();
  const stopped = router.stop(1200, passOver(writer, log));
  await sleep(200);
  for (const one of web) one.send('still;');
  await Promise.all(web.map((one) => one.until(/still;$/)));
  await Promise.all(web.map((one) => one.closed()));
  await stopped;
  assert.equal(lines.length, 1);
  const { passed, kept, why, msg } = lines[0]!;
  assert.match(String(msg), /does not take these tunnels/);
  assert.match(String(why), /EPIPE|hung up/);
  assert.equal(passed, 0);
  assert.ok(Number(kept) > 0 && Number(kept) <= 20, String(kept));
});

test('a tunnel is as old as it may be, in whichever process it is', async () => {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'mpt-tunnels-'));
  stack.defer(() => rmSync(folder, { recursive: true }));
  const a = stack.use(await upstream(echo));
  const [port, tcp] = [await freePort(), await freePort()];
  const routers = [startRouter({ workers: 1, ackMs: patienceMs }), startRouter({ workers: 1, ackMs: patienceMs })].map(
    (one) => stack.use(one),
  );
  const [old, next] = routers as [Router, Router];
  for (const router of routers) {
    assert.ok(await router.started());
    router.endpoints({ cluster: 'a', version: '1', list: [endpoint(a.port)] });
  }
  assert.ok((await old.offer(both(port, tcp, 2500))).ok);
  const one = await connect(port);
  one.send(upgrade);
  await one.until(/\r\n\r\n$/);
  const began = performance.now();
  inherit(next, old);
  assert.ok((await next.offer(both(port, tcp, 2500))).ok);
  await sleep(1200);
  const [writer, reader] = await pair(folder);
  const { log } = keptLog();
  void receiveTunnels(reader, log, (tunnels) => next.receive(tunnels)).finally(() => reader.destroy());
  const stopped = old.stop(5000, passOver(writer, log));
  await stopped;
  writer.end();
  one.send('on;');
  await one.until(/on;$/);
  await one.closed();
  const took = performance.now() - began;
  // Were it young again where it came to, it would be more than 3,700 ms.
  assert.ok(took > 2300 && took < 3600, `${took}`);
});

test('what is no tunnel is none, and said', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-tunnels-'));
  const faults: string[] = [];
  await using router = startRouter({ workers: 1, onFault: (what) => void faults.push(what) });
  const server = net.createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const socket = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  const fd = descriptorOf(socket)!;
  const file = join(folder, 'm');
  const flat = Buffer.alloc(136);
  flat.writeUInt32LE(0x4d504c01, 0);
  const wrong: [string, Buffer][] = [
    ['nothing', Buffer.alloc(0)],
    ['too short', flat.subarray(0, 100)],
    ['no addresses', flat],
    ['another version', Buffer.alloc(136)],
    ['longer than it says', Buffer.concat([flat, Buffer.alloc(10)])],
  ];
  const lies = Buffer.from(flat);
  lies.fill(0xff, 112, 132);
  wrong.push(['shorter than it says', lies]);
  for (const [what, bytes] of wrong) {
    writeFileSync(file, bytes);
    const memory = openSync(file, 'r');
    assert.equal(unpackTunnel(1, 1, { memory, client: fd, up: fd }), false, what);
    assert.equal(unpackTunnel(1, 1, { memory, client: memory, up: memory }), false, what);
    router.receive([{ listener: 'a', memory, client: duplicate(fd), up: duplicate(fd) }]);
    assert.equal(faults.pop(), '1 of 1 tunnels of another process make no sense: ended', what);
  }
  const [writer, reader] = await pair(folder);
  const { log, lines } = keptLog();
  writer.write('nonsense');
  await receiveTunnels(reader, log, () => assert.fail('none'));
  assert.deepEqual([lines.length, lines[0]!['taken'], lines[0]!['why']], [1, 0, '0 descriptors, 8 bytes']);
  for (const one of [socket, writer, reader]) one.destroy();
  server.close();
  rmSync(folder, { recursive: true });
});
