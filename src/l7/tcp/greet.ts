// What a connection is, by its first bytes, before it is known to speak HTTP; and the way of those that never do. The
// rows of such connections come here in place of chain.ts: HELLO and what may stand in its place, then the failures of
// a tunnel. Its DONE is chain.ts's.
import type { Clock } from '../../lib/clock.ts';
import { ipFromBytes, parseIp, printIp } from '../../lib/ip.ts';
import { contains } from '../../lib/prefix.ts';
import type { Prefix } from '../../lib/prefix.ts';
import { nextTarget } from '../head/act.ts';
import type { Emitter } from '../head/emit.ts';
import { hello, helloBytes, parseHello } from '../head/hello.ts';
import { endings, labelOf, recordOf } from '../head/outcome.ts';
import type { Exchange, ListenerView, TlsHostView } from '../head/outcome.ts';
import { INET, INET6, parseProxy, proxy } from '../head/proxy.ts';
import { NO_ROUTE } from '../record/counters.ts';
import type { CounterWriter } from '../record/counters.ts';
import type { AccessLog } from '../record/log.ts';
import * as t from '../transport.ts';
import type { Backend } from '../upstream/pick.ts';
import type { Upstreams } from '../upstream/upstream.ts';
import { emitProxy, ipBytes } from './introduce.ts';
import type { Stream } from './stream.ts';
import { likeHttp } from './sniff.ts';
import { streamFor } from './stream.ts';

export interface GreeterOptions {
  readonly clock: Clock;
  readonly upstreams: Upstreams;
  readonly counters: CounterWriter;
  readonly log: AccessLog | undefined;
  readonly listener: (id: number) => ListenerView | undefined;
  /** The host that a connection with this policy of TLS is for. */
  readonly host: (policy: string) => ListenerView | undefined;
}

/** How long a connection may say nothing before what it speaks is taken for TCP. */
const SNIFF_MS = 100;

/** "-" in place of a method, then the name of a server. */
const subject = Buffer.alloc(256, '-');

export class Greeter {
  private readonly engine: t.Engine;
  private readonly o: GreeterOptions;
  private readonly e: Emitter;
  private readonly arena: Buffer;
  private readonly rows: Int32Array;

  constructor(engine: t.Engine, e: Emitter, o: GreeterOptions) {
    this.engine = engine;
    this.e = e;
    this.o = o;
    this.arena = engine.arena;
    this.rows = engine.rows;
  }

  /** Whether the row is one of a connection that is not known to speak HTTP. */
  owns(x: Exchange, base: number): boolean {
    const kind = this.rows[base + t.W_KIND];
    if (kind === t.HELLO) return true;
    if (kind === t.FAILED) return x.stream !== undefined;
    if (kind !== t.TIMEOUT || x.greeted) return false;
    const view = this.view(base);
    return x.stream !== undefined || view?.protocol !== 'HTTP' || view.proxyFrom !== undefined;
  }

  /** Fills the out words of a row that it owns. */
  row(base: number, x: Exchange): void {
    const kind = this.rows[base + t.W_KIND];
    if (kind === t.FAILED) return this.failed(base, x);
    if (x.stream !== undefined) return this.end(base, x);
    this.meet(base, x);
    if (kind === t.HELLO) this.hello(base, x);
    else if (x.listener?.protocol === 'auto') this.tunnel(base, x, x.listener.streams.plain);
    else this.refuse(base, x, 'slow-head');
  }

  private view(base: number): ListenerView | undefined {
    return this.o.listener(this.rows[base + t.W_LISTENER]!);
  }

  private meet(base: number, x: Exchange): void {
    x.listener = this.view(base);
    if (!x.secured) this.name(x, 0);
    x.status = 0;
    x.tries = 0;
    x.flags = '';
    if (x.since === 0) x.since = this.o.clock.now();
  }

  private hello(base: number, x: Exchange): void {
    const { listener } = x;
    if (x.secured) return this.within(base, x);
    if (listener?.proxyFrom !== undefined && !x.proxied && !this.introduced(base, x, listener.proxyFrom)) return;
    if (listener?.protocol === 'auto') this.sniff(base, x, listener);
    else if (listener?.protocol === 'TCP') this.tunnel(base, x, listener.streams.plain);
    else if (listener?.protocol === undefined || listener.protocol === 'HTTP') this.plain(base, x);
    else this.tls(base, x, listener);
  }

  /** Reads who the client is by the word of the proxy in front. False: the row is filled. */
  private introduced(base: number, x: Exchange, from: readonly Prefix[]): boolean {
    const { address } = this.engine.peer(x.conn);
    const ip = parseIp(address);
    if (ip === undefined || !from.some((prefix) => contains(prefix, ip))) {
      this.refuse(base, x, 'proxy-untrusted');
      return false;
    }
    const off = this.rows[base + t.W_OFF]!;
    const used = parseProxy(this.arena, off, off + this.rows[base + t.W_LEN]!);
    if (used === 0) return false;
    if (used < 0) {
      this.refuse(base, x, 'bad-proxy');
      return false;
    }
    x.proxied = true;
    this.rows[base + t.W_HEAD] = used;
    if (proxy.family !== INET && proxy.family !== INET6) {
      this.engine.label(x.conn, labelOf(x));
      return true;
    }
    x.client = [printIp(ipFromBytes(proxy.from.subarray(0, ipBytes[proxy.family]))), proxy.fromPort];
    this.engine.peerIs(x.conn, ...x.client);
    if (!this.engine.admits(x.conn, x.client[0])) {
      this.refuse(base, x, 'too-many');
      return false;
    }
    this.engine.label(x.conn, labelOf(x));
    return true;
  }

  /** What is not declared is HTTP where it begins like that in time; a head that comes later is judged as TCP, so that
   * no policy of HTTP is escaped by waiting. */
  private sniff(base: number, x: Exchange, listener: ListenerView): void {
    const off = this.rows[base + t.W_OFF]! + this.rows[base + t.W_HEAD]!;
    const end = this.rows[base + t.W_OFF]! + this.rows[base + t.W_LEN]!;
    const left = SNIFF_MS - (this.o.clock.now() - x.since);
    const like = left < 0 ? -1 : likeHttp(this.arena, off, end);
    if (like > 0) return this.plain(base, x);
    const ended = (this.rows[base + t.W_IN]! & t.IN_EOF) !== 0;
    if (like < 0 || ended) return this.tunnel(base, x, listener.streams.plain);
    this.rows[base + t.W_DEADLINE] = Math.max(1, Math.ceil(left));
  }

  private plain(base: number, x: Exchange): void {
    x.greeted = true;
    this.rows[base + t.W_ACTION] = t.PLAIN;
  }

  /** A TLS connection, by the server that its ClientHello names. */
  private tls(base: number, x: Exchange, listener: ListenerView): void {
    const off = this.rows[base + t.W_OFF]!;
    const got = parseHello(this.arena, off + this.rows[base + t.W_HEAD]!, off + this.rows[base + t.W_LEN]!);
    if (got === 0) return;
    if (got < 0) return this.refuse(base, x, 'bad-hello');
    this.name(x, hello.sniLen);
    if (listener.protocol !== 'TLS') return this.terminate(base, x, listener.hosts?.find(x.subject.host()));
    this.tunnel(base, x, streamFor(listener.streams, x.subject.host()));
  }

  private terminate(base: number, x: Exchange, host: TlsHostView | undefined): void {
    if (host === undefined) return this.refuse(base, x, 'no-host');
    if (host.context === 0) return this.refuse(base, x, 'other-rules');
    x.secured = host.protocol === 'TCPS';
    x.greeted = !x.secured;
    this.rows[base + t.W_ACTION] = t.TLS;
    this.rows[base + t.W_ENDPOINT] = host.context;
    if (x.secured) this.rows[base + t.W_OUT] = t.OUT_ASK;
  }

  /** The handshake is done: the stream of its host takes it. */
  private within(base: number, x: Exchange): void {
    const { tls } = this.engine.peer(x.conn);
    const host = tls === undefined ? undefined : this.o.host(tls.policy);
    if (host === undefined) return this.refuse(base, x, 'other-rules');
    x.listener = host;
    this.tunnel(base, x, host.streams.plain);
  }

  /** What the log says of it: no method, and the name that the ClientHello asks for. */
  private name(x: Exchange, length: number): void {
    helloBytes.copy(subject, 1, hello.sniOff, hello.sniOff + length);
    x.subject.set(subject, 0, 1, 1, length, 0, 0);
  }

  private tunnel(base: number, x: Exchange, stream: Stream | undefined): void {
    if (stream === undefined) return this.refuse(base, x, 'no-route');
    x.stream = stream;
    x.cluster = nextTarget(stream)?.cluster;
    if (x.cluster === undefined) return this.refuse(base, x, 'no-cluster');
    this.take(x, this.o.upstreams.pick(x.cluster));
    if (x.backend === undefined) return this.refuse(base, x, 'no-endpoint');
    this.rows[base + t.W_ACTION] = t.TUNNEL;
    this.rows[base + t.W_ENDPOINT] = x.backend.id;
    this.rows[base + t.W_DEADLINE] = x.listener?.maxTunnelMs ?? 0;
    if (stream.idleMs > 0) this.engine.stall(x.conn, stream.idleMs);
    if (x.cluster.proxyProtocol === undefined) return;
    this.e.start(base);
    emitProxy(this.e, x.cluster.proxyProtocol, this.engine.peer(x.conn));
    this.e.end(0);
  }

  private take(x: Exchange, backend: Backend | undefined): void {
    if (x.backend !== undefined) x.backend.active -= 1;
    x.backend = backend;
    if (backend === undefined) return;
    backend.active += 1;
    this.engine.label(x.conn, labelOf(x));
  }

  /** The upstream can't be had: one more try, nothing has gone to it. */
  private failed(base: number, x: Exchange): void {
    const sent = (this.rows[base + t.W_IN]! & t.IN_SENT) !== 0;
    if (!sent && x.tries === 0 && x.cluster !== undefined) {
      x.tries += 1;
      this.take(x, this.o.upstreams.pick(x.cluster));
      if (x.backend !== undefined) {
        this.rows[base + t.W_ACTION] = t.RETRY;
        this.rows[base + t.W_ENDPOINT] = x.backend.id;
        return;
      }
    }
    this.end(base, x);
  }

  /** Its DONE comes. */
  private end(base: number, x: Exchange): void {
    x.flags = endings[this.rows[base + t.W_REASON]!] ?? '';
    this.rows[base + t.W_ACTION] = t.CLOSE;
  }

  /** Closes a connection that has no exchange, so it is counted and logged here. */
  private refuse(base: number, x: Exchange, flag: string): void {
    this.rows[base + t.W_ACTION] = t.CLOSE;
    x.flags = flag;
    const now = this.o.clock.now();
    const us = Math.max(0, now - x.since) * 1000;
    this.o.counters.done(x.stream?.stat ?? NO_ROUTE, 0, us, 0, 0, true);
    const peer = this.engine.peer(x.conn);
    this.o.log?.write(recordOf(x, peer, { now, us, bytesIn: 0, bytesOut: 0, why: t.WHY_CLOSED }));
    x.stream = undefined;
  }
}
