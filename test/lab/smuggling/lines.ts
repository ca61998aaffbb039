// Where lines, fields and words end.
import { type Case, bad, chunk, get, head, hidden, last, plainChunked, plainGet, post } from './case.ts';

const bareLf: readonly Case[] = [
  bad('LF ends the request line', 'GET /x HTTP/1.1\nHost: a\r\n\r\n', get()),
  bad('LF ends a field', 'GET /x HTTP/1.1\r\nHost: a\nX: y\r\n\r\n', plainGet),
  bad('LF ends the head', `GET /x HTTP/1.1\r\nHost: a\r\nX: y\r\n\n${hidden}`, plainGet + hidden),
  bad('two LF end the head', `GET /x HTTP/1.1\r\nHost: a\r\nX: y\n\n${hidden}`, plainGet + hidden),
  bad('LF alone everywhere', 'GET /x HTTP/1.1\nHost: a\n\n', get()),
  bad('LF before the request', `\n${plainGet}`, `\r\n${plainGet}`),
  bad('LF before the line end', 'GET /x HTTP/1.1\r\nHost: a\n\r\n\r\n', get()),
  bad('LF CR for a line end', 'GET /x HTTP/1.1\n\rHost: a\n\r\n\r', get()),
];

const bareCr: readonly Case[] = [
  bad('CR in a value', get('X: y\rZ: w'), get('X: y Z: w')),
  bad('CR ends a field', 'GET /x HTTP/1.1\r\nHost: a\rX: y\r\n\r\n', plainGet),
  bad('CR CR LF', 'GET /x HTTP/1.1\r\nHost: a\r\r\n\r\n', get()),
  bad('CR in the request line', 'GET /x\r HTTP/1.1\r\nHost: a\r\n\r\n', get()),
  bad('CR in a name', get('X\rY: z'), get('X-Y: z')),
  bad('CR CR ends the head', `GET /x HTTP/1.1\r\nHost: a\r\n\r\r${hidden}`, get() + hidden),
];

const folds: readonly Case[] = [
  bad('a folded value', get('X: y\r\n z'), get('X: y z')),
  bad('a value folded with a tab', get('X: y\r\n\tz'), get('X: y\tz')),
  bad('a folded Host', 'GET /x HTTP/1.1\r\nHost:\r\n a\r\n\r\n', get()),
  bad('a folded Transfer-Encoding', post('Transfer-Encoding:\r\n chunked') + chunk(hidden) + last, plainChunked),
  bad('a fold behind the request line', 'GET /x HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n', plainGet),
  bad('a fold of blanks only', get('X: y\r\n '), plainGet),
];

const controls: readonly Case[] = [
  ['NUL', '\0'],
  ['SOH', '\x01'],
  ['BS', '\b'],
  ['VT', '\v'],
  ['FF', '\f'],
  ['ESC', '\x1b'],
  ['DEL', '\x7f'],
].map(([name = '', byte = '']) => bad(`${name} in a value`, get(`X: y${byte}z`), get('X: y\xe4z')));

const strangeNames: readonly Case[] = [
  bad('NUL in a name', get('X\0Y: z'), get('X-Y: z')),
  bad('a byte above 127 in a name', get('X\xe4: z'), get('Xa: z')),
  bad('a slash in a name', get('X/Y: z'), get('X-Y: z')),
  bad('an at in a name', get('X@Y: z'), get('X-Y: z')),
  bad('a quote in a name', get('"X": z'), get('X: z')),
  bad('brackets in a name', get('X[Y]: z'), get('X-Y: z')),
];

const colons: readonly Case[] = [
  bad('a space before a colon', get('X : y'), plainGet),
  bad('a tab before a colon', get('X\t: y'), plainGet),
  bad('a space before the colon of Host', head('GET /x HTTP/1.1', 'Host : a'), get()),
  bad('a space in a name', get('X Y: z'), get('X-Y: z')),
  bad('a line without a colon', get('X'), plainGet),
  bad('a field without a name', get(': y'), plainGet),
  bad('a colon before a name', get(':X: y'), plainGet),
];

const requestLines: readonly Case[] = [
  bad('a space before the method', ` ${plainGet}`, plainGet),
  bad('two spaces before the target', head('GET  /x HTTP/1.1', 'Host: a'), get()),
  bad('two spaces before the version', head('GET /x  HTTP/1.1', 'Host: a'), get()),
  bad('tabs in the request line', head('GET\t/x\tHTTP/1.1', 'Host: a'), get()),
  bad('a space behind the version', head('GET /x HTTP/1.1 ', 'Host: a'), get()),
  bad('a tab behind the version', head('GET /x HTTP/1.1\t', 'Host: a'), get()),
  bad('a space in the target', head('GET /x y HTTP/1.1', 'Host: a'), head('GET /x%20y HTTP/1.1', 'Host: a')),
  bad('a request line in a request line', head('GET /x HTTP/1.1 HTTP/1.1', 'Host: a'), get()),
];

const before: readonly Case[] = [
  bad('two empty lines before the request', `\r\n\r\n${plainGet}`, `\r\n${plainGet}`),
  bad('CR alone before the request', `\r${plainGet}`, `\r\n${plainGet}`),
  bad('NUL before the request', `\0${plainGet}`, plainGet),
  bad('a byte order mark before the request', `\xef\xbb\xbf${plainGet}`, plainGet),
  bad('a field before the request line', `X: y\r\n${plainGet}`, plainGet),
];

export const lines: Readonly<Record<string, readonly Case[]>> = {
  'bare LF': bareLf,
  'bare CR': bareCr,
  'folded lines': folds,
  'control bytes in values': controls,
  'bytes that no name has': strangeNames,
  'blanks and colons': colons,
  'blanks in the request line': requestLines,
  'bytes before the request': before,
};
