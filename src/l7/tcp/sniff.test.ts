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

/** What a client hears whose head is so late by the router's clock, and how long that took in truth. */
async function headAfter(ms: number, tcp: boolean, to: number): Promise<{ heard: string; tookMs: number }> {
  let late = 0;
  let looks = 0;
  const now = (): number => ((looks += 1), 1_000_000 + late);
  using r = await rig({ clock: { ...systemClock, now } });
  r.apply(undeclared(r.port, tcp));
  r.endpoints('a', [to]);
  const begun = performance.now();
  looks = 0;
  const c = await connect(r.port);
  // It is late from then on that it was first looked at.
  while (looks === 0) await sleep(1);
  late = ms;
  c.send(get);
  const heard = await c.closed();
  assert.deepEqual(r.faults, []);
  return { heard, tookMs: performance.now() - begun };
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
      let got = { heard: '', tookMs: Infinity };
      // Where the machine stands still for as long, the head is late in truth.
      while (got.tookMs > (ms < 100 ? 80 : 20_000)) {
        up.seen.length = 0;
        got = await headAfter(ms, tcp, up.port);
      }
      assert.ok(got.heard.endsWith(wanted), `${ms} ms: ${got.heard}`);
      if (wanted === '') assert.equal(got.heard, '');
      assert.equal(up.seen.filter((text) => text.startsWith('GET')).length, wanted === 'tcp' ? 1 : 0);
    }
  }
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
  // Much less than who is asked for a head has.
  assert.ok(Date.now() - since < 4000, `${Date.now() - since} ms`);
  c.socket.destroy();
  const other = await connect(r.port);
  other.send('\x16\x03\x01 not HTTP');
  await other.until(/220 hello/);
  other.socket.destroy();
});
