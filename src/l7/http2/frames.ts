// Frames of HTTP/2 (RFC 9113 section 6), written into the part of the arena that is kept for them.
import { ARENA_BYTES, SCRATCH_END } from '../transport.ts';
import type { Engine } from '../transport.ts';

export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PUSH_PROMISE = 5;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

// Flags.
export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;
export const PADDED = 8;
export const HAS_PRIORITY = 32;

// Errors (RFC 9113 section 7).
export const NO_ERROR = 0;
export const PROTOCOL_ERROR = 1;
export const INTERNAL_ERROR = 2;
export const FLOW_CONTROL_ERROR = 3;
export const STREAM_CLOSED = 5;
export const FRAME_SIZE_ERROR = 6;
export const REFUSED_STREAM = 7;
export const CANCEL = 8;
export const COMPRESSION_ERROR = 9;
export const CONNECT_ERROR = 10;
export const ENHANCE_YOUR_CALM = 11;

// Settings.
export const S_ENABLE_PUSH = 2;
export const S_MAX_STREAMS = 3;
export const S_WINDOW = 4;
export const S_MAX_FRAME = 5;
export const S_MAX_LIST = 6;
export const S_CONNECT_PROTOCOL = 8;

export const FRAME_HEAD = 9;
/** What a frame carries at most unless its receiver says otherwise; we never do. */
export const MAX_FRAME = 16_384;
export const MAX_ID = 0x7fffffff;

export function u32(a: Uint8Array, p: number): number {
  return ((a[p]! << 24) | (a[p + 1]! << 16) | (a[p + 2]! << 8) | a[p + 3]!) >>> 0;
}

/** Of the part for frames the first bytes are for one head of HTTP/1.1. */
export const HEAD_AT = SCRATCH_END;
export const HEAD_ROOM = 64 * 1024;
const FIRST = HEAD_AT + HEAD_ROOM;
/** What one row can bring about at most: its own bytes as frames, or an answer to each frame in it. */
const ROW_ROOM = 256 * 1024;

/** Puts frames one behind another until they are sent. */
export class FrameWriter {
  readonly a: Uint8Array;
  readonly first = FIRST;
  at = FIRST;

  constructor(arena: Uint8Array) {
    this.a = arena;
  }

  /** Room for another row is left. */
  hasRoom(): boolean {
    return this.at + ROW_ROOM <= ARENA_BYTES;
  }

  u16(value: number): void {
    this.a[this.at] = value >>> 8;
    this.a[this.at + 1] = value;
    this.at += 2;
  }

  u32(value: number): void {
    this.u16(value >>> 16);
    this.u16(value);
  }

  headAt(at: number, len: number, type: number, flags: number, id: number): void {
    const { a } = this;
    a[at] = len >>> 16;
    a[at + 1] = len >>> 8;
    a[at + 2] = len;
    a[at + 3] = type;
    a[at + 4] = flags;
    a[at + 5] = id >>> 24;
    a[at + 6] = id >>> 16;
    a[at + 7] = id >>> 8;
    a[at + 8] = id;
  }

  head(len: number, type: number, flags: number, id: number): void {
    this.headAt(this.at, len, type, flags, id);
    this.at += FRAME_HEAD;
  }

  bytes(piece: Uint8Array): void {
    this.a.set(piece, this.at);
    this.at += piece.length;
  }

  /** A[off, end) of the arena as one DATA frame. */
  data(id: number, off: number, end: number, flags: number): void {
    this.head(end - off, DATA, flags, id);
    this.a.copyWithin(this.at, off, end);
    this.at += end - off;
  }

  reset(id: number, code: number): void {
    this.head(4, RST_STREAM, 0, id);
    this.u32(code);
  }

  goaway(last: number, code: number): void {
    this.head(8, GOAWAY, 0, 0);
    this.u32(last);
    this.u32(code);
  }

  windowUpdate(id: number, by: number): void {
    this.head(4, WINDOW_UPDATE, 0, id);
    this.u32(by);
  }

  ping(flags: number, a: Uint8Array, off: number): void {
    this.head(8, PING, flags, 0);
    for (let i = 0; i < 8; i += 1) this.a[this.at + i] = a[off + i]!;
    this.at += 8;
  }

  /** Pairs of key and value; none: the acknowledgement. */
  settings(pairs: readonly (readonly [number, number])[]): void {
    this.head(pairs.length * 6, SETTINGS, pairs.length === 0 ? ACK : 0, 0);
    for (const [key, value] of pairs) {
      this.u16(key);
      this.u32(value);
    }
  }

  /** Closes a header block that lies at [start + FRAME_HEAD, this.at): one HEADERS frame, and CONTINUATION frames where
   * it is larger than one may be. */
  block(start: number, id: number, flags: number): void {
    const size = this.at - start - FRAME_HEAD;
    if (size <= MAX_FRAME) return this.headAt(start, size, HEADERS, flags | END_HEADERS, id);
    const more = Math.ceil(size / MAX_FRAME) - 1;
    // From the last piece to the first, each moves behind the heads that come before it.
    for (let i = more; i > 0; i -= 1) {
      const from = start + FRAME_HEAD + i * MAX_FRAME;
      const len = Math.min(MAX_FRAME, size - i * MAX_FRAME);
      this.a.copyWithin(from + i * FRAME_HEAD, from, from + len);
      this.headAt(from + (i - 1) * FRAME_HEAD, len, CONTINUATION, i === more ? END_HEADERS : 0, id);
    }
    this.headAt(start, MAX_FRAME, HEADERS, flags, id);
    this.at += more * FRAME_HEAD;
  }
}

/** A connection whose frames are being written. */
export interface Carrier {
  readonly conn: number;
  /** Bytes that the engine could not send yet. */
  queued: number;
  nowMs: number;
}

/** Frames of one connection after another, each sent before the next one's begin. */
export class Outbox {
  readonly out: FrameWriter;
  nowMs = 0;
  private readonly engine: Engine;
  private current: Carrier | undefined;

  constructor(engine: Engine) {
    this.engine = engine;
    this.out = new FrameWriter(engine.arena);
  }

  use(s: Carrier): void {
    if (this.current !== s || !this.out.hasRoom()) this.flush();
    this.current = s;
    s.nowMs = this.nowMs;
  }

  flush(): void {
    const { out, current } = this;
    this.current = undefined;
    const size = out.at - out.first;
    if (current !== undefined && size > 0) current.queued = this.engine.send(current.conn, out.first, size);
    out.at = out.first;
  }
}
