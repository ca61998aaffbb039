// A router that stops while it has clients of every kind: none is cut before its time.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../../test/fake/eventually.ts';
import {
  connect,
  endpoint,
  forward,
  host,
  route,
  sleep,
  snapshot,
  upstream,
  patienceMs,
} from '../../../test/fake/l7.ts';
import { freePort } from '../../../test/fake/port.ts';
import { startRouter } from '../router.ts';

const upgrade = 'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
const ask = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const drainMs = 2500;

test('answers say close, streams end behind two GOAWAYs, tunnels stay until the end', async () => {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'mpt-drain-'));
  stack.defer(() => rmSync(folder, { recursive: true }));
  const up = stack.use(
    await upstream((socket, piece, all) => {
      const text = piece.toString('latin1');
      if (/upgrade: websocket/i.test(text))
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
      else if (all.includes('/ws')) socket.write(piece);
      else
        setTimeout(
          () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'),
          text.includes('/slow') ? 700 : 0,
        );
    }),
  );
  const port = await freePort();
  const accessLog = join(folder, 'access.log');
  const router = stack.use(startRouter({ workers: 1, ackMs: patienceMs, accessLog }));
  assert.ok(await router.started());
  router.endpoints({ cluster: 'a', version: '1', list: [endpoint(up.port)] });
  assert.ok((await router.offer(snapshot(port, [host(['*'], route('r', forward('a')))], [{ key: 'a' }]))).ok);

  const [kept, idle, tunnel, early] = [
    await connect(port),
    await connect(port),
    await connect(port),
    await connect(port),
  ];
  kept.send(ask);
  idle.send(ask);
  tunnel.send(upgrade);
  await Promise.all([kept.until(/ok$/), idle.until(/ok$/), tunnel.until(/\r\n\r\n$/)]);
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const lasts: number[] = [];
  session.on('goaway', (_, last: number) => void lasts.push(last));
  const stream = session.request({ ':path': '/slow', ':authority': 'a' });
  stream.resume();
  await eventually(() => assert.ok(up.seen.some((text) => text.includes('/slow'))));

  router.drainTimeout(drainMs);
  const began = performance.now();
  const stopped = router.stop();
  // A worker hears of it in its own time.
  await eventually(() => assert.equal(lasts[0], 0x7fffffff));
  kept.clear();
  kept.send(ask);
  assert.match(await kept.until(/ok$/), /connection: close/i);
  await kept.closed();
  const [head] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  assert.equal(head[':status'], 200);
  await once(session, 'close');
  assert.deepEqual(lasts, [0x7fffffff, 1]);
  // Accepted before, and HTTP/2 only now.
  const late = http2.connect('http://a', { createConnection: () => early.socket.removeAllListeners() });
  late.on('error', () => undefined).on('goaway', (_, last: number) => void lasts.push(last));
  await once(late, 'close');
  assert.equal(lasts[2], 0x7fffffff);
  assert.equal(idle.socket.readyState, 'open');
  await sleep(drainMs - 700 - (performance.now() - began));
  tunnel.clear();
  tunnel.send('still here');
  await tunnel.until(/still here/);
  await Promise.all([idle.closed(), tunnel.closed()]);
  const took = performance.now() - began;
  await stopped;
  assert.ok(took > drainMs - 50 && took < drainMs + 5000, `${took}`);
  const lines = readFileSync(accessLog, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const seen = lines.map(({ path, status, flags }) => `${String(path)} ${String(status)} ${String(flags)}`);
  assert.deepEqual(seen.toSorted(), ['/ 200 ', '/ 200 ', '/ 200 ', '/slow 200 ', '/ws 101 upgraded']);
});
