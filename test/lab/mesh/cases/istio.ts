// Istio's networking.istio.io/v1. Sentences are of virtual_service.proto, destination_rule.proto and gateway.proto.
import { ask, type CaseSet, manifestsOf, say } from './case.ts';

const from = (field: string, says: string) => say(8082, field, says);
const matching = 'match.istio.example.com';
const acting = 'act.istio.example.com';
const to = (...backends: string[]) => ({ status: 200, backends });
const none = { status: 404 };

const firstRule = from('VirtualService.http', 'The first rule matching an incoming request is used');
const and = from(
  'HTTPRoute.match',
  'All conditions inside a single match block have AND semantics, while the list of match blocks have OR semantics',
);
const presence = from(
  'HTTPMatchRequest.headers',
  'If the value is empty and only the name of header is specified, presence of the header is checked',
);
const valueCase = from('HTTPMatchRequest.headers', 'Header values are case-sensitive');
const uri = from(
  'HTTPMatchRequest.uri',
  'values are case-sensitive and formatted as follows: `prefix: "value"` for prefix-based match',
);
const without = from(
  'HTTPMatchRequest.withoutHeaders',
  'If a header is matched with a matching rule among withoutHeader, the traffic becomes not matched one',
);
const digits = from(
  'HTTPMatchRequest.queryParams',
  'regex: "\\d+$". Note that this configuration will only match values like "123" but not "a123" or "123a"',
);
const query = from(
  'HTTPMatchRequest.queryParams',
  'For a query parameter like "?key=true", the map key would be "key" and the string match could be ' +
    'defined as `exact: "true"`',
);
const start = from(
  'HTTPMatchRequest.queryParams',
  'For a query parameter like "?key=abc" or "?key=abx", ... the string match could be defined as `prefix: "ab"`',
);
const weights = from(
  'HTTPRouteDestination.weight',
  'If there is only one destination in a rule, it will receive all traffic. Otherwise, if weight is ' +
    '`0`, the destination will not receive any traffic',
);
const headers = from(
  'Headers',
  'adds a `test` header with the value `true` ... also removes the `foo` response header, but only ' +
    'from responses coming from the `v1` subset',
);
const rewritten = from(
  'HTTPRewrite.uri',
  'If the original URI was matched based on prefix, the value provided in this field will replace the ' +
    'corresponding matched prefix',
);
const fixed = from('HTTPDirectResponse', 'HTTPDirectResponse can be used to send a fixed response to clients');
const exposed = from(
  'Server.hosts',
  "if the server's hosts specifies `*.example.com`, a `VirtualService` with hosts `dev.example.com` or " +
    '`prod.example.com` will match. However, a `VirtualService` with host `example.com` or ' +
    '`newexample.com` will not match',
);

export const istio: CaseSet = {
  manifests: manifestsOf('istio.yaml'),
  cases: [
    firstRule(ask('/first/of/all', matching), to('b1')),
    uri(ask('/firstly', matching), to('b1')),
    uri(ask('/First', matching), none),
    and(ask('/both/x', matching, 'x-a: one'), to('b1')),
    and(ask('/both/x', matching), none),
    and(ask('/other', matching), to('b1')),
    presence(ask('/there', matching, 'MyHeader: '), to('b1')),
    presence(ask('/there', matching), none),
    valueCase(ask('/case', matching, 'X-A: One'), to('b1')),
    valueCase(ask('/case', matching, 'X-A: one'), none),
    from('HTTPMatchRequest.headers', '`prefix: "value"` for prefix-based match')(
      ask('/prefix', matching, 'x-a: abc'),
      to('b1'),
    ),
    without(ask('/not', matching, 'x-a: one'), none),
    without(ask('/not', matching, 'x-a: two'), to('b1')),
    without(ask('/not', matching), to('b1')),
    query(ask('/query?key=true', matching), to('b1')),
    query(ask('/query?key=True', matching), none),
    digits(ask('/query?key=123', matching), to('c1')),
    digits(ask('/query?key=a123', matching), none),
    digits(ask('/query?key=123a', matching), none),
    start(ask('/query?start=abx', matching), to('d1')),
    from('HTTPMatchRequest.method', 'HTTP Method values are case-sensitive')(ask('DELETE /method', matching), to('b1')),
    from('HTTPMatchRequest.method', 'HTTP Method values are case-sensitive')(ask('GET /method', matching), none),
    from('HTTPMatchRequest.authority', '`prefix: "value"` for prefix-based match')(
      ask('/authority', matching),
      to('b1'),
    ),
    from('HTTPMatchRequest.port', 'Specifies the ports on the host that is being addressed')(
      ask('/port', matching),
      to('b1'),
    ),
    from('HTTPMatchRequest.gateways', 'Names of gateways where the rule should be applied')(
      ask('/elsewhere', matching),
      none,
    ),
    from('VirtualService.gateways', 'When this field is omitted, the default gateway (`mesh`) will be used')(
      ask('/mesh', 'a'),
      none,
    ),
    exposed(ask('/', 'dev.open.example.com'), to('b1')),
    exposed(ask('/', 'open.example.com'), none),
    exposed(ask('/first', 'istio.example.com'), none),
    from('Server.hosts', 'A host is specified as a `dnsName` with an optional `namespace/` prefix')(
      ask('/', 'only.example.com'),
      none,
    ),
    headers(ask('/headers', acting, 'test: false', 'x-more: a', 'X-Gone: 1'), {
      ...to('v1', 'v2'),
      seen: { test: 'true', 'x-more': 'a,b', 'x-gone': undefined },
      answer: { 'x-up': '-|1' },
    }),
    weights(ask('/single', acting), to('v1')),
    weights(ask('/zero', acting), to('v2')),
    from(
      'Destination.subset',
      'The name of a subset within the service. ... defined in a corresponding DestinationRule',
    )(ask('/single/again', acting), to('v1')),
    from('Destination', 'Notice that there are no subsets defined in this rule. Istio will fetch all instances')(
      ask('/all', acting),
      to('v1', 'v2', 'v3'),
    ),
    from('Destination.port', 'Specifies the port on the host that is being addressed')(ask('/fqdn', acting), to('c1')),
    rewritten(ask('/ratings/7?x=1', acting), { ...to('b1'), url: '/v1/bookRatings/7?x=1' }),
    rewritten(ask('/ratings', acting), { ...to('b1'), url: '/v1/bookRatings' }),
    from('HTTPRewrite', 'rewrite the path ... with this value. rewrite the Authority/Host header with this value')(
      ask('/exact/path?x', acting),
      { ...to('b1'), url: '/whole?x', seen: { host: 'inner.test' } },
    ),
    from(
      'HTTPRedirect',
      'redirects requests for /v1/getProductRatings ... The default response code is MOVED_PERMANENTLY (301)',
    )(ask('/v1/getProductRatings', acting), {
      status: 301,
      answer: { location: 'http://newratings.default.svc.cluster.local/v1/bookRatings' },
    }),
    from(
      'HTTPRedirect.uri',
      'the entire path will be replaced, irrespective of the request URI being matched as an exact path or prefix',
    )(ask('/redirect/prefix/and/more', acting), { status: 307, answer: { location: `http://${acting}/entire` } }),
    from('HTTPRedirect.port', 'On a redirect, overwrite the port portion of the URL with this value')(
      ask('/redirect/port', acting),
      { status: 301, answer: { location: 'http://new.test:8443/redirect/port' } },
    ),
    from('HTTPRedirect.derivePort', 'FROM_REQUEST_PORT: automatically use the port of the request')(
      ask('/redirect/same', `${acting}:8082`),
      { status: 301, answer: { location: 'http://new.test:8082/redirect/same' } },
    ),
    from('HTTPRedirect.scheme', 'On a redirect, overwrite the scheme portion of the URL with this value')(
      ask('/redirect/scheme', acting),
      { status: 301, answer: { location: `https://${acting}/redirect/scheme` } },
    ),
    fixed(ask('/fixed', acting), { status: 503, body: 'unknown error' }),
    from('HTTPBody.bytes', 'response body as base64 encoded bytes')(ask('/bytes', acting), {
      status: 503,
      body: 'unknown error',
    }),
    from('HTTPDirectResponse.body', 'If this setting is omitted, no body is included in the generated response')(
      ask('/bare', acting),
      { status: 202, body: '' },
    ),
    from(
      'HTTPDirectResponse',
      'It is good practice to add headers in the HTTPRoute as well as the direct_response, for example to ' +
        'specify the returned Content-Type',
    )(ask('/json', acting), {
      status: 503,
      body: '{"error": "unknown error"}',
      answer: { 'content-type': 'application/json' },
    }),
    from('HTTPRoute.timeout', 'Timeout for HTTP requests')(ask('/slow', acting), { status: 504 }),
  ],
};
