// The open streams of one connection, as words of one table; a connection without any has next to none.

/** Words of a stream. */
export const WORDS = 8;
export const ID = 0;
/** Bits below. */
export const STATE = 1;
/** What may be sent, and what the peer may still send. */
export const SEND = 2;
export const RECEIVE = 3;
/** The engine's connection for it. */
export const CONN = 4;
/** Of a body in base64: bytes of the next group that are sent already, and characters of it that came, in three bytes,
 * with their number above. */
export const SKIP = 5;
export const KEPT = 6;

// STATE.
/** The peer has said its END_STREAM. */
export const REMOTE_DONE = 1;
/** A final head has gone out (of an answer), or come in (to a request). */
export const HEAD_DONE = 2;
/** The request goes on in chunks; the first has begun. */
export const CHUNKED = 4;
export const CHUNK_OPEN = 8;
/** Bytes wait for room in a window, or in the connection. */
export const WAITS = 16;
/** We have said our END_STREAM. */
export const LOCAL_DONE = 32;
/** To HEAD, or 204 or 304: no body can come. */
export const NO_BODY = 64;
/** Its answer was whole and has been passed on. */
export const PASSED_ON = 128;

/** Both directions as they come, once it is answered with 2xx: CONNECT. */
export const TUNNEL = 256;
/** It is a WebSocket: extended CONNECT (RFC 8441). */
export const WEBSOCKET = 512;
/** A call of gRPC-web, and one in base64. */
export const WEB = 1024;
export const WEB_TEXT = 2048;

const FIRST_SLOTS = 8;

export class StreamTable {
  words = new Int32Array(FIRST_SLOTS * WORDS);
  /** What a content-length leaves to come, by slot; -1: none was said. */
  owed = new Float64Array(FIRST_SLOTS);
  private readonly slots = new Map<number, number>();
  private readonly free: number[] = [];
  private top = 0;

  get count(): number {
    return this.slots.size;
  }

  /** Where its words begin, or -1. */
  find(id: number): number {
    return this.slots.get(id) ?? -1;
  }

  open(id: number, send: number, receive: number): number {
    const slot = this.free.pop() ?? this.top++;
    if (slot * WORDS === this.words.length) this.grow();
    const at = slot * WORDS;
    this.slots.set(id, at);
    this.words.fill(0, at, at + WORDS);
    this.words[at + ID] = id;
    this.words[at + SEND] = send;
    this.words[at + RECEIVE] = receive;
    this.owed[slot] = -1;
    return at;
  }

  close(at: number): void {
    this.slots.delete(this.words[at + ID]!);
    this.words[at + ID] = 0;
    this.free.push(at / WORDS);
  }

  /** Places of all that are open. A stream may be closed meanwhile. */
  all(): Iterable<number> {
    return this.slots.values();
  }

  has(at: number, bits: number): boolean {
    return (this.words[at + STATE]! & bits) !== 0;
  }

  set(at: number, bits: number): void {
    this.words[at + STATE]! |= bits;
  }

  clear(at: number, bits: number): void {
    this.words[at + STATE]! &= ~bits;
  }

  private grow(): void {
    const words = new Int32Array(this.words.length * 2);
    words.set(this.words);
    this.words = words;
    const owed = new Float64Array(this.owed.length * 2);
    owed.set(this.owed);
    this.owed = owed;
  }
}

const RECENT = 128;

/** The last few ids that were added. */
export class Recent {
  private readonly ids = new Int32Array(RECENT);
  private at = 0;

  add(id: number): void {
    this.ids[this.at] = id;
    this.at = (this.at + 1) % RECENT;
  }

  has(id: number): boolean {
    return this.ids.includes(id);
  }

  all(): number[] {
    return [...this.ids].filter((id) => id !== 0);
  }
}
