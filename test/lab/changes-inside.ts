// Run by changes.test.ts inside a network namespace.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { startRouter } from '../../src/l7/router.ts';
import type { Router } from '../../src/l7/router.ts';
import { connect, endpoint, forward, freePort, get, host, route, sleep, snapshot, upstream } from '../fake/l7.ts';

interface Site extends AsyncDisposable {
  readonly router: Router;
  readonly port: number;
}

async function openSite(workers: number): Promise<Site> {
  const stack = new AsyncDisposableStack();
  const up = stack.use(await upstream());
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
