import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { host, route } from '../../test/fake/l7.ts';
import type { HeaderMatch, PathMatch, Route, RouteMatch, RouteTable, StringMatch } from '../mesh/snapshot.ts';
import { parseRequest } from './http1.ts';
import { compileHost, compileRoute, compileTable, find, regexOf } from './match.ts';
import type { Table } from './match.ts';

const reply = { kind: 'reply', status: 200, body: '' } as const;

interface Ask {
  readonly method: string;
  readonly host: string;
  readonly target: string;
  readonly headers: readonly (readonly [string, string])[];
}

function head(ask: Ask): Buffer {
  const lines = ask.headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.from(`${ask.method} ${ask.target} HTTP/1.1\r\nHost: ${ask.host}\r\n${lines}\r\n`, 'latin1');
}

function compiledOf(table: RouteTable): Table<string> {
  const hosts = table.hosts.map(({ name, domains, routes }) => {
    const compiled = routes.map((r) => compileRoute(r, `${name} ${r.name}`));
    return compileHost(domains, compiled);
  });
  const work = compileTable(table.name, hosts);
  let part = work.next();
  while (part.done !== true) part = work.next();
  return part.value;
}

function found(table: RouteTable, ask: Ask): string | undefined {
  const compiled = compiledOf(table);
  const a = head(ask);
  assert.ok(parseRequest(a, 0, a.length) > 0);
  return find(compiled, a);
}

/** The same, as one would write it without care for speed. */
function naive(table: RouteTable, ask: Ask): string | undefined {
  const name = ask.host.replace(/:\d*$/, '').toLowerCase();
  const all = table.hosts.flatMap((h) => h.domains.map((domain) => ({ h, domain })));
  const wild = all
    .filter(
      ({ domain }) => domain.startsWith('*.') && name.endsWith(domain.slice(1)) && name.length > domain.length - 1,
    )
    .toSorted((x, y) => y.domain.length - x.domain.length);
  const h = (all.find(({ domain }) => domain === name) ?? wild[0] ?? all.find(({ domain }) => domain === '*'))?.h;
  const r = h?.routes.find(({ match }) => matches(match, ask));
  return h === undefined || r === undefined ? undefined : `${h.name} ${r.name}`;
}

function matches(match: RouteMatch, ask: Ask): boolean {
  const [path = '', ...query] = ask.target.split('?');
  if (match.method !== undefined && match.method !== ask.method) return false;
  if (match.path !== undefined && !matchesPath(match.path, path)) return false;
  const headersOf = (name: string) =>
    ask.headers.filter(([n]) => n.toLowerCase() === name).map(([, value]) => value.trim());
  const params = query.length === 0 ? [] : query.join('?').split('&');
  const param = (name: string) => {
    const hit = params.find((p) => p.split('=')[0] === name);
    return hit?.slice(name.length + 1);
  };
  const paramsOf = (name: string) => [param(name)].filter((value) => value !== undefined);
  const some = (m: HeaderMatch, values: readonly string[]) =>
    values.some((value) => says(m.match, value)) !== (m.invert === true);
  return match.headers.every((m) => some(m, headersOf(m.name))) && match.query.every((m) => some(m, paramsOf(m.name)));
}

function matchesPath({ kind, value }: PathMatch, path: string): boolean {
  if (kind === 'exact') return path === value;
  if (kind === 'prefix') return path === value || path.startsWith(`${value}/`) || value === '';
  if (kind === 'string-prefix') return path.startsWith(value);
  return new RegExp(`^(?:${value})$`).test(path);
}

function says(match: StringMatch, value: string): boolean {
  if (match.kind === 'present') return true;
  if (match.kind === 'exact') return value === match.value;
  if (match.kind === 'prefix') return value.startsWith(match.value);
  return new RegExp(`^(?:${match.value})$`).test(value);
}

const domains = ['a.test', 'b.a.test', '*.a.test', '*.b.a.test', '*.test', 'test', '*'];
const paths = ['', '/', '/a', '/a/b', '/ab', '/A', '/a/', '/a.b'];
const word = fc.constantFrom('x', 'y', 'xy', '');
const stringMatch: fc.Arbitrary<StringMatch> = fc.oneof(
  fc.record({ kind: fc.constantFrom('exact' as const, 'prefix' as const, 'present' as const), value: word }),
  fc.record({ kind: fc.constant('regex' as const), value: fc.constantFrom('x.?', '[xy]+', 'x|y', '.*') }),
);
const fieldMatch = (names: readonly string[]): fc.Arbitrary<HeaderMatch> =>
  fc.record({ name: fc.constantFrom(...names), match: stringMatch, invert: fc.boolean() });
const pathMatch: fc.Arbitrary<PathMatch> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('exact' as const, 'string-prefix' as const),
    value: fc.constantFrom(...paths),
  }),
  fc.record({ kind: fc.constant('prefix' as const), value: fc.constantFrom('', '/a', '/a/b', '/ab') }),
  fc.record({ kind: fc.constant('regex' as const), value: fc.constantFrom('/a.*', '/[ab]', '.*b', '/') }),
);
const aMatch: fc.Arbitrary<RouteMatch> = fc
  .record({
    path: fc.option(pathMatch, { nil: undefined }),
    method: fc.option(fc.constantFrom('GET', 'POST'), { nil: undefined }),
    headers: fc.array(fieldMatch(['x-a', 'x-b']), { maxLength: 2 }),
    query: fc.array(fieldMatch(['q', 'Q']), { maxLength: 1 }),
  })
  .map(({ path, method, headers, query }) => ({
    headers,
    query,
    ...(path === undefined ? {} : { path }),
    ...(method === undefined ? {} : { method }),
  }));
const aTable: fc.Arbitrary<RouteTable> = fc
  .tuple(
    fc.subarray(domains, { minLength: 1 }),
    fc.array(fc.array(aMatch, { maxLength: 4 }), { minLength: 7, maxLength: 7 }),
  )
  .map(([names, routes]) => ({
    name: 't',
    hosts: names.map((name, i) => host([name], ...routes[i]!.map((m, r): Route => route(`r${r}`, reply, m)))),
  }));
const anAsk: fc.Arbitrary<Ask> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'get'),
  host: fc.constantFrom(
    'a.test',
    'A.Test:80',
    'b.a.test',
    'c.b.a.test',
    'x.test',
    'test',
    'xtest',
    'other',
    'aa.test:8080',
  ),
  target: fc
    .tuple(
      fc.constantFrom('/', '/a', '/a/', '/a/b', '/ab', '/A', '/a.b', '/a/b/c', '/b'),
      fc.constantFrom('', '?', '?q', '?q=x', '?q=x&q=y', '?Q=y&q', '?qq=x', '?q==x', '?&q=xy', '?q=?x'),
    )
    .map((parts) => parts.join('')),
  headers: fc.array(fc.tuple(fc.constantFrom('X-A', 'x-b', 'x-c'), fc.constantFrom('x', 'y', 'xy', '', 'x ')), {
    maxLength: 3,
  }),
});

test('decides as a careless reading of the rules does', () => {
  let hits = 0;
  fc.assert(
    fc.property(aTable, fc.array(anAsk, { minLength: 8, maxLength: 8 }), (table, asks) => {
      for (const ask of asks) {
        const wanted = naive(table, ask);
        assert.equal(found(table, ask), wanted, JSON.stringify(ask));
        if (wanted !== undefined) hits += 1;
      }
    }),
    { numRuns: 500 },
  );
  assert.ok(hits > 200, `${hits} hits`);
});

test('many hosts: each is found', () => {
  const hosts = Array.from({ length: 500 }, (_, i) => host([`h${i}.test`, `*.w${i}.test`], route('r', reply)));
  const table = { name: 't', hosts };
  const ask = { method: 'GET', target: '/', headers: [] };
  assert.equal(found(table, { ...ask, host: 'h77.test' }), 'h77.test r');
  assert.equal(found(table, { ...ask, host: 'x.y.w499.test' }), 'h499.test r');
  assert.equal(found(table, { ...ask, host: 'w499.test' }), undefined);
});

test(':authority and :method are what the head says', () => {
  const match = (name: string, value: string) => [{ name, match: { kind: 'exact', value } }] as const;
  const table = {
    name: 't',
    hosts: [
      host(
        ['*'],
        route('authority', reply, { headers: match(':authority', 'a.test:81') }),
        route('method', reply, { headers: match(':method', 'PATCH') }),
      ),
    ],
  };
  const ask = { method: 'GET', target: '/', headers: [], host: 'a.test:81' };
  assert.equal(found(table, ask), '* authority');
  assert.equal(found(table, { ...ask, host: 'a.test' }), undefined);
  assert.equal(found(table, { ...ask, host: 'a.test', method: 'PATCH' }), '* method');
});

test('patterns of RE2 become JavaScript ones', () => {
  assert.ok(regexOf('(?i)/ABC').test('/abc'));
  assert.ok(regexOf('(?P<id>\\d+)').test('12'));
  assert.ok(!regexOf('/a').test('/ab'));
  assert.ok(!regexOf('a|b').test('ab'));
  assert.throws(() => regexOf('('), /Invalid regular expression/);
  assert.throws(() => regexOf('x'.repeat(2000)), /longer than/);
  const bad = route('bad', reply, { path: { kind: 'regex', value: '[' } });
  assert.throws(() => compileRoute(bad, 0), /^Error: route bad: /);
});
