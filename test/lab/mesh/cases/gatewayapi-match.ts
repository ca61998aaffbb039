// Gateway API v1: which rule takes a request. Sentences are of apis/v1/httproute_types.go and gateway_types.go.
import { ask, type CaseSet, manifestsOf, say } from './case.ts';

const exact = say(
  8081,
  'PathMatchExact',
  'an exact path match on `/abc` will only match requests to `/abc`, NOT `/abc/`, `/Abc`, or `/abcd`',
);
const prefix = say(
  8081,
  'PathMatchPathPrefix',
  'the paths `/abc`, `/abc/`, and `/abc/def` would all match the prefix `/abc`, but the path `/abcd` would not',
);
const prefixCase = say(
  8081,
  'PathMatchPathPrefix',
  'Matching is case-sensitive and done on a path element by element basis',
);
const trailing = say(8081, 'PathMatchPathPrefix', 'When specified, a trailing `/` is ignored');
const precedence = (what: string) =>
  say(8081, 'HTTPRouteRule.matches', `precedence must be given to the match having: ... ${what}`);
const suffix = say(
  8081,
  'HTTPRouteSpec.hostnames',
  'a match for `*.example.com` would match both `test.example.com`, and `foo.test.example.com`, but not `example.com`',
);
const widest = say(
  8081,
  'HTTPRouteSpec.hostnames',
  'precedence must be given to rules from the HTTPRoute with the largest number of: Characters in a matching ' +
    'non-wildcard hostname. Characters in a matching hostname.',
);
const port = say(
  8081,
  'HTTPRouteSpec.hostnames',
  'Implementations MUST ignore any port value specified in the HTTP Host header while performing a ' +
    'match and ... MUST ' +
    'forward this header unmodified to the backend',
);
const either = say(
  8081,
  'HTTPRouteRule.matches',
  'Each match is independent, i.e. this rule will be matched if **any** one of the matches is satisfied',
);
const isolation = say(
  8083,
  'GatewaySpec.listeners',
  'a request to "foo.example.com" SHOULD only be routed using routes attached to the "foo.example.com" Listener (and ' +
    'not the "*.example.com" Listener)',
);
const ignored = say(
  8083,
  'HTTPRouteSpec.hostnames',
  'if a Listener specified `*.example.com`, and the HTTPRoute specified `test.example.com` and `test.example.net`, ' +
    '`test.example.net` must not be considered for a match',
);
const wholeValue = say(8081, 'HTTPHeaderMatch.type', 'Type specifies how to match against the value of the header');
const nameCase = say(8081, 'HTTPHeaderMatch.name', 'Name matching MUST be case-insensitive');
const allOf = say(
  8081,
  'HTTPRouteMatch.headers',
  'Multiple match values are ANDed together, meaning, a request must match all the specified headers ' +
    'to select the route',
);
const firstEntry = say(
  8081,
  'HTTPHeaderMatch.name',
  'only the first entry with an equivalent name MUST be considered for a match',
);
const queryName = say(
  8081,
  'HTTPQueryParamMatch.name',
  'Name of the HTTP query param to be matched. This must be an exact string match',
);
const queryFirst = say(
  8081,
  'HTTPQueryParamMatch.name',
  'it is *recommended* that implementations should match against the first value of the param',
);
const method = say(
  8081,
  'HTTPRouteMatch.method',
  'When specified, this route will be matched only if the request has the specified method',
);

const to = (...backends: string[]) => ({ status: 200, backends });
const none = { status: 404 };

export const gatewayApiMatch: CaseSet = {
  manifests: manifestsOf('gatewayapi-match.yaml'),
  cases: [
    exact(ask('/abc', 'path.test'), to('b1')),
    exact(ask('/abc/', 'path.test'), none),
    exact(ask('/Abc', 'path.test'), none),
    exact(ask('/abcd', 'path.test'), none),
    prefix(ask('/pre', 'path.test'), to('c1')),
    prefix(ask('/pre/', 'path.test'), to('c1')),
    prefix(ask('/pre/def', 'path.test'), to('c1')),
    prefix(ask('/pred', 'path.test'), none),
    prefixCase(ask('/Pre/def', 'path.test'), none),
    trailing(ask('/slash', 'path.test'), to('e1')),
    precedence('"Prefix" path match with largest number of characters')(ask('/pre/longer/x', 'path.test'), to('d1')),
    precedence('"Exact" path match')(ask('/o/x', 'order.test', 'x-1: a'), to('b1')),
    precedence('Method match. Largest number of header matches')(ask('/m', 'order.test', 'x-1: a', 'x-2: b'), to('b1')),
    precedence('Largest number of header matches')(ask('/h', 'order.test', 'x-1: a', 'x-2: b'), to('b1')),
    precedence('Largest number of header matches. Largest number of query param matches')(
      ask('/h?q=a&r=b&s=c', 'order.test', 'x-1: a'),
      to('c1'),
    ),
    precedence('Largest number of query param matches')(ask('/q?q=a&r=b', 'order.test'), to('b1')),
    say(
      8081,
      'HTTPRouteRule.matches',
      'matching precedence MUST be granted to the FIRST matching rule (in list order)',
    )(ask('/same', 'order.test'), to('b1')),
    say(8081, 'HTTPRouteRule.matches', 'The oldest Route based on creation timestamp')(ask('/', 'old.test'), to('b1')),
    say(
      8081,
      'HTTPRouteRule.matches',
      'The Route appearing first in alphabetical order by "{namespace}/{name}"',
    )(ask('/', 'name.test'), to('b1')),
    say(
      8081,
      'HTTPRouteRule.matches',
      'If no matches are specified, the default is a prefix path match on "/"',
    )(ask('DELETE /any/thing?x', 'a.wild.test'), to('b1')),
    say(
      8081,
      'HTTPRouteRule.matches',
      'When no rules matching a request have been successfully attached to the parent ..., a HTTP 404 ' +
        'status code MUST be returned',
    )(ask('/', 'nobody.test'), none),
    either(ask('/or', 'order.test'), none),
    either(ask('/or', 'order.test', 'version: v2'), to('b1')),
    either(ask('/v2/or', 'order.test'), to('b1')),
    suffix(ask('/', 'test.wild.test'), to('b1')),
    suffix(ask('/', 'foo.test.wild.test'), to('b1')),
    suffix(ask('/', 'wild.test'), none),
    widest(ask('/c', 'exact.wild.test'), to('c1')),
    widest(ask('/other', 'exact.wild.test'), to('b1')),
    widest(ask('/', 'x.deep.wild.test'), to('d1')),
    port(ask('/c', 'exact.wild.test:9999'), { ...to('c1'), seen: { host: 'exact.wild.test:9999' } }),
    say(8081, 'RFC 9110, 4.2.3', 'The scheme and host are case-insensitive')(ask('/c', 'EXACT.Wild.test'), to('c1')),
    isolation(ask('/exact', 'foo.example.test'), to('d1')),
    isolation(ask('/wild', 'foo.example.test'), none),
    isolation(ask('/wild', 'bar.example.test'), to('c1')),
    isolation(ask('/any', 'bar.example.test'), none),
    isolation(ask('/any', 'example.test'), to('b1')),
    ignored(ask('/half', 'test.example.test'), to('e1')),
    ignored(ask('/half', 'test.example.net'), none),
    nameCase(ask('/one', 'fields.test', 'VERSION: v2'), to('b1')),
    wholeValue(ask('/one', 'fields.test', 'version: v22'), none),
    allOf(ask('/two', 'fields.test', 'x-a: 1'), none),
    allOf(ask('/two', 'fields.test', 'x-b: 2', 'x-a: 1'), to('b1')),
    firstEntry(ask('/dup', 'fields.test', 'foo: 1'), to('b1')),
    firstEntry(ask('/dup', 'fields.test', 'foo: 2'), none),
    queryName(ask('/query?animal=whale', 'fields.test'), to('b1')),
    queryName(ask('/query?Animal=whale', 'fields.test'), none),
    queryFirst(ask('/query?animal=whale&animal=dolphin', 'fields.test'), to('b1')),
    queryFirst(ask('/query?animal=dolphin&animal=whale', 'fields.test'), none),
    method(ask('POST /method', 'fields.test'), to('b1')),
    method(ask('PUT /method', 'fields.test'), none),
  ],
};
