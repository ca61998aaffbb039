// The seam between bytes and decisions. Beneath: an engine that owns accept, sockets, buffers, upstream pools, body
// framing, deadlines and writes, and parses no head. Above: code that reads heads from the arena and fills rows, and
// never sees a socket. Each turn the engine lays out rows, calls onBatch(n) once, and does what the rows say.
//
// A head that goes out is the runs of a row in order (pieces of the arena: of the read part, or of the scratch part
// that onBatch writes to), then its template. The arithmetic that keeps scratch from running out: a row's own bytes
// plus SCRATCH_ROW, for at most ROWS rows that together hold at most READ_BYTES.

import type { EndpointTls, PeerTls, TlsCounts, TlsSpec } from './tls/spec.ts';

/** Words of a row and rows of a batch. */
export const ROW_WORDS = 48;
export const ROWS = 256;
export const MAX_RUNS = 16;

/** The read part of the arena (scratch begins behind it), and how much of one connection is laid out at once. */
export const READ_BYTES = 1 << 20;
export const ROW_BYTES = 40 * 1024;
export const SCRATCH_ROW = 12 * 1024;
export const SCRATCH_END = READ_BYTES + READ_BYTES + ROWS * SCRATCH_ROW;
/** Behind scratch, for what is sent by send(). */
export const FRAME_BYTES = 1 << 20;
/** Behind that, for places of control bytes (W_CONTROLS), four bytes each, at most so many of one row. */
export const CONTROLS_AT = SCRATCH_END + FRAME_BYTES;
export const CONTROLS = 16_384;
export const ROW_CONTROLS = 1024;
export const ARENA_BYTES = CONTROLS_AT + 4 * CONTROLS;

// Words that the engine fills.
/** Connection: slot in the low 16 bits, generation above. */
export const W_CONN = 0;
export const W_KIND = 1;
export const W_IN = 2;
/** Where in the arena, and how many bytes. DONE: microseconds since the request was taken. */
export const W_OFF = 3;
export const W_LEN = 4;
/** FAILED, TIMEOUT, DONE, OUTPUT of a connection in bytes mode that is gone: one of the reasons below. */
export const W_REASON = 5;
export const W_LISTENER = 6;

// Words that onBatch fills.
export const W_OUT = 7;
/** Bytes of the row that are used up (a head's length). */
export const W_HEAD = 8;
export const W_ACTION = 9;
export const W_ENDPOINT = 10;
/** How the body behind this head is framed, and its length in two words. */
export const W_BODY = 11;
export const W_BODY_LO = 12;
export const W_BODY_HI = 13;
/** Milliseconds from now until TIMEOUT, 0 = none. */
export const W_DEADLINE = 14;
/** Runs in the low 8 bits, template above. */
export const W_TAIL = 15;
/** Offset and length of run 0. */
export const W_RUNS = 16;

// DONE: bytes of the exchange from the client and to the client.
export const W_DONE_IN_LO = 8;
export const W_DONE_IN_HI = 9;
export const W_DONE_OUT_LO = 10;
export const W_DONE_OUT_HI = 11;

// REQUEST, RESPONSE: where in the part for them the places of its control bytes begin and end: in order, without tabs
// and an LF right behind a CR, up to a head's empty line or as many as there was room for. None: nobody looked.
export const W_CONTROLS = 16;
export const W_CONTROLS_END = 17;

// W_KIND.
/** Bytes at the beginning of a request. Answers: wait, forward, reply, hold, bytes, close. */
export const REQUEST = 1;
/** Bytes at the beginning of a response. Answers: wait, forward, reply, tunnel, close. */
export const RESPONSE = 2;
/** Bytes of a connection in bytes mode. Answers: wait (W_HEAD bytes are used up), close. */
export const BYTES = 3;
// 4 is kept for BODY: bytes of a body that someone asked to see.
/** The upstream failed before a response head came. Answers: retry, reply, close. */
export const FAILED = 5;
/** A deadline passed. Answers: reply (only without IN_STARTED), close; in place of a HELLO also plain, tunnel. */
export const TIMEOUT = 6;
/** The exchange that forward, reply or tunnel began is over. No answer. */
export const DONE = 7;
/** Bytes for the peer of a stream: a response, head first. W_HEAD of them are taken, the rest stays until resume().
 * Of a connection in bytes mode: a flag below came about, no bytes. */
export const OUTPUT = 8;
/** The first bytes of a connection whose listener asks (HelloMode), none yet where it asks at once. Answers: wait
 * (ask again when more has come; with W_DEADLINE also then, by TIMEOUT), plain, TLS, tunnel, hold, close; W_HEAD bytes
 * are used up. */
export const HELLO = 9;

// W_IN.
/** The client has sent its FIN. */
export const IN_EOF = 1;
/** The connection's listener is gone: answer, then close. */
export const IN_DRAINING = 2;
/** The upstream connection had carried a request before. */
export const IN_REUSED = 4;
/** Bytes of the request have gone to the upstream. */
export const IN_SENT = 8;
/** Nothing of the body has gone, so the request can be sent again. */
export const IN_REPLAYABLE = 16;
/** A response head has gone to the client. */
export const IN_STARTED = 32;
/** The request's body is not complete yet. */
export const IN_REQUEST_OPEN = 64;
/** OUTPUT: nothing that send() took waits any more. */
export const IN_DRAINED = 128;
/** OUTPUT: the connection is gone; of a stream: before its end. IN_EOF says that these are a stream's last bytes. */
export const IN_GONE = 256;
/** OUTPUT: of the request's upstream, which the caller is; W_CONN is the client's connection, W_ENDPOINT says which. */
export const IN_UPSTREAM = 512;
/** OUTPUT: the bytes are the trailers behind the body, as lines up to the empty one; they are the last. */
export const IN_TRAILERS = 1024;
/** OUTPUT with IN_UPSTREAM: what the request began is a tunnel now; IN_EOF is its client's end, not the request's. */
export const IN_TUNNEL = 2048;
/** OUTPUT with IN_UPSTREAM: nothing of the request was taken yet; it begins with its head. */
export const IN_FIRST = 4096;

// W_ACTION. WAIT: not enough bytes yet (or, in bytes mode, W_HEAD are used up).
export const WAIT = 0;
export const FORWARD = 1;
export const REPLY = 2;
/** Ask later: nothing happens until resume(conn) lays the row out again. */
export const HOLD = 3;
/** From now on every byte is laid out as BYTES, and send() answers. */
export const RAW = 4;
/** Both directions as they come from now on, for W_DEADLINE ms at most (0: any). To a RESPONSE: its head to the client
 * before. To a REQUEST, HELLO or TIMEOUT: over a new connection to W_ENDPOINT, the runs before what the client says,
 * the template to the client when that stands; FAILED where it can't be had. */
export const TUNNEL = 5;
export const RETRY = 6;
export const CLOSE = 7;
/** The connection speaks HTTP: REQUEST rows from now on. */
export const PLAIN = 8;
/** The connection speaks TLS with context W_ENDPOINT, from its first byte that is not used up on, and HTTP in it unless
 * OUT_ASK is set. */
export const TLS = 9;

// W_BODY: how the body that follows in the incoming bytes is framed.
export const BODY_NONE = 0;
export const BODY_LENGTH = 1;
export const BODY_CHUNKED = 2;
/** Response only: until the upstream's FIN. */
export const BODY_CLOSE = 3;
/** Response only: this was an interim (1xx) head, another follows. */
export const BODY_INTERIM = 4;

// W_OUT.
/** The client's connection stays open after this exchange. */
export const OUT_KEEP = 1;
/** The upstream's connection may carry another request. */
export const OUT_KEEP_UPSTREAM = 2;
/** The outgoing body is framed as chunked; without it, it goes as plain bytes. */
export const OUT_CHUNK = 4;
/** TLS: what is in it may be anything. A HELLO asks again when the handshake is done, before the first byte. */
export const OUT_ASK = 8;

// W_REASON.
export const WHY_NONE = 0;
/** Connection refused, no route. */
export const WHY_CONNECT = 1;
export const WHY_CONNECT_TIMEOUT = 2;
export const WHY_RESET = 3;
/** The upstream's FIN before the end of a message. */
export const WHY_EOF = 4;
/** The endpoint's connections are all in use. */
export const WHY_OVERFLOW = 5;
/** The client took too long to send its head. */
export const WHY_HEAD = 6;
/** The deadline of the row (W_DEADLINE). */
export const WHY_DEADLINE = 7;
/** No byte moved for long. */
export const WHY_STALL = 8;
/** The client went away. */
export const WHY_CLIENT = 9;
/** A body broke its framing. */
export const WHY_FRAMING = 10;
/** The row said close. */
export const WHY_CLOSED = 11;
/** No TLS with the upstream: it is not who it has to be, or speaks nothing that we do. */
export const WHY_TLS = 12;
/** There was none for what came, or was to go. */
export const WHY_MEMORY = 13;

/** What is known of a connection from its accept on. */
export interface Peer {
  /** SO_MARK of the accepted socket: its low 16 bits are the ingress port id. */
  readonly mark: number;
  readonly address: string;
  readonly port: number;
  /** Where the client meant to go; with a steered listener, the original destination. */
  readonly localAddress: string;
  readonly localPort: number;
  /** Absent: a plain connection. */
  readonly tls?: PeerTls;
}

/** When a connection is asked about by a HELLO before anything else: when its first bytes are here, or at once, for
 * protocols whose server speaks first. */
export type HelloMode = 'never' | 'bytes' | 'at-once';

export interface EngineStats extends TlsCounts {
  readonly accepted: number;
  /** Turned away: because slots ran short, new connections or old ones that carried no request; beyond a bound. */
  readonly refused: number;
  readonly connections: number;
  readonly upstreams: number;
  readonly upstreamsIdle: number;
  readonly upstreamConnects: number;
  /** Connections to upstreams over TLS that went on with an earlier session. */
  readonly upstreamsResumed: number;
  readonly batches: number;
  readonly rows: number;
  /** Rows whose words could not be, and exceptions out of onBatch. */
  readonly refusedRows: number;
  readonly heldBytes: number;
  readonly streams: number;
  /** Connections that ended because there was no memory for their bytes. */
  readonly starved: number;
}

/** Bytes a second that a client must send of a body, on average. */
export const BODY_RATE = 500;

export interface EngineTimes {
  /** From accept, or from a head's first byte, to its last. */
  readonly headMs: number;
  /** Between two requests. */
  readonly idleMs: number;
  /** For a request's body, and a second more for each BODY_RATE bytes that have come. What an upstream does not take is
   * not held against the client. */
  readonly bodyMs: number;
  /** Without a byte in either direction during an exchange or a tunnel. */
  readonly stallMs: number;
  readonly upstreamIdleMs: number;
  /** How long a closing connection still reads, so that the answer is not lost to a reset. */
  readonly lingerMs: number;
}

export const engineTimes: EngineTimes = {
  headMs: 10_000,
  idleMs: 60_000,
  bodyMs: 30_000,
  stallMs: 300_000,
  upstreamIdleMs: 4_000,
  lingerMs: 1_000,
};

/** How many connections come by a listener at once; 0: any number. Engines of one home count together. */
export interface Bounds {
  readonly most: number;
  /** Of one client: an address, of IPv6 a network of 64 bits. */
  readonly perClient: number;
  /** Who the client is, is said by admits(). */
  readonly later: boolean;
}

/** A connection that came from another engine. */
export interface Taken {
  readonly conn: number;
  readonly label: Uint8Array;
  /** Its HELLO is still to come. */
  readonly greeting?: 1;
}

/** Tag of a listener that tunnels come by when their own is gone. */
export const ORPHANS = 0xffff_ffff;

/** One per worker. Numbers that it can't use (an endpoint or connection that is gone) are ignored, never an error. */
export interface Engine {
  /** READ_BYTES that the engine writes, then scratch that onBatch may write. */
  readonly arena: Buffer;
  readonly rows: Int32Array;
  /** What connections come by, from nowhere yet; the id is what W_LISTENER says. Connections that move come by the
   * listener of the same tag. */
  listener(hello?: HelloMode, tag?: number): number;
  /** Listens and accepts at a bound socket from now on, among others. The descriptor stays the caller's: what waits in
   * the socket's queue is lost only when nobody has one any more. */
  accept(listener: number, fd: number): void;
  /** Accepts no more at that one. Its connections do not notice. */
  decline(listener: number, fd: number): void;
  /** Who comes beyond is reset at once; who is there stays. */
  limit(listener: number, bounds: Bounds): void;
  /** Whether the listener's bound of one client lets that one in; then the connection counts as its. */
  admits(conn: number, address: string): boolean;
  /** How long what the row begins may be without a byte in either direction, instead of stallMs. */
  stall(conn: number, ms: number): void;
  /** Ends it: open connections finish what they are at; rows carry IN_DRAINING. */
  unlisten(listener: number): void;
  /** What goes with a connection when it moves. In bytes mode it is forgotten when bytes are laid out or sent. */
  label(conn: number, label: Uint8Array): void;
  /** Parks connections, so many at most, for an engine on another thread of the same home: those between two requests,
   * tunnels, and those in bytes mode that have a label and no streams; or, for another process, tunnels without TLS.
   * Gives how many. Only of the engine in C. */
  park(which: 'all' | 'tunnels', most?: number): number;
  /** Takes one that is parked, by its number, and goes on with it. Undefined: it is none, or there is no place for it;
   * then it ends. */
  take(parcel: number): Taken | undefined;
  /** With `tls` a connection is one when its handshake is done. */
  endpoint(address: string, port: number, connectTimeoutMs: number, tls?: EndpointTls): number;
  /** Takes no new request; what is under way finishes. */
  dropEndpoint(endpoint: number): void;
  /** How long a connection to it is kept without a request, from the next one on; never longer than upstreamIdleMs. */
  endpointIdle(endpoint: number, ms: number): void;
  /** Throws an Error that says what is wrong, and tells nothing of a key. */
  tlsContext(spec: TlsSpec): number;
  /** Open connections keep what they have. */
  dropTlsContext(context: number): void;
  /** TICKET_KEY bytes each, the same for all workers: the first makes tickets, both open them. */
  ticketKeys(current: Uint8Array, previous: Uint8Array): void;
  /** Keeps bytes that rows name by id (1 or more). */
  template(id: number, bytes: Uint8Array): void;
  peer(conn: number): Peer;
  /** Someone in front says who the client is: Peer has it from now on, also that of streams that come later. */
  peerIs(conn: number, address: string, port: number): void;
  /** Lays out a held row again. */
  resume(conn: number): void;
  /** A connection whose peer is the caller, carried by one in bytes mode: it has that one's listener and Peer. What
   * send() gives it is read as from a socket, what it is sent comes as OUTPUT. -1: all slots of streams are in use.
   * Only of the engine in C. */
  stream(parent: number): number;
  /** From now on the caller is that endpoint's server: a request comes as OUTPUT with IN_UPSTREAM, head first, and
   * sendUp() answers. Only of the engine in C, like the next four. */
  script(endpoint: number): void;
  /** A connection in bytes mode to that endpoint, over its TLS, where only h2 will do. OUTPUT says with IN_GONE in
   * W_REASON why it could not be had. -1: it can not be tried. */
  dial(endpoint: number): number;
  /** Like send(): of the answer to the request of that client's connection. */
  sendUp(conn: number, off: number, len: number): number;
  /** Lays out again what waits of its request. */
  resumeUp(conn: number): void;
  /** 'refused': nothing was done for the request, it may go elsewhere; 'untrusted': nor will it, for want of TLS. */
  closeUp(conn: number, how: 'end' | 'reset' | 'refused' | 'untrusted'): void;
  /** Bytes mode, streams: sends a piece of the arena. Gives how many bytes wait after it; OUTPUT says IN_DRAINED when
   * none does. */
  send(conn: number, off: number, len: number): number;
  /** 'end' after what is written, 'reset' at once. A stream's 'end' is that of its peer. */
  close(conn: number, how: 'end' | 'reset'): void;
  /** Closes connections that are between two requests, or all: what is cut then shows its client that it is. */
  end(which: 'idle' | 'all'): void;
  stats(): EngineStats;
  /** Ends everything at once. */
  shut(): void;
}

/** What an engine is opened with. `onBatch` fills the out words of rows 0..n-1; it must not throw. */
export interface EngineOptions {
  readonly onBatch: (n: number) => void;
  readonly times?: Partial<EngineTimes>;
  /** Not 0: where connections go when the engine's thread ends (park). */
  readonly home?: number;
  /** Client connections at once, at most 65,535. */
  readonly maxConnections?: number;
  readonly maxPerEndpoint?: number;
  /** Streams at once, beside the connections. */
  readonly maxStreams?: number;
  /** Bytes that wait for somebody to read them, and what TLS keeps, of all connections. The nearer, the smaller the
   * pieces that are read at once; over it nobody is let in, and who keeps much from moving is reset. Only of the engine
   * in C. */
  readonly maxHeldBytes?: number;
}

/** Bytes of a key for session tickets: its name, for HMAC, for AES. */
export const TICKET_KEY = 80;

/** Slot of a connection number: an index for tables beside the engine. */
export function slotOf(conn: number): number {
  return conn & 0xffff;
}

/** A 64-bit length from two words. */
export function wide(lo: number, hi: number): number {
  return (lo >>> 0) + hi * 0x1_0000_0000;
}
