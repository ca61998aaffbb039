// Run by changes.test.ts inside a network namespace.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net, { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import tls from 'node:tls';
import { receiveSockets, sendSockets } from '../../src/daemon/takeover/descriptors.ts';
import { startRouter } from '../../src/l7/router.ts';
import type { Router } from '../../src/l7/router.ts';
import type { LoadOptions, Report } from './changes-load.ts';
import { serve } from './changes-server.ts';
import { connect, endpoint, forward, get, host, route, sleep, snapshot, upstream } from '../fake/l7.ts';
import { pki } from '../fake/pki.ts';
import { freePort } from '../fake/port.ts';
import type { Secret, Snapshot } from '../../src/mesh/snapshot.ts';

interface Site extends AsyncDisposable {
  readonly router: Router;
  readonly port: number;
}

const upgrade = 'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
const ask = (path = '/'): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

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
/** Each tunnel costs the router two descriptors, and all else some; it can't have more than its hard limit. */
const descriptors = Number(/^Max open files +\d+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 0);
const load = long
  ? {
      tunnels: Math.min(10_000, Math.floor((descriptors - 3000) / 2)),
      held: 200,
      requests: 1000,
      fresh: 200,
      rounds: 270,
    }
  : { tunnels: 500, held: 52, requests: 200, fresh: 20, rounds: 12 };

interface Child extends AsyncDisposable {
  say(line: string): void;
  line(): Promise<string>;
}

/** A process of a file here. */
function startChild(file: string, ...args: string[]): Child {
  const child = spawn(process.execPath, [join(import.meta.dirname, file), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    say: (line) => void child.stdin.write(`${line}\n`),
    line: async () => String((await lines.next()).value),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}

interface Running extends AsyncDisposable {
  ask(what: 'look' | 'stop'): Promise<Report>;
}

async function startLoad(o: LoadOptions): Promise<Running> {
  const child = startChild('changes-load.ts', JSON.stringify(o));
  await child.line();
  return {
    async ask(what) {
      child.say(what);
      return JSON.parse(await child.line()) as Report;
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}

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

/** The name in the certificate that a new client is shown. */
async function shown(port: number, ca: string): Promise<string> {
  const socket = tls.connect({ port, host: '127.0.0.1', ca, servername: 'a.test' });
  await once(socket, 'secureConnect');
  const name = socket.getPeerCertificate().subject.CN;
  socket.destroy();
  return String(name);
}

interface Ports {
  readonly port: number;
  readonly secure: number;
  readonly second: number;
}

/** Routes that say which version they are, in the clear and over TLS; now and then at one more port. */
function version(of: string, { port, secure, second }: Ports, certificate: Secret, more: boolean): Snapshot {
  const path = { path: { kind: 'exact', value: '/version' } } as const;
  const hosts = [
    host(['*'], route('version', { kind: 'reply', status: 200, body: of }, path), route('r', forward('a'))),
  ];
  const s = snapshot(port, hosts, [{ key: 'a' }, { key: 'b' }]);
  const plain = s.listeners[0]!;
  const host1 = { host: 'a.test', routes: 'main', certificates: [certificate.name], minimum: 'TLSv1.2' } as const;
  const over = { ...plain, name: 'secure', port: secure, protocol: 'HTTPS', tls: [host1] } as const;
  const extra = { ...plain, name: 'second', port: second };
  return { ...s, listeners: more ? [plain, over, extra] : [plain, over], secrets: [certificate] };
}

test('changes of every kind, one crash among them, and nobody notices', { timeout: 660_000 }, async (t) => {
  await using stack = new AsyncDisposableStack();
  const ours = stack.use(pki());
  const certificates = Array.from({ length: 4 }, (_, i): Secret => {
    return { name: `c${i}`, ...ours.issue(`c${i}`, 'DNS:a.test') };
  });
  const [up, other] = [stack.use(startChild('changes-server.ts')), stack.use(startChild('changes-server.ts'))];
  const [upPort, otherPort] = [Number(await up.line()), Number(await other.line())];
  const ports = { port: await freePort(), secure: await freePort(), second: await freePort() };
  const router = stack.use(startRouter({ workers: 4 }));
  assert.ok(await router.started());
  let changes = 0;
  const offer = async (round: number): Promise<number> => {
    const s = version(`v${round}`, ports, certificates[(round >> 1) % 4]!, round % 2 === 1);
    const begun = performance.now();
    assert.deepEqual(await router.offer(s), { ok: true, version: s.version });
    // Routes and a listener, and every second time a certificate.
    changes += round % 2 === 0 ? 3 : 2;
    return begun;
  };
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(upPort)] });
  await offer(0);
  const probe = await openProbe(ports.port);
  const running = stack.use(
    await startLoad({ ...load, port: ports.port, secure: { port: ports.secure, ca: ours.ca } }),
  );
  const lost = async (): Promise<number> => (await running.ask('look')).failures['request under way lost'] ?? 0;
  await sleep(1000);
  const took: number[] = [];
  let crashed = 0;
  let before = process.memoryUsage().rss;
  for (let round = 1; round <= load.rounds; round += 1) {
    const begun = await offer(round);
    await probe.until(`v${round}`);
    took.push(performance.now() - begun);
    assert.equal(await shown(ports.secure, ours.ca), certificates[(round >> 1) % 4]!.name);
    if (round % 2 === 1) assert.match(await get(ports.second), /^HTTP\/1.1 200/);
    // Refused, or, until all workers have let go of it, closed.
    else assert.doesNotMatch(await get(ports.second).catch(() => ''), /HTTP/);
    router.endpoints({ cluster: 'b', version: String(round), list: [endpoint(otherPort, { weight: round })] });
    changes += 1;
    if (round % 4 === 0) {
      await router.resize([2, 4, 3, 4][(round / 4) % 4]!);
      changes += 1;
    }
    if (round === 6) {
      assert.equal(await lost(), 0);
      await router.endWorker(1);
      await sleep(500);
      crashed = await lost();
    }
    if (round === load.rounds >> 1) before = process.memoryUsage().rss;
    await sleep(long ? 200 : 500);
  }
  const { failures, done } = await running.ask('stop');
  const { 'request under way lost': under = 0, ...others } = failures;
  const more = (process.memoryUsage().rss - before) / 1048576;
  const sorted = took.toSorted((x, y) => x - y);
  const mid = sorted[sorted.length >> 1]!;
  t.diagnostic(`${load.tunnels} tunnels, ${changes} changes; descriptors: at most ${descriptors}, ms`);
  t.diagnostic(`${done.numbers} numbers, ${done.requests} requests, ${done.fresh} new; ${under} lost by the crash; ms`);
  const most = sorted.at(-1)!;
  t.diagnostic(`commit to its first answer on every connection: ${mid.toFixed(1)}, at most ${most.toFixed(1)} ms`);
  t.diagnostic(`memory of the router's process over the second half ${more.toFixed(1)} MB more, ms`);
  assert.deepEqual(others, {});
  assert.equal(under, crashed, 'only the crash lost any');
  assert.ok(done.numbers > load.tunnels && done.requests > load.requests && done.fresh > load.fresh);
  assert.ok(mid < (long ? 500 : 50), `${mid} ms`);
  if (long) assert.ok(more < 64, `${more} MB`);
  probe.close();
});
