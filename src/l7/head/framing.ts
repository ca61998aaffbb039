// How the body behind the head that was parsed last is framed, as words of its row.
import * as t from '../transport.ts';
import { head } from './fields.ts';

/** Of a request. */
export function frameRequest(rows: Int32Array, base: number): void {
  if (head.chunked) {
    rows[base + t.W_BODY] = t.BODY_CHUNKED;
    rows[base + t.W_OUT] = t.OUT_CHUNK;
  } else if (head.contentLength > 0) frameLength(rows, base);
}

/** By its length. */
export function frameLength(rows: Int32Array, base: number): void {
  rows[base + t.W_BODY] = t.BODY_LENGTH;
  rows[base + t.W_BODY_LO] = head.contentLength | 0;
  rows[base + t.W_BODY_HI] = Math.floor(head.contentLength / 0x1_0000_0000);
}
