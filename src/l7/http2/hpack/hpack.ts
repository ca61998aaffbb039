// HPACK (RFC 7541): blocks of fields between bytes. Reading is whole; writing uses the static table alone, so that a
// connection's encoder has no state and what one peer sends never shows in how another's fields are packed. Nor does it
// use Huffman: measured on usual fields that takes off 21 to 24 % of their bytes (114 to 90 of an answer, 379 to 288 of
// a request) and writing them takes four to five times as long, a tenth of what a request costs in all.
import { decodeHuffman } from './huffman.ts';
import { COMPRESSION_ERROR, ENHANCE_YOUR_CALM } from '../frames.ts';
import { ENTRY_COST, TABLE_BYTES, Table, staticIndex } from './table.ts';

/** Takes the fields of a block as they come. */
export interface FieldSink {
  /** A name and a value within `a`, which stand until the call returns. */
  field(a: Uint8Array, name: number, nameLen: number, value: number, valueLen: number): void;
}

/** What of a list is read at all; a list beyond it costs its connection. */
export const MOST_LIST_BYTES = 128 * 1024;
const MAX_STRING = 32 * 1024;
/** A name, then a value. */
const text = new Uint8Array(2 * MAX_STRING);

/** Reads the blocks of one direction of one connection, in their order. */
export class Decoder {
  /** Size of the last block's list, by RFC 9113 6.5.2. */
  listBytes = 0;
  readonly table = new Table();
  private a: Uint8Array = text;
  private p = 0;
  private end = 0;
  private error = 0;

  /** Gives 0, or the code of the error that ends the connection. */
  decode(a: Uint8Array, from: number, to: number, sink: FieldSink): number {
    this.a = a;
    this.p = from;
    this.end = to;
    this.error = 0;
    this.listBytes = 0;
    this.sizes();
    while (this.p < to && this.error === 0) {
      const c = a[this.p]!;
      if ((c & 0x80) !== 0) this.indexed(sink);
      else if ((c & 0xe0) === 0x20) this.error = COMPRESSION_ERROR;
      else this.literal(sink, (c & 0x40) !== 0);
      if (this.listBytes > MOST_LIST_BYTES) this.error = ENHANCE_YOUR_CALM;
    }
    return this.error;
  }

  /** Changes of the table's size stand first in a block, two at most (RFC 7541 4.2). */
  private sizes(): void {
    for (let n = 0; n < 2 && this.p < this.end && (this.a[this.p]! & 0xe0) === 0x20; n += 1) {
      const size = this.integer(0x1f);
      if (size > TABLE_BYTES) this.error = COMPRESSION_ERROR;
      else if (this.error === 0) this.table.resize(size);
    }
  }

  private integer(mask: number): number {
    let value = this.a[this.p]! & mask;
    this.p += 1;
    if (value < mask) return value;
    for (let shift = 0; this.p < this.end && shift <= 21; shift += 7) {
      const c = this.a[this.p]!;
      this.p += 1;
      value += (c & 127) << shift;
      if (c < 128) return value;
    }
    this.error = COMPRESSION_ERROR;
    return 0;
  }

  /** Reads a string to text[at..]. Gives its length. */
  private string(at: number): number {
    if (this.p >= this.end) {
      this.error = COMPRESSION_ERROR;
      return 0;
    }
    const huffman = (this.a[this.p]! & 0x80) !== 0;
    const len = this.integer(0x7f);
    const stop = this.p + len;
    if (this.error !== 0) return 0;
    if (stop > this.end) this.error = COMPRESSION_ERROR;
    else if ((huffman ? len * 2 : len) > MAX_STRING) this.error = ENHANCE_YOUR_CALM;
    if (this.error !== 0) return 0;
    const from = this.p;
    this.p = stop;
    if (huffman) {
      const to = decodeHuffman(this.a, from, stop, text, at);
      if (to < 0) this.error = COMPRESSION_ERROR;
      return to < 0 ? 0 : to - at;
    }
    for (let i = 0; i < len; i += 1) text[at + i] = this.a[from + i]!;
    return len;
  }

  private indexed(sink: FieldSink): void {
    const { table } = this;
    const index = this.integer(0x7f);
    if (this.error === 0 && !table.entry(index)) this.error = COMPRESSION_ERROR;
    if (this.error !== 0) return;
    this.listBytes += table.nameLen + table.valueLen + ENTRY_COST;
    sink.field(table.bytes, table.off, table.nameLen, table.off + table.nameLen, table.valueLen);
  }

  private literal(sink: FieldSink, keep: boolean): void {
    const { table } = this;
    const index = this.integer(keep ? 0x3f : 0x0f);
    if (this.error !== 0) return;
    let nameLen = 0;
    if (index === 0) nameLen = this.string(0);
    else if (table.entry(index)) {
      nameLen = table.nameLen;
      for (let i = 0; i < nameLen; i += 1) text[i] = table.bytes[table.off + i]!;
    } else this.error = COMPRESSION_ERROR;
    if (this.error !== 0) return;
    const valueLen = this.string(nameLen);
    if (this.error !== 0) return;
    if (keep) table.add(text, 0, nameLen, valueLen);
    this.listBytes += nameLen + valueLen + ENTRY_COST;
    sink.field(text, 0, nameLen, nameLen, valueLen);
  }
}

/** Writes an integer (RFC 7541 5.1) whose first byte has `first` above its prefix. Gives the place behind. */
function putInteger(dst: Uint8Array, at: number, first: number, mask: number, value: number): number {
  if (value < mask) {
    dst[at] = first | value;
    return at + 1;
  }
  dst[at] = first | mask;
  let p = at + 1;
  let rest = value - mask;
  for (; rest >= 128; rest >>>= 7) {
    dst[p] = (rest & 127) | 128;
    p += 1;
  }
  dst[p] = rest;
  return p + 1;
}

function putString(dst: Uint8Array, at: number, a: Uint8Array, off: number, len: number): number {
  const p = putInteger(dst, at, 0, 0x7f, len);
  for (let i = 0; i < len; i += 1) dst[p + i] = a[off + i]!;
  return p + len;
}

/** A field that no table keeps; the name's nameHash is known. */
export function putField(
  dst: Uint8Array,
  at: number,
  a: Uint8Array,
  field: { name: number; nameLen: number; hash: number; value: number; valueLen: number },
): number {
  const index = staticIndex(a, field.name, field.nameLen, field.hash);
  let p = putInteger(dst, at, 0, 0x0f, index);
  if (index === 0) p = putString(dst, p, a, field.name, field.nameLen);
  return putString(dst, p, a, field.value, field.valueLen);
}

/** An entry of the static table. */
export function putStatic(dst: Uint8Array, at: number, index: number): number {
  return putInteger(dst, at, 0x80, 0x7f, index);
}

/** The name of an entry of the static table, with the value that lies at a[off..). */
export function putNamed(dst: Uint8Array, at: number, index: number, a: Uint8Array, off: number, len: number): number {
  return putString(dst, putInteger(dst, at, 0, 0x0f, index), a, off, len);
}

const statuses: readonly number[] = [200, 204, 206, 304, 400, 404, 500];
/** Index of ":status: 200" in the static table. */
const STATUS = 8;

export function putStatus(dst: Uint8Array, at: number, status: number): number {
  const known = statuses.indexOf(status);
  if (known >= 0) return putStatic(dst, at, STATUS + known);
  dst[at] = STATUS;
  dst[at + 1] = 3;
  dst[at + 2] = 48 + Math.floor(status / 100);
  dst[at + 3] = 48 + (Math.floor(status / 10) % 10);
  dst[at + 4] = 48 + (status % 10);
  return at + 5;
}
