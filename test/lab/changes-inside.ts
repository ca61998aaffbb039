// Run by changes.test.ts inside a network namespace.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import net, { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { receiveSockets, sendSockets } from '../../src/daemon/takeover/descriptors.ts';
import { startRouter } from '../../src/l7/router.ts';
import type { Router } from '../../src/l7/router.ts';
import { startLoad } from './changes-load.ts';
import { connect, endpoint, forward, get, host, route, sleep, snapshot, upstream } from '../fake/l7.ts';
import { freePort } from '../fake/port.ts';

interface Site extends AsyncDisposable {
  readonly router: Router;
  readonly port: number;
}

const upgrade = 'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
const ask = (path = '/'): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

/** Takes an upgrade and echoes; answers others, /slow late. */
function serve(socket: Socket, piece: Buffer, all: string): void {
  if (/upgrade: websocket/i.test(piece.toString('latin1'))) {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  } else if (all.includes('/ws')) socket.write(piece);
  else {
    const answer = (): void => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    if (piece.includes('/slow')) setTimeout(answer, 400);
    else answer();
  }
}

async function openSite(workers: number): Promise<Site> {
  const stack = new AsyncDisposableStack();
  const up = stack.use(await upstream(serve));
  const port = await freePort();
  const router = stack.use(startRouter({ workers }));
  assert.ok(await router.started());
  const s = snapshot(port, [host(['*'], route('r', forward('a')))], [{ key: 'a' }]);
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
  assert.ok((await router.offer(s)).ok);
  return { router, port, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const many = <T>(count: number, make: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => make(i)));

test('nothing but a descriptor keeps a queue', () => {
  assert.equal(readFileSync('/proc/sys/net/ipv4/tcp_migrate_req', 'utf8').trim(), '0');
});

test('who connects while the only worker is away waits for its successor', async () => {
  await using site = await openSite(1);
  await site.router.endWorker(0);
  const answers = await many(100, () => get(site.port));
  for (const answer of answers) assert.match(answer, /^HTTP\/1.1 200/);
  assert.equal(site.router.crashes(), 1);
});

test('who connects while one of four is away is answered by the others', async () => {
  await using site = await openSite(4);
  for (let i = 0; i < 4; i += 1) {
    await site.router.endWorker(i);
    const begun = performance.now();
    const answers = await many(100, () => get(site.port));
    for (const answer of answers) assert.match(answer, /^HTTP\/1.1 200/);
    assert.ok(performance.now() - begun < 3000);
    assert.ok(await site.router.started());
  }
});

test('workers become fewer and more, and every connection is answered', async () => {
  await using site = await openSite(4);
  let going = true;
  let answered = 0;
  const load = many(20, async () => {
    while (going) {
      assert.match(await get(site.port), /^HTTP\/1.1 200/);
      answered += 1;
    }
  });
  const held = await many(20, () => connect(site.port));
  for (const workers of [1, 3, 2, 4]) {
    await site.router.resize(workers);
    assert.equal((await site.router.workerStats()).length, workers);
    await sleep(200);
  }
  going = false;
  await load;
  assert.ok(answered > 200, `${answered} answered`);
  for (const one of held) one.socket.destroy();
});

/** Connections of three kinds on every worker: idle between two requests, with half a head, and tunnels. */
async function openHeld(port: number): Promise<{ check(round: string): Promise<void>; close(): void }> {
  const idle = await many(40, () => connect(port));
  const half = await many(40, () => connect(port));
  const tunnels = await many(40, () => connect(port));
  for (const one of idle) one.send(ask());
  for (const one of half) one.send(ask().slice(0, 20));
  for (const one of tunnels) one.send(upgrade);
  await Promise.all([...idle.map((one) => one.until(/ok$/)), ...tunnels.map((one) => one.until(/\r\n\r\n$/))]);
  return {
    async check(round) {
      for (const one of idle) one.clear();
      for (const one of half) one.clear();
      for (const one of idle) one.send(ask());
      for (const one of half) one.send(`${ask().slice(20)}${ask().slice(0, 20)}`);
      for (const one of tunnels) one.send(`${round};`);
      const answers = await Promise.all([...idle, ...half].map((one) => one.until(/ok$/)));
      for (const answer of answers) assert.doesNotMatch(answer, /connection: close/i);
      await Promise.all(tunnels.map((one) => one.until(new RegExp(`${round};$`))));
    },
    close() {
      for (const one of [...idle, ...half, ...tunnels]) one.socket.destroy();
    },
  };
}

test('connections move when workers become fewer', async () => {
  await using site = await openSite(4);
  const held = await openHeld(site.port);
  const busy = await many(20, () => connect(site.port));
  for (const one of busy) one.send(ask('/slow'));
  await sleep(50);
  for (const workers of [3, 1, 2]) {
    await site.router.resize(workers);
    await held.check(`now ${workers}`);
  }
  for (const one of busy) {
    assert.doesNotMatch(await one.until(/ok$/), /connection: close/i);
    one.clear();
    one.send(ask());
    await one.until(/ok$/);
    one.socket.destroy();
  }
  const stats = await site.router.workerStats();
  const open = stats.reduce((sum, { connections }) => sum + connections, 0);
  assert.equal(open, 120);
  held.close();
});

test('connections move when a worker crashes: only what was under way fails', async () => {
  await using site = await openSite(4);
  const held = await openHeld(site.port);
  const busy = await many(20, () => connect(site.port));
  for (const one of busy) one.send(ask('/slow'));
  await sleep(50);
  await site.router.endWorker(2);
  await held.check('once');
  const ended = await Promise.allSettled(busy.map((one) => one.until(/ok$/)));
  const failed = ended.filter(({ status }) => status === 'rejected').length;
  assert.ok(failed > 0 && failed < 20, `${failed} failed`);
  assert.ok(await site.router.started());
  await site.router.endWorker(0);
  await held.check('twice');
  held.close();
});

test('also of one alone', async () => {
  await using site = await openSite(1);
  const held = await openHeld(site.port);
  for (const round of ['once', 'twice']) {
    await site.router.endWorker(0);
    await held.check(round);
  }
  held.close();
});

test('listening sockets go to another router, and every connection is answered', async () => {
  await using stack = new AsyncDisposableStack();
  const up = stack.use(await upstream());
  const port = await freePort();
  const open = async (): Promise<Router> => {
    const router = stack.use(startRouter({ workers: 2 }));
    assert.ok(await router.started());
    router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
    return router;
  };
  const path = join(tmpdir(), `mpt-sockets-${process.pid}`);
  const s = snapshot(port, [host(['*'], route('r', forward('a')))], [{ key: 'a' }]);
  let router = await open();
  assert.ok((await router.offer(s)).ok);
  let going = true;
  let answered = 0;
  const load = many(20, async () => {
    while (going) {
      assert.match(await get(port), /^HTTP\/1.1 200/);
      answered += 1;
    }
  });
  for (let round = 0; round < 3; round += 1) {
    const old = router;
    const server = createServer((socket) => void sendSockets(socket, old.places.all(), 1000)).listen(path);
    stack.defer(() => void server.close());
    const socket = net.connect(path);
    socket.pause();
    await new Promise((resolve) => socket.once('connect', resolve));
    const sockets = await receiveSockets(socket, 1000);
    assert.deepEqual(
      [...(sockets ?? [])].map(([place, fds]) => [place, fds.length]),
      [[`127.0.0.1 ${port}`, 2]],
    );
    socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    router = await open();
    router.places.adopt(sockets!);
    assert.ok((await router.offer(s)).ok);
    await old.stop(1000);
    await sleep(100);
  }
  going = false;
  await load;
  assert.ok(answered > 100, `${answered} answered`);
});

test('of who does not send sockets none are taken', async () => {
  const path = join(tmpdir(), `mpt-nosockets-${process.pid}`);
  for (const said of ['', 'nonsense', '{"place":1}']) {
    const server = createServer((socket) => socket.end(said)).listen(path);
    const socket = net.connect(path);
    socket.pause();
    await new Promise((resolve) => socket.once('connect', resolve));
    assert.equal(await receiveSockets(socket, 1000), undefined);
    socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
});

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
const load = long
  ? { tunnels: 4000, held: 100, requests: 1000, fresh: 100, rounds: 200 }
  : { tunnels: 500, held: 50, requests: 200, fresh: 20, rounds: 12 };

/** Connections over all workers that show which version of the routes decides. */
async function openProbe(port: number): Promise<{ until(version: string): Promise<void>; close(): void }> {
  const all = await many(24, () => connect(port));
  return {
    /** Each answers by this version to the first request that is asked now. */
    async until(version) {
      for (const one of all) {
        one.clear();
        one.send(ask('/version'));
      }
      const answers = await Promise.all(all.map((one) => one.until(/v\d+$/)));
      for (const answer of answers) assert.ok(answer.endsWith(version), answer);
    },
    close() {
      for (const one of all) one.socket.destroy();
    },
  };
}

test('changes of every kind, one crash among them, and nobody notices', { timeout: 600_000 }, async (t) => {
  await using stack = new AsyncDisposableStack();
  const up = stack.use(await upstream(serve));
  const other = stack.use(await upstream(serve));
  const [port, second] = [await freePort(), await freePort()];
  const router = stack.use(startRouter({ workers: 4 }));
  assert.ok(await router.started());
  const offer = async (version: string, more: boolean): Promise<number> => {
    const hosts = [
      host(
        ['*'],
        route('version', { kind: 'reply', status: 200, body: version }, { path: { kind: 'exact', value: '/version' } }),
        route('r', forward('a')),
      ),
    ];
    const s = snapshot(port, hosts, [{ key: 'a' }, { key: 'b' }]);
    const extra = { ...s.listeners[0]!, name: 'second', port: second };
    const begun = performance.now();
    assert.deepEqual(await router.offer(more ? { ...s, listeners: [...s.listeners, extra] } : s), {
      ok: true,
      version: s.version,
    });
    return begun;
  };
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
  await offer('v0', false);
  const probe = await openProbe(port);
  const running = await startLoad({ port, ...load });
  await sleep(1000);
  const before = process.memoryUsage().rss;
  const took: number[] = [];
  let crashed = 0;
  for (let round = 1; round <= load.rounds; round += 1) {
    const begun = await offer(`v${round}`, round % 2 === 1);
    await probe.until(`v${round}`);
    took.push(performance.now() - begun);
    if (round % 2 === 1) assert.match(await get(second), /^HTTP\/1.1 200/);
    else await assert.rejects(get(second));
    router.endpoints({ cluster: 'b', version: String(round), list: [endpoint(other.port, { weight: round })] });
    if (round % 4 === 0) await router.resize([2, 4, 3, 4][(round / 4) % 4]!);
    if (round === 6) {
      crashed = running.failures.get('request under way lost') ?? 0;
      assert.equal(crashed, 0);
      await router.endWorker(1);
      await sleep(500);
      crashed = running.failures.get('request under way lost') ?? 0;
    }
    await sleep(long ? 300 : 500);
  }
  await running.stop(5000);
  const { failures, done } = running;
  const lost = failures.get('request under way lost') ?? 0;
  failures.delete('request under way lost');
  const sorted = took.toSorted((a, b) => a - b);
  const mid = sorted[sorted.length >> 1]!;
  t.diagnostic(`${done.numbers} numbers, ${done.requests} requests, ${done.fresh} new; ${lost} lost by the crash; ms`);
  const most = sorted.at(-1)!;
  t.diagnostic(`commit to its first answer on every connection: ${mid.toFixed(1)}, at most ${most.toFixed(1)} ms`);
  t.diagnostic(`memory of the process ${((process.memoryUsage().rss - before) / 1048576).toFixed(1)} MB more, ms`);
  assert.deepEqual([...failures], []);
  assert.equal(lost, crashed, 'only the crash lost any');
  assert.ok(done.numbers > load.tunnels && done.requests > load.requests && done.fresh > load.fresh);
  assert.ok(mid < 50, `${mid} ms`);
  probe.close();
});
