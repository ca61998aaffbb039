// What the router speaks: one row a feature, with the test that shows it and who says what is right. A feature without
// a row is not promised; protocols.test.ts keeps the rows true.

export interface ProtocolRow {
  readonly feature: string;
  /** From the top of the checkout. */
  readonly file: string;
  /** The test's title as it stands in the file. */
  readonly test: string;
  /** A section of a standard ("RFC 9112 9.3"), or programs of `oraclePrograms` that the test compares with. */
  readonly oracle: string;
}

/** Programs that nobody here wrote, and the word that a test which asks them has in its text. */
export const oraclePrograms: Readonly<Record<string, string>> = {
  Envoy: 'envoy',
  nginx: 'nginx',
  HAProxy: 'haproxy',
  curl: 'curl',
  OpenSSL: 'openssl',
  Node: 'node:tls',
  'Node HTTP/2': 'node:http2',
  'grpc-js': '@grpc/grpc-js',
  Connect: '@connectrpc/connect-node',
  h2spec: 'h2spec',
  websockets: 'build/websockets',
  'gRPC interop': 'build/grpc',
  grpcurl: 'build/grpcurl',
  nghttp2: 'nghttp',
  llhttp: 'node:_http_common',
};

const net = 'src/l7/transport-http.test.ts';
const chain = 'src/l7/chain.test.ts';
const heads = 'src/l7/http1.test.ts';
const exchange = 'src/l7/net/exchange.test.ts';
const limits = 'src/l7/net/limits.test.ts';
const moves = 'src/l7/worker/moves.test.ts';
const smuggling = 'test/lab/smuggling.test.ts';

type Short = readonly [feature: string, file: string, test: string, oracle: string];

const connections: readonly Short[] = [
  ['keep-alive', net, 'keep-alive: many requests on one connection use one upstream connection', 'RFC 9112 9.3'],
  ['pipelining', net, 'pipelined requests are answered in order', 'RFC 9112 9.3.2'],
  [
    'HTTP/1.0 with and without keep-alive',
    net,
    'HTTP/1.0: chunked responses come plain, keep-alive is granted where it is asked for',
    'RFC 9112 9.3',
  ],
  ['HTTP/1.0 goes on as HTTP/1.1', chain, 'a request of HTTP/1.0 goes on as HTTP/1.1', 'RFC 9110 2.5'],
  [
    'half-close of a client',
    exchange,
    'half-close after a whole request: the answer comes, then the end',
    'RFC 9112 9.6',
  ],
  [
    'one more try of what may be sent twice',
    'src/l7/retry.test.ts',
    'a request that may be sent twice is, where the server closed as it came; another is not',
    'RFC 9110 9.2.2',
  ],
  [
    'Keep-Alive of servers',
    'src/l7/retry.test.ts',
    'a connection that its server says to close within a second is not used again',
    'RFC 9112 9.3',
  ],
  [
    'no request meets a close that was announced',
    'src/l7/retry.test.ts',
    'no request meets the close of a server that says when: its connections are given up a second before',
    'RFC 9112 9.3',
  ],
  [
    'drain by "connection: close"',
    chain,
    'a removed listener takes no more connections; open ones get an answer and an end',
    'RFC 9112 9.6',
  ],
  [
    'drain of a whole router: answers, streams, tunnels',
    'src/l7/worker/drain.test.ts',
    'answers say close, streams end behind two GOAWAYs, tunnels stay until the end',
    'Node HTTP/2',
  ],
];

const bodies: readonly Short[] = [
  ['chunked requests', net, 'chunked requests are framed anew, extensions and trailers dropped', 'RFC 9112 7.1'],
  ['chunked responses', net, 'chunked responses pass, and the connection goes on', 'RFC 9112 7.1'],
  ['trailers are dropped', net, 'chunked requests are framed anew, extensions and trailers dropped', 'RFC 9110 6.5.1'],
  ['chunks in any pieces', 'src/l7/net/body.test.ts', 'any data in any chunks comes out as it went in', 'RFC 9112 7.1'],
  [
    'responses until close',
    net,
    'a response until close becomes chunked; to HTTP/1.0 it ends with the connection',
    'RFC 9112 6.3',
  ],
  ['HEAD, 204 and 304', net, 'HEAD, 204 and 304 have no body, whatever their heads say', 'RFC 9110 6.4.1'],
  ['100-continue', net, 'Expect: 100-continue goes up, the interim answer comes down', 'RFC 9110 10.1.1'],
  [
    'an answer before the whole request',
    net,
    'an answer before the request is whole ends the connection',
    'RFC 9112 9.6',
  ],
  [
    'a body behind a request that is answered at once',
    chain,
    'a body behind a request that is answered at once is read away, a large one ends the connection',
    'RFC 9112 9.3',
  ],
  [
    'bodies that are slow, or break off anywhere, both ways',
    'test/lab/bodies.test.ts',
    '${all.length} bodies, slow and broken off: the router, nginx and HAProxy',
    'nginx, HAProxy',
  ],
  [
    'a response that breaks off',
    exchange,
    'the upstream ends in the middle of a body: the client sees a broken answer, not a short one',
    'RFC 9112 8',
  ],
];

const messages: readonly Short[] = [
  ['absolute form', chain, 'an absolute target goes on as a path', 'RFC 9112 3.2.2'],
  ['asterisk form', 'test/lab/l7-envoy.test.ts', 'the router and Envoy agree', 'Envoy'],
  [
    'paths are made normal, in four ways',
    'test/lab/paths.test.ts',
    '${pathCases.length} cases: the router and Envoy choose one route and pass on one path',
    'Envoy',
  ],
  ['strict request heads', heads, 'each bad request head is refused, its sibling is not', 'RFC 9112 2.2'],
  [
    'request heads, judged by llhttp',
    'src/l7/llhttp.test.ts',
    'what llhttp refuses is not taken, but for what has a name',
    'llhttp',
  ],
  ['strict response heads', heads, 'each bad response head is refused with 502, its sibling is not', 'RFC 9112 4'],
  ['hop-by-hop fields', chain, 'fields of one hop stay on it, also those that Connection names', 'RFC 9110 7.6.1'],
  ['x-forwarded-for and x-forwarded-proto', 'test/lab/l7-envoy.test.ts', 'the router and Envoy agree', 'Envoy'],
  ['edits of fields, rewrites, redirects', 'test/lab/l7-envoy.test.ts', 'the router and Envoy agree', 'Envoy'],
  [
    'HTTPRoutes mean what somebody who knows Envoy would write',
    'test/lab/oracle.test.ts',
    'the same of ${route}: status, backend, what it receives, what the client gets',
    'Envoy',
  ],
  [
    'weights of backends',
    'test/lab/oracle.test.ts',
    'weights are kept: chi-square of 5, 3 and 2 in 1,000 requests, of both',
    'Envoy',
  ],
  ['Upgrade to WebSocket', net, 'WebSocket: 101, then both directions, each with its own end', 'RFC 9110 7.8'],
  ['an upgrade that nobody asked for', net, 'an upgrade that was not asked for is 502', 'RFC 9110 7.8'],
  [
    'CONNECT is refused where no route names it',
    'src/l7/tcp/connect.test.ts',
    'CONNECT is refused with 501 unless a route names it, and nothing of what follows is read',
    'RFC 9110 9.3.6',
  ],
  [
    'CONNECT where a route names it',
    'src/l7/tcp/connect.test.ts',
    'a route with the method CONNECT opens a tunnel to its backend: 200 once it stands, then bytes as they come',
    'RFC 9110 9.3.6',
  ],
  [
    'an absolute target without a path',
    'src/l7/tcp/connect.test.ts',
    'an absolute target without a path is "/", for OPTIONS "*"',
    'RFC 9112 3.2.4',
  ],
  ['request smuggling', smuggling, 'nginx and HAProxy on the same bytes', 'nginx, HAProxy'],
  ['desync with a server behind', smuggling, 'the router before nginx and before HAProxy', 'nginx, HAProxy'],
  ['desync with a proxy in front', smuggling, 'the router behind nginx and behind HAProxy', 'nginx, HAProxy'],
];

const proxy = 'test/lab/proxy-protocol.test.ts';
const beneath: readonly Short[] = [
  ['PROXY protocol, versions 1 and 2: reading', proxy, 'what HAProxy sends', 'HAProxy'],
  ['PROXY protocol, versions 1 and 2: writing', proxy, 'what HAProxy believes', 'HAProxy'],
  ['SNI, ALPN and versions of a ClientHello', 'test/lab/hello.test.ts', 'what OpenSSL and curl say', 'OpenSSL, curl'],
  [
    'a ClientHello in any records and segments',
    'src/l7/head/hello.test.ts',
    'records and segments may end anywhere',
    'Node',
  ],
];

const session = 'src/l7/tls/session.test.ts';
const hosts = 'src/l7/tls/listener.test.ts';
const behind = 'src/l7/tls/upstream.test.ts';
const clients = 'client certificates: required, given, revoked; the URI is the identity where it is the only one';
const refusals = 'older versions, old ciphers and protocols that nobody has are refused with an alert, and counted';
const tls: readonly Short[] = [
  ['TLS 1.2 and 1.3 end here', session, 'TLS 1.2 and 1.3, server name and ALPN: openssl s_client', 'OpenSSL'],
  ['TLS: large bodies', session, 'curl: a request, a large answer, a large body', 'curl'],
  ['TLS 1.1 and old ciphers are refused', session, refusals, 'OpenSSL'],
  [
    'HTTP/2 by ALPN',
    'test/lab/https.test.ts',
    'from manifests to curl: HTTP/1.1 and HTTP/2, a new certificate, clients that must be known',
    'curl',
  ],
  ['ALPN: nothing in common', session, refusals, 'RFC 7301 3.2'],
  [
    'several certificates, by name and kind of key',
    session,
    'several certificates: by server name, and by kind of key',
    'OpenSSL',
  ],
  ['client certificates, required and optional', session, clients, 'Node'],
  ['client certificates that are revoked', session, clients, 'Node'],
  ['SPIFFE identity of a client', session, clients, 'Node'],
  [
    'tickets, shared by workers',
    hosts,
    'workers share the keys of tickets: a session is resumed by whichever takes the connection',
    'Node',
  ],
  [
    'tickets in their policy only',
    session,
    'sessions are resumed by any worker that has the keys, in their policy only',
    'Node',
  ],
  ['renegotiation is refused', session, 'renegotiation and early data are refused', 'OpenSSL'],
  ['early data is refused', session, 'renegotiation and early data are refused', 'RFC 8446 2.3'],
  [
    'connections over TLS change their worker',
    moves,
    'TLS connections and tunnels over TLS move with their keys, when workers are fewer and when one crashes',
    'Node',
  ],
  ['handshakes change their worker', moves, 'a handshake goes on in another worker, from where it was', 'Node'],
  [
    'certificates change under open connections',
    hosts,
    'a new certificate is for new connections; one that stands goes on, with new routes',
    'Node',
  ],
  [
    '421 for what another name stands for',
    'src/mesh/secret/secret.test.ts',
    'listeners of a Gateway: each name has its routes, and another host is another connection',
    'RFC 9110 15.5.20',
  ],
  [
    'TLS to upstreams',
    behind,
    'both sides over TLS: server name, ALPN, a large body; one upstream connection for several requests',
    'Node',
  ],
  [
    'the name of an upstream is verified',
    behind,
    'who the upstream is: a name, an address, a URI, or nobody that is trusted',
    'Node',
  ],
  ['a certificate for an upstream', behind, 'a client certificate for the upstream', 'Node'],
  [
    'sessions with upstreams are resumed',
    'src/l7/tls/upstream.test.ts',
    'a session is resumed at the endpoint where it was made, and nowhere else; a new one is verified',
    'Node',
  ],
  [
    'x-forwarded-client-cert',
    'src/l7/tls/forwarded.test.ts',
    'x-forwarded-client-cert is what Envoy says, and never what the client says',
    'Envoy',
  ],
  [
    'TLS ends here before TCP',
    'src/l7/tls/stream.test.ts',
    'TLS ends here, and the stream of its host takes what is in it: a server that speaks first, and half-close',
    'RFC 8446 6.1',
  ],
  [
    'TLS before HTTP, then before TCP at the same port',
    'src/l7/tls/stream.test.ts',
    'a listener of HTTPS that becomes one of TCP over TLS, and the way back: each client gets what is there now',
    'RFC 8446 6.1',
  ],
  [
    'odd connections while everything changes',
    'src/l7/odd.test.ts',
    'whatever connections do while everything changes, nothing is left of it',
    'Node HTTP/2',
  ],
  [
    'TLS before TCP: certificates of clients',
    'src/l7/tls/stream.test.ts',
    'who does not shake hands, or has no certificate where one must be, gets no connection to a server',
    'RFC 8446 4.4.2',
  ],
  [
    'TLS ends here before TLSRoutes',
    'src/l7/tls/tlsroute.test.ts',
    'TLS ends here, and the TLSRoute of the name that the client says has what is in it',
    'RFC 6066 3',
  ],
  [
    'PROXY protocol before TLS',
    'src/l7/tls/stream.test.ts',
    'a PROXY header may stand before it, and go to the server; a host without a stream is closed',
    'RFC 8446 5.1',
  ],
  [
    'TCP and TLS routes in Envoys',
    'src/mesh/xds/envoy-stream.test.ts',
    'TCP, weights, idle times, TLS by name, a change: as the manifests say',
    'Envoy',
  ],
  [
    'limits of connections in Envoys',
    'src/mesh/xds/envoy-limit.test.ts',
    'an Envoy has as many connections as its ListenerPolicy says',
    'Envoy',
  ],
  [
    'an end without close_notify is no end',
    behind,
    'a body until close ends with close_notify; without it the client sees it broken',
    'RFC 8446 6.1',
  ],
];

const h2 = 'src/l7/http2/server.test.ts';
const up2 = 'src/l7/http2/upstream.test.ts';
const rpc = 'src/l7/http2/grpc.test.ts';
const oracles = 'src/l7/http2/oracles.test.ts';
const floods = 'src/l7/http2/floods.test.ts';
const sockets = 'src/l7/http2/websocket.test.ts';
const web = 'src/l7/http2/grpcweb.test.ts';
const secure = 'src/l7/http2/secure.test.ts';
const crossing = 'src/l7/http2/crossing.test.ts';
const http2: readonly Short[] = [
  [
    'HTTP/2 of clients by prior knowledge: streams, bodies',
    h2,
    'requests and answers, with and without bodies, many at once on one connection',
    'Node HTTP/2',
  ],
  [
    'HTTP/2: flow control from end to end',
    h2,
    'bodies wait for their reader: nothing is kept beyond the windows, neither way',
    'Node HTTP/2',
  ],
  ['HTTP/2: HEAD, 204, 304, interim answers', h2, 'HEAD, 204, 304 and interim answers', 'Node HTTP/2'],
  ['HTTP/2: cookies joined', h2, 'cookies are one field again; answers keep each set-cookie', 'RFC 9113 8.2.3'],
  ['HTTP/2: fields as they are', h2, 'any fields go through as they are', 'Node HTTP/2'],
  [
    'HTTP/2: resets, both ways',
    h2,
    'a reset of the client ends its request above; one of the server shows as one',
    'Node HTTP/2',
  ],
  [
    'HTTP/2: drain by GOAWAY',
    h2,
    'a listener that goes: GOAWAY twice, what is under way is answered, then the end',
    'RFC 9113 6.8',
  ],
  [
    'HTTP/2: connections change their worker',
    moves,
    'HTTP/2 without a stream moves with its tables and windows; with streams all is answered first',
    'Node HTTP/2',
  ],
  [
    'HTTP/1.1 before servers of HTTP/2: connections change their worker',
    moves,
    'who is answered by a server of HTTP/2 moves when the answer is whole',
    'Node HTTP/2',
  ],
  [
    'HTTP/2: a worker that leaves',
    moves,
    'HTTP/2 that always has a stream is told to go by two GOAWAYs, and loses none',
    'Node HTTP/2',
  ],
  ['HTTP/2: bound of streams', h2, 'streams have their bound: of one connection, and of all', 'RFC 9113 5.1.2'],
  ['HTTP/2: framing and HPACK, judged', oracles, 'h2spec --strict fails nothing and skips nothing', 'h2spec'],
  ['HTTP/2: curl', oracles, 'curl by prior knowledge: up and down', 'curl'],
  ['HTTP/2: nghttp2 and load', oracles, 'nghttp and h2load', 'nghttp2'],
  ['HPACK', 'src/l7/http2/hpack/hpack.test.ts', 'what is written is read as it was', 'RFC 7541 6'],
  [
    'HTTP/2 made HTTP/1.1: what must not get through',
    'src/l7/http2/downgrade.test.ts',
    'requests that must not get through to ${protocol}, and their siblings that must',
    'RFC 9113 8.2.1',
  ],
  [
    'HTTP/1.1 made HTTP/2: what must not get through',
    'src/l7/http2/upgrade.test.ts',
    '${cases.length} cases of smuggling before a server of HTTP/2, and their siblings',
    'Node HTTP/2',
  ],
  [
    'HTTP/2: framing and HPACK over TLS, judged',
    oracles,
    'h2spec --strict over TLS fails nothing and skips nothing',
    'h2spec',
  ],
  ['HTTP/2 to upstreams', up2, 'a client of HTTP/1.1 before a server of HTTP/2', 'Node HTTP/2'],
  [
    'HTTP/2 to upstreams: streams of many requests',
    up2,
    'many requests share few connections; each answer finds its own',
    'Node HTTP/2',
  ],
  ['HTTP/2 to upstreams: flow control', up2, 'bodies wait for their reader, both ways', 'Node HTTP/2'],
  ['trailers over HTTP/2', up2, 'trailers, both ways', 'Node HTTP/2'],
  [
    'HTTP/2 to upstreams: REFUSED_STREAM, GOAWAY',
    up2,
    'what a server refuses goes to it once more; a GOAWAY moves on to a new connection',
    'Node HTTP/2',
  ],
  [
    'WebSocket over HTTP/2 (extended CONNECT)',
    sockets,
    'a WebSocket over HTTP/2 to a server of ${protocol}: both directions, each with its own end',
    'Node HTTP/2',
  ],
  [
    'WebSocket over HTTP/2: refused, reset, ended',
    sockets,
    'a WebSocket over HTTP/2 to a server of ${protocol}: refused, reset, ended by its server',
    'Node HTTP/2',
  ],
  [
    'WebSocket of HTTP/1.1 to a server of HTTP/2',
    sockets,
    'a WebSocket over HTTP/1.1 to a server of HTTP/2',
    'Node HTTP/2',
  ],
  [
    'WebSocket over HTTP/2: the key is answered',
    sockets,
    'nothing but 101 that answers the key opens a tunnel',
    'RFC 6455 4.2.2',
  ],
  [
    'WebSocket conversations: the same direct and through the router, by all ways',
    'src/l7/http2/conformance.test.ts',
    '${socketCases.length} conversations of WebSockets: direct, and through the router',
    'websockets',
  ],
  ['CONNECT over HTTP/2', sockets, 'CONNECT over HTTP/2 where a route names it', 'Node HTTP/2'],
  ['HTTP/2 to upstreams over TLS', secure, 'h2 by ALPN, verified; requests share a connection', 'Node HTTP/2'],
  [
    'HTTP/2 to upstreams over TLS: verified, h2 or nothing',
    secure,
    'who is not who it should be, or speaks no h2, gets no request: 503, upstream-tls',
    'RFC 9113 3.2',
  ],
  [
    'HTTP/2 to upstreams: both directions at once',
    up2,
    'bodies that go both ways at once stay as they are',
    'Node HTTP/2',
  ],
  [
    'HTTP/2 to upstreams: cancelled requests',
    up2,
    'a client that goes cancels its stream, and no other',
    'Node HTTP/2',
  ],
  [
    'HTTP/2: what crosses the last GOAWAY',
    crossing,
    'frames of streams beyond the last that is taken are let go, and those before it are answered',
    'RFC 9113 6.8',
  ],
  [
    'HTTP/2 to upstreams: an answer before the whole request',
    crossing,
    'a server that answers before it has the whole request: the rest of it is never taken for another',
    'RFC 9113 8.1',
  ],
  [
    'HTTP/2 to upstreams: no streams for now',
    crossing,
    'a server that takes no streams for now is not dialled again and again, and is asked when it takes them',
    'RFC 9113 6.5.2',
  ],
  [
    'HTTP/2 to upstreams: hostile servers',
    'src/l7/http2/hostile.test.ts',
    '${hostileCases.length} answers of servers that must not break the router, nor get through',
    'RFC 9113 8.1.1',
  ],
  [
    'HTTP/2 to upstreams: hostile servers before clients of HTTP/2',
    'src/l7/http2/hostile.test.ts',
    'the same answers, to clients of HTTP/2',
    'RFC 9113 8.1.1',
  ],
  [
    'gRPC: its own interoperability cases',
    'src/l7/http2/interop.test.ts',
    'gRPC interop: ${cases.length} cases',
    'gRPC interop',
  ],
  [
    'gRPC: reflection, errors with details, over h2c and TLS',
    'src/l7/http2/grpcurl.test.ts',
    'grpcurl through the router: reflection, unary, a stream, an error with details; h2c and TLS',
    'grpcurl, grpc-js',
  ],
  [
    'GRPCRoutes; gRPC-web by appProtocol',
    'test/lab/grpc.test.ts',
    'GRPCRoutes: method, header, expression; what none takes is UNIMPLEMENTED; gRPC-web by appProtocol',
    'gRPC interop',
  ],
  ['gRPC-web', web, 'gRPC-web over HTTP/${httpVersion}: unary, a stream of the server, errors', 'Connect'],
  [
    'gRPC-web in base64',
    web,
    'gRPC-web in base64: whole, in pieces with padding, large; the trailers behind',
    'grpc-js',
  ],
  ['gRPC unary', rpc, 'gRPC unary: message, metadata, trailers', 'grpc-js'],
  ['gRPC streaming', rpc, 'gRPC streams: of the server, of the client, of both', 'grpc-js'],
  ['gRPC status', rpc, 'gRPC status: of a method, of one that is not there, of a router without a server', 'grpc-js'],
  [
    'gRPC: grpc-timeout is a deadline of the request',
    rpc,
    'gRPC deadline: where the client does not keep it the router does, and says so',
    'grpc-js',
  ],
  [
    'gRPC: errors of the router in its form',
    rpc,
    'errors of the router: a call gets its code, and any other request its status',
    'grpc-js',
  ],
  ['gRPC deadlines', rpc, 'gRPC deadline: the call ends, and its server hears of it', 'grpc-js'],
  ['HTTP/2: floods', floods, '${floods.length} floods end their connection, calmly', 'RFC 9113 10.5'],
];

const tcp = 'src/l7/tcp/tcp.test.ts';
const sni = 'src/l7/tcp/sni.test.ts';
const connectionsAsTheyCome: readonly Short[] = [
  ['TCP: a server that speaks first', tcp, 'a server that speaks first is heard, and then the client', 'RFC 5321 3.1'],
  ['TCP: half-close', tcp, 'each side ends for itself', 'RFC 9293 3.6'],
  ['TCP: a reset', tcp, 'a reset of one side is a reset of the other', 'RFC 9293 3.5.2'],
  ['TCP: weights', tcp, 'weights share connections out; of a cluster that is gone the share is closed', 'RFC 9293 3.5'],
  [
    'TCP: one more try of an endpoint',
    tcp,
    'endpoints by turns; one that is down is tried once, then another; none is closed',
    'RFC 9293 3.5',
  ],
  [
    'TCP: silent connections end',
    tcp,
    'a silent connection ends, one that says something now and then does not',
    'RFC 9293 3.8.4',
  ],
  [
    'tunnels change their process',
    'src/daemon/takeover/tunnels.test.ts',
    'tunnels go on in another router: bytes that wait, counters, log',
    'RFC 9293 3.6',
  ],
  ['TCP: changes', tcp, 'a change cuts no connection, and the next one goes where it says', 'RFC 9293 3.6'],
  [
    'TCP, WebSocket: a tunnel that is too old',
    tcp,
    'a tunnel ends when it is as old as it may be, though bytes move; so does a WebSocket',
    'RFC 9293 3.6',
  ],
  [
    'protocols by the name of a port',
    'src/mesh/registry/protocol.test.ts',
    'names of ports: each row of the table of Istio, with a suffix, in any letter case; all else is found out',
    'RFC 6335 5.1',
  ],
  [
    'protocols by appProtocol',
    'src/mesh/registry/protocol.test.ts',
    'appProtocol: names of Kubernetes and of Istio; it goes before the name of the port',
    'RFC 6335 5.1',
  ],
  [
    'ports that declare no protocol: HTTP within 100 ms, else TCP',
    'src/l7/tcp/sniff.test.ts',
    'a head after 99 ms is HTTP; after 101 and 5,000 ms it is TCP, and refused where nothing lets TCP in',
    'RFC 9112 2.1',
  ],
  [
    'ports that declare no protocol: a server that speaks first',
    'src/l7/tcp/sniff.test.ts',
    'who says nothing is TCP soon: a server that speaks first is heard',
    'RFC 5321 3.1',
  ],
  [
    'PROXY protocol on listeners',
    proxy,
    'the router behind HAProxy: the client is who HAProxy says, in HTTP and in TCP',
    'HAProxy',
  ],
  [
    'PROXY protocol on listeners: trusted sources only',
    'src/l7/tcp/introduce.test.ts',
    'who is not trusted is closed, and who begins with no header; nothing goes on',
    'RFC 9110 17.1',
  ],
  ['PROXY protocol towards upstreams', proxy, 'HAProxy behind the router: it believes who the client is', 'HAProxy'],
  [
    'TLS passed through by SNI',
    sni,
    'the most specific name decides; without a name, or with one that nobody has, the default or the end',
    'Node',
  ],
  [
    'TLS passed through: a ClientHello in pieces',
    sni,
    'a ClientHello in any pieces, and what follows it, goes on as it came',
    'Node',
  ],
  [
    'TLS passed through: a ClientHello of 16 KB',
    sni,
    'a ClientHello of up to 16 KB passes, a larger one is closed',
    'Node',
  ],
  [
    'what is no TLS on a port of TLS',
    sni,
    'what is no TLS is closed at its first bytes, and who says nothing in time',
    'RFC 8446 5.1',
  ],
];

const bounded = 'a target, a head, a number of fields: each has its bound, its status, and a body that names the bound';
const bounds: readonly Short[] = [
  ['bound of a target: 414', 'src/l7/limits.test.ts', bounded, 'RFC 9110 15.5.15'],
  ['bounds of a head: 431', 'src/l7/limits.test.ts', bounded, 'RFC 6585 5'],
  [
    'requests on one connection',
    'src/l7/limits.test.ts',
    'after so many requests a connection ends: the last answer says so, and no further request is taken',
    'RFC 9112 9.6',
  ],
  [
    'connections of a listener and of a client',
    'src/l7/limits.test.ts',
    'a listener takes so many connections at once, of all and of one client; the next is reset, and nothing else',
    'RFC 9293 3.5.2',
  ],
  [
    'connections of a client behind the PROXY protocol',
    'src/l7/limits.test.ts',
    'behind a proxy the client that it names has the bound',
    'RFC 9293 3.5.2',
  ],
  [
    'connections of a listener, over all workers',
    'src/l7/router.test.ts',
    'bounds of a listener hold over all workers, and what a worker had is free when it is gone',
    'RFC 9293 3.5.2',
  ],
  [
    'bounds of heads and requests, by listener',
    'src/l7/limits.test.ts',
    'bounds of a listener go before those of all: fields, bytes of a head, of a target, requests',
    'RFC 6585 5',
  ],
  [
    'requests on one connection of HTTP/2',
    h2,
    'after so many requests a connection takes no more: GOAWAY says the last, what is under way is answered',
    'RFC 9113 6.8',
  ],
  [
    'idle time of a route',
    'src/l7/limits.test.ts',
    'a route says how long it may be without a byte: before the answer 504, within it the end, of a tunnel too',
    'RFC 9110 15.6.5',
  ],
  ['slow heads', exchange, 'deadlines: route 504, head 408, idle connections are closed silently', 'RFC 9110 15.5.9'],
  [
    'slow bodies',
    limits,
    'a body that comes too slowly is 408, though it never stops; one at its rate is not',
    'RFC 9110 15.5.9',
  ],
  [
    'deadlines of routes',
    exchange,
    'deadlines: route 504, head 408, idle connections are closed silently',
    'RFC 9110 15.6.5',
  ],
];

export const protocolRows: readonly ProtocolRow[] = [
  ...connections,
  ...bodies,
  ...messages,
  ...bounds,
  ...http2,
  ...beneath,
  ...tls,
  ...connectionsAsTheyCome,
].map(([feature, file, test, oracle]) => ({ feature, file, test, oracle }));
