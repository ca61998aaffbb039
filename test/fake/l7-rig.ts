// One worker's worth of the router in this thread: engine, chain and listeners, without threads and ports between them.
import { closeSync } from 'node:fs';
import { systemClock } from '../../src/lib/clock.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { Chain } from '../../src/l7/chain.ts';
import { counterMemory, counterWriter, readStats } from '../../src/l7/record/counters.ts';
import type { RouteStats } from '../../src/l7/record/counters.ts';
import { Http2 } from '../../src/l7/http2/http2.ts';
import { Listeners } from '../../src/l7/worker/listener.ts';
import { stepsTo } from '../../src/l7/worker/change.ts';
import { pack, unpack } from '../../src/l7/worker/steps.ts';
import { Places } from '../../src/l7/worker/places.ts';
import { tellMalformed } from '../../src/l7/record/malformed.ts';
import type { AccessRecord } from '../../src/l7/record/line.ts';
import { createRandom } from '../../src/l7/upstream/pick.ts';
import { openEngine } from './l7-engines.ts';
import type { Engine, EngineTimes } from '../../src/l7/transport.ts';
import { Upstreams } from '../../src/l7/upstream/upstream.ts';
import type { Endpoint, Snapshot, VirtualHost } from '../../src/mesh/snapshot.ts';
import { endpoint, forward, host, route, snapshot, upstream } from './l7.ts';
import type { Upstream } from './l7.ts';
import { freePort } from './port.ts';

/** A record with its subject as text. */
export type Logged = Omit<AccessRecord, 'subject' | 'route' | 'upstream'> &
  Record<'route' | 'upstream' | 'method' | 'host' | 'path', string>;

function logged({ subject, route: { route }, upstream: { upstream: to }, ...rest }: AccessRecord): Logged {
  const asked = { method: subject.method(), host: subject.host(), path: subject.path() };
  return { ...rest, ...asked, route, upstream: to };
}

export interface Rig extends Disposable {
  readonly port: number;
  readonly engine: Engine;
  readonly log: Logged[];
  readonly faults: unknown[];
  /** Hosts in force behind the one listener. */
  serve(hosts: readonly VirtualHost[], clusters?: Parameters<typeof snapshot>[2]): void;
  apply(s: Snapshot): void;
  endpoints(cluster: string, list: readonly (number | Endpoint)[]): void;
  stats(): RouteStats;
}

export interface RigOptions {
  readonly times?: Partial<EngineTimes>;
  readonly maxConnections?: number;
  readonly maxPerEndpoint?: number;
  readonly maxHeldBytes?: number;
  readonly maxRequestsPerConnection?: number;
  readonly maxStreams?: number;
  /** Every connection has agreed on HTTP/2. */
  readonly http2Only?: boolean;
  readonly clock?: Clock;
}

export async function rig(o: RigOptions = {}): Promise<Rig> {
  const port = await freePort();
  const log: Logged[] = [];
  const faults: unknown[] = [];
  const memory = counterMemory();
  const engine = openEngine({ ...o, onBatch: (n) => chain.onBatch(n) });
  const random = createRandom(1);
  const upstreams = new Upstreams(engine, random);
  const listeners = new Listeners(engine, upstreams, random);
  const fault = (error: unknown): void => void faults.push(error);
  const maxRequests = (base: number): number => chain.maxRequests(base);
  const shared = {
    clock: o.clock ?? systemClock,
    counters: counterWriter(memory),
    log: {
      write: (r: AccessRecord) => void log.push(logged(r)),
      ports() {},
      dropped: () => 0,
      reopen() {},
      close: async () => {},
    },
    listener: (id: number) => listeners.view(id),
    host: (policy: string) => listeners.host(policy),
    fault,
  };
  const malformed = tellMalformed(engine, shared);
  const agreed = (conn: number): string | undefined => (o.http2Only === true ? 'h2' : engine.peer(conn).tls?.alpn);
  const http2 = new Http2(engine, { clock: systemClock, fault, agreed, maxRequests, malformed });
  upstreams.dropped = (endpoint) => http2.upstream.dropEndpoint(endpoint);
  upstreams.translated = (endpoint) => http2.upstream.translate(endpoint);
  const chain = new Chain(engine, {
    ...shared,
    http2,
    upstreams,
    maxRequestsPerConnection: o.maxRequestsPerConnection ?? 0,
  });
  const places = new Places();
  let before: Snapshot | undefined;
  const apply = (s: Snapshot) => {
    const steps = stepsTo(s, before, () => 0);
    const work = listeners.prepare(unpack(finish(pack(steps))), before === undefined);
    const prepared = finish(work);
    const taken = places.take(s.listeners, 1);
    listeners.commit(prepared, places.share(taken, 0, [0]));
    before = s;
    for (const fd of places.commit(taken)) closeSync(fd);
  };
  return {
    port,
    engine,
    log,
    faults,
    serve: (hosts, clusters = [{ key: 'a' }]) => apply(snapshot(port, hosts, clusters)),
    apply,
    endpoints(cluster, list) {
      const all = list.map((e) => (typeof e === 'number' ? endpoint(e) : e));
      upstreams.endpoints({ cluster, version: '1', list: all });
    },
    stats: () => readStats([memory])(0),
    [Symbol.dispose]() {
      engine.shut();
      for (const fd of places.clear()) closeSync(fd);
    },
  };
}

/** All of the work in one go. */
export function finish<T>(work: Generator<unknown, T, undefined>): T {
  let part = work.next();
  while (part.done !== true) part = work.next();
  return part.value;
}

export interface SimpleRig extends AsyncDisposable {
  readonly up: Upstream;
  readonly r: Rig;
  readonly port: number;
}

/** A rig with one upstream behind every host and path. */
export async function simpleRig(on?: Parameters<typeof upstream>[0], o?: RigOptions): Promise<SimpleRig> {
  await using made = new AsyncDisposableStack();
  const up = made.use(await upstream(on));
  const r = made.use(await rig(o));
  r.serve([host(['*'], route('all', forward('a')))]);
  r.endpoints('a', [up.port]);
  const kept = made.move();
  return { up, r, port: r.port, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** The same with a server of HTTP/2 at that port of loopback in its place; clusters are named "h2". */
export async function http2Rig(port: number): Promise<SimpleRig> {
  const s = await simpleRig();
  s.r.serve([host(['*'], route('all', forward('h2')))], [{ key: 'h2', protocol: 'HTTP/2' }]);
  s.r.endpoints('h2', [port]);
  return s;
}
