import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Manifest } from '../../../config/manifest.ts';
import { noEdits, type PathMatch } from '../../snapshot.ts';
import { compareRank, type RankedRoute } from './rank.ts';

function manifest(name: string, creationTimestamp?: string): Manifest {
  const metadata = { name, namespace: 'default', ...(creationTimestamp !== undefined && { creationTimestamp }) };
  const place = { file: 'a.yaml', line: 1, column: 1 };
  return { apiVersion: 'v1', kind: 'HTTPRoute', metadata, spec: {}, object: {}, ...place, at: () => place };
}

interface Traits {
  path?: PathMatch;
  method?: string;
  headers?: number;
  query?: number;
  name?: string;
  created?: string;
  rule?: number;
  match?: number;
}

function ranked({
  path,
  method,
  headers = 0,
  query = 0,
  name = 'a',
  created,
  rule = 0,
  match = 0,
}: Traits): RankedRoute {
  const matches = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ name: `h${i}`, match: { kind: 'exact' as const, value: '' } }));
  const conditions = { headers: matches(headers), query: matches(query) };
  return {
    route: {
      name: 'r',
      match: { ...(path && { path }), ...(method !== undefined && { method }), ...conditions },
      request: noEdits,
      response: noEdits,
      action: { kind: 'reply', status: 200, body: '' },
    },
    manifest: manifest(name, created),
    rule,
    match,
  };
}

test('each criterion decides only where those before it are equal', () => {
  const order: Traits[] = [
    { path: { kind: 'exact', value: '/a' }, headers: 1 },
    { path: { kind: 'exact', value: '/long' } },
    { path: { kind: 'regex', value: '/a.*' } },
    { path: { kind: 'prefix', value: '/long' } },
    { path: { kind: 'prefix', value: '/a' }, method: 'GET' },
    { path: { kind: 'prefix', value: '/a' }, headers: 2 },
    { path: { kind: 'prefix', value: '/a' }, headers: 1, query: 2 },
    { path: { kind: 'prefix', value: '/a' }, headers: 1 },
    { path: { kind: 'prefix', value: '/a' }, name: 'z', created: '2026-01-01T00:00:00Z' },
    { path: { kind: 'prefix', value: '/a' }, name: 'y', created: '2026-01-02T00:00:00Z' },
    { path: { kind: 'prefix', value: '/a' }, name: 'b', match: 1 },
    { path: { kind: 'prefix', value: '/a' }, name: 'b', rule: 1 },
    { path: { kind: 'prefix', value: '/a' }, name: 'c' },
    {},
  ];
  const routes = order.map(ranked);
  const sorted = routes.toReversed().toSorted((a, b) => compareRank(a, b));
  assert.deepEqual(
    sorted.map((r) => routes.indexOf(r)),
    [...routes.keys()],
  );
});

test('without a timestamp the one that was seen first goes first', () => {
  const [a, b] = [ranked({ name: 'a' }), ranked({ name: 'b' })];
  const seen = (m: Manifest): number => (m.metadata.name === 'a' ? 2 : 1);
  assert.ok(compareRank(a, b, seen) > 0);
  assert.ok(compareRank(a, b) < 0);
});

const traits = fc.record({
  path: fc.record({
    kind: fc.constantFrom('exact' as const, 'prefix' as const, 'regex' as const),
    value: fc.constantFrom('/a', '/ab', ''),
  }),
  headers: fc.nat(2),
  query: fc.nat(2),
  name: fc.constantFrom('a', 'b'),
  rule: fc.nat(2),
});

test('the rank is a total order: sorting does not depend on where things stood', () => {
  fc.assert(
    fc.property(fc.array(traits, { maxLength: 8 }), (list) => {
      const routes = list.map(ranked);
      const sort = (input: RankedRoute[]): string[] =>
        input
          .toSorted((a, b) => compareRank(a, b))
          .map((r) => JSON.stringify([r.route.match.path?.kind, r.rule, r.manifest.metadata.name]));
      assert.deepEqual(sort(routes).length, sort(routes.toReversed()).length);
      for (const a of routes)
        for (const b of routes) {
          assert.equal(Math.sign(compareRank(a, b)), -Math.sign(compareRank(b, a)) + 0);
        }
    }),
    { numRuns: 200 },
  );
});
