// WebSockets as a server that nobody here wrote sees them: direct and through the router it says the same, over
// HTTP/1.1, over HTTP/2, and with HTTP/2 between two routers.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { forward, host, route } from '../../../test/fake/l7.ts';
import { rig } from '../../../test/fake/l7-rig.ts';
import { farewell, socketCases } from './cases/websocket.ts';
import type { SocketCase } from './cases/websocket.ts';

const at = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const python = at('native/build/websockets/bin/python');
const skip = !existsSync(python) && 'websockets is missing: run native/setup.sh';

type Open = () => Promise<Duplex>;

/** A WebSocket over HTTP/1.1, its handshake done. */
function overHttp1(port: number): Open {
  return async () => {
    const socket = net.connect(port, '127.0.0.1');
    socket.write(
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    let head = Buffer.alloc(0);
    while (!head.includes('\r\n\r\n')) {
      await once(socket, 'readable');
      head = Buffer.concat([head, (socket.read() as Buffer | null) ?? Buffer.alloc(0)]);
    }
    assert.match(head.toString('latin1'), /^HTTP\/1\.1 101 [^]*s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/);
    socket.unshift(head.subarray(head.indexOf('\r\n\r\n') + 4));
    return socket;
  };
}

/** The same over HTTP/2. */
function overHttp2(session: http2.ClientHttp2Session): Open {
  return async () => {
    const fields = { ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/', 'sec-websocket-version': '13' };
    const stream = session.request(fields, { endStream: false });
    const [answer] = (await once(stream, 'response')) as [{ ':status': number }];
    assert.equal(answer[':status'], 200);
    return stream;
  };
}

/** Whole frames of a server. */
function framesOf(all: Buffer): string[] {
  const list: string[] = [];
  for (let p = 0; p + 2 <= all.length;) {
    const short = all[p + 1]!;
    const from = p + (short === 127 ? 10 : short === 126 ? 4 : 2);
    if (from > all.length) break;
    const size = short === 127 ? Number(all.readBigUInt64BE(p + 2)) : short === 126 ? all.readUInt16BE(p + 2) : short;
    if (from + size > all.length) break;
    list.push(all.toString('latin1', p, from + size));
    p = from + size;
  }
  return list;
}

/** What a server says to a case; pongs and messages may be in either order. */
function said(open: Open, { pieces, after = 0, back }: SocketCase): Promise<readonly string[]> {
  return open().then(
    (channel) =>
      new Promise((resolve) => {
        const got: Buffer[] = [];
        const rest = [...pieces.slice(after > 0 ? -1 : pieces.length), ...(back === 'end' ? [] : [farewell])];
        const look = (): void => {
          if (rest.length === 0 || framesOf(Buffer.concat(got)).length < (back === 'end' ? after : back)) return;
          for (const piece of rest.splice(0)) channel.write(piece);
        };
        channel.on('data', (piece: Buffer) => {
          got.push(piece);
          look();
        });
        channel.on('error', () => {});
        channel.on('end', () => channel.end());
        channel.on('close', () => resolve(framesOf(Buffer.concat(got)).toSorted()));
        for (const piece of pieces.slice(0, after > 0 ? -1 : pieces.length)) channel.write(piece);
        look();
      }),
  );
}

async function all(open: Open): Promise<ReadonlyMap<string, readonly string[]>> {
  const results = new Map<string, readonly string[]>();
  const left = [...socketCases];
  const worker = async (): Promise<void> => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) results.set(one.name, await said(open, one));
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return results;
}

test(`${socketCases.length} conversations of WebSockets: direct, and through the router`, { skip }, async () => {
  const server = spawn(python, [at('test/fake/echo.py')], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [line] = (await once(server.stdout, 'data')) as [Buffer];
  const port = Number(line.toString());
  using last = await rig();
  last.serve([host(['*'], route('all', forward('up')))], [{ key: 'up' }]);
  last.endpoints('up', [port]);
  using first = await rig();
  first.serve([host(['*'], route('all', forward('up')))], [{ key: 'up', protocol: 'HTTP/2' }]);
  first.endpoints('up', [last.port]);
  const sessions = [first, last].map((r) => http2.connect(`http://127.0.0.1:${r.port}`));
  try {
    await Promise.all(sessions.map((session) => once(session, 'remoteSettings')));
    const direct = await all(overHttp1(port));
    for (const [name, frames] of direct) assert.ok(frames.length > 0, `${name}: the server says something`);
    const ways: readonly (readonly [string, Open])[] = [
      ['HTTP/1.1 to HTTP/1.1', overHttp1(last.port)],
      ['HTTP/2 to HTTP/1.1', overHttp2(sessions[1]!)],
      ['HTTP/1.1 to HTTP/2', overHttp1(first.port)],
      ['HTTP/2 to HTTP/2', overHttp2(sessions[0]!)],
    ];
    for (const [way, open] of ways) {
      const through = await all(open);
      for (const [name, frames] of direct) assert.deepEqual(through.get(name), frames, `${way}: ${name}`);
    }
    assert.deepEqual([...first.faults, ...last.faults], []);
  } finally {
    for (const session of sessions) session.destroy();
    server.kill();
  }
});
