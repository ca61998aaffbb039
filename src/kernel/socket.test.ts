import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { netns } from './netns.ts';
import { descriptorOf, peerCredentials, setSocketMark, socketMark, tcpListen } from './socket.ts';

const space = `mpt-socket-${process.pid}`;
before(() => netns.add(space));
after(() => netns.remove(space));

async function accepted(server: Server, connectTo: (port: number) => void): Promise<Socket> {
  const connection = once(server, 'connection');
  connectTo((server.address() as { port: number }).port);
  return (await connection)[0] as Socket;
}

test('a server listens in another namespace, on addresses that are not ours', async () => {
  const fd = tcpListen({ address: '127.0.0.1', port: 0, netns: space, transparent: true, reusePort: true });
  const server = createServer().listen({ fd });
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  // Not here, there.
  const [refused] = (await once(connect(port, '127.0.0.1'), 'error')) as [NodeJS.ErrnoException];
  assert.equal(refused.code, 'ECONNREFUSED');
  const script = `require('net').connect(${port}, '127.0.0.1').end('hello')`;
  const socket = await accepted(server, () => {
    spawn('nsenter', [`--net=/run/netns/${space}`, process.execPath, '-e', script], { stdio: 'ignore' });
  });
  const [data] = (await once(socket, 'data')) as [Buffer];
  assert.equal(data.toString(), 'hello');
  socket.destroy();
  server.close();
  const elsewhere = tcpListen({ address: '192.0.2.1', port: 80, netns: space, transparent: true });
  closeSync(elsewhere);
  const six = tcpListen({ address: '2001:db8::1', port: 80, netns: space, transparent: true, ipv6Only: true });
  closeSync(six);
});

test('what can not be listened on, and nothing stays open', () => {
  const before = readdirSync('/proc/self/fd').length;
  assert.throws(() => tcpListen({ address: '192.0.2.1', port: 0, netns: space }), { code: 'EADDRNOTAVAIL' });
  assert.throws(() => tcpListen({ address: 'localhost', port: 0 }), { code: 'EINVAL' });
  assert.throws(() => tcpListen({ address: '::', port: 0, netns: `${space}-not` }), { code: 'ENOENT' });
  assert.throws(() => tcpListen({ address: '127.0.0.1', port: 65536 }), RangeError);
  assert.throws(() => tcpListen({ address: '127.0.0.1', port: 0, backlog: 1.5 }), RangeError);
  assert.equal(readdirSync('/proc/self/fd').length, before);
});

test('marks, and who is at the other end of a unix socket', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mpt-socket-'));
  const server = createServer().listen(join(folder, 's'));
  await once(server, 'listening');
  const connection = once(server, 'connection');
  const client = connect(join(folder, 's'));
  const [socket] = (await connection) as [Socket];
  const fd = descriptorOf(socket);
  assert.ok(fd !== undefined);
  assert.deepEqual(peerCredentials(fd), { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
  setSocketMark(fd, 0xdead_beef);
  assert.equal(socketMark(fd), 0xdead_beef);
  client.destroy();
  socket.destroy();
  assert.equal(descriptorOf(socket), undefined);
  assert.throws(() => socketMark(-1), RangeError);
  assert.throws(() => setSocketMark(fd, 2 ** 32), RangeError);
  server.close();
  rmSync(folder, { recursive: true });
});

test('a socket of a namespace that lost its name goes on', () => {
  const name = `${space}-b`;
  netns.add(name);
  const fd = tcpListen({ address: '127.0.0.1', port: 0, netns: name });
  netns.remove(name);
  assert.equal(socketMark(fd), 0);
  closeSync(fd);
  assert.ok(!execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }).includes(name));
});
