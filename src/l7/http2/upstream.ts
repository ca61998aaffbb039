// HTTP/2 to upstreams: requests to endpoints that speak it come as OUTPUT, head first; each is a stream on one of the
// endpoint's connections, and what comes back is fed to the engine as an answer of HTTP/1.1.
import type { Clock } from '../../lib/clock.ts';
import { head } from '../head/fields.ts';
import { upgrades } from '../head/request.ts';
import { HEAD, parseRequest } from '../http1.ts';
import * as t from '../transport.ts';
import { putRequest, putTrailers } from './answer.ts';
import * as f from './frames.ts';
import { HEAD_AT } from './frames.ts';
import type { FrameWriter, Outbox } from './frames.ts';
import { ResponseHead } from './response.ts';
import { MAX_LIST_BYTES } from './request.ts';
import { Session } from './session.ts';
import type { Role } from './session.ts';
import { CHUNKED, CONN, HEAD_DONE, ID, LOCAL_DONE, NO_BODY, PASSED_ON, REMOTE_DONE } from './streams.ts';
import { SEND, TUNNEL, WAITS, WEB, WEB_TEXT, WORDS } from './streams.ts';
import { Trailers, putLastChunk } from './trailers.ts';
import { endsWithin, putPiece, putTrailerPiece, suffixOf, takeText, takeWeb, taken } from './grpcweb.ts';
import { acceptOf, takeKey } from './websocket.ts';

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
const notImplemented = 'HTTP/1.1 501 Not Implemented\r\ncontent-length: 0\r\n\r\n';
const HIGH_BYTES = 256 * 1024;
const LOW_BYTES = 32 * 1024;
/** Streams of one connection, whatever its server allows, and connections to one endpoint. */
const MAX_STREAMS = 100;
const MAX_SESSIONS = 32;
/** A connection without streams is kept for so long. */
const IDLE_MS = 60_000;

export interface Http2UpstreamOptions {
  readonly clock: Clock;
  /** An exception while a row was worked on; its connection was ended. */
  readonly fault: (error: unknown) => void;
}

export class Http2Upstream implements Role {
  private readonly engine: t.Engine;
  private readonly o: Http2UpstreamOptions;
  private readonly rows: Int32Array;
  private readonly arena: Buffer;
  private readonly box: Outbox;
  private readonly out: FrameWriter;
  private readonly response: ResponseHead;
  private readonly trailers: Trailers;
  /** Endpoints whose servers gRPC-web is made gRPC for. */
  private readonly web = new Set<number>();
  private readonly sessions = new Map<number, Session>();
  private readonly byEndpoint = new Map<number, Session[]>();
  private readonly endpointOf = new Map<Session, number>();
  /** Clients' connections whose requests wait for a server's first SETTINGS: it may want few streams. */
  private readonly early = new Map<Session, Set<number>>();
  /** Sessions, and the place of the stream in each, by the slot of the client's connection. */
  private readonly owners: (Session | undefined)[] = [];
  private readonly places = new Int32Array(0x1_0000);
  /** Of WebSockets that wait for an answer, by the client's connection. */
  private readonly keys = new Map<number, string>();

  constructor(engine: t.Engine, box: Outbox, o: Http2UpstreamOptions) {
    this.engine = engine;
    this.o = o;
    this.rows = engine.rows;
    this.arena = engine.arena;
    this.box = box;
    this.out = box.out;
    this.response = new ResponseHead(engine.arena, HEAD_AT);
    this.trailers = new Trailers(engine.arena, HEAD_AT);
  }

  /** The row is of one of our connections, or of a request to us. */
  takes(base: number): boolean {
    return (this.rows[base + t.W_IN]! & t.IN_UPSTREAM) !== 0 || this.sessions.has(this.rows[base + t.W_CONN]!);
  }

  row(base: number): void {
    const conn = this.rows[base + t.W_CONN]!;
    const s = this.sessions.get(conn) ?? this.ownerOf(conn);
    try {
      if (s !== undefined) this.box.use(s);
      if ((this.rows[base + t.W_IN]! & t.IN_UPSTREAM) !== 0) this.request(base, conn, s);
      else if (this.rows[base + t.W_KIND] === t.BYTES) this.bytes(base, s!);
      else this.carrier(base, s!);
    } catch (error) {
      this.o.fault(error);
      if (s === undefined) return;
      s.fail(f.INTERNAL_ERROR);
      this.end(s);
    }
  }

  /** Calls of gRPC-web to the endpoint are made calls of gRPC. */
  translate(endpoint: number): void {
    this.web.add(endpoint);
  }

  /** The endpoint takes no request more; what is under way finishes. */
  dropEndpoint(endpoint: number): void {
    this.web.delete(endpoint);
    for (const s of this.byEndpoint.get(endpoint) ?? []) {
      s.draining = true;
      this.leave(s);
    }
  }

  private ownerOf(conn: number): Session | undefined {
    const s = this.owners[t.slotOf(conn)];
    return s !== undefined && s.streams.words[this.places[t.slotOf(conn)]! + CONN] === conn ? s : undefined;
  }

  /** One with room for another stream, dialled where there is none. */
  private sessionFor(endpoint: number): Session | undefined {
    const list = this.byEndpoint.get(endpoint) ?? [];
    const free = list.find((s) => !s.draining && !s.failed && s.streams.count < Math.min(MAX_STREAMS, s.maxStreams));
    if (free !== undefined) return free;
    // Who takes no stream now takes none of another connection either.
    if (list.some((s) => s.settled && !s.draining && s.maxStreams === 0)) return undefined;
    const conn = list.length < MAX_SESSIONS ? this.engine.dial(endpoint) : -1;
    if (conn < 0) return undefined;
    const s = new Session(conn, this, this.out);
    s.last = -1;
    s.isClient = true;
    this.sessions.set(conn, s);
    this.endpointOf.set(s, endpoint);
    this.early.set(s, new Set());
    this.byEndpoint.set(endpoint, [...list, s]);
    this.box.use(s);
    this.out.bytes(preface);
    s.greet([
      [f.S_ENABLE_PUSH, 0],
      [f.S_MAX_LIST, MAX_LIST_BYTES],
    ]);
    return s;
  }

  /** What a request says, or that nobody waits for its answer any more. */
  private request(base: number, conn: number, known: Session | undefined): void {
    const flags = this.rows[base + t.W_IN]!;
    if ((flags & t.IN_GONE) !== 0) {
      if (known !== undefined) this.release(known, this.places[t.slotOf(conn)]!);
      return;
    }
    const off = this.rows[base + t.W_OFF]!;
    const end = off + this.rows[base + t.W_LEN]!;
    const last = (flags & t.IN_EOF) !== 0;
    let p = off;
    let s = known;
    if (s === undefined) {
      this.rows[base + t.W_HEAD] = end - off;
      // The rest of a request whose stream is over already says nothing more, whatever it looks like.
      if (p === end || (flags & (t.IN_TUNNEL | t.IN_FIRST)) !== t.IN_FIRST) return;
      s = this.sessionFor(this.rows[base + t.W_ENDPOINT]!);
      if (s?.settled === false) {
        this.rows[base + t.W_HEAD] = 0;
        return void this.early.get(s)!.add(conn);
      }
      if (s === undefined) return this.engine.closeUp(conn, 'refused');
      p = this.open(s, conn, p, end, last);
      if (p < 0) return this.unavailable(conn);
    }
    const at = this.places[t.slotOf(conn)]!;
    if ((flags & t.IN_DRAINED) !== 0 && s.streams.has(at, HEAD_DONE)) s.credit(at);
    this.rows[base + t.W_HEAD] = this.body(s, at, p, end, flags) - off;
  }

  /** The server takes no WebSockets. */
  private unavailable(conn: number): void {
    this.engine.sendUp(conn, HEAD_AT, this.arena.write(notImplemented, HEAD_AT, 'latin1'));
    this.engine.closeUp(conn, 'end');
  }

  /** Sends the head at arena[off, end). Gives the place behind it, -1: it is a WebSocket, which the server takes none
   * of. */
  private open(s: Session, conn: number, off: number, end: number, last: boolean): number {
    this.box.use(s);
    const size = parseRequest(this.arena, off, end);
    if (size <= 0) throw new Error(`request to an upstream: ${size === 0 ? 'no whole head' : head.why}`);
    const websocket = upgrades(this.arena);
    if (websocket && !s.connectProtocol) return -1;
    s.last += 2;
    if (s.last >= f.MAX_ID - 2) s.draining = true;
    const at = s.openStream(s.last);
    // A body that turns out empty ends with DATA all the same: servers of gRPC wait for it.
    const web = this.web.has(this.endpointOf.get(s)!) ? takeWeb(this.arena) : 0;
    const whole = last && off + size === end && !websocket && !head.chunked && web === 0;
    s.streams.words[at + CONN] = conn;
    s.streams.set(at, web);
    if (head.method === HEAD) s.streams.set(at, NO_BODY);
    if (whole) s.streams.set(at, LOCAL_DONE);
    this.owners[t.slotOf(conn)] = s;
    this.places[t.slotOf(conn)] = at;
    if (websocket) {
      s.streams.set(at, TUNNEL);
      this.keys.set(conn, takeKey(this.arena));
    }
    putRequest(this.out, this.arena, { id: s.last, flags: whole ? f.END_STREAM : 0, secure: s.secure, websocket });
    return off + size;
  }

  /** Sends what goes of a body or its trailers. Gives how far it came. */
  private body(s: Session, at: number, off: number, end: number, flags: number): number {
    if (s.streams.has(at, LOCAL_DONE)) return end;
    // The end of a WebSocket's request is none of its tunnel.
    const ended = s.streams.has(at, TUNNEL) ? t.IN_EOF | t.IN_TUNNEL : t.IN_EOF;
    const last = (flags & ended) === ended;
    const id = s.streams.words[at + ID]!;
    let p = off;
    const trailers = (flags & t.IN_TRAILERS) !== 0;
    if (last && (trailers || p === end) && endsWithin(s.streams, at)) {
      this.engine.closeUp(s.streams.words[at + CONN]!, 'reset');
      return end;
    }
    if (trailers) {
      putTrailers(this.out, this.arena, p, end, id);
      p = end;
    } else if (p < end && s.queued < HIGH_BYTES) {
      p += s.streams.has(at, WEB_TEXT) ? this.sendText(s, at, p, end, last) : s.send(at, p, end, last);
    } else if (p === end && last) this.out.head(0, f.DATA, f.END_STREAM, id);
    if (p < end) s.streams.set(at, WAITS);
    else if (last) s.streams.set(at, LOCAL_DONE);
    return p;
  }

  /** Like send(), of a body in base64. */
  private sendText(s: Session, at: number, off: number, end: number, last: boolean): number {
    const room = Math.max(0, Math.min(s.streams.words[at + SEND]!, s.sendWindow));
    if (!takeText(this.arena, s.streams, at, off, end, { room, last })) {
      this.engine.closeUp(s.streams.words[at + CONN]!, 'reset');
      return end - off;
    }
    const { from, to, used } = taken;
    if (to > from) s.send(at, from, to, last && used === end - off);
    return used;
  }

  /** The engine wants no more of the stream. */
  private release(s: Session, at: number): void {
    const { streams } = s;
    this.owners[t.slotOf(streams.words[at + CONN]!)] = undefined;
    this.keys.delete(streams.words[at + CONN]!);
    s.finish(at, streams.has(at, REMOTE_DONE) && streams.has(at, LOCAL_DONE) ? f.NO_ERROR : f.CANCEL);
    this.leave(s);
  }

  private bytes(base: number, s: Session): void {
    const off = this.rows[base + t.W_OFF]!;
    const len = this.rows[base + t.W_LEN]!;
    if (!s.settled) s.secure = this.engine.peer(s.conn).tls !== undefined;
    this.rows[base + t.W_HEAD] = s.feed(this.arena, off, off + len);
    if (s.settled) this.wakeEarly(s);
    if (!s.failed) return;
    this.rows[base + t.W_HEAD] = len;
    this.end(s);
  }

  private wakeEarly(s: Session): void {
    const waiting = this.early.get(s);
    if (waiting === undefined) return;
    this.early.delete(s);
    for (const conn of waiting) this.engine.resumeUp(conn);
    // Those that wait may be gone.
    this.leave(s);
  }

  private carrier(base: number, s: Session): void {
    const flags = this.rows[base + t.W_IN]!;
    if ((flags & t.IN_GONE) !== 0) return this.forget(s, this.rows[base + t.W_REASON] === t.WHY_TLS);
    if ((flags & t.IN_DRAINED) !== 0) {
      s.queued = 0;
      s.pump();
    }
  }

  /** Ends a connection that is to take no more requests, or has had none for long. */
  private leave(s: Session): void {
    if (s.streams.count > 0 || s.failed) return;
    if (s.draining) return this.end(s);
    const { last } = s;
    this.o.clock.after(IDLE_MS, () => {
      if (s.last === last && s.streams.count === 0 && this.sessions.get(s.conn) === s) this.end(s);
    });
  }

  private end(s: Session): void {
    this.box.flush();
    this.engine.close(s.conn, 'end');
    this.forget(s);
  }

  private forget(s: Session, untrusted = false): void {
    const endpoint = this.endpointOf.get(s);
    if (endpoint === undefined) return;
    this.sessions.delete(s.conn);
    this.endpointOf.delete(s);
    const left = this.byEndpoint.get(endpoint)!.filter((other) => other !== s);
    if (left.length > 0) this.byEndpoint.set(endpoint, left);
    else this.byEndpoint.delete(endpoint);
    for (const at of s.streams.all()) this.dropped(s, at, f.INTERNAL_ERROR);
    for (const conn of this.early.get(s) ?? []) this.engine.closeUp(conn, untrusted ? 'untrusted' : 'refused');
    this.early.delete(s);
    this.box.flush();
  }

  goaway(s: Session, last: number): void {
    s.draining = true;
    for (const at of s.streams.all()) {
      if (s.streams.words[at + ID]! <= last) continue;
      this.dropped(s, at, f.REFUSED_STREAM);
      s.streams.close(at);
    }
    this.leave(s);
  }

  pinged(): void {}

  block(s: Session, a: Uint8Array, from: number, to: number, id: number, flags: number, fault: number): number {
    if (id > s.last) return f.PROTOCOL_ERROR;
    const at = s.streams.find(id);
    const isHead = at >= 0 && !s.streams.has(at, HEAD_DONE);
    const sink = isHead ? this.response : this.trailers;
    if (isHead) this.response.begin(suffixOf(s.streams, at));
    else this.trailers.begin();
    const error = s.decoder.decode(a, from, to, sink);
    if (error !== 0) return error;
    if (at < 0) return s.spend();
    if (s.streams.has(at, REMOTE_DONE)) return s.refuse(id, f.STREAM_CLOSED);
    const whole = (flags & f.END_STREAM) !== 0;
    if (fault !== 0 || s.decoder.listBytes > MAX_LIST_BYTES) return s.refuse(id, f.PROTOCOL_ERROR);
    if (isHead) return this.answer(s, at, id, whole);
    if (s.streams.has(at, TUNNEL)) return s.refuse(id, f.PROTOCOL_ERROR);
    if (!whole || this.trailers.why !== '' || s.streams.owed[at / WORDS]! > 0) return s.refuse(id, f.PROTOCOL_ERROR);
    s.streams.set(at, REMOTE_DONE);
    this.close(s, at, this.trailers.at);
    return 0;
  }

  private answer(s: Session, at: number, id: number, whole: boolean): number {
    const { streams } = s;
    const conn = streams.words[at + CONN]!;
    if (this.response.status >= 300) streams.clear(at, TUNNEL);
    const tunnel = streams.has(at, TUNNEL) && this.response.status >= 200;
    const end = tunnel
      ? this.response.endSwitched(acceptOf(this.keys.get(conn) ?? ''))
      : this.response.end(whole, streams.has(at, NO_BODY));
    if (this.response.why !== '') return s.refuse(id, f.PROTOCOL_ERROR);
    if (tunnel) streams.set(at, whole ? HEAD_DONE | REMOTE_DONE : HEAD_DONE);
    else if (this.response.status >= 200) {
      streams.set(at, HEAD_DONE);
      if (this.response.isBodiless()) streams.set(at, NO_BODY);
      const bodiless = streams.has(at, NO_BODY);
      if (whole) streams.set(at, REMOTE_DONE | PASSED_ON);
      else if (!bodiless && this.response.contentLength < 0) streams.set(at, CHUNKED);
      streams.owed[at / WORDS] = bodiless ? -1 : this.response.contentLength;
    }
    this.engine.sendUp(conn, HEAD_AT, end - HEAD_AT);
    if (tunnel && whole) this.close(s, at, HEAD_AT);
    return this.response.status < 200 ? s.spend() : 0;
  }

  data(s: Session, at: number, from: number, to: number): number {
    const { streams } = s;
    const body = to > from;
    if (!streams.has(at, HEAD_DONE) || (body && streams.has(at, NO_BODY))) {
      return s.refuse(streams.words[at + ID]!, f.PROTOCOL_ERROR);
    }
    const conn = streams.words[at + CONN]!;
    const [start, end] = body && streams.has(at, CHUNKED) ? putPiece(this.arena, streams, at, from, to) : [from, to];
    const waiting = body ? this.engine.sendUp(conn, start, end - start) : 0;
    if (streams.has(at, REMOTE_DONE)) this.close(s, at, HEAD_AT);
    else if (waiting <= LOW_BYTES) s.credit(at);
    return 0;
  }

  /** The answer is whole; its trailers lie at HEAD_AT, up to `end`. */
  private close(s: Session, at: number, end: number): void {
    const conn = s.streams.words[at + CONN]!;
    s.streams.set(at, PASSED_ON);
    if (s.streams.has(at, TUNNEL)) return this.engine.closeUp(conn, 'end');
    if (!s.streams.has(at, CHUNKED)) return;
    const web = s.streams.has(at, WEB);
    if (web && end > HEAD_AT) {
      const [from, to] = putTrailerPiece(this.arena, s.streams, at, end);
      this.engine.sendUp(conn, from, to - from);
    }
    this.engine.sendUp(conn, HEAD_AT, putLastChunk(this.arena, s.streams, at, web ? HEAD_AT : end) - HEAD_AT);
  }

  dropped(s: Session, at: number, code: number): void {
    const conn = s.streams.words[at + CONN]!;
    this.owners[t.slotOf(conn)] = undefined;
    this.keys.delete(conn);
    const refused = code === f.REFUSED_STREAM && !s.streams.has(at, HEAD_DONE);
    if (!s.streams.has(at, PASSED_ON) || s.streams.has(at, TUNNEL))
      this.engine.closeUp(conn, refused ? 'refused' : 'reset');
  }

  room(s: Session, at: number): void {
    this.engine.resumeUp(s.streams.words[at + CONN]!);
  }
}
