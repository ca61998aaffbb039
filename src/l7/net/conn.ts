// The two kinds of connection that the node:net engine keeps, as plain state; exchange.ts moves them.
import type { Server, Socket } from 'node:net';
import type { Bounds, HelloMode, Peer } from '../transport.ts';
import { BodyState } from './body.ts';
import type { Timer } from './wheel.ts';

// Conn.phase.
/** Between requests, or with part of a head. */
export const AWAIT = 0;
/** A row is laid out, held, or about to be. */
export const DECIDING = 1;
export const EXCHANGE = 2;
/** The answer is written, the rest of the request is read and dropped. */
export const DISCARD = 3;
export const TUNNELED = 4;
export const RAWMODE = 5;
export const CLOSING = 6;
export const GONE = 7;
/** Nothing is known of it yet but its listener. */
export const GREETING = 8;

/** The connections of a listener, and its bounds. */
export interface Crowd {
  bounds: Bounds;
  count: number;
  readonly clients: Map<string, number>;
}

export interface ListenerState {
  readonly id: number;
  draining: boolean;
  readonly hello: HelloMode;
  /** By the descriptor that each was given by. */
  readonly servers: Map<number, Server>;
  readonly crowd: Crowd;
}

/** A client's connection. */
export class Conn {
  readonly id: number;
  readonly socket: Socket;
  readonly listener: ListenerState;
  peer: Peer;
  readonly idle: Timer;
  readonly deadline: Timer;
  phase = AWAIT;
  pending: Buffer | undefined;
  /** The client's FIN came. */
  ended = false;
  up: Up | undefined;
  readonly request = new BodyState();
  readonly response = new BodyState();
  requestChunk = false;
  responseChunk = false;
  keep = false;
  keepUpstream = false;
  /** An exchange was begun and its DONE is owed. */
  active = false;
  /** No answer to its first row was final yet. */
  greeting = false;
  /** Its first row, which may be without bytes, is said. */
  asked = true;
  /** A tunnel as soon as the upstream is connected, for so long at most, and what the client hears then. */
  opening = false;
  /** Of this exchange, 0: as of any. */
  stallMs = 0;
  tunnelMs = 0;
  tunnelTemplate = 0;
  started = false;
  bodySent = false;
  /** Last request head as sent, for a retry. */
  sent: Buffer | undefined;
  failFlags = 0;
  bytesIn = 0;
  bytesOut = 0;
  discarded = 0;
  beganAt = 0;
  /** Since when, and since which byte, the client is held to BODY_RATE. */
  bodyAt = 0;
  bodyFrom = 0;
  doneUs = 0;
  doneIn = 0;
  doneOut = 0;
  /** By which its listener counts it. */
  client: string | undefined;
  /** A REQUEST, RESPONSE or BYTES row is queued. */
  queued = false;
  /** Kind of the row that was answered with hold. */
  held = 0;
  /** What feed() is working on, for the bound callbacks below. */
  piece: Buffer = none;
  readonly toUpstream: (start: number, end: number) => void;
  readonly toClient: (start: number, end: number) => void;
  readonly drop: (start: number, end: number) => void;

  constructor(
    id: number,
    socket: Socket,
    listener: ListenerState,
    peer: Peer,
    timers: { idle: Timer; deadline: Timer },
  ) {
    this.id = id;
    this.socket = socket;
    this.listener = listener;
    this.peer = peer;
    this.idle = timers.idle;
    this.deadline = timers.deadline;
    this.toUpstream = (start, end) => {
      this.bytesIn += end - start;
      this.bodySent = true;
      if (this.up !== undefined) writeData(this.up.socket, this.piece, start, end, this.requestChunk);
    };
    this.toClient = (start, end) => {
      this.bytesOut += end - start;
      writeData(this.socket, this.piece, start, end, this.responseChunk);
    };
    this.drop = (start, end) => {
      this.bytesIn += end - start;
      this.discarded += end - start;
    };
  }
}

export const none = Buffer.alloc(0);
export const lastChunk = Buffer.from('0\r\n\r\n');
const SMALL = 4096;
const crlf = Buffer.from('\r\n');

/** Writes a piece of a body, as a chunk or plain. */
export function writeData(socket: Socket, bytes: Buffer, start: number, end: number, chunk: boolean): void {
  const size = end - start;
  if (size === 0) return;
  const whole = start === 0 && end === bytes.length;
  if (!chunk) {
    socket.write(whole ? bytes : bytes.subarray(start, end));
    return;
  }
  const line = `${size.toString(16)}\r\n`;
  if (size <= SMALL) {
    const out = Buffer.allocUnsafe(line.length + size + 2);
    out.write(line, 0, 'latin1');
    bytes.copy(out, line.length, start, end);
    out[line.length + size] = 13;
    out[line.length + size + 1] = 10;
    socket.write(out);
    return;
  }
  socket.write(line, 'latin1');
  socket.write(whole ? bytes : bytes.subarray(start, end));
  socket.write(crlf);
}

/** What came before and what came now, as one. */
export function joined(before: Buffer | undefined, now: Buffer): Buffer {
  return before === undefined || before.length === 0 ? now : Buffer.concat([before, now]);
}

/** Upstreams at one address, and those of them that are free, last used last. */
export interface EndpointState {
  readonly id: number;
  readonly address: string;
  readonly port: number;
  readonly connectTimeoutMs: number;
  idleMs: number;
  readonly idle: Up[];
  open: number;
  dropped: boolean;
}

/** A connection to an upstream. */
export class Up {
  readonly socket: Socket;
  readonly endpoint: EndpointState;
  readonly timer: Timer;
  conn: Conn | undefined;
  connected = false;
  reused = false;
  dead = false;
  /** More came than the response said: never used again. */
  dirty = false;
  ended = false;
  /** It ended by a reset. */
  broken = false;
  /** The response head has been passed on. */
  inBody = false;
  pending: Buffer | undefined;
  timedOut = false;

  constructor(socket: Socket, endpoint: EndpointState, timer: Timer) {
    this.socket = socket;
    this.endpoint = endpoint;
    this.timer = timer;
  }
}
