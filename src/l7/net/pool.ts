// Connections to upstreams: one pool an endpoint, the last used taken first, so that few stay warm and the rest time
// out.
import net from 'node:net';
import { WHY_CONNECT, WHY_CONNECT_TIMEOUT, WHY_RESET } from '../transport.ts';
import { Up } from './conn.ts';
import type { EndpointState } from './conn.ts';
import type { Exchanges } from './exchange.ts';
import { Timer } from './wheel.ts';
import type { Wheel } from './wheel.ts';

export interface PoolOptions {
  readonly wheel: Wheel;
  readonly now: () => number;
  readonly idleMs: number;
  readonly maxPerEndpoint: number;
}

export interface Pool {
  endpoint(address: string, port: number, connectTimeoutMs: number): number;
  drop(id: number): void;
  /** A free or new connection; undefined where the endpoint is gone or full. */
  acquire(id: number, fresh: boolean): Up | undefined;
  /** Gives a connection back after a whole exchange. */
  release(up: Up): void;
  destroy(up: Up): void;
  count(): { open: number; idle: number; connects: number };
  shut(): void;
}

/** `exchanges` hears what happens on a connection that carries a request. */
export function createPool(o: PoolOptions, exchanges: () => Exchanges): Pool {
  const endpoints = new Map<number, EndpointState>();
  const all = new Set<Up>();
  let next = 1;
  let connects = 0;

  function forget(up: Up): void {
    if (up.dead) return;
    up.dead = true;
    all.delete(up);
    up.endpoint.open -= 1;
    o.wheel.clear(up.timer);
    const at = up.conn === undefined ? up.endpoint.idle.indexOf(up) : -1;
    if (at >= 0) up.endpoint.idle.splice(at, 1);
  }

  function destroy(up: Up): void {
    forget(up);
    up.conn = undefined;
    up.pending = undefined;
    up.socket.destroy();
  }

  function onTimer(up: Up): void {
    if (up.conn !== undefined && !up.connected) {
      up.timedOut = true;
      lost(up, WHY_CONNECT_TIMEOUT);
    } else if (up.conn === undefined) destroy(up);
  }

  function lost(up: Up, why: number): void {
    if (up.dead) return;
    const conn = up.conn;
    const reason = up.connected ? why : up.timedOut ? WHY_CONNECT_TIMEOUT : WHY_CONNECT;
    if (conn === undefined) destroy(up);
    else exchanges().upstreamLost(conn, up, reason);
  }

  function watch(up: Up): void {
    const { socket } = up;
    socket.on('connect', () => {
      up.connected = true;
      o.wheel.clear(up.timer);
      if (up.conn !== undefined) exchanges().upstreamReady(up.conn);
    });
    socket.on('data', (bytes: Buffer) => {
      if (up.conn === undefined) destroy(up);
      else exchanges().upstreamData(up.conn, up, bytes);
    });
    socket.on('end', () => {
      up.ended = true;
      if (up.conn === undefined) destroy(up);
      else exchanges().upstreamEnd(up.conn, up);
    });
    socket.on('drain', () => {
      if (up.conn !== undefined) exchanges().upstreamDrain(up.conn);
    });
    socket.on('error', () => lost(up, WHY_RESET));
    socket.on('close', () => lost(up, WHY_RESET));
  }

  function connect(endpoint: EndpointState): Up {
    const socket = net.connect({
      host: endpoint.address,
      port: endpoint.port,
      noDelay: true,
      allowHalfOpen: true,
      autoSelectFamily: false,
    });
    const up: Up = new Up(socket, endpoint, new Timer(() => onTimer(up)));
    connects += 1;
    endpoint.open += 1;
    all.add(up);
    watch(up);
    o.wheel.set(up.timer, o.now() + endpoint.connectTimeoutMs);
    return up;
  }

  return {
    endpoint(address, port, connectTimeoutMs) {
      const id = next;
      next += 1;
      endpoints.set(id, { id, address, port, connectTimeoutMs, idle: [], open: 0, dropped: false });
      return id;
    },
    drop(id) {
      const endpoint = endpoints.get(id);
      if (endpoint === undefined) return;
      endpoint.dropped = true;
      endpoints.delete(id);
      for (const up of [...endpoint.idle]) destroy(up);
    },
    acquire(id, fresh) {
      const endpoint = endpoints.get(id);
      if (endpoint === undefined) return undefined;
      while (!fresh && endpoint.idle.length > 0) {
        const up = endpoint.idle.pop()!;
        if (up.dead || up.ended || up.socket.destroyed) continue;
        o.wheel.clear(up.timer);
        up.reused = true;
        return up;
      }
      if (endpoint.open >= o.maxPerEndpoint) return undefined;
      return connect(endpoint);
    },
    release(up) {
      up.conn = undefined;
      if (up.dead) return;
      if (up.endpoint.dropped || up.dirty || up.ended || up.pending !== undefined) return destroy(up);
      up.inBody = false;
      up.endpoint.idle.push(up);
      up.socket.resume();
      o.wheel.set(up.timer, o.now() + o.idleMs);
    },
    destroy,
    count() {
      let idle = 0;
      for (const endpoint of endpoints.values()) idle += endpoint.idle.length;
      return { open: all.size, idle, connects };
    },
    shut() {
      for (const up of [...all]) destroy(up);
    },
  };
}
