// Does what the out words of a row say. Numbers are checked before use: a row can be wrong, the engine may not be.
import {
  BODY_INTERIM,
  BODY_NONE,
  BYTES,
  CLOSE,
  FAILED,
  FORWARD,
  HOLD,
  IN_REPLAYABLE,
  OUT_CHUNK,
  OUT_KEEP,
  OUT_KEEP_UPSTREAM,
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
  wide,
} from '../transport.ts';
import type { EngineTimes } from '../transport.ts';
import { AWAIT, DECIDING, EXCHANGE, RAWMODE, TUNNELED, none } from './conn.ts';
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

/** Gives the function that applies one row. */
export function createApply(o: ApplyOptions): (c: Conn, kind: number, base: number, why: number) => void {
  const { rows: queue, pool, wheel, exchanges } = o;
  const { rows } = queue;

  function begin(c: Conn, head: number): void {
    c.active = true;
    c.started = false;
    c.bodySent = false;
    c.bytesIn = head;
    c.bytesOut = 0;
    c.beganAt = o.now();
  }

  function consume(c: Conn, used: number): void {
    if (c.pending !== undefined) c.pending = used >= c.pending.length ? undefined : c.pending.subarray(used);
  }

  function reply(c: Conn, base: number): void {
    const up = c.up;
    c.up = undefined;
    if (up !== undefined) pool.destroy(up);
    const out = queue.compose(base, none);
    c.bytesOut += out.length;
    c.started = true;
    c.keep = (rows[base + W_OUT]! & OUT_KEEP) !== 0;
    c.phase = EXCHANGE;
    c.socket.write(out);
    exchanges.finish(c);
  }

  function forward(c: Conn, endpoint: number, fresh: boolean): void {
    const up = pool.acquire(endpoint, fresh);
    if (up === undefined) {
      c.failFlags = IN_REPLAYABLE;
      c.phase = DECIDING;
      queue.push(c, FAILED, WHY_OVERFLOW);
      return;
    }
    up.conn = c;
    up.inBody = false;
    c.up = up;
    c.phase = EXCHANGE;
    c.keepUpstream = false;
    up.socket.write(c.sent!);
    wheel.set(c.idle, o.now() + o.times.stallMs);
    exchanges.pumpRequest(c);
  }

  function request(c: Conn, base: number): void {
    const action = rows[base + W_ACTION]!;
    const head = rows[base + W_HEAD]!;
    if (action === WAIT) {
      if (c.ended) exchanges.closeSoon(c);
    } else if (action === HOLD) {
      c.held = REQUEST;
      c.phase = DECIDING;
    } else if (action === RAW) {
      consume(c, head);
      c.phase = RAWMODE;
      if (c.pending !== undefined) queue.push(c, BYTES, WHY_NONE);
    } else if (action === FORWARD || action === REPLY) {
      consume(c, head);
      begin(c, head);
      c.request.begin(rows[base + W_BODY]!, wide(rows[base + W_BODY_LO]!, rows[base + W_BODY_HI]!));
      c.requestChunk = (rows[base + W_OUT]! & OUT_CHUNK) !== 0;
      if (action === REPLY) return reply(c, base);
      c.sent = queue.compose(base, none);
      const deadline = rows[base + W_DEADLINE]!;
      if (deadline > 0) wheel.set(c.deadline, o.now() + deadline);
      forward(c, rows[base + W_ENDPOINT]!, false);
    } else exchanges.closeSoon(c);
  }

  function interim(c: Conn, up: Up, base: number): void {
    const out = queue.compose(base, none);
    up.pending = up.pending!.subarray(rows[base + W_HEAD]!);
    if (out.length > 0) {
      c.bytesOut += out.length;
      c.socket.write(out);
    }
    if (up.pending.length === 0) up.pending = undefined;
    else queue.push(c, RESPONSE, WHY_NONE);
    if (up.pending === undefined && up.ended) exchanges.fail(c, WHY_EOF);
  }

  function respond(c: Conn, up: Up, base: number): void {
    const out = rows[base + W_OUT]!;
    const rest = up.pending!.subarray(rows[base + W_HEAD]!);
    up.pending = undefined;
    up.inBody = true;
    c.started = true;
    c.sent = undefined;
    c.keep = (out & OUT_KEEP) !== 0;
    c.keepUpstream = (out & OUT_KEEP_UPSTREAM) !== 0;
    c.response.begin(rows[base + W_BODY]!, wide(rows[base + W_BODY_LO]!, rows[base + W_BODY_HI]!));
    c.responseChunk = (out & OUT_CHUNK) !== 0;
    const whole = c.response.left === rest.length && !c.responseChunk && rest.length <= TOGETHER;
    const bytes = queue.compose(base, whole ? rest : none);
    c.bytesOut += bytes.length;
    if (whole && c.response.left > 0) {
      c.response.left = 0;
      c.response.done = true;
      c.socket.write(bytes);
      return exchanges.finish(c);
    }
    if (c.response.done) {
      c.socket.write(bytes);
      up.dirty = rest.length > 0;
      return exchanges.finish(c);
    }
    c.socket.cork();
    c.socket.write(bytes);
    if (rest.length > 0) exchanges.pumpResponse(c, up, rest);
    c.socket.uncork();
    if (c.up !== up) return;
    if (up.ended) exchanges.upstreamEnd(c, up);
    else if (up.socket.isPaused() && !c.socket.writableNeedDrain) up.socket.resume();
  }

  function tunnel(c: Conn, up: Up, base: number): void {
    const bytes = queue.compose(base, up.pending!.subarray(rows[base + W_HEAD]!));
    up.pending = undefined;
    c.bytesOut += bytes.length;
    c.started = true;
    c.sent = undefined;
    c.phase = TUNNELED;
    wheel.clear(c.deadline);
    c.socket.write(bytes);
    if (c.pending !== undefined) up.socket.write(c.pending);
    c.pending = undefined;
    if (c.socket.isPaused()) c.socket.resume();
    if (up.socket.isPaused()) up.socket.resume();
    if (c.ended) up.socket.end();
    if (up.ended) c.socket.end();
  }

  function response(c: Conn, base: number): void {
    const up = c.up;
    if (up === undefined || up.pending === undefined) return;
    const action = rows[base + W_ACTION]!;
    if (action === WAIT) {
      if (up.ended) exchanges.fail(c, WHY_EOF);
      else if (up.socket.isPaused()) up.socket.resume();
    } else if (action === REPLY) reply(c, base);
    else if (action === TUNNEL) tunnel(c, up, base);
    else if (action === FORWARD && rows[base + W_BODY] === BODY_INTERIM) interim(c, up, base);
    else if (action === FORWARD) respond(c, up, base);
    else exchanges.abort(c, WHY_CLOSED);
  }

  /** FAILED and TIMEOUT. A timeout before any head begins an exchange of its own. */
  function trouble(c: Conn, base: number, why: number): void {
    const action = rows[base + W_ACTION]!;
    if (action === RETRY && c.sent !== undefined) return forward(c, rows[base + W_ENDPOINT]!, true);
    if (action !== REPLY || c.started) return exchanges.abort(c, why);
    if (!c.active) {
      begin(c, c.pending?.length ?? 0);
      c.pending = undefined;
      c.request.begin(BODY_NONE, 0);
    }
    reply(c, base);
  }

  return (c, kind, base, why) => {
    if (kind === REQUEST) {
      if (c.phase === AWAIT) request(c, base);
    } else if (kind === RESPONSE) {
      if (c.phase === EXCHANGE) response(c, base);
    } else if (kind === BYTES) {
      if (c.phase !== RAWMODE) return;
      consume(c, rows[base + W_HEAD]!);
      if (rows[base + W_ACTION] === CLOSE) exchanges.closeSoon(c);
    } else if (c.phase === DECIDING) trouble(c, base, why);
  };
}
