import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { F_ID, F_NAME, F_NAME_LEN, F_VALUE, F_VALUE_LEN, FIELD_WORDS, fields, head } from './head/fields.ts';
import { parseRequest, parseResponse } from './http1.ts';

const OFFSET = 7;

function bytes(text: string): Uint8Array {
  return Buffer.concat([Buffer.alloc(OFFSET, 65), Buffer.from(text, 'latin1')]);
}

function request(text: string): number {
  const a = bytes(text);
  return parseRequest(a, OFFSET, a.length);
}

function response(text: string): number {
  const a = bytes(text);
  return parseResponse(a, OFFSET, a.length);
}

/** A head with these lines behind Host. */
function withLines(...lines: string[]): string {
  return `POST /x HTTP/1.1\r\nHost: a\r\n${lines.map((l) => `${l}\r\n`).join('')}\r\n`;
}

const long = (n: number) => 'x'.repeat(n);

/** Name, the head that must be refused, the status, and a sibling that must pass. */
const bad: readonly (readonly [string, string, number, string])[] = [
  ['two spaces after the method', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['two spaces before the version', 'GET /  HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'GET /%20 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['tab in the request line', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'GETT / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['space before the method', ' GET / HTTP/1.1\r\nHost: a\r\n\r\n', 400, '\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['two empty lines before', '\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', 400, '\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['bare LF before', '\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', 400, '\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['no method', ' / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'M / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['separator in the method', 'GE(T / HTTP/1.1\r\nHost: a\r\n\r\n', 400, "GE'T / HTTP/1.1\r\nHost: a\r\n\r\n"],
  ['NUL in the method', 'G\0T / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'G0T / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['very long method', `${long(33)} / HTTP/1.1\r\nHost: a\r\n\r\n`, 501, `${long(32)} / HTTP/1.1\r\nHost: a\r\n\r\n`],
  [
    'CONNECT to another than Host',
    'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n',
    400,
    'CONNECT a:80 HTTP/1.1\r\nHost: A:80\r\n\r\n',
  ],
  [
    'CONNECT with a body',
    'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 1\r\n\r\n',
    400,
    'CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 0\r\n\r\n',
  ],
  ['CONNECT to a path', 'CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'CONNECTS / HTTP/1.1\r\nHost: a\r\n\r\n'],
  [
    'absolute target that ends in a query',
    'GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n',
    400,
    'GET http://a HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  ['no target', 'GET HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'GET /HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['HTTP/0.9', 'GET /\r\nHost: a\r\n\r\n', 400, 'GET / HTTP/1.0\r\nHost: a\r\n\r\n'],
  ['target without slash', 'GET x HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['asterisk with GET', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['fragment in the target', 'GET /#x HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'GET /%23x HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['NUL in the target', 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['byte over 127 in the target', 'GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'GET /%e4 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['DEL in the target', 'GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'GET /~ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['bare CR in the target', 'GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'GET /rx HTTP/1.1\r\nHost: a\r\n\r\n'],
  [
    'target too long',
    `GET /${long(8192)} HTTP/1.1\r\nHost: a\r\n\r\n`,
    414,
    `GET /${long(8191)} HTTP/1.1\r\nHost: a\r\n\r\n`,
  ],
  ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['HTTP/1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 505, 'GET / HTTP/1.0\r\nHost: a\r\n\r\n'],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505, 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['lower case version', 'GET / http/1.1\r\nHost: a\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['two digits in the version', 'GET / HTTP/1.10\r\nHost: a\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['version with a leading zero', 'GET / HTTP/01.1\r\nHost: a\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['space after the version', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: a \r\n\r\n'],
  ['bare LF after the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['bare LF after a field', 'GET / HTTP/1.1\r\nHost: a\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['bare LF as the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\n', 400, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['bare CR in a value', withLines('X: a\rb'), 400, withLines('X: a b')],
  ['bare CR as the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\rX', 400, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['CR CR LF', 'GET / HTTP/1.1\r\nHost: a\r\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['obsolete folding by space', withLines('X: a', ' b'), 400, withLines('X: a', 'b: b')],
  ['obsolete folding by tab', withLines('X: a', '\tb'), 400, withLines('X: a\tb')],
  ['space before the first field', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost:  a\r\n\r\n'],
  ['space before the colon', withLines('X : a'), 400, withLines('X: a')],
  ['tab before the colon', withLines('X\t: a'), 400, withLines('X:\ta')],
  ['no colon', withLines('X'), 400, withLines('X:')],
  ['empty name', withLines(': a'), 400, withLines('x: a')],
  ['separator in a name', withLines('X(: a'), 400, withLines("X': a")],
  ['NUL in a name', withLines('X\0: a'), 400, withLines('X0: a')],
  ['byte over 127 in a name', withLines('X\xff: a'), 400, withLines('X: \xff')],
  ['NUL in a value', withLines('X: a\0b'), 400, withLines('X: a0b')],
  ['control byte in a value', withLines('X: a\x01'), 400, withLines('X: a\t')],
  ['DEL in a value', withLines('X: \x7f'), 400, withLines('X: ~')],
  ['escape in a value', withLines('X: \x1b[0m'), 400, withLines('X: [0m')],
  [
    'too many fields',
    withLines(...Array.from({ length: 100 }, (_, i) => `x${i}: y`)),
    431,
    withLines(...Array.from({ length: 99 }, (_, i) => `x${i}: y`)),
  ],
  ['head too large', withLines(`x: ${long(33_000)}`), 431, withLines(`x: ${long(32_000)}`)],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['no Host in HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', 400, 'GET / HTTP/1.0\r\nHost: a\r\n\r\n'],
  ['two Hosts', withLines('Host: b'), 400, withLines('Hosts: b')],
  ['the same Host twice', withLines('host: a'), 400, withLines('x-host: a')],
  ['empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['Host with a user', 'GET / HTTP/1.1\r\nHost: u@a\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: a:80\r\n\r\n'],
  ['Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: a.b\r\n\r\n'],
  ['Host with a space', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: ab\r\n\r\n'],
  ['Host with a bad port', 'GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: a:8\r\n\r\n'],
  ['Host that is a port', 'GET / HTTP/1.1\r\nHost: :80\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n'],
  ['Host with an open bracket', 'GET / HTTP/1.1\r\nHost: [::1\r\n\r\n', 400, 'GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n'],
  [
    'absolute target of another host',
    'GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n',
    400,
    'GET http://A/ HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  [
    'absolute target with another port',
    'GET http://a:1/ HTTP/1.1\r\nHost: a\r\n\r\n',
    400,
    'GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  [
    'absolute target of ftp',
    'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n',
    400,
    'GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  ['two lengths', withLines('Content-Length: 1', 'Content-Length: 2'), 400, withLines('Content-Length: 1')],
  ['the same length twice', withLines('Content-Length: 1', 'Content-Length: 1'), 400, withLines('Content-Length: 1')],
  ['a list of lengths', withLines('Content-Length: 1, 1'), 400, withLines('Content-Length: 11')],
  ['length with a sign', withLines('Content-Length: +1'), 400, withLines('Content-Length: 01')],
  ['negative length', withLines('Content-Length: -1'), 400, withLines('Content-Length: 1')],
  ['hexadecimal length', withLines('Content-Length: 0x1'), 400, withLines('Content-Length: 0')],
  ['empty length', withLines('Content-Length:'), 400, withLines('Content-Length: 0')],
  [
    'length of 16 digits',
    withLines('Content-Length: 1000000000000000'),
    400,
    withLines('Content-Length: 100000000000000'),
  ],
  ['length with a space inside', withLines('Content-Length: 1 1'), 400, withLines('Content-Length:  1 ')],
  [
    'length with chunked',
    withLines('Content-Length: 1', 'Transfer-Encoding: chunked'),
    400,
    withLines('Transfer-Encoding: chunked'),
  ],
  [
    'chunked with length',
    withLines('transfer-encoding: chunked', 'content-length: 0'),
    400,
    withLines('content-length: 0'),
  ],
  ['chunked twice', withLines('Transfer-Encoding: chunked, chunked'), 501, withLines('Transfer-Encoding: Chunked')],
  [
    'chunked in two fields',
    withLines('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'),
    400,
    withLines('Transfer-Encoding: CHUNKED'),
  ],
  ['chunked not last', withLines('Transfer-Encoding: chunked, gzip'), 400, withLines('Transfer-Encoding: chunked')],
  ['gzip, chunked', withLines('Transfer-Encoding: gzip, chunked'), 501, withLines('Transfer-Encoding: chunked')],
  ['identity', withLines('Transfer-Encoding: identity'), 400, withLines('Transfer-Encoding:  chunked')],
  ['xchunked', withLines('Transfer-Encoding: xchunked'), 400, withLines('Transfer-Encoding: chunked ')],
  [
    'chunked with a vertical tab',
    withLines('Transfer-Encoding: \x0bchunked'),
    400,
    withLines('Transfer-Encoding: \tchunked'),
  ],
  ['chunked with a comma', withLines('Transfer-Encoding: ,chunked'), 400, withLines('Transfer-Encoding: chunked')],
  ['quoted chunked', withLines('Transfer-Encoding: "chunked"'), 400, withLines('Transfer-Encoding: chunked')],
  ['empty coding', withLines('Transfer-Encoding:'), 400, withLines('Transfer-Encodin:')],
  [
    'chunked in HTTP/1.0',
    'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
    400,
    'POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\n\r\n',
  ],
  [
    'coding with a space before its colon',
    withLines('Transfer-Encoding : chunked'),
    400,
    withLines('Transfer-Encoding: chunked'),
  ],
  [
    'coding in a folded field',
    withLines('X: y', ' Transfer-Encoding: chunked'),
    400,
    withLines('X: Transfer-Encoding: chunked'),
  ],
  ['unknown expectation', withLines('Expect: 200-ok'), 417, withLines('Expect: 100-Continue')],
  ['Connection that is no list', withLines('Connection: close;x'), 400, withLines('Connection: close, x')],
];

test('each bad request head is refused, its sibling is not', () => {
  assert.ok(bad.length >= 80);
  for (const [name, text, status, sibling] of bad) {
    assert.equal(request(text), -status, `${name}: ${head.why}`);
    assert.ok(request(sibling) > 0, `sibling of ${name}: ${head.why}`);
  }
});

test('a bad head is refused as soon as its bad byte is there', () => {
  for (const [name, text, status] of bad) {
    const first = bytes(text);
    if (first.length > 2000) continue;
    let got = 0;
    for (let end = OFFSET; end <= first.length && got === 0; end += 1) got = parseRequest(bytes(text), OFFSET, end);
    assert.equal(got, -status, name);
  }
});

test('a head that comes byte by byte is incomplete until its last', () => {
  for (const [name, , , sibling] of bad) {
    const whole = bytes(sibling);
    if (whole.length > 2000) continue;
    for (let end = OFFSET; end < whole.length; end += 1) {
      assert.equal(parseRequest(bytes(sibling), OFFSET, end), 0, `${name} at ${end}`);
    }
    assert.equal(parseRequest(whole, OFFSET, whole.length), sibling.length);
  }
});

test('what a request head says', () => {
  const text =
    'PUT http://Www.Example.com:8080/a/b?x=1&y HTTP/1.1\r\nHost: www.example.com:8080\r\nX-A:  v 1 \r\n\r\nrest';
  const a = bytes(text);
  assert.equal(parseRequest(a, OFFSET, a.length), text.length - 4);
  const piece = (off: number, len: number) => Buffer.from(a.subarray(off, off + len)).toString();
  assert.equal(piece(head.methodOff, head.methodLen), 'PUT');
  assert.equal(piece(head.targetOff, head.targetLen), '/a/b?x=1&y');
  assert.equal(piece(head.pathOff, head.pathLen), '/a/b');
  assert.equal(piece(head.queryOff, head.queryLen), 'x=1&y');
  assert.equal(piece(head.hostOff, head.hostLen), 'www.example.com');
  assert.equal(piece(head.authorityOff, head.authorityLen), 'www.example.com:8080');
  assert.equal(head.count, 2);
  assert.equal(piece(fields[FIELD_WORDS + F_NAME]!, fields[FIELD_WORDS + F_NAME_LEN]!), 'x-a');
  assert.equal(piece(fields[FIELD_WORDS + F_VALUE]!, fields[FIELD_WORDS + F_VALUE_LEN]!), 'v 1');
  assert.equal(fields[FIELD_WORDS + F_ID], 0);
  assert.equal(head.absolute, true);
});

const badResponses: readonly (readonly [string, string, string])[] = [
  [
    'two lengths',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n',
  ],
  [
    'length and chunked',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
  ],
  [
    'gzip coding',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n',
  ],
  ['chunked in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 'HTTP/1.0 200 OK\r\n\r\n'],
  ['two status digits', 'HTTP/1.1 20 OK\r\n\r\n', 'HTTP/1.1 200 \r\n\r\n'],
  ['four status digits', 'HTTP/1.1 2000 OK\r\n\r\n', 'HTTP/1.1 200\r\n\r\n'],
  ['status 600', 'HTTP/1.1 600 X\r\n\r\n', 'HTTP/1.1 599 X\r\n\r\n'],
  ['status 099', 'HTTP/1.1 099 X\r\n\r\n', 'HTTP/1.1 100 X\r\n\r\n'],
  ['HTTP/2', 'HTTP/2.0 200 OK\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n'],
  ['no version', '200 OK\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n'],
  ['bare LF', 'HTTP/1.1 200 OK\n\n', 'HTTP/1.1 200 O\tK\r\n\r\n'],
  ['NUL in the reason', 'HTTP/1.1 200 O\0K\r\n\r\n', 'HTTP/1.1 200 O\xffK\r\n\r\n'],
  ['folding', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n', 'HTTP/1.1 200 OK\r\nX: a b\r\n\r\n'],
  ['space before a colon', 'HTTP/1.1 200 OK\r\nX : a\r\n\r\n', 'HTTP/1.1 200 OK\r\nX:a\r\n\r\n'],
  ['empty line before', '\r\nHTTP/1.1 200 OK\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n'],
  ['head too large', `HTTP/1.1 200 OK\r\nX: ${long(33_000)}\r\n\r\n`, `HTTP/1.1 200 OK\r\nX: ${long(32_000)}\r\n\r\n`],
];

test('each bad response head is refused with 502, its sibling is not', () => {
  for (const [name, text, sibling] of badResponses) {
    assert.equal(response(text), -502, name);
    assert.equal(response(sibling), sibling.length, `sibling of ${name}: ${head.why}`);
    if (sibling.length > 2000) continue;
    for (let end = OFFSET; end < OFFSET + sibling.length; end += 1) {
      assert.equal(parseResponse(bytes(sibling), OFFSET, end), 0, `${name} at ${end}`);
    }
  }
});

test('arbitrary bytes never throw, and never pass with a control byte', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      'GET',
      ' ',
      '/',
      'HTTP/1.1',
      '\r\n',
      'Host',
      ':',
      'a',
      '\n',
      '\r',
      '\0',
      '\t',
      'chunked',
      '\r\n\r\n',
    ),
    fc.constantFrom('Content-Length: 1\r\n', 'Transfer-Encoding: chunked\r\n', 'Host: a\r\n', 'GET / HTTP/1.1\r\n'),
    fc.string({ maxLength: 4 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 16 }), (pieces) => {
      const text = pieces.join('');
      const length = request(text);
      response(text);
      if (length <= 0) return;
      const passed = Buffer.from(text, 'latin1').subarray(0, length).toString('latin1');
      assert.ok(passed.endsWith('\r\n\r\n'));
      for (const line of passed.slice(0, -2).split('\r\n')) {
        for (let i = 0; i < line.length; i += 1) {
          const c = line.charCodeAt(i);
          assert.ok((c >= 32 && c !== 127) || c === 9, JSON.stringify(line));
        }
      }
    }),
    { numRuns: 2000 },
  );
});
