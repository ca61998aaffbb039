// What happens on a connection between two rows: bodies move, ends meet, failures become rows. No head is read here.
import {
  BODY_CLOSE,
  BODY_RATE,
  DONE,
  FAILED,
  HELLO,
  IN_REPLAYABLE,
  IN_REUSED,
  IN_SENT,
  REQUEST,
  RESPONSE,
  ROW_BYTES,
  BYTES,
  WHY_CLIENT,
  WHY_EOF,
  WHY_FRAMING,
  WHY_NONE,
  WHY_RESET,
} from '../transport.ts';
import type { EngineTimes } from '../transport.ts';
import { feed } from './body.ts';
import {
  AWAIT,
  CLOSING,
  DECIDING,
  DISCARD,
  EXCHANGE,
  GONE,
  GREETING,
  RAWMODE,
  TUNNELED,
  joined,
  lastChunk,
  none,
} from './conn.ts';
import type { Conn, Up } from './conn.ts';
import type { Pool, UpstreamEvents } from './pool.ts';
import type { RowQueue } from './rows.ts';
import type { Wheel } from './wheel.ts';

/** Pipelined bytes beyond this wait in the kernel. */
const AHEAD = ROW_BYTES;
/** Rest of a request that is read after an early answer, so that the connection can go on. */
const DISCARD_LIMIT = 64 * 1024;

export interface ExchangeOptions {
  readonly wheel: Wheel;
  readonly now: () => number;
  readonly times: EngineTimes;
  readonly pool: Pool;
  readonly rows: RowQueue;
  readonly gone: (c: Conn) => void;
}

/** Calls are what sockets say; each leaves the connection in a phase of conn.ts. */
export class Exchanges implements UpstreamEvents {
  private readonly o: ExchangeOptions;
  private readonly wheel: Wheel;
  private readonly times: EngineTimes;
  private readonly pool: Pool;

  constructor(o: ExchangeOptions) {
    this.o = o;
    this.wheel = o.wheel;
    this.times = o.times;
    this.pool = o.pool;
  }

  private stallMs(c: Conn): number {
    return c.stallMs === 0 ? this.times.stallMs : c.stallMs;
  }

  private touch(c: Conn): void {
    if (c.request.done || c.started || c.phase !== EXCHANGE) return this.wheel.after(c.idle, this.stallMs(c));
    const ms = this.times.bodyMs + ((c.bytesIn - c.bodyFrom) / BODY_RATE) * 1000 - (this.o.now() - c.bodyAt);
    this.wheel.after(c.idle, Math.min(Math.max(ms, 0), this.stallMs(c)));
  }

  /** From now on the client is held to its rate, as far as its body is not complete. */
  awaitBody(c: Conn): void {
    if (!c.request.done) {
      c.bodyAt = this.o.now();
      c.bodyFrom = c.bytesIn;
    }
    this.touch(c);
  }

  /** The upstream takes no more of the body at present. */
  private holdBody(c: Conn): void {
    c.socket.pause();
    this.wheel.after(c.idle, this.stallMs(c));
  }

  private settle(c: Conn, why: number): void {
    this.wheel.clear(c.deadline);
    c.stallMs = 0;
    if (!c.active) return;
    c.active = false;
    c.sent = undefined;
    c.doneUs = (this.o.now() - c.beganAt) * 1000;
    c.doneIn = c.bytesIn;
    c.doneOut = c.bytesOut;
    this.o.rows.push(c, DONE, why);
  }

  private detach(c: Conn): void {
    const up = c.up;
    c.up = undefined;
    if (up !== undefined) this.pool.destroy(up);
  }

  abort(c: Conn, why: number): void {
    if (c.phase === GONE) return;
    this.detach(c);
    this.settle(c, why);
    c.phase = CLOSING;
    // libuv refuses a reset while a FIN is under way, and node then never closes the descriptor.
    if (c.socket.writableEnded) c.socket.destroy();
    else c.socket.resetAndDestroy();
  }

  closeSoon(c: Conn): void {
    if (c.phase === GONE || c.phase === CLOSING) return;
    c.phase = CLOSING;
    c.pending = undefined;
    c.socket.end(() => {
      if (c.ended) c.socket.destroy();
      else this.wheel.after(c.idle, this.times.lingerMs);
    });
    c.socket.resume();
    this.touch(c);
  }

  private next(c: Conn): void {
    if (!c.keep || (c.ended && c.pending === undefined)) return this.closeSoon(c);
    c.phase = AWAIT;
    if (c.pending === undefined) {
      this.wheel.after(c.idle, this.times.idleMs);
    } else {
      this.wheel.after(c.idle, this.times.headMs);
      this.o.rows.push(c, REQUEST, WHY_NONE);
    }
    if (c.socket.isPaused()) c.socket.resume();
  }

  /** The response is written whole. */
  finish(c: Conn): void {
    const up = c.up;
    c.up = undefined;
    if (up !== undefined) {
      if (c.request.done && c.keepUpstream && up.connected) this.pool.release(up);
      else this.pool.destroy(up);
    }
    this.settle(c, WHY_NONE);
    if (c.request.done) return this.next(c);
    if (!c.keep) return this.closeSoon(c);
    c.phase = DISCARD;
    c.discarded = 0;
    // Not put off by what comes: who sends its rest too slowly is closed.
    this.wheel.after(c.idle, this.times.headMs);
    if (c.socket.isPaused()) c.socket.resume();
    this.discard(c);
  }

  private discard(c: Conn): void {
    const bytes = c.pending;
    if (bytes === undefined) return;
    c.pending = undefined;
    c.piece = bytes;
    const used = feed(c.request, bytes, 0, c.drop);
    c.piece = none;
    if (used < 0 || c.discarded > DISCARD_LIMIT) return this.closeSoon(c);
    if (used < bytes.length) c.pending = bytes.subarray(used);
    if (c.request.done) this.next(c);
  }

  fail(c: Conn, why: number): void {
    const up = c.up;
    c.failFlags = 0;
    if (up !== undefined) {
      if (up.connected) c.failFlags |= IN_SENT;
      if (up.reused) c.failFlags |= IN_REUSED;
      if (!c.bodySent && up.pending === undefined) c.failFlags |= IN_REPLAYABLE;
    }
    this.detach(c);
    c.phase = DECIDING;
    this.o.rows.push(c, FAILED, why);
  }

  /** Moves what has already come of the request's body. */
  pumpRequest(c: Conn): void {
    const bytes = c.pending;
    const up = c.up;
    if (c.request.done || up === undefined) return;
    if (!up.connected) {
      if (bytes !== undefined && bytes.length > AHEAD) this.holdBody(c);
      return;
    }
    if (bytes === undefined) return;
    c.pending = undefined;
    c.piece = bytes;
    up.socket.cork();
    const used = feed(c.request, bytes, 0, c.toUpstream);
    c.piece = none;
    if (used !== 0) c.bodySent = true;
    if (used >= 0 && c.request.done && c.requestChunk) up.socket.write(lastChunk);
    up.socket.uncork();
    if (used < 0) return this.broken(c);
    if (used < bytes.length) c.pending = bytes.subarray(used);
    if (up.socket.writableNeedDrain) this.holdBody(c);
    if (c.ended && !c.request.done) this.abort(c, WHY_CLIENT);
  }

  /** The client's body broke its framing: nothing more goes up, and what can be said is said. */
  private broken(c: Conn): void {
    c.keep = false;
    if (c.started) return this.abort(c, WHY_FRAMING);
    this.fail(c, WHY_FRAMING);
  }

  pumpResponse(c: Conn, up: Up, bytes: Buffer): void {
    c.piece = bytes;
    const corked = c.responseChunk;
    if (corked) c.socket.cork();
    const used = feed(c.response, bytes, 0, c.toClient);
    c.piece = none;
    if (c.response.done && c.responseChunk) c.socket.write(lastChunk);
    if (corked) c.socket.uncork();
    if (used < 0) return this.abort(c, WHY_FRAMING);
    if (used < bytes.length) up.dirty = true;
    if (c.response.done) this.finish(c);
    else if (c.socket.writableNeedDrain) up.socket.pause();
  }

  clientData(c: Conn, bytes: Buffer): void {
    switch (c.phase) {
      case AWAIT:
        if (c.pending === undefined) this.wheel.after(c.idle, this.times.headMs);
        c.pending = joined(c.pending, bytes);
        return this.o.rows.push(c, REQUEST, WHY_NONE);
      case GREETING:
        c.pending = joined(c.pending, bytes);
        return this.o.rows.push(c, HELLO, WHY_NONE);
      case EXCHANGE:
        this.touch(c);
        c.pending = joined(c.pending, bytes);
        if (!c.request.done) return this.pumpRequest(c);
        if (c.pending.length > AHEAD) c.socket.pause();
        return;
      case DISCARD:
        c.pending = bytes;
        return this.discard(c);
      case TUNNELED:
        this.touch(c);
        c.bytesIn += bytes.length;
        if (c.up !== undefined && !c.up.socket.write(bytes)) c.socket.pause();
        return;
      case RAWMODE:
        this.touch(c);
        c.pending = joined(c.pending, bytes);
        return this.o.rows.push(c, BYTES, WHY_NONE);
      case DECIDING:
        c.pending = joined(c.pending, bytes);
        if (c.pending.length > AHEAD) c.socket.pause();
        return;
      default:
    }
  }

  clientEnd(c: Conn): void {
    c.ended = true;
    if (c.phase === AWAIT || c.phase === GREETING) {
      if (c.pending === undefined) this.closeSoon(c);
      else this.o.rows.push(c, c.phase === AWAIT ? REQUEST : HELLO, WHY_NONE);
    } else if (c.phase === EXCHANGE && !c.request.done) {
      if (c.up === undefined || c.up.connected) this.abort(c, WHY_CLIENT);
    } else if (c.phase === TUNNELED) c.up?.socket.end();
    else if (c.phase === DISCARD || c.phase === RAWMODE) this.closeSoon(c);
    else if (c.phase === CLOSING && c.socket.writableFinished) c.socket.destroy();
  }

  upstreamData(c: Conn, up: Up, bytes: Buffer): void {
    this.touch(c);
    if (c.phase === TUNNELED) {
      c.bytesOut += bytes.length;
      if (!c.socket.write(bytes)) up.socket.pause();
    } else if (up.inBody) this.pumpResponse(c, up, bytes);
    else {
      up.pending = joined(up.pending, bytes);
      if (up.pending.length > AHEAD) up.socket.pause();
      this.o.rows.push(c, RESPONSE, WHY_NONE);
    }
  }

  upstreamEnd(c: Conn, up: Up): void {
    if (c.phase === TUNNELED) c.socket.end();
    else if (up.inBody) {
      if (c.response.mode !== BODY_CLOSE || up.broken) return this.abort(c, up.broken ? WHY_RESET : WHY_EOF);
      c.response.done = true;
      if (c.responseChunk) c.socket.write(lastChunk);
      this.finish(c);
    } else if (!c.queued) this.fail(c, WHY_EOF);
  }

  upstreamLost(c: Conn, up: Up, why: number): void {
    if (c.phase === TUNNELED) {
      const clean = up.ended && c.ended;
      this.detach(c);
      this.settle(c, clean ? WHY_NONE : WHY_RESET);
      if (clean) this.closeSoon(c);
      else this.abort(c, WHY_RESET);
    } else if (up.inBody) this.abort(c, why);
    else if (c.queued && up.pending !== undefined) {
      // A server that answers early and closes sends a reset behind its answer: the answer counts.
      up.ended = true;
      up.broken = true;
    } else this.fail(c, why);
  }

  clientDrain(c: Conn): void {
    const up = c.up;
    if (up !== undefined && (up.inBody || c.phase === TUNNELED)) up.socket.resume();
  }

  clientClosed(c: Conn): void {
    if (c.phase === GONE) return;
    const over = c.phase === TUNNELED && c.ended && c.up?.ended === true;
    this.detach(c);
    this.settle(c, over ? WHY_NONE : WHY_CLIENT);
    c.phase = GONE;
    c.pending = undefined;
    this.wheel.clear(c.idle);
    this.o.gone(c);
  }

  /** Both directions as they come from now on. */
  tunnel(c: Conn, up: Up): void {
    c.phase = TUNNELED;
    c.opening = false;
    c.started = true;
    c.sent = undefined;
    this.wheel.clear(c.deadline);
    if (c.tunnelMs > 0) this.wheel.set(c.deadline, this.o.now() + c.tunnelMs);
    this.touch(c);
    const heard = this.o.rows.templateOf(c.tunnelTemplate);
    c.bytesOut += heard.length;
    if (heard.length > 0) c.socket.write(heard);
    if (c.pending !== undefined) {
      c.bytesIn += c.pending.length;
      up.socket.write(c.pending);
    }
    c.pending = undefined;
    if (c.socket.isPaused()) c.socket.resume();
    if (up.socket.isPaused()) up.socket.resume();
    if (c.ended) up.socket.end();
    if (up.ended) c.socket.end();
  }

  upstreamReady(c: Conn): void {
    if (c.opening && c.up !== undefined) return this.tunnel(c, c.up);
    this.awaitBody(c);
    if (c.request.done) return;
    if (c.socket.isPaused()) c.socket.resume();
    this.pumpRequest(c);
    if (c.ended && c.phase === EXCHANGE && !c.request.done) this.abort(c, WHY_CLIENT);
  }

  upstreamDrain(c: Conn): void {
    if (c.phase !== EXCHANGE && c.phase !== TUNNELED) return;
    c.socket.resume();
    this.awaitBody(c);
  }
}
