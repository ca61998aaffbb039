// One line of the access log, a JSON object, written as bytes: strings would cost more than all else that the router
// itself does for a request.
import { Buffer } from 'node:buffer';

const none = new Uint8Array(0);
/** A subject that had more room than this gives it back when it is done. */
const KEPT = 1024;

/** What a request asked for: method, host and path behind each other, as they came. A connection keeps one and uses it
 * for each of its requests. */
export class Subject {
  bytes: Uint8Array = none;
  methodEnd = 0;
  hostEnd = 0;
  pathEnd = 0;

  /** Copies the three out of `a`; each is an offset and a length. */
  set(
    a: Uint8Array,
    method: number,
    methodLength: number,
    host: number,
    hostLength: number,
    path: number,
    pathLength: number,
  ): void {
    const size = methodLength + hostLength + pathLength;
    if (this.bytes.length < size) this.bytes = new Uint8Array(Math.max(128, size));
    this.methodEnd = methodLength;
    this.hostEnd = methodLength + hostLength;
    this.pathEnd = size;
    copy(a, method, methodLength, this.bytes, 0);
    copy(a, host, hostLength, this.bytes, this.methodEnd);
    copy(a, path, pathLength, this.bytes, this.hostEnd);
  }

  clear(): void {
    this.methodEnd = this.hostEnd = this.pathEnd = 0;
    if (this.bytes.length > KEPT) this.bytes = none;
  }

  method(): string {
    return this.text(0, this.methodEnd);
  }

  host(): string {
    return this.text(this.methodEnd, this.hostEnd);
  }

  path(): string {
    return this.text(this.hostEnd, this.pathEnd);
  }

  private text(start: number, end: number): string {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length).toString('latin1', start, end);
  }
}

function copy(a: Uint8Array, off: number, length: number, to: Uint8Array, at: number): void {
  for (let i = 0; i < length; i += 1) to[at + i] = a[off + i]!;
}

export interface AccessRecord {
  /** Milliseconds since 1970, when the request was taken. */
  timeMs: number;
  listener: string;
  route: string;
  subject: Subject;
  status: number;
  bytesIn: number;
  bytesOut: number;
  durationMs: number;
  upstream: string;
  client: string;
  /** Ingress port id. */
  port: number;
  /** Why it ended as it did: "no-route", "upstream-reset", ... */
  flags: string;
}

/** Strings that come again and again (names of routes, addresses), as JSON text in bytes. */
const KNOWN = 8192;
const known = new Map<string, Uint8Array>();

function quoted(text: string): Uint8Array {
  const found = known.get(text);
  if (found !== undefined) return found;
  if (known.size >= KNOWN) known.clear();
  const bytes = Buffer.from(JSON.stringify(text));
  known.set(text, bytes);
  return bytes;
}

const key = (name: string): Uint8Array => Buffer.from(`,"${name}":`);
const keys = {
  listener: Buffer.from('Z","listener":'),
  route: key('route'),
  method: Buffer.from(',"method":"'),
  host: Buffer.from('","host":"'),
  path: Buffer.from('","path":"'),
  status: Buffer.from('","status":'),
  bytesIn: key('bytes_in'),
  bytesOut: key('bytes_out'),
  duration: key('duration_ms'),
  upstream: key('upstream'),
  client: key('client'),
  port: key('port'),
  portName: key('port_name'),
  flags: key('flags'),
  time: Buffer.from('{"time":"'),
  end: Buffer.from('}\n'),
};
const hex = Buffer.from('0123456789abcdef');
/** Bytes that stand for themselves in a JSON string. */
const plain = new Uint8Array(256);
for (let c = 32; c < 127; c += 1) plain[c] = c === 34 || c === 92 ? 0 : 1;

let out: Uint8Array = none;
let at = 0;
let secondAt = -1;
let secondBytes: Uint8Array = none;

function put(bytes: Uint8Array): void {
  const { length } = bytes;
  for (let i = 0; i < length; i += 1) out[at + i] = bytes[i]!;
  at += length;
}

/** A piece of the subject, as the inside of a JSON string: what is not plain ASCII as \u00xx. */
function putPiece(a: Uint8Array, start: number, end: number): void {
  for (let i = start; i < end; i += 1) {
    const c = a[i]!;
    if (plain[c] === 1) {
      out[at] = c;
      at += 1;
      continue;
    }
    out[at] = 92;
    out[at + 1] = 117;
    out[at + 2] = out[at + 3] = 48;
    out[at + 4] = hex[c >> 4]!;
    out[at + 5] = hex[c & 15]!;
    at += 6;
  }
}

/** A whole number, at least so many digits of it. */
function putNumber(n: number, least: number): void {
  let digits = 1;
  for (let limit = 10; n >= limit || digits < least; limit *= 10) digits += 1;
  let rest = n;
  for (let i = digits - 1; i >= 0; i -= 1) {
    const next = Math.floor(rest / 10);
    out[at + i] = 48 + (rest - next * 10);
    rest = next;
  }
  at += digits;
}

function putDot(): void {
  out[at] = 46;
  at += 1;
}

/** ISO 8601 in UTC; the part down to the second is kept for the next line. */
function putTime(ms: number): void {
  const whole = Math.floor(ms);
  const second = Math.floor(whole / 1000);
  if (second !== secondAt) {
    secondAt = second;
    secondBytes = Buffer.from(new Date(second * 1000).toISOString().slice(0, -5));
  }
  put(secondBytes);
  putDot();
  putNumber(whole - second * 1000, 3);
}

/** Milliseconds with three decimals. */
function putMillis(ms: number): void {
  const us = Math.round(ms * 1000);
  const whole = Math.floor(us / 1000);
  putNumber(whole, 1);
  putDot();
  putNumber(us - whole * 1000, 3);
}

/** Bytes that a line may take at most. */
export function lineBytes(r: AccessRecord, portName: string): number {
  const names = r.listener.length + r.route.length + r.upstream.length + r.client.length + r.flags.length;
  return 512 + 6 * (r.subject.pathEnd + names + portName.length);
}

/** Writes the line of a record at `from`, where lineBytes are free. Gives the place behind it. `portName`: of the
 * ingress port; "" where the connection came by none, or by one unknown. */
export function writeLine(to: Uint8Array, from: number, r: AccessRecord, portName: string): number {
  const { subject } = r;
  out = to;
  at = from;
  put(keys.time);
  putTime(r.timeMs);
  put(keys.listener);
  put(quoted(r.listener));
  put(keys.route);
  put(quoted(r.route));
  put(keys.method);
  putPiece(subject.bytes, 0, subject.methodEnd);
  put(keys.host);
  putPiece(subject.bytes, subject.methodEnd, subject.hostEnd);
  put(keys.path);
  putPiece(subject.bytes, subject.hostEnd, subject.pathEnd);
  put(keys.status);
  putNumber(r.status, 1);
  put(keys.bytesIn);
  putNumber(r.bytesIn, 1);
  put(keys.bytesOut);
  putNumber(r.bytesOut, 1);
  put(keys.duration);
  putMillis(r.durationMs);
  put(keys.upstream);
  put(quoted(r.upstream));
  put(keys.client);
  put(quoted(r.client));
  put(keys.port);
  putNumber(r.port, 1);
  put(keys.portName);
  put(quoted(portName));
  put(keys.flags);
  put(quoted(r.flags));
  put(keys.end);
  return at;
}
