// Bodies in chunks, and trailers: the fields behind them.
import {
  CONNECTION,
  CONTENT_LENGTH,
  HOST,
  KEEP_ALIVE,
  PROXY_CONNECTION,
  TE,
  TRANSFER_ENCODING,
  UPGRADE,
  identify,
} from '../head/fields.ts';
import { HEAD_AT } from './frames.ts';
import type { FieldSink } from './hpack/hpack.ts';
import { isValue, nameHashOf } from './request.ts';
import { CHUNK_OPEN } from './streams.ts';
import type { StreamTable } from './streams.ts';

/** Fields of one hop, which HTTP/2 has no place for (RFC 9113 8.2.2), and what :authority says. */
export const hop: readonly number[] = [CONNECTION, HOST, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE];
/** Fields that stand in no trailers: the body has its length already (RFC 9110 6.5.1). */
export const framing: readonly number[] = [...hop, CONTENT_LENGTH];

/** What the engine takes of them. */
const MAX_BYTES = 8 * 1024;

/** Checks trailers (RFC 9113 8.1: no pseudo-header), and writes them as lines of HTTP/1.1. */
export class Trailers implements FieldSink {
  why = '';
  private readonly dst: Uint8Array;
  private readonly first: number;
  at = 0;

  constructor(dst: Uint8Array, first: number) {
    this.dst = dst;
    this.first = first;
  }

  begin(): void {
    this.why = '';
    this.at = this.first;
  }

  field(a: Uint8Array, name: number, nameLen: number, value: number, valueLen: number): void {
    if (this.why !== '') return;
    const hash = nameHashOf(a, name, nameLen);
    if (Number.isNaN(hash)) this.why = 'bad field name';
    else if (!isValue(a, value, valueLen)) this.why = 'bad byte in a value';
    else if (this.at - this.first + nameLen + valueLen > MAX_BYTES) this.why = 'trailers too large';
    else if (framing.includes(identify(a, name, nameLen, hash))) this.why = 'field of a head';
    if (this.why !== '') return;
    this.put(a, name, nameLen);
    this.text(58, 32);
    this.put(a, value, valueLen);
    this.text(13, 10);
  }

  private put(a: Uint8Array, off: number, len: number): void {
    for (let i = 0; i < len; i += 1) this.dst[this.at + i] = a[off + i]!;
    this.at += len;
  }

  private text(one: number, two: number): void {
    this.dst[this.at] = one;
    this.dst[this.at + 1] = two;
    this.at += 2;
  }
}

/** Puts the line of a chunk's size before its data, where the frame's head was; with it the end of the chunk before.
 * Gives where it begins. */
export function putChunk(a: Buffer, streams: StreamTable, at: number, from: number, to: number): number {
  const line = `${streams.has(at, CHUNK_OPEN) ? '\r\n' : ''}${(to - from).toString(16)}\r\n`;
  streams.set(at, CHUNK_OPEN);
  a.write(line, from - line.length, 'latin1');
  return from - line.length;
}

/** Puts the last chunk at HEAD_AT, and behind it the lines of trailers that lie there up to `end`. Gives its end. */
export function putLastChunk(a: Buffer, streams: StreamTable, at: number, end: number): number {
  const lines = a.toString('latin1', HEAD_AT, end);
  const text = `${streams.has(at, CHUNK_OPEN) ? '\r\n' : ''}0\r\n${lines}\r\n`;
  return HEAD_AT + a.write(text, HEAD_AT, 'latin1');
}
