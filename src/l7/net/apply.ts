// Does what the out words of a row say. Numbers are checked before use: a row can be wrong, the engine may not be.
import {
  BODY_INTERIM,
  BODY_NONE,
  BYTES,
  CLOSE,
  FAILED,
  FORWARD,
  HELLO,
  HOLD,
  IN_REPLAYABLE,
  OUT_CHUNK,
  OUT_KEEP,
  OUT_KEEP_UPSTREAM,
  PLAIN,
  RAW,
  REPLY,
  REQUEST,
  RESPONSE,
  RETRY,
  TUNNEL,
  WAIT,
  WHY_CLOSED,
  WHY_EOF,
  WHY_NONE,
  WHY_OVERFLOW,
  W_ACTION,
  W_BODY,
  W_BODY_HI,
  W_BODY_LO,
  W_DEADLINE,
  W_ENDPOINT,
  W_HEAD,
  W_OUT,
  W_TAIL,
  wide,
} from '../transport.ts';
import type { EngineTimes } from '../transport.ts';
import { AWAIT, DECIDING, EXCHANGE, GREETING, RAWMODE, none } from './conn.ts';
import type { Conn, Up } from './conn.ts';
import type { Exchanges } from './exchange.ts';
import type { Pool } from './pool.ts';
import type { RowQueue } from './rows.ts';
import type { Wheel } from './wheel.ts';

/** Head and body of a small answer go out as one write. */
const TOGETHER = 16 * 1024;

export interface ApplyOptions {
  readonly wheel: Wheel;
  readonly now: () => number;
  readonly times: EngineTimes;
  readonly pool: Pool;
  readonly rows: RowQueue;
  readonly exchanges: Exchanges;
}

export class Applier {
  private readonly o: ApplyOptions;
  private readonly queue: RowQueue;
  private readonly rows: Int32Array;
  private readonly pool: Pool;
  private readonly wheel: Wheel;
  private readonly exchanges: Exchanges;

  constructor(o: ApplyOptions) {
    this.o = o;
    this.queue = o.rows;
    this.rows = o.rows.rows;
    this.pool = o.pool;
    this.wheel = o.wheel;
    this.exchanges = o.exchanges;
  }

  private begin(c: Conn, head: number): void {
    c.active = true;
    c.started = false;
    c.bodySent = false;
    c.bytesIn = head;
    c.bytesOut = 0;
    c.beganAt = this.o.now();
  }

  private consume(c: Conn, used: number): void {
    if (c.pending !== undefined) c.pending = used >= c.pending.length ? undefined : c.pending.subarray(used);
  }

  private reply(c: Conn, base: number): void {
    const up = c.up;
    c.up = undefined;
    if (up !== undefined) this.pool.destroy(up);
    const out = this.queue.compose(base, none);
    c.bytesOut += out.length;
    c.started = true;
    c.keep = (this.rows[base + W_OUT]! & OUT_KEEP) !== 0;
    c.phase = EXCHANGE;
    c.opening = false;
    c.socket.write(out);
    this.exchanges.finish(c);
  }

  private forward(c: Conn, endpoint: number, fresh: boolean): void {
    const up = this.pool.acquire(endpoint, fresh);
    if (up === undefined) {
      c.failFlags = IN_REPLAYABLE;
      c.phase = DECIDING;
      this.queue.push(c, FAILED, WHY_OVERFLOW);
      return;
    }
    up.conn = c;
    up.inBody = false;
    c.up = up;
    c.phase = EXCHANGE;
    c.keepUpstream = false;
    up.socket.write(c.sent!);
    this.exchanges.awaitBody(c);
    this.exchanges.pumpRequest(c);
  }

  private request(c: Conn, base: number): void {
    const action = this.rows[base + W_ACTION]!;
    const head = this.rows[base + W_HEAD]!;
    if (action === WAIT) {
      if (c.ended) this.exchanges.closeSoon(c);
    } else if (action === HOLD) {
      c.held = REQUEST;
      c.phase = DECIDING;
    } else if (action === RAW) {
      this.consume(c, head);
      c.phase = RAWMODE;
      if (c.pending !== undefined) this.queue.push(c, BYTES, WHY_NONE);
    } else if (action === TUNNEL) {
      this.consume(c, head);
      this.openTunnel(c, base);
    } else if (action === FORWARD || action === REPLY) {
      this.consume(c, head);
      this.begin(c, head);
      c.request.begin(this.rows[base + W_BODY]!, wide(this.rows[base + W_BODY_LO]!, this.rows[base + W_BODY_HI]!));
      c.requestChunk = (this.rows[base + W_OUT]! & OUT_CHUNK) !== 0;
      if (action === REPLY) return this.reply(c, base);
      c.sent = this.queue.compose(base, none);
      const deadline = this.rows[base + W_DEADLINE]!;
      if (deadline > 0) this.wheel.set(c.deadline, this.o.now() + deadline);
      this.forward(c, this.rows[base + W_ENDPOINT]!, false);
    } else this.exchanges.closeSoon(c);
  }

  private interim(c: Conn, up: Up, base: number): void {
    const out = this.queue.compose(base, none);
    up.pending = up.pending!.subarray(this.rows[base + W_HEAD]!);
    if (out.length > 0) {
      c.bytesOut += out.length;
      c.socket.write(out);
    }
    if (up.pending.length === 0) up.pending = undefined;
    else this.queue.push(c, RESPONSE, WHY_NONE);
    if (up.pending === undefined && up.ended) this.exchanges.fail(c, WHY_EOF);
  }

  private respond(c: Conn, up: Up, base: number): void {
    const out = this.rows[base + W_OUT]!;
    const rest = up.pending!.subarray(this.rows[base + W_HEAD]!);
    up.pending = undefined;
    up.inBody = true;
    c.started = true;
    c.sent = undefined;
    c.keep = (out & OUT_KEEP) !== 0;
    c.keepUpstream = (out & OUT_KEEP_UPSTREAM) !== 0;
    c.response.begin(this.rows[base + W_BODY]!, wide(this.rows[base + W_BODY_LO]!, this.rows[base + W_BODY_HI]!));
    c.responseChunk = (out & OUT_CHUNK) !== 0;
    const whole = c.response.left === rest.length && !c.responseChunk && rest.length <= TOGETHER;
    const bytes = this.queue.compose(base, whole ? rest : none);
    c.bytesOut += bytes.length;
    if (whole && c.response.left > 0) {
      c.response.left = 0;
      c.response.done = true;
      c.socket.write(bytes);
      return this.exchanges.finish(c);
    }
    if (c.response.done) {
      c.socket.write(bytes);
      up.dirty = rest.length > 0;
      return this.exchanges.finish(c);
    }
    c.socket.cork();
    c.socket.write(bytes);
    if (rest.length > 0) this.exchanges.pumpResponse(c, up, rest);
    c.socket.uncork();
    if (c.up !== up) return;
    if (up.ended) this.exchanges.upstreamEnd(c, up);
    else if (up.socket.isPaused() && !c.socket.writableNeedDrain) up.socket.resume();
  }

  private tunnel(c: Conn, up: Up, base: number): void {
    const bytes = this.queue.compose(base, up.pending!.subarray(this.rows[base + W_HEAD]!));
    up.pending = undefined;
    c.bytesOut += bytes.length;
    c.tunnelMs = this.rows[base + W_DEADLINE]!;
    c.tunnelTemplate = 0;
    c.socket.write(bytes);
    this.exchanges.tunnel(c, up);
  }

  /** A tunnel over a new connection. */
  private openTunnel(c: Conn, base: number): void {
    if (!c.active) this.begin(c, 0);
    c.greeting = false;
    c.opening = true;
    c.tunnelMs = this.rows[base + W_DEADLINE]!;
    c.tunnelTemplate = this.rows[base + W_TAIL]! >>> 8;
    c.request.begin(BODY_NONE, 0);
    c.sent = this.queue.runs(base);
    this.forward(c, this.rows[base + W_ENDPOINT]!, true);
  }

  /** The connection speaks HTTP. */
  private plain(c: Conn): void {
    c.greeting = false;
    c.phase = AWAIT;
    this.wheel.after(c.idle, this.o.times.headMs);
    if (c.pending !== undefined) this.queue.push(c, REQUEST, WHY_NONE);
  }

  private hello(c: Conn, base: number): void {
    const action = this.rows[base + W_ACTION]!;
    const deadline = this.rows[base + W_DEADLINE]!;
    const used = this.rows[base + W_HEAD]!;
    c.asked = true;
    this.consume(c, used);
    if (action === WAIT) {
      if (c.ended) return this.exchanges.closeSoon(c);
      if (deadline > 0) this.wheel.set(c.idle, this.o.now() + deadline);
      if (used > 0 && c.pending !== undefined) this.queue.push(c, HELLO, WHY_NONE);
    } else if (action === HOLD) {
      c.held = HELLO;
      c.phase = DECIDING;
    } else if (action === PLAIN) this.plain(c);
    else if (action === TUNNEL) this.openTunnel(c, base);
    else this.exchanges.closeSoon(c);
  }

  private response(c: Conn, base: number): void {
    const up = c.up;
    if (up === undefined || up.pending === undefined) return;
    const action = this.rows[base + W_ACTION]!;
    if (action === WAIT) {
      if (up.ended) this.exchanges.fail(c, WHY_EOF);
      else if (up.socket.isPaused()) up.socket.resume();
    } else if (action === REPLY) this.reply(c, base);
    else if (action === TUNNEL) this.tunnel(c, up, base);
    else if (action === FORWARD && this.rows[base + W_BODY] === BODY_INTERIM) this.interim(c, up, base);
    else if (action === FORWARD) this.respond(c, up, base);
    else this.exchanges.abort(c, WHY_CLOSED);
  }

  /** FAILED and TIMEOUT. A timeout before any head begins an exchange of its own. */
  private trouble(c: Conn, base: number, why: number): void {
    const action = this.rows[base + W_ACTION]!;
    if (action === RETRY && c.sent !== undefined) return this.forward(c, this.rows[base + W_ENDPOINT]!, true);
    if (action === TUNNEL && c.greeting) return this.openTunnel(c, base);
    if (action === PLAIN && c.greeting) return this.plain(c);
    if (action === CLOSE && c.greeting) return this.exchanges.closeSoon(c);
    if (action !== REPLY || c.started) return this.exchanges.abort(c, why);
    if (!c.active) {
      this.begin(c, c.pending?.length ?? 0);
      c.pending = undefined;
      c.request.begin(BODY_NONE, 0);
    }
    this.reply(c, base);
  }

  /** Applies the row at `base`. */
  apply(c: Conn, kind: number, base: number, why: number): void {
    if (kind === HELLO) {
      if (c.phase === GREETING) this.hello(c, base);
    } else if (kind === REQUEST) {
      if (c.phase === AWAIT) this.request(c, base);
    } else if (kind === RESPONSE) {
      if (c.phase === EXCHANGE) this.response(c, base);
    } else if (kind === BYTES) {
      if (c.phase !== RAWMODE) return;
      this.consume(c, this.rows[base + W_HEAD]!);
      if (this.rows[base + W_ACTION] === CLOSE) this.exchanges.closeSoon(c);
    } else if (c.phase === DECIDING) this.trouble(c, base, why);
  }
}
