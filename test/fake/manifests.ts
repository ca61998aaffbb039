// Random Gateway API and Istio objects that are in order, for properties that must hold for all of them.
import fc from 'fast-check';

const host = fc.constantFrom('a.example.com', 'b.example.com', '*.example.com', '*.a.example.com');
const path = fc.constantFrom('/', '/a', '/a/b', '/a/b/', '/long%20path', '/x.y');
const name = fc.constantFrom('x-a', 'x-b', 'User-Agent');
const value = fc.constantFrom('1', '100%', 'a b', '', '"quoted"', '%REQ(x)%');
const text = { name, value };

const match = fc.record(
  {
    path: fc.oneof(
      fc.record({ type: fc.constantFrom('Exact', 'PathPrefix'), value: path }),
      fc.record({
        type: fc.constant('RegularExpression'),
        value: fc.constantFrom('/[0-9]+', '/a(b|c)?', String.raw`/x\.y`),
      }),
    ),
    method: fc.constantFrom('GET', 'POST'),
    headers: fc.array(fc.record(text), { maxLength: 3 }),
    queryParams: fc.array(fc.record({ name, value, type: fc.constant('Exact') }), { maxLength: 2 }),
  },
  { requiredKeys: [] },
);

const edits = fc.record(
  { set: fc.uniqueArray(fc.record(text), { selector: (h) => h.name, maxLength: 2 }), remove: fc.constant(['x-c']) },
  { requiredKeys: [] },
);
const modifiers = fc
  .record({ RequestHeaderModifier: edits, ResponseHeaderModifier: edits }, { requiredKeys: [] })
  .map((all) => Object.entries(all).map(([type, spec]) => ({ type, [type[0]!.toLowerCase() + type.slice(1)]: spec })));

const backendRef = fc.record({
  name: fc.constantFrom('web', 'api', 'gone'),
  port: fc.constantFrom(80, 81),
  weight: fc.nat(3),
  filters: modifiers,
});
const fullPath = fc.record({ type: fc.constant('ReplaceFullPath'), replaceFullPath: path });

const rule = fc.oneof(
  fc.record({
    matches: fc.array(match, { minLength: 1, maxLength: 3 }),
    filters: fc
      .tuple(modifiers, fc.option(fc.record({ hostname: fc.constant('in.example.com'), path: fullPath })))
      .map(([all, rewrite]) => (rewrite === null ? all : [...all, { type: 'URLRewrite', urlRewrite: rewrite }])),
    backendRefs: fc.array(backendRef, { maxLength: 3 }),
    timeouts: fc.record({ request: fc.constantFrom('0s', '1s', '1h1ms') }),
  }),
  fc.record({
    matches: fc.array(match, { minLength: 1, maxLength: 2 }),
    filters: fc
      .record(
        { scheme: fc.constantFrom('http', 'https'), port: fc.constantFrom(80, 8080), path: fullPath },
        { requiredKeys: [] },
      )
      .map((requestRedirect) => [{ type: 'RequestRedirect', requestRedirect }]),
  }),
);

const httpRoute = (gateway: string) =>
  fc
    .record({
      hostnames: fc.uniqueArray(host, { maxLength: 2 }),
      rules: fc.array(rule, { minLength: 1, maxLength: 3 }),
    })
    .map((spec) => ({
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      spec: { parentRefs: [{ name: gateway }], ...spec },
    }));

const stringMatch = fc.oneof(
  fc.record({ exact: path }),
  fc.record({ prefix: path }),
  fc.record({ regex: fc.constant('/a.*') }),
);

const virtualService = (gateway: string) =>
  fc
    .record({
      hosts: fc.uniqueArray(host, { minLength: 1, maxLength: 2 }),
      http: fc.array(
        fc.record({
          match: fc.array(fc.record({ uri: stringMatch, headers: fc.constant({ 'x-a': {} }) }, { requiredKeys: [] }), {
            maxLength: 2,
          }),
          route: fc.constantFrom('web', 'gone').map((to) => [{ destination: { host: to } }]),
        }),
        { minLength: 1, maxLength: 3 },
      ),
    })
    .map((spec) => ({
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      spec: { gateways: [gateway], ...spec },
    }));

/** Some routes on a Gateway "edge" (Gateway API) and some on a Gateway "legacy" (Istio), all named, none of them wrong.
 * */
export const routeObjects = fc
  .tuple(fc.array(httpRoute('edge'), { maxLength: 4 }), fc.array(virtualService('legacy'), { maxLength: 2 }))
  .map(([routes, services]) => [...routes, ...services].map((o, i) => ({ ...o, metadata: { name: `r${i}` } })));
