// The request head as it goes to an upstream. What a proxy in front adds is decided here and nowhere else, as Envoy
// does it with use_remote_address: the client's address at the end of x-forwarded-for, x-forwarded-proto set, and of a
// certificate that was verified x-forwarded-client-cert; nothing more.
import type { CertificateDetail, PathMatch, PathRewrite } from '../../mesh/snapshot.ts';
import {
  CONNECTION,
  CONTENT_LENGTH,
  C_NAMED,
  C_UPGRADE,
  EXPECT,
  FIELD_WORDS,
  F_END,
  F_ID,
  F_NAME,
  F_NAME_LEN,
  F_VALUE,
  F_VALUE_LEN,
  HOST,
  X_FORWARDED_FOR,
  bytesAreFolded,
  fields,
  head,
} from './fields.ts';
import { BODY_CHUNKED, BODY_LENGTH, OUT_CHUNK, W_BODY, W_BODY_HI, W_BODY_LO, W_OUT } from '../transport.ts';
import type { Peer } from '../transport.ts';
import { kept } from '../../lib/compare/kept.ts';
import { certificateLine } from '../tls/forwarded.ts';
import { removed } from './edits.ts';
import type { Edits } from './edits.ts';
import type { Emitter } from './emit.ts';
import { emitPath, emitQuery } from './target.ts';

/** Template of the empty line. */
export const END_TEMPLATE = 1;
export const endTemplate = Buffer.from('\r\n');

const space = Buffer.from(' ');
const lineEnd = Buffer.from(' HTTP/1.1\r\n');
const chunkedLine = Buffer.from('transfer-encoding: chunked\r\n');
const upgradeLine = Buffer.from('connection: upgrade\r\nupgrade: ');
const forwardedFor = Buffer.from('x-forwarded-for: ');
const comma = Buffer.from(',');
const proto = Buffer.from('x-forwarded-proto: http\r\n');
const protoSecure = Buffer.from('x-forwarded-proto: https\r\n');
const crlf = Buffer.from('\r\n');
const websocket = Buffer.from('websocket');

/** Says in a row how the body of the parsed request is framed. */
export function frameRequest(rows: Int32Array, base: number): void {
  if (head.chunked) {
    rows[base + W_BODY] = BODY_CHUNKED;
    rows[base + W_OUT] = OUT_CHUNK;
  } else if (head.contentLength > 0) frameLength(rows, base);
}

/** Says in a row that the body has the length of the parsed head. */
export function frameLength(rows: Int32Array, base: number): void {
  rows[base + W_BODY] = BODY_LENGTH;
  rows[base + W_BODY_LO] = head.contentLength | 0;
  rows[base + W_BODY_HI] = Math.floor(head.contentLength / 0x1_0000_0000);
}

export interface RequestChange {
  readonly match: PathMatch | undefined;
  readonly path: PathRewrite | undefined;
  readonly host: string | undefined;
}

/** "name: value" with one space and nothing behind: can stay as it is. */
function canonical(at: number): boolean {
  const value = fields[at + F_VALUE]!;
  return (
    value - fields[at + F_NAME]! - fields[at + F_NAME_LEN]! === 2 &&
    fields[at + F_END]! - value - fields[at + F_VALUE_LEN]! === 2
  );
}

/** What of a listener's view counts here. */
interface By {
  readonly protocol: string;
  readonly details?: readonly CertificateDetail[] | undefined;
}

/** Builds the head for the parsed request into the row of `e`: of that client, which came by that listener. */
export function emitRequest(e: Emitter, change: RequestChange, edits: Edits, client: Peer, by: By | undefined): void {
  const a = e.arena;
  requestLine(e, change.path === undefined ? undefined : change);
  const hop = head.connection & C_NAMED;
  let forwarded = 0;
  for (let i = 0, at = 0; i < head.count; i += 1, at += FIELD_WORDS) {
    const id = fields[at + F_ID]!;
    if (id !== 0) {
      if (id === X_FORWARDED_FOR) forwarded += 1;
      else if (id === HOST) hostLine(e, at, change.host);
      else if (id === CONTENT_LENGTH) canonicalLine(e, at);
      else if (id === EXPECT && head.minor === 1) canonicalLine(e, at);
      continue;
    }
    if (edits.removes.length > 0 && removed(edits, a, at)) continue;
    if (hop !== 0 && isNamed(a, at)) continue;
    e.keep(fields[at + F_NAME]!, fields[at + F_END]!);
  }
  if (head.chunked) e.bytes(chunkedLine);
  if (upgrades(a)) {
    e.bytes(upgradeLine);
    e.bytes(websocket);
    e.bytes(crlf);
  }
  const secure = by?.protocol === 'HTTPS';
  if (forwarded === 0 && !edits.forwardedFor && !edits.forwardedProto) {
    e.bytes((secure ? introductionSecure : introduction)(client.address));
  } else {
    if (!edits.forwardedFor) emitForwarded(e, forwarded, client.address);
    if (!edits.forwardedProto) e.bytes(secure ? protoSecure : proto);
  }
  const certificate = client.tls?.certificate;
  if (certificate !== undefined && by?.details !== undefined && !edits.clientCert) {
    e.bytes(certificateLine(certificate, by.details));
  }
  if (edits.added.length > 0) e.bytes(edits.added);
  e.end(END_TEMPLATE);
}

function requestLine(e: Emitter, change: RequestChange | undefined): void {
  if (change === undefined && head.minor === 1 && !head.absolute) return e.keep(head.methodOff, head.line);
  e.keep(head.methodOff, head.methodOff + head.methodLen);
  e.bytes(space);
  emitPath(e, change?.match, change?.path);
  emitQuery(e);
  e.bytes(lineEnd);
}

function hostLine(e: Emitter, at: number, host: string | undefined): void {
  if (host === undefined) canonicalLine(e, at);
  else e.text(`host: ${host}\r\n`);
}

function canonicalLine(e: Emitter, at: number): void {
  if (canonical(at)) return e.keep(fields[at + F_NAME]!, fields[at + F_END]!);
  e.keep(fields[at + F_NAME]!, fields[at + F_NAME]! + fields[at + F_NAME_LEN]!);
  e.text(': ');
  e.keep(fields[at + F_VALUE]!, fields[at + F_VALUE]! + fields[at + F_VALUE_LEN]!);
  e.bytes(crlf);
}

/** Both lines of a client that comes straight to us, kept by its address: made anew they would cost more than all the
 * rest of the head. */
const introducedBy = (protoLine: Uint8Array): ((client: string) => Uint8Array) =>
  kept(4096, (client) => Buffer.concat([forwardedFor, Buffer.from(client, 'latin1'), crlf, protoLine]));
const introduction = introducedBy(proto);
const introductionSecure = introducedBy(protoSecure);

function emitForwarded(e: Emitter, before: number, client: string): void {
  e.bytes(forwardedFor);
  if (before > 0) {
    for (let i = 0, at = 0; i < head.count; i += 1, at += FIELD_WORDS) {
      if (fields[at + F_ID] !== X_FORWARDED_FOR || fields[at + F_VALUE_LEN] === 0) continue;
      e.copy(fields[at + F_VALUE]!, fields[at + F_VALUE]! + fields[at + F_VALUE_LEN]!);
      e.bytes(comma);
    }
  }
  e.text(client);
  e.bytes(crlf);
}

/** The parsed request asks to become a WebSocket: the one upgrade that is passed on. */
export function upgrades(a: Uint8Array): boolean {
  if ((head.connection & C_UPGRADE) === 0 || head.upgrade < 0 || head.minor === 0) return false;
  const at = head.upgrade * FIELD_WORDS;
  return bytesAreFolded(a, fields[at + F_VALUE]!, fields[at + F_VALUE_LEN]!, websocket);
}

/** A Connection field names this one (RFC 9110 7.6.1). */
export function isNamed(a: Uint8Array, field: number): boolean {
  const name = a.subarray(fields[field + F_NAME]!, fields[field + F_NAME]! + fields[field + F_NAME_LEN]!);
  for (let i = 0, at = 0; i < head.count; i += 1, at += FIELD_WORDS) {
    if (fields[at + F_ID] !== CONNECTION) continue;
    const end = fields[at + F_VALUE]! + fields[at + F_VALUE_LEN]!;
    let p = fields[at + F_VALUE]!;
    while (p < end) {
      let stop = p;
      while (stop < end && a[stop] !== 44 && a[stop] !== 32 && a[stop] !== 9) stop += 1;
      if (stop > p && bytesAreFolded(a, p, stop - p, name)) return true;
      p = stop + 1;
    }
  }
  return false;
}
