// Steered connections in a network namespace of the test's own: an address that is nobody's, a mark that says which
// port a connection came in by.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import net from 'node:net';
import { test } from 'node:test';
import { rig } from '../../test/fake/l7-rig.ts';
import { host, route, snapshot } from '../../test/fake/l7.ts';
import { addon } from '../kernel/addon.ts';
import { setSocketMark } from '../kernel/socket.ts';

const SERVICE = '10.20.0.80';
const STEERED = 1 << 17;
const PORT_ID = 5;

/** Inside the namespace: serves the service's address and asks it from a marked socket. */
async function inside(): Promise<void> {
  using r = await rig();
  const s = snapshot(80, [host(['*'], route('r', { kind: 'reply', status: 200, body: 'steered' }))]);
  const listener = { ...s.listeners[0]!, name: `steer:${SERVICE}:80`, address: SERVICE };
  assert.throws(() => r.apply({ ...s, listeners: [listener] }), /EADDRNOTAVAIL/);
  r.apply({ ...s, listeners: [{ ...listener, steered: true }] });
  const fd = addon().socketOpen(2, 1, 0);
  setSocketMark(fd, STEERED | PORT_ID);
  addon().socketBind(fd, Uint8Array.of(127, 0, 0, 1), 0);
  addon().socketConnect(fd, Uint8Array.from(SERVICE.split('.').map(Number)), 80);
  const socket = new net.Socket({ fd });
  socket.write('GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n');
  let text = '';
  for await (const piece of socket) text += String(piece);
  assert.match(text, /steered$/);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(r.log[0]?.port, PORT_ID);
  assert.equal(r.log[0]?.listener, `steer:${SERVICE}:80`);
}

const CHILD = 'MPT_L7_INSIDE';

if (process.env[CHILD] !== undefined) await inside();
else {
  const root = process.getuid?.() === 0;
  test(
    'a steered connection is served, and its port known',
    { skip: root ? false : 'needs root for a namespace' },
    () => {
      const name = `mpt-l7-${process.pid}`;
      const run = (...words: string[]) => execFileSync(words[0]!, words.slice(1), { encoding: 'utf8', stdio: 'pipe' });
      const enter = ['nsenter', `--net=/run/netns/${name}`];
      const ns = (...words: string[]) => run(...enter, ...words);
      run('ip', 'netns', 'add', name);
      try {
        ns('ip', 'link', 'set', 'lo', 'up');
        ns('sysctl', '-qw', 'net.ipv4.tcp_fwmark_accept=1');
        ns('ip', 'rule', 'add', 'fwmark', `${STEERED}/${STEERED}`, 'lookup', '100');
        ns('ip', 'route', 'add', 'local', 'default', 'dev', 'lo', 'table', '100');
        ns('env', '-u', 'NODE_TEST_CONTEXT', `${CHILD}=1`, process.execPath, import.meta.filename);
      } finally {
        run('ip', 'netns', 'del', name);
      }
    },
  );
}
