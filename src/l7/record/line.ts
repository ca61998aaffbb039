// One line of the access log, a JSON object, written as bytes: strings would cost more than all else that the router
// itself does for a request. What comes again is kept as pieces, and a piece is copied by one call.
import { Buffer } from 'node:buffer';
import { kept } from '../../lib/compare/kept.ts';

const none = new Uint8Array(0);
/** A subject that had more room than this gives it back when it is done. */
const KEPT = 1024;

const between = { host: Buffer.from('","host":"'), path: Buffer.from('","path":"') } as const;
const nothing = Buffer.concat([between.host, between.path]);

/** What a request asked for: method, host and path as they came, laid out as a line has them. A connection keeps one
 * and uses it for each of its requests. */
export class Subject {
  bytes: Uint8Array = none;
  methodEnd = 0;
  hostEnd = 0;
  /** 0: nothing is known. */
  end = 0;
  /** All of it may stand in a JSON string as it is. */
  plain = false;

  /** Copies the three out of `a`; each is an offset and a length. `plain`: JSON would escape nothing of them. */
  set(
    a: Uint8Array,
    method: number,
    methodLength: number,
    host: number,
    hostLength: number,
    path: number,
    pathLength: number,
    plain = false,
  ): void {
    this.methodEnd = methodLength;
    this.hostEnd = methodLength + between.host.length + hostLength;
    this.end = this.hostEnd + between.path.length + pathLength;
    this.plain = plain;
    if (this.bytes.length < this.end) this.bytes = new Uint8Array(Math.max(128, this.end));
    const to = this.bytes;
    copy(a, method, methodLength, to, 0);
    copy(between.host, 0, between.host.length, to, methodLength);
    copy(a, host, hostLength, to, this.hostEnd - hostLength);
    copy(between.path, 0, between.path.length, to, this.hostEnd);
    copy(a, path, pathLength, to, this.end - pathLength);
  }

  clear(): void {
    this.methodEnd = this.hostEnd = this.end = 0;
    if (this.bytes.length > KEPT) this.bytes = none;
  }

  method(): string {
    return this.text(0, this.methodEnd);
  }

  host(): string {
    return this.text(this.methodEnd + between.host.length, this.hostEnd);
  }

  path(): string {
    return this.text(this.hostEnd + between.path.length, this.end);
  }

  private text(start: number, end: number): string {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length).toString('latin1', start, end);
  }
}

function copy(a: Uint8Array, off: number, length: number, to: Uint8Array, at: number): void {
  for (let i = 0; i < length; i += 1) to[at + i] = a[off + i]!;
}

/** The piece of a line that says which listener and route: kept with the route. */
export class RoutePiece {
  readonly route: string;
  private listener = '';
  private bytes: Uint8Array = none;

  constructor(route: string) {
    this.route = route;
  }

  /** As a rule a route has one listener. */
  of(listener: string): Uint8Array {
    if (this.listener !== listener || this.bytes === none) {
      this.listener = listener;
      const [by, to] = [listener, this.route].map((name) => JSON.stringify(name));
      this.bytes = Buffer.from(`Z","listener":${by},"route":${to},"method":"`);
    }
    return this.bytes;
  }
}

/** The piece of a line that says which endpoint took it, kept with the endpoint. */
export class UpstreamPiece {
  readonly upstream: string;
  readonly bytes: Uint8Array;

  constructor(upstream: string) {
    this.upstream = upstream;
    this.bytes = Buffer.from(`,"upstream":${JSON.stringify(upstream)},"client":`);
  }
}

export interface AccessRecord {
  /** Milliseconds since 1970, when the request was taken. */
  timeMs: number;
  listener: string;
  route: RoutePiece;
  subject: Subject;
  status: number;
  bytesIn: number;
  bytesOut: number;
  durationMs: number;
  upstream: UpstreamPiece;
  client: string;
  /** Ingress port id. */
  port: number;
  /** Why it ended as it did: "no-route", "upstream-reset", ... */
  flags: string;
}

/** Names of ingress ports by id; "" in a line where the connection came by none, or by one unknown. */
export type PortNames = ReadonlyMap<number, string>;

const clientPiece = kept(8192, (address) => Buffer.from(JSON.stringify(address)));

const statuses: Uint8Array[] = [];

function statusPiece(status: number): Uint8Array {
  return (statuses[status] ??= Buffer.from(`","status":${status},"bytes_in":`));
}

const bytesOut = Buffer.from(',"bytes_out":');
const duration = Buffer.from(',"duration_ms":');

/** The last line's end: most lines of a switch have the same. */
const end = { port: -1, names: new Map() as PortNames, flags: '', bytes: none };

function endPiece(port: number, names: PortNames, flags: string): Uint8Array {
  if (end.port !== port || end.names !== names || end.flags !== flags) {
    const name = JSON.stringify(names.get(port) ?? '');
    const bytes = Buffer.from(`,"port":${port},"port_name":${name},"flags":${JSON.stringify(flags)}}\n`);
    Object.assign(end, { port, names, flags, bytes });
  }
  return end.bytes;
}

/** The last line's time, down to the second. */
const time = { second: -1, bytes: none };

function secondPiece(second: number): Uint8Array {
  if (second !== time.second) {
    time.second = second;
    time.bytes = Buffer.from(`{"time":"${new Date(second * 1000).toISOString().slice(0, -4)}`);
  }
  return time.bytes;
}

const hex = Buffer.from('0123456789abcdef');
/** Bytes that stand for themselves in a JSON string. */
const plain = new Uint8Array(256);
for (let c = 32; c < 127; c += 1) plain[c] = c === 34 || c === 92 ? 0 : 1;

let out: Uint8Array = none;
let at = 0;

function put(bytes: Uint8Array): void {
  out.set(bytes, at);
  at += bytes.length;
}

/** A piece of the subject, as the inside of a JSON string: what is not plain ASCII as \u00xx. */
function putEscaped(a: Uint8Array, start: number, stop: number): void {
  const to = out;
  let p = at;
  for (let i = start; i < stop; i += 1) {
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

function putSubject(subject: Subject): void {
  const { bytes, end: stop, methodEnd, hostEnd } = subject;
  if (stop === 0) return put(nothing);
  if (subject.plain) {
    // All that it has room for, in one call: what is too much is written over.
    out.set(bytes, at);
    at += stop;
    return;
  }
  putEscaped(bytes, 0, methodEnd);
  put(between.host);
  putEscaped(bytes, methodEnd + between.host.length, hostEnd);
  put(between.path);
  putEscaped(bytes, hostEnd + between.path.length, stop);
}

/** A whole number, at least so many digits of it. */
function putNumber(n: number, least: number): void {
  let digits = 1;
  for (let limit = 10; n >= limit || digits < least; limit *= 10) digits += 1;
  let rest = n;
  for (let i = digits - 1; i >= 0; i -= 1) {
    // Of a small number in whole numbers alone.
    const next = rest <= 0x7fffffff ? (rest / 10) | 0 : Math.floor(rest / 10);
    out[at + i] = 48 + (rest - next * 10);
    rest = next;
  }
  at += digits;
}

/** ISO 8601 in UTC. */
function putTime(ms: number): void {
  const second = Math.floor(ms / 1000);
  put(secondPiece(second));
  putNumber(Math.floor(ms) - second * 1000, 3);
}

/** Milliseconds with three decimals. */
function putMillis(ms: number): void {
  const us = Math.round(ms * 1000);
  const whole = Math.floor(us / 1000);
  putNumber(whole, 1);
  out[at] = 46;
  at += 1;
  putNumber(us - whole * 1000, 3);
}

/** Bytes that a line may take at most. */
export function lineBytes(r: AccessRecord, names: PortNames): number {
  const pieces = r.route.of(r.listener).length + r.upstream.bytes.length + endPiece(r.port, names, r.flags).length;
  return 256 + 6 * (r.subject.end + r.client.length) + r.subject.bytes.length + pieces;
}

/** Writes the line of a record at `from`, where lineBytes are free. Gives the place behind it. */
export function writeLine(to: Uint8Array, from: number, r: AccessRecord, names: PortNames): number {
  out = to;
  at = from;
  putTime(r.timeMs);
  put(r.route.of(r.listener));
  putSubject(r.subject);
  put(statusPiece(r.status));
  putNumber(r.bytesIn, 1);
  put(bytesOut);
  putNumber(r.bytesOut, 1);
  put(duration);
  putMillis(r.durationMs);
  put(r.upstream.bytes);
  put(clientPiece(r.client));
  put(endPiece(r.port, names, r.flags));
  return at;
}
