// The response head as it goes to the client, and what its framing means (RFC 9112 6.3).
import {
  BODY_CHUNKED,
  BODY_CLOSE,
  BODY_INTERIM,
  BODY_LENGTH,
  BODY_NONE,
  OUT_CHUNK,
  OUT_KEEP,
  OUT_KEEP_UPSTREAM,
} from '../transport.ts';
import {
  CONNECTION,
  CONTENT_LENGTH,
  C_CLOSE,
  C_KEEP_ALIVE,
  C_NAMED,
  FIELD_WORDS,
  F_END,
  F_ID,
  F_NAME,
  F_VALUE,
  F_VALUE_LEN,
  KEEP_ALIVE,
  PROXY_CONNECTION,
  TRAILER,
  TRANSFER_ENCODING,
  UPGRADE,
  bytesAreFolded,
  fields,
  head,
} from './fields.ts';
import { removed } from './edits.ts';
import type { Edits } from './edits.ts';
import type { Emitter } from './emit.ts';
import { END_TEMPLATE, isNamed } from './request.ts';

const version = Buffer.from('HTTP/1.1');
const chunkedLine = Buffer.from('transfer-encoding: chunked\r\n');
const closeLine = Buffer.from('connection: close\r\n');
const keepLine = Buffer.from('connection: keep-alive\r\n');
const upgradeLine = Buffer.from('connection: upgrade\r\n');

/** How the body of the parsed response is framed; -1 where its head says what can't be. */
export function responseBody(headRequest: boolean): number {
  const { status } = head;
  const framed = head.chunked || head.contentLength > 0;
  if (status < 200) return framed ? -1 : BODY_INTERIM;
  if (status === 204) return framed ? -1 : BODY_NONE;
  if (status === 304 || headRequest) return BODY_NONE;
  if (head.chunked) return BODY_CHUNKED;
  if (head.contentLength >= 0) return BODY_LENGTH;
  return BODY_CLOSE;
}

/** OUT_ flags: may the client's connection go on (it wants to), may the upstream's, is the outgoing body chunked. */
export function responseFlags(body: number, keep: boolean, clientMinor: number): number {
  const endless = body === BODY_CHUNKED || body === BODY_CLOSE;
  let flags = 0;
  if (endless && clientMinor === 1) flags |= OUT_CHUNK;
  if (keep && (!endless || clientMinor === 1)) flags |= OUT_KEEP;
  const open = head.minor === 1 ? (head.connection & C_CLOSE) === 0 : (head.connection & C_KEEP_ALIVE) !== 0;
  if (open && body !== BODY_CLOSE) flags |= OUT_KEEP_UPSTREAM;
  return flags;
}

/** Seconds that the parsed response says its server keeps an idle connection ("Keep-Alive: timeout=5"), or -1. */
export function keepAliveSeconds(a: Uint8Array): number {
  if (head.keepAlive < 0) return -1;
  const end = fields[head.keepAlive + F_VALUE]! + fields[head.keepAlive + F_VALUE_LEN]!;
  let p = fields[head.keepAlive + F_VALUE]!;
  while (p < end) {
    while (p < end && (a[p] === COMMA || blank(a[p]!))) p += 1;
    let stop = p;
    while (stop < end && a[stop] !== COMMA) stop += 1;
    if (bytesAreFolded(a, p, Math.min(timeoutName.length, stop - p), timeoutName)) {
      return seconds(a, p + timeoutName.length, stop);
    }
    p = stop;
  }
  return -1;
}

const COMMA = 44;
const timeoutName = Buffer.from('timeout=');
/** More digits are more than a day: as good as not said. */
const MAX_DIGITS = 5;

function blank(c: number): boolean {
  return c === 32 || c === 9;
}

function seconds(a: Uint8Array, off: number, end: number): number {
  let value = 0;
  let p = off;
  for (; p < end && !blank(a[p]!); p += 1) {
    const digit = a[p]! - 48;
    if (digit < 0 || digit > 9 || p - off === MAX_DIGITS) return -1;
    value = value * 10 + digit;
  }
  const from = p;
  while (p < end && blank(a[p]!)) p += 1;
  return p === end && from > off ? value : -1;
}

function dropped(id: number): boolean {
  return (
    id === CONNECTION ||
    id === KEEP_ALIVE ||
    id === PROXY_CONNECTION ||
    id === TRANSFER_ENCODING ||
    id === TRAILER ||
    id === UPGRADE
  );
}

/** Builds the head for the parsed response into the row of `e`. `flags` are responseFlags'. */
export function emitResponse(e: Emitter, body: number, flags: number, clientMinor: number, edits: Edits): void {
  const a = e.arena;
  const start = head.line;
  statusLine(e, start);
  const hop = head.connection & C_NAMED;
  const upgrade = head.status === 101;
  for (let i = 0, at = 0; i < head.count; i += 1, at += FIELD_WORDS) {
    const id = fields[at + F_ID]!;
    if (id !== 0 && dropped(id) && !(upgrade && id === UPGRADE)) continue;
    if (id === CONTENT_LENGTH && (head.status === 204 || head.status < 200)) continue;
    if (id === 0 && edits.removes.length > 0 && removed(edits, a, at)) continue;
    if (hop !== 0 && id === 0 && isNamed(a, at)) continue;
    e.keep(fields[at + F_NAME]!, fields[at + F_END]!);
  }
  if ((flags & OUT_CHUNK) !== 0) e.bytes(chunkedLine);
  if (upgrade) e.bytes(upgradeLine);
  else if (body === BODY_INTERIM) {
    e.end(END_TEMPLATE);
    return;
  } else if ((flags & OUT_KEEP) === 0) e.bytes(closeLine);
  else if (clientMinor === 0) e.bytes(keepLine);
  if (edits.added.length > 0) e.bytes(edits.added);
  e.end(END_TEMPLATE);
}

function statusLine(e: Emitter, end: number): void {
  if (head.minor === 1) return e.keep(head.start, end);
  e.bytes(version);
  e.keep(head.start + version.length, end);
}
