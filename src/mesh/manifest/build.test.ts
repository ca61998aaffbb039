import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readManifests } from '../../config/manifest.ts';
import { printProblem } from '../../config/problem.ts';
import { routeObjects } from '../../../test/fake/manifests.ts';
import { registryOf } from '../registry/compile.ts';
import { servicesSchema } from '../registry/schema.ts';
import type { PathNormalization } from '../snapshot.ts';
import { buildSnapshots } from './build.ts';
import { checkManifests } from './kinds.ts';

const services = registryOf(
  servicesSchema.parse({
    web: { port: 80, endpoints: { a: { address: '10.0.0.1', port: 80, guest: 'a' } } },
    api: { port: 81, address: '10.20.0.1' },
  }),
);

const gateways = [
  {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name: 'edge' },
    spec: { gatewayClassName: 'midplane', listeners: [{ name: 'http', port: 80, protocol: 'HTTP' }] },
  },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Gateway',
    metadata: { name: 'legacy' },
    spec: { servers: [{ port: { number: 80, protocol: 'HTTP' }, hosts: ['*'] }] },
  },
];

function build(objects: readonly unknown[], health = (): boolean => true, paths?: PathNormalization) {
  const text = objects.map((object) => JSON.stringify(object)).join('\n---\n');
  const { manifests, problems } = readManifests([{ file: 'a.yaml', bytes: Buffer.from(text) }]);
  const all = [...problems, ...checkManifests(manifests)];
  assert.deepEqual(all.map(printProblem), []);
  return buildSnapshots({ manifests, services, gatewayAddress: '10.0.0.9', health, paths });
}

test('what comes out does not depend on the order of files and objects', () => {
  fc.assert(
    fc.property(routeObjects, (routes) => {
      const one = build([...gateways, ...routes]);
      const other = build([...routes, ...gateways].toReversed());
      assert.deepEqual(
        one.snapshots.map((s) => s.version),
        other.snapshots.map((s) => s.version),
      );
    }),
    { numRuns: 60 },
  );
});

test('a table has no domain twice, no route twice in a host, and its clusters exist or are said not to', () => {
  fc.assert(
    fc.property(routeObjects, (routes) => {
      for (const { routes: tables, clusters } of build([...gateways, ...routes]).snapshots) {
        const known = new Set(clusters.map((c) => c.key));
        for (const { hosts } of tables) {
          const domains = hosts.flatMap((h) => h.domains);
          assert.equal(new Set(domains).size, domains.length);
          for (const host of hosts) {
            assert.equal(new Set(host.routes.map((r) => r.name)).size, host.routes.length);
            for (const { action } of host.routes) {
              if (action.kind !== 'forward') continue;
              for (const { cluster } of action.clusters) assert.equal(known.has(cluster), !cluster.startsWith('none/'));
            }
          }
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('health changes endpoints and no snapshot', () => {
  const up = build(gateways);
  const down = build(gateways, () => false);
  assert.deepEqual(
    up.snapshots.map((s) => s.version),
    down.snapshots.map((s) => s.version),
  );
  assert.notDeepEqual(up.endpoints, down.endpoints);
  assert.deepEqual(
    up.endpointsFor(() => false),
    down.endpoints,
  );
});

test('a way of making paths normal is told to every listener of every scope, and is another version', () => {
  const [plain, merging] = [undefined, 'merge-slashes' as const].map(
    (paths) => build(gateways, undefined, paths).snapshots,
  );
  for (const [i, s] of merging!.entries()) {
    assert.ok(s.listeners.length > 0, s.scope);
    assert.deepEqual([...new Set(s.listeners.map((l) => l.paths))], ['merge-slashes']);
    assert.notEqual(s.version, plain![i]!.version);
    assert.ok(plain![i]!.listeners.every((l) => !('paths' in l)));
  }
});
