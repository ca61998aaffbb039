// What happens to one request, in order: head, route, action, upstream, answer, count and log. Called by the engine
// with rows; holds one Exchange a connection, used again for each of its requests.
import { Buffer } from 'node:buffer';
import type { Clock } from '../lib/clock.ts';
import { defaultPaths } from '../mesh/snapshot.ts';
import type { CounterWriter } from './record/counters.ts';
import { NO_ROUTE } from './record/counters.ts';
import type { Act, Target } from './head/act.ts';
import { nextTarget } from './head/act.ts';
import { noChange } from './head/edits.ts';
import { Emitter } from './head/emit.ts';
import { readControls } from './head/controls.ts';
import type { Controls } from './head/controls.ts';
import { C_CLOSE, C_KEEP_ALIVE, head } from './head/fields.ts';
import { Exchange, adopt, endings, labelOf, recordOf } from './head/outcome.ts';
import type { Label, ListenerView } from './head/outcome.ts';
import { emitRedirect, emitReply, swallow } from './head/reply.ts';
import { END_TEMPLATE, emitRequest, endTemplate, frameLength, frameRequest, upgrades } from './head/request.ts';
import { emitResponse, keepAliveSeconds, responseBody, responseFlags } from './head/response.ts';
import { callOf, deadlineMs, emitGrpcStatus } from './head/grpc.ts';
import { normalisePath } from './head/path.ts';
import { CONNECT, HEAD, OTHER, headBounds, nothingNew, parseRequest, parseResponse } from './http1.ts';
import type { AccessLog } from './record/log.ts';
import { find } from './match.ts';
import type { Http2 } from './http2/http2.ts';
import { CONNECT_TEMPLATE, connectTemplate, emitConnect } from './tcp/connect.ts';
import { Greeter } from './tcp/greet.ts';
import { emitProxy } from './tcp/introduce.ts';
import * as t from './transport.ts';
import type { Upstreams } from './upstream/upstream.ts';

export interface ChainOptions {
  readonly clock: Clock;
  readonly upstreams: Upstreams;
  readonly counters: CounterWriter;
  readonly log: AccessLog | undefined;
  /** What reads the rows of connections in bytes mode and of streams. Absent: HTTP/1.1 alone. */
  readonly http2?: Http2;
  /** The answer to the last says "connection: close"; 0: any number. */
  readonly maxRequestsPerConnection: number;
  readonly listener: (id: number) => ListenerView | undefined;
  /** The host that a connection with this policy of TLS is for. */
  readonly host: (policy: string) => ListenerView | undefined;
  /** An exception while a row was worked on; it was answered with 500. */
  readonly fault: (error: unknown) => void;
}

const INTERIMS = 16;
const none = Buffer.alloc(0);
const noEndpoint = Buffer.from('no healthy upstream');
const lostUpstream = Buffer.from('upstream connect error or disconnect/reset before headers');
const connectRefused = Buffer.from('CONNECT is not served');
const tooSlow = Buffer.from('upstream request timeout');

/** The chain of one worker, on its engine's memory. */
export class Chain {
  private readonly engine: t.Engine;
  private readonly o: ChainOptions;
  private readonly arena: Buffer;
  private readonly rows: Int32Array;
  private readonly e: Emitter;
  private readonly greeter: Greeter;
  private readonly exchanges: Exchange[] = [];
  /** Milliseconds since 1970, 0: not asked for in this turn. */
  private now = 0;
  private readonly controls: (base: number) => Controls;

  constructor(engine: t.Engine, o: ChainOptions) {
    this.engine = engine;
    this.o = o;
    this.arena = engine.arena;
    this.rows = engine.rows;
    this.e = new Emitter(engine.arena, engine.rows);
    this.controls = readControls(engine);
    this.greeter = new Greeter(engine, this.e, o);
    engine.template(END_TEMPLATE, endTemplate);
    engine.template(CONNECT_TEMPLATE, connectTemplate);
  }

  /** Fills the out words of rows 0..n-1. */
  onBatch(n: number): void {
    this.now = 0;
    this.e.batch();
    this.o.http2?.batch();
    for (let i = 0; i < n; i += 1) {
      const base = i * t.ROW_WORDS;
      try {
        this.row(base);
      } catch (error) {
        this.o.fault(error);
        const x = this.exchangeOf(this.rows[base + t.W_CONN]!);
        x.flags = 'exception';
        if (this.greeter.owns(x, base)) {
          this.rows[base + t.W_ACTION] = t.CLOSE;
          continue;
        }
        if (this.rows[base + t.W_KIND] === t.REQUEST) swallow(this.e, base, this.rows[base + t.W_LEN]!);
        this.answer(x, base, 500, none, false);
      }
    }
    this.o.http2?.flush();
  }

  /** Goes on with what another worker began, as far as a label says anything of it. */
  adopt({ conn, greeting }: t.Taken, label?: Label, listener?: ListenerView, stat = NO_ROUTE): void {
    const x = this.exchangeOf(conn);
    x.greeted = greeting === undefined;
    x.secured = !x.greeted && this.engine.peer(conn).tls !== undefined;
    if (label !== undefined) adopt(x, this.engine, label, listener, stat);
    if (label?.http2 !== undefined) this.o.http2?.server.adopt(conn, label.http2);
  }

  private exchangeOf(conn: number): Exchange {
    const x = (this.exchanges[t.slotOf(conn)] ??= new Exchange());
    if (x.conn !== conn) x.begin(conn);
    return x;
  }

  private answer(x: Exchange, base: number, status: number, body: Uint8Array, keep: boolean): void {
    x.status = status;
    const to = { base, keep, minor: x.minor, head: x.isHead };
    if (x.call !== 'none') return emitGrpcStatus(this.e, to, x.call, status, body, this.o.clock.now());
    emitReply(this.e, to, status, body, this.o.clock.now());
  }

  /** Over TLS a connection has the routes of the host that it was made for, and no others. */
  private listenerOf(base: number, x: Exchange): ListenerView | undefined {
    const listener = this.o.listener(this.rows[base + t.W_LISTENER]!);
    if (listener?.protocol !== 'HTTPS') return listener;
    const { tls } = this.engine.peer(x.conn);
    return tls === undefined ? undefined : (this.o.host(tls.policy) ?? { ...listener, retired: true });
  }

  private most(listener: ListenerView | undefined): number {
    return listener?.maxRequests || this.o.maxRequestsPerConnection;
  }

  /** How many requests the row's connection may bring, 0: any number. */
  maxRequests(base: number): number {
    return this.most(this.listenerOf(base, this.exchangeOf(this.rows[base + t.W_CONN]!)));
  }

  private request(base: number, x: Exchange): void {
    const off = this.rows[base + t.W_OFF]!;
    const len = this.rows[base + t.W_LEN]!;
    if (x.requests === 0 && this.o.http2?.server.begins(base) === true) return;
    const listener = this.listenerOf(base, x);
    const bounds = listener?.bounds ?? headBounds;
    if (nothingNew(this.arena, off, x.scanned, len, bounds.bytes)) {
      x.scanned = len;
      return;
    }
    const got = parseRequest(this.arena, off, off + len, bounds, this.controls(base));
    if (got === 0) {
      x.scanned = len;
      return;
    }
    x.scanned = 0;
    x.listener = listener;
    x.greeted = true;
    x.status = 0;
    x.tries = 0;
    x.interims = 0;
    x.flags = '';
    x.call = 'none';
    const bad = got < 0 ? got : normalisePath(this.e, listener?.paths ?? defaultPaths);
    if (bad < 0) return this.unreadable(base, x, -bad, len);
    this.rows[base + t.W_HEAD] = got;
    x.minor = head.minor;
    x.isHead = head.method === HEAD;
    x.call = head.method === OTHER ? callOf(this.arena) : 'none';
    x.safe = head.method !== OTHER && head.method !== CONNECT;
    x.requests += 1;
    const last = x.requests === this.most(listener) || this.ending(base);
    const stays = head.minor === 1 || (head.connection & C_KEEP_ALIVE) !== 0;
    x.keep = stays && (head.connection & C_CLOSE) === 0 && !last;
    // What follows CONNECT is no request.
    if (head.method === CONNECT) x.keep = false;
    x.upgrade = upgrades(this.arena);
    frameRequest(this.rows, base);
    if (this.o.log !== undefined) x.remember(this.arena);
    this.route(base, x);
  }

  private ending(base: number): boolean {
    return (this.rows[base + t.W_IN]! & t.IN_DRAINING) !== 0;
  }

  private unreadable(base: number, x: Exchange, status: number, len: number): void {
    x.minor = 1;
    x.isHead = false;
    x.subject.clear();
    x.flags = 'bad-request';
    swallow(this.e, base, len);
    this.answer(x, base, status, Buffer.from(head.why), false);
  }

  /** An early this.answer may go on with the connection unless the client waits to be told to send its body. */
  private mayKeep(x: Exchange): boolean {
    return x.keep && !head.expect;
  }

  private route(base: number, x: Exchange): void {
    const { listener } = x;
    if (listener?.retired === true) {
      x.flags = 'other-rules';
      return this.answer(x, base, 421, none, false);
    }
    const act = listener === undefined ? undefined : find(listener.table, this.arena);
    x.act = act;
    const connect = head.method === CONNECT;
    if (connect && (act?.kind !== 'forward' || head.upgrade >= 0)) {
      x.flags = 'connect-refused';
      return this.answer(x, base, 501, connectRefused, false);
    }
    if (act === undefined) {
      x.flags = 'no-route';
      return this.answer(x, base, 404, none, this.mayKeep(x));
    }
    if (act.kind === 'forward') return this.forward(base, x, act);
    if (act.kind === 'reply' && act.status >= 400 && x.call !== 'none') {
      return this.answer(x, base, act.status, act.body, this.mayKeep(x));
    }
    const to = { base, keep: this.mayKeep(x), minor: x.minor, head: x.isHead };
    x.status = act.kind === 'reply' ? act.status : act.redirect!.status;
    const now = this.o.clock.now();
    if (act.kind === 'reply') emitReply(this.e, to, act.status, act.body, now, act.response);
    else emitRedirect(this.e, to, act.redirect!, act.match, now, act.response, listener?.protocol === 'HTTPS');
  }

  private forward(base: number, x: Exchange, act: Act): void {
    const target = nextTarget(act);
    x.target = target;
    if (target?.cluster === undefined) {
      x.flags = 'no-cluster';
      return this.answer(x, base, 500, none, this.mayKeep(x));
    }
    if (!this.choose(x, target)) return this.answer(x, base, 503, noEndpoint, this.mayKeep(x));
    this.rows[base + t.W_ACTION] = t.FORWARD;
    this.rows[base + t.W_ENDPOINT] = x.backend!.id;
    const timeoutMs = x.call === 'none' ? act.timeoutMs : deadlineMs(this.arena, act.timeoutMs);
    this.rows[base + t.W_DEADLINE] = Math.min(timeoutMs, 0x7fffffff);
    if (act.idleMs > 0) this.engine.stall(x.conn, act.idleMs);
    this.e.start(base);
    const peer = this.engine.peer(x.conn);
    if (target.cluster.proxyProtocol !== undefined) emitProxy(this.e, target.cluster.proxyProtocol, peer);
    if (head.method === CONNECT) {
      emitConnect(this.e, base, x);
      return this.engine.label(x.conn, labelOf(x));
    }
    emitRequest(this.e, act.change, target.request, peer, x.listener);
  }

  private choose(x: Exchange, target: Target): boolean {
    if (x.backend !== undefined) x.backend.active -= 1;
    x.backend = target.cluster === undefined ? undefined : this.o.upstreams.pick(target.cluster);
    if (x.backend === undefined) {
      x.flags = 'no-endpoint';
      return false;
    }
    x.backend.active += 1;
    return true;
  }

  private response(base: number, x: Exchange): void {
    const off = this.rows[base + t.W_OFF]!;
    const got = parseResponse(this.arena, off, off + this.rows[base + t.W_LEN]!, this.controls(base));
    if (got === 0) return;
    const open = (this.rows[base + t.W_IN]! & t.IN_REQUEST_OPEN) !== 0;
    if (got < 0) return this.badResponse(base, x, open);
    this.rows[base + t.W_HEAD] = got;
    if (head.status === 101) return this.switched(base, x, open);
    const body = responseBody(x.isHead);
    if (body < 0) return this.badResponse(base, x, open);
    if (body === t.BODY_INTERIM) return this.interim(base, x, open);
    // To a WebSocket over HTTP/2 it would say that the tunnel stands.
    if (x.upgrade && head.status < 300 && this.o.http2?.server.isTunnel(x.conn) === true) {
      return this.badResponse(base, x, open);
    }
    x.status = head.status;
    const flags = this.reuse(x, responseFlags(body, x.keep && !open && !this.ending(base), x.minor));
    this.rows[base + t.W_ACTION] = t.FORWARD;
    this.rows[base + t.W_BODY] = body;
    this.rows[base + t.W_OUT] = flags;
    if (body === t.BODY_LENGTH) frameLength(this.rows, base);
    this.e.start(base);
    emitResponse(this.e, body, flags, x.minor, x.target!.response);
  }

  /** A connection that the server closes at once, by its own word, is not used again; nor one that speaks for one
   * client. */
  private reuse(x: Exchange, flags: number): number {
    const seconds = keepAliveSeconds(this.arena);
    if (seconds >= 0) this.o.upstreams.keeps(x.backend!, seconds);
    const once = x.backend!.idleMs === 0 || x.target!.cluster?.proxyProtocol !== undefined;
    return once ? flags & ~t.OUT_KEEP_UPSTREAM : flags;
  }

  private badResponse(base: number, x: Exchange, open: boolean): void {
    x.flags = 'bad-response';
    this.answer(x, base, 502, none, x.keep && !open);
  }

  private interim(base: number, x: Exchange, open: boolean): void {
    x.interims += 1;
    if (x.interims > INTERIMS) return this.badResponse(base, x, open);
    this.rows[base + t.W_ACTION] = t.FORWARD;
    this.rows[base + t.W_BODY] = t.BODY_INTERIM;
    this.e.start(base);
    // A client of HTTP/1.0 does not know them.
    if (x.minor === 1) emitResponse(this.e, t.BODY_INTERIM, t.OUT_KEEP, x.minor, noChange);
  }

  private switched(base: number, x: Exchange, open: boolean): void {
    if (!x.upgrade || open) return this.badResponse(base, x, open);
    x.status = 101;
    x.flags = 'upgraded';
    this.engine.label(x.conn, labelOf(x));
    this.rows[base + t.W_ACTION] = t.TUNNEL;
    this.rows[base + t.W_DEADLINE] = x.listener?.maxTunnelMs ?? 0;
    this.e.start(base);
    emitResponse(this.e, t.BODY_NONE, t.OUT_KEEP, 1, x.target!.response);
  }

  /** Nothing of it reached a server, or the server closed an idle connection as we used it and the request may be sent
   * twice (RFC 9110 9.2.2): one more try. */
  private failed(base: number, x: Exchange): void {
    const flags = this.rows[base + t.W_IN]!;
    const why = this.rows[base + t.W_REASON]!;
    const open = (flags & t.IN_REQUEST_OPEN) !== 0;
    if (why === t.WHY_FRAMING) {
      x.flags = 'bad-request';
      return this.answer(x, base, 400, none, false);
    }
    const again = (flags & t.IN_REPLAYABLE) !== 0 && x.tries === 0;
    const lost = (flags & t.IN_SENT) === 0 || ((flags & t.IN_REUSED) !== 0 && x.safe);
    if (again && lost && x.target !== undefined && this.choose(x, x.target)) {
      x.tries += 1;
      this.rows[base + t.W_ACTION] = t.RETRY;
      this.rows[base + t.W_ENDPOINT] = x.backend!.id;
      return;
    }
    x.flags = endings[why] ?? '';
    this.answer(x, base, 503, lostUpstream, x.keep && !open);
  }

  private timeout(base: number, x: Exchange): void {
    const flags = this.rows[base + t.W_IN]!;
    const why = this.rows[base + t.W_REASON]!;
    x.flags = why === t.WHY_DEADLINE ? 'timeout' : why === t.WHY_HEAD ? 'slow-head' : 'stalled';
    if (why === t.WHY_HEAD) {
      x.listener = this.listenerOf(base, x);
      x.minor = 1;
      x.isHead = false;
      x.call = 'none';
      x.subject.clear();
      return this.answer(x, base, 408, none, false);
    }
    const open = (flags & t.IN_REQUEST_OPEN) !== 0;
    if ((flags & t.IN_STARTED) !== 0) this.rows[base + t.W_ACTION] = t.CLOSE;
    else if (open && why === t.WHY_STALL) this.answer(x, base, 408, none, false);
    else this.answer(x, base, 504, tooSlow, x.keep && !open);
  }

  private done(base: number, x: Exchange): void {
    const us = this.rows[base + t.W_OFF]!;
    const why = this.rows[base + t.W_REASON]!;
    const bytesIn = t.wide(this.rows[base + t.W_DONE_IN_LO]!, this.rows[base + t.W_DONE_IN_HI]!);
    const bytesOut = t.wide(this.rows[base + t.W_DONE_OUT_LO]!, this.rows[base + t.W_DONE_OUT_HI]!);
    this.o.counters.done((x.act ?? x.stream)?.stat ?? NO_ROUTE, x.status, us, bytesIn, bytesOut, why !== t.WHY_NONE);
    if (this.o.log !== undefined) {
      const now = (this.now ||= this.o.clock.now());
      this.o.log.write(recordOf(x, this.engine.peer(x.conn), { now, us, bytesIn, bytesOut, why }));
    }
    x.release();
  }

  private row(base: number): void {
    const kind = this.rows[base + t.W_KIND]!;
    if (kind === t.BYTES || kind === t.OUTPUT) return this.o.http2?.row(base);
    const x = this.exchangeOf(this.rows[base + t.W_CONN]!);
    if (this.greeter.owns(x, base)) return this.greeter.row(base, x);
    switch (kind) {
      case t.REQUEST:
        return this.request(base, x);
      case t.RESPONSE:
        return this.response(base, x);
      case t.FAILED:
        return this.failed(base, x);
      case t.TIMEOUT:
        return this.timeout(base, x);
      case t.DONE:
        return this.done(base, x);
      default:
    }
  }
}
