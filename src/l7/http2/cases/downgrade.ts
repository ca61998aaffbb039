// What must not get through where a request of HTTP/2 becomes one of HTTP/1.1, each with a legal sibling. The outcome
// is a status, or how the stream or the connection ends.
type Fields = readonly (readonly [name: string, value: string])[];

export interface DowngradeCase {
  readonly name: string;
  readonly fields: Fields;
  /** Pieces of the body; the last ends the stream, unless trailers follow. None: HEADERS end it. */
  readonly body?: readonly string[];
  readonly trailers?: Fields;
  /** The same with this instead must be answered with 200. */
  readonly sibling: Partial<Pick<DowngradeCase, 'fields' | 'body' | 'trailers'>>;
  /** Default: "RST 1". */
  readonly outcome?: string;
}

const method = (name: string): Fields[number] => [':method', name];
const scheme: Fields[number] = [':scheme', 'http'];
const path: Fields[number] = [':path', '/'];
const authority: Fields[number] = [':authority', 'a'];
const get: Fields = [method('GET'), scheme, path, authority];
const post: Fields = [method('POST'), scheme, path, authority];
const plain = { fields: get };
const body = { fields: post, body: ['abc'] };

const one = (name: string, fields: Fields, sibling: DowngradeCase['sibling'] = plain): DowngradeCase => ({
  name,
  fields,
  sibling,
});
/** GET with one more field. */
const more = (name: string, field: Fields[number], good: Fields[number] = ['x-a', 'b']): DowngradeCase =>
  one(name, [...get, field], { fields: [...get, good] });
/** GET with one pseudo-header's value changed. */
const changed = (name: string, pseudo: string, value: string, good?: string): DowngradeCase =>
  one(
    name,
    get.map(([key, old]) => [key, key === pseudo ? value : old]),
    good === undefined ? plain : { fields: get.map(([key, old]) => [key, key === pseudo ? good : old]) },
  );

const length: readonly DowngradeCase[] = [
  ['more than is said', '2', ['abc']],
  ['less than is said', '4', ['abc']],
  ['a request behind the body', '0', ['GET /x HTTP/1.1\r\nHost: a\r\n\r\n']],
  ['less in two pieces', '10', ['abc', 'def']],
  ['more in two pieces', '5', ['abc', 'def']],
  ['two lengths in one', '3, 3', ['abc']],
  ['a sign', '+3', ['abc']],
  ['a minus', '-3', ['abc']],
  ['hex', '0x3', ['abc']],
  ['a fraction', '3.0', ['abc']],
  ['a blank within', '3 3', ['abc']],
  ['empty', '', ['abc']],
  ['beyond numbers', '9'.repeat(30), ['abc']],
  ['a letter', '3a', ['abc']],
].map(([name, value, pieces]) => ({
  name: `H2.CL: ${name as string}`,
  fields: [...post, ['content-length', value as string]],
  body: pieces as string[],
  sibling: { fields: [...post, ['content-length', '3']], body: ['abc'] },
}));

const lengths: readonly DowngradeCase[] = [
  {
    name: 'H2.CL: two fields that differ',
    fields: [...post, ['content-length', '3'], ['content-length', '4']],
    body: ['abc'],
    sibling: { fields: [...post, ['content-length', '3']] },
  },
  {
    name: 'H2.CL: two fields alike',
    fields: [...post, ['content-length', '3'], ['content-length', '3']],
    body: ['abc'],
    sibling: { fields: [...post, ['content-length', '3']] },
  },
  {
    name: 'H2.CL: a length and no body',
    fields: [...get, ['content-length', '3']],
    sibling: { fields: [...get, ['content-length', '0']] },
  },
  {
    name: 'H2.CL: a length that trailers cut short',
    fields: [...post, ['content-length', '9']],
    body: ['abc'],
    trailers: [['x-t', '1']],
    sibling: { fields: [...post, ['content-length', '3']] },
  },
];

const codings: readonly DowngradeCase[] = [
  'chunked',
  'identity',
  'gzip, chunked',
  'Chunked',
  'x',
  '',
  'chunked, identity',
].map((value) => ({
  name: `H2.TE: ${value}`,
  fields: [...post, ['transfer-encoding', value]],
  body: ['0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n'],
  sibling: { fields: post },
}));

const hop: readonly DowngradeCase[] = [
  more('connection: close', ['connection', 'close']),
  more('connection: keep-alive', ['connection', 'keep-alive']),
  more('connection: transfer-encoding', ['connection', 'transfer-encoding']),
  more('connection: empty', ['connection', '']),
  more('connection: content-length', ['connection', 'content-length']),
  more('keep-alive', ['keep-alive', 'timeout=5']),
  more('proxy-connection', ['proxy-connection', 'keep-alive']),
  more('upgrade: websocket', ['upgrade', 'websocket']),
  more('upgrade: h2c', ['upgrade', 'h2c']),
  more('te: gzip', ['te', 'gzip'], ['te', 'trailers']),
  more('te: trailers, gzip', ['te', 'trailers, gzip'], ['te', 'trailers']),
  more('te: chunked', ['te', 'chunked'], ['te', 'trailers']),
  more('te: empty', ['te', ''], ['te', 'trailers']),
];

const bytes: readonly (readonly [string, string])[] = [
  ['CR LF and a field', 'b\r\ntransfer-encoding: chunked'],
  ['CR LF and a request', 'b\r\n\r\nGET /x HTTP/1.1\r\nHost: a'],
  ['LF and a field', 'b\ntransfer-encoding: chunked'],
  ['CR alone', 'b\rc'],
  ['LF at the end', 'b\n'],
  ['CR at the end', 'b\r'],
  ['NUL', 'b\0c'],
  ['NUL at the end', 'b\0'],
  ['DEL', 'b\x7f'],
  ['a bell', 'b\x07'],
  ['a blank before', ' b'],
  ['a blank behind', 'b '],
  ['a tab before', '\tb'],
  ['a tab behind', 'b\t'],
];

const values: readonly DowngradeCase[] = bytes.flatMap(([name, value]) => [
  more(`value: ${name}`, ['x-a', value]),
  more(`cookie: ${name}`, ['cookie', value], ['cookie', 'b=c']),
]);

const fieldNames: readonly DowngradeCase[] = [
  ['upper case', 'X-a'],
  ['upper case within', 'x-A'],
  ['Transfer-Encoding', 'Transfer-Encoding'],
  ['empty', ''],
  ['a blank', 'x a'],
  ['a blank behind', 'x-a '],
  ['a blank before', ' x-a'],
  ['a colon', 'x:a'],
  ['a colon behind', 'x-a:'],
  ['CR LF', 'x-a\r\nhost'],
  ['a field in it', 'x: y\r\ntransfer-encoding'],
  ['LF', 'x\na'],
  ['NUL', 'x\0a'],
  ['a bracket', 'x(a'],
  ['a comma', 'x,a'],
  ['a slash', 'x/a'],
  ['a quote', 'x"a'],
  ['a byte of Latin-1', 'x\xe9'],
  ['a byte of 8 bits', 'x\x80'],
].map(([name, key]) => more(`name: ${name!}`, [key!, 'chunked'], ['x-a', 'chunked']));

const pseudo: readonly DowngradeCase[] = [
  one('no :method', get.slice(1)),
  one('no :scheme', [method('GET'), path, authority]),
  one('no :path', [method('GET'), scheme, authority]),
  one('nothing at all', []),
  one('a field alone', [['x-a', 'b']]),
  one(':method twice', [...get, method('GET')]),
  one(':path twice', [...get, [':path', '/x']]),
  one(':scheme twice', [...get, scheme]),
  one(':authority twice', [...get, [':authority', 'b']]),
  one('a pseudo-header behind a field', [...get.slice(0, 3), ['x-a', 'b'], authority]),
  one('a pseudo-header of answers', [...get, [':status', '200']]),
  one('an unknown pseudo-header', [...get, [':x', 'y']]),
  one('a pseudo-header without a name', [...get, [':', 'y']]),
  one('a pseudo-header in upper case', [[':METHOD', 'GET'], ...get.slice(1)]),
  one(':protocol without CONNECT', [...get, [':protocol', 'websocket']]),
  changed(':path empty', ':path', ''),
  changed(':path without a slash', ':path', 'x'),
  changed(':path absolute', ':path', 'http://b/x'),
  changed(':path with a blank', ':path', '/ HTTP/1.1', '/x'),
  changed(':path with a request in it', ':path', '/ HTTP/1.1\r\nHost: b\r\n\r\nGET /x', '/x'),
  changed(':path with CR LF', ':path', '/\r\nx: y'),
  changed(':path with NUL', ':path', '/\0'),
  changed(':path with a tab', ':path', '/\tx'),
  changed(':path with a fragment', ':path', '/x#y', '/x'),
  changed(':path of 8 bits', ':path', '/\xe9', '/%e9'),
  changed(':path a star and more', ':path', '*x'),
  changed(':method empty', ':method', ''),
  changed(':method with a blank', ':method', 'GET /x HTTP/1.1', 'PUT'),
  changed(':method with CR LF', ':method', 'GET / HTTP/1.1\r\nHost: b\r\n\r\nGET'),
  changed(':method with a colon', ':method', 'GET:'),
  changed(':method with NUL', ':method', 'GET\0'),
  changed(':scheme empty', ':scheme', ''),
  changed(':scheme of another kind', ':scheme', 'ftp', 'https'),
  changed(':scheme with CR LF', ':scheme', 'http\r\nx: y'),
  changed(':scheme with more', ':scheme', 'http://b/', 'https'),
  changed(':authority with CR LF', ':authority', 'a\r\nx: y', 'a:80'),
  changed(':authority with a blank', ':authority', 'a b', 'a:80'),
  changed(':authority with NUL', ':authority', 'a\0', 'a:80'),
  changed(':authority with a blank behind', ':authority', 'a ', 'a:80'),
];

const answered = (list: readonly DowngradeCase[], outcome: string): DowngradeCase[] =>
  list.map((c) => ({ ...c, outcome }));

const authorities: readonly DowngradeCase[] = [
  one('Host differs from :authority', [...get, ['host', 'b']], { fields: [...get, ['host', 'a']] }),
  one('Host has another port', [...get, ['host', 'a:81']], { fields: [...get, ['host', 'A']] }),
  one('Host is empty', [...get, ['host', '']]),
  one('Host twice', [...get, ['host', 'a'], ['host', 'a']], { fields: [...get.slice(0, 3), ['host', 'a']] }),
  one('Host twice without :authority', [...get.slice(0, 3), ['host', 'a'], ['host', 'b']]),
  ...answered(
    [
      one('no authority and no Host', get.slice(0, 3)),
      changed(':authority empty', ':authority', ''),
      changed(':authority with a user', ':authority', 'u@a'),
      changed(':authority with a path', ':authority', 'a/b'),
      changed(':authority with a bad port', ':authority', 'a:b'),
      changed(':authority with a question', ':authority', 'a?b'),
      changed('a star for another method', ':path', '*'),
    ],
    '400',
  ).map((c) => (c.name === ':authority empty' ? { ...c, outcome: 'RST 1' } : c)),
];

const connects: readonly DowngradeCase[] = [
  one('CONNECT with :path', [method('CONNECT'), path, authority]),
  one('CONNECT with :scheme', [method('CONNECT'), scheme, authority]),
  one('CONNECT with all', [method('CONNECT'), scheme, path, authority]),
  one('CONNECT without :authority', [method('CONNECT')]),
  ...answered([one('CONNECT', [method('CONNECT'), authority])], '501'),
];

const protocol: Fields[number] = [':protocol', 'websocket'];
const extended: Fields = [method('CONNECT'), protocol, scheme, path, authority];
const without = (name: string): Fields => extended.filter(([key]) => key !== name);
const instead = (name: string, value: string): Fields => extended.map(([k, old]) => [k, k === name ? value : old]);

/** Extended CONNECT (RFC 8441): the server behind switches no protocol, so whatever could is 502. */
const extendeds: readonly DowngradeCase[] = [
  one('extended CONNECT without :scheme', without(':scheme')),
  one('extended CONNECT without :path', without(':path')),
  one('extended CONNECT without :authority', without(':authority')),
  one('extended CONNECT with Host alone', [...without(':authority'), ['host', 'a']]),
  one('extended CONNECT with another Host', [...extended, ['host', 'b']]),
  one('extended CONNECT to a star', instead(':path', '*')),
  one('extended CONNECT without a slash', instead(':path', 'x')),
  one('extended CONNECT to nothing', instead(':path', '')),
  one('extended CONNECT with another scheme', instead(':scheme', 'ws')),
  one('extended CONNECT with CR LF in :path', instead(':path', '/ HTTP/1.1\r\n\r\nGET /x')),
  one('extended CONNECT with a blank in :path', instead(':path', '/ HTTP/1.1')),
  one('extended CONNECT with CR LF in :authority', instead(':authority', 'a\r\nx: y')),
  one(':protocol is empty', instead(':protocol', '')),
  one(':protocol with CR LF', instead(':protocol', 'websocket\r\nx: y')),
  one(':protocol with a list', instead(':protocol', 'websocket, h2c')),
  one(':protocol with a blank behind', instead(':protocol', 'websocket ')),
  one(':protocol twice', [...extended, protocol]),
  one(':protocol behind a field', [...without(':protocol'), ['x-a', 'b'], protocol]),
  one(':protocol with GET', [...get, protocol]),
  one(':protocol with POST', [...post, protocol]),
  one('extended CONNECT with content-length', [...extended, ['content-length', '5']]),
  one('extended CONNECT with a length of 0', [...extended, ['content-length', '0']]),
  one('extended CONNECT in chunks', [...extended, ['transfer-encoding', 'chunked']]),
  one('extended CONNECT with upgrade', [...extended, ['upgrade', 'h2c']]),
  one('extended CONNECT with connection', [...extended, ['connection', 'close']]),
  ...answered([one('extended CONNECT for what nobody knows', instead(':protocol', 'connect-udp'))], '501'),
  ...answered([one(':protocol h2c', instead(':protocol', 'h2c'))], '501'),
  ...answered([one('extended CONNECT with a user', instead(':authority', 'u@a'))], '400'),
  ...answered(
    [
      { ...one('extended CONNECT that is answered with 200', extended), body: ['GET /x HTTP/1.1\r\nHost: a\r\n\r\n'] },
      one('a WebSocket with a key of its own', [...extended, ['sec-websocket-key', 'x\ty']]),
    ].map((c) => ({ ...c, sibling: { fields: get, body: [] } })),
    '502',
  ),
];

const trailing: readonly DowngradeCase[] = [
  ['a pseudo-header', [':path', '/x']],
  ['a status', [':status', '200']],
  ['upper case', ['X-T', '1']],
  ['CR LF in a value', ['x-t', '1\r\n\r\nGET /x HTTP/1.1']],
  ['CR LF in a name', ['x-t\r\ny', '1']],
  ['NUL', ['x-t', '\0']],
  ['content-length', ['content-length', '3']],
  ['transfer-encoding', ['transfer-encoding', 'chunked']],
  ['host', ['host', 'b']],
  ['connection', ['connection', 'close']],
  ['an empty name', ['', 'x']],
].map(([name, field]) => ({
  name: `trailers: ${name as string}`,
  ...body,
  trailers: [field as unknown as Fields[number]],
  sibling: { trailers: [['x-t', '1']] },
}));

const hidden: readonly DowngradeCase[] = answered(
  [
    more('expect that is unknown', ['expect', 'x'], ['expect', '100-continue']),
    changed('a target that is too long', ':path', `/${'x'.repeat(9000)}`, `/${'x'.repeat(8000)}`),
  ],
  '',
).map((c, i) => ({ ...c, outcome: ['417', '414'][i]! }));

const sizes: readonly DowngradeCase[] = [
  {
    ...one('a list over its bound', [
      ...get,
      ...Array.from({ length: 4 }, (): Fields[number] => ['x-a', 'y'.repeat(9000)]),
    ]),
    outcome: 'GOAWAY 11',
  },
  {
    ...one('more fields than are taken', [
      ...get,
      ...Array.from({ length: 101 }, (_, i): Fields[number] => [`x-${i}`, '']),
    ]),
    outcome: '431',
  },
];

export const downgradeCases: readonly DowngradeCase[] = [
  ...length,
  ...lengths,
  ...codings,
  ...hop,
  ...values,
  ...fieldNames,
  ...pseudo,
  ...authorities,
  ...connects,
  ...extendeds,
  ...trailing,
  ...hidden,
  ...sizes,
];
