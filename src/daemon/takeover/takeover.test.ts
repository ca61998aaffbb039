// What the old daemon and the new one say to each other, on either end of takeover.sock.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { Pass } from '../../l7/move/pass.ts';
import { takeLock } from '../lock.ts';
import { askForPlace, offerTakeover } from './takeover.ts';
import type { Predecessor } from './takeover.ts';

interface Offered extends AsyncDisposable {
  readonly folder: string;
  /** What it retires with. */
  readonly retired: Promise<readonly [drainMs: number | undefined, pass: Pass | undefined]>;
}

/** A daemon that has nothing to give but its place. */
async function offer(): Promise<Offered> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'mpt-place-'));
  stack.defer(() => rmSync(folder, { recursive: true }));
  stack.use(takeLock(folder));
  const { promise: retired, resolve } = Promise.withResolvers<Awaited<Offered['retired']>>();
  const giver = {
    release: () => Promise.resolve([]),
    sockets: () => new Map(),
    resume: () => Promise.resolve(true),
    retire: (drainMs?: number, pass?: Pass) => resolve([drainMs, pass]),
  };
  stack.use(await offerTakeover(folder, pino({ level: 'silent' }), Promise.resolve(giver)));
  await new Promise((done) => setImmediate(done));
  const kept = stack.move();
  return { folder, retired, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

const ask = { say: 'ask', pid: process.pid, version: 'test' };

/** Says so, as a daemon of any version would. */
async function say(folder: string, ...messages: object[]): Promise<Disposable & { readonly socket: Socket }> {
  const socket = connect(join(folder, 'takeover.sock'));
  await once(socket, 'connect');
  socket.write(messages.map((each) => `${JSON.stringify(each)}\n`).join(''));
  return { socket, [Symbol.dispose]: () => void socket.destroy() };
}

test('whoever asks for tunnels and serves at once has them', async () => {
  for (let i = 0; i < 50; i += 1) {
    await using old = await offer();
    const before = (await askForPlace(old.folder, 'test')) as Predecessor;
    await before.tunnels(() => undefined);
    await before.serving(7);
    const [drainMs, pass] = await old.retired;
    assert.equal(drainMs, 7);
    assert.ok(pass !== undefined, 'the old one knows who takes its tunnels');
  }
});

test('what was announced and comes late is waited for', async () => {
  await using old = await offer();
  using serves = await say(old.folder, ask, { say: 'serving', drainMs: 7, tunnels: true });
  await sleep(100);
  using takes = await say(old.folder, { say: 'tunnels' });
  assert.notEqual((await old.retired)[1], undefined);
  assert.deepEqual([serves.socket.destroyed, takes.socket.destroyed], [false, false]);
});

test('one that takes no tunnels, or says that it does and goes, is not waited for long', async () => {
  for (const [more, most] of [
    [{}, 500],
    [{ tunnels: true }, 4000],
  ] as const) {
    await using old = await offer();
    const began = performance.now();
    using next = await say(old.folder, ask, { say: 'serving', drainMs: 7, ...more });
    assert.deepEqual(await old.retired, [7, undefined]);
    assert.ok(performance.now() - began < most);
    assert.equal(next.socket.destroyed, false);
  }
});
