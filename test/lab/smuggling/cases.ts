// Bytes that two servers could take for different requests, each with a legal sibling that differs in nothing else. The
// router refuses them, but where a case says why it does not.
const head = (...lines: readonly string[]): string => `${lines.join('\r\n')}\r\n\r\n`;
/** What an attacker hides: a server that counts wrongly answers it. */
const hidden = head('GET /hidden HTTP/1.1', 'Host: a');
const get = (...lines: readonly string[]): string => head('GET /x HTTP/1.1', 'Host: a', ...lines);
const post = (...lines: readonly string[]): string => head('POST /x HTTP/1.1', 'Host: a', ...lines);
const chunk = (data: string): string => `${data.length.toString(16)}\r\n${data}\r\n`;
const last = '0\r\n\r\n';
const coded = (body: string): string => post('Transfer-Encoding: chunked') + body;
const sized = (length: string, body = hidden): string => post(`Content-Length: ${length}`) + body;

const plainGet = get('X: y');
const plainPost = sized(String(hidden.length));
const plainChunked = coded(chunk(hidden) + last);

export interface Case {
  readonly name: string;
  readonly bytes: string;
  readonly sibling: string;
  /** The router passes it on, and why that is right. */
  readonly forwards?: string;
}

const bad = (name: string, bytes: string, sibling: string): Case => ({ name, bytes, sibling });
const odd = (name: string, bytes: string, sibling: string, forwards: string): Case => ({
  name,
  bytes,
  sibling,
  forwards,
});

const length = hidden.length;
const lengthAndCoding = (coding: string): Case =>
  bad(
    `Content-Length with ${JSON.stringify(coding)}`,
    post(`Content-Length: ${last.length + length}`, coding) + last + hidden,
    coded(last),
  );

const framing: readonly Case[] = [
  lengthAndCoding('Transfer-Encoding: chunked'),
  bad(
    'Transfer-Encoding before Content-Length',
    post('Transfer-Encoding: chunked', 'Content-Length: 4') + chunk(hidden) + last,
    plainChunked,
  ),
  lengthAndCoding('Transfer-Encoding: identity'),
  lengthAndCoding('Transfer-Encoding: xchunked'),
  lengthAndCoding('Transfer-Encoding : chunked'),
  lengthAndCoding('Transfer-Encoding:\x0bchunked'),
  lengthAndCoding('Transfer-Encoding: chunked\0'),
  lengthAndCoding('Transfer-Encoding: "chunked"'),
  lengthAndCoding('X: y\nTransfer-Encoding: chunked'),
  lengthAndCoding('X: y\rTransfer-Encoding: chunked'),
  lengthAndCoding('X: y\r\n Transfer-Encoding: chunked'),
  lengthAndCoding('\0Transfer-Encoding: chunked'),
  lengthAndCoding('Transfer-Encoding\x80: chunked'),
  odd(
    'an underscore in the name of Transfer-Encoding',
    post('Transfer_Encoding: chunked', `Content-Length: ${length}`) + hidden,
    plainPost,
    'it is another field, and the length is the only framing',
  ),
  bad('chunked, then identity', post('Transfer-Encoding: chunked, identity') + chunk(hidden) + last, plainChunked),
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
  bad('gzip, chunked', post('Transfer-Encoding: gzip, chunked') + chunk(hidden) + last, plainChunked),
  bad('an empty Transfer-Encoding', post('Transfer-Encoding:', `Content-Length: ${length}`) + hidden, plainPost),
  bad(
    'chunked in HTTP/1.0',
    head('POST /x HTTP/1.0', 'Host: a', 'Connection: keep-alive', 'Transfer-Encoding: chunked') + last + hidden,
    head('POST /x HTTP/1.0', 'Host: a', 'Connection: keep-alive', `Content-Length: ${length}`) + hidden,
  ),
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
    'an upgrade to h2c with a body',
    post('Connection: upgrade, http2-settings', 'Upgrade: h2c', 'HTTP2-Settings: AA', `Content-Length: ${length}`) +
      hidden,
    plainPost,
    'the upgrade is dropped, the length goes on',
  ),
];

const lengths: readonly Case[] = [
  bad('two lengths that differ', post('Content-Length: 0', `Content-Length: ${length}`) + hidden, plainPost),
  bad('two lengths, the other order', post(`Content-Length: ${length}`, 'Content-Length: 0') + hidden, plainPost),
  bad('the same length twice', post(`Content-Length: ${length}`, `Content-Length: ${length}`) + hidden, plainPost),
  bad('a list of lengths', sized(`0, ${length}`), plainPost),
  bad('a list of equal lengths', sized(`${length}, ${length}`), plainPost),
  bad('a length with a plus', sized(`+${length}`), plainPost),
  bad('a negative length', sized(`-${length}`), plainPost),
  bad('a length in hex', sized(`0x${length.toString(16)}`), plainPost),
  bad('a length with a fraction', sized(`${length}.0`), plainPost),
  bad('a length of two words', sized(`0 ${length}`), plainPost),
  bad('an empty length', sized(''), plainPost),
  bad('a length beyond 64 bits', sized(String(18446744073709551616n + BigInt(length))), plainPost),
  bad('a length in other digits', sized('\xb2\xb3'), plainPost),
  bad('a folded length', sized(`\r\n ${length}`), plainPost),
  bad('a space before the colon of a length', post(`Content-Length : ${length}`) + hidden, plainPost),
  bad('a tab before the colon of a length', post(`Content-Length\t: ${length}`) + hidden, plainPost),
  odd('leading zeros', sized(`000${length}`), plainPost, 'the grammar has any number of digits, and no octal'),
];

const lineEnds: readonly Case[] = [
  bad('LF ends the request line', 'GET /x HTTP/1.1\nHost: a\r\n\r\n', get()),
  bad('LF ends a field', 'GET /x HTTP/1.1\r\nHost: a\nX: y\r\n\r\n', plainGet),
  bad('LF ends the head', `GET /x HTTP/1.1\r\nHost: a\r\nX: y\r\n\n${hidden}`, plainGet + hidden),
  bad('two LF end the head', `GET /x HTTP/1.1\r\nHost: a\r\nX: y\n\n${hidden}`, plainGet + hidden),
  bad('LF alone everywhere', 'GET /x HTTP/1.1\nHost: a\n\n', get()),
  bad('LF before the request', `\n${plainGet}`, `\r\n${plainGet}`),
  bad('CR in a value', get('X: y\rZ: w'), get('X: y Z: w')),
  bad('CR ends a field', 'GET /x HTTP/1.1\r\nHost: a\rX: y\r\n\r\n', plainGet),
  bad('CR CR LF', 'GET /x HTTP/1.1\r\nHost: a\r\r\n\r\n', get()),
  bad('CR in the request line', 'GET /x\r HTTP/1.1\r\nHost: a\r\n\r\n', get()),
];

const folds: readonly Case[] = [
  bad('a folded value', get('X: y\r\n z'), get('X: y z')),
  bad('a value folded with a tab', get('X: y\r\n\tz'), get('X: y\tz')),
  bad('a folded Host', 'GET /x HTTP/1.1\r\nHost:\r\n a\r\n\r\n', get()),
  bad('a folded Transfer-Encoding', post('Transfer-Encoding:\r\n chunked') + chunk(hidden) + last, plainChunked),
  bad('a fold behind the request line', 'GET /x HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n', plainGet),
  bad('a fold of blanks only', get('X: y\r\n '), plainGet),
];

const bytes: readonly Case[] = [
  ['NUL', '\0'],
  ['SOH', '\x01'],
  ['BS', '\b'],
  ['VT', '\v'],
  ['ESC', '\x1b'],
  ['DEL', '\x7f'],
].map(([name = '', byte = '']) => bad(`${name} in a value`, get(`X: y${byte}z`), get('X: y\xe4z')));
const places: readonly Case[] = [
  bad('NUL in a name', get('X\0Y: z'), get('X-Y: z')),
  bad('a byte above 127 in a name', get('X\xe4: z'), get('Xa: z')),
  bad('NUL in the target', head('GET /x\0y HTTP/1.1', 'Host: a'), head('GET /x%01y HTTP/1.1', 'Host: a')),
  bad('a byte above 127 in the target', head('GET /\xe4 HTTP/1.1', 'Host: a'), head('GET /%E4 HTTP/1.1', 'Host: a')),
  bad('a tab in the target', head('GET /x\ty HTTP/1.1', 'Host: a'), head('GET /x%09y HTTP/1.1', 'Host: a')),
  bad('NUL in the method', head('GE\0T /x HTTP/1.1', 'Host: a'), get()),
  bad('NUL in Host', head('GET /x HTTP/1.1', 'Host: a\0b'), head('GET /x HTTP/1.1', 'Host: ab')),
  bad('NUL before the request', `\0${plainGet}`, plainGet),
];

const spaces: readonly Case[] = [
  bad('a space before a colon', get('X : y'), plainGet),
  bad('a tab before a colon', get('X\t: y'), plainGet),
  bad('a space before the colon of Host', head('GET /x HTTP/1.1', 'Host : a'), get()),
  bad('a space in a name', get('X Y: z'), get('X-Y: z')),
  bad('a line without a colon', get('X'), plainGet),
  bad('a field without a name', get(': y'), plainGet),
  bad('a space before the method', ` ${plainGet}`, plainGet),
  bad('two spaces before the target', head('GET  /x HTTP/1.1', 'Host: a'), get()),
  bad('two spaces before the version', head('GET /x  HTTP/1.1', 'Host: a'), get()),
  bad('tabs in the request line', head('GET\t/x\tHTTP/1.1', 'Host: a'), get()),
  bad('a space behind the version', head('GET /x HTTP/1.1 ', 'Host: a'), get()),
  bad('a space in the target', head('GET /x y HTTP/1.1', 'Host: a'), head('GET /x%20y HTTP/1.1', 'Host: a')),
  bad('a method with a colon', head('GET: /x HTTP/1.1', 'Host: a'), get()),
];

const hex = hidden.length.toString(16);
const size = (text: string): string => coded(`${text}\r\n${hidden}\r\n${last}`);
const chunks: readonly Case[] = [
  ['0x before a size', `0x${hex}`],
  ['a plus before a size', `+${hex}`],
  ['a minus before a size', `-${hex}`],
  ['a space before a size', ` ${hex}`],
  ['a space behind a size', `${hex} `],
  ['a tab behind a size', `${hex}\t`],
  ['a space before an extension', `${hex} ;x`],
  ['an underscore in a size', `${hex[0]}_${hex.slice(1)}`],
  ['NUL behind a size', `${hex}\0`],
  ['a quote before a size', `"${hex}"`],
  ['no size', ''],
  ['an extension without size', ';x'],
  ['a size beyond 64 bits', `1${hex.padStart(16, '0')}`],
  ['a size beyond 32 bits', `1${hex.padStart(12, '0')}`],
  ['NUL in an extension', `${hex};x=\0`],
  ['a bare CR in an extension', `${hex};x\ry`],
  ['an extension that is too long', `${hex};${'x'.repeat(20_000)}`],
].map(([name = '', text = '']) => bad(name, size(text), size(`${hex};x=y`)));
const chunkEnds: readonly Case[] = [
  bad('LF behind a size', coded(`${hex}\n${hidden}\r\n${last}`), plainChunked),
  bad('LF in an extension', coded(`2;\nxx\r\n${hex}\r\n0\r\n\r\n${hidden}\r\n${last}`), plainChunked),
  bad('CR behind a size', coded(`${hex}\r${hidden}\r\n${last}`), plainChunked),
  bad('LF behind the data', coded(`${hex}\r\n${hidden}\n${last}`), plainChunked),
  bad('nothing behind the data', coded(`${hex}\r\n${hidden}${last}`), plainChunked),
  bad('two bytes for CR LF behind the data', coded(`1\r\nxXX${last}${hidden}`), coded(`1\r\nx\r\n${last}`)),
  bad('more data than the size', coded(`1\r\nxy\r\n${last}`), coded(`2\r\nxy\r\n${last}`)),
  bad('LF behind the last chunk', coded(`0\n\n${hidden}`), coded(last) + hidden),
  bad('CR LF LF behind the last chunk', coded(`0\r\n\n${hidden}`), coded(last) + hidden),
  bad('a request for a trailer', coded(`0\r\n${hidden}`), coded(last) + hidden),
  bad('a folded trailer', coded('0\r\nX: y\r\n z\r\n\r\n'), coded('0\r\nX: y\r\n\r\n')),
  bad('a space before the colon of a trailer', coded('0\r\nX : y\r\n\r\n'), coded('0\r\nX: y\r\n\r\n')),
  bad('LF in a trailer', coded('0\r\nX: y\nZ: w\r\n\r\n'), coded('0\r\nX: y\r\nZ: w\r\n\r\n')),
  bad('NUL in a trailer', coded('0\r\nX: \0\r\n\r\n'), coded('0\r\nX: y\r\n\r\n')),
  bad('trailers that are too long', coded(`0\r\n${'X: y\r\n'.repeat(6000)}\r\n`), coded('0\r\nX: y\r\n\r\n')),
  bad('zeros before a size without end', coded(`${'0'.repeat(10_000)}1\r\nx\r\n${last}`), coded(`01\r\nx\r\n${last}`)),
  ...['Content-Length: 5', 'Transfer-Encoding: chunked', 'Host: b'].map((field) =>
    odd(`${field} for a trailer`, coded(`0\r\n${field}\r\n\r\n`), coded('0\r\nX: y\r\n\r\n'), 'trailers are dropped'),
  ),
];

const sizes: readonly Case[] = [
  bad('a head of 70 KB in one field', get(`X: ${'y'.repeat(70_000)}`), get(`X: ${'y'.repeat(3000)}`)),
  bad('a head of 70 KB in fields', get(...Array.from({ length: 80 }, (_, i) => `X${i}: ${'y'.repeat(900)}`)), plainGet),
  bad(
    'more fields than anyone has',
    get(...Array.from({ length: 2000 }, (_, i) => `X${i}: y`)),
    get(...Array.from({ length: 60 }, (_, i) => `X${i}: y`)),
  ),
  bad(
    'a target of 40 KB',
    head(`GET /${'x'.repeat(40_000)} HTTP/1.1`, 'Host: a'),
    head(`GET /${'x'.repeat(3000)} HTTP/1.1`, 'Host: a'),
  ),
  bad(
    'a method of 40 letters',
    head(`${'G'.repeat(40)} /x HTTP/1.1`, 'Host: a'),
    head('PROPFIND /x HTTP/1.1', 'Host: a'),
  ),
];

const line = (text: string, ...fields: readonly string[]): string => head(`${text} HTTP/1.1`, ...fields);
const hosts: readonly Case[] = [
  bad('an absolute target with another Host', line('GET http://b/x', 'Host: a'), line('GET http://a/x', 'Host: a')),
  bad('an absolute target with another port', line('GET http://a:81/x', 'Host: a'), line('GET http://a/x', 'Host: a')),
  bad('an absolute target without Host', line('GET http://a/x', 'X: y'), line('GET http://a/x', 'Host: a')),
  bad('a user in an absolute target', line('GET http://b@a/x', 'Host: a'), line('GET HTTP://a/x', 'Host: a')),
  bad('an absolute target of another scheme', line('GET gopher://a/x', 'Host: a'), line('GET http://a/x', 'Host: a')),
  bad('a target without a slash', line('GET x', 'Host: a'), get()),
  bad('an authority for a target', line('GET a:80', 'Host: a'), get()),
  bad('CONNECT to another authority', line('CONNECT b:80', 'Host: a'), get()),
  bad('CONNECT with a path', line('CONNECT /x', 'Host: a'), get()),
  bad('an asterisk for GET', line('GET *', 'Host: a'), get()),
  bad('a fragment in the target', line('GET /x#y', 'Host: a'), line('GET /x%23y', 'Host: a')),
  bad('two Hosts', line('GET /x', 'Host: a', 'Host: b'), get()),
  bad('the same Host twice', line('GET /x', 'Host: a', 'Host: a'), get()),
  bad('no Host', line('GET /x', 'X: y'), plainGet),
  bad('an empty Host', line('GET /x', 'Host:'), get()),
  bad('a list of Hosts', line('GET /x', 'Host: a, b'), get()),
  bad('a Host with a path', line('GET /x', 'Host: a/b'), get()),
  bad('a Host with a user', line('GET /x', 'Host: b@a'), get()),
  bad('a Host with two ports', line('GET /x', 'Host: a:80:81'), line('GET /x', 'Host: a:80')),
  bad('a Host with a space', line('GET /x', 'Host: a b'), get()),
  bad('a Host with an open bracket', line('GET /x', 'Host: [::1'), line('GET /x', 'Host: [::1]')),
];

const versions: readonly Case[] = [
  ['HTTP/1.2', 'HTTP/1.2'],
  ['HTTP/2.0', 'HTTP/2.0'],
  ['HTTP/0.9', 'HTTP/0.9'],
  ['a version of two digits', 'HTTP/1.10'],
  ['a version in small letters', 'http/1.1'],
  ['no version number', 'HTTP/'],
  ['another protocol', 'ICAP/1.0'],
].map(([name = '', version = '']) => bad(name, head(`GET /x ${version}`, 'Host: a'), get()));
const noVersion: readonly Case[] = [
  bad('no version', `GET /x\r\n${hidden}`, get() + hidden),
  bad('the preface of HTTP/2', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${hidden}`, get() + hidden),
];

export const cases: readonly Case[] = [
  ...framing,
  ...lengths,
  ...lineEnds,
  ...folds,
  ...bytes,
  ...places,
  ...spaces,
  ...chunks,
  ...chunkEnds,
  ...sizes,
  ...hosts,
  ...versions,
  ...noVersion,
];
