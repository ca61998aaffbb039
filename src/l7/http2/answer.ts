// Heads and trailers of HTTP/1.1 as HEADERS frames.
import {
  FIELD_WORDS,
  F_HASH,
  F_ID,
  F_NAME,
  F_NAME_LEN,
  F_VALUE,
  F_VALUE_LEN,
  bytesAre,
  fields,
  head,
  nameHash,
  parseFields,
} from '../head/fields.ts';
import { END_STREAM, FRAME_HEAD } from './frames.ts';
import type { FrameWriter } from './frames.ts';
import { putField, putNamed, putStatic, putStatus } from './hpack/hpack.ts';
import { framing, hop } from './trailers.ts';

/** By the id of a field: whether it is one of these. */
function fieldSet(ids: readonly number[]): readonly boolean[] {
  const list: boolean[] = [];
  for (const id of ids) list[id] = true;
  return list;
}

const notInHeads = fieldSet(hop);
const notInTrailers = fieldSet(framing);

const field = { name: 0, nameLen: 0, hash: 0, value: 0, valueLen: 0 };

/** Writes the parsed fields of `a`, but for these. */
function putFields(out: FrameWriter, a: Uint8Array, dropped: readonly boolean[]): void {
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
  putFields(out, a, notInHeads);
  out.block(start, id, flags);
}

/** Writes trailers, lines up to the empty one at a[off, end), which end the stream. */
export function putTrailers(out: FrameWriter, a: Uint8Array, off: number, end: number, id: number): void {
  const start = out.at;
  out.at += FRAME_HEAD;
  if (parseFields(a, off, end) > 0) putFields(out, a, notInTrailers);
  out.block(start, id, END_STREAM);
}

// The static table.
const AUTHORITY = 1;
const METHOD_GET = 2;
const METHOD_POST = 3;
const PATH = 4;
const SCHEME_HTTP = 6;
const SCHEME_HTTPS = 7;
const getBytes = Buffer.from('GET', 'latin1');
const postBytes = Buffer.from('POST', 'latin1');
const te = Buffer.from('tetrailers', 'latin1');
const extended = Buffer.from(':methodCONNECT:protocolwebsocket', 'latin1');
const methodField = { name: 0, nameLen: 7, hash: nameHash(':method'), value: 7, valueLen: 7 };
const protocolField = { name: 14, nameLen: 9, hash: nameHash(':protocol'), value: 23, valueLen: 9 };
const teField = { name: 0, nameLen: 2, hash: nameHash('te'), value: 2, valueLen: 8 };

export interface RequestTo {
  readonly id: number;
  /** Of its HEADERS. */
  readonly flags: number;
  /** Over TLS. */
  readonly secure: boolean;
  /** The request is the Upgrade of a WebSocket: it goes as extended CONNECT (RFC 8441). */
  readonly websocket: boolean;
}

/** Writes the parsed request head, whose bytes lie in `a`. */
export function putRequest(out: FrameWriter, a: Uint8Array, { id, flags, secure, websocket }: RequestTo): void {
  const start = out.at;
  let p = start + FRAME_HEAD;
  if (websocket) p = putField(out.a, putField(out.a, p, extended, methodField), extended, protocolField);
  else if (bytesAre(a, head.methodOff, head.methodLen, getBytes)) p = putStatic(out.a, p, METHOD_GET);
  else if (bytesAre(a, head.methodOff, head.methodLen, postBytes)) p = putStatic(out.a, p, METHOD_POST);
  else p = putNamed(out.a, p, METHOD_GET, a, head.methodOff, head.methodLen);
  p = putStatic(out.a, p, secure ? SCHEME_HTTPS : SCHEME_HTTP);
  p = putNamed(out.a, p, PATH, a, head.targetOff, head.targetLen);
  p = putNamed(out.a, p, AUTHORITY, a, head.authorityOff, head.authorityLen);
  // Who asks takes trailers: gRPC's servers want to hear it.
  out.at = websocket ? p : putField(out.a, p, te, teField);
  putFields(out, a, notInHeads);
  out.block(start, id, flags);
}
