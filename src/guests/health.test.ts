import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { probe, watchHealth } from './health.ts';

const timing = { interval: 5, timeout: 200, failures: 3 };

test('checks by TCP and HTTP', async () => {
  const server = createServer((request, response) => {
    if (request.url === '/slow') return;
    response.writeHead(request.url === '/bad' ? 503 : 204).end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const patient = { ...timing, timeout: 10_000 };
  const http = (path: string) => probe('127.0.0.1', { http: { port, path }, ...patient });
  assert.equal(await probe('127.0.0.1', { tcp: { port }, ...patient }), undefined);
  assert.equal(await http('/'), undefined);
  assert.equal(await http('/bad'), 'answered 503');
  const slow = await probe('127.0.0.1', { http: { port, path: '/slow' }, ...timing });
  assert.equal(slow, 'no answer in 200 ms');
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  assert.match((await probe('127.0.0.1', { tcp: { port }, ...patient })) ?? '', /ECONNREFUSED/);
});

test('healthy by the first good answer, unhealthy by bad ones in a row', async () => {
  const answers = ['no', undefined, 'no', 'no', undefined, 'a', 'b', 'c'];
  const states: boolean[] = [];
  const seen: (string | undefined)[] = [];
  using watch = watchHealth(
    '192.0.2.1',
    { tcp: { port: 1 }, ...timing },
    () => states.push(watch.healthy),
    () => {
      const answer = seen.length < answers.length ? answers[seen.length] : 'c';
      seen.push(answer);
      return Promise.resolve(answer);
    },
  );
  assert.equal(watch.healthy, false);
  for (let i = 0; i < 2000 && seen.length < 10; i += 1) await sleep(5);
  assert.deepEqual(states, [true, false]);
  assert.equal(watch.why, 'c');
});
