// What is known of a request on its way, and how it ended.
import type { Prefix } from '../../lib/prefix.ts';
import type { CertificateDetail, Listener, PathNormalization } from '../../mesh/snapshot.ts';
import { RoutePiece, Subject, UpstreamPiece } from '../record/line.ts';
import type { AccessRecord } from '../record/line.ts';
import type { HeadBounds } from '../http1.ts';
import type { Table } from '../match.ts';
import type { Backend } from '../upstream/pick.ts';
import type { ClusterState } from '../upstream/upstream.ts';
import type { Stream, StreamTable } from '../tcp/stream.ts';
import type { SessionState } from '../move/session.ts';
import * as t from '../transport.ts';
import type { Act, Target } from './act.ts';
import { QUOTED, head } from './fields.ts';
import type { Call } from './grpc.ts';

/** A listener in force, or one that was: requests find their table by it. */
export interface ListenerView {
  readonly name: string;
  readonly port: number;
  readonly protocol: Listener['protocol'];
  table: Table<Act>;
  streams: StreamTable;
  paths: PathNormalization;
  /** Who may say by a PROXY header whom it speaks for; absent: nobody does. */
  proxyFrom?: readonly Prefix[] | undefined;
  /** 0: as long as bytes move. */
  maxTunnelMs?: number;
  bounds?: HeadBounds;
  /** Of a client's certificate, for backends; absent: nothing. */
  details?: readonly CertificateDetail[] | undefined;
  /** Of one connection, 0: any number. */
  maxRequests?: number;
  /** Of a listener with TLS: whom clients may name as they connect. */
  hosts?: { find(name: string): TlsHostView | undefined } | undefined;
  /** Connections that began under other rules of TLS than now: they have to begin anew. */
  retired?: boolean;
}

/** One host of a listener with TLS: a view of its own, with its own routes. */
export interface TlsHostView extends ListenerView {
  readonly host: string;
  /** Of the engine; 0: nobody has these rules any more. */
  context: number;
}

/** What is known of a connection's request between two rows. */
export class Exchange {
  conn = -1;
  /** Bytes of the head seen so far, for heads that come in pieces. */
  scanned = 0;
  /** Requests that the connection has brought. */
  requests = 0;
  /** It speaks TLS, and what is in it is asked. */
  secured = false;
  /** Its PROXY header has been read. */
  proxied = false;
  /** It has been found out what the connection speaks. */
  greeted = false;
  /** Milliseconds since 1970, when its first row came; of connections that are greeted. */
  since = 0;
  listener: ListenerView | undefined;
  act: Act | undefined;
  /** The route of a connection that goes on as it comes, and the cluster that it was given. */
  stream: Stream | undefined;
  cluster: ClusterState | undefined;
  target: Target | undefined;
  backend: Backend | undefined;
  status = 0;
  minor = 1;
  isHead = false;
  safe = false;
  keep = false;
  upgrade = false;
  call: Call = 'none';
  tries = 0;
  interims = 0;
  readonly subject = new Subject();
  flags = '';
  /** Who the client is, where a PROXY header said it. */
  client: readonly [address: string, port: number] | undefined;

  /** Keeps what the parsed head in `a` asks for. */
  remember(a: Uint8Array): void {
    const { authorityOff: host, authorityLen: hostLength, targetOff: path, targetLen: pathLength } = head;
    const plain = (head.targetBits & QUOTED) === 0 && !head.absolute;
    this.subject.set(a, head.methodOff, head.methodLen, host, hostLength, path, pathLength, plain);
  }

  /** For a connection that is new in its slot. */
  begin(conn: number): void {
    this.release();
    this.conn = conn;
    this.requests = 0;
    this.greeted = false;
    this.proxied = false;
    this.secured = false;
    this.since = 0;
    this.client = undefined;
  }

  /** For the connection's next request. */
  release(): void {
    if (this.backend !== undefined) this.backend.active -= 1;
    this.backend = undefined;
    this.act = undefined;
    this.target = undefined;
    this.stream = undefined;
    this.cluster = undefined;
    this.listener = undefined;
    this.subject.clear();
    this.scanned = 0;
  }
}

/** Flags of a request that ended early for this reason. */
export const endings: readonly string[] = (() => {
  const names: string[] = [];
  names[t.WHY_NONE] = '';
  names[t.WHY_CONNECT] = 'upstream-refused';
  names[t.WHY_CONNECT_TIMEOUT] = 'upstream-connect-timeout';
  names[t.WHY_RESET] = 'upstream-reset';
  names[t.WHY_EOF] = 'upstream-closed';
  names[t.WHY_OVERFLOW] = 'upstream-overflow';
  names[t.WHY_HEAD] = 'slow-head';
  names[t.WHY_DEADLINE] = 'timeout';
  names[t.WHY_STALL] = 'stalled';
  names[t.WHY_CLIENT] = 'client-gone';
  names[t.WHY_FRAMING] = 'bad-framing';
  names[t.WHY_CLOSED] = 'closed';
  names[t.WHY_TLS] = 'upstream-tls';
  names[t.WHY_MEMORY] = 'no-memory';
  return names;
})();

/** Of a tunnel. */
const tunnelEndings: Readonly<Record<number, string>> = {
  [t.WHY_RESET]: 'reset',
  [t.WHY_STALL]: 'idle',
  [t.WHY_DEADLINE]: 'max-age',
};

function flagsOf(x: Exchange, why: number): string {
  const tunnel = x.stream !== undefined || x.flags === 'upgraded' || x.flags === 'connected';
  if (x.flags !== '' && !tunnel) return x.flags;
  return (tunnel ? tunnelEndings[why] : undefined) ?? (x.flags === '' ? (endings[why] ?? '') : x.flags);
}

export interface Measure {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly us: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** WHY_ reason. */
  readonly why: number;
}

const noRoute = new RoutePiece('');
const noUpstream = new UpstreamPiece('');

const record: AccessRecord = {
  timeMs: 0,
  listener: '',
  route: noRoute,
  subject: new Subject(),
  status: 0,
  bytesIn: 0,
  bytesOut: 0,
  durationMs: 0,
  upstream: noUpstream,
  client: '',
  port: 0,
  flags: '',
};

/** What the access log says of an exchange that is over; good until the next call. */
export function recordOf(x: Exchange, peer: t.Peer, m: Measure): AccessRecord {
  record.timeMs = m.now - m.us / 1000;
  record.listener = x.listener?.name ?? '';
  record.route = (x.act ?? x.stream)?.logged ?? noRoute;
  record.subject = x.subject;
  record.status = x.status;
  record.bytesIn = m.bytesIn;
  record.bytesOut = m.bytesOut;
  record.durationMs = m.us / 1000;
  record.upstream = x.backend?.logged ?? noUpstream;
  record.client = peer.address;
  record.port = peer.mark & 0xffff;
  record.flags = flagsOf(x, m.why);
  return record;
}

/** What of an exchange goes along when its connection moves. */
export interface Label {
  readonly listener: string;
  readonly route: string;
  readonly subject: readonly [method: string, host: string, path: string];
  readonly status: number;
  readonly flags: string;
  readonly upstream: string;
  readonly client?: readonly [address: string, port: number];
  /** Of a connection of HTTP/2. */
  readonly http2?: SessionState;
}

export function labelOf(x: Exchange): Uint8Array {
  const { subject, status, flags } = x;
  const label: Label = {
    listener: x.listener?.name ?? '',
    route: (x.act ?? x.stream)?.name ?? '',
    subject: [subject.method(), subject.host(), subject.path()],
    status,
    flags,
    upstream: x.backend?.logged.upstream ?? '',
    ...(x.client !== undefined && { client: x.client }),
  };
  return Buffer.from(JSON.stringify(label));
}

/** Of a connection of HTTP/2. */
export function labelOfHttp2(http2: SessionState, { address, port }: t.Peer): Uint8Array {
  const nothing = { listener: '', route: '', subject: ['', '', ''], status: 0, flags: '', upstream: '' } as const;
  return Buffer.from(JSON.stringify({ ...nothing, client: [address, port], http2 } satisfies Label));
}

/** Undefined: nothing is known of the connection that its next worker would not find out. */
export function readLabel(bytes: Uint8Array): Label | undefined {
  return bytes.length === 0 ? undefined : (JSON.parse(Buffer.from(bytes).toString()) as Label);
}

/** Goes on with what another worker began: a tunnel where the label names its route. */
export function adopt(
  x: Exchange,
  engine: t.Engine,
  label: Label,
  listener: ListenerView | undefined,
  stat: number,
): void {
  x.proxied = true;
  x.client = label.client;
  if (label.client !== undefined) {
    engine.peerIs(x.conn, ...label.client);
    engine.admits(x.conn, label.client[0]);
  }
  if (label.route === '') return;
  const [method, host, path] = label.subject.map((text) => Buffer.from(text, 'latin1'));
  const bytes = Buffer.concat([method!, host!, path!]);
  const afterHost = method!.length + host!.length;
  x.subject.set(bytes, 0, method!.length, method!.length, host!.length, afterHost, path!.length);
  x.listener = listener;
  x.status = label.status;
  x.flags = label.flags;
  x.stream = {
    name: label.route,
    logged: new RoutePiece(label.route),
    stat,
    turn: 0,
    targets: [],
    total: 0,
    idleMs: 0,
  };
  // Stands for the one that is connected: this worker may not have it.
  const logged = new UpstreamPiece(label.upstream);
  x.backend = { id: 0, address: '', port: 0, weight: 0, logged, healthy: false, active: 1, idleMs: undefined, owed: 0 };
}
