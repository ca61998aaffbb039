// HTTP/2 of clients: connections in bytes mode, whose streams are connections of the engine, so that the chain sees a
// request of HTTP/1.1 in each. Here requests are opened and fed, and what their streams are answered becomes frames.
import type { Clock } from '../../lib/clock.ts';
import { head } from '../head/fields.ts';
import { labelOfHttp2 } from '../head/outcome.ts';
import { parseResponse } from '../http1.ts';
import type { Malformed } from '../record/malformed.ts';
import * as t from '../transport.ts';
import { putAnswer, putTrailers } from './answer.ts';
import * as f from './frames.ts';
import { HEAD_AT } from './frames.ts';
import type { FrameWriter, Outbox } from './frames.ts';
import { MAX_LIST_BYTES, RequestHead } from './request.ts';
import { Session } from './session.ts';
import type { Role } from './session.ts';
import { restoreSession, saveSession } from '../move/session.ts';
import type { SessionState } from '../move/session.ts';
import { CHUNKED, CONN, HEAD_DONE, ID, LOCAL_DONE, REMOTE_DONE, TUNNEL, WAITS, WEBSOCKET, WORDS } from './streams.ts';
import { Trailers, putChunk, putLastChunk } from './trailers.ts';
import { acceptOf, takeAccept } from './websocket.ts';

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
/** Bytes of a connection that wait in the engine: with more, its streams are not read. */
const HIGH_BYTES = 256 * 1024;
/** A stream that has taken all but so much may be sent more. */
const LOW_BYTES = 32 * 1024;
/** How long a client has to hear that its connection ends. */
const LAST_CALL_MS = 1_000;
/** How long after its last stream a connection has what another worker would need to go on with it. */
const REST_MS = 250;

export interface Http2Options {
  readonly clock: Clock;
  /** Of one connection, at once. */
  readonly maxStreams?: number;
  /** What is agreed for the connection by ALPN (RFC 7301), "" or undefined: nothing. With h2, whatever else it begins
   * with ends it; with anything else, it is no HTTP/2. */
  readonly agreed?: (conn: number) => string | undefined;
  /** How many requests the row's connection may bring; 0, or absent: any number. */
  readonly maxRequests?: (base: number) => number;
  /** Told of requests that are reset as malformed. */
  readonly malformed?: Malformed;
  /** An exception while a row was worked on; its connection was ended. */
  readonly fault: (error: unknown) => void;
}

export class Http2Server implements Role {
  private readonly engine: t.Engine;
  private readonly o: Http2Options;
  private readonly maxStreams: number;
  private readonly rows: Int32Array;
  private readonly arena: Buffer;
  private readonly box: Outbox;
  private readonly out: FrameWriter;
  private readonly request: RequestHead;
  private readonly trailers: Trailers;
  private readonly sessions = new Map<number, Session>();
  /** Had no stream when they were last looked at. */
  private readonly resting = new Set<Session>();
  private rest: Disposable | undefined;
  /** Sessions by the slot of a stream. */
  private readonly owners: (Session | undefined)[] = [];
  private readonly places = new Int32Array(0x1_0000);
  /** Of the connection that is read. */
  private listener = 0;
  /** Of the WebSockets that wait for their server's answer, by connection. */
  private readonly keys = new Map<number, string>();

  constructor(engine: t.Engine, box: Outbox, o: Http2Options) {
    this.engine = engine;
    this.box = box;
    this.o = o;
    this.maxStreams = o.maxStreams ?? 100;
    this.rows = engine.rows;
    this.arena = engine.arena;
    this.out = box.out;
    this.request = new RequestHead(engine.arena, HEAD_AT);
    this.trailers = new Trailers(engine.arena, HEAD_AT);
  }

  /** The first bytes of a connection: whether they are HTTP/2's, or still may be. Then the row is filled. */
  begins(base: number): boolean {
    const off = this.rows[base + t.W_OFF]!;
    const len = Math.min(this.rows[base + t.W_LEN]!, preface.length);
    const conn = this.rows[base + t.W_CONN]!;
    const agreed = this.o.agreed?.(conn) ?? '';
    if (this.ownerOf(conn) !== undefined || (agreed !== '' && agreed !== 'h2')) return false;
    for (let i = 0; i < len; i += 1) {
      if (this.arena[off + i] === preface[i]) continue;
      if (agreed !== 'h2') return false;
      this.rows[base + t.W_ACTION] = t.CLOSE;
      return true;
    }
    if (len < preface.length) return true;
    this.rows[base + t.W_ACTION] = t.RAW;
    this.rows[base + t.W_HEAD] = preface.length;
    const s = new Session(conn, this, this.out);
    s.requestsLeft = this.o.maxRequests?.(base) || Infinity;
    this.sessions.set(conn, s);
    return true;
  }

  /** A row of kind BYTES or OUTPUT. */
  row(base: number): void {
    const conn = this.rows[base + t.W_CONN]!;
    const s = this.sessions.get(conn) ?? this.ownerOf(conn);
    if (s === undefined) {
      this.rows[base + t.W_HEAD] = this.rows[base + t.W_LEN]!;
      return;
    }
    this.box.use(s);
    try {
      if (this.rows[base + t.W_KIND] === t.BYTES) this.bytes(base, s);
      else if (s.conn === conn) this.carrier(base, s);
      else this.output(base, s, this.places[t.slotOf(conn)]!);
    } catch (error) {
      this.o.fault(error);
      s.fail(f.INTERNAL_ERROR);
      this.end(s);
    }
  }

  /** The session that a stream belongs to. */
  ownerOf(conn: number): Session | undefined {
    const s = this.owners[t.slotOf(conn)];
    return s !== undefined && s.streams.words[this.places[t.slotOf(conn)]! + CONN] === conn ? s : undefined;
  }

  /** The stream is a CONNECT: to it 2xx means a tunnel. */
  isTunnel(conn: number): boolean {
    return this.ownerOf(conn)?.streams.has(this.places[t.slotOf(conn)]!, TUNNEL) === true;
  }

  private bytes(base: number, s: Session): void {
    this.listener = this.rows[base + t.W_LISTENER]!;
    if (!s.greeted) {
      s.greet([
        [f.S_MAX_STREAMS, this.maxStreams],
        [f.S_MAX_LIST, MAX_LIST_BYTES],
        [f.S_CONNECT_PROTOCOL, 1],
      ]);
    }
    // One that began as its listener went.
    if ((this.rows[base + t.W_IN]! & t.IN_DRAINING) !== 0) this.drain(s);
    const off = this.rows[base + t.W_OFF]!;
    const len = this.rows[base + t.W_LEN]!;
    this.rows[base + t.W_HEAD] = s.feed(this.arena, off, off + len);
    if (s.failed) {
      this.rows[base + t.W_HEAD] = len;
      this.end(s);
    }
    this.leave(s);
  }

  /** News of the connection itself. */
  private carrier(base: number, s: Session): void {
    const flags = this.rows[base + t.W_IN]!;
    if ((flags & t.IN_GONE) !== 0) return this.forget(s);
    if ((flags & t.IN_DRAINED) !== 0) {
      s.queued = 0;
      s.pump();
    }
    if ((flags & t.IN_DRAINING) !== 0) this.drain(s);
  }

  /** Tells all clients that their connections end. */
  drainAll(): void {
    for (const s of this.sessions.values()) {
      this.box.use(s);
      this.drain(s);
      this.box.flush();
    }
  }

  private drain(s: Session): void {
    if (s.draining) return;
    s.drain();
    this.o.clock.after(LAST_CALL_MS, () => this.lastCall(s));
  }

  pinged(s: Session): void {
    s.lastCall();
  }

  private lastCall(s: Session): void {
    if (this.sessions.get(s.conn) !== s) return;
    this.box.use(s);
    s.lastCall();
    this.leave(s);
    this.box.flush();
  }

  /** Ends a connection that takes no more requests and has none; one that may rest is to be told of in a while. */
  private leave(s: Session): void {
    if (s.streams.count > 0 || s.failed) return;
    if (s.limit !== f.MAX_ID) return this.end(s);
    this.resting.add(s);
    this.rest ??= this.o.clock.after(REST_MS, () => this.settle(REST_MS));
  }

  /** Leaves with the engine, for each connection that has had no stream for `ms`, what a worker that takes it has to
   * know: also one that takes it because this one was lost. */
  settle(ms = 0): void {
    this.rest?.[Symbol.dispose]();
    this.rest = undefined;
    const since = this.o.clock.monotonic() - ms;
    for (const s of this.resting) {
      if (s.nowMs > since) continue;
      this.resting.delete(s);
      const state = this.sessions.get(s.conn) === s ? saveSession(s) : undefined;
      if (state !== undefined) this.engine.label(s.conn, labelOfHttp2(state, this.engine.peer(s.conn)));
    }
    if (this.resting.size > 0) this.rest = this.o.clock.after(REST_MS, () => this.settle(REST_MS));
  }

  /** Goes on with a connection that another worker had. */
  adopt(conn: number, state: SessionState): void {
    const s = restoreSession(state, conn, this, this.out);
    this.sessions.set(conn, s);
    this.resting.add(s);
    this.settle();
  }

  private end(s: Session): void {
    this.box.flush();
    this.engine.close(s.conn, 'end');
    this.forget(s);
  }

  private forget(s: Session): void {
    for (const at of s.streams.all()) this.dropped(s, at);
    this.sessions.delete(s.conn);
    this.box.flush();
  }

  goaway(): void {}

  block(s: Session, a: Uint8Array, from: number, to: number, id: number, flags: number, fault: number): number {
    const whole = (flags & f.END_STREAM) !== 0;
    const at = s.streams.find(id);
    if (id <= s.last && at < 0 && !s.forgiven.has(id)) return f.STREAM_CLOSED;
    const isRequest = id > s.last;
    const sink = isRequest ? this.request : this.trailers;
    sink.begin();
    const error = s.decoder.decode(a, from, to, sink);
    if (error !== 0) return error;
    if (isRequest) return this.open(s, id, whole, fault);
    if (at < 0) return s.spend();
    if (s.streams.has(at, REMOTE_DONE)) return s.refuse(id, f.STREAM_CLOSED);
    const owed = s.streams.owed[at / WORDS]!;
    // RFC 9113 8.5: a tunnel has nothing but DATA.
    if (!whole || s.streams.has(at, TUNNEL) || fault !== 0 || this.trailers.why !== '' || owed > 0)
      return s.refuse(id, f.PROTOCOL_ERROR);
    s.streams.set(at, REMOTE_DONE);
    this.close(s, at, true);
    return 0;
  }

  private open(s: Session, id: number, whole: boolean, fault: number): number {
    if (id > s.limit) return s.spend();
    s.last = id;
    const end = this.request.end(whole);
    if (fault !== 0 || this.request.why !== '') {
      const tooLarge = s.decoder.listBytes > MAX_LIST_BYTES;
      this.o.malformed?.(s.conn, this.listener, tooLarge ? 431 : 400, this.request);
      return s.refuse(id, tooLarge ? f.ENHANCE_YOUR_CALM : f.PROTOCOL_ERROR);
    }
    if (s.decoder.listBytes > MAX_LIST_BYTES) {
      this.o.malformed?.(s.conn, this.listener, 431, this.request);
      return s.refuse(id, f.ENHANCE_YOUR_CALM);
    }
    const conn = s.streams.count < this.maxStreams ? this.engine.stream(s.conn) : -1;
    if (conn < 0) return s.refuse(id, f.REFUSED_STREAM);
    const at = s.openStream(id);
    s.streams.words[at + CONN] = conn;
    s.streams.owed[at / WORDS] = this.request.contentLength;
    this.owners[t.slotOf(conn)] = s;
    this.places[t.slotOf(conn)] = at;
    if (this.request.tunnel) s.streams.set(at, this.request.key === '' ? TUNNEL : TUNNEL | WEBSOCKET);
    if (this.request.key !== '') this.keys.set(conn, this.request.key);
    if (whole) s.streams.set(at, REMOTE_DONE);
    else if (!this.request.tunnel && this.request.contentLength < 0) s.streams.set(at, CHUNKED);
    this.engine.send(conn, HEAD_AT, end - HEAD_AT);
    if (whole) this.engine.close(conn, 'end');
    s.requestsLeft -= 1;
    if (s.requestsLeft <= 0) s.lastCall();
    return 0;
  }

  data(s: Session, at: number, from: number, to: number): number {
    const conn = s.streams.words[at + CONN]!;
    const done = s.streams.has(at, REMOTE_DONE);
    const start = to > from && s.streams.has(at, CHUNKED) ? putChunk(this.arena, s.streams, at, from, to) : from;
    const waiting = to > start ? this.engine.send(conn, start, to - start) : 0;
    if (done) this.close(s, at, false);
    else if (waiting <= LOW_BYTES) s.credit(at);
    return 0;
  }

  /** The request is whole; the trailers that were read go behind it. */
  private close(s: Session, at: number, trailers: boolean): void {
    const conn = s.streams.words[at + CONN]!;
    if (s.streams.has(at, CHUNKED)) {
      const end = putLastChunk(this.arena, s.streams, at, trailers ? this.trailers.at : HEAD_AT);
      this.engine.send(conn, HEAD_AT, end - HEAD_AT);
    }
    this.engine.close(conn, 'end');
    if (s.streams.has(at, LOCAL_DONE)) this.over(s, at, f.NO_ERROR);
  }

  dropped(s: Session, at: number): void {
    const conn = s.streams.words[at + CONN]!;
    this.keys.delete(conn);
    if (this.owners[t.slotOf(conn)] === s) this.owners[t.slotOf(conn)] = undefined;
    this.engine.close(conn, 'reset');
  }

  room(s: Session, at: number): void {
    this.engine.resume(s.streams.words[at + CONN]!);
  }

  /** What a stream is answered. */
  private output(base: number, s: Session, at: number): void {
    const flags = this.rows[base + t.W_IN]!;
    const off = this.rows[base + t.W_OFF]!;
    const end = off + this.rows[base + t.W_LEN]!;
    if ((flags & t.IN_DRAINED) !== 0) s.credit(at);
    // RFC 8441 5: a reset of TCP is CANCEL.
    if ((flags & t.IN_GONE) !== 0) return this.over(s, at, s.streams.has(at, TUNNEL) ? f.CANCEL : f.INTERNAL_ERROR);
    // Of a tunnel whose other direction goes on: its end is said.
    if (s.streams.has(at, LOCAL_DONE)) return;
    if ((flags & t.IN_TRAILERS) !== 0) return this.trail(base, s, at);
    const last = (flags & t.IN_EOF) !== 0;
    let p = off;
    while (p >= 0 && p < end && !s.streams.has(at, HEAD_DONE)) p = this.heads(s, at, p, end, last);
    if (p < 0) return;
    if (p < end && s.queued < HIGH_BYTES) p += s.send(at, p, end, last);
    this.rows[base + t.W_HEAD] = p - off;
    if (p < end) s.streams.set(at, WAITS);
    else if (last) {
      if (off === end) this.out.head(0, f.DATA, f.END_STREAM, s.streams.words[at + ID]!);
      // A tunnel's other direction goes on.
      if (s.streams.has(at, TUNNEL) && !s.streams.has(at, REMOTE_DONE)) s.streams.set(at, LOCAL_DONE);
      else this.over(s, at, f.NO_ERROR);
    }
  }

  private trail(base: number, s: Session, at: number): void {
    const off = this.rows[base + t.W_OFF]!;
    const end = off + this.rows[base + t.W_LEN]!;
    this.rows[base + t.W_HEAD] = end - off;
    putTrailers(this.out, this.arena, off, end, s.streams.words[at + ID]!);
    this.over(s, at, f.NO_ERROR);
  }

  /** One head, interim or final. Gives the place behind it, -1: the stream is over. */
  private heads(s: Session, at: number, off: number, end: number, last: boolean): number {
    const size = parseResponse(this.arena, off, end);
    if (size <= 0) throw new Error(`answer to a stream: ${size === 0 ? 'no whole head' : head.why}`);
    const ends = last && off + size === end;
    if (s.streams.has(at, TUNNEL) && !this.tunnelHead(s, at)) return -1;
    if (head.status >= 200) s.streams.set(at, HEAD_DONE);
    putAnswer(this.out, this.arena, s.streams.words[at + ID]!, ends ? f.END_STREAM : 0);
    return off + size;
  }

  /** What answers CONNECT: 2xx is for tunnels only, and 101 of a WebSocket is 200 here. False: the stream is reset. */
  private tunnelHead(s: Session, at: number): boolean {
    const { status } = head;
    const conn = s.streams.words[at + CONN]!;
    const websocket = s.streams.has(at, WEBSOCKET);
    const switched = status === 101 && websocket && takeAccept(this.arena) === acceptOf(this.keys.get(conn)!);
    if (switched) head.status = 200;
    else if (status >= 300) s.streams.clear(at, TUNNEL);
    if (switched || status >= 300 || (status !== 101 && (status < 200 || !websocket))) return true;
    this.over(s, at, f.CONNECT_ERROR);
    this.engine.close(conn, 'reset');
    return false;
  }

  private over(s: Session, at: number, code: number): void {
    const conn = s.streams.words[at + CONN]!;
    this.keys.delete(conn);
    this.owners[t.slotOf(conn)] = undefined;
    s.finish(at, code);
    this.leave(s);
  }
}
