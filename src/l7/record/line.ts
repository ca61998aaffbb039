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
  /** Of the name of the route, by routePiece(). */
  route: Uint8Array;
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

/** What comes again and again (addresses, names of listeners), as a piece of a line, by the text that it is made of. */
const KNOWN = 8192;

function kept(make: (text: string) => string): (text: string) => Uint8Array {
  const known = new Map<string, Uint8Array>();
  return (text) => {
    const found = known.get(text);
    if (found !== undefined) return found;
    if (known.size >= KNOWN) known.clear();
    const bytes = Buffer.from(make(text));
    known.set(text, bytes);
    return bytes;
  };
}

/** The piece of a line that says which route: kept with the route, since there may be more of them than KNOWN. */
export function routePiece(name: string): Uint8Array {
  return Buffer.from(`${JSON.stringify(name)},"method":"`);
}

const listenerKey = kept((name) => `Z","listener":${JSON.stringify(name)},"route":`);
const upstreamKey = kept((name) => `,"upstream":${JSON.stringify(name)},"client":`);
const clientKey = kept((name) => JSON.stringify(name));

const key = (name: string): Uint8Array => Buffer.from(`,"${name}":`);
const keys = {
  host: Buffer.from('","host":"'),
  path: Buffer.from('","path":"'),
  status: Buffer.from('","status":'),
  bytesIn: key('bytes_in'),
  bytesOut: key('bytes_out'),
  duration: key('duration_ms'),
  time: Buffer.from('{"time":"'),
};

/** The last line's end: most lines of a switch have the same. */
const end = { port: -1, portName: '', flags: '', bytes: none };

function endOf(port: number, portName: string, flags: string): Uint8Array {
  if (end.port !== port || end.portName !== portName || end.flags !== flags) {
    const text = `,"port":${port},"port_name":${JSON.stringify(portName)},"flags":${JSON.stringify(flags)}}\n`;
    Object.assign(end, { port, portName, flags, bytes: Buffer.from(text) });
  }
  return end.bytes;
}

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
  const to = out;
  const from = at;
  // A call costs as much as a dozen bytes one by one.
  if (length > 12) to.set(bytes, from);
  else for (let i = 0; i < length; i += 1) to[from + i] = bytes[i]!;
  at = from + length;
}

/** A piece of the subject, as the inside of a JSON string: what is not plain ASCII as \u00xx. */
function putPiece(a: Uint8Array, start: number, end: number): void {
  const to = out;
  let p = at;
  for (let i = start; i < end; i += 1) {
    const c = a[i]!;
    if (plain[c] === 1) {
      to[p] = c;
      p += 1;
      continue;
    }
    to[p] = 92;
    to[p + 1] = 117;
    to[p + 2] = to[p + 3] = 48;
    to[p + 4] = hex[c >> 4]!;
    to[p + 5] = hex[c & 15]!;
    p += 6;
  }
  at = p;
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
  put(listenerKey(r.listener));
  put(r.route);
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
  put(upstreamKey(r.upstream));
  put(clientKey(r.client));
  put(endOf(r.port, portName, r.flags));
  return at;
}
