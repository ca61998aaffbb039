// The engine of transport.ts in C (native/addon/l7): the product's. Here is only what is nearer to JavaScript: who
// is on the other end.
import {
  engineAccept,
  engineAdmits,
  engineCloseUp,
  engineDial,
  engineResumeUp,
  engineScript,
  engineSendUp,
  engineClose,
  engineEnd,
  engineCounts,
  engineDecline,
  engineDropEndpoint,
  engineDropTlsContext,
  engineEndpoint,
  engineEndpointIdle,
  engineEndpointTls,
  engineLabel,
  engineLimit,
  engineListener,
  enginePark,
  enginePeer,
  engineResume,
  engineSend,
  engineShut,
  engineStall,
  engineStats,
  engineStream,
  engineTake,
  engineTemplate,
  engineTicketKeys,
  engineTlsContext,
  engineUnlisten,
  openNativeEngine,
} from '../kernel/l7.ts';
import { policyName } from './tls/spec.ts';
import { engineTimes, slotOf } from './transport.ts';
import type { Engine, EngineOptions, EngineStats, Peer } from './transport.ts';

const TICK_MS = 50;
const MAX_CONNECTIONS = 0xffff;
const SLOTS = 0x1_0000;
const STREAMS = 16_384;
/** 16,384 connections with TLS, and what waits. */
const HELD_BYTES = 512 * 1024 * 1024;
const noPeer: Peer = { mark: 0, address: '', port: 0, localAddress: '', localPort: 0 };

/** Streams have their slots beside the connections', in one table. */
function slotsOf(o: EngineOptions): { maxConnections: number; maxStreams: number } {
  const maxConnections = Math.min(o.maxConnections ?? 16_384, MAX_CONNECTIONS);
  return { maxConnections, maxStreams: Math.min(o.maxStreams ?? STREAMS, MAX_CONNECTIONS - maxConnections) };
}

/** Opens one on this thread's event loop. */
export function openEngine(o: EngineOptions): Engine {
  const t = { ...engineTimes, ...o.times };
  const native = openNativeEngine({
    onBatch: o.onBatch,
    times: [t.headMs, t.idleMs, t.bodyMs, t.stallMs, t.upstreamIdleMs, t.lingerMs],
    tickMs: Math.trunc(Math.max(5, Math.min(TICK_MS, t.idleMs / 4, t.headMs / 4))),
    ...slotsOf(o),
    maxPerEndpoint: o.maxPerEndpoint ?? 65_536,
    maxHeldBytes: o.maxHeldBytes ?? HELD_BYTES,
    home: o.home ?? 0,
  });
  const { engine, arena, rows } = native;
  return {
    arena: Buffer.from(arena.buffer),
    rows,
    listener: (hello = 'never', tag = 0) => engineListener(engine, hello, tag),
    accept: (listener, fd) => engineAccept(engine, listener, fd),
    decline: (listener, fd) => engineDecline(engine, listener, fd),
    unlisten: (listener) => engineUnlisten(engine, listener),
    limit: (listener, { most, perClient, later }) => engineLimit(engine, listener, most, perClient, later),
    admits: (conn, address) => engineAdmits(engine, conn, address),
    stall: (conn, ms) => engineStall(engine, conn, Math.min(ms, 0x7fffffff)),
    label: (conn, label) => engineLabel(engine, conn, label),
    park: (which, most = SLOTS) => enginePark(engine, which === 'tunnels', most),
    take: (parcel) => engineTake(engine, parcel),
    dropEndpoint: (endpoint) => engineDropEndpoint(engine, endpoint),
    endpointIdle: (endpoint, ms) => engineEndpointIdle(engine, endpoint, ms),
    ...tlsOf(engine),
    template: (id, bytes) => engineTemplate(engine, id, bytes),
    resume: (conn) => engineResume(engine, conn),
    ...peersOf(native),
    ...scriptOf(engine),
    send: (conn, off, len) => engineSend(engine, conn, off, len),
    close: (conn, how) => engineClose(engine, conn, how === 'reset'),
    end: (which) => engineEnd(engine, which === 'all'),
    stats(): EngineStats {
      const words = engineStats(engine);
      return Object.fromEntries(engineCounts.map((name, i) => [name, words[i]])) as unknown as EngineStats;
    },
    shut: () => engineShut(engine),
  };
}

/** Who is on the other end, by slot: asked of the engine once a connection, unless someone in front says it. `known`
 * has the connection whose peer is kept, less than 0 where it was said and not asked for yet. */
function peersOf({ engine, known }: ReturnType<typeof openNativeEngine>): Pick<Engine, 'peer' | 'peerIs' | 'stream'> {
  const peers: Peer[] = [];
  const said: (Pick<Peer, 'address' | 'port'> | undefined)[] = [];
  const peerIs = (conn: number, address: string, port: number): void => {
    const slot = slotOf(conn);
    said[slot] = { address, port };
    known[slot] = -conn;
  };
  return {
    peerIs,
    peer(conn) {
      const slot = slotOf(conn);
      if (known[slot] === conn) return peers[slot]!;
      if (known[slot] !== -conn) said[slot] = undefined;
      const found = enginePeer(engine, conn);
      if (found === undefined) return noPeer;
      const peer = { ...found, ...said[slot] };
      if (peer.greeting !== undefined) return peer;
      known[slot] = conn;
      peers[slot] = peer;
      return peer;
    },
    stream(parent) {
      const conn = engineStream(engine, parent);
      const slot = slotOf(parent);
      const of = Math.abs(known[slot]!) === parent ? said[slot] : undefined;
      if (conn >= 0 && of !== undefined) peerIs(conn, of.address, of.port);
      return conn;
    },
  };
}

/** What makes the caller a peer of its connections. */
function scriptOf(
  engine: ReturnType<typeof openNativeEngine>['engine'],
): Pick<Engine, 'script' | 'dial' | 'sendUp' | 'resumeUp' | 'closeUp'> {
  return {
    script: (endpoint) => engineScript(engine, endpoint),
    dial: (endpoint) => engineDial(engine, endpoint),
    sendUp: (conn, off, len) => engineSendUp(engine, conn, off, len),
    resumeUp: (conn) => engineResumeUp(engine, conn),
    closeUp: (conn, how) => engineCloseUp(engine, conn, how),
  };
}

/** What of the engine has to do with TLS. */
function tlsOf(
  engine: ReturnType<typeof openNativeEngine>['engine'],
): Pick<Engine, 'endpoint' | 'tlsContext' | 'dropTlsContext' | 'ticketKeys'> {
  return {
    endpoint(address, port, connectTimeoutMs, tls) {
      const id = engineEndpoint(engine, address, port, connectTimeoutMs);
      if (tls !== undefined) engineEndpointTls(engine, id, { serverName: '', ...tls });
      return id;
    },
    tlsContext: (spec) =>
      engineTlsContext(engine, {
        server: spec.side === 'server',
        certificates: spec.certificates,
        ca: spec.ca,
        crl: spec.crl,
        verify: spec.verify,
        only13: spec.minimum === 'TLSv1.3',
        alpn: spec.alpn,
        policy: Buffer.from(policyName(spec.policy), 'hex'),
      }),
    dropTlsContext: (context) => engineDropTlsContext(engine, context),
    ticketKeys: (current, previous) => engineTicketKeys(engine, current, previous),
  };
}
