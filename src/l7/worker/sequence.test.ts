// A worker that takes one change after the other, some of which fail or are given up half-way, serves after each what
// one serves that begins with the whole: listeners, hosts with TLS, tables, clusters, and what the engine holds of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { forward, host, route, stream } from '../../../test/fake/l7.ts';
import { finish } from '../../../test/fake/l7-rig.ts';
import type { Cluster, Endpoint, Listener, Protocol, RouteTable, Secret, Snapshot } from '../../mesh/snapshot.ts';
import type { ListenerView, TlsHostView } from '../head/outcome.ts';
import { parseRequest } from '../http1.ts';
import { find } from '../match.ts';
import { StatRows } from '../record/counters.ts';
import { policyName } from '../tls/spec.ts';
import type { TlsSpec } from '../tls/spec.ts';
import type { Bounds, Engine } from '../transport.ts';
import { Upstreams } from '../upstream/upstream.ts';
import { stepsTo } from './change.ts';
import { Listeners } from './listener.ts';
import { pack, unpack } from './steps.ts';

const keys = ['a', 'b', 'c'];
const names = ['h.x', 'i.x', '*.x', '*'];
const tableNames = ['t1', 't2', 't3'];

const table = (name: string): fc.Arbitrary<RouteTable> =>
  fc
    .record({
      hosts: fc.uniqueArray(
        fc.tuple(
          fc.constantFrom(...names),
          fc.uniqueArray(fc.tuple(fc.constantFrom('r1', 'r2', 'r3'), fc.nat(2), fc.constantFrom(...keys)), {
            selector: ([route_]) => route_,
            maxLength: 3,
          }),
        ),
        { selector: ([domain]) => domain, maxLength: 4 },
      ),
      streams: fc.array(fc.tuple(fc.constantFrom('s1', 's2'), fc.constantFrom(...keys)), { maxLength: 1 }),
    })
    .map(({ hosts, streams }) => ({
      name,
      hosts: hosts.map(([domain, routes]) =>
        host(
          [domain],
          ...routes.map(([r, n, to]) => route(r, forward(to), { path: { kind: 'prefix', value: `/${n}` } })),
        ),
      ),
      streams: streams.map(([s, to]) => stream(s, to)),
    }));

/** One name may come back with another protocol, and other hosts. */
const listener = (name: string): fc.Arbitrary<Listener> =>
  fc
    .record({
      protocol: fc.constantFrom<Protocol>('HTTP', 'HTTPS', 'HTTPS', 'TCP', 'TCPS', 'TCPS', 'TLS'),
      routes: fc.constantFrom(...tableNames),
      paths: fc.constantFrom('none' as const, 'base' as const),
      limits: fc.option(fc.record({ connections: fc.constantFrom(1, 2) }), { nil: undefined }),
      port: fc.constantFrom(1, 1, 2),
      hosts: fc.uniqueArray(
        fc.record({
          host: fc.constantFrom(...names),
          routes: fc.constantFrom(...tableNames),
          certificates: fc.nat(15).map((n) => [n === 0 ? 'bad' : n < 4 ? 'other' : 'own']),
          minimum: fc.nat(3).map((n) => (n === 0 ? ('TLSv1.3' as const) : ('TLSv1.2' as const))),
          client: fc.nat(3).map((n) => (n === 0 ? { required: true, trust: 'ca' } : undefined)),
        }),
        { selector: (one) => one.host, maxLength: 3 },
      ),
    })
    .map(({ protocol, hosts, limits, ...rest }) => {
      const tls = hosts.map(({ client, ...one }) => (client === undefined ? one : { ...one, client }));
      const more = { ...(limits && { limits }), ...(protocol.endsWith('S') && protocol !== 'TLS' && { tls }) };
      return { name, address: '127.0.0.1', protocol, ...rest, ...more };
    });

const cluster = (key: string): fc.Arbitrary<Cluster> =>
  fc
    .record({
      connectTimeoutMs: fc.constantFrom(1, 2),
      protocol: fc.constantFrom('HTTP/1.1' as const, 'HTTP/2' as const),
      policy: fc.constantFrom('random' as const, 'round-robin' as const),
      tls: fc.option(fc.constant({ trust: 'ca', names: [] }), { nil: undefined }),
    })
    .map(({ tls, ...rest }) => ({ key, ...rest, ...(tls && { tls }) }));

const secrets = fc
  .tuple(fc.constantFrom('1', '2'), fc.constantFrom('1', '2'))
  .map(([own, ca]): Secret[] => [
    { name: 'own', chain: `chain ${own}`, key: `key ${own}` },
    { name: 'other', chain: 'chain', key: 'key' },
    { name: 'ca', ca: `ca ${ca}` },
    { name: 'bad' },
  ]);

/** Some can't be served: a host's secret is none, a listener's table is not there. */
const snapshots: fc.Arbitrary<Snapshot> = fc.record({
  scope: fc.constant('router' as const),
  version: fc.constant(''),
  listeners: fc.tuple(listener('one'), listener('two'), listener('three')).chain((all) => fc.shuffledSubarray(all)),
  routes: fc
    .tuple(fc.nat(9), ...tableNames.map(table))
    .chain(([less, ...all]) => fc.shuffledSubarray(all, { minLength: less === 0 ? 2 : 3 })),
  clusters: fc.tuple(...keys.map(cluster)).chain((all) => fc.shuffledSubarray(all)),
  secrets,
});

/** How far a change gets: in force, given up after some steps, or when it was ready. `anew`: a worker of which it is not
 * known what it has. */
const fates = fc.oneof(
  { weight: 5, arbitrary: fc.constant('whole' as const) },
  { weight: 1, arbitrary: fc.constant('anew' as const) },
  { weight: 1, arbitrary: fc.constant('aborted' as const) },
  { weight: 1, arbitrary: fc.nat(60) },
);
const endpoints = fc.tuple(fc.constantFrom(...keys), fc.subarray([1, 2, 3]));

interface Opened {
  readonly hello: unknown;
  readonly tag: number | undefined;
  bounds?: Bounds;
  readonly fds: Set<number>;
}

/** An engine that keeps what it is told, and takes nothing away that it has not. */
function openEngine() {
  const listeners = new Map<number, Opened>();
  const contexts = new Map<number, TlsSpec>();
  const upstreams = new Map<number, string>();
  let ids = 0;
  const next = <T>(map: Map<number, T>, value: T): number => {
    map.set((ids += 1), value);
    return ids;
  };
  const engine = {
    listener: (hello?: unknown, tag?: number) => next(listeners, { hello, tag, fds: new Set<number>() }),
    unlisten: (id: number) => assert.ok(listeners.delete(id)),
    limit: (id: number, bounds: Bounds) => void (listeners.get(id)!.bounds = bounds),
    accept: (id: number, fd: number) => void listeners.get(id)!.fds.add(fd),
    decline: (id: number, fd: number) => assert.ok(listeners.get(id)!.fds.delete(fd)),
    tlsContext: (spec: TlsSpec) => next(contexts, spec),
    dropTlsContext: (id: number) => assert.ok(contexts.delete(id)),
    endpoint: (address: string, port: number, ms: number, tls?: { readonly context: number }) =>
      next(upstreams, JSON.stringify([address, port, ms, tls && contexts.get(tls.context)])),
    dropEndpoint: (id: number) => assert.ok(upstreams.delete(id)),
    script() {},
  } as Partial<Engine> as Engine;
  return { engine, listeners, contexts, upstreams };
}

function openWorker() {
  const { engine, ...held } = openEngine();
  const upstreams = new Upstreams(engine, () => 0);
  const listeners = new Listeners(engine, upstreams, () => 0);
  const answers = ({ table: t, streams }: Pick<ListenerView, 'table' | 'streams'>): unknown => ({
    table: t.name,
    found: ['h.x', 'i.x', 'j.x', 'z'].flatMap((name) => [0, 1, 2].map((n) => answer(t, name, n))),
    plain: streams.plain && [streams.plain.name, streams.plain.stat, targetsOf(streams.plain)],
  });
  const settings = ({ table: _t, streams: _s, hosts: _h, ...rest }: ListenerView): unknown => rest;
  const tlsHost = (view: TlsHostView): unknown => {
    const { context, ...rest } = view;
    const spec = held.contexts.get(context);
    assert.equal(listeners.host(policyName(spec?.policy)), view, 'a connection finds the host by its policy');
    return [settings(rest as TlsHostView), answers(view), spec];
  };
  return {
    take(s: Snapshot, before: Snapshot | undefined, rowOf: (t: string, r: string) => number, fate: unknown): boolean {
      const from = fate === 'anew' ? undefined : before;
      const work = listeners.prepare(unpack(finish(pack(stepsTo(s, from, rowOf)))), from === undefined);
      if (typeof fate === 'number') {
        for (let i = 0; i < fate; i += 1) {
          const part = work.next();
          if (part.done !== true) continue;
          listeners.abort(part.value);
          return false;
        }
        work.return(undefined as never);
        return false;
      }
      const prepared = finish(work);
      if (fate === 'aborted') listeners.abort(prepared);
      else listeners.commit(prepared, new Map(s.listeners.map(({ name }) => [name, { tag: 1, fds: [name.length] }])));
      return fate !== 'aborted';
    },
    endpoints(key: string, list: readonly Endpoint[]) {
      upstreams.endpoints({ cluster: key, version: '', list });
    },
    print: () => ({
      listeners: [...held.listeners]
        .flatMap(([id, { tag, ...rest }]) => {
          const view = listeners.view(id);
          if (view === undefined) return [];
          const hosts = ['h.x', 'i.x', 'j.x', ''].map((name) => view.hosts?.find(name));
          const found = hosts.map((one) => one && tlsHost(one));
          return [[view.name, tag, rest, settings(view), answers(view), found] as const];
        })
        .toSorted(([a], [b]) => (a < b ? -1 : 1)),
      contexts: [...held.contexts.values()].map((spec) => JSON.stringify(spec)).toSorted(),
      endpoints: [...held.upstreams.values()].toSorted(),
    }),
  };
}

const targetsOf = ({ targets }: { readonly targets: readonly { readonly cluster?: unknown; until: number }[] }) =>
  targets.map(({ cluster: to, until }) => {
    const { declared, key, policy, protocol, connectTimeoutMs, list } = (to ?? {}) as Record<string, unknown>;
    return [declared === true && { key, policy, protocol, connectTimeoutMs, list }, until];
  });

function answer(t: ListenerView['table'], name: string, n: number): unknown {
  const a = Buffer.from(`GET /${n} HTTP/1.1\r\nHost: ${name}\r\n\r\n`);
  assert.ok(parseRequest(a, 0, a.length) > 0);
  const act = find(t, a);
  return act && [act.name, act.stat, targetsOf(act)];
}

test('change upon change, some of them given up or refused: a worker has what the whole gives', () => {
  const step = fc.record({ next: snapshots, fate: fates, told: endpoints });
  const property = fc.property(fc.array(step, { minLength: 2, maxLength: 7 }), (steps) => {
    const rows = new StatRows();
    const rowOf = (t: string, r: string): number => rows.row(t, r);
    const worker = openWorker();
    const known = new Map<string, readonly Endpoint[]>();
    let before: Snapshot | undefined;
    for (const { next, fate, told } of steps) {
      const [key, ports] = told;
      known.set(
        key,
        ports.map((port) => ({ address: '127.0.0.1', port, weight: 1, healthy: true, name: `e${port}` })),
      );
      worker.endpoints(key, known.get(key)!);
      const was = worker.print();
      let taken = false;
      try {
        taken = worker.take(next, before, rowOf, fate);
      } catch (error) {
        assert.match((error as Error).message, /no route table|has no certificate/);
      }
      rows.settle(taken ? next : before);
      if (taken) before = next;
      else assert.deepEqual(worker.print(), was, 'what is not in force has changed nothing');
      if (before === undefined) continue;
      const other = openWorker();
      for (const [each, list] of known) other.endpoints(each, list);
      other.take(before, undefined, rowOf, 'whole');
      assert.deepEqual(worker.print(), other.print());
    }
  });
  fc.assert(property, { numRuns: process.env['MIDPLANE_TEST_LONG'] === '1' ? 10_000 : 250 });
});
