// Slow clients, slow upstreams and floods of connections at a router that has a process of its own: meanwhile others are
// served, and afterwards nothing of it is left, neither memory nor descriptors.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../fake/l7.ts';
import { answersOf, attack, attackerMissing, flood } from './slow/attack.ts';
import type { Looks, RouterInput } from './slow/router.ts';
import { freePort } from '../fake/port.ts';

const long = process.env['MIDPLANE_TEST_LONG'] === '1';
/** So late that only what hangs comes later. */
const hangMs = 60_000;

interface Served extends AsyncDisposable {
  readonly port: number;
  look(): Promise<Looks>;
}

async function openRouter(upstreamPort: number, options: RouterInput['options']): Promise<Served> {
  const input: RouterInput = { port: await freePort(), upstreamPort, options };
  const child = fork(`${import.meta.dirname}/slow/router.ts`, [JSON.stringify(input)]);
  const exited = once(child, 'exit');
  await once(child, 'message');
  return {
    port: input.port,
    async look() {
      const answer = once(child, 'message');
      child.send('look');
      const [looks] = (await answer) as [Looks];
      return looks;
    },
    async [Symbol.asyncDispose]() {
      child.disconnect();
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** By path: /big much at once, /never nothing, /drip a byte now and then for two seconds, all else "ok". */
async function openUpstream(): Promise<AsyncDisposable & { readonly port: number }> {
  const big = Buffer.alloc(1 << 20, 'x');
  const drip = async (answer: ServerResponse): Promise<void> => {
    for (let i = 0; i < 20; i += 1) {
      answer.write('x');
      await sleep(100);
    }
    answer.end();
  };
  const server = createServer((request, answer) => {
    const { url = '' } = request;
    if (url.startsWith('/big')) answer.end(big);
    else if (url.startsWith('/drip')) void drip(answer);
    else if (!url.startsWith('/never')) request.resume().on('end', () => answer.end('ok'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function ask(port: number, path: string): Promise<string> {
  const client = await connect(port);
  client.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  const text = await client.closed(hangMs);
  client.socket.destroy();
  return text;
}

/** What a client on new connections gets while something else happens, and the most that the router held. */
async function meanwhile(router: Served, what: Promise<unknown>): Promise<{ answers: number; most: Looks }> {
  let over = false;
  const ended = what.finally(() => (over = true));
  let answers = 0;
  let most = await router.look();
  while (!over) {
    assert.match(await ask(router.port, '/'), /^HTTP\/1.1 200 [^]*ok/);
    answers += 1;
    const now = await router.look();
    most = {
      ...now,
      rssMiB: Math.max(most.rssMiB, now.rssMiB),
      connections: Math.max(most.connections, now.connections),
    };
    await sleep(50);
  }
  await ended;
  return { answers, most };
}

/** Waits until nothing is left but what was there before. */
async function settles(router: Served, before: Looks): Promise<Looks> {
  const until = performance.now() + hangMs;
  for (;;) {
    const now = await router.look();
    const clean = now.connections === 0 && now.upstreams === 0 && now.descriptors <= before.descriptors;
    if (clean) {
      assert.deepEqual([now.faults, now.crashes], [0, 0]);
      return now;
    }
    assert.ok(performance.now() < until, `left behind: ${JSON.stringify({ before, now })}`);
    await sleep(100);
  }
}

const brief = { headMs: 2000, idleMs: 2000, bodyMs: 2000, stallMs: 3000, upstreamIdleMs: 500 };
const clients = long ? 1000 : 100;
/** Slow readers read to the end of their time; the others go when the router has closed all their connections. */
const seconds = { readers: long ? 30 : 6, others: 60 };
const attacks: Readonly<Record<string, readonly string[]>> = {
  'slow heads': ['-H', '-i', '1', '-x', '24'],
  'slow bodies': ['-B', '-i', '1', '-x', '10', '-s', '100000'],
  'slow readers': ['-X', '-n', '1', '-z', '32', '-w', '16', '-y', '512', '-k', '3'],
  ranges: ['-R', '-a', '5', '-b', '2000'],
};

await test('slow clients and floods', async (t) => {
  await using upstream = await openUpstream();

  await t.test(`${Object.keys(attacks).join(', ')}: others are served`, { skip: attackerMissing }, async (u) => {
    await using router = await openRouter(upstream.port, { times: brief });
    await ask(router.port, '/');
    const before = await settles(router, await router.look());
    const options = ['-c', String(clients), '-r', String(clients), '-p', '30'];
    const all = Object.entries(attacks).map(async ([name, args]) => {
      const limit = String(name === 'slow readers' ? seconds.readers : seconds.others);
      const url = `http://127.0.0.1:${router.port}/${name === 'slow readers' || name === 'ranges' ? 'big' : ''}`;
      return [name, await attack(url, [...args, ...options, '-l', limit], u.signal)] as const;
    });
    const { answers, most } = await meanwhile(router, Promise.all(all));
    for (const [name, { available }] of await Promise.all(all))
      assert.ok(available, `${name}: the probes of slowhttptest were not answered`);
    // Nobody of them closes by itself, and half of them are slow heads and slow bodies.
    assert.ok(most.clientErrors >= clients, `only ${most.clientErrors} were told that they are too slow`);
    assert.ok(answers >= 5, `${answers} answers`);
    assert.ok(most.connections > clients / 4, `only ${most.connections} connections at once`);
    const grown = most.rssMiB - before.rssMiB;
    u.diagnostic(`${answers} answers meanwhile; ${most.connections} connections at most; ${grown.toFixed(0)} MiB more`);
    assert.ok(grown < 64 + clients * 0.5, `${grown} MiB more`);
    await settles(router, before);
  });

  await t.test('more slow clients than the router holds: others get in', { skip: attackerMissing }, async (u) => {
    await using router = await openRouter(upstream.port, { times: { upstreamIdleMs: 500 }, maxConnections: 100 });
    const before = await settles(router, await router.look());
    const args = ['-H', '-i', '1', '-c', '300', '-r', '150', '-l', '4', '-p', '30'];
    const { answers, most } = await meanwhile(router, attack(`http://127.0.0.1:${router.port}/`, args, u.signal));
    assert.ok(answers >= 5, `${answers} answers`);
    assert.ok(most.connections <= 100 && most.refused > 100, JSON.stringify(most));
    await settles(router, before);
  });

  await t.test('upstreams that never answer, or drip: others are served', async () => {
    await using router = await openRouter(upstream.port, { times: brief });
    await ask(router.port, '/');
    const before = await settles(router, await router.look());
    const all = Promise.all(
      Array.from({ length: 100 }, async (_, i) => [i % 2, await ask(router.port, i % 2 ? '/drip' : '/never')] as const),
    );
    const { answers } = await meanwhile(router, all);
    for (const [drips, text] of await all)
      assert.match(text, drips ? /^HTTP\/1.1 200 [^]*(x\r\n[^x]*){20}/ : /^HTTP\/1.1 504 /);
    assert.ok(answers >= 5, `${answers} answers`);
    await settles(router, before);
  });

  const total = long ? 100_000 : 5000;
  await t.test(`${total} connections opened and closed from eight addresses leave nothing`, async (u) => {
    await using router = await openRouter(upstream.port, { times: brief });
    // What the first ones cost is the compiler's.
    await flood(router.port, total / 5, 64);
    const before = await router.look();
    const steps: number[] = [];
    let opened = 0;
    for (let i = 0; i < 5; i += 1) {
      const counts = await flood(router.port, total / 5, 64);
      assert.equal(counts.answered, answersOf(total / 5));
      opened += counts.opened;
      steps.push((await router.look()).rssMiB);
    }
    assert.equal(opened, total);
    const after = await settles(router, { ...before, descriptors: 40 });
    const grown = (steps.at(-1) ?? 0) - before.rssMiB;
    u.diagnostic(`MiB: ${[before.rssMiB, ...steps].map(Math.round).join(' ')}; ${after.descriptors} descriptors`);
    // Until the heap has found its size it grows; a small sample is all in that time.
    assert.ok(grown < (long ? 24 : 48), `${grown} MiB more`);
    // Some were reset before they could be accepted.
    assert.ok(after.accepted > total / 2, `${after.accepted} accepted`);
  });
});
