// What travels is the change and not the snapshot: whatever came before, a worker ends with what the whole would give it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { forward, host, route, stream } from '../../../test/fake/l7.ts';
import { finish } from '../../../test/fake/l7-rig.ts';
import type { Cluster, Listener, RouteTable, Secret, Snapshot } from '../../mesh/snapshot.ts';
import type { Act } from '../head/act.ts';
import { parseRequest } from '../http1.ts';
import { find } from '../match.ts';
import { StatRows } from '../record/counters.ts';
import type { Stream } from '../tcp/stream.ts';
import { Contexts } from '../tls/contexts.ts';
import type { Engine } from '../transport.ts';
import { Upstreams } from '../upstream/upstream.ts';
import { stepsTo } from './change.ts';
import { prepare } from './prepare.ts';
import type { InForce } from './prepare.ts';
import { pack, unpack } from './steps.ts';
import type { Packed } from './steps.ts';

const clusterKeys = ['a', 'b', 'c'];
const routes = fc.uniqueArray(
  fc.record({ name: fc.constantFrom('r1', 'r2', 'r3', 'r4'), path: fc.nat(2), to: fc.constantFrom(...clusterKeys) }),
  { selector: (r) => r.name, maxLength: 4 },
);
const hosts = fc.uniqueArray(fc.tuple(fc.constantFrom('h.x', 'i.x', '*.x', 'h.y', '*'), routes), {
  selector: ([domain]) => domain,
  maxLength: 5,
});
const streams = fc.uniqueArray(fc.tuple(fc.constantFrom('s1', 's2'), fc.constantFrom(...clusterKeys)), {
  selector: ([name]) => name,
});
const table = (name: string) =>
  fc.tuple(hosts, streams).map(([all, plain]): RouteTable => {
    const made = all.map(([domain, list]) => {
      return host(
        [domain],
        ...list.map((r) => route(r.name, forward(r.to), { path: { kind: 'prefix', value: `/${r.path}` } })),
      );
    });
    return { name, hosts: made, streams: plain.map(([s, to]) => stream(s, to)) };
  });

const listener = (name: string, tls: boolean): fc.Arbitrary<Listener> =>
  fc.record({ paths: fc.constantFrom('none', 'base'), minimum: fc.constantFrom('TLSv1.2', 'TLSv1.3') }).map((more) => {
    const common = { name, address: '127.0.0.1', port: 1, routes: 'always', paths: more.paths };
    if (!tls) return { ...common, protocol: 'HTTP' };
    const one = { host: 'h.x', routes: 'always', certificates: ['own'], minimum: more.minimum };
    return { ...common, protocol: 'HTTPS', tls: [one, { ...one, host: '*' }] };
  });

/** Clusters beside those that some route names anyway: one that is not there is a backend that does not exist. */
const clusters = fc.subarray(clusterKeys).chain((keys) =>
  fc.tuple(
    ...keys.map((key) =>
      fc.record({ ms: fc.constantFrom(1, 2), trust: fc.boolean() }).map(({ ms, trust }): Cluster => {
        const plain = { key, protocol: 'HTTP/1.1', connectTimeoutMs: ms, policy: 'random' } as const;
        return trust ? { ...plain, tls: { trust: 'ca', names: [] } } : plain;
      }),
    ),
  ),
);
const secrets = fc.constantFrom('1', '2').map((v): Secret[] => [
  { name: 'own', chain: `chain ${v}`, key: `key ${v}` },
  { name: 'ca', ca: `ca ${v}` },
]);

const snapshots: fc.Arbitrary<Snapshot> = fc.record({
  scope: fc.constant('router'),
  version: fc.constant(''),
  listeners: fc.tuple(listener('one', false), listener('two', true)).chain((all) => fc.subarray(all)),
  routes: fc
    .tuple(table('t1'), table('t2'))
    .chain((all) => fc.subarray(all))
    .chain((all) => table('always').map((each) => [...all, each])),
  clusters,
  secrets,
});

interface Worker {
  readonly inForce: InForce;
  take(steps: Packed, anew: boolean): void;
  /** Its tables, clusters and contexts in words. */
  print(): unknown;
}

function openWorker(): Worker {
  const live = new Map<number, string>();
  let ids = 0;
  const engine = {
    tlsContext(spec: unknown) {
      live.set((ids += 1), JSON.stringify(spec));
      return ids;
    },
    dropTlsContext: (id: number) => assert.ok(live.delete(id)),
  } as Partial<Engine> as Engine;
  const contexts = new Contexts(engine);
  const upstreams = new Upstreams(engine, () => 0);
  const inForce: InForce = { secrets: new Map(), clusters: new Map(), listeners: new Map(), tables: new Map() };
  const around = { contexts, random: () => 0, cluster: (key: string) => upstreams.cluster(key) };
  return {
    inForce,
    take(steps, anew) {
      const p = finish(prepare(inForce, unpack(steps), anew, around));
      upstreams.apply(p.clusters, p.contexts);
      contexts.commit(p.contexts);
      for (const all of [p.secrets, p.clusters, p.listeners, p.tables]) all.merge();
    },
    print: () => ({
      tables: sorted(inForce.tables, ({ table: t, streams: s, hosts: all }) => ({
        hosts: sorted(all, (one) => one.routes.map((r) => [r.value.name, r.value.stat, r.bytes, targetsOf(r.value)])),
        answers: ['h.x', 'i.x', 'j.i.x', 'h.y', 'z'].flatMap((name) => [0, 1, 2].map((n) => answer(t, name, n))),
        plain: s.plain && [s.plain.name, s.plain.stat, targetsOf(s.plain)],
      })),
      clusters: clusterKeys.map((key) => {
        const { declared, connectTimeoutMs } = upstreams.cluster(key);
        return declared && connectTimeoutMs;
      }),
      listeners: sorted(inForce.listeners, (one) => one),
      contexts: [...live.values()].toSorted(),
    }),
  };
}

const targetsOf = ({ targets }: Pick<Act | Stream, 'targets'>): unknown[] =>
  targets.map(({ cluster, until }) => [cluster?.declared && cluster.key, until]);

const sorted = <V>(map: ReadonlyMap<string, V>, print: (value: V) => unknown): unknown[] =>
  [...map].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => [key, print(value)]);

function answer(t: Parameters<typeof find>[0], name: string, n: number): unknown {
  const a = Buffer.from(`GET /${n} HTTP/1.1\r\nHost: ${name}\r\n\r\n`);
  assert.ok(parseRequest(a, 0, a.length) > 0);
  return (find(t, a) as { name: string } | undefined)?.name;
}

test('change upon change, or the whole at once: a worker has the same', () => {
  fc.assert(
    fc.property(fc.array(snapshots, { minLength: 1, maxLength: 4 }), (list) => {
      const rows = new StatRows();
      const rowOf = (of: string, name: string): number => rows.row(of, name);
      const worker = openWorker();
      let before: Snapshot | undefined;
      for (const next of list) {
        worker.take(finish(pack(stepsTo(next, before, rowOf))), before === undefined);
        const other = openWorker();
        const whole = finish(pack(stepsTo(next, undefined, rowOf)));
        other.take(whole, true);
        assert.deepEqual(worker.print(), other.print());
        before = next;
      }
      // A worker that is not known to have what is in force gets all of it, whatever it has.
      const last = finish(pack(stepsTo(list[0]!, undefined, rowOf)));
      worker.take(last, true);
      const other = openWorker();
      other.take(last, true);
      assert.deepEqual(worker.print(), other.print());
    }),
    { numRuns: 150 },
  );
});

const many = (changed: string): Snapshot => ({
  scope: 'router',
  version: changed,
  listeners: [],
  clusters: [{ key: 'a', protocol: 'HTTP/1.1', connectTimeoutMs: 1, policy: 'random' }],
  secrets: [],
  routes: [
    {
      name: 'main',
      hosts: Array.from({ length: 1000 }, (_h, h) => {
        const path = (r: number): string => (h === 500 && r === 5 ? changed : `/${r}`);
        const own = (_r: unknown, r: number) =>
          route(`${h}-${r}`, forward('a'), { path: { kind: 'prefix', value: path(r) } });
        return host([`h${h}.x`], ...Array.from({ length: 10 }, own));
      }),
    },
  ],
});

test('one route of ten thousand: a few hundred bytes travel, and all else is what it was', () => {
  const rows = new StatRows();
  const rowOf = (of: string, name: string): number => rows.row(of, name);
  const worker = openWorker();
  const [one, two] = [many('/before'), many('/after')];
  worker.take(finish(pack(stepsTo(one, undefined, rowOf))), true);
  const before = worker.inForce.tables.get('main')!;
  const packed = finish(pack(stepsTo(two, one, rowOf)));
  assert.ok(packed.bytes.byteLength < 1000, `${packed.bytes.byteLength} bytes`);
  worker.take(packed, false);
  const after = worker.inForce.tables.get('main')!;
  const other = [...after.hosts].filter(([name, compiled]) => before.hosts.get(name) !== compiled);
  assert.deepEqual(
    other.map(([name]) => name),
    ['h500.x'],
  );
  const [was, is] = [before, after].map(({ hosts: all }) => all.get('h500.x')!.routes);
  assert.deepEqual(
    is!.map((r, i) => r === was![i]),
    is!.map((_r, i) => i !== 5),
  );
  assert.equal(answer(after.table, 'h999.x', 9), '999-9');
  assert.equal(finish(pack(stepsTo(many('/after'), two, rowOf))).bytes.byteLength, 2, 'nothing has changed');
});

test('what can not be served gives back what it took', () => {
  const worker = openWorker();
  const rows = new StatRows();
  const whole = (s: Snapshot): Packed => finish(pack(stepsTo(s, undefined, (of, name) => rows.row(of, name))));
  const good = many('/1');
  const tls: Listener = {
    name: 'l',
    address: '::',
    port: 1,
    protocol: 'HTTPS',
    routes: 'main',
    tls: [{ host: '*', routes: 'main', certificates: ['own'], minimum: 'TLSv1.2' }],
  };
  const own = { name: 'own', chain: 'chain', key: 'key' };
  worker.take(whole({ ...good, listeners: [tls], secrets: [own] }), true);
  const before = worker.print();
  const other = { ...own, key: 'other' };
  const bad = { ...good, listeners: [tls, { ...tls, name: 'm', routes: 'gone' }], secrets: [other] };
  assert.throws(() => worker.take(whole(bad), true), /listener m: no route table gone/);
  assert.throws(
    () => worker.take(whole({ ...good, listeners: [tls] }), true),
    /TLS of .*secret own has no certificate/,
  );
  assert.deepEqual(worker.print(), before);
});
