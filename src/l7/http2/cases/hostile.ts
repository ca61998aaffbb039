// What a server of HTTP/2 may do wrong, and what its client hears. `answer` writes what the server says to a request on
// stream 1; whatever it is, the router goes on.
type Fields = readonly (readonly [name: string, value: string])[];

/** Words for frames, as the tests' own writer has them. */
export interface Words {
  frame(type: string | number, flags: number, id: number, payload?: Uint8Array): Uint8Array;
  headers(id: number, fields: Fields, flags?: number): Uint8Array;
  u32(n: number): Uint8Array;
}

export interface HostileCase {
  readonly name: string;
  readonly answer: (w: Words) => readonly Uint8Array[];
  /** Status that the client sees; 'broken': 502, 503, or an answer that shows that it is not whole. */
  readonly outcome: number | 'broken';
  readonly method?: string;
}

const ok: Fields = [[':status', '200']];
const text = (s: string): Uint8Array => Buffer.from(s, 'latin1');
const END = 1;

const malformed = (name: string, fields: Fields): HostileCase => ({
  name,
  answer: (w) => [w.headers(1, fields)],
  outcome: 503,
});
const more = (name: string, ...field: readonly (readonly [string, string])[]): HostileCase =>
  malformed(name, [...ok, ...field]);

const heads: readonly HostileCase[] = [
  malformed('no status', [['x-a', 'b']]),
  malformed('no field at all', []),
  malformed('a status of two digits', [[':status', '20']]),
  malformed('a status of letters', [[':status', '2xx']]),
  malformed('a status below 100', [[':status', '099']]),
  malformed('a status above 599', [[':status', '600']]),
  malformed('101, which is not of HTTP/2', [[':status', '101']]),
  malformed('a status behind a field', [['x-a', 'b'], ...ok]),
  malformed('an interim head that ends the stream', [[':status', '103']]),
  more('two statuses', ...ok),
  more('a pseudo-header of requests', [':path', '/']),
  more('upper case in a name', ['X-A', 'b']),
  more('an empty name', ['', 'b']),
  more('CR LF in a name', ['x\r\ny', 'b']),
  more('CR LF in a value', ['x', 'b\r\nset-cookie: a=b']),
  more('a response in a value', ['x', 'b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n']),
  more('NUL in a value', ['x', 'b\0']),
  more('a blank before a value', ['x', ' b']),
  more('connection', ['connection', 'close']),
  more('keep-alive', ['keep-alive', 'timeout=1']),
  more('transfer-encoding', ['transfer-encoding', 'chunked']),
  more('upgrade', ['upgrade', 'h2c']),
  more('a length that is no number', ['content-length', 'x']),
  more('two lengths', ['content-length', '0'], ['content-length', '1']),
  more('a length and no body', ['content-length', '5']),
  more('a list over its bound', ...Array.from({ length: 3 }, () => ['x', 'y'.repeat(12_000)] as const)),
];

const bodies: readonly HostileCase[] = [
  { name: 'data before a head', answer: (w) => [w.frame('DATA', END, 1, text('x'))], outcome: 503 },
  {
    name: 'more than was said',
    answer: (w) => [w.headers(1, [...ok, ['content-length', '2']], 0), w.frame('DATA', END, 1, text('abc'))],
    outcome: 'broken',
  },
  {
    name: 'less than was said',
    answer: (w) => [w.headers(1, [...ok, ['content-length', '9']], 0), w.frame('DATA', END, 1, text('abc'))],
    outcome: 'broken',
  },
  {
    name: 'a reset in the body',
    answer: (w) => [w.headers(1, ok, 0), w.frame('DATA', 0, 1, text('abc')), w.frame('RST_STREAM', 0, 1, w.u32(2))],
    outcome: 'broken',
  },
  {
    name: 'trailers that do not end the stream',
    answer: (w) => [w.headers(1, ok, 0), w.frame('DATA', 0, 1, text('abc')), w.headers(1, [['x', 'y']], 0)],
    outcome: 'broken',
  },
  {
    name: 'a status in trailers',
    answer: (w) => [w.headers(1, ok, 0), w.frame('DATA', 0, 1, text('abc')), w.headers(1, ok)],
    outcome: 'broken',
  },
  {
    name: 'a length in trailers',
    answer: (w) => [w.headers(1, ok, 0), w.frame('DATA', 0, 1, text('abc')), w.headers(1, [['content-length', '3']])],
    outcome: 'broken',
  },
  {
    name: 'a coding in trailers',
    answer: (w) => [
      w.headers(1, ok, 0),
      w.frame('DATA', 0, 1, text('abc')),
      w.headers(1, [['transfer-encoding', 'chunked']]),
    ],
    outcome: 'broken',
  },
  {
    name: 'data to HEAD',
    answer: (w) => [w.headers(1, ok, 0), w.frame('DATA', END, 1, text('HTTP/1.1 200 OK\r\n\r\n'))],
    outcome: 503,
    method: 'HEAD',
  },
  {
    name: 'data behind 204',
    answer: (w) => [w.headers(1, [[':status', '204']], 0), w.frame('DATA', END, 1, text('HTTP/1.1 200 OK\r\n\r\n'))],
    outcome: 503,
  },
  {
    name: 'CR LF in trailers',
    answer: (w) => [w.headers(1, ok, 0), w.frame('DATA', 0, 1, text('abc')), w.headers(1, [['x', 'y\r\nz: 1']])],
    outcome: 'broken',
  },
  { name: 'a reset before the head', answer: (w) => [w.frame('RST_STREAM', 0, 1, w.u32(2))], outcome: 503 },
];

const connections: readonly HostileCase[] = [
  { name: 'an answer to nobody', answer: (w) => [w.headers(77, ok)], outcome: 503 },
  { name: 'an answer on an even stream', answer: (w) => [w.headers(2, ok)], outcome: 503 },
  { name: 'data for nobody', answer: (w) => [w.frame('DATA', END, 77, text('x'))], outcome: 503 },
  { name: 'a push', answer: (w) => [w.frame('PUSH_PROMISE', 4, 1, w.u32(2))], outcome: 503 },
  {
    name: 'an offer to push',
    answer: (w) => [w.frame('SETTINGS', 0, 0, Buffer.from([0, 2, 0, 0, 0, 1]))],
    outcome: 503,
  },
  {
    name: 'a block that is no HPACK',
    answer: (w) => [w.frame('HEADERS', 5, 1, Buffer.from([0xff, 0xff]))],
    outcome: 503,
  },
  { name: 'an index that is not there', answer: (w) => [w.frame('HEADERS', 5, 1, Buffer.from([0xbe]))], outcome: 503 },
  { name: 'a frame too large', answer: (w) => [w.frame('DATA', 0, 1, Buffer.alloc(16_385))], outcome: 503 },
  { name: 'a window of nothing', answer: (w) => [w.frame('WINDOW_UPDATE', 0, 0, w.u32(0))], outcome: 503 },
  {
    name: 'windows that overflow',
    answer: (w) => [
      w.frame('WINDOW_UPDATE', 0, 0, w.u32(0x7fffffff)),
      w.frame('WINDOW_UPDATE', 0, 0, w.u32(0x7fffffff)),
    ],
    outcome: 503,
  },
  { name: 'CONTINUATION of nothing', answer: (w) => [w.frame('CONTINUATION', 4, 1)], outcome: 503 },
  {
    name: 'another frame within a block',
    answer: (w) => [w.frame('HEADERS', 1, 1, Buffer.from([0x88])), w.frame('PING', 0, 0, Buffer.alloc(8))],
    outcome: 503,
  },
  {
    name: 'CONTINUATION without an end',
    answer: (w) => [
      w.frame('HEADERS', 1, 1, Buffer.from([0x88])),
      ...Array.from({ length: 5000 }, () => w.frame('CONTINUATION', 0, 1)),
    ],
    outcome: 503,
  },
  {
    name: 'pings without end',
    answer: (w) => Array.from({ length: 5000 }, () => w.frame('PING', 0, 0, Buffer.alloc(8))),
    outcome: 503,
  },
  {
    name: 'settings without end',
    answer: (w) => Array.from({ length: 5000 }, () => w.frame('SETTINGS', 0, 0)),
    outcome: 503,
  },
  {
    name: 'interim heads without end',
    answer: (w) => Array.from({ length: 5000 }, () => w.headers(1, [[':status', '103']], 0)),
    outcome: 'broken',
  },
  {
    name: 'empty data without end',
    answer: (w) => [w.headers(1, ok, 0), ...Array.from({ length: 5000 }, () => w.frame('DATA', 0, 1))],
    outcome: 'broken',
  },
  { name: 'GOAWAY that knows nothing of it', answer: (w) => [w.frame('GOAWAY', 0, 0, Buffer.alloc(8))], outcome: 503 },
  { name: 'a GOAWAY too short', answer: (w) => [w.frame('GOAWAY', 0, 0, Buffer.alloc(4))], outcome: 503 },
  {
    name: 'a setting of half a size',
    answer: (w) => [w.frame('SETTINGS', 0, 0, Buffer.from([0, 4, 0, 0, 0]))],
    outcome: 503,
  },
  {
    name: 'a first window beyond all',
    answer: (w) => [w.frame('SETTINGS', 0, 0, Buffer.from([0, 4, 0xff, 0xff, 0xff, 0xff]))],
    outcome: 503,
  },
  {
    name: 'frames smaller than may be',
    answer: (w) => [w.frame('SETTINGS', 0, 0, Buffer.from([0, 5, 0, 0, 0, 1]))],
    outcome: 503,
  },
  { name: 'settings of a stream', answer: (w) => [w.frame('SETTINGS', 0, 1)], outcome: 503 },
  { name: 'a ping of a stream', answer: (w) => [w.frame('PING', 0, 1, Buffer.alloc(8))], outcome: 503 },
  { name: 'a ping too short', answer: (w) => [w.frame('PING', 0, 0, Buffer.alloc(7))], outcome: 503 },
  { name: 'a reset of nothing', answer: (w) => [w.frame('RST_STREAM', 0, 0, w.u32(2))], outcome: 503 },
  { name: 'a reset of who never asked', answer: (w) => [w.frame('RST_STREAM', 0, 77, w.u32(2))], outcome: 503 },
  { name: 'a reset too short', answer: (w) => [w.frame('RST_STREAM', 0, 1, Buffer.alloc(3))], outcome: 503 },
  { name: 'a window too short', answer: (w) => [w.frame('WINDOW_UPDATE', 0, 1, Buffer.alloc(3))], outcome: 503 },
  { name: 'a window of who never asked', answer: (w) => [w.frame('WINDOW_UPDATE', 0, 77, w.u32(9))], outcome: 503 },
  {
    name: 'data of no stream',
    answer: (w) => [w.headers(1, ok, 0), w.frame('DATA', 0, 0, text('x'))],
    outcome: 'broken',
  },
  {
    name: 'a head that is padding beyond its end',
    answer: (w) => [w.frame('HEADERS', 13, 1, Buffer.from([9, 0x88]))],
    outcome: 503,
  },
  {
    name: 'data that is padding beyond its end',
    answer: (w) => [w.headers(1, ok, 0), w.frame('DATA', 9, 1, Buffer.from([9, 97]))],
    outcome: 'broken',
  },
  {
    name: 'a table larger than was offered',
    answer: (w) => [w.frame('HEADERS', 5, 1, Buffer.from([0x3f, 0xe1, 0xff, 0x03, 0x88]))],
    outcome: 503,
  },
  {
    name: 'a GOAWAY in the answer, and the end',
    answer: (w) => [w.headers(1, ok, 0), w.frame('GOAWAY', 0, 0, Buffer.alloc(8))],
    outcome: 'broken',
  },
  { name: 'HTTP/1.1', answer: () => [text('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')], outcome: 503 },
];

const legal: readonly HostileCase[] = [
  { name: 'legal: a head alone', answer: (w) => [w.headers(1, ok)], outcome: 200 },
  {
    name: 'legal: interim heads, body, padding, trailers, unknown frames',
    answer: (w) => [
      w.headers(1, [[':status', '103']], 0),
      w.headers(1, [...ok, ['x', 'y']], 0),
      w.frame(99, 0, 1, text('?')),
      w.frame('DATA', 8, 1, Buffer.from([2, 97, 98, 99, 0, 0])),
      w.headers(1, [['x-t', 'y']]),
    ],
    outcome: 200,
  },
  {
    name: 'legal: a length, met',
    answer: (w) => [w.headers(1, [...ok, ['content-length', '3']], 0), w.frame('DATA', END, 1, text('abc'))],
    outcome: 200,
  },
  {
    name: 'legal: a length to HEAD',
    answer: (w) => [w.headers(1, [...ok, ['content-length', '3']])],
    outcome: 200,
    method: 'HEAD',
  },
];

export const hostileCases: readonly HostileCase[] = [...heads, ...bodies, ...connections, ...legal];
