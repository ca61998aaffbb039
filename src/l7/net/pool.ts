// Connections to upstreams: one pool an endpoint, the last used taken first, so that few stay warm and the rest time
// out.
import net from 'node:net';
import { WHY_CONNECT, WHY_CONNECT_TIMEOUT, WHY_RESET } from '../transport.ts';
import { Up } from './conn.ts';
import type { Conn, EndpointState } from './conn.ts';
import { Timer } from './wheel.ts';
import type { Wheel } from './wheel.ts';

export interface PoolOptions {
  readonly wheel: Wheel;
  readonly idleMs: number;
  readonly maxPerEndpoint: number;
}

/** Hears what happens on a connection that carries a request. */
export interface UpstreamEvents {
  upstreamReady(c: Conn): void;
  upstreamData(c: Conn, up: Up, bytes: Buffer): void;
  upstreamEnd(c: Conn, up: Up): void;
  upstreamDrain(c: Conn): void;
  upstreamLost(c: Conn, up: Up, why: number): void;
}

/** The pools of an engine. */
export class Pool {
  private readonly o: PoolOptions;
  private readonly exchanges: () => UpstreamEvents;
  private readonly endpoints = new Map<number, EndpointState>();
  private readonly all = new Set<Up>();
  private last = 0;
  private connects = 0;

  constructor(o: PoolOptions, exchanges: () => UpstreamEvents) {
    this.o = o;
    this.exchanges = exchanges;
  }

  private forget(up: Up): void {
    if (up.dead) return;
    up.dead = true;
    this.all.delete(up);
    up.endpoint.open -= 1;
    this.o.wheel.clear(up.timer);
    const at = up.conn === undefined ? up.endpoint.idle.indexOf(up) : -1;
    if (at >= 0) up.endpoint.idle.splice(at, 1);
  }

  destroy(up: Up): void {
    this.forget(up);
    up.conn = undefined;
    up.pending = undefined;
    up.socket.destroy();
  }

  private onTimer(up: Up): void {
    if (up.conn !== undefined && !up.connected) {
      up.timedOut = true;
      this.lost(up, WHY_CONNECT_TIMEOUT);
    } else if (up.conn === undefined) this.destroy(up);
  }

  private lost(up: Up, why: number): void {
    if (up.dead) return;
    const conn = up.conn;
    const reason = up.connected ? why : up.timedOut ? WHY_CONNECT_TIMEOUT : WHY_CONNECT;
    if (conn === undefined) this.destroy(up);
    else this.exchanges().upstreamLost(conn, up, reason);
  }

  private watch(up: Up): void {
    const { socket } = up;
    socket.on('connect', () => {
      up.connected = true;
      this.o.wheel.clear(up.timer);
      if (up.conn !== undefined) this.exchanges().upstreamReady(up.conn);
    });
    socket.on('data', (bytes: Buffer) => {
      if (up.conn === undefined) this.destroy(up);
      else this.exchanges().upstreamData(up.conn, up, bytes);
    });
    socket.on('end', () => {
      up.ended = true;
      if (up.conn === undefined) this.destroy(up);
      else this.exchanges().upstreamEnd(up.conn, up);
    });
    socket.on('drain', () => {
      if (up.conn !== undefined) this.exchanges().upstreamDrain(up.conn);
    });
    socket.on('error', () => this.lost(up, WHY_RESET));
    socket.on('close', () => this.lost(up, WHY_RESET));
  }

  private connect(endpoint: EndpointState): Up {
    const socket = net.connect({
      host: endpoint.address,
      port: endpoint.port,
      noDelay: true,
      allowHalfOpen: true,
      autoSelectFamily: false,
    });
    const up: Up = new Up(socket, endpoint, new Timer(() => this.onTimer(up)));
    this.connects += 1;
    endpoint.open += 1;
    this.all.add(up);
    this.watch(up);
    this.o.wheel.after(up.timer, endpoint.connectTimeoutMs);
    return up;
  }

  endpoint(address: string, port: number, connectTimeoutMs: number): number {
    this.last += 1;
    const id = this.last;
    const { idleMs } = this.o;
    this.endpoints.set(id, { id, address, port, connectTimeoutMs, idle: [], open: 0, dropped: false, idleMs });
    return id;
  }

  drop(id: number): void {
    const endpoint = this.endpoints.get(id);
    if (endpoint === undefined) return;
    endpoint.dropped = true;
    this.endpoints.delete(id);
    while (endpoint.idle.length > 0) this.destroy(endpoint.idle.at(-1)!);
  }

  idle(id: number, ms: number): void {
    const endpoint = this.endpoints.get(id);
    if (endpoint !== undefined) endpoint.idleMs = Math.min(ms, this.o.idleMs);
  }

  /** A free or new connection; undefined where the endpoint is gone or full. */
  acquire(id: number, fresh: boolean): Up | undefined {
    const endpoint = this.endpoints.get(id);
    if (endpoint === undefined) return undefined;
    while (!fresh && endpoint.idle.length > 0) {
      const up = endpoint.idle.pop()!;
      if (up.dead || up.ended || up.socket.destroyed) continue;
      this.o.wheel.clear(up.timer);
      up.reused = true;
      return up;
    }
    if (endpoint.open >= this.o.maxPerEndpoint) return undefined;
    return this.connect(endpoint);
  }

  /** Gives a connection back after a whole exchange. */
  release(up: Up): void {
    up.conn = undefined;
    if (up.dead) return;
    if (up.endpoint.dropped || up.dirty || up.ended || up.pending !== undefined) return this.destroy(up);
    up.inBody = false;
    up.endpoint.idle.push(up);
    if (up.socket.isPaused()) up.socket.resume();
    this.o.wheel.after(up.timer, up.endpoint.idleMs);
  }

  count(): { open: number; idle: number; connects: number } {
    let idle = 0;
    for (const endpoint of this.endpoints.values()) idle += endpoint.idle.length;
    return { open: this.all.size, idle, connects: this.connects };
  }

  shut(): void {
    for (const up of this.all) this.destroy(up);
  }
}
