// Answers that the router gives itself: errors, fixed replies, redirects.
import { STATUS_CODES } from '../../lib/http.ts';
import type { PathMatch, RouteAction } from '../../mesh/snapshot.ts';
import { head } from './fields.ts';
import { BODY_NONE, OUT_KEEP, REPLY, W_ACTION, W_BODY, W_HEAD, W_OUT } from '../transport.ts';
import type { Edits } from './edits.ts';
import type { Emitter } from './emit.ts';
import { emitPath, emitQuery } from './target.ts';

const closeLine = Buffer.from('connection: close\r\n');
const keepLine = Buffer.from('connection: keep-alive\r\n');
const plainLine = Buffer.from('content-type: text/plain\r\n');
const crlf = Buffer.from('\r\n');

export interface ReplyTo {
  readonly base: number;
  /** The connection goes on. */
  readonly keep: boolean;
  readonly minor: number;
  /** The answer to HEAD has no body. */
  readonly head: boolean;
}

let dateAt = 0;
let dateLine = '';

/** "date: ..." of this second. */
function date(now: number): string {
  const second = Math.floor(now / 1000);
  if (second !== dateAt) {
    dateAt = second;
    dateLine = `date: ${new Date(second * 1000).toUTCString()}\r\n`;
  }
  return dateLine;
}

const statusLines: string[] = [];

function statusLine(status: number): string {
  return (statusLines[status] ??= `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`);
}

/** Begins an answer: its status line and date. */
export function beginReply(e: Emitter, to: ReplyTo, status: number, now: number): void {
  const { rows } = e;
  rows[to.base + W_ACTION] = REPLY;
  rows[to.base + W_OUT] = rows[to.base + W_OUT]! | (to.keep ? OUT_KEEP : 0);
  e.start(to.base);
  e.text(statusLine(status));
  e.text(date(now));
}

/** Closes the head of an answer that has no body. */
export function endReply(e: Emitter, to: ReplyTo): void {
  finish(e, to, empty, undefined);
}

function finish(e: Emitter, to: ReplyTo, body: Uint8Array, edits: Edits | undefined): void {
  e.text(`content-length: ${body.length}\r\n`);
  if (body.length > 0 && edits?.contentType !== true) e.bytes(plainLine);
  if (!to.keep) e.bytes(closeLine);
  else if (to.minor === 0) e.bytes(keepLine);
  if (edits !== undefined && edits.added.length > 0) e.bytes(edits.added);
  e.bytes(crlf);
  if (!to.head && body.length > 0) e.bytes(body);
  e.end(0);
}

/** A whole answer. */
export function emitReply(e: Emitter, to: ReplyTo, status: number, body: Uint8Array, now: number, edits?: Edits): void {
  beginReply(e, to, status, now);
  finish(e, to, body, edits);
}

/** A redirect. Without a port in the action: the new host alone, else the request's Host as it came, less the port of
 * its own scheme where that changes; a port that the scheme implies is not written. */
export function emitRedirect(
  e: Emitter,
  to: ReplyTo,
  action: Extract<RouteAction, { kind: 'redirect' }>,
  match: PathMatch | undefined,
  now: number,
  edits: Edits,
  secure = false,
): void {
  beginReply(e, to, action.status, now);
  const own = secure ? 'https' : 'http';
  const scheme = action.scheme ?? own;
  e.text(`location: ${scheme}://`);
  const bare = action.port !== undefined || (scheme !== own && hasOwnPort(e.arena, secure));
  if (action.host !== undefined) e.text(action.host);
  else e.copy(head.hostOff, bare ? head.hostOff + head.hostLen : head.authorityOff + head.authorityLen);
  if (action.port !== undefined && action.port !== (scheme === 'https' ? 443 : 80)) e.text(`:${action.port}`);
  emitPath(e, match, action.path);
  emitQuery(e);
  e.bytes(crlf);
  finish(e, to, empty, edits);
}

/** The Host names the port that the connection's own scheme implies. */
function hasOwnPort(a: Uint8Array, secure: boolean): boolean {
  const port = head.hostOff + head.hostLen + 1;
  const own = secure ? '443' : '80';
  if (head.authorityLen - head.hostLen !== own.length + 1) return false;
  for (let i = 0; i < own.length; i += 1) if (a[port + i] !== own.charCodeAt(i)) return false;
  return true;
}

const empty = Buffer.alloc(0);

/** Marks a row as used up although its request could not be read. */
export function swallow(e: Emitter, base: number, len: number): void {
  e.rows[base + W_HEAD] = len;
  e.rows[base + W_BODY] = BODY_NONE;
}
