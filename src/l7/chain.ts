// What happens to one request, in order: head, route, action, upstream, answer, count and log. Called by the engine
// with rows; holds one Exchange a connection, used again for each of its requests.
import { Buffer } from 'node:buffer';
import type { Clock } from '../lib/clock.ts';
import type { CounterWriter } from './counters.ts';
import { NO_ROUTE } from './counters.ts';
import type { Act, Target } from './head/act.ts';
import { nextTarget } from './head/act.ts';
import { noChange } from './head/edits.ts';
import { Emitter } from './head/emit.ts';
import { emitRedirect, emitReply, swallow } from './head/reply.ts';
import { END_TEMPLATE, emitRequest, endTemplate, upgrades } from './head/request.ts';
import { emitResponse, responseBody, responseFlags } from './head/response.ts';
import { normalisePath } from './head/target.ts';
import { C_CLOSE, C_KEEP_ALIVE, head } from './head/fields.ts';
import { HEAD, OTHER, parseRequest, parseResponse } from './http1.ts';
import type { AccessLog, AccessRecord } from './log.ts';
import { find, latin1 } from './match.ts';
import type { Table } from './match.ts';
import type { Backend } from './pick.ts';
import * as t from './transport.ts';
import type { Upstreams } from './upstream.ts';

/** A listener in force, or one that was: requests find their table by it. */
export interface ListenerView {
  readonly name: string;
  readonly port: number;
  table: Table<Act>;
}

export interface ChainOptions {
  readonly clock: Clock;
  readonly upstreams: Upstreams;
  readonly counters: CounterWriter;
  readonly log: AccessLog | undefined;
  /** Resolve dot elements and backslashes of a path before it is matched and passed on; without, it stays as it came.
   * */
  readonly normalisePaths: boolean;
  readonly listener: (id: number) => ListenerView | undefined;
  /** An exception while a row was worked on; it was answered with 500. */
  readonly fault: (error: unknown) => void;
}

export interface Chain {
  onBatch(n: number): void;
}

const INTERIMS = 16;
const none = Buffer.alloc(0);
const noEndpoint = Buffer.from('no healthy upstream');
const lostUpstream = Buffer.from('upstream connect error or disconnect/reset before headers');
const tooSlow = Buffer.from('upstream request timeout');

/** What is known of a connection's request between two rows. */
class Exchange {
  conn = -1;
  /** Bytes of the head seen so far, for heads that come in pieces. */
  scanned = 0;
  listener: ListenerView | undefined;
  act: Act | undefined;
  target: Target | undefined;
  backend: Backend | undefined;
  status = 0;
  minor = 1;
  isHead = false;
  safe = false;
  keep = false;
  upgrade = false;
  tries = 0;
  interims = 0;
  method = '';
  host = '';
  path = '';
  flags = '';
}

/** Makes the chain of one worker on its engine's memory. */
export function createChain(engine: t.Engine, o: ChainOptions): Chain {
  const { arena, rows } = engine;
  const e = new Emitter(arena, rows);
  const exchanges: Exchange[] = [];
  engine.template(END_TEMPLATE, endTemplate);

  function exchangeOf(conn: number): Exchange {
    const x = (exchanges[t.slotOf(conn)] ??= new Exchange());
    if (x.conn !== conn) {
      release(x);
      x.conn = conn;
      x.scanned = 0;
    }
    return x;
  }

  function release(x: Exchange): void {
    if (x.backend !== undefined) x.backend.active -= 1;
    x.backend = undefined;
    x.act = undefined;
    x.target = undefined;
    x.scanned = 0;
  }

  function answer(x: Exchange, base: number, status: number, body: Uint8Array, keep: boolean): void {
    x.status = status;
    const to = { base, keep, minor: x.minor, head: x.isHead };
    emitReply(e, to, status, body, o.clock.now());
  }

  /** A head that came in pieces is read again only when a line of it has ended. */
  function nothingNew(x: Exchange, off: number, len: number): boolean {
    if (x.scanned === 0 || len > t.ROW_BYTES - 1 || len > 32 * 1024) return false;
    for (let p = off + x.scanned; p < off + len; p += 1) if (arena[p] === 10) return false;
    return true;
  }

  function request(base: number, x: Exchange): void {
    const off = rows[base + t.W_OFF]!;
    const len = rows[base + t.W_LEN]!;
    if (nothingNew(x, off, len)) {
      x.scanned = len;
      return;
    }
    const got = parseRequest(arena, off, off + len);
    if (got === 0) {
      x.scanned = len;
      return;
    }
    x.scanned = 0;
    x.listener = o.listener(rows[base + t.W_LISTENER]!);
    x.status = 0;
    x.tries = 0;
    x.interims = 0;
    x.flags = '';
    if (got < 0) return unreadable(base, x, -got, len);
    rows[base + t.W_HEAD] = got;
    x.minor = head.minor;
    x.isHead = head.method === HEAD;
    x.safe = head.method !== OTHER;
    x.keep = (head.minor === 1 ? (head.connection & C_CLOSE) === 0 : wantsKeep()) && !ending(base);
    x.upgrade = upgrades(arena);
    requestBody(base);
    if (o.normalisePaths) normalisePath(e);
    if (o.log !== undefined) remember(x);
    route(base, x);
  }

  function wantsKeep(): boolean {
    return (head.connection & C_KEEP_ALIVE) !== 0 && (head.connection & C_CLOSE) === 0;
  }

  function ending(base: number): boolean {
    return (rows[base + t.W_IN]! & t.IN_DRAINING) !== 0;
  }

  function unreadable(base: number, x: Exchange, status: number, len: number): void {
    x.minor = 1;
    x.isHead = false;
    x.method = x.host = x.path = '';
    x.flags = 'bad-request';
    swallow(e, base, len);
    answer(x, base, status, Buffer.from(head.why), false);
  }

  function requestBody(base: number): void {
    if (head.chunked) {
      rows[base + t.W_BODY] = t.BODY_CHUNKED;
      rows[base + t.W_OUT] = t.OUT_CHUNK;
    } else if (head.contentLength > 0) setLength(base);
  }

  function setLength(base: number): void {
    rows[base + t.W_BODY] = t.BODY_LENGTH;
    rows[base + t.W_BODY_LO] = head.contentLength | 0;
    rows[base + t.W_BODY_HI] = Math.floor(head.contentLength / 0x1_0000_0000);
  }

  function remember(x: Exchange): void {
    x.method = latin1(arena, head.methodOff, head.methodLen);
    x.host = latin1(arena, head.authorityOff, head.authorityLen);
    x.path = latin1(arena, head.targetOff, head.targetLen);
  }

  /** An early answer may go on with the connection unless the client waits to be told to send its body. */
  function mayKeep(x: Exchange): boolean {
    return x.keep && !head.expect;
  }

  function route(base: number, x: Exchange): void {
    const { listener } = x;
    const act = listener === undefined ? undefined : find(listener.table, arena);
    x.act = act;
    if (act === undefined) {
      x.flags = 'no-route';
      return answer(x, base, 404, none, mayKeep(x));
    }
    if (act.kind === 'forward') return forward(base, x, act);
    const to = { base, keep: mayKeep(x), minor: x.minor, head: x.isHead };
    x.status = act.kind === 'reply' ? act.status : act.redirect!.status;
    if (act.kind === 'reply') emitReply(e, to, act.status, act.body, o.clock.now(), act.response);
    else emitRedirect(e, to, act.redirect!, act.match, o.clock.now(), act.response);
  }

  function forward(base: number, x: Exchange, act: Act): void {
    const target = nextTarget(act);
    x.target = target;
    if (target?.cluster === undefined) {
      x.flags = 'no-cluster';
      return answer(x, base, 500, none, mayKeep(x));
    }
    if (!choose(x, target)) return answer(x, base, 503, noEndpoint, mayKeep(x));
    rows[base + t.W_ACTION] = t.FORWARD;
    rows[base + t.W_ENDPOINT] = x.backend!.id;
    rows[base + t.W_DEADLINE] = Math.min(act.timeoutMs, 0x7fffffff);
    e.start(base);
    emitRequest(e, act.change, target.request, engine.peer(x.conn).address);
  }

  function choose(x: Exchange, target: Target): boolean {
    if (x.backend !== undefined) x.backend.active -= 1;
    x.backend = target.cluster === undefined ? undefined : o.upstreams.pick(target.cluster);
    if (x.backend === undefined) {
      x.flags = 'no-endpoint';
      return false;
    }
    x.backend.active += 1;
    return true;
  }

  function response(base: number, x: Exchange): void {
    const off = rows[base + t.W_OFF]!;
    const got = parseResponse(arena, off, off + rows[base + t.W_LEN]!);
    if (got === 0) return;
    const open = (rows[base + t.W_IN]! & t.IN_REQUEST_OPEN) !== 0;
    if (got < 0) return badResponse(base, x, open);
    rows[base + t.W_HEAD] = got;
    if (head.status === 101) return switched(base, x, open);
    const body = responseBody(x.isHead);
    if (body < 0) return badResponse(base, x, open);
    if (body === t.BODY_INTERIM) return interim(base, x, open);
    x.status = head.status;
    const flags = responseFlags(body, x.keep && !open && !ending(base), x.minor);
    rows[base + t.W_ACTION] = t.FORWARD;
    rows[base + t.W_BODY] = body;
    rows[base + t.W_OUT] = flags;
    if (body === t.BODY_LENGTH) setLength(base);
    e.start(base);
    emitResponse(e, body, flags, x.minor, x.target!.response);
  }

  function badResponse(base: number, x: Exchange, open: boolean): void {
    x.flags = 'bad-response';
    answer(x, base, 502, none, x.keep && !open);
  }

  function interim(base: number, x: Exchange, open: boolean): void {
    x.interims += 1;
    if (x.interims > INTERIMS) return badResponse(base, x, open);
    rows[base + t.W_ACTION] = t.FORWARD;
    rows[base + t.W_BODY] = t.BODY_INTERIM;
    e.start(base);
    // A client of HTTP/1.0 does not know them.
    if (x.minor === 1) emitResponse(e, t.BODY_INTERIM, t.OUT_KEEP, x.minor, noChange);
  }

  function switched(base: number, x: Exchange, open: boolean): void {
    if (!x.upgrade || open) return badResponse(base, x, open);
    x.status = 101;
    x.flags = 'upgraded';
    rows[base + t.W_ACTION] = t.TUNNEL;
    e.start(base);
    emitResponse(e, t.BODY_NONE, t.OUT_KEEP, 1, x.target!.response);
  }

  /** Nothing of it reached a server, or the server closed an idle connection as we used it and the request may be sent
   * twice (RFC 9110 9.2.2): one more try. */
  function failed(base: number, x: Exchange): void {
    const flags = rows[base + t.W_IN]!;
    const why = rows[base + t.W_REASON]!;
    const open = (flags & t.IN_REQUEST_OPEN) !== 0;
    if (why === t.WHY_FRAMING) {
      x.flags = 'bad-request';
      return answer(x, base, 400, none, false);
    }
    const again = (flags & t.IN_REPLAYABLE) !== 0 && x.tries === 0;
    const lost = (flags & t.IN_SENT) === 0 || ((flags & t.IN_REUSED) !== 0 && x.safe);
    if (again && lost && x.target !== undefined && choose(x, x.target)) {
      x.tries += 1;
      rows[base + t.W_ACTION] = t.RETRY;
      rows[base + t.W_ENDPOINT] = x.backend!.id;
      return;
    }
    x.flags = failure(why);
    answer(x, base, 503, lostUpstream, x.keep && !open);
  }

  function timeout(base: number, x: Exchange): void {
    const flags = rows[base + t.W_IN]!;
    const why = rows[base + t.W_REASON]!;
    x.flags = why === t.WHY_DEADLINE ? 'timeout' : why === t.WHY_HEAD ? 'slow-head' : 'stalled';
    if (why === t.WHY_HEAD) {
      x.listener = o.listener(rows[base + t.W_LISTENER]!);
      x.minor = 1;
      x.isHead = false;
      x.method = x.host = x.path = '';
      return answer(x, base, 408, none, false);
    }
    const open = (flags & t.IN_REQUEST_OPEN) !== 0;
    if ((flags & t.IN_STARTED) !== 0) rows[base + t.W_ACTION] = t.CLOSE;
    else if (open && why === t.WHY_STALL) answer(x, base, 408, none, false);
    else answer(x, base, 504, tooSlow, x.keep && !open);
  }

  function done(base: number, x: Exchange): void {
    const us = rows[base + t.W_OFF]!;
    const why = rows[base + t.W_REASON]!;
    const bytesIn = t.wide(rows[base + t.W_DONE_IN_LO]!, rows[base + t.W_DONE_IN_HI]!);
    const bytesOut = t.wide(rows[base + t.W_DONE_OUT_LO]!, rows[base + t.W_DONE_OUT_HI]!);
    o.counters.done(x.act?.stat ?? NO_ROUTE, x.status, us, bytesIn, bytesOut, why !== t.WHY_NONE);
    if (o.log !== undefined) o.log.write(record(x, us, bytesIn, bytesOut, why));
    release(x);
  }

  function record(x: Exchange, us: number, bytesIn: number, bytesOut: number, why: number): AccessRecord {
    const peer = engine.peer(x.conn);
    return {
      timeMs: o.clock.now() - us / 1000,
      listener: x.listener?.name ?? '',
      route: x.act?.name ?? '',
      method: x.method,
      host: x.host,
      path: x.path,
      status: x.status,
      bytesIn,
      bytesOut,
      durationMs: us / 1000,
      upstream: x.backend?.name ?? '',
      client: peer.address,
      port: peer.mark & 0xffff,
      flags: x.flags === '' ? ending_[why]! : x.flags,
    };
  }

  function row(base: number): void {
    const x = exchangeOf(rows[base + t.W_CONN]!);
    switch (rows[base + t.W_KIND]) {
      case t.REQUEST:
        return request(base, x);
      case t.RESPONSE:
        return response(base, x);
      case t.FAILED:
        return failed(base, x);
      case t.TIMEOUT:
        return timeout(base, x);
      case t.DONE:
        return done(base, x);
      default:
    }
  }

  return {
    onBatch(n) {
      e.batch();
      for (let i = 0; i < n; i += 1) {
        const base = i * t.ROW_WORDS;
        try {
          row(base);
        } catch (error) {
          o.fault(error);
          const x = exchangeOf(rows[base + t.W_CONN]!);
          x.flags = 'exception';
          if (rows[base + t.W_KIND] === t.REQUEST) swallow(e, base, rows[base + t.W_LEN]!);
          answer(x, base, 500, none, false);
        }
      }
    },
  };
}

/** Flags of a request that ended early for this reason. */
const ending_: readonly string[] = (() => {
  const names: string[] = [];
  names[t.WHY_NONE] = '';
  names[t.WHY_CONNECT] = 'upstream-refused';
  names[t.WHY_CONNECT_TIMEOUT] = 'upstream-connect-timeout';
  names[t.WHY_RESET] = 'upstream-reset';
  names[t.WHY_EOF] = 'upstream-closed';
  names[t.WHY_OVERFLOW] = 'upstream-overflow';
  names[t.WHY_HEAD] = 'slow-head';
  names[t.WHY_DEADLINE] = 'timeout';
  names[t.WHY_STALL] = 'stalled';
  names[t.WHY_CLIENT] = 'client-gone';
  names[t.WHY_FRAMING] = 'bad-framing';
  names[t.WHY_CLOSED] = 'closed';
  return names;
})();

function failure(why: number): string {
  return ending_[why] ?? '';
}
