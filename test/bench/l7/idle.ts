// What a connection costs that says nothing: resident memory of the router with ten thousand of them, over what it has
// with none.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { alone, type Bench, type Group, type Row } from '../row.ts';
import { certificate, startOurs } from './foils.ts';
import { proxyCore } from './speed.ts';
import { hostName, hundred } from './work.ts';
import { pki } from '../../fake/pki.ts';
import { freePort } from '../../fake/port.ts';

const connections = 10_000;
/** A tunnel takes two descriptors of the router, and the limit may be 20,000: the rest is reckoned. */
const held = { plain: connections, websocket: 9_600, tls: connections };
const kinds = ['plain', 'websocket', 'tls'] as const;
const rounds = 3;
const megabyte = 1024 * 1024;

/** A server that answers a request, or takes the upgrade and is silent. */
async function openServer(): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (piece: Buffer) => {
      const switched = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello';
      const plain = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';
      socket.write(piece.includes('pgrade: websocket') ? switched : plain);
    });
  });
  server.listen(0, '127.0.0.1', 4096);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function grown(bench: Bench, kind: (typeof kinds)[number]): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), `${bench.prefix}-idle-`));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const server = stack.use(await openServer());
  const port = await freePort();
  const authority = stack.use(pki());
  const spoken = kind === 'tls' ? { tls: certificate(authority, 'idle', `DNS:${hostName(0)}`) } : {};
  const input = { folder, port, upstreamPort: server.port, core: proxyCore, work: hundred, ...spoken };
  const router = stack.use(await startOurs(input));
  const hold = async (count: number, ...more: readonly string[]): Promise<() => Promise<void>> => {
    const args = [join(import.meta.dirname, 'holder.ts'), port, count, kind, ...more].map(String);
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const [first] = (await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])) as [unknown];
    if (!(first instanceof Buffer)) throw new Error('the connections could not all be opened');
    return async () => {
      if (child.exitCode !== null) throw new Error('a connection was closed before its time');
      const gone = once(child, 'exit');
      child.stdin.end();
      await gone;
    };
  };
  // The first thousands warm up: code is compiled, the heap has its size. They are few at a time, since what they have
  // taken is not all given back.
  await (
    await hold(4000, 'brief')
  )();
  await sleep(3000);
  const before = router.rssBytes();
  const release = await hold(held[kind]);
  await sleep(3000);
  const after = router.rssBytes();
  await release();
  return (((after - before) / megabyte) * connections) / held[kind];
}

async function idle(bench: Bench): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const kind of kinds) {
    const samples: number[] = [];
    for (let round = 0; round < (bench.rounds ?? rounds); round += 1) {
      bench.signal.throwIfAborted();
      samples.push(await grown(bench, kind));
      bench.say(`${kind}, round ${round + 1}: ${samples.at(-1)?.toFixed(1)} MiB`);
    }
    rows.push(alone(`memory of ${connections} idle connections, ${kind}`, 'MiB', samples));
  }
  return rows;
}

export const idleConnections: Group = {
  name: 'idle',
  what: 'memory of connections through the router that say nothing',
  run: idle,
};
