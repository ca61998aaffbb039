// Requests and answers that are cut, reset, paused or changed at every one of their bytes, through the whole router.
import { connect as dial } from 'node:net';
import type { Socket } from 'node:net';
import { rig } from '../fake/l7-rig.ts';
import type { Rig } from '../fake/l7-rig.ts';
import { forward, host, route, sleep, upstream } from '../fake/l7.ts';

const requests: readonly string[] = [
  'GET /a HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n',
  'POST /b?c=d HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world',
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nT: x\r\n\r\n',
  'GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc' +
    'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nsome bytes',
  'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody',
];
const answers: readonly string[] = [
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nX: y\r\n\r\n',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nuntil the end',
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nbytes',
  'HTTP/1.1 204 No Content\r\n\r\n',
];

const harms = ['end', 'reset', 'pause', 'flip', 'drop', 'double', 'pour'] as const;

/** Writes `text` with something wrong at byte `at`. */
async function harm(socket: Socket, text: string, at: number, how: (typeof harms)[number]): Promise<void> {
  const bytes = Buffer.from(text, 'latin1');
  const before = bytes.subarray(0, at);
  const after = bytes.subarray(at);
  if (how === 'end') socket.end(before);
  else if (how === 'reset') socket.write(before, () => socket.writableEnded || socket.resetAndDestroy());
  else if (how === 'pause') {
    socket.write(before);
    await sleep(2);
    socket.write(after);
  } else if (how === 'flip') {
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
    socket.write(bytes);
  } else if (how === 'drop') socket.write(Buffer.concat([before, after.subarray(1)]));
  else if (how === 'double') socket.write(Buffer.concat([before, after.subarray(0, 1), after]));
  else socket.write(Buffer.concat([before, Buffer.alloc(300_000, '5\r\nhello\r\n'), after]));
}

interface Case {
  readonly request: string;
  readonly answer: string;
  readonly side: 'client' | 'upstream';
  readonly how: (typeof harms)[number];
  readonly at: number;
}

function* cases(): Generator<Case> {
  for (const how of harms) {
    for (const [i, request] of requests.entries()) {
      const answer = answers[i % answers.length]!;
      for (let at = 0; at <= request.length; at += 1) yield { request, answer, side: 'client', how, at };
    }
    for (const [i, answer] of answers.entries()) {
      const request = requests[i % requests.length]!;
      for (let at = 0; at <= answer.length; at += 1) yield { request, answer, side: 'upstream', how, at };
    }
  }
}

async function client(port: number, one: Case): Promise<void> {
  const socket = dial({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: one.at % 2 === 0 });
  socket.on('error', () => {});
  // Some read nothing for a while.
  if (one.at % 3 === 0) setTimeout(() => socket.resume(), 5);
  else socket.resume();
  await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
  if (one.side === 'client') await harm(socket, one.request, one.at, one.how);
  else socket.write(one.request);
  await Promise.race([new Promise((resolve) => socket.once('close', resolve)), sleep(6 + (one.at % 7) * 3)]);
  // libuv refuses a reset while a FIN is under way, and node then never closes the descriptor.
  if (one.at % 5 === 0 && !socket.writableEnded) socket.resetAndDestroy();
  else socket.destroy();
}

/** Waits until the engine carries nothing. */
export async function emptied({ engine }: Rig): Promise<void> {
  for (let i = 0; i < 300; i += 1) {
    const { connections, upstreams } = engine.stats();
    if (connections + upstreams === 0) return;
    await sleep(20);
  }
  throw new Error(`left behind: ${JSON.stringify(engine.stats())}`);
}

/** Runs cases for so long, from the `share`-th part of them on. Gives how many. */
export async function cuts(untilMs: number): Promise<number> {
  let current: Case | undefined;
  await using up = await upstream((socket) => {
    if (current === undefined) return;
    const { answer, side, at, how } = current;
    if (side === 'upstream') void harm(socket, answer, at, how);
    else socket.write(answer);
  });
  const times = { headMs: 200, idleMs: 200, stallMs: 200, bodyMs: 200, upstreamIdleMs: 50, lingerMs: 50 };
  using r = await rig({ times, maxConnections: 512 });
  r.serve([host(['*'], route('all', forward('a')))]);
  r.endpoints('a', [up.port]);
  let count = 0;
  while (performance.now() < untilMs) {
    for (const one of cases()) {
      // Neighbours run beside each other; the answer of the upstream is the one of the last.
      current = one;
      const run = client(r.port, one);
      count += 1;
      if (count % 24 === 0) await run;
      if (performance.now() > untilMs) break;
    }
  }
  await emptied(r);
  if (r.faults.length > 0) throw new Error(`faults: ${String(r.faults[0])}`);
  return count;
}
