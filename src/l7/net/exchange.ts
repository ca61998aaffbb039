// What happens on a connection between two rows: bodies move, ends meet, failures become rows. No head is read here.
import {
  BODY_CLOSE,
  DONE,
  FAILED,
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
  RAWMODE,
  TUNNELED,
  joined,
  lastChunk,
  none,
} from './conn.ts';
import type { Conn, Up } from './conn.ts';
import type { Pool } from './pool.ts';
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
  /** Lays out a row in the next batch. */
  readonly row: (c: Conn, kind: number, why: number) => void;
  readonly gone: (c: Conn) => void;
}

/** Calls are what sockets say; each leaves the connection in a phase of conn.ts. */
export interface Exchanges {
  clientData(c: Conn, bytes: Buffer): void;
  clientEnd(c: Conn): void;
  clientDrain(c: Conn): void;
  clientClosed(c: Conn): void;
  upstreamReady(c: Conn): void;
  upstreamData(c: Conn, up: Up, bytes: Buffer): void;
  upstreamEnd(c: Conn, up: Up): void;
  upstreamDrain(c: Conn): void;
  upstreamLost(c: Conn, up: Up, why: number): void;
  /** Moves what has already come of the request's body. */
  pumpRequest(c: Conn): void;
  pumpResponse(c: Conn, up: Up, bytes: Buffer): void;
  /** The response is written whole. */
  finish(c: Conn): void;
  fail(c: Conn, why: number): void;
  closeSoon(c: Conn): void;
  abort(c: Conn, why: number): void;
}

export function createExchanges(o: ExchangeOptions): Exchanges {
  const { wheel, times, pool } = o;

  function touch(c: Conn): void {
    wheel.set(c.idle, o.now() + times.stallMs);
  }

  function settle(c: Conn, why: number): void {
    wheel.clear(c.deadline);
    if (!c.active) return;
    c.active = false;
    c.sent = undefined;
    c.doneUs = (o.now() - c.beganAt) * 1000;
    c.doneIn = c.bytesIn;
    c.doneOut = c.bytesOut;
    o.row(c, DONE, why);
  }

  function detach(c: Conn): void {
    const up = c.up;
    c.up = undefined;
    if (up !== undefined) pool.destroy(up);
  }

  function abort(c: Conn, why: number): void {
    if (c.phase === GONE) return;
    detach(c);
    settle(c, why);
    c.phase = CLOSING;
    c.socket.resetAndDestroy();
  }

  function closeSoon(c: Conn): void {
    if (c.phase === GONE || c.phase === CLOSING) return;
    c.phase = CLOSING;
    c.pending = undefined;
    c.socket.end(() => {
      if (c.ended) c.socket.destroy();
      else wheel.set(c.idle, o.now() + times.lingerMs);
    });
    c.socket.resume();
    touch(c);
  }

  function next(c: Conn): void {
    if (!c.keep || (c.ended && c.pending === undefined)) return closeSoon(c);
    c.phase = AWAIT;
    if (c.pending === undefined) {
      wheel.set(c.idle, o.now() + times.idleMs);
    } else {
      wheel.set(c.idle, o.now() + times.headMs);
      o.row(c, REQUEST, WHY_NONE);
    }
    if (c.socket.isPaused()) c.socket.resume();
  }

  function finish(c: Conn): void {
    const up = c.up;
    c.up = undefined;
    if (up !== undefined) {
      if (c.request.done && c.keepUpstream && up.connected) pool.release(up);
      else pool.destroy(up);
    }
    settle(c, WHY_NONE);
    if (c.request.done) return next(c);
    if (!c.keep) return closeSoon(c);
    c.phase = DISCARD;
    c.discarded = 0;
    if (c.socket.isPaused()) c.socket.resume();
    discard(c);
  }

  function discard(c: Conn): void {
    const bytes = c.pending;
    if (bytes === undefined) return;
    c.pending = undefined;
    c.piece = bytes;
    const used = feed(c.request, bytes, 0, c.drop);
    c.piece = none;
    if (used < 0 || c.discarded > DISCARD_LIMIT) return closeSoon(c);
    if (used < bytes.length) c.pending = bytes.subarray(used);
    if (c.request.done) next(c);
  }

  function fail(c: Conn, why: number): void {
    const up = c.up;
    c.failFlags = 0;
    if (up !== undefined) {
      if (up.connected) c.failFlags |= IN_SENT;
      if (up.reused) c.failFlags |= IN_REUSED;
      if (!c.bodySent && up.pending === undefined) c.failFlags |= IN_REPLAYABLE;
    }
    detach(c);
    c.phase = DECIDING;
    o.row(c, FAILED, why);
  }

  function pumpRequest(c: Conn): void {
    const bytes = c.pending;
    const up = c.up;
    if (c.request.done || up === undefined) return;
    if (!up.connected) {
      if (bytes !== undefined && bytes.length > AHEAD) c.socket.pause();
      return;
    }
    if (bytes === undefined) return;
    c.pending = undefined;
    c.piece = bytes;
    up.socket.cork();
    const used = feed(c.request, bytes, 0, c.toUpstream);
    c.piece = none;
    if (used >= 0 && c.request.done && c.requestChunk) up.socket.write(lastChunk);
    up.socket.uncork();
    if (used < 0) return broken(c);
    if (used < bytes.length) c.pending = bytes.subarray(used);
    if (up.socket.writableNeedDrain) c.socket.pause();
    if (c.ended && !c.request.done) abort(c, WHY_CLIENT);
  }

  /** The client's body broke its framing: nothing more goes up, and what can be said is said. */
  function broken(c: Conn): void {
    c.keep = false;
    if (c.started) return abort(c, WHY_FRAMING);
    fail(c, WHY_FRAMING);
  }

  function pumpResponse(c: Conn, up: Up, bytes: Buffer): void {
    c.piece = bytes;
    const corked = c.responseChunk;
    if (corked) c.socket.cork();
    const used = feed(c.response, bytes, 0, c.toClient);
    c.piece = none;
    if (c.response.done && c.responseChunk) c.socket.write(lastChunk);
    if (corked) c.socket.uncork();
    if (used < 0) return abort(c, WHY_FRAMING);
    if (used < bytes.length) up.dirty = true;
    if (c.response.done) finish(c);
    else if (c.socket.writableNeedDrain) up.socket.pause();
  }

  function clientData(c: Conn, bytes: Buffer): void {
    switch (c.phase) {
      case AWAIT:
        if (c.pending === undefined) wheel.set(c.idle, o.now() + times.headMs);
        c.pending = joined(c.pending, bytes);
        return o.row(c, REQUEST, WHY_NONE);
      case EXCHANGE:
        touch(c);
        c.pending = joined(c.pending, bytes);
        if (!c.request.done) return pumpRequest(c);
        if (c.pending.length > AHEAD) c.socket.pause();
        return;
      case DISCARD:
        touch(c);
        c.pending = bytes;
        return discard(c);
      case TUNNELED:
        touch(c);
        c.bytesIn += bytes.length;
        if (c.up !== undefined && !c.up.socket.write(bytes)) c.socket.pause();
        return;
      case RAWMODE:
        touch(c);
        c.pending = joined(c.pending, bytes);
        return o.row(c, BYTES, WHY_NONE);
      case DECIDING:
        c.pending = joined(c.pending, bytes);
        if (c.pending.length > AHEAD) c.socket.pause();
        return;
      default:
    }
  }

  function clientEnd(c: Conn): void {
    c.ended = true;
    if (c.phase === AWAIT) {
      if (c.pending === undefined) closeSoon(c);
      else o.row(c, REQUEST, WHY_NONE);
    } else if (c.phase === EXCHANGE && !c.request.done) {
      if (c.up === undefined || c.up.connected) abort(c, WHY_CLIENT);
    } else if (c.phase === TUNNELED) c.up?.socket.end();
    else if (c.phase === DISCARD || c.phase === RAWMODE) closeSoon(c);
    else if (c.phase === CLOSING && c.socket.writableFinished) c.socket.destroy();
  }

  function upstreamData(c: Conn, up: Up, bytes: Buffer): void {
    touch(c);
    if (c.phase === TUNNELED) {
      c.bytesOut += bytes.length;
      if (!c.socket.write(bytes)) up.socket.pause();
    } else if (up.inBody) pumpResponse(c, up, bytes);
    else {
      up.pending = joined(up.pending, bytes);
      if (up.pending.length > AHEAD) up.socket.pause();
      o.row(c, RESPONSE, WHY_NONE);
    }
  }

  function upstreamEnd(c: Conn, up: Up): void {
    if (c.phase === TUNNELED) c.socket.end();
    else if (up.inBody) {
      if (c.response.mode !== BODY_CLOSE) return abort(c, WHY_EOF);
      c.response.done = true;
      if (c.responseChunk) c.socket.write(lastChunk);
      finish(c);
    } else if (!c.queued) fail(c, WHY_EOF);
  }

  function upstreamLost(c: Conn, up: Up, why: number): void {
    if (c.phase === TUNNELED) {
      const clean = up.ended && c.ended;
      detach(c);
      settle(c, clean ? WHY_NONE : WHY_RESET);
      if (clean) closeSoon(c);
      else abort(c, WHY_RESET);
    } else if (up.inBody) abort(c, why);
    else fail(c, why);
  }

  return {
    clientData,
    clientEnd,
    clientDrain(c) {
      if (c.up !== undefined && (up(c).inBody || c.phase === TUNNELED)) up(c).socket.resume();
    },
    clientClosed(c) {
      if (c.phase === GONE) return;
      detach(c);
      settle(c, WHY_CLIENT);
      c.phase = GONE;
      c.pending = undefined;
      wheel.clear(c.idle);
      o.gone(c);
    },
    upstreamReady(c) {
      touch(c);
      if (c.request.done) return;
      if (c.socket.isPaused()) c.socket.resume();
      pumpRequest(c);
      if (c.ended && c.phase === EXCHANGE && !c.request.done) abort(c, WHY_CLIENT);
    },
    upstreamData,
    upstreamEnd,
    upstreamDrain(c) {
      if (c.phase === EXCHANGE || c.phase === TUNNELED) c.socket.resume();
    },
    upstreamLost,
    pumpRequest,
    pumpResponse,
    finish,
    fail,
    closeSoon,
    abort,
  };
}

function up(c: Conn): Up {
  return c.up!;
}
