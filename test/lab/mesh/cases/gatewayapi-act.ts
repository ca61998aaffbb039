// Gateway API v1: what is done with a request. Sentences are of apis/v1/httproute_types.go and shared_types.go.
import { ask, type Case, type CaseSet, manifestsOf, say } from './case.ts';

/** Of HTTPPathModifier.replacePrefixMatch: request path, prefix match, replacement, modified path. */
const rewrites = [
  ['/foo/bar', '/foo', '/xyz', '/xyz/bar'],
  ['/foo/bar', '/foo', '/xyz/', '/xyz/bar'],
  ['/foo/bar', '/foo/', '/xyz', '/xyz/bar'],
  ['/foo/bar', '/foo/', '/xyz/', '/xyz/bar'],
  ['/foo', '/foo', '/xyz', '/xyz'],
  ['/foo/', '/foo', '/xyz', '/xyz/'],
  ['/foo/bar', '/foo', '', '/bar'],
  ['/foo/', '/foo', '', '/'],
  ['/foo', '/foo', '', '/'],
  ['/foo/', '/foo', '/', '/'],
  ['/foo', '/foo', '/', '/'],
] as const;

const modified = say(
  8081,
  'HTTPPathModifier.replacePrefixMatch',
  'Request Path | Prefix Match | Replace Prefix | Modified Path',
);
const listenerPort = say(
  8081,
  'HTTPRequestRedirectFilter.port',
  'If redirect scheme is empty, the redirect port MUST be the Gateway Listener port',
);
const schemePort = say(
  8081,
  'HTTPRequestRedirectFilter.port',
  'If redirect scheme is not-empty, the redirect port MUST be the well-known port associated with the ' +
    'redirect scheme ' +
    '... Implementations SHOULD NOT add the port number in the Location header in the following cases',
);
const invalid = say(
  8081,
  'HTTPRouteRule.backendRefs',
  'When a HTTPBackendRef is invalid, 500 status codes MUST be returned for requests that would have otherwise been ' +
    'routed to an invalid backend',
);
const slow = say(
  8081,
  'HTTPRouteTimeouts.request',
  'If the gateway has not been able to respond before this deadline is met, the gateway MUST return a timeout error',
);
const grant = say(
  8081,
  'BackendObjectReference.namespace',
  'when a namespace different than the local namespace is specified, a ReferenceGrant object is ' +
    "required in the referent namespace to allow that namespace's owner to accept the reference",
);
const location = (to: string, status = 302) => ({ status, answer: { location: to } });
const b = { status: 200, backends: ['b1'] };
const here = 'redirect.act.test';

export const gatewayApiAct: CaseSet = {
  manifests: manifestsOf('gatewayapi-act.yaml'),
  cases: [
    ...rewrites.map(([from, , , to], i): Case => modified(ask(from, `rewrite${i}.act.test`), { ...b, url: to })),
    modified(ask('/foo/bar?a=/foo', 'rewrite0.act.test'), { ...b, url: '/xyz/bar?a=/foo' }),
    say(
      8081,
      'HTTPHeaderFilter.set',
      'Set overwrites the request with the given header (name, value) before the action',
    )(ask('/set', 'edit.act.test', 'my-header: foo'), { ...b, seen: { 'my-header': 'bar' } }),
    say(
      8081,
      'HTTPHeaderFilter.add',
      'It appends to any existing values associated with the header name',
    )(ask('/add', 'edit.act.test', 'my-header: foo'), { ...b, seen: { 'my-header': 'foo,bar,baz' } }),
    say(
      8081,
      'HTTPHeaderFilter.remove',
      'Note that the header names are case-insensitive',
    )(ask('/remove', 'edit.act.test', 'My-Header1: foo', 'my-header2: bar', 'MY-HEADER3: baz'), {
      ...b,
      seen: { 'my-header1': undefined, 'my-header2': 'bar', 'my-header3': undefined },
    }),
    say(
      8081,
      'HTTPRouteFilterResponseHeaderModifier',
      'can be used to add or remove an HTTP header from an HTTP response',
    )(ask('/answer', 'edit.act.test'), { ...b, answer: { 'x-up': 'new', server: undefined } }),
    say(
      8081,
      'HTTPURLRewriteFilter.hostname',
      'Hostname is the value to be used to replace the Host header value during forwarding',
    )(ask('/host', 'edit.act.test'), { ...b, seen: { host: 'elsewhere.test' } }),
    say(
      8081,
      'HTTPPathModifier.replaceFullPath',
      'the value with which to replace the full path of a request',
    )(ask('/full/x/y?q=1', 'edit.act.test'), { ...b, url: '/one?q=1' }),
    say(
      8081,
      'HTTPBackendRef.filters',
      'Filters defined at this level should be executed if and only if the request is being forwarded to ' +
        'the backend defined here',
    )(ask('/backend', 'edit.act.test', 'x-own: client'), {
      status: 200,
      backends: ['b1', 'c1'],
      seen: { 'x-own': 'b|client' },
    }),
    listenerPort(ask('/host/x?y=1', here), location('http://new.test:8081/host/x?y=1')),
    listenerPort(ask('/full/x?y=1', here), location(`http://${here}:8081/all?y=1`)),
    listenerPort(ask('/prefix/x', `${here}:8081`), location(`http://${here}:8081/new/x`, 301)),
    schemePort(ask('/https/x', here), location(`https://${here}/https/x`)),
    schemePort(ask('/http', here), location(`http://${here}/http`)),
    say(
      8081,
      'HTTPRequestRedirectFilter.port',
      'Port is the port to be used in the value of the `Location` header',
    )(ask('/port', here), location(`http://${here}:8443/port`)),
    invalid(ask('/gone', 'backends.act.test'), { status: 500 }),
    invalid(ask('/half', 'backends.act.test'), { status: [200, 500], backends: ['b1', '-'] }),
    invalid(ask('/kind', 'backends.act.test'), { status: 500 }),
    say(
      8081,
      'HTTPRouteRule.backendRefs',
      'If *all* entries in BackendRefs are invalid, and there are also no filters specified in this route ' +
        'rule, *all* traffic which matches this rule MUST receive a 500 status code',
    )(ask('/none', 'backends.act.test'), { status: 500 }),
    say(
      8081,
      'HTTPRouteRule.backendRefs',
      'When a HTTPBackendRef refers to a Service that has no ready endpoints, implementations SHOULD return a 503',
    )(ask('/empty', 'backends.act.test'), { status: 503 }),
    say(
      8081,
      'BackendRef.weight',
      'If weight is set to 0, no traffic should be forwarded for this entry',
    )(ask('/zero', 'backends.act.test'), { status: 200, backends: ['c1'] }),
    say(
      8081,
      'BackendRef.weight',
      'If unspecified, weight defaults to 1',
    )(ask('/split', 'backends.act.test'), {
      status: 200,
      backends: ['b1', 'c1'],
    }),
    slow(ask('/slow', 'backends.act.test'), { status: 504 }),
    slow(ask('/slow-backend', 'backends.act.test'), { status: 504 }),
    say(
      8081,
      'HTTPRouteTimeouts.request',
      'Setting a timeout to the zero duration (e.g. "0s") SHOULD disable the timeout',
    )(ask('/no-timeout', 'backends.act.test'), b),
    grant(ask('/granted', 'abroad.act.test'), b),
    grant(ask('/refused', 'abroad.act.test'), { status: 500 }),
  ],
};
