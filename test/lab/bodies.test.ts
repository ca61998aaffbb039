// Bodies that come slowly, and messages that break off anywhere, both ways: through the router, nginx and HAProxy. What
// is slow arrives whole. What broke off is nowhere taken for whole: no server gets such a request, no client such an
// answer without seeing it.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { forward, host, route, sleep } from '../fake/l7.ts';
import { rig } from '../fake/l7-rig.ts';
import { foilsMissing, startHaproxy, startNginx } from './smuggling/foils.ts';
import { read } from './smuggling/reader.ts';

type End = 'whole' | 'slow' | 'fin' | 'reset';

interface Case {
  readonly name: string;
  readonly way: 'request' | 'answer';
  /** Bytes of it that are sent; then comes what `end` says. */
  readonly bytes: string;
  readonly end: End;
}

const body = 'hello world';
const chunks = '5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: x\r\n\r\n';
const messages: Readonly<Record<string, readonly [Case['way'], string]>> = {
  'request with a length': ['request', `POST /ID HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n${body}`],
  'request in chunks': ['request', `POST /ID HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`],
  'answer with a length': ['answer', `HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n${body}`],
  'answer in chunks': ['answer', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`],
  'answer until the end': ['answer', `HTTP/1.1 200 OK\r\n\r\n${body}`],
};

function* casesOf(): Generator<Case> {
  for (const [name, [way, bytes]] of Object.entries(messages)) {
    for (const end of ['whole', 'slow'] as const) yield { name, way, bytes, end };
    for (const end of ['fin', 'reset'] as const) {
      // Of an answer that ends with its connection any end is the end, unless it is a reset.
      const until = name === 'answer until the end' && end === 'fin' ? bytes.indexOf('\r\n\r\n') + 4 : bytes.length;
      for (let at = 1; at < until; at += 2) yield { name: `${name}, ${at} bytes`, way, bytes: bytes.slice(0, at), end };
    }
  }
}
const all = [...casesOf()];

async function say(socket: Socket, { bytes, end }: Case): Promise<void> {
  if (end === 'slow') {
    for (const byte of bytes) {
      socket.write(byte, 'latin1');
      await sleep(2);
    }
  } else socket.write(bytes, 'latin1');
  if (end === 'fin') socket.end();
  if (end === 'reset') setTimeout(() => socket.resetAndDestroy(), 20);
}

/** Servers and clients by the case's number, which is its path. */
async function scripted() {
  const whole = new Set<number>();
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let text = '';
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1');
      const id = Number(/^[A-Z]+ \/(\d+) /.exec(text)?.[1] ?? NaN);
      const one = all[id];
      if (one === undefined || read(text)[0]?.whole !== true || whole.has(id)) return;
      whole.add(id);
      if (one.way === 'request') socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok');
      else void say(socket, one).then(() => (one.end === 'whole' || one.end === 'slow' ? socket.end() : undefined));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { whole, port: (server.address() as AddressInfo).port, [Symbol.dispose]: close };
}

/** What a client is to think of what it got: a whole answer with this body, an error, or that it broke off. */
function judged(text: string, reset: boolean): string {
  const [, status = ''] = /^HTTP\/1\.1 (\d{3})/.exec(text) ?? [];
  const at = text.indexOf('\r\n\r\n');
  if (at < 0) return 'broken';
  const [head, rest] = [text.slice(0, at), text.slice(at + 4)];
  const length = /content-length: (\d+)/i.exec(head)?.[1];
  const chunked = /transfer-encoding: chunked/i.test(head);
  const ends =
    length !== undefined ? rest.length >= Number(length) : chunked ? /(^|\r\n)0\r\n(.+\r\n)*\r\n$/.test(rest) : !reset;
  return !ends ? 'broken' : Number(status) >= 400 ? 'error' : 'whole';
}

async function ask(port: number, id: number): Promise<string> {
  const one = all[id]!;
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let text = '';
  let reset = false;
  let over = false;
  socket.on('end', () => (over = true)).on('close', () => (over = true));
  socket.on('data', (piece: Buffer) => (text += piece.toString('latin1')));
  socket.on('error', () => (reset = true));
  if (one.way === 'request') await say(socket, { ...one, bytes: one.bytes.replace('ID', String(id)) });
  else socket.write(`GET /${id} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  // What must come is waited for, whatever else the machine does; nobody has to say that no more comes.
  const complete = one.end === 'whole' || one.end === 'slow';
  for (let i = 0; i < (complete ? 1000 : 75) && !over; i += 1) {
    if (complete && judged(text, true) !== 'broken') break;
    await sleep(20);
  }
  socket.destroy();
  return judged(text, reset);
}

/** What is wrong: a slow one that did not arrive, a broken one that somebody takes for whole. */
async function faults(port: number, whole: ReadonlySet<number>): Promise<string[]> {
  const wrong: string[] = [];
  const ids = all.map((_, id) => id);
  await Promise.all(
    Array.from({ length: 24 }, async () => {
      for (let id = ids.shift(); id !== undefined; id = ids.shift()) {
        const { name, way, end } = all[id]!;
        const got = await ask(port, id);
        const complete = end === 'whole' || end === 'slow';
        if (complete ? got !== 'whole' : got === 'whole') wrong.push(`${name}, ${end}: the client sees ${got}`);
        if (way === 'request' && whole.has(id) !== complete)
          wrong.push(`${name}, ${end}: the server got it: ${whole.has(id)}`);
      }
    }),
  );
  return wrong.toSorted();
}

test(`${all.length} bodies, slow and broken off: the router, nginx and HAProxy`, { skip: foilsMissing }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'midplane-bodies-'));
  try {
    using stack = new DisposableStack();
    const open = async () => stack.use(await scripted());
    const servers = [await open(), await open(), await open()] as const;
    await using nginx = await startNginx(folder, servers[1].port);
    await using haproxy = await startHaproxy(folder, servers[2].port);
    using r = await rig();
    r.serve([host(['*'], route('all', forward('a')))]);
    r.endpoints('a', [servers[0].port]);
    assert.deepEqual(await faults(r.port, servers[0].whole), []);
    for (const [name, { port }, { whole }] of [
      ['nginx', nginx, servers[1]],
      ['HAProxy', haproxy, servers[2]],
    ] as const) {
      // HAProxy takes the reset of a server for the end of an answer that ends with its connection.
      const named = name === 'HAProxy' ? /^answer until the end, \d+ bytes, reset: the client sees whole$/ : /^$/;
      let unnamed: readonly string[] = ['not asked'];
      // What others do once, on a machine that stands still at that moment, says nothing of them.
      for (let tries = 3; tries > 0 && unnamed.length > 0; tries -= 1) {
        whole.clear();
        const wrong = await faults(port, whole);
        t.diagnostic(`${name}: ${wrong.length} otherwise`);
        unnamed = wrong.filter((text) => !named.test(text));
      }
      assert.deepEqual(unnamed, [], name);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
