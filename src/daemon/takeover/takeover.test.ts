// What the old daemon and the new one say to each other, on either end of takeover.sock.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { keptLog } from '../../../test/fake/log.ts';
import type { Pass } from '../../l7/move/pass.ts';
import { takeLock } from '../lock.ts';
import { descriptorOf } from '../../kernel/socket.ts';
import { sendSockets } from './descriptors.ts';
import type { ListeningSockets } from './descriptors.ts';
import { askForPlace, offerTakeover } from './takeover.ts';
import type { Predecessor } from './takeover.ts';

interface Offered extends AsyncDisposable {
  readonly folder: string;
  /** What it retires with. */
  readonly retired: Promise<readonly [drainMs: number | undefined, pass: Pass | undefined]>;
  /** What it has to say. */
  readonly lines: ReturnType<typeof keptLog>['lines'];
}

/** A daemon that has nothing to give but its place, and these. */
async function offer(sockets: ListeningSockets = new Map()): Promise<Offered> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'mpt-place-'));
  stack.defer(() => rmSync(folder, { recursive: true }));
  stack.use(takeLock(folder));
  const { promise: retired, resolve } = Promise.withResolvers<Awaited<Offered['retired']>>();
  const giver = {
    release: () => Promise.resolve([]),
    sockets: () => sockets,
    resume: () => Promise.resolve(true),
    retire: (drainMs?: number, pass?: Pass) => resolve([drainMs, pass]),
  };
  const { log, lines } = keptLog();
  stack.use(await offerTakeover(folder, log, Promise.resolve(giver)));
  await new Promise((done) => setImmediate(done));
  const kept = stack.move();
  return { folder, retired, lines, [Symbol.asyncDispose]: () => kept.disposeAsync() };
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
    const before = (await askForPlace(old.folder, 'test', keptLog().log)) as Predecessor;
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
  for (const [tunnels, most] of [
    // Less than one that announces them is waited for (2 s), and than one that has announced them and asks (5 s).
    [false, 1900],
    [true, 4900],
  ] as const) {
    await using old = await offer();
    const began = performance.now();
    using next = await say(old.folder, ask, { say: 'serving', drainMs: 7, tunnels });
    const [drainMs, pass] = await old.retired;
    assert.equal(drainMs, 7);
    assert.ok(performance.now() - began < most);
    assert.equal(next.socket.destroyed, false);
    assert.equal(pass !== undefined, tunnels);
    if (pass === undefined) continue;
    // It takes none, and says so of those that there are.
    const why = await pass.take({ listener: 'a', memory: -1, client: -1, up: -1 });
    assert.equal(why, 'nobody has come for them in 2000 ms');
    pass.kept(3, why);
    const { passed, kept, msg } = old.lines.at(-1)!;
    assert.deepEqual([passed, kept], [0, 3]);
    assert.match(String(msg), /does not take these tunnels/);
  }
});

test('that sockets are not taken stands in the log', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const fd = descriptorOf(server)!;
  await using old = await offer(new Map([['127.0.0.1:80', [fd, fd, fd]]]));
  using next = await say(old.folder, ask);
  for (let waited = 0; !old.lines.some(({ to }) => to === process.pid) && waited < 2000; waited += 10) await sleep(10);
  (await say(old.folder, { say: 'sockets' })).socket.destroy();
  const lost = (): (typeof old.lines)[number] | undefined => old.lines.find(({ sockets }) => sockets !== undefined);
  for (let waited = 0; lost() === undefined && waited < 2000; waited += 10) await sleep(10);
  assert.deepEqual([lost()?.['sockets'], lost()?.['msg']], [3, 'the new daemon has not got all sockets']);
  assert.match(String(lost()?.['why']), /EPIPE|hung up/);
  // One that is there and does not read.
  const places = Array.from({ length: 1000 }, (_, i) => [String(i).padEnd(1000, 'x'), [fd]] as const);
  const path = join(old.folder, 'deaf');
  const deaf = createServer().listen(path);
  await once(deaf, 'listening');
  const socket = connect(path);
  await once(socket, 'connect');
  const began = performance.now();
  assert.equal(await sendSockets(socket, new Map(places), 100), 'it does not read in time');
  assert.ok(performance.now() - began < 1000);
  socket.destroy();
  assert.equal(next.socket.destroyed, false);
  for (const one of [deaf, server]) one.close();
});
