// Trailers: the fields behind a body.
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
import type { FieldSink } from './hpack.ts';
import { isValue, nameHashOf } from './request.ts';

const framing: readonly number[] = [
  CONNECTION,
  CONTENT_LENGTH,
  HOST,
  KEEP_ALIVE,
  PROXY_CONNECTION,
  TE,
  TRANSFER_ENCODING,
  UPGRADE,
];

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
