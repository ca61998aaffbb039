// Rows that no sound router would write, and calls at the worst time: the engine may close connections, it may not
// touch what is not its own.
import { closeSync, ftruncateSync, writeSync } from 'node:fs';
import { connect as dial } from 'node:net';
import { discardParked, listenerCrowds, packTunnel, parkedConnections, unpackTunnel } from '../../src/kernel/l7.ts';
import { KernelError } from '../../src/kernel/errno.ts';
import { createRandom } from '../../src/l7/upstream/pick.ts';
import { listenAt } from '../fake/l7-engines.ts';
import { openEngine } from '../../src/l7/transport-native.ts';
import * as t from '../../src/l7/transport.ts';
import { serverSpec } from '../fake/l7-tls.ts';
import { sleep, upstream } from '../fake/l7.ts';
import { freePort } from '../fake/port.ts';

const extremes = [0, 1, -1, 2, 7, 16, 17, 255, 256, 0x7fffffff, -0x80000000, t.ARENA_BYTES, t.READ_BYTES, t.ROW_BYTES];

/** Engines of this and of the run before hand connections on. */
const home = 77;

/** Undefined: it is bound to this process. */
function pack(parcel: number): ReturnType<typeof packTunnel> {
  try {
    return packTunnel(parcel);
  } catch (error) {
    if (error instanceof KernelError) return undefined;
    throw error;
  }
}

/** Of every run: each port that is taken is kept for the process, by a socket. */
const ports = [await freePort(), await freePort()] as const;

/** What one run may do to its engine. */
class Hostile {
  readonly random: () => number;
  readonly engine: t.Engine;
  readonly conns: number[] = [];
  readonly endpoints: number[] = [];
  readonly places: { id: number; port: number }[] = [];
  rows = 0;

  constructor(seed: number) {
    this.random = createRandom(seed);
    const times = { headMs: 60, idleMs: 60, stallMs: 60, bodyMs: 60, upstreamIdleMs: 40, lingerMs: 20 };
    this.engine = openEngine({
      times,
      maxConnections: 200,
      maxStreams: 100,
      maxPerEndpoint: 20,
      home,
      onBatch: (n) => this.batch(n),
    });
  }

  private below(n: number): number {
    return this.random() % n;
  }

  private one(list: readonly number[]): number {
    return list[this.below(Math.max(1, list.length))] ?? 0;
  }

  private number(): number {
    return this.below(3) === 0 ? this.one(extremes) : this.random() | 0;
  }

  private batch(n: number): void {
    for (let i = 0; i < n; i += 1) {
      this.rows += 1;
      const base = i * t.ROW_WORDS;
      this.conns[this.rows % 64] = this.engine.rows[base + t.W_CONN]!;
      this.fill(base);
      if (this.below(8) === 0) this.call();
    }
  }

  /** Mostly what could be, so that connections get far; then some words of it anything. */
  private fill(base: number): void {
    const { rows } = this.engine;
    const len = rows[base + t.W_LEN]!;
    rows[base + t.W_ACTION] = this.below(11);
    rows[base + t.W_HEAD] = this.below(4) === 0 ? this.below(len + 1) : len;
    rows[base + t.W_ENDPOINT] = this.one(this.endpoints);
    rows[base + t.W_OUT] = this.below(16);
    rows[base + t.W_BODY] = this.below(5);
    rows[base + t.W_BODY_LO] = this.below(5) === 0 ? 100_000 : this.below(40);
    rows[base + t.W_DEADLINE] = this.below(4) === 0 ? this.below(50) : 0;
    const runs = this.below(4) === 0 ? this.below(20) : this.below(3);
    rows[base + t.W_TAIL] = runs | (this.below(4) << 8);
    for (let i = 0; i < Math.min(runs, t.MAX_RUNS); i += 1) {
      rows[base + t.W_RUNS + 2 * i] = this.below(t.ARENA_BYTES);
      rows[base + t.W_RUNS + 2 * i + 1] = this.below(300);
    }
    for (let i = this.below(4); i > 2; i -= 1) rows[base + this.below(t.ROW_WORDS)] = this.number();
  }

  /** Something between or within turns. */
  call(): void {
    const { engine } = this;
    const conn = this.below(4) === 0 ? this.number() : this.one(this.conns);
    try {
      const calls: (() => unknown)[] = [
        () => engine.close(conn, 'end'),
        () => engine.close(conn, 'reset'),
        () => engine.resume(conn),
        () => engine.send(conn, this.below(2000), this.below(2000)),
        () => engine.send(conn, this.number(), this.number()),
        () => this.stream(conn),
        () => this.stream(conn),
        () => engine.sendUp(conn, this.below(2000), this.below(2000)),
        () => engine.sendUp(conn, this.number(), this.number()),
        () => engine.resumeUp(conn),
        () => engine.closeUp(conn, (['end', 'reset', 'refused'] as const)[this.below(3)]!),
        () => engine.script(this.one(this.endpoints)),
        () => (this.conns[this.below(64)] = engine.dial(this.one(this.endpoints))),
        () => engine.peer(conn),
        () => engine.template(this.below(5), Buffer.alloc(this.below(200))),
        () => engine.dropEndpoint(this.below(5) === 0 ? this.one(this.endpoints) : this.number()),
        () => engine.unlisten(this.number()),
        () => engine.end(this.below(20) === 0 ? 'all' : 'idle'),
        () => engine.label(conn, Buffer.alloc(this.below(200))),
        () => engine.park(this.below(2) === 0 ? 'all' : 'tunnels'),
        () => engine.take(this.one(parkedConnections(home))),
        () => engine.take(this.one(parkedConnections(home))),
        () => engine.take(this.random() * this.below(5)),
        () => this.below(20) === 0 && discardParked(home),
        () => this.pass(),
        () => engine.dropTlsContext(this.below(5) === 0 ? this.one(this.endpoints) : this.number()),
        () => engine.endpointIdle(this.one(this.endpoints), this.below(100)),
        () => engine.stats(),
        () => this.limit(),
        () => engine.admits(conn, this.below(2) === 0 ? '192.0.2.1' : '2001:db8::1'),
        () => engine.stall(conn, this.below(2) === 0 ? this.number() : this.below(50)),
        () => engine.endpoint('127.0.0.1', this.below(65536), this.number()),
      ];
      calls[this.below(calls.length)]!();
    } catch (error) {
      // A number out of range is the caller's own fault; anything else is not.
      if (!(error instanceof RangeError)) throw error;
    }
  }

  private limit(): void {
    const bounds = { most: this.below(3) * 40, perClient: this.below(3) * 20, later: this.below(4) === 0 };
    this.engine.limit(this.places[this.below(2)]?.id ?? this.number(), bounds);
  }

  /** A tunnel leaves the process and comes back, now and then as something else. */
  private pass(): void {
    const parcel = this.one(parkedConnections(home));
    const packed = parcel === undefined ? undefined : pack(parcel);
    if (packed === undefined) return;
    const { memory } = packed;
    if (this.below(2) === 0) writeSync(memory, Buffer.alloc(4, this.below(256)), 0, 4, this.below(40) * 4);
    if (this.below(8) === 0) ftruncateSync(memory, this.below(200));
    const good = unpackTunnel(home, this.below(3), packed);
    closeSync(memory);
    if (!good) for (const fd of [packed.client, packed.up]) closeSync(fd);
  }

  /** Opens a stream on it, where it is in bytes mode, and says something. */
  private stream(parent: number): void {
    const conn = this.engine.stream(parent);
    if (conn < 0) return;
    this.conns[this.below(64)] = conn;
    this.engine.send(conn, this.below(2000), this.below(2000));
    if (this.below(2) === 0) this.engine.close(conn, 'end');
  }

  listen(port: number): void {
    const hello = (['never', 'bytes', 'at-once'] as const)[this.below(3)]!;
    const id = listenAt(this.engine, port, hello);
    this.places.push({ id, port });
  }
}

async function client(port: number, h: Hostile): Promise<void> {
  const socket = dial({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  socket.resume();
  for (let i = h.random() % 4; i >= 0; i -= 1) {
    socket.write(Buffer.alloc(1 + (h.random() % (h.random() % 8 === 0 ? 120_000 : 200)), 65));
    await sleep(h.random() % 4);
  }
  if (h.random() % 3 === 0) socket.resetAndDestroy();
  else socket.end();
  setTimeout(() => socket.destroy(), 20);
}

/** Runs for so long, a new engine each second or so; every other one is shut with connections open. */
export async function rows(untilMs: number, seed: number): Promise<number> {
  let count = 0;
  await using up = await upstream((socket, piece) => {
    if (piece.length % 7 === 0 && !socket.writableEnded) socket.resetAndDestroy();
    else if (piece.length % 5 === 0) socket.end(piece);
    else socket.write(piece);
  });
  for (let run = seed; performance.now() < untilMs; run += 1) {
    const h = new Hostile(run);
    for (const port of ports) h.listen(port);
    for (let i = 0; i < 4; i += 1) h.endpoints.push(h.engine.endpoint('127.0.0.1', i === 3 ? 1 : up.port, 50));
    const tls = { ...serverSpec, certificates: [] };
    const context = h.engine.tlsContext({ ...tls, side: 'client' });
    h.endpoints.push(h.engine.endpoint('127.0.0.1', up.port, 50, { context, names: [] }), h.engine.tlsContext(tls));
    const clients: Promise<void>[] = [];
    for (let i = 0; i < 150; i += 1) {
      clients.push(client(ports[i % 2]!, h));
      h.call();
      if (i % 10 === 0) await sleep(1);
    }
    if (run % 2 === 0) await Promise.all(clients);
    h.engine.shut();
    h.call();
    if (run % 3 === 0) discardParked(home);
    await Promise.all(clients);
    const counted = listenerCrowds(home).reduce((sum, { connections }) => sum + connections, 0);
    if (counted !== 0) throw new Error(`${counted} connections are counted, and none is there`);
    count += h.rows;
  }
  discardParked(home);
  return count;
}
