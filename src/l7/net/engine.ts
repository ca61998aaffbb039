// The engine of transport.ts on node:net: the fake of the one in C, which must do the same (the tests of transport.ts
// run on both).
import net from 'node:net';
import type { Socket } from 'node:net';
import { descriptorOf, duplicate, socketMark } from '../../kernel/socket.ts';
import { systemClock } from '../../lib/clock.ts';
import type { Clock } from '../../lib/clock.ts';
import { AWAIT, CLOSING, Conn, DECIDING, DISCARD, EXCHANGE, GREETING, RAWMODE, TUNNELED } from './conn.ts';
import type { ListenerState } from './conn.ts';
import { enter, hasRoom, leave, newCrowd } from './crowd.ts';
import { Applier } from './apply.ts';
import { Exchanges } from './exchange.ts';
import { Pool } from './pool.ts';
import { RowQueue } from './rows.ts';
import { Timer, createWheel } from './wheel.ts';
import type { Wheel } from './wheel.ts';
import {
  HELLO,
  TIMEOUT,
  WHY_CLOSED,
  WHY_DEADLINE,
  WHY_HEAD,
  WHY_NONE,
  WHY_STALL,
  engineTimes,
  slotOf,
} from '../transport.ts';
import { noTlsCounts } from '../tls/spec.ts';
import type { Bounds, Engine, EngineOptions, EngineStats, EngineTimes, HelloMode, Peer } from '../transport.ts';

const TICK_MS = 50;
const BACKLOG = 4096;
const MAX_CONNECTIONS = 0xffff;
/** Slots that are kept free for new clients, at most, and how many old connections are looked at for one. */
const SPARE = 64;
const SHED_LOOK = 4096;
const noPeer: Peer = { mark: 0, address: '', port: 0, localAddress: '', localPort: 0 };

/** Opens one; everything it does happens on the thread that called. */
export function openNetEngine(options: EngineOptions, clock: Clock = systemClock): Engine {
  return new NetEngine(options, clock);
}

class NetEngine implements Engine {
  readonly arena: Buffer;
  readonly rows: Int32Array;
  private readonly times: EngineTimes;
  private readonly maxConnections: number;
  private readonly spare: number;
  private readonly clock: Clock;
  private readonly tick: number;
  private readonly wheel: Wheel;
  private readonly queue: RowQueue;
  private readonly pool: Pool;
  private readonly exchanges: Exchanges;
  private readonly slots: (Conn | undefined)[] = [];
  private readonly generations = new Uint16Array(MAX_CONNECTIONS + 1);
  private readonly free: number[] = [];
  private readonly gone: Conn[] = [];
  private readonly listeners = new Map<number, ListenerState>();
  private readonly open = new Set<Conn>();
  private readonly totals = { accepted: 0, refused: 0 };
  private lastListener = 0;
  private ticking: Disposable | undefined;

  constructor(options: EngineOptions, clock: Clock) {
    const times = { ...engineTimes, ...options.times };
    const now = () => clock.monotonic();
    this.times = times;
    this.clock = clock;
    this.maxConnections = Math.min(options.maxConnections ?? 16_384, MAX_CONNECTIONS);
    this.spare = Math.min(SPARE, this.maxConnections >> 3);
    this.tick = Math.max(5, Math.min(TICK_MS, times.idleMs / 4, times.headMs / 4));
    this.wheel = createWheel(this.tick, now());
    const { wheel } = this;
    const maxPerEndpoint = options.maxPerEndpoint ?? 65_536;
    this.pool = new Pool({ wheel, idleMs: times.upstreamIdleMs, maxPerEndpoint }, () => this.exchanges);
    this.queue = new RowQueue(
      options.onBatch,
      (c, kind, base, why) => applier.apply(c, kind, base, why),
      () => this.reclaim(),
    );
    const { pool, queue } = this;
    this.exchanges = new Exchanges({ wheel, now, times, pool, rows: queue, gone: (c) => this.lose(c) });
    const applier = new Applier({ wheel, now, times, pool, rows: queue, exchanges: this.exchanges });
    this.arena = queue.arena;
    this.rows = queue.rows;
    this.ticking = clock.after(this.tick, () => this.onTick());
  }

  private lose(c: Conn): void {
    this.gone.push(c);
    if (this.queue.empty()) this.reclaim();
  }

  /** Slots of connections that are this.gone are this.free when their DONE has been said. */
  private reclaim(): void {
    if (!this.queue.empty()) return;
    for (const c of this.gone) {
      const slot = slotOf(c.id);
      if (this.slots[slot] !== c) continue;
      this.slots[slot] = undefined;
      leave(c);
      this.open.delete(c);
      this.free.push(slot);
    }
    this.gone.length = 0;
  }

  private onIdle(c: Conn): void {
    if (c.phase === AWAIT && c.pending !== undefined) {
      c.phase = DECIDING;
      this.queue.push(c, TIMEOUT, WHY_HEAD);
    } else if (c.phase === GREETING) this.timeout(c, WHY_HEAD);
    else if (c.phase === AWAIT || c.phase === DISCARD || c.phase === RAWMODE) this.exchanges.closeSoon(c);
    else if (c.phase === EXCHANGE) this.timeout(c, WHY_STALL);
    else if (c.phase === CLOSING) c.socket.destroy();
    else this.exchanges.abort(c, WHY_STALL);
  }

  private timeout(c: Conn, why: number): void {
    const up = c.up;
    c.up = undefined;
    if (up !== undefined) this.pool.destroy(up);
    c.phase = DECIDING;
    this.queue.push(c, TIMEOUT, why);
  }

  /** Makes room when slots run short: of the connections that carry no request the oldest gives way. So who holds many
   * open and sends nothing keeps nobody else out. */
  private shed(): void {
    let looked = 0;
    for (const c of this.open) {
      if (c.phase === AWAIT) {
        this.totals.refused += 1;
        return this.exchanges.abort(c, WHY_NONE);
      }
      looked += 1;
      if (looked === SHED_LOOK) return;
    }
  }

  private admit(socket: Socket, listener: ListenerState): void {
    const address = socket.remoteAddress;
    const { crowd } = listener;
    const room = address !== undefined && hasRoom(crowd, plain(address));
    if (room && this.spare > 0 && this.open.size + this.spare >= this.maxConnections) this.shed();
    const slot = !room ? -1 : (this.free.pop() ?? (this.open.size < this.maxConnections ? this.open.size : -1));
    if (address === undefined || slot < 0) {
      if (slot >= 0) this.free.push(slot);
      else this.totals.refused += 1;
      socket.on('error', () => {});
      socket.resetAndDestroy();
      return;
    }
    this.totals.accepted += 1;
    this.generations[slot] = (this.generations[slot]! + 1) & 0x7fff;
    const peer = {
      mark: markOf(socket),
      address: plain(address),
      port: socket.remotePort ?? 0,
      localAddress: plain(socket.localAddress ?? ''),
      localPort: socket.localPort ?? 0,
    };
    const idle = new Timer(() => this.onIdle(c));
    const deadline = new Timer(() => {
      if (c.phase === EXCHANGE) this.timeout(c, WHY_DEADLINE);
      else if (c.phase === TUNNELED) this.exchanges.abort(c, WHY_DEADLINE);
      // What is decided may be one more try.
      else if (c.phase === DECIDING && c.active) this.wheel.after(c.deadline, 1);
    });
    const c: Conn = new Conn(slot | (this.generations[slot]! << 16), socket, listener, peer, { idle, deadline });
    crowd.count += 1;
    if (!crowd.bounds.later) enter(c, peer.address);
    this.slots[slot] = c;
    this.open.add(c);
    socket.on('data', (bytes: Buffer) => this.exchanges.clientData(c, bytes));
    socket.on('end', () => this.exchanges.clientEnd(c));
    socket.on('drain', () => this.exchanges.clientDrain(c));
    socket.on('error', () => {});
    socket.on('close', () => this.exchanges.clientClosed(c));
    this.wheel.after(idle, this.times.headMs);
    if (listener.hello === 'never') return;
    c.phase = GREETING;
    c.greeting = true;
    c.asked = listener.hello === 'bytes';
    if (!c.asked) this.queue.push(c, HELLO, WHY_NONE);
  }

  private find(conn: number): Conn | undefined {
    const c = this.slots[slotOf(conn)];
    return c?.id === conn ? c : undefined;
  }

  private onTick(): void {
    this.wheel.advance(this.clock.monotonic());
    this.ticking = this.clock.after(this.tick, () => this.onTick());
  }

  listener(hello: HelloMode = 'never'): number {
    this.lastListener += 1;
    this.listeners.set(this.lastListener, {
      id: this.lastListener,
      draining: false,
      hello,
      servers: new Map(),
      crowd: newCrowd(),
    });
    return this.lastListener;
  }

  accept(id: number, fd: number): void {
    const listener = this.listeners.get(id);
    if (listener === undefined) return;
    const server = net.createServer({ allowHalfOpen: true, noDelay: true });
    listener.servers.set(fd, server);
    server.on('connection', (socket) => this.admit(socket, listener));
    // Running out of descriptors is no reason to stop listening.
    server.on('error', () => (this.totals.refused += 1));
    server.listen({ fd: duplicate(fd) }, BACKLOG);
    if (!server.listening) throw new Error('a bound socket does not listen');
  }

  decline(id: number, fd: number): void {
    const listener = this.listeners.get(id);
    listener?.servers.get(fd)?.close();
    listener?.servers.delete(fd);
  }

  limit(id: number, bounds: Bounds): void {
    const listener = this.listeners.get(id);
    if (listener !== undefined) listener.crowd.bounds = bounds;
  }

  admits(conn: number, address: string): boolean {
    const c = this.find(conn);
    if (c === undefined || c.client !== undefined) return true;
    if (!hasRoom({ ...c.listener.crowd, bounds: { ...c.listener.crowd.bounds, most: 0, later: false } }, address))
      return false;
    enter(c, address);
    return true;
  }

  stall(conn: number, ms: number): void {
    const c = this.find(conn);
    if (c !== undefined) c.stallMs = ms;
  }

  label(): void {}

  park(): number {
    return 0;
  }

  take(): undefined {}

  unlisten(id: number): void {
    const listener = this.listeners.get(id);
    if (listener === undefined) return;
    this.listeners.delete(id);
    listener.draining = true;
    for (const server of listener.servers.values()) server.close();
  }

  endpoint(address: string, port: number, connectTimeoutMs: number): number {
    return this.pool.endpoint(address, port, connectTimeoutMs);
  }

  dropEndpoint(id: number): void {
    this.pool.drop(id);
  }

  endpointIdle(id: number, ms: number): void {
    this.pool.idle(id, ms);
  }

  tlsContext(): never {
    throw new Error('the engine on node:net speaks no TLS');
  }

  dropTlsContext(): void {}

  ticketKeys(): void {}

  template(id: number, bytes: Uint8Array): void {
    this.queue.template(id, bytes);
  }

  peer(conn: number): Peer {
    return this.find(conn)?.peer ?? noPeer;
  }

  peerIs(conn: number, address: string, port: number): void {
    const c = this.find(conn);
    if (c !== undefined) c.peer = { ...c.peer, address, port };
  }

  resume(conn: number): void {
    const c = this.find(conn);
    if (c === undefined || c.held === 0) return;
    const kind = c.held;
    c.held = 0;
    if (c.phase !== DECIDING) return;
    c.phase = kind === HELLO ? GREETING : AWAIT;
    this.queue.push(c, kind, WHY_NONE);
  }

  stream(): number {
    return -1;
  }

  script(): void {}

  dial(): number {
    return -1;
  }

  sendUp(): number {
    return 0;
  }

  resumeUp(): void {}

  closeUp(): void {}

  send(conn: number, off: number, len: number): number {
    const c = this.find(conn);
    if (c?.phase !== RAWMODE) return 0;
    c.socket.write(Buffer.from(this.arena.subarray(off, off + len)));
    return c.socket.writableLength;
  }

  close(conn: number, how: 'end' | 'reset'): void {
    const c = this.find(conn);
    if (c === undefined) return;
    if (how === 'end') this.exchanges.closeSoon(c);
    else this.exchanges.abort(c, WHY_NONE);
  }

  end(which: 'idle' | 'all'): void {
    for (const c of this.open) {
      const waits = c.phase === AWAIT || c.phase === GREETING;
      if (waits ? which === 'all' || c.pending === undefined : which === 'all' && c.phase === TUNNELED)
        this.exchanges.closeSoon(c);
      else if (which === 'all') this.exchanges.abort(c, WHY_CLOSED);
    }
  }

  stats(): EngineStats {
    const up = this.pool.count();
    return {
      ...this.totals,
      ...this.queue.counts,
      ...noTlsCounts,
      connections: this.open.size,
      upstreams: up.open,
      upstreamsIdle: up.idle,
      upstreamConnects: up.connects,
      upstreamsResumed: 0,
      refusedRows: 0,
      heldBytes: 0,
      streams: 0,
      starved: 0,
    };
  }

  shut(): void {
    this.ticking?.[Symbol.dispose]();
    this.ticking = undefined;
    for (const id of this.listeners.keys()) this.unlisten(id);
    for (const c of this.open) c.socket.destroy();
    this.pool.shut();
  }
}

/** SO_MARK of an accepted socket, 0 where it is closed already. */
function markOf(socket: Socket): number {
  const fd = descriptorOf(socket);
  return fd === undefined ? 0 : socketMark(fd);
}

function plain(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}
