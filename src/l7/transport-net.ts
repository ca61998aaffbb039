// The engine of transport.ts on node:net. This file and transport.ts are the only ones of the router that may open the
// kernel's door for sockets (kernel/socket.ts).
import net from 'node:net';
import type { Socket } from 'node:net';
import { closeSync } from 'node:fs';
import { descriptorOf, socketMark, tcpListen } from '../kernel/socket.ts';
import { systemClock } from '../lib/clock.ts';
import type { Clock } from '../lib/clock.ts';
import { AWAIT, CLOSING, Conn, DECIDING, DISCARD, EXCHANGE, RAWMODE } from './net/conn.ts';
import type { ListenerState } from './net/conn.ts';
import { createApply } from './net/apply.ts';
import { createExchanges } from './net/exchange.ts';
import type { Exchanges } from './net/exchange.ts';
import { createPool } from './net/pool.ts';
import { createRows } from './net/rows.ts';
import { Timer, createWheel } from './net/wheel.ts';
import { TIMEOUT, WHY_DEADLINE, WHY_HEAD, WHY_NONE, WHY_STALL, engineTimes, slotOf } from './transport.ts';
import type { Bound, Engine, EngineOptions, Peer, Place } from './transport.ts';

const TICK_MS = 50;
const BACKLOG = 4096;
const noPeer: Peer = { mark: 0, address: '', port: 0, localAddress: '', localPort: 0 };

/** A listening socket that node does not know of yet, by its descriptor. */
interface NetBound extends Bound {
  readonly fd: number;
}

/** Opens one; everything it does happens on the thread that called. */
export function openNetEngine(options: EngineOptions, clock: Clock = systemClock): Engine {
  const times = { ...engineTimes, ...options.times };
  const maxConnections = Math.min(options.maxConnections ?? 16_384, 0xffff);
  const tick = Math.max(5, Math.min(TICK_MS, times.idleMs / 4, times.headMs / 4));
  const wheel = createWheel(tick, clock.monotonic());
  const now = () => clock.monotonic();
  const slots: (Conn | undefined)[] = [];
  const generations = new Uint16Array(0x10000);
  const free: number[] = [];
  const gone: Conn[] = [];
  const listeners = new Map<number, ListenerState>();
  const open = new Set<Conn>();
  const totals = { accepted: 0, refused: 0 };
  let nextListener = 1;
  let exchanges: Exchanges;
  const pool = createPool(
    { wheel, now, idleMs: times.upstreamIdleMs, maxPerEndpoint: options.maxPerEndpoint ?? 1024 },
    () => exchanges,
  );
  const rows = createRows(options.onBatch, (c, kind, base, why) => apply(c, kind, base, why), reclaim);
  exchanges = createExchanges({
    wheel,
    now,
    times,
    pool,
    row: (c, kind, why) => rows.push(c, kind, why),
    gone: (c) => {
      gone.push(c);
      if (rows.empty()) reclaim();
    },
  });
  const apply = createApply({ wheel, now, times, pool, rows, exchanges });

  /** Slots of connections that are gone are free when their DONE has been said. */
  function reclaim(): void {
    if (!rows.empty()) return;
    for (const c of gone) {
      const slot = slotOf(c.id);
      if (slots[slot] !== c) continue;
      slots[slot] = undefined;
      open.delete(c);
      free.push(slot);
    }
    gone.length = 0;
  }

  function onIdle(c: Conn): void {
    if (c.phase === AWAIT && c.pending !== undefined) {
      c.phase = DECIDING;
      rows.push(c, TIMEOUT, WHY_HEAD);
    } else if (c.phase === AWAIT || c.phase === DISCARD || c.phase === RAWMODE) exchanges.closeSoon(c);
    else if (c.phase === EXCHANGE) timeout(c, WHY_STALL);
    else if (c.phase === CLOSING) c.socket.destroy();
    else exchanges.abort(c, WHY_STALL);
  }

  function timeout(c: Conn, why: number): void {
    const up = c.up;
    c.up = undefined;
    if (up !== undefined) pool.destroy(up);
    c.phase = DECIDING;
    rows.push(c, TIMEOUT, why);
  }

  function accept(socket: Socket, listener: ListenerState): void {
    const address = socket.remoteAddress;
    const slot = free.pop() ?? (open.size < maxConnections ? open.size : -1);
    if (address === undefined || slot < 0) {
      if (slot >= 0) free.push(slot);
      totals.refused += 1;
      socket.on('error', () => {});
      socket.resetAndDestroy();
      return;
    }
    totals.accepted += 1;
    generations[slot] = (generations[slot]! + 1) & 0x7fff;
    const peer = {
      mark: markOf(socket),
      address: plain(address),
      port: socket.remotePort ?? 0,
      localAddress: plain(socket.localAddress ?? ''),
      localPort: socket.localPort ?? 0,
    };
    const idle = new Timer(() => onIdle(c));
    const deadline = new Timer(() => {
      if (c.phase === EXCHANGE) timeout(c, WHY_DEADLINE);
    });
    const c: Conn = new Conn(slot | (generations[slot]! << 16), socket, listener, peer, { idle, deadline });
    slots[slot] = c;
    open.add(c);
    socket.on('data', (bytes: Buffer) => exchanges.clientData(c, bytes));
    socket.on('end', () => exchanges.clientEnd(c));
    socket.on('drain', () => exchanges.clientDrain(c));
    socket.on('error', () => {});
    socket.on('close', () => exchanges.clientClosed(c));
    wheel.set(idle, now() + times.headMs);
  }

  function find(conn: number): Conn | undefined {
    const c = slots[slotOf(conn)];
    return c?.id === conn ? c : undefined;
  }

  let ticking: Disposable | undefined = clock.after(tick, onTick);
  function onTick(): void {
    wheel.advance(now());
    ticking = clock.after(tick, onTick);
  }

  return {
    arena: rows.arena,
    rows: rows.rows,
    bind,
    listen(bound) {
      const server = net.createServer({ allowHalfOpen: true, noDelay: true });
      const listener: ListenerState = { id: nextListener, draining: false, close: () => server.close() };
      nextListener += 1;
      listeners.set(listener.id, listener);
      server.on('connection', (socket) => accept(socket, listener));
      // Running out of descriptors is no reason to stop listening.
      server.on('error', () => (totals.refused += 1));
      server.listen({ fd: (bound as NetBound).fd });
      return listener.id;
    },
    unlisten(id) {
      const listener = listeners.get(id);
      if (listener === undefined) return;
      listeners.delete(id);
      listener.draining = true;
      listener.close();
    },
    endpoint: pool.endpoint,
    dropEndpoint: pool.drop,
    template: rows.template,
    peer: (conn) => find(conn)?.peer ?? noPeer,
    resume(conn) {
      const c = find(conn);
      if (c === undefined || c.held === 0) return;
      const kind = c.held;
      c.held = 0;
      if (c.phase === DECIDING) {
        c.phase = AWAIT;
        rows.push(c, kind, WHY_NONE);
      }
    },
    send(conn, off, len) {
      const c = find(conn);
      if (c?.phase === RAWMODE) c.socket.write(Buffer.from(rows.arena.subarray(off, off + len)));
    },
    close(conn, how) {
      const c = find(conn);
      if (c === undefined) return;
      if (how === 'end') exchanges.closeSoon(c);
      else exchanges.abort(c, WHY_NONE);
    },
    closeIdle() {
      for (const c of open) if (c.phase === AWAIT && c.pending === undefined) exchanges.closeSoon(c);
    },
    stats() {
      const up = pool.count();
      return {
        ...totals,
        ...rows.counts,
        connections: open.size,
        upstreams: up.open,
        upstreamsIdle: up.idle,
        upstreamConnects: up.connects,
      };
    },
    shut() {
      ticking?.[Symbol.dispose]();
      ticking = undefined;
      for (const listener of listeners.values()) listener.close();
      listeners.clear();
      for (const c of open) c.socket.destroy();
      pool.shut();
    },
  };
}

/** The one place where listening sockets are made. */
function bind({ address, port, transparent }: Place): NetBound {
  const fd = tcpListen({ address, port, transparent, reusePort: true, backlog: BACKLOG });
  return { fd, close: () => closeSync(fd) };
}

/** SO_MARK of an accepted socket, 0 where it is closed already. */
function markOf(socket: Socket): number {
  const fd = descriptorOf(socket);
  return fd === undefined ? 0 : socketMark(fd);
}

function plain(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}
