// Where a body ends: two framings, one that only some see, one that only some understand.
import { type Case, bad, chunk, coded, get, head, hidden, last, length, odd } from './case.ts';
import { plainChunked, plainGet, plainPost, post, sized } from './case.ts';

/** Both framings; who goes by the length alone finds nothing hidden. */
const lengthAndCoding = (coding: string): Case =>
  bad(
    `Content-Length with ${JSON.stringify(coding)}`,
    post(`Content-Length: ${last.length + length}`, coding) + last + hidden,
    coded(last),
  );

const both: readonly Case[] = [
  lengthAndCoding('Transfer-Encoding: chunked'),
  lengthAndCoding('transfer-encoding: CHUNKED'),
  lengthAndCoding('Transfer-Encoding: identity'),
  bad('a length of 0 with chunked', post('Content-Length: 0', 'Transfer-Encoding: chunked') + last, coded(last)),
  bad(
    'a bad length with chunked',
    post('Content-Length: x', 'Transfer-Encoding: chunked') + chunk(hidden) + last,
    plainChunked,
  ),
];

const codingFirst: readonly Case[] = [
  bad(
    'Transfer-Encoding before Content-Length',
    post('Transfer-Encoding: chunked', 'Content-Length: 4') + chunk(hidden) + last,
    plainChunked,
  ),
  bad(
    'Transfer-Encoding first, fields between',
    post('Transfer-Encoding: chunked', 'X: y', 'Z: w', 'Content-Length: 4') + chunk(hidden) + last,
    plainChunked,
  ),
  bad(
    'a coding between two lengths',
    post('Content-Length: 4', 'Transfer-Encoding: chunked', 'Content-Length: 4') + chunk(hidden) + last,
    plainChunked,
  ),
];

const disguised: readonly Case[] = [
  'Transfer-Encoding : chunked',
  'Transfer-Encoding\t: chunked',
  'Transfer-Encoding:\x0bchunked',
  'Transfer-Encoding: chunked\0',
  'Transfer-Encoding: chunked\x7f',
  'Transfer-Encoding: "chunked"',
  "Transfer-Encoding: 'chunked'",
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: chunkedx',
  'Transfer-Encoding: chunked;x=y',
  'Transfer-Encoding: \xa0chunked',
  'Transfer-Encoding: \x85chunked',
  'Transfer-Encoding: chun\xffked',
  '\0Transfer-Encoding: chunked',
  'Transfer-Encoding\x80: chunked',
  'Transfer\x0bEncoding: chunked',
].map(lengthAndCoding);

const buried: readonly Case[] = [
  'X: y\nTransfer-Encoding: chunked',
  'X: y\rTransfer-Encoding: chunked',
  'X: y\r\n Transfer-Encoding: chunked',
  'X: y\r\r\nTransfer-Encoding: chunked',
  'X: y\0\r\nTransfer-Encoding: chunked',
  ' Transfer-Encoding: chunked',
].map(lengthAndCoding);

const otherNames: readonly Case[] = [
  odd(
    'an underscore in the name of Transfer-Encoding',
    post('Transfer_Encoding: chunked', `Content-Length: ${length}`) + hidden,
    plainPost,
    'it is another field, and the length is the only framing',
  ),
  odd(
    'an underscore in the name of Content-Length',
    post('Content_Length: 4', 'Transfer-Encoding: chunked') + chunk(hidden) + last,
    plainChunked,
    'it is another field, and the coding is the only framing',
  ),
  odd(
    'Content-Encoding says chunked',
    post('Content-Encoding: chunked', `Content-Length: ${length}`) + hidden,
    plainPost,
    'what a body is coded in does not frame it',
  ),
  odd(
    'X-Content-Length',
    post('X-Content-Length: 0', `Content-Length: ${length}`) + hidden,
    plainPost,
    'it is another field, and the length is the only framing',
  ),
];

const codings: readonly Case[] = [
  bad('chunked, then identity', post('Transfer-Encoding: chunked, identity') + chunk(hidden) + last, plainChunked),
  bad('identity, then chunked', post('Transfer-Encoding: identity, chunked') + chunk(hidden) + last, plainChunked),
  bad('gzip, chunked', post('Transfer-Encoding: gzip, chunked') + chunk(hidden) + last, plainChunked),
  bad('a comma before chunked', post('Transfer-Encoding: ,chunked') + chunk(hidden) + last, plainChunked),
  bad('a comma behind chunked', post('Transfer-Encoding: chunked,') + chunk(hidden) + last, plainChunked),
  bad('identity alone', post('Transfer-Encoding: identity') + chunk(hidden) + last, plainChunked),
  bad('an empty Transfer-Encoding', post('Transfer-Encoding:', `Content-Length: ${length}`) + hidden, plainPost),
];

const repeated: readonly Case[] = [
  bad('chunked twice in a list', post('Transfer-Encoding: chunked, chunked') + chunk(hidden) + last, plainChunked),
  bad(
    'chunked in two fields',
    post('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked') + last + hidden,
    coded(last),
  ),
  bad(
    'chunked and another coding in two fields',
    post('Transfer-Encoding: chunked', 'Transfer-Encoding: x') + last + hidden,
    coded(last),
  ),
  bad(
    'another coding and chunked in two fields',
    post('Transfer-Encoding: x', 'Transfer-Encoding: chunked') + last + hidden,
    coded(last),
  ),
  bad(
    'an empty coding and chunked in two fields',
    post('Transfer-Encoding:', 'Transfer-Encoding: chunked') + last + hidden,
    coded(last),
  ),
];

const old = (...lines: readonly string[]): string =>
  head('POST /x HTTP/1.0', 'Host: a', 'Connection: keep-alive', ...lines);
const inOld: readonly Case[] = [
  bad(
    'chunked in HTTP/1.0',
    old('Transfer-Encoding: chunked') + last + hidden,
    old(`Content-Length: ${length}`) + hidden,
  ),
  bad(
    'chunked with a length in HTTP/1.0',
    old('Transfer-Encoding: chunked', `Content-Length: ${last.length + length}`) + last + hidden,
    old(`Content-Length: ${length}`) + hidden,
  ),
  bad(
    'two lengths in HTTP/1.0',
    old('Content-Length: 0', `Content-Length: ${length}`) + hidden,
    old(`Content-Length: ${length}`) + hidden,
  ),
];

const hops: readonly Case[] = [
  odd(
    'Connection names Content-Length',
    post('Connection: content-length', `Content-Length: ${length}`) + hidden,
    plainPost,
    'framing is never a hop-by-hop option: the length goes on',
  ),
  odd(
    'Connection names Transfer-Encoding',
    post('Connection: transfer-encoding', 'Transfer-Encoding: chunked') + chunk(hidden) + last,
    plainChunked,
    'the router frames anew, whatever Connection names',
  ),
  odd('Connection names Host', get('Connection: host'), plainGet, 'Host always goes on'),
  odd(
    'Connection names X-Forwarded-For',
    get('Connection: x-forwarded-for', 'X-Forwarded-For: 10.0.0.1'),
    get('X-Forwarded-For: 10.0.0.1'),
    'what the router itself adds is no option of the client',
  ),
  bad('a Connection that is no list', get('Connection: keep-alive; x'), get('Connection: keep-alive, x')),
];

const upgrades: readonly Case[] = [
  odd(
    'an upgrade to h2c with a body',
    post('Connection: upgrade, http2-settings', 'Upgrade: h2c', 'HTTP2-Settings: AA', `Content-Length: ${length}`) +
      hidden,
    plainPost,
    'the upgrade is dropped, the length goes on',
  ),
  odd(
    'an upgrade to h2c with a request behind it',
    get('Connection: upgrade, http2-settings', 'Upgrade: h2c', 'HTTP2-Settings: AA') + hidden,
    get() + hidden,
    'the upgrade is dropped, and two requests are two',
  ),
  odd(
    'an upgrade to TLS with a request behind it',
    head('OPTIONS /x HTTP/1.1', 'Host: a', 'Connection: upgrade', 'Upgrade: TLS/1.0') + hidden,
    get() + hidden,
    'the upgrade is dropped, and two requests are two',
  ),
  odd(
    'an upgrade to WebSocket that is not granted',
    get('Connection: upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13') + hidden,
    get() + hidden,
    'the answer is no 101, so what follows is a request',
  ),
  odd(
    'an upgrade to WebSocket with a body',
    post('Connection: upgrade', 'Upgrade: websocket', `Content-Length: ${length}`) + hidden,
    plainPost,
    'the answer is no 101, and the length goes on',
  ),
];

const expectations: readonly Case[] = [
  bad('an expectation that nobody knows', get('Expect: 200-ok'), plainGet),
  bad('two expectations', post('Expect: 100-continue, x', `Content-Length: ${length}`) + hidden, plainPost),
  bad('text before an expectation', post('Expect: y 100-continue', `Content-Length: ${length}`) + hidden, plainPost),
  bad('an empty expectation', post('Expect:', `Content-Length: ${length}`) + hidden, plainPost),
  bad('a quoted expectation', post('Expect: "100-continue"', `Content-Length: ${length}`) + hidden, plainPost),
  odd(
    'an expectation without a body',
    get('Expect: 100-continue') + hidden,
    get() + hidden,
    'it goes on as it is, and no body is framed',
  ),
];

const method = (name: string, ...lines: readonly string[]): string => head(`${name} /x HTTP/1.1`, 'Host: a', ...lines);
const why = 'framing goes by the fields, whatever the method';
const bodies: readonly Case[] = [
  ...['GET', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'].map((name) =>
    odd(`${name} with a length`, method(name, `Content-Length: ${length}`) + hidden, plainPost, why),
  ),
  ...['GET', 'DELETE'].map((name) =>
    odd(`${name} with chunks`, method(name, 'Transfer-Encoding: chunked') + chunk(hidden) + last, plainChunked, why),
  ),
  bad(
    'GET with both framings',
    get('Transfer-Encoding: chunked', `Content-Length: ${length}`) + last + hidden,
    get() + hidden,
  ),
  bad('GET with two lengths', get('Content-Length: 0', `Content-Length: ${length}`) + hidden, get() + hidden),
];

const duplicates: readonly Case[] = [
  bad('two lengths that differ', post('Content-Length: 0', `Content-Length: ${length}`) + hidden, plainPost),
  bad('two lengths, the other order', post(`Content-Length: ${length}`, 'Content-Length: 0') + hidden, plainPost),
  bad('the same length twice', post(`Content-Length: ${length}`, `Content-Length: ${length}`) + hidden, plainPost),
  bad('a length in two cases', post('content-length: 0', `CONTENT-LENGTH: ${length}`) + hidden, plainPost),
  bad('a list of lengths', sized(`0, ${length}`), plainPost),
  bad('a list of equal lengths', sized(`${length}, ${length}`), plainPost),
];

const lengths: readonly Case[] = [
  ['a length with a plus', `+${length}`],
  ['a negative length', `-${length}`],
  ['a length in hex', `0x${length.toString(16)}`],
  ['a length with a fraction', `${length}.0`],
  ['a length with an exponent', `${length}e0`],
  ['a length of two words', `0 ${length}`],
  ['an empty length', ''],
  ['a quoted length', `"${length}"`],
  ['a length with a comma behind it', `${length},`],
  ['a length with a parameter', `${length};x`],
  ['a length in other digits', '\xb2\xb3'],
  ['a length with a no-break space', `\xa0${length}`],
  ['a length with an underscore', `${String(length)[0]}_${String(length).slice(1)}`],
  ['NUL behind a length', `${length}\0`],
  ['a vertical tab before a length', `\v${length}`],
  ['a folded length', `\r\n ${length}`],
].map(([name = '', text = '']) => bad(name, sized(text), plainPost));
const lengthNames: readonly Case[] = [
  bad('a space before the colon of a length', post(`Content-Length : ${length}`) + hidden, plainPost),
  bad('a tab before the colon of a length', post(`Content-Length\t: ${length}`) + hidden, plainPost),
  odd('leading zeros', sized(`000${length}`), plainPost, 'the grammar has any number of digits, and no octal'),
];

const huge: readonly Case[] = [
  ['a length beyond 64 bits', 18446744073709551616n],
  ['a length beyond 63 bits', 9223372036854775808n],
  ['a length beyond what a double counts', 9007199254740992n * 16n],
].map(([name, base]) => bad(String(name), sized(String(BigInt(base!) + BigInt(length))), plainPost));

export const framing: Readonly<Record<string, readonly Case[]>> = {
  'CL.TE: length and coding': both,
  'TE.CL: coding and length': codingFirst,
  'TE.TE: a coding in disguise': disguised,
  'a coding in another field': buried,
  'names that are nearly framing': otherNames,
  'lists of codings': codings,
  'repeated codings': repeated,
  'framing in HTTP/1.0': inOld,
  'options of the connection': hops,
  upgrades,
  expectations,
  'CL.0: bodies where servers expect none': bodies,
  'CL.CL: several lengths': duplicates,
  'lengths that are no numbers': [...lengths, ...lengthNames],
  'lengths that overflow': huge,
};
