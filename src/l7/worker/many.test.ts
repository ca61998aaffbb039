// Changes among ten thousand routes while requests are under way: none sees half of one, and none waits for one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../../test/fake/eventually.ts';
import { connect, endpoint, forward, host, route, sleep, snapshot, upstream } from '../../../test/fake/l7.ts';
import type { Client } from '../../../test/fake/l7.ts';
import { freePort } from '../../../test/fake/port.ts';
import { noEdits } from '../../mesh/snapshot.ts';
import type { Route, VirtualHost } from '../../mesh/snapshot.ts';
import { startRouter } from '../router.ts';

const hostCount = 1000;
/** Of a route in every host while requests are under way, and of a few while there are only those that look for it. */
const changes = 10;
const quietChanges = 8;
/** Hosts that are asked for their version, which one route in each host answers, itself or by the upstream. */
const asked = [0, 1, 333, 500, 666, 998, 999];

const hostName = (h: number): string => `h${h}.many.example`;

function ownRoute(h: number, version: string): Route {
  const path = { path: { kind: 'exact', value: '/version' } } as const;
  if (h % 2 === 0) return route(`${h}-own`, { kind: 'reply', status: 200, body: version }, path);
  return route(`${h}-own`, forward('a'), path, { request: { ...noEdits, set: [['x-version', version]] } });
}

/** `others`: the version of the hosts that nobody asks. */
function hosts(version: string, others: string): VirtualHost[] {
  return Array.from({ length: hostCount }, (_h, h) => {
    const plain = Array.from({ length: 9 }, (_r, r) =>
      route(`${h}-${r}`, forward('a'), { path: { kind: 'prefix', value: `/service${r}` } }),
    );
    return host([hostName(h)], ...plain, ownRoute(h, asked.includes(h) ? version : others));
  });
}

const burst = asked.map((h) => `GET /version HTTP/1.1\r\nHost: ${hostName(h)}\r\n\r\n`).join('');
const wholeBurst = new RegExp(`^([^]*?\r\n\r\nv\\d+){${asked.length}}$`);

/** Asks all that change, in one go; gives the versions that answered. */
async function askAll(c: Client): Promise<readonly number[]> {
  c.clear();
  c.send(burst);
  const text = await c.until(wholeBurst, 10_000);
  return [...text.matchAll(/\r\n\r\nv(\d+)/g)].map(([, version]) => Number(version));
}

test('ten thousand routes, a change after the other: nobody sees half of one or waits for it', async (t) => {
  await using up = await upstream((socket, piece) => {
    for (const [, version = ''] of piece.toString('latin1').matchAll(/x-version: (v\d+)/g))
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${version.length}\r\n\r\n${version}`);
  });
  const port = await freePort();
  await using router = startRouter({ workers: 2, ackMs: 20_000 });
  assert.ok(await router.started());
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
  /** Gives when it was offered, and the CPU time of the process until then. */
  const offer = async (version: number, others = version): Promise<{ begun: number; cpu: NodeJS.CpuUsage }> => {
    const next = snapshot(port, hosts(`v${version}`, `v${others}`), [{ key: 'a' }]);
    const before = { begun: performance.now(), cpu: process.cpuUsage() };
    assert.deepEqual(await router.offer(next), { ok: true, version: next.version });
    return before;
  };
  await offer(0);
  const clients = await Promise.all(Array.from({ length: 16 }, () => connect(port)));
  const workers = await router.workerStats();
  assert.ok(
    workers.every(({ connections }) => connections > 0),
    'every worker has some of them',
  );
  let going = true;
  let answered = 0;
  let inForce = 0;
  const wrong: string[] = [];
  const load = clients.map(async (c) => {
    let last = 0;
    while (going) {
      // What has been said to be in force when the first is asked is the least that may answer.
      let least = Math.max(last, inForce);
      for (const version of await askAll(c)) {
        if (version < least) wrong.push(`v${version} after v${least}`);
        least = Math.max(least, version);
        answered += 1;
      }
      last = least;
    }
  });
  for (let version = 1; version <= changes; version += 1) {
    await offer(version);
    inForce = version;
    await sleep(20);
  }
  going = false;
  await Promise.all(load);
  assert.deepEqual(wrong, []);
  const took: number[] = [];
  const cpu: number[] = [];
  const pieces: number[] = [];
  for (let version = changes + 1; version <= changes + quietChanges; version += 1) {
    const before = await offer(version, changes);
    const seen = await Promise.all(clients.map(askAll));
    took.push(performance.now() - before.begun);
    const { user, system } = process.cpuUsage(before.cpu);
    cpu.push((user + system) / 1000);
    pieces.push(Math.max(...(await router.workerStats()).map(({ changeMs }) => changeMs)));
    assert.deepEqual(new Set(seen.flat()), new Set([version]));
  }
  for (const c of clients) c.socket.destroy();
  const [quickest, least, cheapest] = [Math.min(...took), Math.min(...pieces), Math.min(...cpu)];
  t.diagnostic(`offer to an answer on every connection ${quickest.toFixed(1)} ms, ${cheapest.toFixed(1)} ms of CPU`);
  t.diagnostic(`${answered} answers meanwhile; longest piece of work ${least.toFixed(2)} ms at best`);
  assert.ok(answered > 500, `${answered} answers`);
  // At best: whatever else the machine does at times, work that is as long as the table is longer each time.
  assert.ok(least < 5, `${least} ms`);
  // Of CPU and not of time, of which a busy machine takes what it likes; workers, clients and the upstream are in it.
  assert.ok(cheapest < 100, `${cheapest} ms of CPU`);
  assert.equal(router.routeStats().length, hostCount * 10 + 1);
  // What an answer was is counted behind it.
  await eventually(() => {
    const counted = router.routeStats().filter(({ route: name }) => name.endsWith('-own'));
    const sum = counted.reduce((total, { requests }) => total + requests, 0);
    assert.equal(sum, answered + quietChanges * clients.length * asked.length);
  });
});
