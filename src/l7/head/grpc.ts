// Calls of gRPC among requests: how they are known, how long they may take, and what the router itself answers to them
// (the protocol's PROTOCOL-HTTP2.md and PROTOCOL-WEB.md, and its mapping of HTTP's statuses).
import { STATUS_CODES } from '../../lib/http.ts';
import { FIELD_WORDS, F_HASH, F_NAME, F_NAME_LEN, F_VALUE, F_VALUE_LEN } from './fields.ts';
import { bytesAre, bytesAreFolded, fields, head, nameHash } from './fields.ts';
import type { Emitter } from './emit.ts';
import { beginReply, endReply } from './reply.ts';
import type { ReplyTo } from './reply.ts';

/** What a request is. */
export type Call = 'none' | 'grpc' | 'grpc-web' | 'grpc-web-text';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const typeName = latin1('content-type');
const typeHash = nameHash('content-type');
const timeoutName = latin1('grpc-timeout');
const timeoutHash = nameHash('grpc-timeout');
/** The longest first: each is the beginning of those before it. */
const types: readonly (readonly [bytes: Buffer, call: Call])[] = [
  [latin1('application/grpc-web-text'), 'grpc-web-text'],
  [latin1('application/grpc-web'), 'grpc-web'],
  [latin1('application/grpc'), 'grpc'],
];

/** Place of the field of that name in `fields`, -1: there is none. */
function fieldAt(a: Uint8Array, hash: number, name: Uint8Array): number {
  for (let i = 0, at = 0; i < head.count; i += 1, at += FIELD_WORDS) {
    if (fields[at + F_HASH] === hash && bytesAre(a, fields[at + F_NAME]!, fields[at + F_NAME_LEN]!, name)) return at;
  }
  return -1;
}

/** What the parsed head, whose bytes lie in `a`, says that its body is. */
export function callOf(a: Uint8Array): Call {
  const at = fieldAt(a, typeHash, typeName);
  if (at < 0) return 'none';
  const off = fields[at + F_VALUE]!;
  const len = fields[at + F_VALUE_LEN]!;
  for (const [bytes, call] of types) {
    const size = bytes.length;
    if (len < size || !bytesAreFolded(a, off, size, bytes)) continue;
    // Alone, or with "+proto" or ";charset" behind it.
    return len === size || a[off + size] === 43 || a[off + size] === 59 ? call : 'none';
  }
  return 'none';
}

/** Milliseconds by the letter of a unit. */
const units: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };
const MAX_DIGITS = 8;

/** Milliseconds that the caller gives the call, 0: any. What is no time counts as none. */
function timeoutMs(a: Uint8Array): number {
  const at = fieldAt(a, timeoutHash, timeoutName);
  if (at < 0) return 0;
  const off = fields[at + F_VALUE]!;
  const digits = fields[at + F_VALUE_LEN]! - 1;
  const unit = units[String.fromCharCode(a[off + digits] ?? 0)];
  if (digits < 1 || digits > MAX_DIGITS || unit === undefined) return 0;
  let value = 0;
  for (let i = 0; i < digits; i += 1) {
    const digit = a[off + i]! - 48;
    if (digit < 0 || digit > 9) return 0;
    value = value * 10 + digit;
  }
  return Math.max(1, Math.ceil(value * unit));
}

/** The shorter of what the caller gives the call and what its route does (0: any). */
export function deadlineMs(a: Uint8Array, routeMs: number): number {
  const own = timeoutMs(a);
  return own > 0 && routeMs > 0 ? Math.min(own, routeMs) : Math.max(own, routeMs);
}

const UNKNOWN = 2;
/** Codes of gRPC by status. A deadline that has passed is one here, where others say UNAVAILABLE. */
const codes: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 4,
};

/** "100 %" as grpc-message has it: what is not printable, and "%", by its UTF-8. */
function escaped(text: string): string {
  return text.replace(/[^ -$&-~]/gu, (c) => encodeURIComponent(c));
}

/** What HTTP has that status for, as the caller of gRPC understands it: 200, and no message, but trailers at once. */
export function emitGrpcStatus(
  e: Emitter,
  to: ReplyTo,
  call: Call,
  status: number,
  why: Uint8Array,
  now: number,
): void {
  const message = why.length > 0 ? Buffer.from(why).toString() : (STATUS_CODES[status] ?? '');
  beginReply(e, to, 200, now);
  e.text(`content-type: application/${call}\r\ngrpc-status: ${codes[status] ?? UNKNOWN}\r\n`);
  e.text(`grpc-message: ${escaped(message)}\r\n`);
  endReply(e, to);
}
