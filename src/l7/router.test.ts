import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../test/fake/eventually.ts';
import {
  connect,
  endpoint,
  forward,
  get,
  host,
  route,
  sleep,
  snapshot,
  upstream,
  patienceMs,
} from '../../test/fake/l7.ts';
import type { Snapshot } from '../mesh/snapshot.ts';
import { startRouter } from './router.ts';
import type { Router } from './router.ts';
import { freePort } from '../../test/fake/port.ts';

const hosts = (name = 'r') => [host(['*'], route(name, forward('a')))];

async function served(router: Router, s: Snapshot): Promise<void> {
  await router.started();
  const answer = await router.offer(s);
  assert.deepEqual(answer, { ok: true, version: s.version });
}

test('two workers share a port; counters of both are one', async () => {
  await using up = await upstream();
  const port = await freePort();
  await using router = startRouter({ workers: 2, ackMs: patienceMs });
  await served(router, snapshot(port, hosts(), [{ key: 'a' }]));
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
  for (let i = 0; i < 40; i += 1) assert.match(await get(port), /^HTTP\/1.1 200/);
  assert.match(await get(port, '/', 'Host: b\r\n'), /^HTTP\/1.1 400/);
  // What an answer was is counted behind it.
  await eventually(() => {
    const [row, rest] = router.routeStats();
    assert.equal(row?.route, 'r');
    assert.equal(row.requests, 40);
    assert.deepEqual(row.classes, [0, 40, 0, 0, 0]);
    assert.ok(row.p50Ms > 0 && row.p99Ms >= row.p50Ms);
    assert.deepEqual([rest?.route, rest?.requests, rest?.classes[3]], ['', 1, 1]);
  });
  const workers = await router.workerStats();
  assert.equal(workers.length, 2);
  assert.ok(
    workers.every((w) => w.accepted > 0),
    'both took connections',
  );
});

test('tables change under load without one error', async () => {
  await using up = await upstream();
  const port = await freePort();
  await using router = startRouter({ workers: 2, ackMs: patienceMs });
  await served(router, snapshot(port, hosts('v0'), [{ key: 'a' }]));
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
  let running = true;
  let answers = 0;
  const errors: unknown[] = [];
  const load = Array.from({ length: 8 }, async (_, i) => {
    const c = i < 4 ? await connect(port) : undefined;
    while (running) {
      try {
        c?.clear();
        c?.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        assert.match(await (c?.until(/ok$/) ?? get(port)), /^HTTP\/1.1 200/);
        answers += 1;
      } catch (error) {
        errors.push(error);
        return;
      }
    }
    c?.socket.destroy();
  });
  for (let v = 1; v <= 20; v += 1) {
    await served(router, snapshot(port, hosts(`v${v}`), [{ key: 'a' }]));
    router.endpoints({ cluster: 'a', version: String(v), list: [endpoint(up.port, { weight: v })] });
    await sleep(20);
  }
  running = false;
  await Promise.all(load);
  assert.deepEqual(errors, []);
  assert.ok(answers > 100, String(answers));
  assert.deepEqual(
    router.routeStats().map((r) => r.route),
    ['v20', ''],
  );
});

test('a snapshot that can not be served is refused, and nothing changes', async () => {
  await using up = await upstream();
  const port = await freePort();
  await using router = startRouter({ workers: 2, ackMs: patienceMs });
  await served(router, snapshot(port, hosts(), [{ key: 'a' }]));
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
  const bad = [host(['*'], route('bad', forward('a'), { path: { kind: 'regex', value: '(' } }))];
  const nack = await router.offer(snapshot(port, bad));
  assert.ok(!nack.ok && /route bad: Invalid regular expression/.test(nack.why), JSON.stringify(nack));
  const taken = { ...snapshot(up.port, hosts()), version: 'taken' };
  const inUse = await router.offer(taken);
  assert.ok(!inUse.ok && /listener 127.0.0.1:\d+: .*EADDRINUSE/.test(inUse.why), JSON.stringify(inUse));
  const noTable = await router.offer({ ...snapshot(port, hosts()), routes: [] });
  assert.ok(!noTable.ok && /no route table main/.test(noTable.why));
  const many = [host(['*'], ...Array.from({ length: 65_536 }, (_, i) => route(`r${i}`, forward('a'))))];
  const tooMany = await router.offer(snapshot(port, many));
  assert.ok(!tooMany.ok && /more than 65535 routes/.test(tooMany.why));
  assert.match(await get(port), /^HTTP\/1.1 200/);
  assert.equal(router.running()?.routes[0]?.hosts[0]?.routes[0]?.name, 'r');
  await served(router, snapshot(port, hosts('again'), [{ key: 'a' }]));
});

test('a lost worker is counted, replaced, and serves what the others serve', async () => {
  await using up = await upstream();
  const port = await freePort();
  const faults: string[] = [];
  await using router = startRouter({
    workers: 1,
    ackMs: patienceMs,
    onFault: (what) => faults.push(what),
    maxConnections: 64,
  });
  await served(router, snapshot(port, hosts(), [{ key: 'a' }]));
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
  assert.match(await get(port), /^HTTP\/1.1 200/);
  await router.endWorker(0);
  for (let i = 0; i < 100 && !/200/.test(await get(port).catch(() => '')); i += 1) await sleep(20);
  assert.match(await get(port), /^HTTP\/1.1 200/);
  assert.equal(router.crashes(), 1);
  assert.match(faults.join('\n'), /l7-0 ended by itself/);
  await served(router, snapshot(port, hosts('next'), [{ key: 'a' }]));
});

/** Ends the one worker of a router that wants its answers in so many ms; how often it was lost until it served again. */
async function losses(ackMs: number): Promise<number> {
  const port = await freePort();
  await using router = startRouter({ workers: 1, ackMs });
  while (!(await router.started()));
  const reply = [host(['*'], route('r', { kind: 'reply', status: 200, body: 'here' }))];
  await eventually(async () => assert.ok((await router.offer(snapshot(port, reply))).ok));
  await router.endWorker(0);
  await eventually(async () => assert.match(await get(port).catch(() => ''), /here$/));
  return router.crashes();
}

test('a worker that takes longer to start than it may take to answer is not lost for that', async () => {
  const begun = performance.now();
  await using first = startRouter({ workers: 1, ackMs: patienceMs });
  while (!(await first.started()));
  const startMs = performance.now() - begun;
  // A machine that stands still makes an answer late as well: but not each time.
  let fewest = Infinity;
  for (let tries = 3; tries > 0 && fewest > 1; tries -= 1) fewest = Math.min(fewest, await losses(startMs / 4));
  assert.equal(fewest, 1);
});

test('stop drains: who is connected is answered once more, nothing new comes in', async () => {
  const stopping = Promise.withResolvers<void>();
  await using up = await upstream((socket) => {
    void stopping.promise.then(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
  });
  const port = await freePort();
  const router = startRouter({ workers: 1, ackMs: patienceMs });
  await served(router, snapshot(port, hosts(), [{ key: 'a' }]));
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
  const idle = await connect(port);
  const late = await connect(port);
  const busy = await connect(port);
  busy.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually(() => assert.equal(up.seen.length, 1));
  const stopped = router.stop(1500);
  await eventually(() => assert.rejects(connect(port)));
  stopping.resolve();
  assert.match(await busy.until(/ok$/), /connection: close/);
  await assert.rejects(connect(port));
  late.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.match(await late.until(/ok$/), /connection: close/);
  await late.closed();
  assert.equal(idle.socket.readyState, 'open', 'who asks nothing is let be until the time is over');
  await idle.closed();
  await stopped;
  assert.deepEqual(await router.offer(snapshot(port, hosts())).then((a) => a.ok), false);
});

test('the access log has a line a request, in JSON', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-l7-'));
  try {
    await using up = await upstream();
    const port = await freePort();
    const accessLog = join(folder, 'access.log');
    const router = startRouter({ workers: 2, ackMs: patienceMs, accessLog });
    await served(router, snapshot(port, hosts(), [{ key: 'a' }]));
    router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
    for (let i = 0; i < 10; i += 1) await get(port, `/?"${i}`);
    await router.stop(1000);
    const lines = readFileSync(accessLog, 'utf8')
      .trimEnd()
      .split('\n')
      .map((l) => JSON.parse(l) as Record<string, unknown>);
    assert.equal(lines.length, 10);
    const names =
      'time listener route method host path status bytes_in bytes_out duration_ms upstream client port port_name flags';
    assert.equal(Object.keys(lines[0]!).join(' '), names);
    assert.deepEqual(
      lines.map((l) => String(l['path'])).toSorted(),
      Array.from({ length: 10 }, (_, i) => `/?"${i}`),
    );
    assert.equal(lines[0]!['upstream'], `e${up.port}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a connection brings any number of requests, unless the router is told a bound', async () => {
  await using up = await upstream();
  for (const maxRequestsPerConnection of [undefined, 1]) {
    const port = await freePort();
    const more = maxRequestsPerConnection === undefined ? {} : { maxRequestsPerConnection };
    await using router = startRouter({ workers: 1, ackMs: 20_000, ...more });
    const s = snapshot(port, [host(['*'], route('r', forward('a')))], [{ key: 'a' }]);
    assert.ok((await router.offer(s)).ok);
    router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
    const c = await connect(port);
    c.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const got = await c.until(/ok$/);
    assert.equal(got.includes('connection: close'), maxRequestsPerConnection === 1);
    c.socket.destroy();
    assert.match(await get(port), /ok$/);
  }
});

test('bounds of a listener hold over all workers, and what a worker had is free when it is gone', async () => {
  await using up = await upstream();
  const port = await freePort();
  await using router = startRouter({ workers: 2, ackMs: patienceMs });
  const s = snapshot(port, hosts(), [{ key: 'a' }]);
  const bounded = (connections: number, connectionsPerClient: number): Snapshot => ({
    ...s,
    version: `${connections}/${connectionsPerClient}`,
    listeners: s.listeners.map((l) => ({ ...l, limits: { connections, connectionsPerClient } })),
  });
  await served(router, bounded(6, 100));
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
  const tries = await Promise.all(Array.from({ length: 20 }, () => connect(port).catch(() => undefined)));
  const clients = tries.filter((c) => c !== undefined);
  for (const c of clients) c.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually(() => {
    assert.equal(clients.filter((c) => c.text().startsWith('HTTP/1.1 200')).length, 6);
    const [row] = router.listenerStats();
    assert.deepEqual([row?.connections, row?.over, row?.overClient], [6, 14, 0]);
  });
  const before = await router.workerStats();
  assert.ok(
    before.every((w) => w.accepted + w.refused > 0),
    'both heard of some',
  );
  // Those that are there count for a bound that comes later, and those that another worker takes over.
  await served(router, bounded(100, 6));
  await router.endWorker(0);
  await sleep(300);
  await eventually(() => assert.equal(router.listenerStats()[0]?.connections, 6));
  assert.doesNotMatch(await get(port).catch(() => ''), /200/);
  await eventually(() => assert.equal(router.listenerStats()[0]?.overClient, 1));
  for (const c of clients) c.socket.destroy();
  await eventually(() => assert.equal(router.listenerStats()[0]?.connections, 0));
  assert.match(await get(port), /^HTTP\/1.1 200/);
});

test('endpoints of a cluster that is gone, or was only in what was refused, are kept for nobody', async () => {
  await using up = await upstream();
  const port = await freePort();
  await using router = startRouter({ workers: 1, ackMs: patienceMs });
  const told = (): void => router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
  const [named, other] = [snapshot(port, hosts(), [{ key: 'a' }]), snapshot(port, hosts(), [{ key: 'b' }])];
  told();
  await served(router, named);
  assert.match(await get(port), /^HTTP\/1.1 200/);
  await served(router, other);
  assert.match(await get(port), /^HTTP\/1.1 500/);
  await served(router, { ...named, version: 'again' });
  assert.match(await get(port), /^HTTP\/1.1 503/);
  told();
  await eventually(async () => assert.match(await get(port), /^HTTP\/1.1 200/));
  await served(router, { ...other, version: 'other' });
  told();
  const refused = { ...named, listeners: named.listeners.map((l) => ({ ...l, routes: 'none' })) };
  assert.equal((await router.offer(refused)).ok, false);
  await served(router, { ...named, version: 'third' });
  assert.match(await get(port), /^HTTP\/1.1 503/);
});
