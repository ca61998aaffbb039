// Requests and answers while memory runs out: what arrives is what was sent, or the connection ends; nothing is lost
// without a word.
import { connect as dial } from 'node:net';
import { createRandom } from '../../src/l7/upstream/pick.ts';
import { rig } from '../fake/l7-rig.ts';
import { forward, host, route, sleep, upstream } from '../fake/l7.ts';
import { emptied } from './cuts.ts';

/** A server that sends each body back once it is whole. */
function echo() {
  const kept = new WeakMap<object, Buffer>();
  return upstream((socket, piece) => {
    let all = Buffer.concat([kept.get(socket) ?? Buffer.alloc(0), piece]);
    for (;;) {
      const end = all.indexOf('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(all.toString('latin1', 0, Math.max(end, 0)))?.[1] ?? NaN);
      if (end < 0 || all.length < end + 4 + length) break;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`);
      socket.write(all.subarray(end + 4, end + 4 + length));
      all = all.subarray(end + 4 + length);
    }
    kept.set(socket, all);
  });
}

/** Several requests in one go, in pieces. Gives how many answers came; throws where one is not its request's. */
async function ask(port: number, random: () => number): Promise<number> {
  const bodies = Array.from({ length: 1 + (random() % 3) }, () =>
    Buffer.alloc(random() % 60_000, 97 + (random() % 26)),
  );
  const sent = Buffer.concat(
    bodies.flatMap((body) => [
      Buffer.from(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`),
      body,
    ]),
  );
  const socket = dial({ port, host: '127.0.0.1' });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const pieces: Buffer[] = [];
  let size = 0;
  let enough = (): void => {};
  const whole = new Promise<void>((resolve) => (enough = resolve));
  const least = bodies.reduce((sum, body) => sum + body.length + 40, 0);
  socket.on('error', () => {});
  socket.on('data', (piece: Buffer) => {
    pieces.push(piece);
    size += piece.length;
    if (size >= least) setTimeout(enough, 20);
  });
  for (let at = 0; at < sent.length; at += 20_000) {
    socket.write(sent.subarray(at, at + 20_000));
    if (random() % 3 === 0) await sleep(1);
  }
  await Promise.race([closed, whole, sleep(2_000)]);
  const over = socket.destroyed || size >= least;
  socket.destroy();
  let all = Buffer.concat(pieces);
  for (const [i, body] of bodies.entries()) {
    const end = all.indexOf('\r\n\r\n');
    const head = all.toString('latin1', 0, Math.max(end, 0));
    if (end < 0 || !head.startsWith('HTTP/1.1 200')) return end < 0 && !over ? fail('an answer never came') : i;
    const got = all.subarray(end + 4, end + 4 + body.length);
    if (!got.equals(body.subarray(0, got.length))) fail('an answer has other bytes than its request');
    if (got.length < body.length) return over ? i : fail('an answer stopped, and its connection did not end');
    all = all.subarray(end + 4 + body.length);
  }
  return bodies.length;
}

function fail(what: string): never {
  throw new Error(`memory ran out: ${what}`);
}

/** Runs for so long. Gives answers that came, and connections that ended for want of memory. */
export async function starve(untilMs: number, seed: number): Promise<{ answers: number; starved: number }> {
  const random = createRandom(seed);
  await using up = await echo();
  using r = await rig();
  r.serve([host(['*'], route('all', forward('a')))]);
  r.endpoints('a', [up.port]);
  let answers = 0;
  process.env['MIDPLANE_STARVE'] = '5';
  try {
    const late = (): boolean => performance.now() > untilMs + (r.engine.stats().starved === 0 ? 10_000 : 0);
    while (!late()) {
      const got = await Promise.all(Array.from({ length: 8 }, () => ask(r.port, random)));
      answers += got.reduce((sum, n) => sum + n, 0);
    }
  } finally {
    delete process.env['MIDPLANE_STARVE'];
  }
  const { starved } = r.engine.stats();
  const said = r.log.filter(({ flags }) => flags === 'no-memory').length;
  if (starved > 0 && said === 0) fail('connections ended, and no line of the log says why');
  await emptied(r);
  return { answers, starved };
}
