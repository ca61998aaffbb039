// Ports whose protocol nobody declared.
import assert from 'node:assert/strict';
import { connect, host, route, sleep, snapshot, stream, upstream } from '../../../test/fake/l7.ts';
import { test } from '../../../test/fake/l7-engines.ts';
import { rig } from '../../../test/fake/l7-rig.ts';
import { systemClock } from '../../lib/clock.ts';
import type { Snapshot } from '../../mesh/snapshot.ts';

const get = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

/** HTTP goes to a fixed answer; all else to "a", or nowhere. */
function undeclared(port: number, tcp: boolean): Snapshot {
  const s = snapshot(
    port,
    [host(['*'], route('http', { kind: 'reply', status: 403, body: 'policy' }))],
    [{ key: 'a' }],
  );
  return {
    ...s,
    listeners: s.listeners.map((l) => ({ ...l, protocol: 'auto' as const })),
    routes: s.routes.map((table) => ({ ...table, streams: tcp ? [stream('tcp', 'a')] : [] })),
  };
}

test('a head after 99 ms is HTTP; after 101 and 5,000 ms it is TCP, and refused where nothing lets TCP in', async () => {
  await using up = await upstream((socket) => void socket.end('tcp'));
  for (const tcp of [true, false]) {
    for (const [ms, wanted] of [
      [0, 'policy'],
      [99, 'policy'],
      [101, tcp ? 'tcp' : ''],
      [5000, tcp ? 'tcp' : ''],
    ] as const) {
      let late = 0;
      using r = await rig({ clock: { ...systemClock, now: () => 1_000_000 + late } });
      r.apply(undeclared(r.port, tcp));
      r.endpoints('a', [up.port]);
      const c = await connect(r.port);
      await sleep(15);
      late = ms;
      c.send(get);
      assert.ok((await c.closed()).endsWith(wanted), `${ms} ms: ${c.text()}`);
      if (wanted === '') assert.equal(c.text(), '');
      assert.deepEqual(r.faults, []);
    }
  }
  assert.equal(up.seen.filter((text) => text.startsWith('GET')).length, 2);
});

test('who says nothing is TCP soon: a server that speaks first is heard', async () => {
  await using up = await upstream(() => {});
  up.server.on('connection', (socket) => socket.write('220 hello\r\n'));
  using r = await rig();
  r.apply(undeclared(r.port, true));
  r.endpoints('a', [up.port]);
  const c = await connect(r.port);
  const since = Date.now();
  await c.until(/220 hello/);
  assert.ok(Date.now() - since < 400, `${Date.now() - since} ms`);
  c.socket.destroy();
  const other = await connect(r.port);
  other.send('\x16\x03\x01 not HTTP');
  await other.until(/220 hello/);
  other.socket.destroy();
});
