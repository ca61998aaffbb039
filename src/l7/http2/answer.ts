// A head of HTTP/1.1 that parseResponse has read, as a HEADERS frame.
import { CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE } from '../head/fields.ts';
import { FIELD_WORDS, F_HASH, F_ID, F_NAME, F_NAME_LEN, F_VALUE, F_VALUE_LEN, fields, head } from '../head/fields.ts';
import { FRAME_HEAD } from './frames.ts';
import type { FrameWriter } from './frames.ts';
import { putField, putStatus } from './hpack.ts';

/** Fields of one hop, which HTTP/2 has no place for (RFC 9113 8.2.2). */
const dropped: readonly boolean[] = (() => {
  const list: boolean[] = [];
  for (const id of [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE]) list[id] = true;
  return list;
})();

const field = { name: 0, nameLen: 0, hash: 0, value: 0, valueLen: 0 };

/** Writes the parsed fields of `a`. */
export function putFields(out: FrameWriter, a: Uint8Array): void {
  for (let i = 0, at = 0; i < head.count; i += 1, at += FIELD_WORDS) {
    if (dropped[fields[at + F_ID]!] === true) continue;
    field.name = fields[at + F_NAME]!;
    field.nameLen = fields[at + F_NAME_LEN]!;
    field.hash = fields[at + F_HASH]!;
    field.value = fields[at + F_VALUE]!;
    field.valueLen = fields[at + F_VALUE_LEN]!;
    out.at = putField(out.a, out.at, a, field);
  }
}

/** Writes the parsed response head, whose fields lie in `a`. */
export function putAnswer(out: FrameWriter, a: Uint8Array, id: number, flags: number): void {
  const start = out.at;
  out.at = putStatus(out.a, start + FRAME_HEAD, head.status);
  putFields(out, a);
  out.block(start, id, flags);
}
