// A client of TLS 1.3 that does what lines of JSON say, each a Job: node test/bench/l7/dialer.ts
// It says "ready" when it has what it needs, begins with the next line, and says what came of it: a Dialled.
import { createInterface } from 'node:readline';
import tls from 'node:tls';
import type { TLSSocket } from 'node:tls';

export interface Job {
  /** Whole handshakes; handshakes that go on with an earlier session; or requests on connections that stay. */
  readonly kind: 'new' | 'resumed' | 'requests';
  readonly port: number;
  readonly seconds: number;
  /** Connections at once. */
  readonly connections: number;
  /** Of the key exchange: "X25519". */
  readonly group: string;
  readonly host: string;
  readonly path: string;
  /** PEM. */
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface Dialled {
  /** Handshakes, or answers. */
  readonly count: number;
  readonly seconds: number;
}

/** An answer as they all are, in one piece. */
const answered = (piece: Buffer): boolean => /^HTTP\/1\.1 200[^]*\r\n\r\nhello$/.test(piece.toString('latin1'));

type Dial = (session?: Buffer) => TLSSocket;

function dialOf({ port, group, host, ca, cert, key }: Job): Dial {
  const own = { ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) };
  const secureContext = tls.createSecureContext({ ca, ...own, ecdhCurve: group, minVersion: 'TLSv1.3' });
  const common = { port, host: '127.0.0.1', servername: host, secureContext };
  return (session) => tls.connect({ ...common, ...(session && { session }) });
}

/** A session, of a connection that has had an answer: some servers give none before. */
function ticketOf(dial: Dial, request: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = dial();
    let ticket: Buffer | undefined;
    const done = (): void => void socket.end();
    socket.on('session', (session: Buffer) => (ticket = session));
    socket.on('data', (piece: Buffer) => {
      if (!answered(piece)) reject(new Error(`answered ${piece.toString('latin1')}`));
      // A ticket may come behind the answer.
      else if (ticket === undefined) socket.once('session', done);
      else done();
    });
    socket.once('error', reject);
    socket.once('close', () => (ticket === undefined ? reject(new Error('no session was given')) : resolve(ticket)));
    socket.write(request);
  });
}

/** One handshake and no more; the connection ends on both sides before the next begins. */
function shake(dial: Dial, session?: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = dial(session);
    let done = false;
    // Some servers close before they have read that we do.
    socket.on('error', (error) => (done ? undefined : reject(error)));
    socket.once('secureConnect', () => {
      done = socket.isSessionReused() === (session !== undefined);
      if (done) socket.end();
      else socket.destroy(new Error(`the session is ${session === undefined ? 'an old' : 'a new'} one`));
    });
    socket.once('close', () => (done ? resolve() : reject(new Error('the connection was closed'))));
    socket.resume();
  });
}

/** Requests one after the other on a connection that stays, until then. Gives how many. */
function ask(socket: TLSSocket, request: string, until: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let count = 0;
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
    socket.on('data', (piece: Buffer) => {
      if (!answered(piece)) return reject(new Error(`answered ${piece.toString('latin1')}`));
      count += 1;
      if (performance.now() < until) socket.write(request);
      else resolve(count);
    });
    socket.write(request);
  });
}

/** Makes ready, and gives what is to be done. */
async function prepare(job: Job): Promise<(until: number) => Promise<number>> {
  const dial = dialOf(job);
  const request = `GET ${job.path} HTTP/1.1\r\nHost: ${job.host}\r\n\r\n`;
  const times = <T>(make: () => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: job.connections }, make));
  if (job.kind === 'requests') {
    const sockets = await times(async () => dial());
    await Promise.all(sockets.map((socket) => ask(socket, request, 0)));
    for (const socket of sockets) socket.removeAllListeners('data').removeAllListeners('close');
    return async (until) => {
      const counts = await Promise.all(sockets.map((socket) => ask(socket, request, until)));
      for (const socket of sockets)
        socket
          .removeAllListeners()
          .on('error', () => {})
          .destroy();
      return counts.reduce((sum, count) => sum + count, 0);
    };
  }
  const session = job.kind === 'resumed' ? await ticketOf(dial, request) : undefined;
  return async (until) => {
    let count = 0;
    await times(async () => {
      for (; performance.now() < until; count += 1) await shake(dial, session);
    });
    return count;
  };
}

let work: { readonly job: Job; readonly run: (until: number) => Promise<number> } | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  if (work === undefined) {
    const job = JSON.parse(line) as Job;
    work = { job, run: await prepare(job) };
    process.stdout.write('ready\n');
    continue;
  }
  const begun = performance.now();
  const count = await work.run(begun + work.job.seconds * 1000);
  const dialled: Dialled = { count, seconds: (performance.now() - begun) / 1000 };
  work = undefined;
  process.stdout.write(`${JSON.stringify(dialled)}\n`);
}
