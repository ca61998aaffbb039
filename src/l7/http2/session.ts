// One connection of HTTP/2 (RFC 9113): frames in and out, settings, flow control, and the bounds of what a peer may
// cost. What streams mean is its role's: requests that come in (server.ts), or that go out.
import { Budget } from './budget.ts';
import * as f from './frames.ts';
import type { FrameWriter } from './frames.ts';
import { Decoder } from './hpack/hpack.ts';
import { ID, RECEIVE, REMOTE_DONE, Recent, SEND, StreamTable, WAITS, WORDS } from './streams.ts';

/** What a peer may send of one stream, and of all, before we say that more may come. */
export const STREAM_WINDOW = 64 * 1024 - 1;
export const CONNECTION_WINDOW = 1024 * 1024;
/** Before a WINDOW_UPDATE or SETTINGS says otherwise. */
const DEFAULT_WINDOW = 65_535;
const MAX_WINDOW = 0x7fffffff;
/** Of one header block: as much as a list that is taken. */
const MAX_BLOCK = 32 * 1024;

export interface Role {
  /** A whole header block for stream `id`, `flags` of its HEADERS frame. It must be decoded. `fault` is what its frame
   * did wrong to the stream alone. Gives 0, or the code of the error that ends the connection. */
  block(s: Session, a: Uint8Array, from: number, to: number, id: number, flags: number, fault: number): number;
  /** A[from, to) of the body; END_STREAM is in the stream's state already. */
  data(s: Session, at: number, from: number, to: number): number;
  /** The stream is over before its time, with that code: by its peer, or by an error of its peer's. Its place is free
   * after it. */
  dropped(s: Session, at: number, code: number): void;
  /** A stream that waits may send. */
  room(s: Session, at: number): void;
  goaway(s: Session, last: number): void;
  /** Answer to the PING that drain() sent. */
  pinged(s: Session): void;
}

const drainPing = Buffer.from('drained?', 'latin1');

export class Session {
  readonly conn: number;
  readonly streams = new StreamTable();
  readonly decoder = new Decoder();
  readonly out: FrameWriter;
  sendWindow = DEFAULT_WINDOW;
  /** Highest stream that the peer opened, or that we did. */
  last = 0;
  /** Streams above it are not taken any more. */
  limit = f.MAX_ID;
  /** Requests that are taken yet. */
  requestsLeft = Infinity;
  /** Bytes that the engine could not send yet. */
  queued = 0;
  /** Of the peer: streams at once. */
  maxStreams = f.MAX_ID;
  connectProtocol = false;
  /** Over TLS. */
  secure = false;
  nowMs = 0;
  greeted = false;
  /** We opened it: its peer is a server, and must not offer to push. */
  isClient = false;
  draining = false;
  /** GOAWAY with an error is sent: nothing is read any more. */
  failed = false;
  private readonly role: Role;
  private readonly budget = new Budget();
  /** Streams that we reset: what their peer sent before it heard of it is no error. */
  readonly forgiven = new Recent();
  receiveWindow = CONNECTION_WINDOW;
  /** Of a stream that the peer opens: what may be sent on it. */
  window = DEFAULT_WINDOW;
  maxFrame = f.MAX_FRAME;
  settled = false;
  /** The stream whose header block is not complete, the flags of its HEADERS, and what there is of it. */
  open = 0;
  private openFlags = 0;
  private openFault = 0;
  private block: Uint8Array | undefined;
  private blockLen = 0;

  constructor(conn: number, role: Role, out: FrameWriter) {
    this.conn = conn;
    this.role = role;
    this.out = out;
  }

  /** Our settings, and the connection's window made wider. */
  greet(settings: readonly (readonly [number, number])[]): void {
    this.greeted = true;
    this.out.settings(settings);
    this.out.windowUpdate(0, CONNECTION_WINDOW - DEFAULT_WINDOW);
  }

  /** Reads whole frames of a[from, end). Gives how many bytes; after an error of the connection `failed` is set. */
  feed(a: Uint8Array, from: number, end: number): number {
    let p = from;
    while (!this.failed && end - p >= f.FRAME_HEAD) {
      const len = (a[p]! << 16) | (a[p + 1]! << 8) | a[p + 2]!;
      if (len > f.MAX_FRAME) this.fail(f.FRAME_SIZE_ERROR);
      const next = p + f.FRAME_HEAD + len;
      if (this.failed || next > end) break;
      const error = this.frame(a, a[p + 3]!, a[p + 4]!, f.u32(a, p + 5) & f.MAX_ID, p + f.FRAME_HEAD, next);
      if (error !== 0) this.fail(error);
      p = next;
    }
    return p - from;
  }

  /** Ends the connection with an error. */
  fail(code: number): void {
    if (this.failed) return;
    this.failed = true;
    this.out.goaway(this.last, code);
  }

  /** Resets a stream for what its peer did. */
  refuse(id: number, code: number): number {
    const at = this.streams.find(id);
    this.out.reset(id, code);
    this.forgiven.add(id);
    if (at >= 0) this.drop(at, code);
    return this.spend();
  }

  /** Resets a stream, or forgets one that is whole. */
  finish(at: number, code: number): void {
    const id = this.streams.words[at + ID]!;
    if (code !== f.NO_ERROR || !this.streams.has(at, REMOTE_DONE)) {
      this.out.reset(id, code);
      this.forgiven.add(id);
    }
    this.streams.close(at);
    this.budget.earn();
  }

  private drop(at: number, code: number): void {
    this.role.dropped(this, at, code);
    this.streams.close(at);
  }

  /** Something that brings the peer nothing. Gives 0 or an error of the connection. */
  spend(): number {
    return this.budget.spend(this.nowMs) ? 0 : f.ENHANCE_YOUR_CALM;
  }

  private frame(a: Uint8Array, type: number, flags: number, id: number, from: number, to: number): number {
    if (this.open !== 0 && (type !== f.CONTINUATION || id !== this.open)) return f.PROTOCOL_ERROR;
    if (!this.settled && type !== f.SETTINGS) return f.PROTOCOL_ERROR;
    switch (type) {
      case f.DATA:
        return this.data(a, flags, id, from, to);
      case f.HEADERS:
        return this.headers(a, flags, id, from, to);
      case f.CONTINUATION:
        return this.continuation(a, flags, from, to);
      case f.WINDOW_UPDATE:
        return this.windowUpdate(a, id, from, to);
      case f.RST_STREAM:
        return this.resetStream(a, id, from, to);
      case f.SETTINGS:
        return this.settings(a, flags, id, from, to);
      case f.PING:
        return this.ping(a, flags, id, from, to);
      case f.PRIORITY:
        return this.priority(a, id, from, to);
      case f.GOAWAY:
        if (id !== 0) return f.PROTOCOL_ERROR;
        if (to - from < 8) return f.FRAME_SIZE_ERROR;
        this.role.goaway(this, f.u32(a, from) & f.MAX_ID);
        return this.spend();
      case f.PUSH_PROMISE:
        return f.PROTOCOL_ERROR;
      default:
        return this.spend();
    }
  }

  /** Nobody has opened it. What comes of streams that are not taken any more was on its way (RFC 9113 6.8). */
  private isIdle(id: number): boolean {
    return (id & 1) === 0 || (id > this.last && this.limit === f.MAX_ID);
  }

  private data(a: Uint8Array, flags: number, id: number, start: number, stop: number): number {
    const size = stop - start;
    if (id === 0 || this.isIdle(id)) return f.PROTOCOL_ERROR;
    this.receiveWindow -= size;
    if (this.receiveWindow < 0) return f.FLOW_CONTROL_ERROR;
    if (this.receiveWindow < CONNECTION_WINDOW / 2) {
      this.out.windowUpdate(0, CONNECTION_WINDOW - this.receiveWindow);
      this.receiveWindow = CONNECTION_WINDOW;
    }
    let from = start;
    let to = stop;
    if ((flags & f.PADDED) !== 0) {
      if (size === 0 || a[start]! >= size) return f.PROTOCOL_ERROR;
      from += 1;
      to -= a[start]!;
    }
    const at = this.streams.find(id);
    if (at < 0) return id > this.last ? this.spend() : this.forgiven.has(id) ? 0 : this.refuse(id, f.STREAM_CLOSED);
    if (this.streams.has(at, REMOTE_DONE)) return this.refuse(id, f.STREAM_CLOSED);
    const { words, owed } = this.streams;
    words[at + RECEIVE]! -= size;
    if (words[at + RECEIVE]! < 0) return this.refuse(id, f.FLOW_CONTROL_ERROR);
    const last = (flags & f.END_STREAM) !== 0;
    if (last) this.streams.set(at, REMOTE_DONE);
    const slot = at / WORDS;
    if (owed[slot]! >= 0) {
      owed[slot]! -= to - from;
      if (owed[slot]! < 0 || (last && owed[slot]! > 0)) return this.refuse(id, f.PROTOCOL_ERROR);
    }
    const error = this.role.data(this, at, from, to);
    return error === 0 && to === from && !last ? this.spend() : error;
  }

  private headers(a: Uint8Array, flags: number, id: number, start: number, stop: number): number {
    let from = start;
    let to = stop;
    let fault = 0;
    if (id === 0 || (id & 1) === 0) return f.PROTOCOL_ERROR;
    if ((flags & f.PADDED) !== 0) {
      if (to === from || a[from]! >= to - from) return f.PROTOCOL_ERROR;
      to -= a[from]!;
      from += 1;
    }
    if ((flags & f.HAS_PRIORITY) !== 0) {
      if (to - from < 5) return f.FRAME_SIZE_ERROR;
      if ((f.u32(a, from) & f.MAX_ID) === id) fault = f.PROTOCOL_ERROR;
      from += 5;
    }
    if ((flags & f.END_HEADERS) !== 0) return this.role.block(this, a, from, to, id, flags, fault);
    this.blockLen = 0;
    this.keepBlock(a, from, to);
    this.open = id;
    this.openFlags = flags;
    this.openFault = fault;
    return 0;
  }

  private continuation(a: Uint8Array, flags: number, from: number, to: number): number {
    if (this.open === 0) return f.PROTOCOL_ERROR;
    if (this.blockLen + to - from > MAX_BLOCK) return f.ENHANCE_YOUR_CALM;
    this.keepBlock(a, from, to);
    if ((flags & f.END_HEADERS) === 0) return this.spend();
    const { open, block, blockLen } = this;
    this.open = 0;
    this.block = undefined;
    return this.role.block(this, block!, 0, blockLen, open, this.openFlags, this.openFault);
  }

  private keepBlock(a: Uint8Array, from: number, to: number): void {
    const size = this.blockLen + to - from;
    if (this.block === undefined || this.block.length < size) {
      const larger = new Uint8Array(2 * size);
      if (this.block !== undefined) larger.set(this.block.subarray(0, this.blockLen));
      this.block = larger;
    }
    this.block.set(a.subarray(from, to), this.blockLen);
    this.blockLen = size;
  }

  private priority(a: Uint8Array, id: number, from: number, to: number): number {
    if (id === 0) return f.PROTOCOL_ERROR;
    if (to - from !== 5) return this.refuse(id, f.FRAME_SIZE_ERROR);
    return (f.u32(a, from) & f.MAX_ID) === id ? this.refuse(id, f.PROTOCOL_ERROR) : this.spend();
  }

  private resetStream(a: Uint8Array, id: number, from: number, to: number): number {
    if (id === 0 || this.isIdle(id)) return f.PROTOCOL_ERROR;
    if (to - from !== 4) return f.FRAME_SIZE_ERROR;
    const at = this.streams.find(id);
    if (at >= 0) this.drop(at, f.u32(a, from));
    return this.spend();
  }

  private ping(a: Uint8Array, flags: number, id: number, from: number, to: number): number {
    if (id !== 0) return f.PROTOCOL_ERROR;
    if (to - from !== 8) return f.FRAME_SIZE_ERROR;
    if ((flags & f.ACK) === 0) this.out.ping(f.ACK, a, from);
    else if (this.draining && drainPing.equals(a.subarray(from, to))) this.role.pinged(this);
    return this.spend();
  }

  private settings(a: Uint8Array, flags: number, id: number, from: number, to: number): number {
    if (id !== 0) return f.PROTOCOL_ERROR;
    if ((flags & f.ACK) !== 0) return from === to ? this.spend() : f.FRAME_SIZE_ERROR;
    if ((to - from) % 6 !== 0) return f.FRAME_SIZE_ERROR;
    this.settled = true;
    for (let p = from; p < to; p += 6) {
      const error = this.setting((a[p]! << 8) | a[p + 1]!, f.u32(a, p + 2));
      if (error !== 0) return error;
    }
    this.out.settings([]);
    this.pump();
    return this.spend();
  }

  private setting(key: number, value: number): number {
    if (key === f.S_ENABLE_PUSH && (value > 1 || (this.isClient && value === 1))) return f.PROTOCOL_ERROR;
    if (key === f.S_MAX_STREAMS) this.maxStreams = value;
    if (key === f.S_CONNECT_PROTOCOL) {
      if (value > 1 || (this.connectProtocol && value === 0)) return f.PROTOCOL_ERROR;
      this.connectProtocol = value === 1;
    }
    if (key === f.S_MAX_FRAME) {
      if (value < f.MAX_FRAME || value > 0xffffff) return f.PROTOCOL_ERROR;
      this.maxFrame = Math.min(value, 2 * f.MAX_FRAME);
    }
    return key === f.S_WINDOW ? this.resize(value) : 0;
  }

  /** A new initial window changes that of each stream, which may fall below zero. */
  private resize(window: number): number {
    if (window > MAX_WINDOW) return f.FLOW_CONTROL_ERROR;
    const by = window - this.window;
    this.window = window;
    for (const at of this.streams.all()) {
      const next = this.streams.words[at + SEND]! + by;
      if (next > MAX_WINDOW) return f.FLOW_CONTROL_ERROR;
      this.streams.words[at + SEND] = next;
    }
    return 0;
  }

  private windowUpdate(a: Uint8Array, id: number, from: number, to: number): number {
    if (to - from !== 4) return f.FRAME_SIZE_ERROR;
    const by = f.u32(a, from) & f.MAX_ID;
    if (id === 0) {
      if (by === 0) return f.PROTOCOL_ERROR;
      this.sendWindow += by;
      if (this.sendWindow > MAX_WINDOW) return f.FLOW_CONTROL_ERROR;
      this.pump();
      return this.spend();
    }
    if (this.isIdle(id)) return f.PROTOCOL_ERROR;
    const at = this.streams.find(id);
    if (at < 0) return this.spend();
    if (by === 0) return this.refuse(id, f.PROTOCOL_ERROR);
    const next = this.streams.words[at + SEND]! + by;
    if (next > MAX_WINDOW) return this.refuse(id, f.FLOW_CONTROL_ERROR);
    this.streams.words[at + SEND] = next;
    this.wake(at);
    return this.spend();
  }

  private wake(at: number): void {
    if (!this.streams.has(at, WAITS)) return;
    this.streams.clear(at, WAITS);
    this.role.room(this, at);
  }

  /** Wakes the streams that wait. */
  pump(): void {
    for (const at of this.streams.all()) this.wake(at);
  }

  openStream(id: number): number {
    return this.streams.open(id, this.window, STREAM_WINDOW);
  }

  /** The stream's receiver has taken what came: as much may come again. */
  credit(at: number): void {
    const { words } = this.streams;
    const by = STREAM_WINDOW - words[at + RECEIVE]!;
    if (by < STREAM_WINDOW / 2 || this.streams.has(at, REMOTE_DONE)) return;
    this.out.windowUpdate(words[at + ID]!, by);
    words[at + RECEIVE] = STREAM_WINDOW;
  }

  /** Sends arena[from, to) as DATA, as far as the windows let it; `last` says that these bytes end the stream. Gives
   * how many went. */
  send(at: number, from: number, to: number, last: boolean): number {
    const { words } = this.streams;
    let p = from;
    while (p < to) {
      const size = Math.min(to - p, this.maxFrame, words[at + SEND]!, this.sendWindow);
      if (size <= 0) break;
      this.out.data(words[at + ID]!, p, p + size, last && p + size === to ? f.END_STREAM : 0);
      words[at + SEND]! -= size;
      this.sendWindow -= size;
      p += size;
      // An update of each window is owed for it.
      this.budget.earn();
      this.budget.earn();
    }
    return p - from;
  }

  /** Says that the end is near: the peer opens no stream more once it has heard, and what crossed is served still. */
  drain(): void {
    if (this.draining || this.failed) return;
    this.draining = true;
    this.out.goaway(f.MAX_ID, f.NO_ERROR);
    this.out.ping(0, drainPing, 0);
  }

  /** The peer has heard of drain(), or has had its time to. */
  lastCall(): void {
    if (this.limit !== f.MAX_ID || this.failed) return;
    this.limit = this.last;
    this.out.goaway(this.last, f.NO_ERROR);
  }
}
