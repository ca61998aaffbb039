// gRPC-web (the protocol's PROTOCOL-WEB.md) made gRPC on the way to a server and back: another content type, the
// trailers as a last message of the body, and with -text all of it in base64.
import { CONTENT_LENGTH, FIELD_WORDS, F_HASH, F_ID, F_VALUE, F_VALUE_LEN, UPGRADE } from '../head/fields.ts';
import { fields, head, nameHash } from '../head/fields.ts';
import { callOf } from '../head/grpc.ts';
import { HEAD_AT, HEAD_ROOM } from './frames.ts';
import { KEPT, SKIP, WEB, WEB_TEXT } from './streams.ts';
import type { StreamTable } from './streams.ts';
import { putChunk } from './trailers.ts';

const typeHash = nameHash('content-type');
const GRPC = 'application/grpc'.length;
/** Marks a message as trailers. */
const TRAILERS = 0x80;
const PREFIX = 5;
/** Where a piece is put together: before it is room for the line of its chunk, behind it for it once more in base64. */
const PIECE_AT = HEAD_AT + 64;
const TEXT_AT = HEAD_AT + HEAD_ROOM / 2;

/** Where the parsed head is a call of gRPC-web it becomes one of gRPC. Gives the bits of its stream, 0: it is none. */
export function takeWeb(a: Uint8Array): number {
  const call = callOf(a);
  if (call !== 'grpc-web' && call !== 'grpc-web-text') return 0;
  for (let i = 0, at = 0; i < head.count; i += 1, at += FIELD_WORDS) {
    // The body may get another length.
    if (fields[at + F_ID] === CONTENT_LENGTH) fields[at + F_ID] = UPGRADE;
    if (fields[at + F_HASH] !== typeHash) continue;
    const off = fields[at + F_VALUE]!;
    const len = fields[at + F_VALUE_LEN]!;
    const size = 'application/'.length + call.length;
    a.copyWithin(off + GRPC, off + size, off + len);
    fields[at + F_VALUE_LEN] = len - size + GRPC;
  }
  return call === 'grpc-web' ? WEB : WEB | WEB_TEXT;
}

/** What an answer's content type has behind "application/grpc". */
export function suffixOf(streams: StreamTable, at: number): string {
  return streams.has(at, WEB_TEXT) ? '-web-text' : streams.has(at, WEB) ? '-web' : '';
}

const PAD = 64;
const NONE = 255;
const digits = new Uint8Array(256).fill(NONE);
const alphabet = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=', 'latin1');
alphabet.forEach((c, i) => {
  digits[c] = i;
});

/** Decodes groups of four characters at `at`, each of which may end with padding, in place. Gives the place behind, -1:
 * it is no base64. */
function decode(a: Uint8Array, at: number, groups: number): number {
  let q = at;
  for (let p = at; p < at + 4 * groups; p += 4) {
    const one = digits[a[p]!]!;
    const two = digits[a[p + 1]!]!;
    const three = digits[a[p + 2]!]!;
    const four = digits[a[p + 3]!]!;
    if (one >= PAD || two >= PAD || three === NONE || four === NONE || (three === PAD && four !== PAD)) return -1;
    a[q] = (one << 2) | (two >> 4);
    a[q + 1] = (two << 4) | (three >> 2);
    a[q + 2] = (three << 6) | four;
    q += three === PAD ? 1 : four === PAD ? 2 : 3;
  }
  return q;
}

/** Bytes that the group stands for. */
function sizeOf(a: Uint8Array, at: number): number {
  return digits[a[at + 2]!] === PAD ? 1 : digits[a[at + 3]!] === PAD ? 2 : 3;
}

/** What takeText() took: bytes that may be sent, and how many characters they and what is kept in mind are. */
export const taken = { from: 0, to: 0, used: 0 };

/** Decodes base64 at a[off, end) as far as it makes `room` bytes; a window may end within a group, and a piece too.
 * False: it is no base64, or with `last` no whole one. */
export function takeText(
  a: Uint8Array,
  { words }: StreamTable,
  at: number,
  off: number,
  end: number,
  o: { readonly room: number; readonly last: boolean },
): boolean {
  const kept = words[at + KEPT]!;
  const count = kept >>> 24;
  const skip = words[at + SKIP]!;
  const size = count + end - off;
  for (let i = 0; i < count; i += 1) a[HEAD_AT + i] = kept >> (8 * i);
  a.copyWithin(HEAD_AT + count, off, end);
  const groups = Math.min(size >> 2, Math.ceil((o.room + skip) / 3));
  const lastSize = groups === 0 ? 0 : sizeOf(a, HEAD_AT + 4 * (groups - 1));
  const to = decode(a, HEAD_AT, groups);
  if (to < 0) return false;
  const over = Math.max(0, to - HEAD_AT - skip - o.room);
  const whole = over === 0 ? groups : groups - 1;
  const all = whole === size >> 2;
  words[at + SKIP] = over === 0 ? 0 : lastSize - over;
  taken.from = HEAD_AT + skip;
  taken.to = to - over;
  taken.used = all ? end - off : Math.max(0, 4 * whole - count);
  if (all) words[at + KEPT] = keep(a, HEAD_AT + 4 * groups, size & 3);
  else if (whole > 0) words[at + KEPT] = 0;
  return !(o.last && all && (size & 3) !== 0);
}

/** Nothing follows, and what came in base64 is not whole. */
export function endsWithin({ words }: StreamTable, at: number): boolean {
  return words[at + KEPT]! >>> 24 !== 0;
}

/** KEPT for so many characters. */
function keep(a: Uint8Array, at: number, count: number): number {
  let kept = count << 24;
  for (let i = 0; i < count; i += 1) kept |= a[at + i]! << (8 * i);
  return kept;
}

/** A piece of an answer's body as a chunk. Gives where it begins and ends. */
export function putPiece(a: Buffer, streams: StreamTable, at: number, from: number, to: number): [number, number] {
  if (!streams.has(at, WEB_TEXT)) return [putChunk(a, streams, at, from, to), to];
  const end = TEXT_AT + a.write(a.toString('base64', from, to), TEXT_AT, 'latin1');
  return [putChunk(a, streams, at, TEXT_AT, end), end];
}

/** The lines of trailers at HEAD_AT, up to `end`, as the last piece. */
export function putTrailerPiece(a: Buffer, streams: StreamTable, at: number, end: number): [number, number] {
  const size = end - HEAD_AT;
  a.copyWithin(PIECE_AT + PREFIX, HEAD_AT, end);
  a[PIECE_AT] = TRAILERS;
  a.writeUInt32BE(size, PIECE_AT + 1);
  return putPiece(a, streams, at, PIECE_AT, PIECE_AT + PREFIX + size);
}
