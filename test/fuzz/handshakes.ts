// Handshakes and records that are cut, reset, paused or changed at any of their bytes, in front of the engine and
// behind it, and contexts that come and go meanwhile.
import { randomBytes } from 'node:crypto';
import net, { connect as dial } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import tls from 'node:tls';
import { createRandom } from '../../src/l7/upstream/pick.ts';
import { TICKET_KEY } from '../../src/l7/transport.ts';
import { serverSpec, tlsFront } from '../fake/l7-tls.ts';
import { sleep } from '../fake/l7.ts';
import type { Issued, Pki } from '../fake/pki.ts';

const harms = ['none', 'end', 'reset', 'pause', 'flip', 'drop', 'double', 'pour'] as const;

/** Carries a connection to a port, with something wrong at one byte of one direction. */
function harmful(to: number, random: () => number): net.Server {
  return net.createServer((near) => {
    const far = dial({ port: to, host: '127.0.0.1', noDelay: true });
    for (const socket of [near, far]) socket.on('error', () => {});
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
    const how = harms[random() % harms.length]!;
    const up = random() % 2 === 0;
    carry(near, far, up ? how : 'none', random() % 2500);
    carry(far, near, up ? 'none' : how, random() % 3500);
  });
}

function carry(from: Socket, to: Socket, how: (typeof harms)[number], at: number): void {
  let seen = 0;
  from.on('end', () => to.end());
  from.on('data', (piece: Buffer) => {
    const here = at - seen;
    seen += piece.length;
    if (how === 'none' || here < 0 || here >= piece.length) return void to.write(piece);
    const [before, after] = [piece.subarray(0, here), piece.subarray(here)];
    if (how === 'end') to.end(before);
    else if (how === 'reset') to.write(before, () => to.writableEnded || to.resetAndDestroy());
    else if (how === 'pause') {
      to.write(before);
      setTimeout(() => to.write(after), 2);
    } else if (how === 'flip') {
      piece[here] = (piece[here] ?? 0) ^ (1 << (at % 8));
      to.write(piece);
    } else if (how === 'drop') to.write(Buffer.concat([before, after.subarray(1)]));
    else if (how === 'double') to.write(Buffer.concat([before, after.subarray(0, 1), after]));
    else to.write(Buffer.concat([before, randomBytes(200_000), after]));
  });
}

async function client(port: number, random: () => number, o: tls.ConnectionOptions): Promise<void> {
  const version = random() % 2 === 0 ? 'TLSv1.2' : 'TLSv1.3';
  const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion: version, ...o });
  socket.on('error', () => {});
  if (random() % 4 !== 0) socket.resume();
  const body = 'x'.repeat(random() % 3 === 0 ? 90_000 : 10);
  const path = ['/', '/big', '/up'][random() % 3]!;
  socket.write(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  await sleep(5 + (random() % 30));
  // Some are left to the engine's deadlines, and to its end.
  if (random() % 6 !== 0) socket.destroy();
  else setTimeout(() => socket.destroy(), 150);
}

async function listening(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

export interface Certificates {
  readonly ca: string;
  readonly server: Issued;
  readonly rsa: Issued;
}

/** Certificates for all runs: to make them takes longer than a short run. */
export function issueAll(ours: Pki): Certificates {
  const server = ours.issue('server', 'DNS:a.test,URI:spiffe://td/s');
  return { ca: ours.ca, server, rsa: ours.issue('rsa', 'DNS:a.test', { rsa: true }) };
}

/** Runs for so long, a new engine each second or so, shut with handshakes under way. Gives how many there were. */
export async function handshakes(untilMs: number, seed: number, { ca, server, rsa }: Certificates): Promise<number> {
  const random = createRandom(seed);
  const up = tls.createServer({ cert: server.chain, key: server.key }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', () => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
  });
  up.on('tlsClientError', () => {});
  const behind = harmful(await listening(up), random);
  const behindPort = await listening(behind);
  let count = 0;
  while (performance.now() < untilMs) {
    const times = { headMs: 80, idleMs: 80, stallMs: 80, bodyMs: 80, upstreamIdleMs: 40, lingerMs: 20 };
    const front = await tlsFront(times);
    const spec = { ...serverSpec, certificates: [server, rsa], ca, verify: 'given' as const };
    const open = () => front.engine.tlsContext({ ...spec, policy: String(random() % 2) });
    const context = front.engine.tlsContext({ ...spec, side: 'client', verify: 'always' });
    front.endpoint = front.engine.endpoint('127.0.0.1', behindPort, 60, {
      context,
      serverName: 'a.test',
      names: ['spiffe://td/s'],
    });
    front.contexts.set('', open());
    const before = harmful(front.port, random);
    const port = await listening(before);
    const clients: Promise<void>[] = [];
    for (let i = 0; i < 60 && performance.now() < untilMs; i += 1) {
      const known = random() % 3 === 0 ? { cert: server.chain, key: server.key } : {};
      clients.push(client(port, random, known));
      count += 1;
      if (i % 7 === 0) front.engine.ticketKeys(randomBytes(TICKET_KEY), randomBytes(TICKET_KEY));
      if (i % 9 === 0) {
        front.engine.dropTlsContext(front.contexts.get('')!);
        front.contexts.set('', open());
      }
      if (i === 40) front.engine.dropTlsContext(context);
      if (i % 5 === 0) await sleep(2);
    }
    if (random() % 2 === 0) await Promise.all(clients);
    front[Symbol.dispose]();
    await Promise.all(clients);
    before.close();
    await sleep(160);
  }
  behind.close();
  up.close();
  return count;
}
