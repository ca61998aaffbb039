// Body framing, strictly by RFC 9112 section 7: what the sender wrote as framing never reaches the receiver, only data
// does. Chunk extensions are read and dropped, trailers are checked and dropped (section 7.1.2 allows both).
import { BODY_CHUNKED, BODY_CLOSE, BODY_LENGTH, BODY_NONE } from '../transport.ts';

const MAX_EXTENSION = 1024;
const MAX_TRAILERS = 8 * 1024;
/** Hex digits of a chunk size: 2^48 is more than any body. */
const MAX_SIZE_DIGITS = 12;

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const LINE = 6;
const NAME = 7;
const VALUE = 8;
const LINE_LF = 9;
const LAST_LF = 10;

const CR = 13;
const LF = 10;

/** Where a decoder stands in a message's body. One per direction of a connection, used again and again. */
export class BodyState {
  mode = BODY_NONE;
  /** Bytes left: of the body (length), of the chunk (chunked). */
  left = 0;
  done = true;
  step = SIZE;
  digits = 0;
  /** Bytes of this extension, or of all trailers. */
  extra = 0;

  begin(mode: number, length: number): void {
    this.mode = mode;
    this.left = mode === BODY_LENGTH ? length : 0;
    this.done = mode === BODY_NONE || (mode === BODY_LENGTH && length === 0);
    this.step = SIZE;
    this.digits = 0;
    this.extra = 0;
  }
}

/** Reads `bytes` from `from` on, hands each piece of data to `data(start, end)`. Gives the place after what belongs to
 * this body (state.done says whether it ended there), or -1 where the framing is broken. */
export function feed(
  state: BodyState,
  bytes: Uint8Array,
  from: number,
  data: (start: number, end: number) => void,
): number {
  if (state.done) return from;
  const end = bytes.length;
  if (state.mode === BODY_CLOSE) {
    if (end > from) data(from, end);
    return end;
  }
  if (state.mode === BODY_CHUNKED) return feedChunked(state, bytes, from, data);
  const take = Math.min(state.left, end - from);
  if (take > 0) data(from, from + take);
  state.left -= take;
  state.done = state.left === 0;
  return from + take;
}

function feedChunked(
  state: BodyState,
  bytes: Uint8Array,
  from: number,
  data: (start: number, end: number) => void,
): number {
  const end = bytes.length;
  let p = from;
  while (p < end && !state.done) {
    if (state.step === DATA) {
      const take = Math.min(state.left, end - p);
      data(p, p + take);
      p += take;
      state.left -= take;
      if (state.left === 0) state.step = DATA_CR;
      continue;
    }
    const c = bytes[p]!;
    const ok = state.step >= LINE ? trailerByte(state, c) : chunkByte(state, c);
    if (!ok) return -1;
    p += 1;
  }
  return p;
}

function hex(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  const lower = c | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

function chunkByte(state: BodyState, c: number): boolean {
  switch (state.step) {
    case SIZE: {
      const digit = hex(c);
      if (digit >= 0) {
        state.digits += 1;
        state.left = state.left * 16 + digit;
        return state.digits <= MAX_SIZE_DIGITS;
      }
      if (state.digits === 0) return false;
      state.extra = 0;
      state.step = c === CR ? SIZE_LF : EXTENSION;
      return c === CR || c === 59;
    }
    case EXTENSION:
      state.extra += 1;
      if (c === CR) state.step = SIZE_LF;
      else if (!valueByte(c)) return false;
      return state.extra <= MAX_EXTENSION;
    case SIZE_LF:
      state.digits = 0;
      state.extra = 0;
      state.step = state.left === 0 ? LINE : DATA;
      return c === LF;
    case DATA_CR:
      state.step = DATA_LF;
      return c === CR;
    default:
      state.step = SIZE;
      return c === LF;
  }
}

function trailerByte(state: BodyState, c: number): boolean {
  state.extra += 1;
  if (state.extra > MAX_TRAILERS) return false;
  switch (state.step) {
    case LINE:
      state.step = c === CR ? LAST_LF : NAME;
      return c === CR || tokenByte(c);
    case NAME:
      if (c === 58) state.step = VALUE;
      return c === 58 || tokenByte(c);
    case VALUE:
      if (c === CR) state.step = LINE_LF;
      return c === CR || valueByte(c);
    case LINE_LF:
      state.step = LINE;
      return c === LF;
    default:
      state.done = true;
      return c === LF;
  }
}

function valueByte(c: number): boolean {
  return c === 9 || (c >= 32 && c !== 127);
}

const tokens = new Uint8Array(256);
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
  tokens[c.charCodeAt(0)] = 1;

function tokenByte(c: number): boolean {
  return tokens[c] === 1;
}
